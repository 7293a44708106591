//! Looks at databases after a crash with plain rusqlite, and compares rows, log, clocks and cursors by a model that
//! shares nothing with the engine but the decoding of transactions.
//!
//! **A row changed if and only if its entry is there**: all transactions that a device has written or applied, folded onto
//! nothing, give its rows, all of them. [`fold`] is the model: entries sorted by life and stamp, applied in that order;
//! increments add to what was set when they were made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use storex_core::Value;
use storex_sync::{
    Cursor, Device, EntryKind, EntryValue, Hlc, Relative, SealedTransaction, SharedSyncLog, Stamp,
    Transaction,
};

use crate::ops::{Touched, bytes_cell, cell};
use crate::schema::registry;

/// An object: its collection, and its key as [`cell`] writes it.
pub type Object = (String, Vec<String>);

/// All objects, with the fields beside the key.
pub type Contents = BTreeMap<Object, BTreeMap<String, String>>;

/// What a list of transactions makes of an empty database.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Folded {
    /// The rows.
    pub rows: Contents,
    /// The causal length of every object that was ever there.
    pub lives: BTreeMap<Object, u32>,
}

/// A transaction as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Its bytes.
    pub payload: Vec<u8>,
    /// What they say.
    pub transaction: Transaction,
}

/// Every transaction that is in the shared log or in some device's own log, and what the shared log knows of devices.
#[derive(Debug, Default)]
pub struct Universe {
    /// By device and sequence number.
    pub transactions: BTreeMap<Device, BTreeMap<u64, Logged>>,
    /// What is in the shared log, in its order: position, device, sequence.
    pub shared: Vec<(i64, Device, u64)>,
    /// Per device: up to which position it says that it has applied.
    pub acknowledged: BTreeMap<Device, i64>,
}

/// Where a device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Itself.
    pub me: Device,
    /// How many transactions it has logged.
    pub logged: u64,
    /// Its clock's last reading.
    pub hlc: Hlc,
    /// Per other device: the last transaction that it has applied, or parked.
    pub applied: BTreeMap<Device, u64>,
    /// What it could not apply yet: a change of something that has not arrived here, say.
    pub parked: BTreeSet<(Device, u64)>,
}

/// Opens for reading, and checks the file itself.
fn open(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).expect("the database opens");
    let check: String =
        conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(check, "ok", "{}: integrity_check", path.display());
    conn
}

/// The file itself is whole.
///
/// # Panics
/// When it is not.
pub fn assert_whole(path: &Path) {
    drop(open(path));
}

fn has_table(conn: &Connection, table: &str) -> bool {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?";
    conn.query_row(sql, [table], |row| row.get::<_, i64>(0)).expect("a count") > 0
}

fn stored_cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(it) => format!("i{it}"),
        ValueRef::Real(it) => format!("r{:016x}", it.to_bits()),
        ValueRef::Text(it) => format!("t{}", String::from_utf8_lossy(it)),
        ValueRef::Blob(it) => bytes_cell(it),
    }
}

/// The rows of the application's tables.
///
/// # Panics
/// When the database cannot be read.
#[must_use]
pub fn contents(path: &Path) -> Contents {
    rows(&open(path))
}

fn rows(conn: &Connection) -> Contents {
    let mut contents = Contents::new();
    for collection in registry().collections() {
        if !has_table(conn, collection.table()) {
            continue;
        }
        let columns: Vec<String> =
            collection.fields().iter().map(|field| format!("\"{}\"", field.column)).collect();
        let sql = format!("SELECT {} FROM \"{}\"", columns.join(", "), collection.table());
        let mut statement = conn.prepare(&sql).expect("a statement");
        let mut found = statement.query([]).expect("rows");
        while let Some(row) = found.next().expect("a row") {
            let value = |at: usize| stored_cell(row.get_ref(at).expect("a value"));
            let key = collection.primary_key().iter().map(|at| value(*at)).collect();
            let rest = collection.fields().iter().enumerate();
            let rest = rest
                .filter(|(at, _)| !collection.is_key(*at))
                .map(|(at, field)| (field.name.to_string(), value(at)))
                .collect();
            let known = contents.insert((collection.name().to_string(), key), rest);
            assert_eq!(known, None, "a key stands twice");
        }
    }
    contents
}

/// Everything in every table, the library's own included, as text: what must stay the same when a write is refused.
///
/// # Panics
/// When the database cannot be read.
#[must_use]
pub fn everything(path: &Path) -> String {
    let conn = open(path);
    let mut out = String::new();
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let mut statement = conn.prepare(sql).expect("a statement");
    let tables = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("tables");
    for table in tables {
        let (name, sql): (String, String) = table.expect("a table");
        out.push_str(&format!("{sql}\n"));
        let mut statement = conn.prepare(&format!("SELECT * FROM \"{name}\"")).expect("a table");
        let columns = statement.column_count();
        let mut lines = Vec::new();
        let mut found = statement.query([]).expect("rows");
        while let Some(row) = found.next().expect("a row") {
            let cells = (0..columns).map(|at| stored_cell(row.get_ref(at).expect("a value")));
            lines.push(cells.collect::<Vec<_>>().join(" | "));
        }
        lines.sort();
        out.push_str(&lines.join("\n"));
        out.push('\n');
    }
    out
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_at(N);
        self.0 = rest;
        taken.try_into().expect("as many bytes as were asked for")
    }

    fn varint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let [byte] = self.take();
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
}

fn meta(conn: &Connection, name: &str) -> Option<Vec<u8>> {
    if !has_table(conn, "_storex_meta") {
        return None;
    }
    let sql = "SELECT value FROM _storex_meta WHERE name = ?";
    let mut statement = conn.prepare(sql).expect("a statement");
    let mut rows = statement.query([name]).expect("rows");
    rows.next().expect("a row").map(|row| row.get(0).expect("bytes"))
}

fn read_standing(conn: &Connection) -> Option<Standing> {
    let head = meta(conn, "head")?;
    let mut head = Bytes(&head);
    let me = u32::from_be_bytes(head.take());
    let next = u64::from_be_bytes(head.take());
    let hlc = Hlc(u64::from_be_bytes(head.take()));
    let devices = meta(conn, "devices").expect("whoever has a head has a table of devices");
    let mut devices = Bytes(&devices);
    let mut list = Vec::new();
    while !devices.0.is_empty() {
        let id = devices.take();
        let incarnation = u32::try_from(devices.varint()).expect("an incarnation");
        let sequence = devices.varint();
        let _hlc: [u8; 8] = devices.take();
        list.push((Device { id, incarnation }, sequence));
    }
    let me = list[usize::try_from(me).expect("a small number") - 1].0;
    list.retain(|(device, _)| *device != me);
    let applied = list.into_iter().collect();
    Some(Standing { me, logged: next - 1, hlc, applied, parked: read_parked(conn) })
}

fn read_parked(conn: &Connection) -> BTreeSet<(Device, u64)> {
    let sql = "SELECT device, incarnation, sequence FROM _storex_parked";
    let mut statement = conn.prepare(sql).expect("a statement");
    let parked = statement.query_map([], |row| {
        let device = Device { id: row.get(0)?, incarnation: row.get(1)? };
        Ok((device, u64::try_from(row.get::<_, i64>(2)?).expect("positive")))
    });
    parked.expect("rows").map(|parked| parked.expect("a row")).collect()
}

/// Where the device in this file stands; `None` before its log was made.
///
/// # Panics
/// When the database cannot be read.
#[must_use]
pub fn standing(path: &Path) -> Option<Standing> {
    if path.exists() { read_standing(&open(path)) } else { None }
}

impl Standing {
    /// Whether something of the device was applied. (A device is known before: clocks refer to it.)
    #[must_use]
    pub fn has_applied(&self, device: Device) -> bool {
        self.applied.get(&device).is_some_and(|last| *last > 0)
    }
}

/// Compares contents and says which objects differ.
///
/// # Panics
/// When they differ.
pub fn assert_same(found: &Contents, expected: &Contents, what: &str, path: &Path) {
    let objects: BTreeSet<&Object> = found.keys().chain(expected.keys()).collect();
    let differ = objects.into_iter().filter(|object| found.get(object) != expected.get(object));
    let lines: Vec<String> = differ
        .map(|it| {
            format!("{it:?}\n  found    {:?}\n  expected {:?}", found.get(it), expected.get(it))
        })
        .collect();
    assert!(lines.is_empty(), "{}: {what}:\n{}", path.display(), lines.join("\n"));
}

impl Universe {
    /// Reads the shared log and the devices' own logs.
    ///
    /// # Panics
    /// When one of them is not in order.
    #[must_use]
    pub fn read(shared: &Path, devices: &[&Path]) -> Self {
        let mut all = Self::default();
        if shared.exists() {
            all.read_shared(&open(shared));
        }
        for path in devices.iter().filter(|path| path.exists()) {
            all.read_own(&open(path));
        }
        all
    }

    /// Reads a shared log that has everything, of devices that may have sent some transactions without the values that the
    /// next one overwrites.
    ///
    /// # Panics
    /// When it is not in order.
    pub async fn of_log(log: &dyn SharedSyncLog) -> Self {
        let (mut all, mut cursor) = (Self::default(), Cursor::default());
        loop {
            let page = log.read(Device::NOBODY, &cursor, 1 << 20).await.expect("a page");
            assert_eq!(page.missing, [], "the log has all of it");
            for SealedTransaction { device, sequence, payload } in page.transactions {
                let own = all.transactions.entry(device).or_default();
                assert_eq!(sequence, own.len() as u64 + 1, "{device}: numbers are dense, in order");
                all.insert(device, sequence, payload);
            }
            cursor = page.cursor;
            if !page.more {
                return all;
            }
        }
    }

    fn add(&mut self, device: Device, sequence: u64, payload: Vec<u8>) {
        let transaction = self.insert(device, sequence, payload);
        assert!(!transaction.entries.is_empty(), "an empty transaction was logged");
    }

    fn insert(&mut self, device: Device, sequence: u64, payload: Vec<u8>) -> &Transaction {
        let transaction = Transaction::decode(&payload).expect("a transaction that can be read");
        let header = &transaction.header;
        assert_eq!((header.device, header.sequence), (device, sequence), "a wrong header");
        let logged = Logged { payload, transaction };
        let known = self.transactions.entry(device).or_default().insert(sequence, logged.clone());
        if let Some(known) = known {
            assert_eq!(known, logged, "two transactions {sequence} of device {device}");
        }
        &self.transactions[&device][&sequence].transaction
    }

    fn read_shared(&mut self, conn: &Connection) {
        if !has_table(conn, "shared_transaction") {
            return;
        }
        let sql = "SELECT position, device, incarnation, sequence, \"transaction\" \
                   FROM shared_transaction ORDER BY position";
        let mut statement = conn.prepare(sql).expect("a statement");
        let mut found = statement.query([]).expect("rows");
        let mut last: BTreeMap<Device, u64> = BTreeMap::new();
        while let Some(row) = found.next().expect("a row") {
            let device = Device {
                id: row.get(1).expect("an id"),
                incarnation: row.get(2).expect("a number"),
            };
            let position: i64 = row.get(0).expect("a position");
            let sequence: u64 =
                row.get::<_, i64>(3).expect("a number").try_into().expect("positive");
            assert_eq!(position, self.shared.len() as i64 + 1, "positions are dense");
            let before = last.insert(device, sequence).unwrap_or(0);
            assert_eq!(sequence, before + 1, "device {device}: numbers are dense, in order");
            self.shared.push((position, device, sequence));
            self.add(device, sequence, row.get(4).expect("bytes"));
        }
        let sql = "SELECT device, incarnation, last_sequence, acknowledged FROM shared_device";
        let mut statement = conn.prepare(sql).expect("a statement");
        let mut found = statement.query([]).expect("rows");
        while let Some(row) = found.next().expect("a row") {
            let device = Device {
                id: row.get(0).expect("an id"),
                incarnation: row.get(1).expect("a number"),
            };
            let stored: i64 = row.get(2).expect("a number");
            let known = last.get(&device).copied().unwrap_or(0);
            assert_eq!(stored as u64, known, "device {device}: its last number");
            self.acknowledged.insert(device, row.get(3).expect("a number"));
        }
    }

    fn read_own(&mut self, conn: &Connection) {
        let Some(standing) = read_standing(conn) else { return };
        let sql = "SELECT sequence, \"transaction\", entries FROM _storex_log ORDER BY sequence";
        let mut statement = conn.prepare(sql).expect("a statement");
        let mut found = statement.query([]).expect("rows");
        let mut before = None;
        while let Some(row) = found.next().expect("a row") {
            let sequence: u64 =
                row.get::<_, i64>(0).expect("a number").try_into().expect("positive");
            assert!(before.is_none_or(|before| sequence == before + 1), "the own log has a gap");
            before = Some(sequence);
            let payload: Vec<u8> = row.get(1).expect("bytes");
            let entries: i64 = row.get(2).expect("a number");
            let transaction = Transaction::decode(&payload).expect("a transaction");
            assert_eq!(entries, transaction.entries.len() as i64, "the number of entries");
            self.add(standing.me, sequence, payload);
        }
        if let Some(last) = before {
            assert_eq!(last, standing.logged, "the log ends where the head says");
        }
    }

    /// The transactions of a device up to a number.
    ///
    /// # Panics
    /// When one of them is nowhere.
    pub fn up_to(&self, device: Device, last: u64) -> impl Iterator<Item = &Transaction> {
        (1..=last).map(move |sequence| {
            let found = self.transactions.get(&device).and_then(|all| all.get(&sequence));
            let found = found.unwrap_or_else(|| panic!("{device}/{sequence} is in no log"));
            &found.transaction
        })
    }

    /// All transactions of a device, which are dense.
    ///
    /// # Panics
    /// When they are not.
    #[must_use]
    pub fn of(&self, device: Device) -> Vec<&Transaction> {
        let last = self.transactions.get(&device).and_then(|all| all.keys().last().copied());
        self.up_to(device, last.unwrap_or(0)).collect()
    }

    /// What everything together makes of an empty database: what all devices have in the end.
    #[must_use]
    pub fn fold(&self) -> Folded {
        fold(self.transactions.values().flat_map(BTreeMap::values).map(|it| &it.transaction))
    }

    /// What a device has written and applied.
    fn seen_by(&self, standing: &Standing) -> Vec<&Transaction> {
        let applied = standing.applied.iter().map(|(device, last)| (*device, *last));
        let all = applied.chain([(standing.me, standing.logged)]);
        let all = all.flat_map(|(device, last)| self.up_to(device, last));
        let name = |it: &&Transaction| (it.header.device, it.header.sequence);
        all.filter(|transaction| !standing.parked.contains(&name(transaction))).collect()
    }
}

/// The model: entries sorted by life and stamp, applied in that order to nothing.
///
/// # Panics
/// When an object is changed that was never created.
pub fn fold<'a>(transactions: impl IntoIterator<Item = &'a Transaction>) -> Folded {
    let mut all = Vec::new();
    for transaction in transactions {
        for (n, entry) in transaction.entries.iter().enumerate() {
            all.push((entry.life, transaction.stamp(n), transaction, entry));
        }
    }
    all.sort_by_key(|(life, stamp, ..)| (*life, *stamp));
    let mut folded = Folded::default();
    // Per object and field: the write that has set it last.
    let mut bases: BTreeMap<(Object, &str), Stamp> = BTreeMap::new();
    for (life, stamp, transaction, entry) in all {
        let shape = &transaction.shapes[entry.shape];
        let (key, values) = entry.values.split_at(shape.key_len);
        let key = key.iter().map(|value| cell(value.value())).collect();
        let object = (shape.collection.to_string(), key);
        let known = folded.lives.insert(object.clone(), life).unwrap_or(0);
        match entry.kind {
            EntryKind::Delete => {
                folded.rows.remove(&object);
            }
            EntryKind::Update if known < life => panic!("{object:?} was changed, never created"),
            EntryKind::Create | EntryKind::Update => {
                let row = folded.rows.entry(object.clone()).or_default();
                for (field, value) in shape.fields.iter().skip(shape.key_len).zip(values) {
                    let base = bases.entry((object.clone(), field)).or_default();
                    let before = row.get(&**field).cloned();
                    if let Some(cell) = field_after(base, before, stamp, value) {
                        row.insert(field.to_string(), cell);
                    }
                }
            }
        }
    }
    folded
}

/// What a write makes of a field, if anything. An increment adds to what was set when it was made; what was set anew without it
/// stays as it is.
fn field_after(
    base: &mut Stamp,
    before: Option<String>,
    stamp: Stamp,
    value: &EntryValue,
) -> Option<String> {
    let change = match value {
        EntryValue::Changed { change, .. } => Some(&**change),
        EntryValue::Set(_) => None,
    };
    let Some(Relative::Increment { by: Value::Int(by), counted: Some(counted) }) = change else {
        *base = stamp;
        return Some(cell(value.value()));
    };
    if counted.base < *base {
        return None;
    }
    assert_eq!(counted.base, *base, "an increment of what nobody has set");
    let before = before.as_deref().and_then(|cell| cell.strip_prefix('i'));
    let before: i64 = before.map_or(0, |digits| digits.parse().expect("a number"));
    Some(cell(&Value::Int(before + by)))
}

/// Checks a device; see the module's description. `sender`: an initial sync from that device may be under way.
///
/// # Panics
/// When something is wrong.
pub fn check_device(path: &Path, universe: &Universe, sender: Option<&Standing>) {
    if !path.exists() {
        return;
    }
    let conn = open(path);
    let Some(standing) = read_standing(&conn) else {
        assert_eq!(rows(&conn), Contents::new(), "rows before the first log");
        return;
    };
    let found = rows(&conn);
    let own: Vec<&Transaction> = universe.up_to(standing.me, standing.logged).collect();
    let ever = universe.transactions.get(&standing.me).and_then(|all| all.keys().last());
    assert_eq!(ever.copied().unwrap_or(0), standing.logged, "others know more of us than we do");
    check_stamps(&own, &standing);
    let expected = fold(universe.seen_by(&standing));
    let lives = clock_lives(&conn);
    match sender.filter(|sender| !standing.has_applied(sender.me)) {
        None => {
            assert_same(&found, &expected.rows, "rows are not what was logged", path);
            assert_eq!(lives, lives_by_collection(&expected), "{}: clocks", path.display());
            check_rules(&found);
        }
        Some(sender) => {
            let mut arriving = universe.seen_by(&standing);
            arriving.extend(universe.seen_by(sender));
            check_receiving(&expected, &fold(arriving), &found, &lives);
        }
    }
    check_increments(&standing, &own, &found);
    check_acknowledged(universe, &standing);
}

/// In the middle of an initial sync each object is as before or as it arrives, and has a clock if it is there.
fn check_receiving(
    before: &Folded,
    after: &Folded,
    found: &Contents,
    lives: &BTreeMap<String, Vec<u32>>,
) {
    let objects: BTreeSet<&Object> = after.lives.keys().chain(found.keys()).collect();
    for object in objects {
        let row = found.get(object);
        let as_before = row == before.rows.get(object);
        let as_it_arrives = row == after.rows.get(object);
        assert!(as_before || as_it_arrives, "{object:?} arrives as {row:?}");
    }
    let alive = lives.values().flatten().filter(|life| *life % 2 == 1).count();
    assert_eq!(alive, found.len(), "as many living clocks as rows");
}

/// Each transaction was stamped after the one before, and no two entries have one stamp.
fn check_stamps(own: &[&Transaction], standing: &Standing) {
    let mut last = Hlc::ZERO;
    for transaction in own {
        let header = &transaction.header;
        assert!(header.hlc > last, "transaction {} is not stamped after the last", header.sequence);
        last = header.hlc.plus(transaction.entries.len().saturating_sub(1) as u64);
    }
    assert!(standing.hlc >= last, "the clock went back");
}

/// The lives in the clock table by collection, sorted. Its primary key lets each object have one clock only.
fn clock_lives(conn: &Connection) -> BTreeMap<String, Vec<u32>> {
    let names: Vec<String> =
        registry().collections().iter().map(|collection| collection.name().to_string()).collect();
    let mut statement =
        conn.prepare("SELECT collection, clock FROM _storex_clock").expect("a statement");
    let mut found = statement.query([]).expect("rows");
    let mut lives: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    while let Some(row) = found.next().expect("a row") {
        // Collections are numbered in the order in which the log first saw them: that of the schema.
        let number: usize = row.get::<_, i64>(0).expect("a number").try_into().expect("positive");
        let clock: Vec<u8> = row.get(1).expect("bytes");
        // A clock with counters has a zero in front.
        let life = Bytes(clock.strip_prefix(&[0]).unwrap_or(&clock)).varint();
        let life = u32::try_from(life).expect("a life");
        lives.entry(names[number].clone()).or_default().push(life);
    }
    lives.values_mut().for_each(|lives| lives.sort_unstable());
    lives
}

fn lives_by_collection(folded: &Folded) -> BTreeMap<String, Vec<u32>> {
    let mut lives: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for ((collection, _), life) in &folded.lives {
        lives.entry(collection.clone()).or_default().push(*life);
    }
    lives.values_mut().for_each(|lives| lives.sort_unstable());
    lives
}

/// What [`crate::ops`] promises of the rows: teams are whole and uniform, transfers lose nothing.
fn check_rules(found: &Contents) {
    let mut teams: BTreeMap<&str, Vec<&BTreeMap<String, String>>> = BTreeMap::new();
    // Per device: what is in its two accounts, and what they were opened with.
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for ((collection, key), row) in found {
        if collection == "member" {
            teams.entry(&row["team"]).or_default().push(row);
        }
        let opened = [("-one", 1000), ("-two", 500)];
        let account = opened.iter().find_map(|(name, opened)| {
            key[0].strip_suffix(name).filter(|_| collection == "account").zip(Some(opened))
        });
        if let Some((device, opened)) = account {
            let balance: i64 = row["balance"][1..].parse().expect("a number");
            let sum = sums.entry(device).or_default();
            *sum = (sum.0 + balance, sum.1 + opened);
        }
    }
    for (team, members) in teams {
        assert_eq!(members[0]["size"], format!("i{}", members.len()), "team {team} is torn");
        for member in &members {
            for field in ["title", "stars", "size"] {
                assert_eq!(member[field], members[0][field], "team {team} is torn");
            }
        }
    }
    for (device, (sum, opened)) in sums {
        assert_eq!(sum, opened, "the accounts of {device}: a transfer is torn");
    }
}

/// The accounts that all devices write.
const COMMON: [&str; 2] = ["tcommon", "treceipts"];

/// The accounts that only this device writes hold the sum of what it has logged: nothing was added twice or not at all.
fn check_increments(standing: &Standing, own: &[&Transaction], found: &Contents) {
    let mut sums: BTreeMap<Vec<String>, i64> = BTreeMap::new();
    for transaction in own {
        for entry in &transaction.entries {
            let shape = &transaction.shapes[entry.shape];
            let name = cell(entry.values[0].value());
            if &*shape.collection != "account" || COMMON.contains(&name.as_str()) {
                continue;
            }
            let sum = sums.entry(vec![name]).or_default();
            match &entry.values[1] {
                EntryValue::Set(Value::Int(value)) => *sum += value,
                EntryValue::Changed { change, .. } => match &**change {
                    Relative::Increment { by: Value::Int(by), .. } => *sum += by,
                    other => panic!("device {}: an account got {other:?}", standing.me),
                },
                other @ EntryValue::Set(_) => {
                    panic!("device {}: an account got {other:?}", standing.me)
                }
            }
        }
    }
    for (key, sum) in sums {
        let row = &found[&("account".to_owned(), key.clone())];
        assert_eq!(
            row["balance"],
            format!("i{sum}"),
            "account {key:?}: increments lost or doubled"
        );
    }
}

/// Whoever says that it has applied everything up to a place has done so.
fn check_acknowledged(universe: &Universe, standing: &Standing) {
    let place = universe.acknowledged.get(&standing.me).copied().unwrap_or(0);
    for (position, device, sequence) in &universe.shared {
        if *position <= place && *device != standing.me {
            let applied = standing.applied.get(device).copied().unwrap_or(0);
            assert!(applied >= *sequence, "{device}/{sequence} was acknowledged, never applied");
        }
    }
}

/// What was acknowledged to the caller, in order, is in the log, in order; at most one transaction more (the one under
/// way) is there. `before`: how many the device had logged before.
///
/// # Panics
/// When it is not so.
pub fn check_acknowledgements(own: &[&Transaction], before: u64, acknowledged: &[Vec<Touched>]) {
    let before = usize::try_from(before).expect("a small number");
    let logged = &own[before..];
    let told: Vec<&Vec<Touched>> =
        acknowledged.iter().filter(|touched| !touched.is_empty()).collect();
    assert!(
        logged.len() == told.len() || logged.len() == told.len() + 1,
        "{} writes were acknowledged, {} are logged",
        told.len(),
        logged.len()
    );
    for (transaction, told) in logged.iter().zip(told) {
        let what = format!("transaction {}: {transaction:?}", transaction.header.sequence);
        assert_eq!(transaction.entries.len(), told.len(), "{what}\nwas acknowledged as {told:?}");
        for (entry, told) in transaction.entries.iter().zip(told) {
            let shape = &transaction.shapes[entry.shape];
            let kind = match entry.kind {
                EntryKind::Create => "create",
                EntryKind::Update => "update",
                EntryKind::Delete => "delete",
            };
            let (key, values) = entry.values.split_at(shape.key_len);
            let key: Vec<String> = key.iter().map(|value| cell(value.value())).collect();
            let logged = (kind, &*shape.collection, &key);
            assert_eq!(logged, (&*told.kind, &*told.collection, &told.key), "{what}\n{told:?}");
            let fields = shape.fields.iter().skip(shape.key_len).zip(values);
            let values: BTreeMap<&str, String> = fields
                .map(|(field, value)| match value {
                    EntryValue::Set(value) => (&**field, cell(value)),
                    EntryValue::Changed { change, .. } => match &**change {
                        Relative::Increment { by, .. } => (&**field, format!("+{}", cell(by))),
                        other => panic!("{other:?}"),
                    },
                })
                .collect();
            for (field, asked) in &told.set {
                assert_eq!(values.get(field.as_str()), Some(asked), "{what}\nfield {field}");
            }
        }
    }
}

//! Checks a database that only this device has written to, and that has sent nothing yet: all of its log is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use storex_core::{Direction, Query, Record, Storage, Value};
use storex_sync::Transaction;

use crate::log_fold::{Folded, Object, Row, key};
use crate::writer::MEMBERS;

/// What a database holds.
struct Found {
    rows: BTreeMap<Object, Row>,
    /// Per number of a collection: lives and readings of the newest stamps, sorted.
    clocks: BTreeMap<i64, Vec<(u32, u64)>>,
    log: Vec<Record>,
    /// The number of the next transaction, and the clock's last reading.
    head: (u64, u64),
}

/// Gives the number of transactions, or says what is wrong.
pub(crate) async fn audit(storage: &Storage) -> Result<u64, String> {
    let found = Found::read(storage).await?;
    let folded = found.fold()?;
    for (object, row) in &folded.rows {
        same(found.rows.get(object), Some(row), || format!("{object:?} is not what was logged"))?;
    }
    if let Some(object) = found.rows.keys().find(|object| !folded.rows.contains_key(*object)) {
        return Err(format!("{object:?} is there, and not in the log"));
    }
    same(&found.clocks, &by_number(storage, &folded), || "the clocks".to_owned())?;
    let batches = found.check_rules()?;
    let logged = found.log.len() as u64;
    if batches > 0 {
        same(batches, logged, || "batches and transactions".to_owned())?;
    }
    Ok(logged)
}

fn same<T: PartialEq + Debug>(
    found: T,
    expected: T,
    what: impl FnOnce() -> String,
) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{}: {found:?}, not {expected:?}", what())) }
}

impl Found {
    async fn read(storage: &Storage) -> Result<Self, String> {
        let mut rows = BTreeMap::new();
        for collection in storage.registry().collections().iter().filter(|it| !it.is_reserved()) {
            for record in find(storage, Query::new(collection.name().clone())).await? {
                let keys = key(collection.primary_key().iter().map(|at| record.get(*at)));
                let fields = collection.fields().iter().zip(record.values()).enumerate();
                let fields = fields.filter(|(at, _)| !collection.primary_key().contains(at));
                let row = fields.map(|(_, (field, value))| (field.name.clone(), value.clone()));
                rows.insert((collection.name().clone(), keys), row.collect());
            }
        }
        let mut clocks: BTreeMap<i64, Vec<(u32, u64)>> = BTreeMap::new();
        for row in find(storage, Query::new("_storex_clock")).await? {
            let clock = row.get(2).as_bytes().and_then(read_clock).ok_or("a clock is cut")?;
            clocks
                .entry(row.get(0).as_int().ok_or("a clock of no collection")?)
                .or_default()
                .push(clock);
        }
        clocks.values_mut().for_each(|clocks| clocks.sort_unstable());
        let log = Query::new("_storex_log").order_by("sequence", Direction::Ascending);
        let log = find(storage, log).await?;
        let meta = find(storage, Query::new("_storex_meta")).await?;
        let head = meta.iter().find(|row| row.get(0).as_text() == Some("head"));
        let head = head.and_then(|row| read_head(row.get(1))).ok_or("there is no head")?;
        Ok(Self { rows, clocks, log, head })
    }

    /// Applies the log, which must be dense, in the order of its stamps, and end at the head.
    fn fold(&self) -> Result<Folded, String> {
        let mut folded = Folded::default();
        let mut last = 0;
        for (n, row) in self.log.iter().enumerate() {
            let bytes = row.get(1).as_bytes().ok_or("a transaction without bytes")?;
            let transaction = Transaction::decode(bytes).map_err(|error| error.to_string())?;
            let sequence = n as u64 + 1;
            same(row.get(0), &Value::Int(sequence.cast_signed()), || "the log's numbers".into())?;
            same(transaction.header.sequence, sequence, || "a transaction's number".into())?;
            if transaction.header.hlc.0 <= last {
                return Err(format!("transaction {sequence} is not stamped after the last"));
            }
            last = transaction.stamp(transaction.entries.len().saturating_sub(1)).hlc.0;
            folded.apply(&transaction)?;
        }
        same(self.head, (self.log.len() as u64 + 1, last), || "the head".to_owned())?;
        Ok(folded)
    }

    /// What `writer` promises of the rows. Gives the number of batches, which are numbered without a gap.
    fn check_rules(&self) -> Result<u64, String> {
        let mut teams: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
        let mut batches = BTreeSet::new();
        for ((collection, keys), row) in &self.rows {
            match &**collection {
                "member" => teams.entry(int(row, "team")?).or_default().push(row),
                "batch" => drop(batches.insert(keys.clone())),
                _ => {}
            }
        }
        let members: usize = teams.values().map(Vec::len).sum();
        for (team, members) in teams {
            same(int(members[0], "size")?, members.len() as i64, || format!("team {team}"))?;
            if members.iter().any(|member| *member != members[0]) {
                return Err(format!("the members of team {team} differ: {members:?}"));
            }
        }
        let account = ("account".into(), key([&Value::from(MEMBERS)].into_iter()));
        if let Some(account) = self.rows.get(&account) {
            same(int(account, "balance")?, members as i64, || "members by account".to_owned())?;
        }
        for number in 1..=batches.len() as i64 {
            if !batches.contains(&key([&Value::Int(number)].into_iter())) {
                return Err(format!("batch {number} is missing among {}", batches.len()));
            }
        }
        Ok(batches.len() as u64)
    }
}

async fn find(storage: &Storage, query: Query) -> Result<Vec<Record>, String> {
    storage.find(query).await.map_err(|error| format!("reading for the audit: {error}"))
}

fn int(row: &Row, field: &str) -> Result<i64, String> {
    row.get(field).and_then(Value::as_int).ok_or_else(|| format!("no {field} in {row:?}"))
}

/// Collections are numbered in the order in which the log first saw them: that of the schema.
fn by_number(storage: &Storage, folded: &Folded) -> BTreeMap<i64, Vec<(u32, u64)>> {
    let synced = storage.registry().collections().iter().filter(|it| !it.is_reserved());
    let names = synced.map(|collection| collection.name());
    let numbers: BTreeMap<_, i64> = names.zip(0..).collect();
    let mut clocks: BTreeMap<i64, Vec<(u32, u64)>> = BTreeMap::new();
    for ((collection, _), clock) in &folded.clocks {
        clocks.entry(numbers[collection]).or_default().push(*clock);
    }
    clocks.values_mut().for_each(|clocks| clocks.sort_unstable());
    clocks
}

/// The number of the next transaction and the clock's last reading, in the row `head`.
fn read_head(value: &Value) -> Option<(u64, u64)> {
    let bytes = value.as_bytes()?;
    let int = |from: usize| Some(u64::from_be_bytes(bytes.get(from..from + 8)?.try_into().ok()?));
    Some((int(4)?, int(12)?))
}

/// The life and the reading of the newest stamp in a packed clock: `docs/wire-format.md`.
fn read_clock(bytes: &[u8]) -> Option<(u32, u64)> {
    // A clock with counters has a zero in front, and says how many fields are listed.
    let (with_counters, mut bytes) = match bytes.split_first()? {
        (0, rest) => (true, rest),
        _ => (false, bytes),
    };
    let life = u32::try_from(varint(&mut bytes)?).ok()?;
    let row = u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
    bytes = &bytes[8..];
    varint(&mut bytes)?;
    let mut newest = row;
    let mut read_stamp = |bytes: &mut &[u8]| {
        let zigzag = varint(bytes)?;
        varint(bytes)?;
        let difference = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        newest = newest.max(row.wrapping_add_signed(difference));
        Some(())
    };
    let mut listed = if with_counters { varint(&mut bytes)? } else { u64::MAX };
    while listed > 0 && !bytes.is_empty() {
        varint(&mut bytes)?;
        read_stamp(&mut bytes)?;
        listed -= 1;
    }
    while !bytes.is_empty() {
        varint(&mut bytes)?;
        read_number(&mut bytes)?;
        for _ in 0..varint(&mut bytes)? {
            read_stamp(&mut bytes)?;
            read_number(&mut bytes)?;
        }
    }
    Some((life, newest))
}

/// An integer of a counter; the harness counts nothing else.
fn read_number(bytes: &mut &[u8]) -> Option<()> {
    let (0, rest) = bytes.split_first()? else { return None };
    *bytes = rest;
    varint(bytes).map(drop)
}

/// Seven bits per byte, the low ones first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if *first < 0x80 {
            return Some(value);
        }
    }
    None
}

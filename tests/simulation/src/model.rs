//! [`Model`]: what was written, and what must come of it.
//!
//! It knows the documented rules and nothing of the engine: the greatest life of an object decides whether it is there; of the
//! writes of that life the latest sets each field; increments on what that write has set are added up.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use storex_core::{Record, Value};
use storex_sync::{Device, EntryKind, EntryValue, Relative, Stamp, Transaction};

use crate::schema::TALLY;
use crate::workload::Write;

/// The name of a transaction.
pub(crate) type Name = (Device, u64);

/// Rows by collection and key, field by field.
pub(crate) type Rows = BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>;

/// What was written on the devices, and what the shared log has got.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// What was committed on some device, in the order of time.
    committed: Vec<Committed>,
    /// What the shared log took.
    accepted: BTreeMap<Name, Vec<u8>>,
    /// The writes of the application, by number.
    pub(crate) writes: BTreeMap<u64, WriteState>,
    /// Devices may begin new incarnations: databases are copied, or the log is another one.
    pub(crate) renewals: bool,
    /// What is in the log is not all: it was wiped.
    pub(crate) wiped: bool,
    /// When a field got a value: the values of the workload are all different.
    stamps: HashMap<(String, String, String, String), Stamp>,
}

/// A transaction that was committed on a device.
#[derive(Debug)]
struct Committed {
    name: Name,
    /// Its bytes, and those without values that it may be sent with when the next transaction overwrites it.
    payloads: Vec<Vec<u8>>,
    transaction: Transaction,
    write: Option<u64>,
    /// In which database.
    database: usize,
    /// The database lost it, or it has another author now.
    gone: bool,
}

impl Committed {
    /// The tallies that it counts on.
    fn tallies(&self) -> Vec<String> {
        let Transaction { shapes, entries, .. } = &self.transaction;
        let counts = entries.iter().enumerate().filter(|(_, entry)| {
            &*shapes[entry.shape].collection == TALLY && entry.kind == EntryKind::Update
        });
        counts.filter_map(|(n, _)| key(&self.transaction, n)).collect()
    }
}

/// A write of the application.
#[derive(Debug)]
pub(crate) struct WriteState {
    pub(crate) write: Write,
    /// Transactions that were committed while it was executed.
    pub(crate) committed: usize,
}

/// Where pages of a device's state differ from transactions; see `docs/wire-format.md`.
const STATE: [u8; 2] = [0x97, 2];

impl Model {
    /// How many transactions were committed so far.
    pub(crate) fn len(&self) -> usize {
        self.committed.len()
    }

    /// Notes what a device has logged; tells what it is.
    pub(crate) fn commit(
        &mut self,
        payload: Vec<u8>,
        write: Option<u64>,
        (database, before): (usize, &Rows),
    ) -> Result<String, String> {
        if payload.starts_with(&STATE) && self.renewals {
            return Ok("a page of its state".to_owned());
        }
        let transaction = Transaction::decode(&payload)
            .map_err(|error| format!("what was logged cannot be read: {error}"))?;
        let header = &transaction.header;
        let name = (header.device, header.sequence);
        if header.device.incarnation > 0 && !self.renewals {
            return Err(format!("{} is of a new incarnation, without need", told(name)));
        }
        if let Some(at) = self.same(name, &transaction, database) {
            let known = &mut self.committed[at].payloads;
            if !known.contains(&payload) {
                known.push(payload);
            }
            return Ok(format!("{} anew", told(name)));
        }
        // What the application writes at this moment is nobody's former work, be the reading the same.
        let first = if write.is_some() { None } else { self.former(&transaction, database) };
        let write = write.or(first.and_then(|at| self.committed[at].write));
        if let Some(former) = first {
            self.committed[former].gone = true;
        } else {
            self.check_order(&transaction, before)?;
        }
        self.stamp(&transaction);
        let count = transaction.entries.len();
        if let Some(state) =
            write.filter(|_| first.is_none()).and_then(|it| self.writes.get_mut(&it))
        {
            state.committed += 1;
        }
        let gone = false;
        let payloads = vec![payload];
        self.committed.push(Committed { name, payloads, transaction, write, database, gone });
        Ok(format!("{}, {count} entries", told(name)))
    }

    /// The same transaction in the same database, whole where it has no values now.
    fn same(&self, name: Name, transaction: &Transaction, database: usize) -> Option<usize> {
        let Transaction { header, entries, .. } = transaction;
        self.committed.iter().rposition(|it| {
            let whole = &it.transaction;
            let same = entries.is_empty() || *entries == whole.entries;
            let here = it.name == name && it.database == database && !it.gone;
            here && whole.header.hlc == header.hlc && same
        })
    }

    /// The same transaction by a former incarnation of its author.
    fn former(&self, transaction: &Transaction, database: usize) -> Option<usize> {
        let header = &transaction.header;
        let same = |it: &Committed| {
            let other = &it.transaction.header;
            other.hlc == header.hlc
                && other.device.id == header.device.id
                && other.device.incarnation < header.device.incarnation
        };
        let here = self.committed.iter().rposition(|it| it.database == database && same(it));
        // It may have come with a copy of another database.
        here.or_else(|| self.committed.iter().rposition(same))
    }

    fn stamp(&mut self, transaction: &Transaction) {
        for (n, entry) in transaction.entries.iter().enumerate() {
            for (field, value) in fields(transaction, n) {
                // The key of a parent tells nothing of who has written it.
                let unique = value.value().as_text().filter(|_| field != "parent");
                if let (Some(value), Some(key)) = (unique, key(transaction, n)) {
                    let collection = transaction.shapes[entry.shape].collection.to_string();
                    let at = (collection, key, field.to_owned(), value.to_owned());
                    self.stamps.insert(at, transaction.stamp(n));
                }
            }
        }
    }

    /// An edit that was made after seeing another must win over it.
    fn check_order(&self, transaction: &Transaction, before: &Rows) -> Result<(), String> {
        for (n, entry) in transaction.entries.iter().enumerate() {
            let collection = transaction.shapes[entry.shape].collection.to_string();
            let Some(key) = key(transaction, n) else { continue };
            let row = before.get(&collection).and_then(|rows| rows.get(&key));
            let Some(row) = row else { continue };
            for (field, _) in fields(transaction, n) {
                let Some(seen) = row.get(field) else { continue };
                let at = (collection.clone(), key.clone(), field.to_owned(), text(seen));
                let Some(seen) = self.stamps.get(&at) else { continue };
                if *seen >= transaction.stamp(n) {
                    return Err(format!(
                        "a write has changed {collection} {key}.{field} after it had seen one with a later stamp"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Notes what the shared log has taken.
    pub(crate) fn accept(&mut self, name: Name, payload: &[u8]) -> Result<(), String> {
        match self.accepted.get(&name) {
            Some(known) if known != payload => {
                Err(format!("the shared log took two transactions with the name {}", told(name)))
            }
            Some(_) => Ok(()),
            None => {
                self.accepted.insert(name, payload.to_vec());
                Ok(())
            }
        }
    }

    /// Forgets what a database has logged since there were so many transactions. `unsent`: none of it can have been sent.
    pub(crate) fn take_back(
        &mut self,
        database: usize,
        since: usize,
        unsent: bool,
    ) -> Result<usize, String> {
        let mut count = 0;
        for committed in self.committed.iter_mut().skip(since) {
            if committed.database == database {
                committed.gone = true;
                count += 1;
                if unsent && self.accepted.contains_key(&committed.name) {
                    let name = told(committed.name);
                    return Err(format!("{name} was sent before it was durable"));
                }
            }
        }
        Ok(count)
    }

    fn is_accepted(&self, committed: &Committed) -> bool {
        self.accepted.get(&committed.name).is_some_and(|it| committed.payloads.contains(it))
    }

    /// What every device must hold when everything has arrived everywhere.
    pub(crate) fn expected(&self) -> Rows {
        // Where the log was wiped, the state that was sent again says the same in other words.
        let kept = self.committed.iter();
        let kept = kept.filter(|it| self.is_accepted(it) || (self.wiped && !it.gone));
        // The same transaction may be in two databases, of which one is a copy.
        let kept: BTreeMap<Name, &Transaction> =
            kept.map(|it| (it.name, &it.transaction)).collect();
        rows_of(kept.into_values())
    }

    /// Everything that was committed is in the shared log, byte by byte, and nothing else is.
    pub(crate) fn check_nothing_lost(&self) -> Result<(), String> {
        if self.wiped {
            return Ok(());
        }
        if let Some(lost) = self.committed.iter().find(|it| !it.gone && !self.is_accepted(it)) {
            let write = lost.write.and_then(|write| self.writes.get(&write));
            let write = write.map(|state| state.write.to_string()).unwrap_or_default();
            let name = told(lost.name);
            return Err(format!("{name} was committed and is not in the shared log: {write}"));
        }
        let known: BTreeSet<Name> = self.committed.iter().map(|it| it.name).collect();
        match self.accepted.keys().find(|name| !known.contains(*name)) {
            Some(name) => Err(format!("{} is in the log, and nobody has written it", told(*name))),
            None => Ok(()),
        }
    }

    /// What the tallies come to, from what the application did where they were there.
    pub(crate) fn tallies(&self) -> BTreeMap<String, i64> {
        let mut touched: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for committed in self.committed.iter().filter(|it| !it.gone || self.is_accepted(it)) {
            if let Some(write) = committed.write {
                touched.entry(write).or_default().extend(committed.tallies());
            }
        }
        let mut sums = BTreeMap::new();
        for (write, tallies) in touched {
            let Some(state) = self.writes.get(&write) else { continue };
            for (tally, by) in state.write.tallied() {
                if tallies.contains(&tally) {
                    *sums.entry(tally).or_default() += by;
                }
            }
        }
        sums
    }
}

pub(crate) fn told((device, sequence): Name) -> String {
    format!("transaction {device}/{sequence}")
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

fn key(transaction: &Transaction, entry: usize) -> Option<String> {
    transaction.entries[entry].values.first().map(|value| text(value.value()))
}

/// The fields behind the key, and their values.
fn fields(transaction: &Transaction, entry: usize) -> impl Iterator<Item = (&str, &EntryValue)> {
    let entry = &transaction.entries[entry];
    let shape = &transaction.shapes[entry.shape];
    let names = shape.fields.iter().map(|name| &**name);
    names.zip(&entry.values).skip(shape.key_len)
}

/// One write to one object.
struct Touch<'a> {
    transaction: &'a Transaction,
    entry: usize,
}

impl Touch<'_> {
    fn life(&self) -> u32 {
        self.transaction.entries[self.entry].life
    }

    fn kind(&self) -> EntryKind {
        self.transaction.entries[self.entry].kind
    }

    fn stamp(&self) -> Stamp {
        self.transaction.stamp(self.entry)
    }
}

fn rows_of<'a>(transactions: impl IntoIterator<Item = &'a Transaction>) -> Rows {
    let mut objects: BTreeMap<(String, String), Vec<Touch<'_>>> = BTreeMap::new();
    for transaction in transactions {
        for (n, entry) in transaction.entries.iter().enumerate() {
            let collection = transaction.shapes[entry.shape].collection.to_string();
            let Some(key) = key(transaction, n) else { continue };
            let touch = Touch { transaction, entry: n };
            objects.entry((collection, key)).or_default().push(touch);
        }
    }
    let mut rows = Rows::new();
    for ((collection, key), touches) in objects {
        let life = touches.iter().map(Touch::life).max().unwrap_or(0);
        if life % 2 == 0 {
            continue;
        }
        let touches: Vec<&Touch<'_>> = touches
            .iter()
            .filter(|touch| touch.life() == life && touch.kind() != EntryKind::Delete)
            .collect();
        rows.entry(collection).or_default().insert(key, row_of(&touches));
    }
    rows
}

fn row_of(touches: &[&Touch<'_>]) -> BTreeMap<String, Value> {
    let mut set: BTreeMap<&str, (Stamp, Value)> = BTreeMap::new();
    let mut added: BTreeMap<&str, Vec<(Stamp, i64)>> = BTreeMap::new();
    for touch in touches {
        for (field, value) in fields(touch.transaction, touch.entry) {
            match (touch.kind(), increment(value)) {
                (EntryKind::Update, Some(add)) => added.entry(field).or_default().push(add),
                _ => {
                    let known = set.entry(field).or_insert((Stamp::ZERO, Value::Null));
                    if touch.stamp() > known.0 {
                        *known = (touch.stamp(), value.value().clone());
                    }
                }
            }
        }
    }
    for (field, adds) in added {
        let Some((base, value)) = set.get_mut(field) else { continue };
        let sum: i64 = adds.iter().filter(|(on, _)| on == base).map(|(_, by)| by).sum();
        *value = Value::Int(value.as_int().unwrap_or(0) + sum);
    }
    set.into_iter().map(|(field, (_, value))| (field.to_owned(), value)).collect()
}

/// On what an increment was made, and by how much.
fn increment(value: &EntryValue) -> Option<(Stamp, i64)> {
    let EntryValue::Changed { change: Relative::Increment { by, counted }, .. } = value else {
        return None;
    };
    Some((counted.as_ref()?.base, by.as_int()?))
}

/// A record as a row of the model.
pub(crate) fn row(names: &[&str], key: &str, record: &Record) -> BTreeMap<String, Value> {
    let fields = names.iter().zip(record.values());
    fields
        .filter(|(name, _)| **name != key)
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

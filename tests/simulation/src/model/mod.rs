//! [`Model`]: what was written, and what must come of it.
//!
//! It knows the documented rules ([`rows`]) and nothing of the engine, and what was logged in which database ([`held`]).

mod held;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use storex_sync::{Device, EntryKind, EntryValue, Relative, Stamp, Transaction};

use crate::schema::TALLY;
use crate::workload::Write;
pub(crate) use held::{Held, Taken};
use held::{Part, is_page, objects_of_page};
pub(crate) use rows::{Rows, check_equal, row};
use rows::{Touch, rows_of, text};

/// The name of a transaction.
pub(crate) type Name = (Device, u64);

/// What was written on the devices, and what the shared log has got.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// What was committed on some device, in the order of time.
    committed: Vec<Committed>,
    /// What was in a database when a copy was made of it: the copy may have sent it.
    copied: BTreeSet<usize>,
    /// What is in each database.
    held: BTreeMap<usize, Held>,
    /// What the shared logs took.
    accepted: BTreeMap<Name, Vec<u8>>,
    /// What is in pages of a device's state, by their bytes.
    pages: HashMap<Vec<u8>, Vec<Part>>,
    /// The writes of the application, by number.
    pub(crate) writes: BTreeMap<u64, WriteState>,
    /// Devices may begin new incarnations: databases are copied, or the log is another one.
    pub(crate) renewals: bool,
    /// The log may be wiped: what is in it is not all, so it is followed what each database has taken.
    pub(crate) follows: bool,
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
    /// What its author had added to the same numbers before: an increment tells of all of it.
    added: Vec<Part>,
}

/// A write of the application.
#[derive(Debug)]
pub(crate) struct WriteState {
    pub(crate) write: Write,
    /// Transactions that were committed while it was executed.
    pub(crate) committed: usize,
}

impl Model {
    /// What is in a database.
    pub(crate) fn held(&self, database: usize) -> Held {
        self.held.get(&database).cloned().unwrap_or_default()
    }

    /// Notes what a device has logged; tells what it is.
    pub(crate) fn commit(
        &mut self,
        payload: Vec<u8>,
        write: Option<u64>,
        (database, before): (usize, &Rows),
    ) -> Result<String, String> {
        if is_page(&payload) {
            return match self.follows {
                true => self.page(payload, database),
                false => Err("it sends its state again, without need".to_owned()),
            };
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
        let former = if write.is_some() { None } else { self.former(&transaction, database) };
        if former.is_none() {
            self.check_order(&transaction, before)?;
            if let Some(state) = write.and_then(|write| self.writes.get_mut(&write)) {
                state.committed += 1;
            }
        }
        self.stamp(&transaction);
        let count = transaction.entries.len();
        let write = write.or(former.and_then(|former| self.committed[former].write));
        // Two copies of a database may give what both have written to the same new incarnation.
        let twin = |it: &Committed| it.name == name && it.payloads.first() == Some(&payload);
        let at = self.committed.iter().position(twin).unwrap_or_else(|| {
            let (payloads, added) = (vec![payload.clone()], Vec::new());
            self.committed.push(Committed { name, payloads, transaction, write, added });
            self.committed.len() - 1
        });
        let held = self.held.entry(database).or_default();
        if self.follows {
            self.committed[at].added = added_before(&self.committed, &held.own, at);
        }
        if let Some(former) = former {
            held.own.remove(&former);
            held.parts.retain(|(transaction, _)| *transaction != former);
        }
        held.own.insert(at);
        held.parts.extend((0..count).map(|entry| (at, entry)));
        Ok(format!("{}, {count} entries", told(name)))
    }

    /// Notes a page of a device's state: what it holds of these objects at this moment.
    fn page(&mut self, payload: Vec<u8>, database: usize) -> Result<String, String> {
        let objects = objects_of_page(&payload).ok_or("a page of its state cannot be read")?;
        let held = self.held.entry(database).or_default();
        let of_page = |part: &&Part| {
            let object = touch(&self.committed, **part).object();
            object.is_some_and(|object| objects.contains(&object))
        };
        let parts = held.parts.iter().filter(of_page).copied().collect();
        self.pages.insert(payload, parts);
        Ok(format!("a page of its state, {} objects", objects.len()))
    }

    /// The same transaction in the same database, whole where it has no values now.
    fn same(&self, name: Name, transaction: &Transaction, database: usize) -> Option<usize> {
        let Transaction { header, entries, .. } = transaction;
        let own = &self.held.get(&database)?.own;
        own.iter().rev().copied().find(|at| {
            let it = &self.committed[*at];
            let whole = &it.transaction;
            let same = entries.is_empty() || *entries == whole.entries;
            it.name == name && whole.header.hlc == header.hlc && same
        })
    }

    /// The same transaction by a former incarnation of its author.
    fn former(&self, transaction: &Transaction, database: usize) -> Option<usize> {
        let header = &transaction.header;
        let own = &self.held.get(&database)?.own;
        own.iter().rev().copied().find(|at| {
            let other = &self.committed[*at].transaction.header;
            other.hlc == header.hlc
                && other.device.id == header.device.id
                && other.device.incarnation < header.device.incarnation
        })
    }

    /// Notes what a database says that it has taken of others. `queue`: the numbers of what was to be sent before.
    pub(crate) fn take(&mut self, database: usize, taken: Taken, queue: impl Iterator<Item = u64>) {
        let held = self.held.entry(database).or_default();
        if let (Some(me), Some(former)) =
            (taken.me, held.taken.me.filter(|it| taken.me != Some(*it)))
        {
            // In another log what no log was given is the new incarnation's, as a part of its state.
            let queue = queue.filter(|number| *number > held.taken.offered);
            let queue: BTreeSet<Name> = queue.map(|number| (former, number)).collect();
            let unsent = held.own.iter().filter(|at| queue.contains(&self.committed[**at].name));
            let unsent: Vec<usize> = unsent.copied().collect();
            for renamed in renamed(unsent.iter().map(|at| &self.committed[*at]), me) {
                let at = self.committed.len();
                held.parts.extend((0..renamed.transaction.entries.len()).map(|entry| (at, entry)));
                self.committed.push(renamed);
                self.committed[at].added = added_before(&self.committed, &held.own, at);
                held.own.insert(at);
            }
            held.own.retain(|at| !unsent.contains(at));
            held.parts.retain(|(at, _)| !unsent.contains(at));
        }
        for name in taken.since(&held.taken) {
            let Some(payload) = self.accepted.get(&name) else { continue };
            if let Some(parts) = self.pages.get(payload) {
                held.parts.extend(parts);
                continue;
            }
            // Without its values it says nothing.
            let whole = |it: &Committed| it.name == name && it.payloads.first() == Some(payload);
            if let Some(at) = self.committed.iter().position(whole) {
                let count = self.committed[at].transaction.entries.len();
                held.parts.extend((0..count).map(|entry| (at, entry)));
                held.parts.extend(&self.committed[at].added);
            }
        }
        held.taken = taken;
    }

    /// What a database must hold of what it has taken: of each transaction all, of a state the pages that were there.
    pub(crate) fn must_hold(&self, database: usize) -> Rows {
        let parts = self.held.get(&database).into_iter().flat_map(|held| &held.parts);
        rows_of(parts.map(|part| touch(&self.committed, *part)))
    }

    fn stamp(&mut self, transaction: &Transaction) {
        for entry in 0..transaction.entries.len() {
            let touch = Touch { transaction, entry };
            for (field, value) in touch.fields() {
                // The key of a parent tells nothing of who has written it.
                let unique = value.value().as_text().filter(|_| field != "parent");
                if let (Some(value), Some((collection, key))) = (unique, touch.object()) {
                    let at = (collection, key, field.to_owned(), value.to_owned());
                    self.stamps.insert(at, touch.stamp());
                }
            }
        }
    }

    /// An edit that was made after seeing another must win over it.
    fn check_order(&self, transaction: &Transaction, before: &Rows) -> Result<(), String> {
        for entry in 0..transaction.entries.len() {
            let touch = Touch { transaction, entry };
            let Some((collection, key)) = touch.object() else { continue };
            let row = before.get(&collection).and_then(|rows| rows.get(&key));
            let Some(row) = row else { continue };
            for (field, _) in touch.fields() {
                let Some(seen) = row.get(field) else { continue };
                let at = (collection.clone(), key.clone(), field.to_owned(), text(seen));
                let Some(seen) = self.stamps.get(&at) else { continue };
                if *seen >= touch.stamp() {
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

    /// A copy takes the place of a database. `unsent`: nothing of what is lost can have been sent. Tells how much is lost.
    pub(crate) fn put_back(
        &mut self,
        database: usize,
        copy: Held,
        unsent: bool,
    ) -> Result<usize, String> {
        let own = copy.own.clone();
        let before = self.held.insert(database, copy).unwrap_or_default();
        let elsewhere = |at: &usize| self.copied.contains(at) || own.contains(at);
        let gone: Vec<usize> = before.own.into_iter().filter(|at| !elsewhere(at)).collect();
        let gone_of = gone.iter().map(|at| &self.committed[*at]);
        match gone_of.filter(|_| unsent).find(|it| self.is_accepted(it)) {
            Some(sent) => Err(format!("{} was sent before it was durable", told(sent.name))),
            None => {
                if !unsent {
                    self.copied.extend(own);
                }
                Ok(gone.len())
            }
        }
    }

    fn is_accepted(&self, committed: &Committed) -> bool {
        self.accepted.get(&committed.name).is_some_and(|it| committed.payloads.contains(it))
    }

    /// The writes of which something must come: all that a log has taken, and where one was wiped all that is in a database.
    fn kept(&self) -> BTreeSet<Part> {
        if self.follows {
            return self.held.values().flat_map(|held| &held.parts).copied().collect();
        }
        let all = self.committed.iter().enumerate();
        let accepted = all.filter(|(_, it)| self.is_accepted(it));
        let parts = accepted
            .flat_map(|(at, it)| (0..it.transaction.entries.len()).map(move |entry| (at, entry)));
        parts.collect()
    }

    /// What every device must hold when everything has arrived everywhere.
    pub(crate) fn expected(&self) -> Rows {
        rows_of(self.kept().into_iter().map(|part| touch(&self.committed, part)))
    }

    /// Everything that is logged in some database is in the shared log, byte by byte, and nothing else is. Where a log was
    /// wiped, everything is in what all must hold, and who holds it has sent it as a state.
    pub(crate) fn check_nothing_lost(&self) -> Result<(), String> {
        if self.follows {
            return Ok(());
        }
        let own = self.held.values().flat_map(|held| &held.own);
        let mut own = own.map(|at| &self.committed[*at]);
        if let Some(lost) = own.find(|it| !self.is_accepted(it)) {
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
        let mut touched: BTreeSet<(u64, String)> = BTreeSet::new();
        for part in self.kept() {
            let (touch, write) = (touch(&self.committed, part), self.committed[part.0].write);
            let object = touch.object().filter(|_| touch.kind() == EntryKind::Update);
            if let (Some((collection, key)), Some(write)) = (object, write)
                && collection == TALLY
            {
                touched.insert((write, key));
            }
        }
        let mut sums = BTreeMap::new();
        for (write, tally) in touched {
            let Some(state) = self.writes.get(&write) else { continue };
            let by = state.write.tallied().into_iter().filter(|(counted, _)| *counted == tally);
            *sums.entry(tally.clone()).or_default() += by.map(|(_, by)| by).sum::<i64>();
        }
        sums
    }
}

/// The same transactions by the next incarnation of their author. The readings stay.
fn renamed<'a>(all: impl Iterator<Item = &'a Committed> + Clone, to: Device) -> Vec<Committed> {
    let wrote = |stamp: Stamp| {
        all.clone().any(|it| {
            let Transaction { header, entries, .. } = &it.transaction;
            let last = header.hlc.0 + entries.len() as u64;
            stamp.device == header.device && (header.hlc.0..last).contains(&stamp.hlc.0)
        })
    };
    let renamed = all.clone().map(|it| {
        let mut transaction = it.transaction.clone();
        for value in transaction.entries.iter_mut().flat_map(|entry| &mut entry.values) {
            if let EntryValue::Changed { change, .. } = value
                && let Relative::Increment { counted: Some(counted), .. } = &mut **change
                && wrote(counted.base)
            {
                counted.base.device = to;
            }
        }
        transaction.header.device = to;
        // It has no number: it is not sent by itself.
        let (payloads, added) = (Vec::new(), Vec::new());
        Committed { name: (to, 0), payloads, transaction, write: it.write, added }
    });
    renamed.collect()
}

/// The increments of the same author that a transaction tells of too. `own`: what was logged in the same database before.
fn added_before(committed: &[Committed], own: &BTreeSet<usize>, at: usize) -> Vec<Part> {
    let counts_on = |part: Part| touch(committed, part).counts_on();
    let parts = |at: usize| (0..committed[at].transaction.entries.len()).map(move |it| (at, it));
    let numbers: Vec<_> = parts(at).filter_map(counts_on).collect();
    if numbers.is_empty() {
        return Vec::new();
    }
    let author = committed[at].name.0;
    let earlier = own.iter().filter(|it| committed[**it].name.0 == author);
    let earlier = earlier.flat_map(|it| parts(*it));
    earlier.filter(|part| counts_on(*part).is_some_and(|it| numbers.contains(&it))).collect()
}

fn touch(committed: &[Committed], (at, entry): Part) -> Touch<'_> {
    Touch { transaction: &committed[at].transaction, entry }
}

pub(crate) fn told((device, sequence): Name) -> String {
    format!("transaction {device}/{sequence}")
}

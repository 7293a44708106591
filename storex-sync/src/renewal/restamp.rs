//! What becomes of writes that a device has made twice: they are made by the new incarnation.
//!
//! Two copies of one database draw the same numbers and may draw the same stamps. So whatever the copy has written and
//! not sent gets the new incarnation's name, in the log and in the clocks: as if it had been written by it. The readings
//! stay, so nothing changes its place in time; the new incarnation is the greater of the two where they are equal.

use std::collections::HashMap;

use crate::clock::Clock;
use crate::counter::{Amount, Counted, Counter, Sum};
use crate::relative::Relative;
use crate::stamp::{Device, Hlc, Stamp};
use crate::transaction::{EntryValue, Transaction};

/// An object: its collection's number, and the code of its key.
pub(super) type ObjectId = (i64, Vec<u8>);

/// The numbers of the fields behind an entry's key; none of one that is gone.
pub(super) type Fields = Vec<Option<u32>>;

/// The writes that get another author.
#[derive(Debug)]
pub(super) struct Moved {
    from: Device,
    to: Device,
    /// Their readings, from and to, ascending.
    readings: Vec<(Hlc, Hlc)>,
    /// What the former incarnation had added to a number before these writes: by object, field, and what the number was set
    /// to by.
    before: HashMap<(ObjectId, u32, Stamp), Amount>,
    /// Whether nothing is left of what the former incarnation has sent, but what devices hold.
    alone: bool,
}

impl Moved {
    /// Notes which writes they are. `object` tells of an entry which object it is about, and the numbers of its fields behind
    /// the key; `None`: nothing that has a clock.
    pub(super) fn new(
        from: Device,
        to: Device,
        transactions: &[Transaction],
        object: impl Fn(&Transaction, usize) -> Option<(ObjectId, Fields)>,
    ) -> Self {
        let readings = transactions
            .iter()
            .filter(|it| !it.entries.is_empty())
            .map(|it| (it.header.hlc, it.header.hlc.plus(it.entries.len() as u64 - 1)))
            .collect();
        let mut moved = Self { from, to, readings, before: HashMap::new(), alone: false };
        for transaction in transactions {
            for (n, entry) in transaction.entries.iter().enumerate() {
                let Some((object, fields)) = object(transaction, n) else { continue };
                let key_len = entry.values.len().saturating_sub(fields.len());
                for (field, value) in fields.iter().zip(entry.values.iter().skip(key_len)) {
                    if let Some(field) = field {
                        moved.note(&object, *field, value);
                    }
                }
            }
        }
        moved
    }

    /// The log has nothing more of the former incarnation.
    pub(super) fn in_another_log(self) -> Self {
        Self { alone: true, ..self }
    }

    /// The reading in front of all of them.
    fn last_before(&self, or: Hlc) -> Hlc {
        self.readings.first().map_or(or, |(first, _)| Hlc(first.0.saturating_sub(1)))
    }

    fn note(&mut self, object: &ObjectId, field: u32, value: &EntryValue) {
        let Some((counted, by)) = increment(value) else { return };
        if !self.has(counted.base) {
            let before = counted.sum.minus(by).unwrap_or(Amount::Int(0));
            self.before.entry((object.clone(), field, counted.base)).or_insert(before);
        }
    }

    /// Whether a write is one of them.
    fn has(&self, stamp: Stamp) -> bool {
        let at = self.readings.partition_point(|(_, last)| *last < stamp.hlc);
        let within = self.readings.get(at).is_some_and(|(first, _)| *first <= stamp.hlc);
        stamp.device == self.from && within
    }

    fn stamp(&self, stamp: Stamp) -> Stamp {
        if self.has(stamp) { Stamp { device: self.to, ..stamp } } else { stamp }
    }

    /// The transaction as the new incarnation's, under this number.
    pub(super) fn transaction(
        &self,
        transaction: &mut Transaction,
        sequence: u64,
        object: impl Fn(&Transaction, usize) -> Option<(ObjectId, Fields)>,
    ) {
        let objects: Vec<_> =
            (0..transaction.entries.len()).map(|n| object(transaction, n)).collect();
        for (entry, object) in transaction.entries.iter_mut().zip(objects) {
            let (object, fields) = object.unwrap_or_default();
            let key_len = entry.values.len().saturating_sub(fields.len());
            for (field, value) in fields.iter().zip(entry.values.iter_mut().skip(key_len)) {
                let (EntryValue::Changed { change, .. }, Some(field)) = (value, field) else {
                    continue;
                };
                if let Relative::Written { at, counter, state } = &mut **change {
                    *at = self.stamp(*at);
                    if let Some(counter) = counter {
                        self.counter(&object, *field, *at, counter);
                    }
                    if let Some(state) = state {
                        state.restamp(|stamp| self.stamp(stamp));
                    }
                } else if let Some(counted) = change.counted_mut() {
                    self.count(counted, &object, *field);
                } else if let Some(joined) = change.joined_mut() {
                    joined.base = self.stamp(joined.base);
                }
            }
        }
        let header = &mut transaction.header;
        (header.device, header.sequence) = (self.to, sequence);
        // What was written before is of the former incarnation, and was seen.
        let before = self.last_before(Hlc(header.hlc.0.saturating_sub(1)));
        header.seen.retain(|(device, _)| *device != self.from);
        header.seen.push((self.from, before));
    }

    fn count(&self, counted: &mut Counted, object: &ObjectId, field: u32) {
        if let Some(before) = self.before.get(&(object.clone(), field, counted.base)) {
            counted.sum = counted.sum.minus(*before).unwrap_or(counted.sum);
        }
        counted.base = self.stamp(counted.base);
    }

    /// The clock of an object, with the new incarnation's stamps on these writes.
    pub(super) fn clock(&self, object: &ObjectId, clock: &mut Clock) {
        let counters = std::mem::take(&mut clock.counters);
        clock.restamp(|stamp| self.stamp(stamp));
        for (field, mut counter) in counters {
            // The base was moved already; what it was called before is what was noted.
            let base = clock.stamp(field);
            self.counter(object, field, base, &mut counter);
            clock.count(field, counter);
        }
    }

    fn counter(&self, object: &ObjectId, field: u32, base: Stamp, counter: &mut Counter) {
        let Some(own) = counter.sums.iter().find(|sum| sum.at.device == self.from).copied() else {
            return;
        };
        if !self.has(own.at) {
            return;
        }
        let before = self.before.get(&(object.clone(), field, base)).copied();
        let before = before.filter(|before| !before.is_zero());
        let added = before.and_then(|before| own.amount.minus(before));
        counter.sums.retain(|sum| sum.at.device != self.from);
        if let (Some(before), Some(_)) = (before, added) {
            // When that was is not known any more. The earliest that it can be gives way to whatever is still to come. Where
            // nothing is, the latest that it can be does not give way to what others got before.
            let earliest = base.hlc.plus(1);
            let hlc = if self.alone { self.last_before(earliest).max(earliest) } else { earliest };
            let at = Stamp { hlc, device: self.from };
            counter.note(Sum { at, amount: before });
        }
        let at = Stamp { device: self.to, ..own.at };
        counter.note(Sum { at, amount: added.unwrap_or(own.amount) });
    }
}

/// What an increment says to be counted, and by how much it was.
fn increment(value: &EntryValue) -> Option<(&Counted, Amount)> {
    let EntryValue::Changed { change, .. } = value else { return None };
    let by = Amount::of(change.by()?)?;
    Some((change.counted()?, by))
}

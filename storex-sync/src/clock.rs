//! [`Clock`]: what the merge has to know of an object, packed into a few bytes.

use smallvec::SmallVec;
use storex_core::Value;

use crate::counter::{self, Counted, Counter, Sum};
use crate::error::{Result, SyncError};
use crate::field_state::FieldState;
use crate::stamp::Stamp;
use crate::strategy::Joins;

/// Nobody deletes an object so often; a greater life is damaged or forged, and would run over.
pub(crate) const MAX_LIFE: u32 = 1 << 30;

/// The last life that is believed of another device: whatever it says, the object has lives left here.
pub(crate) const LAST_LIFE: u32 = MAX_LIFE / 2;

/// The next life of an object that this device creates or deletes, unless the others would refuse it.
pub(crate) fn next_life(life: u32) -> Result<u32> {
    if life > LAST_LIFE {
        let reason = "another device says that its object was deleted more often than is possible";
        return Err(SyncError::corrupt("a clock", reason));
    }
    Ok(life)
}

/// What the merge has to know of an object.
///
/// `life` is the causal length of its existence (as in causal-length sets: Yu, Rostad, "A Low-Cost Set CRDT Based on
/// Causal Lengths", 2020): it is odd while the object exists, even while it is deleted, and grows by one with each delete and
/// each re-creation. The greater life wins, so a delete wins over updates that had not seen it, and a re-creation wins over
/// the delete it has seen.
///
/// All fields have the row's stamp, except those listed. An increment leaves a field's stamp as it is: that of the write
/// that has set the number. What was added since is in the field's [`Counter`].
#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    /// The causal length of the object's existence.
    pub life: u32,
    /// The stamp of every field that is not listed, or of the delete.
    pub row: Stamp,
    /// Fields with another stamp, by their number in the catalogue, ascending.
    pub fields: SmallVec<[(u32, Stamp); 2]>,
    /// Fields that were incremented since they were set, by their number in the catalogue, ascending.
    pub counters: Vec<(u32, Counter)>,
    /// Fields with a [`Strategy`](crate::Strategy), by their number in the catalogue, ascending.
    pub states: Vec<(u32, FieldState)>,
}

impl Clock {
    /// The clock of an object that is older than sync.
    #[must_use]
    pub fn unstamped() -> Self {
        Self::created(1, Stamp::ZERO)
    }

    /// The clock of an object whose fields were all written at once.
    #[must_use]
    pub fn created(life: u32, row: Stamp) -> Self {
        Self { life, row, fields: SmallVec::new(), counters: Vec::new(), states: Vec::new() }
    }

    /// Whether the object exists.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.life % 2 == 1
    }

    /// The stamp of a field.
    #[must_use]
    pub fn stamp(&self, field: u32) -> Stamp {
        match self.fields.binary_search_by_key(&field, |(number, _)| *number) {
            Ok(at) => self.fields[at].1,
            Err(_) => self.row,
        }
    }

    /// Notes that a field was set: what was added to it before counts no more.
    pub fn set(&mut self, field: u32, stamp: Stamp) {
        self.counters.retain(|(number, _)| *number != field);
        self.states.retain(|(number, _)| *number != field);
        match self.fields.binary_search_by_key(&field, |(number, _)| *number) {
            Ok(at) if stamp == self.row => {
                self.fields.remove(at);
            }
            Ok(at) => self.fields[at].1 = stamp,
            Err(_) if stamp == self.row => {}
            Err(at) => self.fields.insert(at, (field, stamp)),
        }
    }

    /// What was added to a field since it was set; `None`: nothing.
    #[must_use]
    pub fn counter(&self, field: u32) -> Option<&Counter> {
        let at = self.counters.binary_search_by_key(&field, |(number, _)| *number).ok()?;
        self.counters.get(at).map(|(_, counter)| counter)
    }

    /// Notes what was added to a field since it was set.
    pub(crate) fn count(&mut self, field: u32, counter: Counter) {
        match self.counters.binary_search_by_key(&field, |(number, _)| *number) {
            Ok(at) => self.counters[at].1 = counter,
            Err(at) => self.counters.insert(at, (field, counter)),
        }
    }

    /// What was contributed to a field with a strategy; `None`: nothing.
    #[must_use]
    pub fn state(&self, field: u32) -> Option<&FieldState> {
        let at = self.states.binary_search_by_key(&field, |(number, _)| *number).ok()?;
        self.states.get(at).map(|(_, state)| state)
    }

    /// Takes what was contributed to a field; whether that was news.
    pub(crate) fn join(&mut self, field: u32, state: &FieldState, joins: &Joins) -> bool {
        match self.states.binary_search_by_key(&field, |(number, _)| *number) {
            Ok(at) => self.states[at].1.join(state, joins),
            Err(at) => {
                self.states.insert(at, (field, state.clone()));
                true
            }
        }
    }

    /// What a field holds that is not only set: what was contributed to it, or what was set and added since.
    #[must_use]
    pub fn value(&self, field: u32) -> Option<Value> {
        let state = self.state(field).map(FieldState::value);
        state.or_else(|| self.counter(field).map(Counter::value))
    }

    /// Notes an increment of our own that has made a field `to`, and gives what others need to count it too. `None`: no
    /// counter can hold it, so it counts as if the field had been set.
    pub(crate) fn increment(
        &mut self,
        field: u32,
        stamp: Stamp,
        by: &Value,
        to: &Value,
    ) -> Option<Counted> {
        let known = self.counter(field).cloned();
        let counter = known.or_else(|| counter::before(by, to).map(Counter::new));
        let counted = counter.filter(|_| counter::is_base(to)).and_then(|mut counter| {
            let counts = counter.add(stamp, by, to);
            let sum = counter.of(stamp).filter(|_| counts)?.amount;
            let counted = Counted { base: self.stamp(field), from: counter.from.clone(), sum };
            self.count(field, counter);
            Some(counted)
        });
        if counted.is_none() {
            self.set(field, stamp);
        }
        counted
    }

    /// Gives the row the stamp that all these fields have, if they have one in common. They must be all fields there are,
    /// because the row's stamp counts for every field that is not listed.
    pub(crate) fn compact(&mut self, all: &[u32]) {
        let Some(first) = all.first().map(|field| self.stamp(*field)) else { return };
        if first != self.row && all.iter().all(|field| self.stamp(*field) == first) {
            self.row = first;
            self.fields.retain(|(field, stamp)| *stamp != first && !all.contains(field));
        }
    }

    /// The newest stamp of the object.
    #[must_use]
    pub fn newest(&self) -> Stamp {
        self.stamps().fold(self.row, Stamp::max)
    }

    /// All stamps that are in it.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = Stamp> {
        let sums = self.counters.iter().flat_map(|(_, counter)| &counter.sums);
        let states = self.states.iter().map(|(_, state)| state.stamps());
        let fields = self.fields.iter().map(|(_, stamp)| *stamp);
        let fields = std::iter::once(self.row).chain(fields).chain(sums.map(|sum| sum.at));
        fields.chain(states.flatten())
    }

    /// Puts other stamps in the place of those that are in it.
    pub(crate) fn restamp(&mut self, other: impl Fn(Stamp) -> Stamp) {
        self.row = other(self.row);
        let row = self.row;
        self.fields.iter_mut().for_each(|(_, stamp)| *stamp = other(*stamp));
        self.fields.retain(|(_, stamp)| *stamp != row);
        for (_, counter) in &mut self.counters {
            let sums = std::mem::take(&mut counter.sums);
            sums.into_iter().for_each(|sum| counter.note(Sum { at: other(sum.at), ..sum }));
        }
        self.states.iter_mut().for_each(|(_, state)| state.restamp(&other));
    }
}

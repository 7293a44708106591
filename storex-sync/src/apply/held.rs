//! [`Held`]: an object as it is stored and as it is to be, and the steps from the one to the other.

use std::collections::BTreeMap;

use storex_core::{Changes, Filter, Key, Name, OnConflict, Record, Step};

use super::row::Object;
use crate::clock::Clock;
use crate::counter::Counter;
use crate::field_state::FieldState;
use crate::meta::Numbers;
use crate::rules::{Rules, UniqueIndex};
use crate::stamp::Stamp;

/// An object as it is stored and as it is to be.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) object: Object,
    /// Its clock as it is to be.
    pub(super) clock: Option<Clock>,
    pub(super) clock_changed: bool,
    pub(super) before: Option<Record>,
    pub(super) after: Option<Record>,
    /// Whether it was changed since its rules were last looked at.
    pub(super) fresh: bool,
}

impl Held {
    /// Whether somebody has deleted it.
    pub(super) fn is_deleted(&self) -> bool {
        self.after.is_none() && self.clock.as_ref().is_some_and(|clock| !clock.is_alive())
    }

    /// Its clock; that of an object which is there.
    pub(super) fn living_clock(&mut self) -> &mut Clock {
        let clock = self.clock.get_or_insert_with(Clock::unstamped);
        if !clock.is_alive() {
            // The row is there although its clock says deleted: it was put back behind our back.
            *clock = Clock::created(clock.life + 1, Stamp::ZERO);
        }
        self.clock_changed = true;
        clock
    }

    /// When it got the values of an index.
    pub(super) fn since(&self, index: &UniqueIndex, numbers: &Numbers) -> Stamp {
        let Some(clock) = &self.clock else { return Stamp::ZERO };
        let values = index.fields.iter().filter(|at| !self.object.collection.is_key(**at));
        let numbers = values.filter_map(|at| numbers.fields.get(*at));
        numbers.map(|number| newest(clock, *number)).max().unwrap_or(Stamp::ZERO)
    }

    fn is_changed(&self) -> bool {
        self.before != self.after
    }
}

/// When a field was last written.
fn newest(clock: &Clock, field: u32) -> Stamp {
    let sums = clock.counter(field).map_or(&[][..], |counter: &Counter| &counter.sums);
    let state = clock.state(field).map(FieldState::newest);
    sums.iter().map(|sum| sum.at).chain(state).fold(clock.stamp(field), Stamp::max)
}

/// The values of some fields; `None` where a null is among them.
pub(super) fn values_of(record: &Record, fields: &[usize]) -> Option<Key> {
    let values = fields.iter().map(|at| record.get(*at));
    if values.clone().any(storex_core::Value::is_null) {
        return None;
    }
    Some(Key::compound(values.cloned()))
}

/// The steps that write what has changed. Deletes come first, then whatever finds its unique values free; where objects
/// exchange values among them, one is taken out and put back.
pub(super) fn row_steps(held: &[Held], rules: &Rules) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut deletes: BTreeMap<Name, Vec<Key>> = BTreeMap::new();
    let mut pending = Vec::new();
    for (at, one) in held.iter().enumerate().filter(|(_, one)| one.is_changed()) {
        match one.after {
            Some(_) => pending.push((at, one.before.is_some())),
            None => {
                let name = Name::clone(one.object.collection.name());
                deletes.entry(name).or_default().push(one.object.key.clone());
            }
        }
    }
    steps.extend(deletes.into_iter().map(|(collection, keys)| delete(collection, keys)));
    let mut taken = Taken::new(held, &pending, rules);
    while !pending.is_empty() {
        let before = pending.len();
        pending.retain(|(at, stored)| {
            let free = taken.is_free(*at, &held[*at], rules);
            if free {
                steps.push(write(&held[*at], *stored));
                taken.release(*at);
            }
            !free
        });
        if pending.len() == before {
            // A circle.
            let Some((at, stored)) = pending.iter_mut().find(|(_, stored)| *stored) else { break };
            let object = &held[*at].object;
            steps.push(delete(Name::clone(object.collection.name()), vec![object.key.clone()]));
            taken.release(*at);
            *stored = false;
        }
    }
    steps
}

/// Which unique values are still those of objects that are to be written.
struct Taken(BTreeMap<(Name, usize, Key), usize>);

impl Taken {
    fn new(held: &[Held], pending: &[(usize, bool)], rules: &Rules) -> Self {
        let mut taken = BTreeMap::new();
        for (at, _) in pending {
            let one = &held[*at];
            let Some(before) = &one.before else { continue };
            taken.extend(unique_values(one, before, rules).map(|values| (values, *at)));
        }
        Self(taken)
    }

    fn is_free(&self, at: usize, one: &Held, rules: &Rules) -> bool {
        let Some(after) = &one.after else { return true };
        unique_values(one, after, rules)
            .all(|values| self.0.get(&values).is_none_or(|it| *it == at))
    }

    fn release(&mut self, at: usize) {
        self.0.retain(|_, holder| *holder != at);
    }
}

fn unique_values<'a>(
    one: &'a Held,
    record: &'a Record,
    rules: &'a Rules,
) -> impl Iterator<Item = (Name, usize, Key)> + 'a {
    let name = one.object.collection.name();
    rules.unique(name).iter().enumerate().filter_map(move |(n, index)| {
        Some((Name::clone(name), n, values_of(record, &index.fields)?))
    })
}

fn delete(collection: Name, keys: Vec<Key>) -> Step {
    Step::Delete { collection, filter: Filter::Keys(keys) }
}

fn write(one: &Held, stored: bool) -> Step {
    let collection = Name::clone(one.object.collection.name());
    let after = one.after.clone().unwrap_or_default();
    let Some(before) = one.before.as_ref().filter(|_| stored) else {
        return Step::create_or(collection, vec![after], OnConflict::Replace);
    };
    let fields = one.object.collection.fields().iter().enumerate();
    let changed = fields.filter(|(at, _)| before.get(*at) != after.get(*at));
    let changes = changed.fold(Changes::new(), |changes, (at, field)| {
        changes.set(Name::clone(&field.name), after.get(at).clone())
    });
    Step::Update { collection, filter: Filter::Keys(vec![one.object.key.clone()]), changes }
}

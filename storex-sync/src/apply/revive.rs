//! Updates that win over deletes ([`SyncLog::update_wins`](crate::SyncLog::update_wins)).
//!
//! | here | arrives | result |
//! |---|---|---|
//! | alive, all of it seen by the deleter | delete | deleted |
//! | alive, with a write that the deleter had not seen | delete | stays, and is *brought back*: its values with their stamps, in the next life |
//! | alive | update or create of an earlier life | each field: the later stamp wins |
//! | alive | brought back | each field: the later stamp wins; the greater life |
//! | deleted | update of an earlier life | stays deleted: whoever made it brings the object back |
//! | deleted | brought back, in a greater life | there again, as it was where it came from |
//!
//! Why devices come to the same: whoever has made an update that a delete had not seen has the object alive with it until the
//! delete comes there, so at least that device brings it back. What is brought back has the stamps of the writes that it
//! consists of, so it does not matter how many do, and with which of them: field by field the latest of all writes is left.

use super::resolve::ResolvedShape;
use crate::clock::Clock;
use crate::counter::Counter;
use crate::merge::{Merged, merge_object};
use crate::meta::Numbers;
use crate::relative::Relative;
use crate::stamp::Stamp;
use crate::strategy::Joins;
use crate::transaction::{Entry, EntryKind, EntryValue};

/// Whether somebody had seen all that an object consists of.
pub(super) fn had_seen_all(
    clock: &Clock,
    key: &[usize],
    numbers: &Numbers,
    had_seen: impl Fn(Stamp) -> bool,
) -> bool {
    let fields = numbers.fields.iter().enumerate().filter(|(at, _)| !key.contains(at));
    let mut stamps: Vec<Stamp> = fields.map(|(_, number)| clock.stamp(*number)).collect();
    if stamps.is_empty() {
        stamps.push(clock.row);
    }
    let sums = clock.counters.iter().flat_map(|(_, counter)| &counter.sums);
    let states = clock.states.iter().flat_map(|(_, state)| state.stamps());
    stamps.into_iter().chain(sums.map(|sum| sum.at)).chain(states).all(had_seen)
}

/// The life that a write counts for: in an object that is alive, writes of earlier lives count too.
pub(super) fn counts_for(own: Option<&Clock>, entry: &Entry) -> u32 {
    match own {
        Some(own) if own.is_alive() && entry.kind != EntryKind::Delete => entry.life.max(own.life),
        _ => entry.life,
    }
}

/// The clock of an object that is brought back; `None`: the entry is a write of its own.
pub(super) fn brought_back(
    shape: &ResolvedShape,
    entry: &Entry,
    stamp: Stamp,
    joins: &Joins,
) -> Option<Clock> {
    if entry.kind != EntryKind::Create {
        return None;
    }
    let values = entry.values.iter().skip(shape.collection.primary_key().len());
    let mut clock = Clock::created(entry.life, stamp);
    let mut any = false;
    for (number, value) in shape.fields.iter().zip(values) {
        let EntryValue::Changed { change: Relative::Written { at, counter, state }, .. } = value
        else {
            continue;
        };
        any = true;
        clock.set(*number, *at);
        if let Some(counter) = counter {
            clock.count(*number, Counter::clone(counter));
        }
        if let Some(state) = state {
            clock.join(*number, state, joins);
        }
    }
    any.then_some(clock)
}

/// Merges an object that comes with its clock: one that is brought back, or one of a device's whole state.
pub(super) fn merge_whole(
    own: Option<&Clock>,
    mut incoming: Clock,
    shape: &ResolvedShape,
    update_wins: bool,
    joins: &Joins,
) -> Merged {
    let mut raised = own.cloned();
    let alive = raised.as_mut().filter(|own| update_wins && own.is_alive());
    if let Some(own) = alive {
        own.life = own.life.max(incoming.life);
        incoming.life = own.life;
    }
    let mut merged = merge_object(raised.as_ref(), &incoming, &shape.fields, &shape.others, joins);
    if merged.clock.is_none() && raised.as_ref() != own {
        merged.clock = raised;
    }
    merged
}

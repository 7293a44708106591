//! Updates that win over deletes ([`SyncLog::update_wins`](crate::SyncLog::update_wins)).
//!
//! | here | arrives | result |
//! |---|---|---|
//! | alive, all of it seen by the deleter | delete | deleted |
//! | alive, with a write that the deleter had not seen | delete | stays, and is *brought back*: its values with their stamps, in the next life |
//! | alive | brought back, or created again, in the same life | each field: the later stamp wins |
//! | alive, all of it seen by the author | the same in a greater life | as it arrives |
//! | alive, with a write that the author had not seen | the same in a greater life | each field: the later stamp wins; and brought back in that life |
//! | deleted, or alive in a greater life | update of an earlier life | nothing: whoever has it brings it back |
//! | deleted | brought back, in a greater life | there again, as it was where it came from |
//!
//! Why devices come to the same: but for the second and the fifth line this is the merge of all collections, and these two are
//! logged. No update is lost that a delete had not seen: whoever has made it has the object alive with it until the delete comes
//! there (unless it has overwritten or deleted it itself). What is brought back has the stamps of the writes that it
//! consists of, so it does not matter how many do, and with which of them: field by field the latest of all is left.

use super::resolve::ResolvedShape;
use crate::clock::Clock;
use crate::counter::Counter;
use crate::meta::Numbers;
use crate::relative::Relative;
use crate::stamp::Stamp;
use crate::strategy::Joins;
use crate::transaction::{Entry, EntryValue};

/// Whether somebody had seen all that an object consists of.
pub(super) fn had_seen_all(
    clock: &Clock,
    key: &[usize],
    numbers: &Numbers,
    had_seen: impl Fn(Stamp) -> bool,
) -> bool {
    let fields = numbers.synced().filter(|at| !key.contains(at));
    let numbers = fields.filter_map(|at| numbers.fields.get(at));
    let mut stamps: Vec<Stamp> = numbers.map(|number| clock.stamp(*number)).collect();
    if stamps.is_empty() {
        stamps.push(clock.row);
    }
    let sums = clock.counters.iter().flat_map(|(_, counter)| &counter.sums);
    let states = clock.states.iter().flat_map(|(_, state)| state.stamps());
    stamps.into_iter().chain(sums.map(|sum| sum.at)).chain(states).all(had_seen)
}

/// The clock of an object that is brought back; `None`: the entry is a write of its own.
pub(super) fn brought_back(
    shape: &ResolvedShape,
    entry: &Entry,
    stamp: Stamp,
    joins: &Joins,
) -> Option<Clock> {
    if !entry.is_brought_back() {
        return None;
    }
    let values = entry.values.iter().skip(shape.collection.primary_key().len());
    let mut clock = Clock::created(entry.life, stamp);
    let mut any = false;
    for (number, value) in shape.fields.iter().zip(values) {
        let EntryValue::Changed { change, .. } = value else { continue };
        let Relative::Written { at, counter, state } = &**change else { continue };
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

//! The merge: what becomes of an object when a write of another device arrives. Pure and synchronous.
//!
//! | here | arrives | result |
//! |---|---|---|
//! | nothing | create | created |
//! | alive | create or update of the same life | each field: the later stamp wins |
//! | alive | delete (a greater life) | deleted, even if updated here without the deleter having seen it |
//! | deleted | update that had not seen the delete (a smaller life) | stays deleted |
//! | deleted | create that had seen the delete (a greater life) | created anew |
//! | deleted | delete of the same life | stays deleted |
//! | nothing, or a smaller life | update | *missing*: its create never came here; to be parked |
//!
//! A field that was incremented has the stamp of the write that has set it, its *base*, and what each device has added since:
//!
//! | here | arrives | result |
//! |---|---|---|
//! | incremented | set, later than the base | set: increments that it had not seen are lost with the old base |
//! | incremented | set, earlier than the base | stays |
//! | set or incremented | increment on the same base | both: its device's sum is taken unless a later one is here |
//! | set or incremented | increment on an earlier base | stays: the base was set anew without it |
//! | set or incremented | increment on a later base | the later base, and this sum |
//!
//! A field with a [`Strategy`](crate::Strategy) is like an incremented one: over its base there is what all devices have contributed,
//! joined.
//!
//! The result depends on the stored clock and the write only, not on the log, and not on the order in which concurrent
//! writes arrive. A field that a create does not carry, because its author's schema does not have it, counts as never
//! written: whoever knows the field keeps what is there.

use storex_core::{Collection, Value};

use crate::clock::Clock;
use crate::counter::{Counted, Counter, Sum};
use crate::field_state::{FieldState, Joined};
use crate::stamp::Stamp;
use crate::strategy::Joins;
use crate::transaction::EntryKind;

/// A write that arrives.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// What happened.
    pub kind: EntryKind,
    /// The causal length of the object's existence after it.
    pub life: u32,
    /// When and by whom.
    pub stamp: Stamp,
    /// The fields it carries beside the key, by number.
    pub fields: &'a [u32],
    /// Those of them that it increments, and by what.
    pub counted: &'a [(u32, &'a Counted)],
    /// Those of them that have a strategy, and what it contributes; all others it sets.
    pub joined: &'a [(u32, &'a Joined)],
    /// The functions of the application that join values.
    pub joins: &'a Joins,
}

impl Incoming<'_> {
    fn counted(&self, field: u32) -> Option<&Counted> {
        self.counted.iter().find(|(number, _)| *number == field).map(|(_, counted)| *counted)
    }

    fn joined(&self, field: u32) -> Option<&Joined> {
        self.joined.iter().find(|(number, _)| *number == field).map(|(_, joined)| *joined)
    }

    /// The clock of the object as this write makes it, whole.
    fn begun(&self) -> Clock {
        let mut clock = Clock::created(self.life, self.stamp);
        for (field, joined) in self.joined {
            clock.set(*field, joined.base);
            clock.join(*field, &joined.contribution.state(self.stamp), self.joins);
        }
        clock
    }
}

/// What becomes of the object.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// What to do with the row.
    pub action: Action,
    /// The clock to store; `None`: it stays as it is.
    pub clock: Option<Clock>,
    /// The conflicts: writes of which neither had seen the other.
    pub conflicts: Vec<FieldConflict>,
}

impl Merged {
    /// What a field holds that was incremented or has a strategy, in the form that it has in this collection; `None`: what was
    /// set.
    pub(crate) fn value(&self, collection: &Collection, at: usize, number: u32) -> Option<Value> {
        let mut value = self.clock.as_ref()?.value(number)?;
        // A value that does not fit stays as it is, and the storage refuses it with the reason.
        let _ = collection.check_value(collection.fields().get(at)?, &mut value);
        Some(value)
    }
}

/// What to do with the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Keep,
    /// Write the row as it arrives, all fields; those of which the clock has a [`Clock::value`] with that.
    Put,
    /// Set these of the arriving fields, by their place in [`Incoming::fields`]: to [`Clock::value`] of the field if the clock has
    /// one now, else to the value that arrives.
    Set(Vec<usize>),
    /// Delete it.
    Delete,
    /// The object is not here, although it must have been there where the write was made.
    Missing,
}

/// Two writes of which neither had seen the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldConflict {
    /// The field's number; `None`: one side deleted the object.
    pub field: Option<u32>,
    /// Whether the arriving write won.
    pub incoming_won: bool,
}

/// Merges a write into an object.
///
/// `own` is the object's stored clock; an object without one that exists counts as [`Clock::unstamped`]. `had_seen` tells
/// whether the author of the write had seen another one with the given stamp.
pub fn merge(
    own: Option<&Clock>,
    incoming: Incoming<'_>,
    had_seen: impl Fn(Stamp) -> bool,
) -> Merged {
    let Some(own) = own else { return merge_unknown(incoming) };
    if incoming.life > own.life {
        return merge_later_life(own, incoming, had_seen);
    }
    if incoming.life < own.life {
        // Whoever brought the object to its present life had not seen this write, unless it is one and the same device.
        let lost = own.row.device != incoming.stamp.device;
        let conflict = FieldConflict { field: None, incoming_won: false };
        return Merged {
            action: Action::Keep,
            clock: None,
            conflicts: if lost { vec![conflict] } else { Vec::new() },
        };
    }
    if incoming.kind == EntryKind::Delete {
        let newer = (incoming.stamp > own.row).then(|| Clock::created(own.life, incoming.stamp));
        return Merged { action: Action::Keep, clock: newer, conflicts: Vec::new() };
    }
    merge_fields(own, incoming, had_seen)
}

fn merge_unknown(incoming: Incoming<'_>) -> Merged {
    let (action, clock) = match incoming.kind {
        EntryKind::Create => (Action::Put, Some(incoming.begun())),
        EntryKind::Delete => (Action::Delete, Some(Clock::created(incoming.life, incoming.stamp))),
        EntryKind::Update => (Action::Missing, None),
    };
    Merged { action, clock, conflicts: Vec::new() }
}

fn merge_later_life(
    own: &Clock,
    incoming: Incoming<'_>,
    had_seen: impl Fn(Stamp) -> bool,
) -> Merged {
    let action = match incoming.kind {
        EntryKind::Create => Action::Put,
        EntryKind::Delete => Action::Delete,
        EntryKind::Update => {
            return Merged { action: Action::Missing, clock: None, conflicts: Vec::new() };
        }
    };
    // Its newest write may have been seen, and an earlier one of somebody else's not.
    let unseen = incoming.kind == EntryKind::Delete
        && own.is_alive()
        && own.stamps().any(|stamp| !had_seen(stamp));
    let conflict = FieldConflict { field: None, incoming_won: true };
    Merged {
        action,
        clock: Some(incoming.begun()),
        conflicts: if unseen { vec![conflict] } else { Vec::new() },
    }
}

fn merge_fields(own: &Clock, incoming: Incoming<'_>, had_seen: impl Fn(Stamp) -> bool) -> Merged {
    let mut clock = own.clone();
    let mut taken = Vec::new();
    let mut conflicts = Vec::new();
    for (at, field) in incoming.fields.iter().enumerate() {
        let known = own.stamp(*field);
        let (counted, joined) = (incoming.counted(*field), incoming.joined(*field));
        // The stamp of the write that sets the field, or that has set what is incremented or joined.
        let base = counted.map(|it| it.base).or(joined.map(|it| it.base));
        let base = base.unwrap_or(incoming.stamp);
        let wins = base > known;
        if wins {
            clock.set(*field, base);
        }
        let counts = counted
            .is_some_and(|it| base >= known && count(&mut clock, *field, incoming.stamp, it));
        let joins = joined.filter(|_| base >= known).is_some_and(|it| {
            clock.join(*field, &it.contribution.state(incoming.stamp), incoming.joins)
        });
        if wins || counts || joins {
            taken.push(at);
        }
        if base != known && !had_seen_field(own, *field, &had_seen) {
            conflicts.push(FieldConflict { field: Some(*field), incoming_won: wins });
        }
    }
    let changed = clock != *own;
    Merged {
        action: if taken.is_empty() { Action::Keep } else { Action::Set(taken) },
        clock: changed.then_some(clock),
        conflicts,
    }
}

/// Counts an increment on the field's base; whether that was news.
fn count(clock: &mut Clock, field: u32, at: Stamp, counted: &Counted) -> bool {
    let known = clock.counter(field).cloned();
    let mut counter = known.unwrap_or_else(|| Counter::new(counted.from.clone()));
    let news = counter.join(&counted.from, &[Sum { at, amount: counted.sum }]);
    if news {
        clock.count(field, counter);
    }
    news
}

/// Whether somebody had seen all that a field consists of.
fn had_seen_field(clock: &Clock, field: u32, had_seen: impl Fn(Stamp) -> bool) -> bool {
    let sums = clock.counter(field).into_iter().flat_map(|counter| &counter.sums);
    let state = clock.state(field).map(FieldState::newest);
    let stamps = sums.map(|sum| sum.at).chain(state).chain([clock.stamp(field)]);
    stamps.into_iter().all(had_seen)
}

/// Merges a whole object with its clock, as initial sync brings it: the same rules, for all fields at once. Of two values
/// older than sync the arriving one is taken.
///
/// `fields` are the numbers of the fields that arrive, without the key's; `others` those of the fields that the sender does
/// not have: as far as it knows nobody has written them.
#[must_use]
pub fn merge_object(
    own: Option<&Clock>,
    incoming: &Clock,
    fields: &[u32],
    others: &[u32],
    joins: &Joins,
) -> Merged {
    let done = |action, clock| Merged { action, clock, conflicts: Vec::new() };
    let arriving = || {
        let mut clock = incoming.clone();
        if clock.is_alive() {
            others.iter().for_each(|field| clock.set(*field, Stamp::ZERO));
        }
        clock
    };
    let whole = if incoming.is_alive() { Action::Put } else { Action::Delete };
    let Some(own) = own else { return done(whole, Some(arriving())) };
    if incoming.life != own.life {
        return if incoming.life > own.life {
            done(whole, Some(arriving()))
        } else {
            done(Action::Keep, None)
        };
    }
    if !own.is_alive() {
        return done(Action::Keep, (incoming.row > own.row).then(|| incoming.clone()));
    }
    let mut clock = own.clone();
    let mut taken = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        if take_field(&mut clock, incoming, *field, joins) {
            taken.push(at);
        }
    }
    let changed = clock != *own;
    if changed && others.is_empty() {
        clock.compact(fields);
    }
    let action = if taken.is_empty() { Action::Keep } else { Action::Set(taken) };
    done(action, changed.then_some(clock))
}

/// The conflicts between an object here and one that arrives: what one side has written and the other had not seen. Who had
/// applied the other's write has merged it already, and noted what was lost.
pub(crate) fn object_conflicts(
    own: &Clock,
    incoming: &Clock,
    fields: &[u32],
    we_had_seen: impl Fn(Stamp) -> bool,
    they_had_seen: impl Fn(Stamp) -> bool,
) -> Vec<FieldConflict> {
    let unseen = |own: Stamp, arriving: Stamp| !they_had_seen(own) && !we_had_seen(arriving);
    if own.life != incoming.life {
        let incoming_won = incoming.life > own.life;
        let loser = if incoming_won { own } else { incoming };
        let lost = loser.is_alive() && unseen(own.newest(), incoming.newest());
        let conflict = FieldConflict { field: None, incoming_won };
        return if lost { vec![conflict] } else { Vec::new() };
    }
    if !own.is_alive() {
        return Vec::new();
    }
    let fields = fields.iter().filter(|field| {
        let (known, arriving) = (own.stamp(**field), incoming.stamp(**field));
        known != arriving && unseen(known, arriving)
    });
    fields
        .map(|field| FieldConflict {
            field: Some(*field),
            incoming_won: incoming.stamp(*field) > own.stamp(*field),
        })
        .collect()
}

/// Takes what is newer of a field; whether anything is.
pub(crate) fn take_field(clock: &mut Clock, incoming: &Clock, field: u32, joins: &Joins) -> bool {
    let (known, arriving) = (clock.stamp(field), incoming.stamp(field));
    if arriving < known {
        return false;
    }
    let wins = arriving > known;
    if wins {
        clock.set(field, arriving);
    }
    let is_plain = |clock: &Clock| clock.counter(field).is_none() && clock.state(field).is_none();
    // Of two values older than sync the arriving one is taken.
    let old = known == Stamp::ZERO && is_plain(clock) && is_plain(incoming);
    let counts =
        incoming.counter(field).is_some_and(|arriving| take_counter(clock, field, arriving));
    let joins = incoming.state(field).is_some_and(|state| clock.join(field, state, joins));
    wins || old || counts || joins
}

fn take_counter(clock: &mut Clock, field: u32, arriving: &Counter) -> bool {
    let Some(mut counter) = clock.counter(field).cloned() else {
        clock.count(field, arriving.clone());
        return true;
    };
    let news = counter.join(&arriving.from, &arriving.sums);
    clock.count(field, counter);
    news
}

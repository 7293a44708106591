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
//! The result depends on the stored clock and the write only, not on the log, and not on the order in which concurrent
//! writes arrive. A field that a create does not carry, because its author's schema does not have it, counts as never
//! written: whoever knows the field keeps what is there.

use crate::clock::Clock;
use crate::stamp::Stamp;
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
}

/// What becomes of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// What to do with the row.
    pub action: Action,
    /// The clock to store; `None`: it stays as it is.
    pub clock: Option<Clock>,
    /// The conflicts: writes of which neither had seen the other.
    pub conflicts: Vec<FieldConflict>,
}

/// What to do with the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Keep,
    /// Write the row as it arrives, all fields.
    Put,
    /// Set these of the arriving fields, by their place in [`Incoming::fields`].
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
        EntryKind::Create => (Action::Put, Some(Clock::created(incoming.life, incoming.stamp))),
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
    let unseen = incoming.kind == EntryKind::Delete && own.is_alive() && !had_seen(own.newest());
    let conflict = FieldConflict { field: None, incoming_won: true };
    Merged {
        action,
        clock: Some(Clock::created(incoming.life, incoming.stamp)),
        conflicts: if unseen { vec![conflict] } else { Vec::new() },
    }
}

fn merge_fields(own: &Clock, incoming: Incoming<'_>, had_seen: impl Fn(Stamp) -> bool) -> Merged {
    let mut clock = own.clone();
    let mut taken = Vec::new();
    let mut conflicts = Vec::new();
    for (at, field) in incoming.fields.iter().enumerate() {
        let known = own.stamp(*field);
        let wins = incoming.stamp > known;
        if wins {
            clock.set(*field, incoming.stamp);
            taken.push(at);
        }
        if incoming.stamp != known && !had_seen(known) {
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
        let (known, arriving) = (own.stamp(*field), incoming.stamp(*field));
        if arriving > known || (arriving == known && known == Stamp::ZERO) {
            taken.push(at);
        }
        clock.set(*field, known.max(arriving));
    }
    let changed = clock != *own;
    if changed && others.is_empty() {
        clock.compact(fields);
    }
    let action = if taken.is_empty() { Action::Keep } else { Action::Set(taken) };
    done(action, changed.then_some(clock))
}

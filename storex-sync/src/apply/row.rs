//! What becomes of an object's row while a page is folded into it.

use std::collections::BTreeMap;
use std::sync::Arc;

use storex_core::{Collection, Key, Record, Value};

use super::resolve::ResolvedShape;
use crate::clock::Clock;
use crate::merge::{Action, Merged};
use crate::scope::Marker;
use crate::strategy::Joins;
use crate::transaction::{Entry, EntryKind};

/// An object that the page is about.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) collection: Arc<Collection>,
    pub(super) number: i64,
    pub(super) key: Key,
    pub(super) code: Vec<u8>,
}

/// An object while the page is folded into it.
#[derive(Debug, Clone, Default)]
pub(super) struct Work {
    pub(super) clock: Option<Clock>,
    pub(super) clock_changed: bool,
    /// What is kept of it instead of a clock, as it has gone to a scope that is not held here.
    pub(super) marker: Option<Marker>,
    pub(super) row: Row,
    /// Whether somebody has deleted it without having seen all of it, and it stays.
    pub(super) stays: bool,
    /// Whether it was moved to another scope by somebody who had not seen all of it: it is told anew.
    pub(super) restated: bool,
}

impl Work {
    /// Whether the object is here.
    pub(super) fn is_here(&self) -> bool {
        self.clock.as_ref().is_some_and(Clock::is_alive)
    }

    /// Whether an entry tells nothing of an object that has gone from here, as its life is over.
    ///
    /// One of a later life ends what is marked; `outlives` says that it had not seen that, and updates win: then what is marked goes on in
    /// the next life, in which whoever has the object brings it back.
    pub(super) fn is_over(&mut self, entry: &Entry, outlives: impl Fn(&Marker) -> bool) -> bool {
        let Some(marker) = self.marker.as_mut().filter(|_| self.clock.is_none()) else {
            return false;
        };
        if entry.kind == EntryKind::Update || entry.life == marker.life() {
            return false;
        }
        if entry.life < marker.life() {
            return true;
        }
        if outlives(marker) {
            marker.outlive(entry.life | 1);
            return entry.kind == EntryKind::Delete;
        }
        marker.end(entry.life | 1);
        false
    }

    /// Whether its row is written, and no clock says when.
    pub(super) fn is_undated(&self) -> bool {
        let is_written = matches!(self.row, Row::Put(_) | Row::Set(_));
        is_written && self.clock.as_ref().is_none_or(|clock| *clock == Clock::unstamped())
    }

    /// Merges what is marked into the object, which arrives.
    pub(super) fn join_marked(&mut self, shape: &ResolvedShape, joins: &Joins) {
        let (Some(marker), Row::Put(record)) = (&self.marker, &mut self.row) else { return };
        let clock = self.clock.get_or_insert_with(Clock::unstamped);
        marker.join((clock, record), &shape.collection, &shape.numbers, joins);
        self.clock_changed = true;
    }
}

#[derive(Debug, Clone, Default)]
pub(super) enum Row {
    #[default]
    Keep,
    Put(Record),
    Set(BTreeMap<usize, Value>),
    Delete,
}

impl Row {
    /// What it makes of the object that is stored.
    pub(super) fn over(self, before: Option<&Record>) -> Option<Record> {
        match self {
            Self::Keep => before.cloned(),
            Self::Put(record) => Some(record),
            Self::Delete => None,
            Self::Set(values) => before.cloned().map(|mut record| {
                values.into_iter().for_each(|(at, value)| record.set(at, value));
                record
            }),
        }
    }

    /// The whole row, if it is written whole.
    pub(super) fn put(&self) -> Option<&Record> {
        match self {
            Self::Put(record) => Some(record),
            _ => None,
        }
    }

    pub(super) fn act(&mut self, merged: &Merged, shape: &ResolvedShape, entry: &Entry) {
        match &merged.action {
            Action::Keep | Action::Missing => {}
            Action::Delete => *self = Self::Delete,
            Action::Put => {
                let mut record = shape.record(entry);
                for (at, number) in shape.values.iter().zip(&shape.fields) {
                    if let Some(value) = merged.value(&shape.collection, *at, *number) {
                        record.set(*at, value);
                    }
                }
                *self = Self::Put(record);
            }
            Action::Set(taken) => {
                let key_len = shape.collection.primary_key().len();
                for n in taken {
                    let (Some(at), Some(value)) =
                        (shape.values.get(*n), entry.values.get(key_len + n))
                    else {
                        continue;
                    };
                    let value_now = merged.value(&shape.collection, *at, shape.fields[*n]);
                    self.set(*at, value_now.unwrap_or_else(|| value.value().clone()));
                }
            }
        }
    }

    fn set(&mut self, at: usize, value: Value) {
        match self {
            Self::Put(record) => record.set(at, value),
            Self::Set(values) => {
                values.insert(at, value);
            }
            Self::Keep | Self::Delete => *self = Self::Set(BTreeMap::from([(at, value)])),
        }
    }
}

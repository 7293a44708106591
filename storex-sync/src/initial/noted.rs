//! The conflicts of a page of objects, noted in the journal.

use std::collections::HashMap;
use std::sync::Arc;

use storex_core::{Filter, Key, Name, Query, Record, Step};

use super::arriving::ArrivingPage;
use super::supply::Arriving;
use crate::clock::Clock;
use crate::journal::{Conflict, Content, Standing, Version, note, values_of};
use crate::merge::{FieldConflict, object_conflicts};
use crate::meta::Devices;
use crate::stamp::{Device, Stamp};

/// A conflict, before the row is read.
#[derive(Debug, Clone)]
pub(super) struct Clash {
    /// What arrives.
    object: Arc<Arriving>,
    /// The field's position; `None`: the object.
    field: Option<usize>,
    incoming_won: bool,
    own: Stamp,
    incoming: Stamp,
}

/// Who had seen what, as far as it is known.
#[derive(Debug)]
pub(super) struct Sight<'a> {
    pub(super) me: Device,
    pub(super) ours: &'a Devices,
    pub(super) theirs: &'a Devices,
}

impl Sight<'_> {
    /// The conflicts between an object here and one that arrives.
    pub(super) fn conflicts(
        &self,
        own: &Clock,
        incoming: &Clock,
        fields: &[u32],
    ) -> Vec<FieldConflict> {
        let we_had_seen = |stamp: Stamp| stamp.device == self.me || self.ours.has_applied(stamp);
        let they_had_seen = |stamp| self.theirs.has_applied(stamp);
        object_conflicts(own, incoming, fields, we_had_seen, they_had_seen)
    }
}

impl ArrivingPage {
    /// Where the conflicts of an object are.
    pub(super) fn clashes(
        &self,
        object: &Arriving,
        own: &Clock,
        incoming: &Clock,
        conflicts: &[FieldConflict],
    ) -> Vec<Clash> {
        if conflicts.is_empty() {
            return Vec::new();
        }
        let object = Arc::new(object.clone());
        let clash = |conflict: &FieldConflict| {
            let (field, own, incoming) = match conflict.field {
                Some(number) => {
                    let place = self.fields.iter().position(|field| *field == number)?;
                    let at = *self.values.get(place)?;
                    (Some(at), own.stamp(number), incoming.stamp(number))
                }
                None => (None, own.newest(), incoming.newest()),
            };
            let (object, incoming_won) = (Arc::clone(&object), conflict.incoming_won);
            Some(Clash { object, field, incoming_won, own, incoming })
        };
        conflicts.iter().filter_map(clash).collect()
    }

    /// Reads what gives way before the steps are executed, and notes it behind them.
    pub(super) fn noting(
        self: Arc<Self>,
        clashes: Vec<Clash>,
        me: Device,
        steps: Vec<Step>,
    ) -> Vec<Step> {
        if clashes.is_empty() {
            return steps;
        }
        let keys = clashes.iter().map(|clash| clash.object.key(&self.collection)).collect();
        let query = Query::new(Name::clone(self.collection.name())).filter(Filter::Keys(keys));
        let next = Step::then(move |trace| {
            let found = trace.found(0).iter();
            let rows: HashMap<Key, &Record> =
                found.map(|row| (self.collection.key_of(row), row)).collect();
            let conflicts = clashes.iter().map(|clash| self.conflict(clash, &rows));
            let losses = conflicts.filter(Conflict::is_loss);
            let losses: Vec<(Conflict, Standing)> = losses
                .map(|it| (self.merging.standing(&it, me), it))
                .map(|(s, it)| (it, s))
                .collect();
            let mut all = steps.clone();
            all.extend(note(losses, self.merging.journal, self.now));
            Ok(all)
        });
        vec![Step::Find(query), next]
    }

    fn conflict(&self, clash: &Clash, rows: &HashMap<Key, &Record>) -> Conflict {
        let key = clash.object.key(&self.collection);
        let content = |row: Option<&Record>| match (clash.field, row) {
            (Some(at), Some(row)) => Content::Value(row.get(at).clone()),
            (None, Some(row)) => Content::Object(values_of(&self.collection, row)),
            (_, None) => Content::Deleted,
        };
        let own = rows.get(&key).copied();
        let own = Version { stamp: clash.own, content: content(own) };
        let incoming = Version { stamp: clash.incoming, content: content(clash.object.record()) };
        let (won, lost) = if clash.incoming_won { (incoming, own) } else { (own, incoming) };
        let field = clash.field.and_then(|at| self.collection.fields().get(at));
        Conflict {
            collection: Name::clone(self.collection.name()),
            key,
            field: field.map(|field| Name::clone(&field.name)),
            device: clash.incoming.device,
            incoming_won: clash.incoming_won,
            won,
            lost,
        }
    }
}

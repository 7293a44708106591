//! The conflicts of a page: what the fold comes upon, and what is known of it once the rows are read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use storex_core::{Collection, Filter, Key, Name, Query, Record, Step, Trace, Value};

use super::resolve::ResolvedShape;
use super::row::{Object, Row};
use crate::clock::Clock;
use crate::journal::{Conflict, Content, Version, values_of};
use crate::merge::{FieldConflict, Merged};
use crate::stamp::Stamp;
use crate::transaction::{Entry, EntryKind};

/// A conflict, before the rows are read.
#[derive(Debug, Clone)]
pub(super) struct Clash {
    /// Which object.
    object: usize,
    /// The field's position; `None`: the object.
    field: Option<usize>,
    incoming_won: bool,
    incoming: Version,
    /// The stamp of what was here.
    own: Stamp,
    /// What the page had made of the row before.
    before: Row,
}

/// A write that arrives, and what it meets.
pub(super) struct Meeting<'a> {
    pub(super) object: usize,
    pub(super) shape: &'a ResolvedShape,
    pub(super) entry: &'a Entry,
    pub(super) stamp: Stamp,
    /// The clock that arrives with a whole object.
    pub(super) arriving: Option<&'a Clock>,
    pub(super) own: Option<&'a Clock>,
    pub(super) row: &'a Row,
}

impl Meeting<'_> {
    /// What the merge calls conflicts.
    pub(super) fn clashes(&self, merged: &Merged) -> Vec<Clash> {
        merged.conflicts.iter().filter_map(|conflict| self.clash(conflict, merged)).collect()
    }

    fn clash(&self, conflict: &FieldConflict, merged: &Merged) -> Option<Clash> {
        let clock = self.own?;
        let shape = self.shape;
        let values = self.entry.values.get(shape.collection.primary_key().len()..)?;
        let (field, own, content) = match conflict.field {
            Some(number) => {
                let place = shape.fields.iter().position(|field| *field == number)?;
                let at = *shape.values.get(place)?;
                let merged = merged.value(&shape.collection, at, number);
                let value = merged.filter(|_| conflict.incoming_won);
                let value = value.or_else(|| Some(values.get(place)?.value().clone()))?;
                (Some(at), clock.stamp(number), Content::Value(value))
            }
            None if self.entry.kind == EntryKind::Delete => {
                (None, clock.newest(), Content::Deleted)
            }
            None => {
                let known = shape.values.iter().zip(values).filter_map(|(at, value)| {
                    let field = shape.collection.fields().get(*at)?;
                    Some((Name::clone(&field.name), value.value().clone()))
                });
                (None, clock.newest(), Content::Object(known.collect()))
            }
        };
        let stamp = match (self.arriving, conflict.field) {
            (Some(clock), Some(number)) => clock.stamp(number),
            (Some(clock), None) => clock.newest(),
            (None, _) => self.stamp,
        };
        Some(Clash {
            object: self.object,
            field,
            incoming_won: conflict.incoming_won,
            incoming: Version { stamp, content },
            own,
            before: self.row.clone(),
        })
    }
}

/// The conflicts of a page.
#[derive(Debug, Clone, Default)]
pub(super) struct Clashes {
    list: Vec<Clash>,
    /// The collections of whose rows the page asks, in the order of its finds.
    asked: Vec<Arc<Collection>>,
}

impl Clashes {
    pub(super) fn extend(&mut self, clashes: Vec<Clash>) {
        self.list.extend(clashes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Reads the rows as they are before the page.
    pub(super) fn finds(&mut self, objects: &[Object]) -> Vec<Step> {
        let mut wanted: BTreeMap<Name, (Arc<Collection>, BTreeSet<Key>)> = BTreeMap::new();
        for object in self.list.iter().filter_map(|clash| objects.get(clash.object)) {
            let name = Name::clone(object.collection.name());
            let of_collection = wanted
                .entry(name)
                .or_insert_with(|| (Arc::clone(&object.collection), BTreeSet::new()));
            of_collection.1.insert(object.key.clone());
        }
        let (mut finds, mut asked) = (Vec::new(), Vec::new());
        for (name, (collection, keys)) in wanted {
            finds.push(Step::Find(
                Query::new(name).filter(Filter::Keys(keys.into_iter().collect())),
            ));
            asked.push(collection);
        }
        self.asked = asked;
        finds
    }

    /// The conflicts, with what the finds have found.
    pub(super) fn conflicts(&self, objects: &[Object], trace: &Trace) -> Vec<Conflict> {
        let mut rows: HashMap<(&Name, Key), &Record> = HashMap::new();
        for (n, collection) in self.asked.iter().enumerate() {
            for record in trace.found(self.asked.len() - 1 - n) {
                rows.insert((collection.name(), collection.key_of(record)), record);
            }
        }
        let conflict = |clash: &Clash| {
            let object = objects.get(clash.object)?;
            let stored = rows.get(&(object.collection.name(), object.key.clone())).copied();
            Some(clash.conflict(object, stored))
        };
        self.list.iter().filter_map(conflict).collect()
    }
}

impl Clash {
    fn conflict(&self, object: &Object, stored: Option<&Record>) -> Conflict {
        let collection = &object.collection;
        let row = self.before.clone().over(stored);
        let content = match (self.field, &row) {
            (Some(at), Some(row)) => Content::Value(row.get(at).clone()),
            (Some(_), None) => Content::Value(Value::Null),
            (None, Some(row)) => Content::Object(values_of(collection, row)),
            (None, None) => Content::Deleted,
        };
        let own = Version { stamp: self.own, content };
        let incoming = self.incoming.clone();
        let (won, lost) = if self.incoming_won { (incoming, own) } else { (own, incoming) };
        Conflict {
            collection: Name::clone(collection.name()),
            key: object.key.clone(),
            field: self
                .field
                .and_then(|at| collection.fields().get(at))
                .map(|field| Name::clone(&field.name)),
            device: self.incoming.stamp.device,
            incoming_won: self.incoming_won,
            won,
            lost,
        }
    }
}

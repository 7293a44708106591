//! [`OwnWrites`]: what this device writes while it applies what others wrote.

use storex_core::{Name, Record, Step, Value};

use super::row::Object;
use crate::clock::Clock;
use crate::log::LOG;
use crate::meta::Numbers;
use crate::relative::Relative;
use crate::stamp::Stamp;
use crate::transaction::{Entry, EntryKind, EntryValue, Header, Shape, Transaction};

/// What this device writes while it applies what others wrote: one transaction of its own, logged with the page.
#[derive(Debug, Clone)]
pub(super) struct OwnWrites(Transaction);

impl OwnWrites {
    pub(super) fn new(header: Header) -> Self {
        Self(Transaction { header, shapes: Vec::new(), entries: Vec::new() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// The stamp of the next write.
    pub(super) fn stamp(&self) -> Stamp {
        self.0.stamp(self.0.entries.len())
    }

    /// The stamp of the last write.
    pub(super) fn last(&self) -> Stamp {
        self.0.stamp(self.0.entries.len().saturating_sub(1))
    }

    pub(super) fn set(&mut self, object: &Object, life: u32, at: usize, value: Value) {
        self.push(object, EntryKind::Update, life, &[at], vec![EntryValue::Set(value)]);
    }

    pub(super) fn delete(&mut self, object: &Object, life: u32) {
        self.push(object, EntryKind::Delete, life, &[], Vec::new());
    }

    /// A create that brings values which were written before, with their stamps.
    pub(super) fn bring_back(
        &mut self,
        object: &Object,
        numbers: &Numbers,
        clock: &Clock,
        record: &Record,
    ) {
        let collection = &object.collection;
        let fields: Vec<usize> = numbers.synced().filter(|at| !collection.is_key(*at)).collect();
        let value = |at: &usize| {
            let number = numbers.fields.get(*at).copied().unwrap_or(u32::MAX);
            let change = Box::new(Relative::written(clock, number));
            EntryValue::Changed { change, to: record.get(*at).clone() }
        };
        let values = fields.iter().map(value).collect();
        self.push(object, EntryKind::Create, clock.life, &fields, values);
    }

    fn push(
        &mut self,
        object: &Object,
        kind: EntryKind,
        life: u32,
        fields: &[usize],
        values: Vec<EntryValue>,
    ) {
        let collection = &object.collection;
        let name = |at: &usize| collection.fields().get(*at).map(|field| Name::clone(&field.name));
        let shape = Shape {
            collection: Name::clone(collection.name()),
            key_len: collection.primary_key().len(),
            fields: collection.primary_key().iter().chain(fields).filter_map(name).collect(),
        };
        let known = self.0.shapes.iter().position(|it| *it == shape);
        let shape = known.unwrap_or_else(|| {
            self.0.shapes.push(shape);
            self.0.shapes.len() - 1
        });
        let key = object.key.values().iter().cloned().map(EntryValue::Set);
        self.0.entries.push(Entry { kind, shape, life, values: key.chain(values).collect() });
    }

    /// The row of the log.
    pub(super) fn step(&self) -> Step {
        let int = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let entries = int(self.0.entries.len() as u64);
        let row = vec![int(self.0.header.sequence), Value::Bytes(self.0.encode()), entries];
        Step::create(LOG, vec![Record::new(row)])
    }
}

//! What rows and clocks a log leads to: the transactions of one device, applied to nothing in their order.

use std::collections::BTreeMap;

use storex_core::{Name, Value};
use storex_sync::{Entry, EntryKind, EntryValue, Relative, Shape, Transaction};

/// A collection and a key in a form that can be compared.
pub(crate) type Object = (Name, String);

/// The fields of a row but the key's.
pub(crate) type Row = BTreeMap<Name, Value>;

/// Rows, and for each object that ever was its life and the reading of its newest stamp.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    pub(crate) rows: BTreeMap<Object, Row>,
    pub(crate) clocks: BTreeMap<Object, (u32, u64)>,
}

/// A key in a form that can be compared.
pub(crate) fn key<'a>(values: impl Iterator<Item = &'a Value>) -> String {
    format!("{:?}", values.collect::<Vec<_>>())
}

impl Folded {
    /// Applies a transaction, or says what is wrong with it.
    pub(crate) fn apply(&mut self, transaction: &Transaction) -> Result<(), String> {
        for (n, entry) in transaction.entries.iter().enumerate() {
            let shape = transaction.shapes.get(entry.shape).ok_or("an entry without a shape")?;
            let (keys, values) = entry.values.split_at(shape.key_len);
            let object = (shape.collection.clone(), key(keys.iter().map(EntryValue::value)));
            let life = self.clocks.get(&object).map_or(0, |(life, _)| *life);
            if entry.life != life + u32::from(entry.kind != EntryKind::Update) {
                return Err(format!("life {life} of {object:?} goes on with {entry:?}"));
            }
            self.clocks.insert(object.clone(), (entry.life, transaction.stamp(n).hlc.0));
            self.change(object, shape, entry, values)?;
        }
        Ok(())
    }

    fn change(
        &mut self,
        object: Object,
        shape: &Shape,
        entry: &Entry,
        values: &[EntryValue],
    ) -> Result<(), String> {
        let fields = shape.fields.iter().skip(shape.key_len).cloned();
        let new = fields.zip(values.iter().map(|value| value.value().clone()));
        match entry.kind {
            EntryKind::Create => {
                self.rows.insert(object, new.collect());
            }
            EntryKind::Delete => {
                self.rows.remove(&object);
            }
            EntryKind::Update => {
                let row = self.rows.get_mut(&object).ok_or("an update of what is not there")?;
                for (name, value) in shape.fields.iter().skip(shape.key_len).zip(values) {
                    check_increment(row.get(name), value)?;
                }
                row.extend(new);
            }
        }
        Ok(())
    }
}

/// An increment goes on from where the log was.
fn check_increment(before: Option<&Value>, value: &EntryValue) -> Result<(), String> {
    let EntryValue::Changed { change, to } = value else { return Ok(()) };
    let Relative::Increment { by, .. } = &**change else { return Ok(()) };
    match (before.and_then(Value::as_int), by.as_int(), to.as_int()) {
        (Some(before), Some(by), Some(to)) if before + by == to => Ok(()),
        _ => Err(format!("{before:?} was incremented by {by:?} to {to:?}")),
    }
}

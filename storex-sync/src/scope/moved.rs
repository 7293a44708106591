//! [`Moved`]: all of an object, in the transaction that moves it to another scope.

use std::sync::Arc;

use storex_core::{Collection, Name, Record};

use crate::clock::Clock;
use crate::meta::Numbers;
use crate::relative::Relative;
use crate::transaction::{EntryKind, Shape};
use crate::transaction_code::TransactionWriter;

/// An object that may have come to another scope. Behind the writes of its transaction there is all of it, as an object that is
/// brought back: its values with the stamps that they have. So it is nothing new where it is known, and created where it is not.
#[derive(Debug)]
pub(crate) struct Moved {
    /// The number of its collection, and the code of its key.
    pub(crate) object: (i64, Vec<u8>),
    pub(crate) numbers: Arc<Numbers>,
    /// As it is behind the transaction.
    pub(crate) record: Record,
    /// The place of its shape in the transaction.
    pub(crate) shape: usize,
    collection: Arc<Collection>,
}

impl Moved {
    pub(crate) fn new(
        object: (i64, Vec<u8>),
        collection: &Arc<Collection>,
        numbers: &Arc<Numbers>,
        record: &Record,
    ) -> Self {
        let (collection, numbers) = (Arc::clone(collection), Arc::clone(numbers));
        Self { object, numbers, record: record.clone(), shape: 0, collection }
    }

    /// The positions of the fields behind the key.
    fn positions(&self) -> impl Iterator<Item = usize> {
        self.numbers.synced().filter(|at| !self.collection.is_key(*at))
    }

    pub(crate) fn shape(&self) -> Shape {
        let key = self.collection.primary_key();
        let fields = key.iter().copied().chain(self.positions());
        let name = |at: usize| self.collection.fields().get(at).map(|it| Name::clone(&it.name));
        Shape {
            collection: Name::clone(self.collection.name()),
            key_len: key.len(),
            fields: fields.filter_map(name).collect(),
        }
    }

    /// Writes it with the clock that it has behind the transaction.
    pub(crate) fn write(&self, writer: &mut TransactionWriter, clock: &Clock) {
        let key = self.collection.primary_key();
        let values = key.len() + self.positions().count();
        writer.entry(EntryKind::Create, self.shape, clock.life, values);
        key.iter().for_each(|at| writer.value(self.record.get(*at)));
        for at in self.positions() {
            let field = self.numbers.fields.get(at).copied().unwrap_or(u32::MAX);
            // Of a strategy the row may not have been corrected yet.
            let to = clock.value(field);
            writer.changed(
                &Relative::written(clock, field),
                to.as_ref().unwrap_or(self.record.get(at)),
            );
        }
    }
}

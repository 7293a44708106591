//! What arrives under the names of an older schema, brought to those of today.
//!
//! A transaction tells the version of the schema under which it was written. What the migrations since have renamed is renamed in it
//! too, and what they have removed is left out, as the storage does with what it holds: so neither what was still to be sent at
//! an update, nor what a device of the older version writes, waits for ever. Values stay as they are: the function of a
//! migration is for whole objects, so what it has given another type is parked.

use storex_core::{Name, Registry, SchemaVersion};

use crate::error::Result;
use crate::state::StatePage;
use crate::transaction::{Entry, Shape, Transaction};

/// What a shape of an older schema is called today.
enum Today {
    Same,
    /// Per field its name; `None`: it was removed.
    Called {
        collection: Name,
        fields: Vec<Option<Name>>,
    },
    Gone,
}

fn today(registry: &Registry, shape: &Shape, written: SchemaVersion) -> Today {
    if written >= registry.version() {
        // Of a later version nothing is known: it waits for the update.
        return Today::Same;
    }
    let Some(collection) = registry.becomes(&shape.collection, written) else { return Today::Gone };
    let migrations = registry.migrations_of(&shape.collection, written);
    let becomes = |name: &Name| {
        migrations.iter().try_fold(Name::clone(name), |name, it| it.field_becomes(&name))
    };
    let fields = shape.fields.iter().map(becomes).collect();
    Today::Called { collection, fields }
}

impl Shape {
    /// Gives it the names of today. The places that fields have had which are gone, the last one first.
    fn rename(&mut self, collection: Name, fields: Vec<Option<Name>>) -> Vec<usize> {
        self.collection = collection;
        let mut gone = Vec::new();
        for (place, (field, name)) in self.fields.iter_mut().zip(fields).enumerate() {
            match name {
                Some(name) => *field = name,
                // A key cannot be removed; one that seems to be is told as unknown.
                None if place < self.key_len => {}
                None => gone.push(place),
            }
        }
        gone.reverse();
        gone.iter().for_each(|place| drop(self.fields.remove(*place)));
        gone
    }
}

impl Transaction {
    /// Reads one of this device's own, with the names of today: it may have been written before an update of the program.
    pub(crate) fn decode_own(payload: &[u8], registry: &Registry) -> Result<Self> {
        let mut transaction = Self::decode(payload)?;
        transaction.rename(registry);
        Ok(transaction)
    }

    /// Gives everything in it the names of today, and takes out what is of collections that are gone.
    pub(crate) fn rename(&mut self, registry: &Registry) {
        let written = SchemaVersion(self.header.schema);
        self.header.schema = written.max(registry.version()).0;
        let mut kept = Vec::new();
        for (n, mut shape) in std::mem::take(&mut self.shapes).into_iter().enumerate() {
            let gone = match today(registry, &shape, written) {
                Today::Same => Vec::new(),
                Today::Called { collection, fields } => shape.rename(collection, fields),
                Today::Gone => {
                    let entries = self.entries.iter_mut().filter(|it| it.shape == n);
                    entries.for_each(|entry| *entry = Entry::taken_out());
                    continue;
                }
            };
            for entry in self.entries.iter_mut().filter(|it| it.shape == n && !it.is_taken_out()) {
                for place in &gone {
                    if *place < entry.values.len() {
                        entry.values.remove(*place);
                    }
                }
                entry.shape = kept.len();
            }
            kept.push(shape);
        }
        self.shapes = kept;
    }
}

impl StatePage {
    /// As [`Transaction::decode_own`].
    pub(crate) fn decode_own(payload: &[u8], registry: &Registry) -> Result<Self> {
        let mut page = Self::decode(payload)?;
        page.rename(registry);
        Ok(page)
    }

    /// Gives it the names of today. Whether its collection is still there: else there is nothing left in it.
    pub(super) fn rename(&mut self, registry: &Registry) -> bool {
        let gone = match today(registry, &self.shape, SchemaVersion(self.header.schema)) {
            Today::Same => return true,
            Today::Called { collection, fields } => self.shape.rename(collection, fields),
            Today::Gone => {
                self.living.clear();
                self.deleted.clear();
                return false;
            }
        };
        for place in gone {
            self.numbers.remove(place);
            self.living.iter_mut().for_each(|(values, _)| drop(values.remove(place)));
        }
        true
    }
}

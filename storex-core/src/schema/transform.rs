//! [`Transform`]: one object from the schema that is stored to the one of the registry.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::record::{Key, Record};
use crate::schema::lineage::{Stage, default_value, filled, rename};
use crate::schema::{Collection, CollectionPlan, Migration, Properties, StoredCollection};
use crate::value::Name;

/// Takes objects of one collection from the schema that is stored to the one of the registry. For backends.
#[derive(Debug)]
pub struct Transform {
    old: Arc<Collection>,
    new: Arc<Collection>,
    stages: Vec<Stage>,
    by_column: Vec<(Name, Name)>,
    dropped: Vec<Name>,
}

impl Transform {
    pub(super) fn new(
        plan: &CollectionPlan,
        name: &str,
        stored: &StoredCollection,
    ) -> Result<Self> {
        Ok(Self {
            old: stored.collection(name)?,
            new: Arc::clone(&plan.collection),
            stages: plan.stages.clone(),
            by_column: plan.by_column.clone(),
            dropped: plan.dropped.clone(),
        })
    }

    /// The collection as it was, to read objects with.
    #[must_use]
    pub fn old(&self) -> &Arc<Collection> {
        &self.old
    }

    /// The collection as it is to be.
    #[must_use]
    pub fn new_collection(&self) -> &Arc<Collection> {
        &self.new
    }

    /// The new record of an object, checked.
    ///
    /// # Errors
    /// [`Error::Migration`], which names the object's key.
    pub fn record(&self, old: Record) -> Result<Record> {
        let key = self.old.key_of(&old);
        let failed = |version: u64, reason: Error| Error::Migration {
            collection: Name::clone(self.new.name()),
            version,
            key: key.to_string(),
            reason: Box::new(reason),
        };
        let names = self.old.fields().iter().map(|field| field.name.to_string());
        let mut object: Properties = names.zip(old.into_values()).collect();
        for stage in &self.stages {
            if let Some(migration) = &stage.migration {
                apply(migration, &mut object)
                    .map_err(|reason| failed(migration.version().0, reason))?;
            }
            stage.settle(&mut object);
        }
        self.finish(object, &key).map_err(|reason| failed(self.new.version().0, reason))
    }

    fn finish(&self, mut object: Properties, key: &Key) -> Result<Record> {
        rename(&mut object, &self.by_column);
        let values =
            self.new.fields().iter().map(|field| {
                filled(object.remove(&*field.name), field.nullable, default_value(field))
            });
        let mut record = Record::new(values.collect());
        if let Some(field) = object.keys().find(|key| !self.dropped.iter().any(|it| **it == **key))
        {
            return Err(Error::UnknownField {
                collection: Name::clone(self.new.name()),
                field: field.as_str().into(),
            });
        }
        self.new.check_record(&mut record)?;
        if self.new.key_of(&record) == *key {
            return Ok(record);
        }
        // Objects are found, logged and synced by their keys: one with another key is another object.
        Err(Error::SchemaMismatch {
            collection: Name::clone(self.new.name()),
            reason: "the function has changed the object's key, which cannot be".to_owned(),
        })
    }
}

fn apply(migration: &Migration, object: &mut Properties) -> Result<()> {
    // An object that was left half changed is not used.
    catch_unwind(AssertUnwindSafe(|| migration.apply(object))).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let reason = format!("the function panicked: {}", said.unwrap_or("it said nothing"));
        Err(Error::Aborted { reason })
    })
}

//! Upserts: an object is created, or changed where its key exists.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::batch::{Batch, Step};
use crate::changes::Changes;
use crate::dynamic::DynamicCollection;
use crate::error::{Error, Result};
use crate::filter::{Filter, check_key};
use crate::query::Query;
use crate::record::Record;
use crate::run::StepOutcome;
use crate::schema::{Collection, FieldType};
use crate::serde_face::to_given;
use crate::storage::Storage;
use crate::typed::{Object, TypedCollection};
use crate::value::{Name, Value};

impl<T: Object> TypedCollection<T> {
    /// Creates the object, or, where its key exists, gives the object there the fields of the struct; true when it was
    /// created. Fields that the struct has not (or does not serialize) stay as they are.
    ///
    /// Atomic: whoever else writes does so before or after. It is logged as what it was: a create, or an update of exactly
    /// the fields whose values differ. Where none differs nothing is written.
    ///
    /// # Errors
    /// [`Error::MissingField`] for an object without a key, and as [`TypedCollection::create`] and
    /// [`TypedCollection::update`]; nothing was written then.
    pub async fn upsert(&self, object: &T) -> Result<bool> {
        let now = self.storage.runtime().now();
        let (mut record, given) = to_given(&self.collection, now, object)?;
        let given = (0..given.len()).filter(|at| given[*at]).collect();
        check_values(&self.collection, &mut record)?;
        upsert(&self.storage, &self.collection, record, given).await
    }
}

impl DynamicCollection {
    /// Creates the object, without children, or, where its key exists, gives the object there the fields that are in the
    /// JSON; true when it was created. Fields that are not in the JSON stay as they are.
    ///
    /// Atomic: whoever else writes does so before or after. It is logged as what it was: a create, or an update of exactly
    /// the fields whose values differ. Where none differs nothing is written.
    ///
    /// # Errors
    /// [`Error::MissingField`] for an object without a key, and as [`DynamicCollection::create`] and
    /// [`DynamicCollection::update`]; nothing was written then.
    pub async fn upsert(&self, object: &Json) -> Result<bool> {
        let Json::Object(object) = object else {
            return Err(Error::invalid(self.collection.name(), "an object is a JSON object"));
        };
        let now = self.storage.runtime().now();
        let mut record = self.collection.blank_record(now);
        let mut given = Vec::new();
        for (name, json) in object {
            let at = self.collection.require(name)?;
            record.set(at, self.collection.value_from_json(&self.collection.fields()[at], json)?);
            given.push(at);
        }
        self.collection.fill_absent(&mut record, |at| given.contains(&at))?;
        check_values(&self.collection, &mut record)?;
        upsert(&self.storage, &self.collection, record, given).await
    }
}

/// Brings the values to their stored form, in which they can be compared with what is there.
fn check_values(collection: &Collection, record: &mut Record) -> Result<()> {
    for (field, value) in collection.fields().iter().zip(record.values_mut()) {
        collection.check_value(field, value)?;
    }
    Ok(())
}

/// `given`: the positions of the fields that an update sets.
async fn upsert(
    storage: &Storage,
    collection: &Arc<Collection>,
    record: Record,
    given: Vec<usize>,
) -> Result<bool> {
    let mut key = collection.key_of(&record);
    for at in collection.primary_key() {
        let field = &collection.fields()[*at];
        let is_auto = matches!(field.field_type, FieldType::AutoPk(_));
        let missing = matches!(record.get(*at), Value::Text(text) if is_auto && text.is_empty());
        if missing || record.get(*at).is_null() {
            return Err(collection.missing(*at));
        }
    }
    check_key(&mut key, collection)?;
    let filter = Filter::Keys(vec![key]);
    let query = Query::new(Name::clone(collection.name())).filter(filter.clone());
    let schema = Arc::clone(collection);
    let batch = Batch::new().find(query).then(move |trace| {
        let name = Name::clone(schema.name());
        let Some(before) = trace.found(0).first() else {
            // What a create misses an update may not need, so it is refused only here.
            return match schema.must_be_given().iter().find(|at| !given.contains(at)) {
                Some(at) => Err(schema.missing(*at)),
                None => Ok(vec![Step::create(name, vec![record.clone()])]),
            };
        };
        let differing = given.iter().filter(|at| before.get(**at) != record.get(**at));
        let changes = differing.filter(|at| !schema.is_key(**at)).fold(Changes::new(), |it, at| {
            it.set(Name::clone(&schema.fields()[*at].name), record.get(*at).clone())
        });
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Step::Update { collection: name, filter: filter.clone(), changes }])
    });
    let outcome = storage.execute(batch).await?;
    Ok(outcome.of_step(1).any(|executed| {
        executed.step.collection() == Some(collection.name())
            && matches!(executed.outcome, StepOutcome::Created { .. })
    }))
}

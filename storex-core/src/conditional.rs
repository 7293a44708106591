//! Updates that give the objects back, and updates of one object on a condition.

use serde_json::Value as Json;

use crate::batch::Batch;
use crate::changes::Changes;
use crate::dynamic::DynamicCollection;
use crate::error::Result;
use crate::filter::Filter;
use crate::record::{Key, Record};
use crate::run::{BatchOutcome, StepOutcome};
use crate::schema::Collection;
use crate::serde_face::from_record;
use crate::typed::{Object, TypedCollection};
use crate::value::Name;

impl<T: Object> TypedCollection<T> {
    /// Changes every object that the filter matches and gives the objects as they are afterwards, in no particular order.
    ///
    /// # Errors
    /// As [`TypedCollection::update`]; nothing was written then.
    pub async fn update_returning(&self, filter: Filter, changes: Changes) -> Result<Vec<T>> {
        let name = Name::clone(self.collection.name());
        let filter = self.collection.stored_filter(filter)?;
        let changes = self.collection.stored_changes(changes)?.returning();
        let batch = Batch::new().update(name, filter, changes);
        let outcome = self.storage.execute(batch).await?;
        let all: Vec<usize> = (0..self.collection.fields().len()).collect();
        updated(&outcome, &self.collection)
            .map(|record| from_record(&self.collection, &all, record))
            .collect()
    }

    /// Changes one object if the condition holds for it when it is changed; false when it does not, or when there is none
    /// with this key.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use storex_core::{Changes, Object, Result, TypedCollection, field};
    /// # #[derive(Serialize, Deserialize)] struct Task { id: String, version: i64, owner: String }
    /// # impl Object for Task { const COLLECTION: &'static str = "task"; }
    /// /// Nobody who has read an older version overwrites a newer one.
    /// async fn take(tasks: &TypedCollection<Task>, task: &Task, owner: &str) -> Result<bool> {
    ///     let changes = Changes::new().set("owner", owner).increment("version", 1);
    ///     tasks.update_if(task.id.as_str(), field("version").eq(task.version), changes).await
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`TypedCollection::update`]; nothing was written then.
    pub async fn update_if(
        &self,
        key: impl Into<Key>,
        condition: Filter,
        changes: Changes,
    ) -> Result<bool> {
        let filter = Filter::And(vec![Filter::key(key), condition]);
        Ok(!self.update(filter, changes).await?.is_empty())
    }
}

impl DynamicCollection {
    /// Changes every object that the filter matches and gives the objects as they are afterwards, in no particular order.
    ///
    /// # Errors
    /// As [`DynamicCollection::update`]; nothing was written then.
    pub async fn update_returning(&self, filter: &Json, changes: &Json) -> Result<Vec<Json>> {
        let filter = self.filter_from_json(filter)?;
        let changes = self.collection.changes_from_json(changes)?.returning();
        let batch = Batch::new().update(self.name(), filter, changes);
        let outcome = self.storage.execute(batch).await?;
        let all: Vec<usize> = (0..self.collection.fields().len()).collect();
        let objects = updated(&outcome, &self.collection)
            .map(|record| self.collection.record_to_json(&all, record).map(Json::Object));
        objects.collect()
    }

    /// Changes the object that has the same key as `object` if the condition holds for it when it is changed; false when it
    /// does not, or when there is none.
    ///
    /// # Errors
    /// As [`DynamicCollection::update`]; nothing was written then.
    pub async fn update_if(&self, object: &Json, condition: &Json, changes: &Json) -> Result<bool> {
        let filter = Filter::And(vec![self.key_filter(object)?, self.filter_from_json(condition)?]);
        let changes = self.collection.changes_from_json(changes)?;
        let batch = Batch::new().update(self.name(), filter, changes);
        let outcome = self.storage.execute(batch).await?;
        Ok(outcome.of_step(0).any(|executed| {
            matches!(&executed.outcome, StepOutcome::Updated { keys, .. } if !keys.is_empty())
        }))
    }
}

/// The objects of this collection that the first step of a batch has changed.
fn updated<'a>(
    outcome: &'a BatchOutcome,
    collection: &'a Collection,
) -> impl Iterator<Item = &'a Record> {
    let own = outcome.of_step(0).filter(|it| it.step.collection() == Some(collection.name()));
    own.flat_map(|executed| match &executed.outcome {
        StepOutcome::Updated { records, .. } => records.as_slice(),
        _ => &[],
    })
}

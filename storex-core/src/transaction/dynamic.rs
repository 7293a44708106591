//! [`TransactionDynamic`]: objects as JSON, inside a transaction.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::nested::Dissection;
use crate::query::Query;
use crate::record::Key;
use crate::schema::Collection;
use crate::value::Name;

use super::Transaction;
use super::steps::Ask;

/// The dynamic face of a collection inside a transaction: what [`DynamicCollection`](crate::DynamicCollection) does,
/// without `await`.
#[derive(Debug)]
pub struct TransactionDynamic<'t> {
    tx: &'t Transaction<'t>,
    collection: &'t Arc<Collection>,
}

impl<'t> TransactionDynamic<'t> {
    pub(super) fn new(tx: &'t Transaction<'t>, collection: &'t Arc<Collection>) -> Self {
        Self { tx, collection }
    }

    /// Creates an object, with its nested children, and gives it back with its key and defaults.
    ///
    /// # Errors
    /// As [`DynamicCollection::create`](crate::DynamicCollection::create).
    pub fn create(&self, object: Json) -> Result<Json> {
        let (registry, number) = (self.tx.registry(), self.tx.number());
        let answer = self.tx.ask(|| {
            // Placeholders of another create in the same transaction must not be met.
            let prefix = format!("transaction.{number}.");
            let mut dissection = Dissection::new(registry, self.tx.now(), prefix);
            dissection.add(self.collection, &object, None)?;
            let (steps, reassembly) = dissection.finish();
            Ok(Ask::nested(steps, reassembly))
        })?;
        let Some(reassembly) = &answer.reassembly else { return Ok(object) };
        reassembly.assemble_from(registry, |n| answer.executed(n))
    }

    /// Creates objects without children, in one step, and gives their keys.
    ///
    /// # Errors
    /// As [`TransactionDynamic::create`].
    pub fn create_many(&self, objects: &[Json]) -> Result<Vec<Key>> {
        let record = |object: &Json| match object {
            Json::Object(object) => self.collection.record_from_json(self.tx.now(), object),
            _ => {
                Err(Error::invalid(self.collection.name(), "an object to create is a JSON object"))
            }
        };
        self.tx.create(self.collection, || objects.iter().map(record).collect())
    }

    /// The objects that the filter matches.
    ///
    /// # Errors
    /// As [`DynamicCollection::find`](crate::DynamicCollection::find).
    pub fn find(&self, filter: &Json) -> Result<Vec<Json>> {
        self.find_with(filter, &Json::Null)
    }

    /// The objects that the filter matches, with options; see [`Collection::query_from_json`].
    ///
    /// # Errors
    /// As [`TransactionDynamic::find`].
    pub fn find_with(&self, filter: &Json, options: &Json) -> Result<Vec<Json>> {
        self.query(self.query_from_json(filter, options)?)
    }

    fn query_from_json(&self, filter: &Json, options: &Json) -> Result<Query> {
        self.collection.query_from_json(filter, options, self.tx.registry())
    }

    /// The objects of a query on this collection, as JSON.
    ///
    /// # Errors
    /// As [`TransactionDynamic::find`]; [`Error::InvalidOperation`] for a query on another collection.
    pub fn query(&self, query: Query) -> Result<Vec<Json>> {
        if query.collection != *self.collection.name() {
            let reason = format!("the query is on collection `{}`", query.collection);
            return Err(Error::invalid(self.collection.name(), reason));
        }
        let selected = query.selected(self.collection);
        let records = self.tx.find(query)?;
        let object = |record| self.collection.record_to_json(&selected, record).map(Json::Object);
        records.iter().map(object).collect()
    }

    /// The first object that the filter matches, by key.
    ///
    /// # Errors
    /// As [`TransactionDynamic::find`].
    pub fn find_one(&self, filter: &Json) -> Result<Option<Json>> {
        Ok(self.query(self.query_from_json(filter, &Json::Null)?.limit(1))?.pop())
    }

    /// The object with this key.
    ///
    /// # Errors
    /// As [`DynamicCollection::get`](crate::DynamicCollection::get).
    pub fn get(&self, key: impl Into<Key>) -> Result<Option<Json>> {
        let query = Query::new(Name::clone(self.collection.name()));
        Ok(self.query(query.filter(Filter::key(key)))?.pop())
    }

    /// How many objects the filter matches.
    ///
    /// # Errors
    /// As [`TransactionDynamic::find`].
    pub fn count(&self, filter: &Json) -> Result<u64> {
        self.tx.count(self.query_from_json(filter, &Json::Null)?)
    }

    /// Changes every object that the filter matches and gives their keys.
    ///
    /// # Errors
    /// As [`DynamicCollection::update`](crate::DynamicCollection::update).
    pub fn update(&self, filter: &Json, changes: &Json) -> Result<Vec<Key>> {
        self.tx.update(self.collection, || {
            let filter = self.collection.filter_from_json(filter, self.tx.registry())?;
            Ok((filter, self.collection.changes_from_json(changes)?))
        })
    }

    /// Changes the object that has the same key as `object` (its other fields do not count); false when there is none.
    ///
    /// # Errors
    /// As [`TransactionDynamic::update`].
    pub fn update_one(&self, object: &Json, changes: &Json) -> Result<bool> {
        let keys = self.tx.update(self.collection, || {
            Ok((self.key_filter(object)?, self.collection.changes_from_json(changes)?))
        })?;
        Ok(!keys.is_empty())
    }

    /// Deletes every object that the filter matches and gives their keys.
    ///
    /// # Errors
    /// As [`DynamicCollection::delete`](crate::DynamicCollection::delete).
    pub fn delete(&self, filter: &Json) -> Result<Vec<Key>> {
        self.tx.delete(self.collection, || {
            self.collection.filter_from_json(filter, self.tx.registry())
        })
    }

    /// Deletes the object that has the same key as `object`; false when there is none.
    ///
    /// # Errors
    /// As [`TransactionDynamic::delete`].
    pub fn delete_one(&self, object: &Json) -> Result<bool> {
        Ok(!self.tx.delete(self.collection, || self.key_filter(object))?.is_empty())
    }

    fn key_filter(&self, object: &Json) -> Result<Filter> {
        match object {
            Json::Object(object) => Ok(Filter::Keys(vec![self.collection.key_from_json(object)?])),
            _ => Err(Error::invalid(self.collection.name(), "an object is a JSON object")),
        }
    }
}

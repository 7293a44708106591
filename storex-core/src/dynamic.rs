//! [`DynamicCollection`]: objects as JSON.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::fetch::Tree;
use crate::filter::Filter;
use crate::live::Live;
use crate::nested::Dissection;
use crate::query::Query;
use crate::record::Key;
use crate::schema::Collection;
use crate::storage::Storage;
use crate::typed::keys_of;
use crate::value::Name;

/// The dynamic face of a collection: objects, filters and changes are JSON, as [`Collection`]'s `*_from_json` describe.
#[derive(Debug, Clone)]
pub struct DynamicCollection {
    pub(crate) storage: Storage,
    pub(crate) collection: Arc<Collection>,
}

impl DynamicCollection {
    pub(crate) fn new(storage: Storage, collection: Arc<Collection>) -> Self {
        Self { storage, collection }
    }

    /// Creates an object, with its nested children, and gives it back with its key and defaults.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::MissingField`] and others; nothing was written then.
    pub async fn create(&self, object: Json) -> Result<Json> {
        let registry = self.storage.registry();
        let mut dissection = Dissection::new(registry, self.storage.runtime().now(), "");
        dissection.add(&self.collection, &object, None)?;
        let (steps, reassembly) = dissection.finish();
        let outcome = self.storage.execute(steps.into_iter().collect()).await?;
        reassembly.assemble(registry, &outcome, 0)
    }

    /// Creates objects without children, all or none, in one step, and gives their keys.
    ///
    /// # Errors
    /// As [`DynamicCollection::create`].
    pub async fn create_many(&self, objects: &[Json]) -> Result<Vec<Key>> {
        let now = self.storage.runtime().now();
        let records = objects.iter().map(|object| match object {
            Json::Object(object) => self.collection.record_from_json(now, object),
            _ => {
                Err(Error::invalid(self.collection.name(), "an object to create is a JSON object"))
            }
        });
        let batch = Batch::new().create(self.name(), records.collect::<Result<_>>()?);
        Ok(keys_of(&self.storage.execute(batch).await?, &self.collection))
    }

    /// The objects that the filter matches.
    ///
    /// # Errors
    /// [`Error::UnknownField`], [`Error::InvalidValue`], [`Error::InvalidOperation`].
    pub async fn find(&self, filter: &Json) -> Result<Vec<Json>> {
        self.find_with(filter, &Json::Null).await
    }

    /// The objects that the filter matches, with options; see [`Collection::query_from_json`]. One option more is `with`, a
    /// list of relations to follow: `{"with": ["author", "comments.author"]}` puts the related objects where a nested create
    /// takes them; see [`Storage::find_with`].
    ///
    /// # Errors
    /// As [`DynamicCollection::find`].
    pub async fn find_with(&self, filter: &Json, options: &Json) -> Result<Vec<Json>> {
        let Some(with) = options.get("with") else {
            return self.query(self.query_from_json(filter, options)?).await;
        };
        let paths = with.as_array().map(|list| list.iter().map(Json::as_str).collect());
        let Some(Some(paths)) = paths.map(|paths: Option<Vec<&str>>| paths) else {
            let reason =
                format!("the option `with` cannot be {with}: it takes a list of relations");
            return Err(Error::invalid(self.collection.name(), reason));
        };
        let mut others = options.clone();
        others.as_object_mut().map(|options| options.remove("with"));
        let query = self.query_from_json(filter, &others)?;
        self.storage.find_with(query, paths).await?.iter().map(Tree::to_json).collect()
    }

    /// The objects of a query, as JSON.
    ///
    /// # Errors
    /// As [`DynamicCollection::find`].
    pub async fn query(&self, query: Query) -> Result<Vec<Json>> {
        let selected = query.selected(&self.collection);
        let records = self.storage.find(query).await?;
        let object = |record| self.collection.record_to_json(&selected, record).map(Json::Object);
        records.iter().map(object).collect()
    }

    /// The objects that the filter matches, now and after each change; see [`Storage::live`]. The options are those of
    /// [`Collection::query_from_json`].
    ///
    /// # Errors
    /// As [`DynamicCollection::find`].
    pub fn live(&self, filter: &Json, options: &Json) -> Result<Live<Json>> {
        let query = self.query_from_json(filter, options)?;
        Ok(Live::new(&self.storage, query, |collection, selected, record| {
            collection.record_to_json(selected, record).map(Json::Object)
        }))
    }

    /// The first object that the filter matches, by key.
    ///
    /// # Errors
    /// As [`DynamicCollection::find`].
    pub async fn find_one(&self, filter: &Json) -> Result<Option<Json>> {
        let query = self.query_from_json(filter, &Json::Null)?.limit(1);
        Ok(self.query(query).await?.pop())
    }

    /// The object with this key.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a key of the wrong type.
    pub async fn get(&self, key: impl Into<Key>) -> Result<Option<Json>> {
        Ok(self.query(Query::new(self.name()).filter(Filter::key(key))).await?.pop())
    }

    /// How many objects the filter matches.
    ///
    /// # Errors
    /// As [`DynamicCollection::find`].
    pub async fn count(&self, filter: &Json) -> Result<u64> {
        self.storage.count(self.query_from_json(filter, &Json::Null)?).await
    }

    /// Changes every object that the filter matches and gives their keys.
    ///
    /// # Errors
    /// [`Error::KeyChange`], [`Error::UnknownField`] and others; nothing was written then.
    pub async fn update(&self, filter: &Json, changes: &Json) -> Result<Vec<Key>> {
        let filter = self.filter_from_json(filter)?;
        self.update_matching(filter, changes).await
    }

    /// Changes the object that has the same key as `object` (its other fields do not count); false when there is none.
    ///
    /// # Errors
    /// As [`DynamicCollection::update`].
    pub async fn update_one(&self, object: &Json, changes: &Json) -> Result<bool> {
        Ok(!self.update_matching(self.key_filter(object)?, changes).await?.is_empty())
    }

    async fn update_matching(&self, filter: Filter, changes: &Json) -> Result<Vec<Key>> {
        let changes = self.collection.changes_from_json(changes)?;
        let batch = Batch::new().update(self.name(), filter, changes);
        Ok(keys_of(&self.storage.execute(batch).await?, &self.collection))
    }

    /// Deletes every object that the filter matches and gives their keys.
    ///
    /// # Errors
    /// [`Error::UnknownField`] and others; nothing was deleted then.
    pub async fn delete(&self, filter: &Json) -> Result<Vec<Key>> {
        self.delete_matching(self.filter_from_json(filter)?).await
    }

    /// Deletes the object that has the same key as `object`; false when there is none.
    ///
    /// # Errors
    /// As [`DynamicCollection::delete`].
    pub async fn delete_one(&self, object: &Json) -> Result<bool> {
        Ok(!self.delete_matching(self.key_filter(object)?).await?.is_empty())
    }

    async fn delete_matching(&self, filter: Filter) -> Result<Vec<Key>> {
        let batch = Batch::new().delete(self.name(), filter);
        Ok(keys_of(&self.storage.execute(batch).await?, &self.collection))
    }

    pub(crate) fn key_filter(&self, object: &Json) -> Result<Filter> {
        match object {
            Json::Object(object) => Ok(Filter::Keys(vec![self.collection.key_from_json(object)?])),
            _ => Err(Error::invalid(self.collection.name(), "an object is a JSON object")),
        }
    }

    pub(crate) fn filter_from_json(&self, filter: &Json) -> Result<Filter> {
        self.collection.filter_from_json(filter, self.storage.registry())
    }

    fn query_from_json(&self, filter: &Json, options: &Json) -> Result<Query> {
        self.collection.query_from_json(filter, options, self.storage.registry())
    }

    pub(crate) fn name(&self) -> Name {
        Name::clone(self.collection.name())
    }
}

//! [`TransactionCollection`]: objects as Rust structs, inside a transaction.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::changes::Changes;
use crate::error::{Error, Result};
use crate::filter::{Filter, check_key};
use crate::query::Query;
use crate::record::{Key, Record};
use crate::schema::Collection;
use crate::serde_face::{from_record, to_record};
use crate::typed::Object;
use crate::value::Name;

use super::Transaction;

/// The typed face of a collection inside a transaction: what [`TypedCollection`](crate::TypedCollection) does, without
/// `await`.
pub struct TransactionCollection<'t, T> {
    tx: &'t Transaction<'t>,
    collection: &'t Arc<Collection>,
    object: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for TransactionCollection<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TransactionCollection").field(self.collection.name()).finish()
    }
}

impl<'t, T: Object> TransactionCollection<'t, T> {
    pub(super) fn new(tx: &'t Transaction<'t>, collection: &'t Arc<Collection>) -> Self {
        Self { tx, collection, object: PhantomData }
    }

    /// Creates an object and gives its key.
    ///
    /// # Errors
    /// As [`TypedCollection::create`](crate::TypedCollection::create).
    pub fn create(&self, object: &T) -> Result<Key> {
        let mut keys = self.create_many(std::slice::from_ref(object))?;
        keys.pop().ok_or_else(|| {
            Error::invalid(self.collection.name(), "the create was answered without a key")
        })
    }

    /// Creates objects in one step, and gives their keys in order.
    ///
    /// # Errors
    /// As [`TransactionCollection::create`].
    pub fn create_many(&self, objects: &[T]) -> Result<Vec<Key>> {
        let record = |object| to_record(self.collection, self.tx.now(), object);
        self.tx.create(self.collection, || objects.iter().map(record).collect())
    }

    /// The object with this key.
    ///
    /// # Errors
    /// As [`TypedCollection::get`](crate::TypedCollection::get).
    pub fn get(&self, key: impl Into<Key>) -> Result<Option<T>> {
        Ok(self.find(Filter::key(key))?.pop())
    }

    /// The objects that the filter matches.
    ///
    /// # Errors
    /// As [`TypedCollection::find`](crate::TypedCollection::find).
    pub fn find(&self, filter: Filter) -> Result<Vec<T>> {
        self.query(self.all().filter(filter))
    }

    /// The objects of a query on this collection.
    ///
    /// # Errors
    /// [`Error::UnknownField`], [`Error::InvalidValue`], [`Error::InvalidOperation`] for a query on another collection.
    pub fn query(&self, query: Query) -> Result<Vec<T>> {
        if query.collection != *self.collection.name() {
            let reason = format!("the query is on collection `{}`", query.collection);
            return Err(Error::invalid(self.collection.name(), reason));
        }
        let mut query = query;
        query.filter = self.collection.stored_filter(query.filter)?;
        let selected = query.selected(self.collection);
        let object = |record: &Record| from_record(self.collection, &selected, record);
        self.tx.find(query)?.iter().map(object).collect()
    }

    /// How many objects the filter matches.
    ///
    /// # Errors
    /// As [`TransactionCollection::find`].
    pub fn count(&self, filter: Filter) -> Result<u64> {
        self.tx.count(self.all().filter(self.collection.stored_filter(filter)?))
    }

    /// Changes every object that the filter matches and gives their keys.
    ///
    /// # Errors
    /// As [`TypedCollection::update`](crate::TypedCollection::update).
    pub fn update(&self, filter: Filter, changes: Changes) -> Result<Vec<Key>> {
        self.tx.update(self.collection, || {
            let filter = self.collection.stored_filter(filter)?;
            Ok((filter, self.collection.stored_changes(changes)?))
        })
    }

    /// Changes one object; false when there is none with this key.
    ///
    /// # Errors
    /// As [`TransactionCollection::update`].
    pub fn update_one(&self, key: impl Into<Key>, changes: Changes) -> Result<bool> {
        Ok(!self.update(Filter::key(key), changes)?.is_empty())
    }

    /// Deletes every object that the filter matches and gives their keys.
    ///
    /// # Errors
    /// As [`TypedCollection::delete`](crate::TypedCollection::delete).
    pub fn delete(&self, filter: Filter) -> Result<Vec<Key>> {
        self.tx.delete(self.collection, || self.collection.stored_filter(filter))
    }

    /// Deletes one object; false when there is none with this key.
    ///
    /// # Errors
    /// As [`TransactionCollection::delete`].
    pub fn delete_one(&self, key: impl Into<Key>) -> Result<bool> {
        let mut key = key.into();
        check_key(&mut key, self.collection)?;
        Ok(!self.delete(Filter::Keys(vec![key]))?.is_empty())
    }

    fn all(&self) -> Query {
        Query::new(Name::clone(self.collection.name()))
    }
}

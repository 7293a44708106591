//! [`TypedCollection`]: objects as Rust structs.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::{Batch, Step};
use crate::changes::Changes;
use crate::error::{Error, Result};
use crate::fetch::{Paths, SelectWith};
use crate::filter::{Filter, check_key};
use crate::live::Live;
use crate::maybe::{MaybeSend, MaybeSync};
use crate::query::{Direction, Position, Query};
use crate::record::{Key, Record};
use crate::run::{BatchOutcome, Executed};
use crate::schema::Collection;
use crate::serde_face::{from_record, to_record};
use crate::storage::Storage;
use crate::value::Name;

/// A struct whose values are objects of a collection. Its serde names are the fields' names.
///
/// A field that AutoPk fills in is an `Option`, or an empty `String`. `#[derive(Collection)]` implements this trait and writes
/// the collection's definition too.
pub trait Object: Serialize + DeserializeOwned + MaybeSend + MaybeSync {
    /// The collection's name.
    const COLLECTION: &'static str;
}

/// The typed face of a collection.
pub struct TypedCollection<T> {
    pub(crate) storage: Storage,
    pub(crate) collection: Arc<Collection>,
    object: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for TypedCollection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedCollection").field(self.collection.name()).finish()
    }
}

impl<T: Object> TypedCollection<T> {
    pub(crate) fn new(storage: Storage, collection: Arc<Collection>) -> Self {
        Self { storage, collection, object: PhantomData }
    }

    /// The record of an object, checked by the time it is written.
    ///
    /// # Errors
    /// [`Error::UnknownField`], [`Error::InvalidValue`].
    pub fn record(&self, object: &T) -> Result<Record> {
        to_record(&self.collection, self.storage.runtime().now(), object)
    }

    /// Creates an object and gives its key. Atomic, and logged when a sync log is in the chain.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::MissingField`], [`Error::InvalidValue`] and others; nothing was written then.
    pub async fn create(&self, object: &T) -> Result<Key> {
        let mut keys = self.create_many(std::slice::from_ref(object)).await?;
        keys.pop().ok_or_else(|| {
            Error::invalid(self.collection.name(), "the create was answered without a key")
        })
    }

    /// Creates objects, all or none, and gives their keys in order.
    ///
    /// # Errors
    /// As [`TypedCollection::create`].
    pub async fn create_many(&self, objects: &[T]) -> Result<Vec<Key>> {
        let records =
            objects.iter().map(|object| self.record(object)).collect::<Result<Vec<_>>>()?;
        let step = Step::create(Name::clone(self.collection.name()), records);
        let outcome = self.storage.execute(Batch::new().step(step)).await?;
        Ok(keys_of(&outcome, &self.collection))
    }

    /// The object with this key.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a key of the wrong type.
    pub async fn get(&self, key: impl Into<Key>) -> Result<Option<T>> {
        self.query().filter(Filter::key(key)).first().await
    }

    /// The objects that the filter matches.
    ///
    /// # Errors
    /// [`Error::UnknownField`], [`Error::InvalidValue`].
    pub async fn find(&self, filter: Filter) -> Result<Vec<T>> {
        self.query().filter(filter).all().await
    }

    /// Begins a query.
    #[must_use]
    pub fn query(&self) -> Select<T> {
        Select {
            storage: self.storage.clone(),
            collection: Arc::clone(&self.collection),
            query: Query::new(Name::clone(self.collection.name())),
            object: PhantomData,
        }
    }

    /// Changes every object that the filter matches and gives their keys.
    ///
    /// # Errors
    /// [`Error::KeyChange`], [`Error::UnknownField`] and others; nothing was written then.
    pub async fn update(&self, filter: Filter, changes: Changes) -> Result<Vec<Key>> {
        let filter = self.collection.stored_filter(filter)?;
        let changes = self.collection.stored_changes(changes)?;
        let batch = Batch::new().update(Name::clone(self.collection.name()), filter, changes);
        let outcome = self.storage.execute(batch).await?;
        Ok(keys_of(&outcome, &self.collection))
    }

    /// Changes one object; false when there is none with this key.
    ///
    /// # Errors
    /// As [`TypedCollection::update`].
    pub async fn update_one(&self, key: impl Into<Key>, changes: Changes) -> Result<bool> {
        Ok(!self.update(Filter::key(key), changes).await?.is_empty())
    }

    /// Deletes every object that the filter matches and gives their keys.
    ///
    /// # Errors
    /// [`Error::UnknownField`] and others; nothing was deleted then.
    pub async fn delete(&self, filter: Filter) -> Result<Vec<Key>> {
        let filter = self.collection.stored_filter(filter)?;
        let batch = Batch::new().delete(Name::clone(self.collection.name()), filter);
        let outcome = self.storage.execute(batch).await?;
        Ok(keys_of(&outcome, &self.collection))
    }

    /// Deletes one object; false when there is none with this key.
    ///
    /// # Errors
    /// As [`TypedCollection::delete`].
    pub async fn delete_one(&self, key: impl Into<Key>) -> Result<bool> {
        let mut key = key.into();
        check_key(&mut key, &self.collection)?;
        Ok(!self.delete(Filter::Keys(vec![key])).await?.is_empty())
    }
}

/// The keys of the objects of this collection that the first step of a batch created, changed or deleted; what a delete
/// brought with it in other collections is not among them.
pub(crate) fn keys_of(outcome: &BatchOutcome, collection: &Collection) -> Vec<Key> {
    let own: Vec<&Executed> = outcome
        .of_step(0)
        .filter(|executed| executed.step.collection() == Some(collection.name()))
        .collect();
    // The step itself comes last; a find before it, or fields of the same collection set to null, are not what was asked.
    let Some(last) = own.last() else { return Vec::new() };
    let kind = std::mem::discriminant(&last.outcome);
    own.iter()
        .filter(|executed| std::mem::discriminant(&executed.outcome) == kind)
        .flat_map(|executed| executed.keys(collection))
        .collect()
}

/// A query whose results are structs.
pub struct Select<T> {
    pub(crate) storage: Storage,
    pub(crate) collection: Arc<Collection>,
    pub(crate) query: Query,
    object: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Select<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.query.fmt(f)
    }
}

impl<T: DeserializeOwned> Select<T> {
    fn map(mut self, change: impl FnOnce(Query) -> Query) -> Self {
        self.query = change(self.query);
        self
    }

    /// Only what the filter matches.
    #[must_use]
    pub fn filter(self, filter: Filter) -> Self {
        self.map(|query| query.filter(filter))
    }

    /// Ordered by a field, after the fields given before.
    #[must_use]
    pub fn order_by(self, field: impl Into<Name>, direction: Direction) -> Self {
        self.map(|query| query.order_by(field, direction))
    }

    /// Ordered by several fields, after those given before; see [`Property::asc`](crate::Property::asc).
    #[must_use]
    pub fn order(self, order: impl IntoIterator<Item = (Name, Direction)>) -> Self {
        self.map(|query| query.order(order))
    }

    /// At most `limit` objects.
    #[must_use]
    pub fn limit(self, limit: u64) -> Self {
        self.map(|query| query.limit(limit))
    }

    /// Without the first `offset` objects.
    #[must_use]
    pub fn offset(self, offset: u64) -> Self {
        self.map(|query| query.offset(offset))
    }

    /// Behind a position that [`Select::page`] gave.
    #[must_use]
    pub fn after(self, position: Position) -> Self {
        self.map(|query| query.after(position))
    }

    /// Only these fields, as values of another struct.
    #[must_use]
    pub fn select<U, N: Into<Name>>(self, fields: impl IntoIterator<Item = N>) -> Select<U> {
        Select {
            storage: self.storage,
            collection: self.collection,
            query: self.query.select(fields),
            object: PhantomData,
        }
    }

    /// With related objects, as values of another struct: it has a field for each of them, by alias or reverse alias. Paths go
    /// on behind a dot, as in `["author", "comments.author"]`; see [`Storage::find_with`].
    ///
    /// ```
    /// # use storex_core::{Object, Result, Storage};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct User { name: String }
    /// # impl Object for User { const COLLECTION: &'static str = "user"; }
    /// # #[derive(Deserialize)] struct Email { address: String }
    /// #[derive(Deserialize)]
    /// struct UserWithEmails {
    ///     name: String,
    ///     emails: Vec<Email>,
    /// }
    ///
    /// # async fn read(storage: &Storage) -> Result<()> {
    /// let users = storage.collection::<User>()?;
    /// let all = users.query().with::<UserWithEmails, _>(["emails"]).all().await?;
    /// # let _ = all; Ok(()) }
    /// ```
    #[must_use]
    pub fn with<U: DeserializeOwned, P: AsRef<str>>(
        self,
        paths: impl IntoIterator<Item = P>,
    ) -> SelectWith<U> {
        SelectWith::new(self.storage, self.collection, self.query, Paths::new(paths))
    }

    /// The query as the storage takes it, with stored values.
    pub(crate) fn stored(&self) -> Result<Query> {
        let mut query = self.query.clone();
        query.filter = self.collection.stored_filter(query.filter)?;
        Ok(query)
    }

    pub(crate) fn object(&self, record: &Record) -> Result<T> {
        from_record(&self.collection, &self.query.selected(&self.collection), record)
    }

    /// All of them.
    ///
    /// # Errors
    /// [`Error::UnknownField`], [`Error::InvalidValue`].
    pub async fn all(self) -> Result<Vec<T>> {
        let records = self.storage.find(self.stored()?).await?;
        records.iter().map(|record| self.object(record)).collect()
    }

    /// The first one.
    ///
    /// # Errors
    /// As [`Select::all`].
    pub async fn first(mut self) -> Result<Option<T>> {
        if !matches!(self.query.filter, Filter::Keys(_)) {
            self.query.limit = Some(1);
        }
        let records = self.storage.find(self.stored()?).await?;
        records.first().map(|record| self.object(record)).transpose()
    }

    /// A page, and where it ends: give that to [`Select::after`] for the next page. `None`: there is no further page.
    ///
    /// # Errors
    /// As [`Select::all`]; [`Error::InvalidOperation`] with a projection, whose records do not hold the order's fields.
    pub async fn page(self, size: u64) -> Result<(Vec<T>, Option<Position>)> {
        if self.query.select.is_some() {
            let reason = "a query with a projection cannot be paged; page it without";
            return Err(Error::invalid(self.collection.name(), reason));
        }
        let select = self.limit(size.max(1));
        let records = select.storage.find(select.stored()?).await?;
        let full = records.len() as u64 == size.max(1);
        let end = records.last().filter(|_| full);
        let end = end.map(|record| select.query.position_of(&select.collection, record));
        let objects = records.iter().map(|record| select.object(record)).collect::<Result<_>>()?;
        Ok((objects, end))
    }

    /// All of them, now and after each change; see [`Storage::live`].
    ///
    /// # Errors
    /// [`Error::UnknownField`], [`Error::InvalidValue`] for a filter that a custom type has no stored form of.
    pub fn live(self) -> Result<Live<T>> {
        Ok(Live::new(&self.storage, self.stored()?, from_record))
    }

    /// How many there are.
    ///
    /// # Errors
    /// As [`Select::all`].
    pub async fn count(self) -> Result<u64> {
        self.storage.count(self.stored()?).await
    }
}

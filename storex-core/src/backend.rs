//! [`Backend`]: what a database must do.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::aggregate::{Aggregation, Aggregator};
use crate::batch::Batch;
use crate::change_set::ChangeSink;
use crate::error::{Error, Result};
use crate::maybe::{MaybeSend, MaybeSync};
use crate::operation::CustomOperation;
use crate::query::Query;
use crate::record::Record;
use crate::run::BatchOutcome;
use crate::schema::{Plan, Registry};
use crate::snapshot::Snapshot;

/// What a database must do, and nothing more: conveniences live on [`Storage`](crate::Storage).
///
/// The conformance suite (`storex-conformance`) says in tests what this contract says in words.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait Backend: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// The backend's name, for messages.
    fn name(&self) -> &'static str;

    /// What this backend can do beyond the contract.
    fn capabilities(&self) -> Capabilities;

    /// Opens the database and brings it to the schema of the registry, as [`plan`](crate::plan) says. Nothing else but
    /// [`Backend::plan`] may be called before.
    ///
    /// - Adopted collections are checked, never changed.
    /// - Opening again with the same registry changes nothing.
    /// - A kill at any moment leaves a database that the next opening finishes; an error leaves it as it was, or so that the
    ///   next opening goes on.
    ///
    /// # Errors
    /// [`Error::SchemaMismatch`] when a collection on disk does not fit the registry, [`Error::NewerSchema`] when a newer
    /// program has been there, [`Error::Migration`] when an object cannot be migrated.
    async fn open(&self, registry: Arc<Registry>) -> Result<()>;

    /// What [`Backend::open`] would change. Changes nothing.
    ///
    /// # Errors
    /// As [`Backend::open`], as far as that can be seen without looking at each object.
    async fn plan(&self, registry: Arc<Registry>) -> Result<Plan> {
        // A database that keeps nothing has nothing to migrate.
        let _ = registry;
        Ok(Plan::default())
    }

    /// Reads objects; the query is checked already. Sees every batch that was executed before the call.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn find(&self, query: Query) -> Result<Vec<Record>>;

    /// Counts the objects that the query would give (with its limit and offset).
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn count(&self, query: Query) -> Result<u64>;

    /// What the objects that a filter matches come to; the aggregation is checked already. All of them are seen as they are
    /// at one moment.
    ///
    /// By default they are all read, and added up by an [`Aggregator`](crate::Aggregator).
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a sum that leaves its range, or [`Error::Backend`].
    async fn aggregate(
        &self,
        aggregation: Aggregation,
        registry: &Registry,
    ) -> Result<Vec<Record>> {
        let found = self.find(aggregation.query()).await?;
        let collection = registry.collection(&aggregation.collection)?;
        let mut aggregator = Aggregator::new(&aggregation, collection);
        found.iter().for_each(|record| aggregator.add(record));
        aggregator.finish()
    }

    /// Executes a batch through a [`BatchRun`](crate::BatchRun): all of it or nothing.
    ///
    /// - When this returns `Ok`, every reader sees the whole batch; when it returns an error, nothing was written.
    /// - Dropping the future leaves all or nothing: the batch may still be executed.
    ///
    /// # Errors
    /// What is wrong with a step, what a continuation refuses with, or [`Error::Backend`].
    async fn execute(&self, batch: Batch) -> Result<BatchOutcome>;

    /// Does something that only this backend can do.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a name that [`Capabilities::custom_operations`] does not list.
    async fn custom(&self, operation: CustomOperation) -> Result<Json> {
        Err(Error::Unsupported {
            backend: self.name(),
            what: format!("the custom operation `{}`", operation.name),
        })
    }

    /// Returns when everything executed before is safe from a loss of power. Sync calls it before it tells another
    /// device of a write.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn flush(&self) -> Result<()>;

    /// A number that is another one after somebody else has committed: another process, or whoever writes to the same
    /// database beside this backend. Its own commits do not change it.
    ///
    /// `None`, always, where nobody else can write or it cannot be known. It is asked for ten times a second while
    /// somebody listens to the storage's changes, so it must not read the data.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Backend`].
    async fn data_version(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Tells here, from now on, what others commit to the same database: soon after each commit, and only then. What it
    /// commits itself, the storage tells. It is called when the backend was opened, and holds for each time that it is
    /// opened again.
    ///
    /// By default nothing is told: a backend that does not hear of others can be asked, by [`Backend::data_version`].
    fn tell_changes(&self, to: ChangeSink) {
        let _ = to;
    }

    /// What is here now, to be read while others write.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where [`Capabilities::snapshots`] says that there are none; [`Error::Backend`].
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        Err(Error::Unsupported { backend: self.name(), what: "snapshots".to_owned() })
    }

    /// Finishes what is running and lets go of the database and its locks. Closing twice is harmless.
    ///
    /// # Errors
    /// [`Error::Backend`].
    async fn close(&self) -> Result<()>;
}

/// A shared backend is a backend.
#[deny(clippy::missing_trait_methods)]
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    async fn open(&self, registry: Arc<Registry>) -> Result<()> {
        (**self).open(registry).await
    }

    async fn plan(&self, registry: Arc<Registry>) -> Result<Plan> {
        (**self).plan(registry).await
    }

    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        (**self).find(query).await
    }

    async fn count(&self, query: Query) -> Result<u64> {
        (**self).count(query).await
    }

    async fn aggregate(
        &self,
        aggregation: Aggregation,
        registry: &Registry,
    ) -> Result<Vec<Record>> {
        (**self).aggregate(aggregation, registry).await
    }

    async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        (**self).execute(batch).await
    }

    async fn custom(&self, operation: CustomOperation) -> Result<Json> {
        (**self).custom(operation).await
    }

    async fn flush(&self) -> Result<()> {
        (**self).flush().await
    }

    async fn data_version(&self) -> Result<Option<u64>> {
        (**self).data_version().await
    }

    fn tell_changes(&self, to: ChangeSink) {
        (**self).tell_changes(to);
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        (**self).snapshot().await
    }

    async fn close(&self) -> Result<()> {
        (**self).close().await
    }
}

/// What a backend can do beyond the contract. What is not there is refused by name, never skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What was written is there after closing and opening again.
    pub persistent: bool,
    /// The custom operations.
    pub custom_operations: &'static [&'static str],
    /// It can be read as it was at one moment while others write: [`Backend::snapshot`].
    pub snapshots: bool,
    /// Texts are ordered otherwise than by their bytes in UTF-8, as in an adopted database that keeps them as UTF-16. Known once the
    /// backend is open.
    pub other_text_order: bool,
}

impl Capabilities {
    /// What was written is there after closing and opening again.
    #[must_use]
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// The backend knows these custom operations.
    #[must_use]
    pub fn custom_operations(mut self, names: &'static [&'static str]) -> Self {
        self.custom_operations = names;
        self
    }

    /// The backend has [snapshots](Backend::snapshot).
    #[must_use]
    pub fn snapshots(mut self) -> Self {
        self.snapshots = true;
        self
    }

    /// Whether the backend orders texts otherwise than by their bytes in UTF-8.
    #[must_use]
    pub fn other_text_order(mut self, is_other: bool) -> Self {
        self.other_text_order = is_other;
        self
    }
}

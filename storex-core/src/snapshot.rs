//! [`Snapshot`] and [`StorageSnapshot`]: what a database held at one moment.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::maybe::{MaybeSend, MaybeSync};
use crate::query::Query;
use crate::record::Record;
use crate::storage::Storage;

/// What a [`Backend`](crate::Backend) held at one moment; what is written later is not in it. Dropping it frees it.
///
/// It sees every batch that was executed before it was taken, and whole batches only. Several may be held at a time, each
/// of its own moment. Closing the backend ends it: then everything fails with [`Error::Closed`](crate::Error::Closed).
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait Snapshot: fmt::Debug + MaybeSend + MaybeSync {
    /// Reads objects, as [`Backend::find`](crate::Backend::find); the query is checked already.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), [`Error::Backend`](crate::Error::Backend).
    async fn find(&self, query: Query) -> Result<Vec<Record>>;

    /// Counts objects, as [`Backend::count`](crate::Backend::count).
    ///
    /// # Errors
    /// As [`Snapshot::find`].
    async fn count(&self, query: Query) -> Result<u64>;
}

/// What a [`Storage`] held at one moment; see [`Storage::snapshot`].
#[derive(Debug)]
pub struct StorageSnapshot {
    storage: Storage,
    snapshot: Box<dyn Snapshot>,
}

impl Storage {
    /// What is here now, to be read later: for a reader of many pages that must fit together. It is read past the
    /// middleware, reserved collections included.
    ///
    /// Hold it no longer than needed: a database keeps what is replaced meanwhile until it is dropped (SQLite's `-wal` file
    /// grows by all that is written). Closing or suspending the storage ends it.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{Definition, FieldType, Query, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # use serde_json::json;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
    /// # let note = Definition::new("note").field("id", FieldType::Int).primary_key(["id"]);
    /// # let registry = Registry::builder().collection(note).build()?;
    /// # let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1))).open().await?;
    /// let snapshot = storage.snapshot().await?;
    /// storage.dynamic("note")?.create(json!({"id": 1})).await?;
    /// assert_eq!(snapshot.count(Query::new("note")).await?, 0);
    /// assert_eq!(storage.count(Query::new("note")).await?, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) where the backend has none
    /// ([`Capabilities::snapshots`](crate::Capabilities::snapshots)); [`Error::Closed`](crate::Error::Closed), or what the
    /// backend fails with.
    pub async fn snapshot(&self) -> Result<StorageSnapshot> {
        self.lifecycle().check()?;
        let snapshot = self.lifecycle().explain(self.backend().snapshot().await)?;
        Ok(StorageSnapshot { storage: self.clone(), snapshot })
    }
}

impl StorageSnapshot {
    /// Reads objects.
    ///
    /// # Errors
    /// What is wrong with the query; [`Error::Closed`](crate::Error::Closed), or what the backend fails with.
    pub async fn find(&self, mut query: Query) -> Result<Vec<Record>> {
        self.storage.lifecycle().check()?;
        query.check(self.storage.registry())?;
        self.storage.lifecycle().explain(self.snapshot.find(query).await)
    }

    /// Counts objects.
    ///
    /// # Errors
    /// As [`StorageSnapshot::find`].
    pub async fn count(&self, mut query: Query) -> Result<u64> {
        self.storage.lifecycle().check()?;
        query.check(self.storage.registry())?;
        self.storage.lifecycle().explain(self.snapshot.count(query).await)
    }
}

//! [`Blobs::forget_all`]: gives all blobs of a database up.

use storex_core::{Batch, Changes, Filter, Query, Step};

use super::Blobs;
use super::local::Local;
use super::rows::{BLOB, BlobRow, LOOSE};
use crate::error::{Result, SyncError};
use crate::failure::Failure;

impl Blobs {
    /// Deletes all blobs here, and no longer sends or receives any: for signing out, as [`Sync::sign_out`](crate::Sync::sign_out)
    /// leaves them. What the store has stays there. Writers that are at work are interrupted.
    ///
    /// Stop [`run`](Self::run) first, and send what waits with [`sync_once`](Self::sync_once). Cancel-safe: all are given up, or
    /// none; what is left of their contents is cleared away later then.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let storage = Storage::builder(MemoryBackend::new(), Registry::builder().build()?, Arc::new(TestRuntime::new(1)))
    /// #     .module(storex_sync::Blobs::module()).open().await?;
    /// # let store = Arc::new(storex_sync::MemoryBlobStore::new());
    /// use storex_sync::{Blobs, SyncError};
    ///
    /// let blobs = Blobs::open(&storage, store).await?;
    /// blobs.put(b"a picture").await?;
    /// match blobs.forget_all().await {
    ///     Ok(()) => {}
    ///     // Ask the user whether to lose them, and if so:
    ///     Err(SyncError::BlobsNotSent { blobs: 1 }) => blobs.forget_all_discarding().await?,
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SyncError::BlobsNotSent`] when some were not sent: nothing was changed. [`SyncError::Storage`].
    pub async fn forget_all(&self) -> Result<()> {
        self.give_up_all(|unsent| match unsent {
            0 => Ok(()),
            blobs => Err(SyncError::BlobsNotSent { blobs }),
        })
        .await
    }

    /// Deletes all blobs here as [`forget_all`](Self::forget_all) does, **and loses what was not sent**.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn forget_all_discarding(&self) -> Result<()> {
        self.give_up_all(|_| Ok(())).await
    }

    async fn give_up_all(&self, allow: fn(u64) -> Result<()>) -> Result<()> {
        let local = &self.inner.local;
        local.give_up_all(allow).await?;
        local.clear().await?;
        self.inner.changed().await;
        Ok(())
    }
}

impl Local {
    /// Makes the contents of all blobs, and those that are being written, ones that are to be deleted. The function is asked with
    /// the number of those that were not sent.
    async fn give_up_all(&self, allow: fn(u64) -> Result<()>) -> Result<()> {
        let failure = Failure::default();
        let kept = failure.clone();
        let batch =
            Batch::new().find(Query::new(BLOB)).touching([BLOB, LOOSE]).then(move |trace| {
                let rows = trace.found(0).iter().map(BlobRow::read).collect();
                let rows: Vec<BlobRow> = kept.keep(rows)?;
                let unsent = rows.iter().filter(|row| row.state.sends()).count();
                kept.keep(allow(unsent as u64))?;
                let begun = Step::Update {
                    collection: LOOSE.into(),
                    filter: Filter::All,
                    changes: Changes::new().set("touched", 0),
                };
                let gone = Step::Delete { collection: BLOB.into(), filter: Filter::All };
                let steps = rows.iter().map(BlobRow::loosen).chain([begun, gone]);
                Ok(steps.collect::<Vec<_>>())
            });
        failure.or(self.storage.apply(batch).await, "giving all blobs up").map(|_| ())
    }
}

//! What can be done about parked transactions: retried, discarded; and how many there may be.

use storex_core::{Filter, Query, Step};

use crate::apply::Applied;
use crate::error::{Result, SyncError};
use crate::meta::write_meta;
use crate::parked::{PARKED, Parked, find, parked, parked_key};
use crate::sync::Sync;
use crate::writes::WriteId;

/// How many transactions may wait at once, unless the application says otherwise.
pub(crate) const MOST_PARKED: u64 = 10_000;

/// The row of `_storex_meta` that is there when the application has discarded this transaction.
pub(crate) fn discarded_name(WriteId { device, sequence }: WriteId) -> String {
    let id = u128::from_be_bytes(device.id);
    format!("discarded {id:032x}.{}/{sequence}", device.incarnation)
}

impl Sync {
    /// With another number of transactions that may be parked at once; without this it is 10,000. When it is reached nothing
    /// more is received (with [`SyncError::ParkingFull`], and nothing is lost), until something is applied or
    /// [discarded](Sync::discard). What is written here is sent all the same.
    #[must_use]
    pub fn most_parked(mut self, most: u64) -> Self {
        self.replica.most_parked = most;
        self
    }

    /// Tries what is parked again; what can be applied now is no longer parked. It is done by itself in the first exchange after
    /// the storage was opened, and, with what waits for other data, when something has arrived.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn retry_parked(&self) -> Result<Applied> {
        let turn = self.turn().await?;
        let parked = parked(&self.replica.storage).await?;
        self.replica.guarded(turn.guard()).retry_parked(parked).await
    }

    /// Tries one parked transaction again. It stays parked when that did not help: then nothing is applied.
    ///
    /// # Errors
    /// [`SyncError::UnknownWrite`] when it is not parked, [`SyncError::Storage`].
    pub async fn retry(&self, write: WriteId) -> Result<Applied> {
        let turn = self.turn().await?;
        let parked = self.parked_one(write).await?;
        self.replica.guarded(turn.guard()).retry_parked(vec![parked]).await
    }

    /// Forgets a parked transaction: it will never be applied here. Gives it back, so that the application can keep it.
    ///
    /// This device differs from others by it then, unless they have discarded it too, or later writes cover what it says. It
    /// does not come again; an initial sync brings what it has led to elsewhere.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{Definition, FieldType, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # use storex_sync::{LogId, MemorySharedLog, Sync, SyncLog, WriteId};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let note = Definition::new("note").field("title", FieldType::String);
    /// # let registry = Registry::builder().collection(note).build()?;
    /// # let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
    /// #     .middleware(SyncLog::new()).open().await?;
    /// # let sync = Sync::open(&storage, Arc::new(MemorySharedLog::new(LogId([7; 16])))).await?;
    /// for parked in storex_sync::parked(&storage).await? {
    ///     println!("{} of {}: {}", parked.sequence, parked.device, parked.reason);
    ///     sync.discard(WriteId { device: parked.device, sequence: parked.sequence }).await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SyncError::UnknownWrite`] when it is not parked, [`SyncError::Storage`].
    pub async fn discard(&self, write: WriteId) -> Result<Parked> {
        let turn = self.turn().await?;
        let parked = self.parked_one(write).await?;
        let filter = Filter::Keys(vec![parked_key(write.device, write.sequence)]);
        let delete = Step::Delete { collection: PARKED.into(), filter };
        // The log may be read again, and with it what was seen before.
        let note = write_meta(vec![(&discarded_name(write), Vec::new())]);
        let replica = self.replica.guarded(turn.guard());
        replica.write(vec![delete, note], "discarding a parked transaction").await?;
        tracing::info!(%write, reason = parked.reason, "a parked transaction was discarded");
        Ok(parked)
    }

    async fn parked_one(&self, write: WriteId) -> Result<Parked> {
        let WriteId { device, sequence } = write;
        let query = Query::new(PARKED).filter(Filter::Keys(vec![parked_key(device, sequence)]));
        let found = find(&self.replica.storage, query).await?;
        found.into_iter().next().ok_or(SyncError::UnknownWrite { device, sequence })
    }
}

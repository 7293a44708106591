//! [`SyncHandle`]: what an application uses of a running sync, wherever it runs.

use std::fmt;

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync, Value};
use tokio::sync::watch;

use crate::apply::Applied;
use crate::compact::Compacted;
use crate::continuous::{ContinuousSync, SyncEvents};
use crate::digest::Digest;
use crate::engine::status::SyncStatus;
use crate::error::Result;
use crate::journal::{ConflictId, ConflictJournal, ConflictQuery, NotedConflict};
use crate::parked::{Parked, parked};
use crate::rejected::{Rejected, rejected};
use crate::report::SyncReport;
use crate::stamp::Device;
use crate::writes::{WriteId, WriteState};

/// A running sync, as an application uses it: [`ContinuousSync`] where it runs, and [`RemoteSync`](crate::RemoteSync) where
/// it runs in another place (a worker, another process). An application that is written against this need not know which.
///
/// All methods are cancel-safe: what is given up was done, or is not, and nothing is lost by it. Through a proxy each may
/// also fail with [`SyncError::Disconnected`](crate::SyncError::Disconnected), and errors that cannot be rebuilt here arrive
/// as [`SyncError::Elsewhere`](crate::SyncError::Elsewhere), with class and message as they were.
///
/// Several may have a handle on one sync (see [`SyncHost`](crate::SyncHost)), and on one database: [`stop`](Self::stop) is for
/// one of them, and what changes something is for all. [`pause`](Self::pause), [`resume`](Self::resume),
/// [`logged_in`](Self::logged_in), [`discard`](Self::discard), [`retry_rejected`](Self::retry_rejected),
/// [`discard_rejected`](Self::discard_rejected), [`undo_conflict`](Self::undo_conflict),
/// [`replace_conflict`](Self::replace_conflict), [`forget_conflict`](Self::forget_conflict), [`compact`](Self::compact) and
/// [`send_state`](Self::send_state) act on what all of them see, whoever calls them. Through a proxy at most 1000 calls may be
/// under way at once, see [`RemoteSync`](crate::RemoteSync).
///
/// ```
/// # use std::sync::Arc;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// # use storex_sync::{ContinuousSync, LogId, MemorySharedLog, Sync, SyncLog};
/// use storex_sync::{ConflictQuery, SyncHandle};
///
/// async fn overview(sync: &dyn SyncHandle) -> storex_sync::Result<String> {
///     let in_step = sync.status().borrow().in_step;
///     let (unsent, parked) = (sync.unsent().await?, sync.parked().await?.len());
///     let conflicts = sync.conflicts(&ConflictQuery::new()).await?.len();
///     Ok(format!("in step: {in_step}, to send: {unsent}, waiting: {parked}, conflicts: {conflicts}"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let note = Definition::new("note").field("title", FieldType::String);
/// # let registry = Registry::builder().collection(note).build()?;
/// # let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
/// #     .middleware(SyncLog::new()).open().await?;
/// # let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
/// let sync = ContinuousSync::start(Sync::open(&storage, log).await?, std::time::Duration::from_secs(60));
/// sync.sync_now().await.ok_or("it was stopped")??;
/// assert_eq!(overview(&sync).await?, "in step: true, to send: 0, waiting: 0, conflicts: 0");
/// # sync.stop().await;
/// # Ok(()) }
/// ```
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait SyncHandle: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// See [`ContinuousSync::status`].
    fn status(&self) -> watch::Receiver<SyncStatus>;

    /// See [`ContinuousSync::events`].
    fn events(&self) -> SyncEvents;

    /// See [`ContinuousSync::sync_now`].
    ///
    /// # Errors
    /// As there.
    async fn sync_now(&self) -> Option<Result<SyncReport>>;

    /// See [`ContinuousSync::await_synced`].
    ///
    /// # Errors
    /// As there.
    async fn await_synced(&self, write: WriteId) -> Result<()>;

    /// See [`ContinuousSync::pause`].
    ///
    /// # Errors
    /// As there.
    async fn pause(&self) -> Result<()>;

    /// See [`ContinuousSync::resume`].
    ///
    /// # Errors
    /// As there.
    async fn resume(&self) -> Result<()>;

    /// See [`ContinuousSync::logged_in`].
    fn logged_in(&self);

    /// Stops it for whoever holds this handle; whoever asks for an exchange or waits for one learns that it was stopped. Stopping
    /// twice is harmless.
    ///
    /// Where it runs that is all there is to it, see [`ContinuousSync::stop`]. Through a proxy the others who use the same sync
    /// go on, see [`SyncHost`](crate::SyncHost).
    async fn stop(&self);

    /// See [`Sync::device`](crate::Sync::device).
    ///
    /// # Errors
    /// As there.
    async fn device(&self) -> Result<Device>;

    /// See [`Sync::unsent`](crate::Sync::unsent).
    ///
    /// # Errors
    /// As there.
    async fn unsent(&self) -> Result<u64>;

    /// See [`Sync::last_write`](crate::Sync::last_write).
    ///
    /// # Errors
    /// As there.
    async fn last_write(&self) -> Result<Option<WriteId>>;

    /// See [`Sync::write_state`](crate::Sync::write_state).
    ///
    /// # Errors
    /// As there.
    async fn write_state(&self, write: WriteId) -> Result<WriteState>;

    /// See [`parked`](crate::parked()).
    ///
    /// # Errors
    /// As there.
    async fn parked(&self) -> Result<Vec<Parked>>;

    /// See [`Sync::retry_parked`](crate::Sync::retry_parked).
    ///
    /// # Errors
    /// As there.
    async fn retry_parked(&self) -> Result<Applied>;

    /// See [`Sync::retry`](crate::Sync::retry).
    ///
    /// # Errors
    /// As there.
    async fn retry(&self, write: WriteId) -> Result<Applied>;

    /// See [`Sync::discard`](crate::Sync::discard).
    ///
    /// # Errors
    /// As there.
    async fn discard(&self, write: WriteId) -> Result<Parked>;

    /// See [`rejected`](crate::rejected()).
    ///
    /// # Errors
    /// As there.
    async fn rejected(&self) -> Result<Vec<Rejected>>;

    /// See [`Sync::retry_rejected`](crate::Sync::retry_rejected).
    ///
    /// # Errors
    /// As there.
    async fn retry_rejected(&self, write: WriteId) -> Result<()>;

    /// See [`Sync::discard_rejected`](crate::Sync::discard_rejected).
    ///
    /// # Errors
    /// As there.
    async fn discard_rejected(&self, write: WriteId) -> Result<Rejected>;

    /// See [`ConflictJournal::list`].
    ///
    /// # Errors
    /// As there.
    async fn conflicts(&self, which: &ConflictQuery) -> Result<Vec<NotedConflict>>;

    /// See [`ConflictJournal::undo`].
    ///
    /// # Errors
    /// As there.
    async fn undo_conflict(&self, conflict: ConflictId) -> Result<()>;

    /// See [`ConflictJournal::replace`].
    ///
    /// # Errors
    /// As there.
    async fn replace_conflict(&self, conflict: ConflictId, value: Value) -> Result<()>;

    /// See [`ConflictJournal::forget`].
    ///
    /// # Errors
    /// As there.
    async fn forget_conflict(&self, conflict: ConflictId) -> Result<()>;

    /// See [`Sync::digest`](crate::Sync::digest).
    ///
    /// # Errors
    /// As there.
    async fn digest(&self) -> Result<Digest>;

    /// See [`Sync::compact`](crate::Sync::compact).
    ///
    /// # Errors
    /// As there.
    async fn compact(&self) -> Result<Compacted>;

    /// See [`Sync::send_state`](crate::Sync::send_state).
    ///
    /// # Errors
    /// As there.
    async fn send_state(&self) -> Result<()>;
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SyncHandle for ContinuousSync {
    fn status(&self) -> watch::Receiver<SyncStatus> {
        Self::status(self)
    }

    fn events(&self) -> SyncEvents {
        Self::events(self)
    }

    async fn sync_now(&self) -> Option<Result<SyncReport>> {
        Self::sync_now(self).await
    }

    async fn await_synced(&self, write: WriteId) -> Result<()> {
        Self::await_synced(self, write).await
    }

    async fn pause(&self) -> Result<()> {
        Self::pause(self).await
    }

    async fn resume(&self) -> Result<()> {
        Self::resume(self).await
    }

    fn logged_in(&self) {
        Self::logged_in(self);
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }

    async fn device(&self) -> Result<Device> {
        self.sync().device().await
    }

    async fn unsent(&self) -> Result<u64> {
        self.sync().unsent().await
    }

    async fn last_write(&self) -> Result<Option<WriteId>> {
        self.sync().last_write().await
    }

    async fn write_state(&self, write: WriteId) -> Result<WriteState> {
        self.sync().write_state(write).await
    }

    async fn parked(&self) -> Result<Vec<Parked>> {
        parked(&self.sync().replica.storage).await
    }

    async fn retry_parked(&self) -> Result<Applied> {
        self.sync().retry_parked().await
    }

    async fn retry(&self, write: WriteId) -> Result<Applied> {
        self.sync().retry(write).await
    }

    async fn discard(&self, write: WriteId) -> Result<Parked> {
        self.sync().discard(write).await
    }

    async fn rejected(&self) -> Result<Vec<Rejected>> {
        rejected(&self.sync().replica.storage).await
    }

    async fn retry_rejected(&self, write: WriteId) -> Result<()> {
        self.sync().retry_rejected(write).await
    }

    async fn discard_rejected(&self, write: WriteId) -> Result<Rejected> {
        self.sync().discard_rejected(write).await
    }

    async fn conflicts(&self, which: &ConflictQuery) -> Result<Vec<NotedConflict>> {
        journal(self).list(which).await
    }

    async fn undo_conflict(&self, conflict: ConflictId) -> Result<()> {
        journal(self).undo(conflict).await
    }

    async fn replace_conflict(&self, conflict: ConflictId, value: Value) -> Result<()> {
        journal(self).replace(conflict, value).await
    }

    async fn forget_conflict(&self, conflict: ConflictId) -> Result<()> {
        journal(self).forget(conflict).await
    }

    async fn digest(&self) -> Result<Digest> {
        self.sync().digest().await
    }

    async fn compact(&self) -> Result<Compacted> {
        self.sync().compact().await
    }

    async fn send_state(&self) -> Result<()> {
        self.sync().send_state().await
    }
}

fn journal(continuous: &ContinuousSync) -> ConflictJournal {
    ConflictJournal::of(continuous.sync().replica.clone())
}

//! [`InitialSync`]: brings the contents of one device to another over a [`Channel`].
//!
//! ```text
//!   sender                                    receiver
//!   Hello: who, schema, devices, place   ──▶
//!                                        ◀──  Accept (or Failed, with the reason)
//!   Parked: transactions that wait       ──▶  parked, and tried at the end
//!                                        ◀──  Received     a few pages may be under way
//!   Tombstones: clocks of deleted objects ─▶  merged and committed
//!                                        ◀──  Received
//!   Rows: a page of a collection, clocks ──▶  merged and committed
//!                                        ◀──  Received
//!   Finish                               ──▶  takes over devices and place
//!                                        ◀──  Finished
//! ```
//!
//! A page is read in one transaction with its clocks. What is written on the sender meanwhile is in later pages, or
//! arrives through the shared log: the receiver goes on from where the sender was *before* the first page, and what it
//! has already is passed over by its clocks. So nothing falls between the two.

mod arriving;
pub(crate) mod difference;
pub(crate) mod frame;
mod images;
mod noted;
mod receive;
mod refused;
mod send;

use std::fmt;
use std::sync::Arc;

use storex_core::{MaybeSend, MaybeSync, Name};

use crate::apply::Replica;
use crate::channel::Channel;
use crate::error::{Result, describe};
use crate::lane::Lane;
use crate::parked::parked;

/// How far an initial sync has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The collection that is under way.
    pub collection: Name,
    /// Objects that are through, of all collections.
    pub done: u64,
    /// Objects that there were at the beginning, of all collections.
    pub total: u64,
}

/// What an initial sync has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitialSyncReport {
    /// Objects per collection, in the order of the schema.
    pub objects: Vec<(Name, u64)>,
    /// Deleted objects that were told about.
    pub tombstones: u64,
    /// Objects that were newer on the receiver and stayed. Zero on the sender.
    pub kept: u64,
    /// Objects that were parked: they break a rule of the schema together with what is here, or the application refuses them. The
    /// rules of the merge may have let them in since. Zero on the sender.
    pub parked: u64,
}

impl InitialSyncReport {
    /// All objects.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.objects.iter().map(|(_, count)| count).sum()
    }
}

/// Brings the contents of one device to another: one call on each side, over the two ends of a [`Channel`].
///
/// Objects merge by stamp: a newer one on the receiver stays, deletions travel, and of two objects older than sync the
/// sender's is taken. Nothing that arrives is logged again. Doing it twice changes nothing.
///
/// ```
/// # use std::sync::Arc;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// use serde_json::json;
/// use storex_sync::{InitialSync, MemoryChannel, SyncLog};
///
/// # async fn device(seed: u64) -> Storage {
/// #     let note = Definition::new("note").field("title", FieldType::String);
/// #     let registry = Registry::builder().collection(note).build().unwrap();
/// #     Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(seed)))
/// #         .middleware(SyncLog::new()).open().await.unwrap()
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (a, b) = (device(1).await, device(2).await); // two storages with a `SyncLog`
/// a.dynamic("note")?.create(json!({"id": "1", "title": "Hello"})).await?;
///
/// let (mut here, mut there) = MemoryChannel::pair();
/// let sender = InitialSync::open(&a).await?;
/// let receiver = InitialSync::open(&b).await?;
/// let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
/// assert_eq!((sent?.total(), received?.total()), (1, 1));
/// assert_eq!(b.dynamic("note")?.count(&json!({})).await?, 1);
/// # Ok(()) }
/// ```
pub struct InitialSync {
    replica: Replica,
    page: u64,
    progress: Option<Arc<dyn ProgressFn>>,
}

/// Rows of a page: large enough that a commit is shared by many, small enough that a page takes little memory.
const PAGE: u64 = 1000;

/// Pages that may be under way without an answer.
const WINDOW: usize = 4;

trait ProgressFn: MaybeSend + MaybeSync {
    fn call(&self, progress: Progress);
}

impl<F: Fn(Progress) + MaybeSend + MaybeSync> ProgressFn for F {
    fn call(&self, progress: Progress) {
        self(progress);
    }
}

impl fmt::Debug for InitialSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitialSync").field("page", &self.page).finish_non_exhaustive()
    }
}

impl InitialSync {
    /// Prepares an initial sync of a storage that has a [`SyncLog`](crate::SyncLog).
    ///
    /// # Errors
    /// [`SyncError::NoSyncLog`](crate::SyncError::NoSyncLog), [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn open(storage: impl Into<Lane>) -> Result<Self> {
        Ok(Self::of(Replica::open(storage.into()).await?))
    }

    pub(crate) fn of(replica: Replica) -> Self {
        Self { replica, page: PAGE, progress: None }
    }

    /// Rows per page; 1,000 unless told otherwise.
    #[must_use]
    pub fn page(mut self, rows: u64) -> Self {
        self.page = rows.max(1);
        self
    }

    /// Calls a function after every page.
    #[must_use]
    pub fn on_progress(
        mut self,
        function: impl Fn(Progress) + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        self.progress = Some(Arc::new(function));
        self
    }

    /// Sends this device's contents.
    ///
    /// # Errors
    /// [`SyncError`](crate::SyncError); what the receiver has committed stays there, and a further initial sync goes on
    /// from it. [`SyncError::HoldsLess`](crate::SyncError::HoldsLess): meanwhile it was chosen to hold less here.
    pub async fn send(&self, channel: &mut dyn Channel) -> Result<InitialSyncReport> {
        let result = send::run(self, channel).await;
        give_up(channel, &result).await;
        result
    }

    /// Receives another device's contents.
    ///
    /// # Errors
    /// [`SyncError`](crate::SyncError); what was committed stays, and a further initial sync goes on from it.
    ///
    /// An object that breaks a rule of the schema together with one that is here holds up nothing: it is parked, as what comes
    /// through a shared log, and the rules of the merge ([`UniqueRule`](crate::UniqueRule)) have their say at the end.
    pub async fn receive(&self, channel: &mut dyn Channel) -> Result<InitialSyncReport> {
        let result = self.take(channel).await;
        if result.is_ok() {
            // Everything is here now, so it can be judged by the rules of the merge.
            self.replica.retry_parked(parked(&self.replica.storage).await?).await?;
        }
        result
    }

    /// Receives, and leaves what is parked until more has arrived through the shared log.
    pub(crate) async fn take(&self, channel: &mut dyn Channel) -> Result<InitialSyncReport> {
        let result = receive::run(self, channel).await;
        give_up(channel, &result).await;
        result
    }

    /// Takes objects and nothing else: this device has seen no more by it than before.
    pub(crate) async fn fill(&self, channel: &mut dyn Channel) -> Result<()> {
        receive::fill(self, channel).await
    }

    fn tell(&self, collection: &Name, done: u64, total: u64) {
        if let Some(progress) = &self.progress {
            progress.call(Progress { collection: Name::clone(collection), done, total });
        }
    }
}

/// Tells the other side why this side gives up; it may be gone, which is no further error.
async fn give_up(channel: &mut dyn Channel, result: &Result<InitialSyncReport>) {
    let Err(error) = result else { return };
    if matches!(error, crate::SyncError::Remote { .. } | crate::SyncError::Closed { .. }) {
        return;
    }
    let frame = frame::Frame::Failed { reason: describe(error) };
    if let Err(error) = channel.send(frame.encode()).await {
        tracing::debug!(%error, "the other side could not be told of the failure");
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;
    use crate::channel::MemoryChannel;

    /// Both sides run as tasks of their own: their futures must be `Send`. Compiling is the test.
    #[test]
    fn both_sides_can_be_spawned() {
        fn sendable<F: Future + Send>(
            _: impl Fn(&'static InitialSync, &'static mut MemoryChannel) -> F,
        ) {
        }
        sendable(|sync, channel| sync.send(channel));
        sendable(|sync, channel| sync.receive(channel));
    }
}

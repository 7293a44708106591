//! [`InitialSync`]: brings the contents of one device to another over a [`Channel`].
//!
//! ```text
//!   session (session.rs): both greet at once, then one leg, or one each way
//!     leg (send.rs, receive.rs)
//!       sender                                    receiver
//!       Hello: who, schema, devices, place   ──▶
//!                                            ◀──  Accept: what is taken otherwise
//!       Parked: transactions that wait       ──▶  parked, and tried at the end
//!                                            ◀──  Received     a few pages may be under way
//!       Tombstones: clocks of deleted objects ─▶  merged and committed
//!                                            ◀──  Received
//!       Rows: a page of a collection, clocks ──▶  merged and committed
//!                                            ◀──  Received
//!       Finish                               ──▶  takes over devices and place
//!                                            ◀──  Finished
//!   at any time (line.rs, watch.rs): Paused, Running, Cancel, Failed
//! ```
//!
//! All is read from a snapshot. Where the database has none, or only what differs is sent, a page is read in one transaction with its
//! clocks, and what is written on the sender meanwhile is in later pages. What is not sent arrives through the shared log: the receiver goes on from
//! where the sender was *before* the first page, and what it has already is passed over by its clocks. So nothing falls between the
//! two. One that was cut goes on where it was ([`resume`]).
//!
//! Snapshots in a shared log are legs without a session: the frames are recorded, and played later.

mod arriving;
mod control;
pub(crate) mod difference;
mod event;
mod fit;
pub(crate) mod frame;
mod hooks;
mod images;
mod line;
mod noted;
mod offer;
mod package;
mod pages;
mod receive;
mod refused;
mod report;
pub(crate) mod resume;
mod returning;
mod send;
mod session;
mod take_over;
mod unclaimed;
mod watch;

pub use control::InitialSyncControl;
pub use difference::Compared;
pub use event::{InitialSyncEvent, Lack, Progress, Role};
pub use fit::Missing;
pub use hooks::{InitialSyncHooks, PassingObject};
pub use report::{BothWaysReport, InitialSyncReport};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{Collection, MaybeSend, MaybeSync};

use crate::apply::Replica;
use crate::channel::Channel;
use crate::error::Result;
use crate::lane::Lane;
use crate::meta::Numbers;
use event::Observers;
use frame::Wants;
use line::Line;
use watch::{Patience, Watch};

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
///
/// Whatever goes wrong on one side the other is told of, with the reason ([`SyncError::Remote`](crate::SyncError::Remote)). Neither side
/// waits for ever: see [`deadline`](Self::deadline). A future of this type may be dropped at any time: what was committed stays, and the
/// other side finds the channel [closed](crate::SyncError::Closed) once it was dropped too.
pub struct InitialSync {
    replica: Replica,
    page: u64,
    window: usize,
    patience: Patience,
    missing: Missing,
    difference_only: bool,
    hooks: Option<Arc<dyn InitialSyncHooks>>,
    observers: Observers,
    control: InitialSyncControl,
}

/// Rows of a page, at most: so many that a commit is shared by many.
const PAGE: u64 = 4000;

/// Pages that may be under way without an answer.
const WINDOW: usize = 4;

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
        Self {
            replica,
            page: PAGE,
            window: WINDOW,
            patience: Patience::default(),
            missing: Missing::default(),
            difference_only: false,
            hooks: None,
            observers: Observers::default(),
            control: InitialSyncControl::new(),
        }
    }

    /// Rows per page, at most; 4,000 unless told otherwise. A page has about 1 MiB at most too, and one row at least.
    #[must_use]
    pub fn page(mut self, rows: u64) -> Self {
        self.page = rows.max(1);
        self
    }

    /// How many pages may be under way that the receiver has not committed; 4 unless told otherwise, and the lower number of both sides
    /// holds. So much memory is needed: on each side so many pages.
    #[must_use]
    pub fn window(mut self, pages: usize) -> Self {
        self.window = pages.clamp(1, 1024);
        self
    }

    /// After how long a silence of the other side [`InitialSyncEvent::Stalled`] is told; 10 s unless told otherwise. What the other side
    /// does before it says something is silence: reading or committing a page, its [hooks](Self::hooks).
    #[must_use]
    pub fn stall(mut self, after: Duration) -> Self {
        self.patience.stall = after;
        self
    }

    /// After how long a silence of the other side this side gives up, with [`SyncError::Timeout`](crate::SyncError::Timeout); 180 s unless
    /// told otherwise. While one of the sides [pauses](InitialSyncControl::pause) silence does not count.
    #[must_use]
    pub fn deadline(mut self, after: Duration) -> Self {
        self.patience.deadline = after;
        self
    }

    /// What this side does, as a receiver, about what its schema lacks; without this it refuses.
    #[must_use]
    pub fn missing(mut self, policy: Missing) -> Self {
        self.missing = policy;
        self
    }

    /// Sends only what differs, if the other side wants it too: before anything is sent both sides compare what they hold. For two devices
    /// that hold mostly the same; [`InitialSyncReport::compared`] tells whether it was done, and what it cost.
    ///
    /// Each side reads the clocks of all its objects for it, two or three times, and keeps none of them in memory.
    ///
    /// The way of comparing is range-based set reconciliation (A. Meyer, 2023, arXiv 2212.13567).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{Definition, FieldType, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # use serde_json::json;
    /// # use storex_sync::{InitialSync, MemoryChannel, SyncLog};
    /// # async fn device(seed: u64) -> Storage {
    /// #     let note = Definition::new("note").field("title", FieldType::String);
    /// #     let registry = Registry::builder().collection(note).build().unwrap();
    /// #     Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(seed)))
    /// #         .middleware(SyncLog::new()).open().await.unwrap()
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (a, b) = (device(1).await, device(2).await);
    /// # a.dynamic("note")?.create(json!({"id": "1", "title": "Hello"})).await?;
    /// let sender = InitialSync::open(&a).await?.difference_only();
    /// let receiver = InitialSync::open(&b).await?.difference_only();
    /// for new in [1, 0] {
    ///     let (mut here, mut there) = MemoryChannel::pair();
    ///     let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    ///     assert_eq!((sent?.total(), received?.total()), (new, new));
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn difference_only(mut self) -> Self {
        self.difference_only = true;
        self
    }

    /// What the application may say to the objects that are sent and received.
    #[must_use]
    pub fn hooks(mut self, hooks: impl InitialSyncHooks) -> Self {
        self.hooks = Some(Arc::new(hooks));
        self
    }

    /// Calls a function after every page.
    #[must_use]
    pub fn on_progress(
        self,
        function: impl Fn(Progress) + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        self.on_event(move |event| {
            if let InitialSyncEvent::Progress {
                collection: Some(collection), done, total, ..
            } = event
            {
                let collection = Arc::clone(collection);
                function(Progress { collection, done: *done, total: *total });
            }
        })
    }

    /// Calls a function with every event.
    #[must_use]
    pub fn on_event(
        mut self,
        function: impl Fn(&InitialSyncEvent) + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        self.observers.add(function);
        self
    }

    /// What pauses, resumes and cancels it.
    #[must_use]
    pub fn control(&self) -> InitialSyncControl {
        self.control.clone()
    }

    /// Sends this device's contents to a side that [receives](Self::receive).
    ///
    /// # Errors
    /// [`SyncError`](crate::SyncError); what the receiver has committed stays there, and a further initial sync goes on
    /// from it. [`SyncError::HoldsLess`](crate::SyncError::HoldsLess): meanwhile it was chosen to hold less here.
    pub async fn send(&self, channel: &mut dyn Channel) -> Result<InitialSyncReport> {
        let mut line = Line::watched(channel, self.watch());
        Ok(session::run(self, &mut line, Wants::Send).await?.sent)
    }

    /// Receives another device's contents from a side that [sends](Self::send).
    ///
    /// # Errors
    /// [`SyncError`](crate::SyncError); what was committed stays, and a further initial sync goes on from it.
    ///
    /// An object that breaks a rule of the schema together with one that is here holds up nothing: it is parked, as what comes
    /// through a shared log, and the rules of the merge ([`UniqueRule`](crate::UniqueRule)) have their say at the end.
    pub async fn receive(&self, channel: &mut dyn Channel) -> Result<InitialSyncReport> {
        let mut line = Line::watched(channel, self.watch());
        Ok(session::run(self, &mut line, Wants::Receive).await?.received)
    }

    /// Brings each side's contents to the other, which calls this too. Whoever has more objects receives first, so that the most is
    /// merged where the least is.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`receive`](Self::receive).
    pub async fn both_ways(&self, channel: &mut dyn Channel) -> Result<BothWaysReport> {
        let mut line = Line::watched(channel, self.watch());
        session::run(self, &mut line, Wants::BothWays).await
    }

    /// Sends everything to a recording.
    pub(crate) async fn record(&self, channel: &mut dyn Channel) -> Result<InitialSyncReport> {
        send::run(self, &mut Line::to_recording(channel), None).await
    }

    /// Receives a recording, and leaves what is parked until more has arrived through the shared log.
    pub(crate) async fn play(&self, channel: &mut dyn Channel) -> Result<InitialSyncReport> {
        receive::run(self, &mut Line::to_recording(channel), None).await
    }

    /// Takes a recording's objects and nothing else: this device has seen no more by it than before.
    pub(crate) async fn fill(&self, channel: &mut dyn Channel) -> Result<()> {
        receive::fill(self, &mut Line::to_recording(channel)).await
    }

    fn watch(&self) -> Watch {
        let runtime = Arc::clone(self.replica.storage.runtime());
        Watch::new(runtime, self.observers.clone(), &self.control, self.patience, self.window)
    }

    /// The collections that are synced.
    fn collections(&self) -> Vec<(Arc<Collection>, Arc<Numbers>)> {
        let all = self.replica.storage.registry().collections().iter();
        all.filter_map(|it| {
            Some((Arc::clone(it), Arc::clone(self.replica.numbers.get(it.name())?)))
        })
        .collect()
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
        sendable(|sync, channel| sync.both_ways(channel));
    }
}

//! [`Sync`]: one exchange with a shared log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use storex_core::Query;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::ahead::Ahead;
use crate::apply::Replica;
use crate::compact::Compaction;
use crate::engine::{Action, Next, Purpose, Round};
use crate::error::{During, Result, SyncError, describe};
use crate::exclusive::{Exclusive, Guard};
use crate::lane::Lane;
use crate::log::LOG;
use crate::report::{Limits, SyncReport};
use crate::shared_log::SharedSyncLog;
use crate::stamp::Device;

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// How long whoever pauses or stops waits for an acknowledgement.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(5);

/// Keeps a storage in step with a shared log, one exchange at a time.
///
/// ```
/// # use std::sync::Arc;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// use serde_json::json;
/// use storex_sync::{LogId, MemorySharedLog, Sync, SyncLog};
///
/// # async fn device(seed: u64) -> Storage {
/// #     let note = Definition::new("note").field("title", FieldType::String);
/// #     let registry = Registry::builder().collection(note).build().unwrap();
/// #     Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(seed)))
/// #         .middleware(SyncLog::new()).open().await.unwrap()
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (a, b) = (device(1).await, device(2).await); // two storages with a `SyncLog`
/// let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
/// a.dynamic("note")?.create(json!({"id": "1", "title": "Hello"})).await?;
///
/// Sync::open(&a, log.clone()).await?.sync_once().await?;
/// let report = Sync::open(&b, log).await?.sync_once().await?;
/// assert_eq!(report.received.entries, 1);
/// assert_eq!(b.dynamic("note")?.count(&json!({"title": "Hello"})).await?, 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Sync {
    pub(crate) replica: Replica,
    pub(crate) log: Arc<dyn SharedSyncLog>,
    pub(crate) limits: Limits,
    pub(crate) deadline: Duration,
    /// Another log is refused.
    pub(crate) keeps_log: bool,
    pub(crate) compaction: Compaction,
    exclusive: Option<Exclusive>,
    /// One exchange at a time.
    running: Arc<Mutex<Begun>>,
}

/// What is known of the shared log from one exchange to the next.
#[derive(Debug, Default)]
struct Begun {
    /// An exchange has gone through since this sync was opened: the log knows this device, and is the right one; what waited for
    /// an update of the program was tried.
    through: bool,
    /// Something was applied that the log was not told of.
    untold: AtomicBool,
}

/// That an exchange may be made: no other is going on here, and this is the program that syncs the database. The next one
/// can be made when it is dropped.
#[derive(Debug)]
pub struct Turn {
    begun: OwnedMutexGuard<Begun>,
    guard: Option<Guard>,
    ahead: Ahead,
}

impl Turn {
    fn new(begun: OwnedMutexGuard<Begun>, guard: Option<Guard>) -> Self {
        Self { begun, guard, ahead: Ahead::default() }
    }

    /// What is read while something else is applied.
    pub(crate) fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// Notes that the exchange went through.
    pub fn went_through(&mut self) {
        self.begun.through = true;
    }

    /// Notes that it did not: the log may be another one by now, so the next exchange begins by asking for it.
    pub fn failed(&mut self) {
        self.begun.through = false;
    }

    /// Whether no exchange has gone through since this sync was opened, or since one has failed.
    pub(crate) fn is_first(&self) -> bool {
        !self.begun.through
    }

    /// Whether the log may not have been told of all that was applied here.
    pub(crate) fn owes_acknowledgement(&self) -> bool {
        self.begun.untold.load(Ordering::Relaxed)
    }

    /// Notes that something is applied.
    pub(crate) fn applies(&self) {
        self.begun.untold.store(true, Ordering::Relaxed);
    }

    /// Notes that the log was told of it.
    pub(crate) fn acknowledged(&self) {
        self.begun.untold.store(false, Ordering::Relaxed);
    }

    pub(crate) fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }
}

impl Sync {
    /// Joins a storage that has a [`SyncLog`](crate::SyncLog) to a shared log. Nothing is exchanged yet. A log in which another lane
    /// of the storage is already is refused by the first exchange ([`SyncError::LogOfAnotherLane`]).
    ///
    /// # Errors
    /// [`SyncError::NoSyncLog`], [`SyncError::Storage`].
    pub async fn open(storage: impl Into<Lane>, log: Arc<dyn SharedSyncLog>) -> Result<Self> {
        let replica = Replica::open(storage.into()).await?;
        let limits = Limits::default();
        let (exclusive, running) = (None, Arc::default());
        let compaction = Compaction::default();
        Ok(Self {
            replica,
            log,
            limits,
            deadline: DEADLINE,
            keeps_log: false,
            compaction,
            exclusive,
            running,
        })
    }

    /// With other limits per request.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With another time that one request to the shared log may take; then it is given up with
    /// [`SyncError::Timeout`]. Without this it is two minutes.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// With another time that a device's clock may be ahead of this one's; without this it is a week. What was written later
    /// than that is parked until its time comes ([`WaitsFor::Time`](crate::WaitsFor::Time)): if it were applied, nothing could
    /// be written over it until then.
    #[must_use]
    pub fn skew(mut self, skew: Duration) -> Self {
        self.replica.skew = skew;
        self
    }

    /// Refuses every other log than the one that this database was first in touch with: with [`SyncError::LogReplaced`], before
    /// anything is sent to it. For applications in which the log stands for a user.
    ///
    /// Without this, a log that is another one is taken for the old one that was wiped or moved: the whole state is sent to it.
    #[must_use]
    pub fn keep_log(mut self) -> Self {
        self.keeps_log = true;
        self
    }

    /// Sends the whole state of this database through the shared log, beginning with the next exchange: every object with
    /// its clock. It merges by stamp, so it changes nothing where it is known. For objects that are older than sync, and
    /// wherever a device may lack something.
    ///
    /// # Errors
    /// [`SyncError::Storage`]; [`SyncError::HeldElsewhere`] when another program syncs this database.
    pub async fn send_state(&self) -> Result<()> {
        let turn = self.turn().await?;
        self.replica.guarded(turn.guard()).begin_state().await
    }

    /// With another choice of when the shared log is compacted.
    #[must_use]
    pub fn compaction(mut self, compaction: Compaction) -> Self {
        self.compaction = compaction;
        self
    }

    /// Where several programs share the database: only the one that holds this makes exchanges.
    #[must_use]
    pub fn exclusive(mut self, exclusive: Exclusive) -> Self {
        self.exclusive = Some(exclusive);
        self
    }

    /// What lets one program at a time sync, if there is such.
    #[cfg(all(target_family = "wasm", feature = "web"))]
    pub(crate) fn lock(&self) -> Option<&Exclusive> {
        self.exclusive.as_ref()
    }

    /// Waits until the exchange that is going on here is over, and takes no account of other programs. What is done then
    /// must be harmless beside theirs.
    pub(crate) async fn turn_beside_others(&self) -> Turn {
        Turn::new(Arc::clone(&self.running).lock_owned().await, None)
    }

    /// Waits until the exchange that is going on here is over. For drivers of one's own, see [`Sync::perform`]. Cancel-safe.
    ///
    /// # Errors
    /// [`SyncError::HeldElsewhere`] when another program syncs the database, and those of [`Exclusive::try_acquire`].
    pub async fn turn(&self) -> Result<Turn> {
        let mut begun = Arc::clone(&self.running).lock_owned().await;
        let Some(exclusive) = &self.exclusive else { return Ok(Turn::new(begun, None)) };
        exclusive.check(&self.replica.storage)?;
        let guard = exclusive.try_acquire().await?.ok_or(SyncError::HeldElsewhere)?;
        if guard.is_dirty() {
            // The other program may know another shared log, or less of the schema.
            begun.through = false;
            guard.clear_dirty();
        }
        Ok(Turn::new(begun, Some(guard)))
    }

    /// This device.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn device(&self) -> Result<Device> {
        let (head, devices) = self.replica.head().await?;
        devices.device(head.me).ok_or(SyncError::NoSyncLog)
    }

    /// How many transactions are still to be sent.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn unsent(&self) -> Result<u64> {
        self.replica.storage.count(Query::new(LOG)).await.during("counting what is to be sent")
    }

    /// Sends what was written here and applies what others wrote, until both are through. With nothing to do it costs one
    /// request (and two more the first time). A second call waits for the first.
    ///
    /// Where the log has dropped something that is not here, its snapshot is taken ([`SyncReport::restored`]).
    ///
    /// What is parked is tried again when something has arrived that it may have waited for.
    ///
    /// Cancel-safe: what was sent and not noted yet is sent again and passed over by the log; what was received and not
    /// committed is received again.
    ///
    /// # Errors
    /// [`SyncError::HeldElsewhere`] when another program syncs this database; else any [`SyncError`]. What was done before
    /// stays done.
    pub async fn sync_once(&self) -> Result<SyncReport> {
        self.exchange(Purpose::Both).await
    }

    /// Sends what was written here, and asks for nothing. With nothing to send it makes no request. See
    /// [`sync_once`](Self::sync_once).
    ///
    /// # Errors
    /// As [`sync_once`](Self::sync_once).
    pub async fn send_once(&self) -> Result<SyncReport> {
        self.exchange(Purpose::Send).await
    }

    /// Applies what others wrote, and sends nothing. See [`sync_once`](Self::sync_once).
    ///
    /// # Errors
    /// As [`sync_once`](Self::sync_once).
    pub async fn receive_once(&self) -> Result<SyncReport> {
        self.exchange(Purpose::Receive).await
    }

    pub(crate) async fn exchange(&self, purpose: Purpose) -> Result<SyncReport> {
        let mut turn = self.turn().await?;
        let result = self.make_round(&turn, purpose).await;
        match &result {
            // One that sent nothing may have asked for nothing.
            Ok(report) if purpose == Purpose::Send && report.sent_transactions == 0 => {}
            // Nothing was read, and what is parked was not tried.
            Ok(_) if purpose == Purpose::Acknowledge => {}
            Ok(_) => turn.went_through(),
            Err(_) => turn.failed(),
        }
        result
    }

    /// Tells the shared log what was applied here. Whoever pauses or stops does not wait long for it: the first exchange
    /// afterwards tells it too.
    pub(crate) async fn acknowledge_quickly(&self) {
        let acknowledged = tokio::select! {
            biased;
            acknowledged = self.exchange(Purpose::Acknowledge) => acknowledged.map(|_| ()),
            () = self.replica.storage.runtime().sleep(ACKNOWLEDGE_WITHIN) => return,
        };
        if let Err(error) = acknowledged {
            tracing::debug!(error = %describe(&error), "what was applied is acknowledged later");
        }
    }

    pub(crate) async fn make_round(&self, turn: &Turn, purpose: Purpose) -> Result<SyncReport> {
        let mut round = Round::with(purpose);
        let mut action = Action::ReadPlace;
        loop {
            match round.step(self.perform(turn, action).await?)? {
                Next::Do(next) => action = next,
                Next::Finished(report) => return Ok(report),
            }
        }
    }
}

//! [`Sync`]: one exchange with a shared log.

use std::sync::Arc;
use std::time::Duration;

use storex_core::{Query, Storage};

use crate::apply::{Applied, Replica};
use crate::engine::{Action, Next, Round};
use crate::error::{During, Result, SyncError};
use crate::log::LOG;
use crate::parked::parked;
use crate::report::{Limits, SyncReport};
use crate::shared_log::SharedSyncLog;
use crate::stamp::Device;

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(120);

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
    /// One exchange at a time.
    pub(crate) running: Arc<tokio::sync::Mutex<Begun>>,
}

/// Whether an exchange has gone through since this sync was opened: the log knows this device, and is the right one; what
/// waited for an update of the program was tried.
#[derive(Debug, Default)]
pub(crate) struct Begun(pub(crate) bool);

impl Sync {
    /// Joins a storage that has a [`SyncLog`](crate::SyncLog) to a shared log. Nothing is exchanged yet.
    ///
    /// # Errors
    /// [`SyncError::NoSyncLog`], [`SyncError::Storage`].
    pub async fn open(storage: &Storage, log: Arc<dyn SharedSyncLog>) -> Result<Self> {
        let replica = Replica::open(storage).await?;
        let limits = Limits::default();
        Ok(Self { replica, log, limits, deadline: DEADLINE, running: Arc::default() })
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
    /// request (and one more the first time). A second call waits for the first.
    ///
    /// What is parked is tried again when something has arrived that it may have waited for.
    ///
    /// Cancel-safe: what was sent and not noted yet is sent again and passed over by the log; what was received and not
    /// committed is received again.
    ///
    /// # Errors
    /// [`SyncError`]; what was done before stays done.
    pub async fn sync_once(&self) -> Result<SyncReport> {
        let mut begun = self.running.lock().await;
        let mut round = Round::new();
        let mut action = Action::ReadPlace;
        loop {
            let outcome = self.perform(action, !begun.0).await?;
            match round.step(outcome)? {
                Next::Do(next) => action = next,
                Next::Finished(report) => {
                    begun.0 = true;
                    return Ok(report);
                }
            }
        }
    }

    /// Tries what is parked again; what can be applied now is no longer parked.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn retry_parked(&self) -> Result<Applied> {
        let _one_at_a_time = self.running.lock().await;
        self.replica.retry_parked(parked(&self.replica.storage).await?).await
    }
}

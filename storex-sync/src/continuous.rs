//! [`ContinuousSync`]: keeps a storage in step by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::driver::{Command, Wires, run};
use crate::engine::status::{SyncEvent, SyncStatus};
use crate::engine::{Backoff, Config, Triggers};
use crate::error::{Result, SyncError};
use crate::recovery::Recovery;
use crate::remembered;
use crate::report::SyncReport;
use crate::sync::Sync;
use crate::writes::{WriteId, WriteState};

/// How many events a slow listener may fall behind before it misses some.
pub(crate) const EVENTS_KEPT: usize = 256;

/// Keeps a storage in step with its shared log: it exchanges at the start, soon after each write, when the shared log has
/// something, when there is a connection again, and on a timer. Two exchanges never overlap.
///
/// What fails is tried again, with growing distance; nothing is lost by it. Dropping the value stops it after the exchange
/// that is running.
///
/// ```
/// # use std::sync::Arc;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// # use storex_sync::{LogId, MemorySharedLog, SyncLog};
/// use std::time::Duration;
///
/// use serde_json::json;
/// use storex_sync::{ContinuousSync, Phase, Sync};
/// use tokio::sync::watch;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let note = Definition::new("note").field("title", FieldType::String);
/// # let registry = Registry::builder().collection(note).build()?;
/// # let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
/// #     .middleware(SyncLog::new()).open().await?;
/// # let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
/// let (connection, online) = watch::channel(true); // the application knows when there is one
/// let continuous = ContinuousSync::builder(Sync::open(&storage, log).await?)
///     .intervals(Duration::from_secs(15), Duration::from_secs(300))
///     .online(online)
///     .start();
///
/// storage.dynamic("note")?.create(json!({"id": "1", "title": "Hello"})).await?;
/// let write = continuous.sync().last_write().await?.ok_or("nothing was written")?;
/// continuous.await_synced(write).await?; // no need to ask for an exchange
///
/// connection.send(false)?;
/// let mut status = continuous.status();
/// status.wait_for(|status| status.phase == Phase::Offline).await?;
/// assert!(!status.borrow().in_step);
/// continuous.stop().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ContinuousSync {
    sync: Sync,
    commands: mpsc::UnboundedSender<Command>,
    status: watch::Receiver<SyncStatus>,
    events: broadcast::Receiver<SyncEvent>,
    failure: watch::Receiver<Option<Arc<SyncError>>>,
}

/// Puts a [`ContinuousSync`] together.
#[derive(Debug)]
pub struct ContinuousSyncBuilder {
    sync: Sync,
    config: Config,
    online: Option<watch::Receiver<bool>>,
    awake: Option<watch::Receiver<bool>>,
}

impl ContinuousSyncBuilder {
    /// With other triggers than all.
    #[must_use]
    pub fn triggers(mut self, triggers: Triggers) -> Self {
        self.config.triggers = triggers;
        self
    }

    /// The distance between two exchanges that nothing but the timer makes, counted from the end of the one before:
    /// `shortest` after one that carried something, then twice as long each time, up to `longest`. Without this 15 s and 2 min.
    #[must_use]
    pub fn intervals(mut self, shortest: Duration, longest: Duration) -> Self {
        (self.config.shortest_interval, self.config.longest_interval) = (shortest, longest);
        self
    }

    /// How long writes and news are gathered before they make an exchange. Without this a tenth of a second.
    #[must_use]
    pub fn gather(mut self, gather: Duration) -> Self {
        self.config.gather = gather;
        self
    }

    /// How long to wait after failures.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// How often to look whether the shared log is to be compacted ([`Sync::compact`]), after an exchange that had nothing to
    /// do; `None`: never. Remembered over restarts. Without this once a day.
    #[must_use]
    pub fn compact_every(mut self, every: Option<Duration>) -> Self {
        self.config.compact_every = every;
        self
    }

    /// Whether there is a connection, as far as the application knows. While there is none, nothing is asked of the shared
    /// log. Without this there always is one, and so there is when the sender is gone.
    #[must_use]
    pub fn online(mut self, online: watch::Receiver<bool>) -> Self {
        self.online = Some(online);
        self
    }

    /// Whether this program runs, as far as the system tells it: a page that is frozen does not, for an hour or for ever. Without this
    /// it always does, and so it does when the sender is gone. In a browser `page_awake` (feature `web`) gives it.
    ///
    /// - `false`: everything is let go of at once. An exchange is broken off in the middle, which loses nothing, and another program may
    ///   make it; the lock is released. Whoever waits for an exchange waits on.
    /// - `true`, also where it was so before: an exchange is made now, and a lock is asked for again. Say it whenever something may have
    ///   been missed: the page is looked at again, the laptop has slept.
    #[must_use]
    pub fn awake(mut self, awake: watch::Receiver<bool>) -> Self {
        self.awake = Some(awake);
        self
    }

    /// Starts, on the storage's runtime.
    #[must_use]
    pub fn start(self) -> ContinuousSync {
        let Self { sync, config, online, awake } = self;
        let (sender, commands) = mpsc::unbounded_channel();
        let (publisher, status) = watch::channel(SyncStatus::default());
        let (teller, events) = broadcast::channel(EVENTS_KEPT);
        let (fails, failure) = watch::channel(None);
        let wires =
            Wires { commands, online, awake, status: publisher, events: teller, failure: fails };
        sync.replica.storage.runtime().spawn(Box::pin(run(sync.clone(), config, wires)));
        ContinuousSync { sync, commands: sender, status, events, failure }
    }
}

impl ContinuousSync {
    /// Starts with one distance between exchanges, and everything else as it is without a choice.
    #[must_use]
    pub fn start(sync: Sync, interval: Duration) -> Self {
        Self::builder(sync).intervals(interval, interval).start()
    }

    /// Begins one with choices of your own.
    #[must_use]
    pub fn builder(sync: Sync) -> ContinuousSyncBuilder {
        ContinuousSyncBuilder { sync, config: Config::default(), online: None, awake: None }
    }

    /// What is kept in step.
    #[must_use]
    pub fn sync(&self) -> &Sync {
        &self.sync
    }

    /// What it is doing, now and from now on. What is remembered of earlier runs is there as soon as it was read.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<SyncStatus> {
        self.status.clone()
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> SyncEvents {
        SyncEvents(self.events.resubscribe())
    }

    /// Makes an exchange that begins after this call, without waiting for a timer, and tells its result. `None`: it was
    /// stopped. Dropping the future leaves the exchange to go on.
    ///
    /// # Errors
    /// The exchange's, as [`SyncError::Joined`], since others may wait for the same (see [`SyncError::cause`]). At once:
    /// [`SyncError::Offline`], [`SyncError::Paused`], [`SyncError::Unauthorized`] and [`SyncError::RateLimited`] where nothing
    /// may be asked of the shared log.
    pub async fn sync_now(&self) -> Option<Result<SyncReport>> {
        let (answer, result) = oneshot::channel();
        self.commands.send(Command::SyncNow(answer)).ok()?;
        result.await.ok()
    }

    /// Returns when the shared log has this write; also when it was made, or sent, by an earlier run of the program. (Of a
    /// write of another device: when it is applied here.) Cancel-safe.
    ///
    /// # Errors
    /// [`SyncError::UnknownWrite`]; [`SyncError::Rejected`] when the shared log refuses it for good; [`SyncError::Stopped`]; when the last exchange has failed with an error that does not pass
    /// by itself ([`Recovery::Intervene`]) that one, as [`SyncError::Joined`]. The write is kept and may still be sent then.
    pub async fn await_synced(&self, write: WriteId) -> Result<()> {
        // Listen first, then look.
        let (mut failure, mut status) = (self.failure.clone(), self.status());
        loop {
            match self.sync.write_state(write).await? {
                WriteState::Sent | WriteState::Applied => return Ok(()),
                WriteState::Unknown => {
                    let WriteId { device, sequence } = write;
                    return Err(SyncError::UnknownWrite { device, sequence });
                }
                WriteState::Rejected => return Err(self.sync.rejection(write).await?),
                WriteState::Waiting | WriteState::Parked => {}
            }
            let failed = failure.borrow_and_update().clone();
            if let Some(error) = failed.filter(|error| error.recovery() == Recovery::Intervene) {
                return Err(SyncError::Joined(error));
            }
            // Another process may have sent it, which the status tells too.
            tokio::select! {
                changed = failure.changed() => changed,
                changed = status.changed() => changed,
            }
            .map_err(|_| SyncError::Stopped)?;
        }
    }

    /// Pauses sync of this database, here and wherever else it is kept in step, until somebody resumes it; a restart does not.
    /// Returns when nothing is under way here any more, and the shared log was told what was applied, if it answers within five seconds.
    /// Others learn of it before their next exchange. Pausing twice is
    /// harmless. Writes go on, and are kept for later.
    ///
    /// # Errors
    /// [`SyncError::Storage`]; it is not paused then.
    pub async fn pause(&self) -> Result<()> {
        remembered::pause(&self.sync.replica.storage).await?;
        let (answer, quiet) = oneshot::channel();
        if self.commands.send(Command::Paused(answer)).is_ok() {
            // An error means that it was stopped.
            let _ = quiet.await;
        }
        Ok(())
    }

    /// Goes on after a pause, at once. Resuming twice is harmless.
    ///
    /// # Errors
    /// [`SyncError::Storage`]; it is still paused then.
    pub async fn resume(&self) -> Result<()> {
        remembered::resume(&self.sync.replica.storage).await?;
        // An error means that it was stopped.
        let _ = self.commands.send(Command::Resumed);
        Ok(())
    }

    /// Says that the shared log now knows who asks: goes on after [`Phase::NeedsLogin`](crate::Phase::NeedsLogin).
    pub fn logged_in(&self) {
        // An error means that it was stopped.
        let _ = self.commands.send(Command::LoggedIn);
    }

    /// Has it told whether this program runs, as by [`ContinuousSyncBuilder::awake`], unless the application has seen to that.
    #[cfg(any(test, all(target_family = "wasm", feature = "web")))]
    pub(crate) fn follow(&self, awake: watch::Receiver<bool>) {
        // An error means that it was stopped.
        let _ = self.commands.send(Command::Follow(awake));
    }

    /// Stops it and waits for the exchange that is running. What the shared log was not told of is acknowledged first, if it answers
    /// within five seconds; else the next start does that. Stopping twice is harmless.
    pub async fn stop(&self) {
        let (answer, stopped) = oneshot::channel();
        if self.commands.send(Command::Stop(answer)).is_ok() {
            // An error means that it was stopped already.
            let _ = stopped.await;
        }
    }
}

/// Receives what happens; see [`ContinuousSync::events`].
#[derive(Debug)]
pub struct SyncEvents(pub(crate) broadcast::Receiver<SyncEvent>);

impl SyncEvents {
    /// The next event; `None` when continuous sync has ended. A listener that is too slow misses the oldest. Cancel-safe.
    pub async fn next(&mut self) -> Option<SyncEvent> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::debug!(missed, "a listener to sync is too slow");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

//! [`ContinuousSync`]: exchanges on a timer.

use std::sync::Arc;
use std::time::Duration;

use storex_core::{Runtime, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{Result, SyncError, describe};
use crate::sync::{Sync, SyncReport};

/// What continuous sync is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncStatus {
    /// What it is doing now.
    pub phase: Phase,
    /// Exchanges that went through since the start.
    pub rounds: u64,
    /// When the last exchange went through.
    pub last_success: Option<Timestamp>,
    /// Why the last exchange failed; `None` when it went through.
    pub last_error: Option<String>,
}

/// What continuous sync is doing now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the next exchange.
    #[default]
    Waiting,
    /// An exchange is going on.
    Exchanging,
    /// It was stopped.
    Stopped,
}

/// Keeps a storage in step with its shared log: one exchange at once, then one per interval, counted from the end of the
/// one before, so that two never overlap.
///
/// A failed exchange is told by [`ContinuousSync::status`] and tried again after the interval; nothing is lost by it.
/// Dropping the value stops the timer after the exchange that is running.
#[derive(Debug)]
pub struct ContinuousSync {
    commands: mpsc::UnboundedSender<Command>,
    status: watch::Receiver<SyncStatus>,
}

#[derive(Debug)]
enum Command {
    SyncNow(oneshot::Sender<Result<SyncReport>>),
    Stop(oneshot::Sender<()>),
}

impl ContinuousSync {
    /// Starts on the storage's runtime.
    #[must_use]
    pub fn start(sync: Sync, runtime: Arc<dyn Runtime>, interval: Duration) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (publisher, status) = watch::channel(SyncStatus::default());
        let task = Task { sync, runtime: Arc::clone(&runtime), interval, status: publisher };
        runtime.spawn(Box::pin(task.run(receiver)));
        Self { commands, status }
    }

    /// What it is doing, now and from now on.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<SyncStatus> {
        self.status.clone()
    }

    /// Makes an exchange that begins after this call, without waiting for the timer, and tells its result. `None`: it
    /// was stopped.
    ///
    /// # Errors
    /// The exchange's.
    pub async fn sync_now(&self) -> Option<Result<SyncReport>> {
        let (answer, result) = oneshot::channel();
        self.commands.send(Command::SyncNow(answer)).ok()?;
        result.await.ok()
    }

    /// Stops the timer and waits for the exchange that is running. Stopping twice is harmless.
    pub async fn stop(&self) {
        let (answer, stopped) = oneshot::channel();
        if self.commands.send(Command::Stop(answer)).is_ok() {
            // An error means that it was stopped already.
            let _ = stopped.await;
        }
    }
}

struct Task {
    sync: Sync,
    runtime: Arc<dyn Runtime>,
    interval: Duration,
    status: watch::Sender<SyncStatus>,
}

impl Task {
    async fn run(self, mut commands: mpsc::UnboundedReceiver<Command>) {
        self.exchange(Vec::new()).await;
        loop {
            let mut waiting = Vec::new();
            let command = tokio::select! {
                () = self.runtime.sleep(self.interval) => None,
                command = commands.recv() => match command {
                    Some(command) => Some(command),
                    None => break,
                },
            };
            let mut next = command;
            let mut stop = None;
            while let Some(command) = next {
                match command {
                    Command::SyncNow(answer) => waiting.push(answer),
                    Command::Stop(answer) => {
                        stop = Some(answer);
                        break;
                    }
                }
                next = commands.try_recv().ok();
            }
            if let Some(answer) = stop {
                self.status.send_modify(|status| status.phase = Phase::Stopped);
                // Whoever waited for an exchange learns that there is none; nobody listening is fine.
                drop(waiting);
                let _ = answer.send(());
                return;
            }
            self.exchange(waiting).await;
        }
        self.status.send_modify(|status| status.phase = Phase::Stopped);
    }

    async fn exchange(&self, waiting: Vec<oneshot::Sender<Result<SyncReport>>>) {
        self.status.send_modify(|status| status.phase = Phase::Exchanging);
        let mut result = self.sync.sync_once().await;
        let now = self.runtime.now();
        self.status.send_modify(|status| {
            status.phase = Phase::Waiting;
            match &result {
                Ok(_) => {
                    status.rounds += 1;
                    status.last_success = Some(now);
                    status.last_error = None;
                }
                Err(error) => status.last_error = Some(describe(error)),
            }
        });
        if let Err(error) = &result {
            tracing::warn!(error = %describe(error), "an exchange failed; it is tried again");
        }
        if let [_, _, ..] = waiting.as_slice() {
            result = result.map_err(|error| SyncError::Joined(Arc::new(error)));
        }
        for answer in waiting {
            let answered = match &result {
                Ok(report) => Ok(report.clone()),
                Err(SyncError::Joined(error)) => Err(SyncError::Joined(Arc::clone(error))),
                // There is one caller only.
                Err(_) => std::mem::replace(&mut result, Ok(SyncReport::default())),
            };
            // Nobody listening any more is fine.
            let _ = answer.send(answered);
        }
    }
}

//! [`InitialSyncControl`]: pauses, resumes and cancels an initial sync.

use std::sync::Arc;

use tokio::sync::watch;

/// Pauses, resumes and cancels an initial sync, from either side ([`InitialSync::control`](crate::InitialSync::control)). Clones are of the
/// same one.
///
/// What is asked takes effect between two pages: a page that is being committed is committed.
#[derive(Debug, Clone)]
pub struct InitialSyncControl {
    asked: Arc<watch::Sender<Asked>>,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) paused: bool,
    pub(super) cancelled: bool,
}

impl InitialSyncControl {
    pub(super) fn new() -> Self {
        Self { asked: Arc::new(watch::Sender::new(Asked::default())) }
    }

    /// Both sides wait until [`resume`](Self::resume). However long that takes, neither gives up.
    pub fn pause(&self) {
        self.asked.send_modify(|asked| asked.paused = true);
    }

    /// Goes on, unless the other side has paused too.
    pub fn resume(&self) {
        self.asked.send_modify(|asked| asked.paused = false);
    }

    /// Ends it for good: on both sides it ends with [`SyncError::Cancelled`](crate::SyncError::Cancelled), and what has arrived stays.
    /// What was not begun yet ends as soon as it begins.
    pub fn cancel(&self) {
        self.asked.send_modify(|asked| asked.cancelled = true);
    }

    pub(super) fn listen(&self) -> watch::Receiver<Asked> {
        self.asked.subscribe()
    }
}

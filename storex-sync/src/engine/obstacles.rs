//! [`Obstacles`]: what forbids requests.

use std::sync::Arc;
use std::time::Duration;

use storex_core::Timestamp;

use crate::error::SyncError;

/// What forbids requests.
#[derive(Debug, Default)]
pub(crate) struct Obstacles {
    pub(crate) asleep: bool,
    pub(crate) offline: bool,
    pub(crate) paused: bool,
    pub(crate) login: Option<Arc<SyncError>>,
    /// Until when the shared log wants no requests, by the wall clock.
    pub(crate) hold: Option<Timestamp>,
}

impl Obstacles {
    /// Whether no request may be made.
    pub(crate) fn forbid(&self, now: Timestamp) -> bool {
        self.asleep || self.refusal(now).is_some()
    }

    /// What is answered to whoever asks for an exchange, if none may be made. While this program sleeps nobody asks; whoever did waits
    /// until it is awake.
    pub(crate) fn refusal(&self, now: Timestamp) -> Option<Arc<SyncError>> {
        if self.offline {
            return Some(Arc::new(SyncError::Offline));
        }
        if self.paused {
            return Some(Arc::new(SyncError::Paused));
        }
        if let Some(error) = &self.login {
            return Some(Arc::clone(error));
        }
        let left = u64::try_from(self.hold?.0.saturating_sub(now.0)).unwrap_or(0);
        let retry_after = Duration::from_millis(left);
        Some(Arc::new(SyncError::RateLimited { retry_after }))
    }

    pub(crate) fn only_paused(&self) -> bool {
        self.paused && !self.offline && self.login.is_none() && self.hold.is_none()
    }
}

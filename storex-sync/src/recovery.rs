//! [`Recovery`]: what to do about an error.

use std::time::Duration;

use storex_core::ErrorKind;

use crate::error::SyncError;

/// What helps against a [`SyncError`], and what [`ContinuousSync`](crate::ContinuousSync) does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Trying again: it does so with growing distance, and at once when there is a connection again or somebody asks.
    Retry,
    /// Waiting so long, because the shared log wants to be left alone: it makes no request meanwhile, whoever asks and whatever connection
    /// comes back. What is waited beyond that, after several failures, is cut as with [`Recovery::Retry`].
    Wait(Duration),
    /// Logging in: it makes no request until [`ContinuousSync::logged_in`](crate::ContinuousSync::logged_in).
    LogIn,
    /// Going on: it makes no request until there is a connection, or until it is resumed.
    GoOn,
    /// Waiting for another program that syncs the same database: it looks every second whether it is to take over.
    StandBy,
    /// Somebody has to look: the program, the schema, the database or the shared log is not what it should be. It tries
    /// again as rarely as it may, in case that it was mended, and at once when somebody asks.
    Intervene,
    /// Nothing: the storage is closed, or continuous sync was stopped.
    Nothing,
}

impl SyncError {
    /// What helps against this error.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self.cause() {
            Self::Storage { source, .. } if source.kind() == ErrorKind::Closed => Recovery::Nothing,
            Self::Elsewhere { kind: ErrorKind::Closed, retryable: false, .. } => Recovery::Nothing,
            Self::Stopped => Recovery::Nothing,
            Self::Offline | Self::Paused => Recovery::GoOn,
            Self::HeldElsewhere | Self::LeaseLost => Recovery::StandBy,
            Self::Unauthorized { .. } => Recovery::LogIn,
            Self::RateLimited { retry_after } => Recovery::Wait(*retry_after),
            error if error.is_retryable() => Recovery::Retry,
            _ => Recovery::Intervene,
        }
    }
}

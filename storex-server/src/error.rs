//! [`ServerError`]: what can go wrong on the server.

use storex_core::ErrorKind;
use storex_sync::SyncError;

/// The result of this crate's functions.
pub type Result<T, E = ServerError> = std::result::Result<T, E>;

/// What went wrong on the server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A verifier gave a name that no user can have.
    #[error("this is no name of a user: {reason}")]
    InvalidUser {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A token is nobody's, or not any more.
    #[error("{reason}")]
    Unauthorized {
        /// Why, for whoever has sent it.
        reason: String,
    },
    /// What the server was told to be makes no sense.
    #[error("{reason}")]
    Config {
        /// What is wrong, and where.
        reason: String,
    },
    /// The operating system refused.
    #[error("{during} failed")]
    Io {
        /// What was going on.
        during: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What the logs are kept in failed, or a log refuses what was asked of it.
    #[error(transparent)]
    Log(#[from] SyncError),
    /// What the server keeps beside the logs cannot be read or written.
    #[error("{during} failed: {reason}")]
    Store {
        /// What was going on.
        during: &'static str,
        /// What the database says.
        reason: String,
        /// Whether trying again later may help without anybody doing something.
        retryable: bool,
    },
}

impl ServerError {
    /// [`ServerError::Unauthorized`] with this reason, which the caller is told.
    #[must_use]
    pub fn unauthorized(reason: impl Into<String>) -> Self {
        Self::Unauthorized { reason: reason.into() }
    }

    pub(crate) fn config(reason: impl Into<String>) -> Self {
        Self::Config { reason: reason.into() }
    }

    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidUser { .. } | Self::Unauthorized { .. } | Self::Config { .. } => {
                ErrorKind::Invalid
            }
            Self::Log(error) => error.kind(),
            Self::Store { .. } | Self::Io { .. } => ErrorKind::Io,
        }
    }

    /// Whether trying again later may help without anybody doing something.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::InvalidUser { .. }
            | Self::Unauthorized { .. }
            | Self::Config { .. }
            | Self::Io { .. } => false,
            Self::Log(error) => error.is_retryable(),
            Self::Store { retryable, .. } => *retryable,
        }
    }
}

//! [`Failure`]: what the database says, and whether it helps to try again.

use std::error::Error as _;

use deadpool_postgres::PoolError;
use storex_core::ErrorKind;
use storex_sync::SyncError;
use tokio_postgres::Error;

use crate::error::ServerError;

/// The database failed.
#[derive(Debug, thiserror::Error)]
#[error("{during} failed: {reason}")]
pub(super) struct Failure {
    during: &'static str,
    reason: String,
    retryable: bool,
}

impl Failure {
    pub(super) fn new(during: &'static str, error: &Error) -> Self {
        Self { during, reason: reason(error), retryable: is_passing(error) }
    }

    /// Something that somebody has to look at.
    pub(super) fn lasting(during: &'static str, reason: impl Into<String>) -> Self {
        Self { during, reason: reason.into(), retryable: false }
    }

    /// Something that may be over when it is tried again.
    pub(super) fn passing(during: &'static str, reason: impl Into<String>) -> Self {
        Self { during, reason: reason.into(), retryable: true }
    }

    pub(super) fn of_pool(during: &'static str, error: &PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::new(during, error),
            other => Self::passing(during, other.to_string()),
        }
    }
}

impl From<Failure> for ServerError {
    fn from(Failure { during, reason, retryable }: Failure) -> Self {
        Self::Store { during, reason, retryable }
    }
}

impl From<Failure> for SyncError {
    fn from(Failure { during, reason, retryable }: Failure) -> Self {
        match retryable {
            true => Self::Transport { during, reason },
            false => Self::Elsewhere {
                kind: ErrorKind::Io,
                retryable,
                message: format!("{during} failed: {reason}"),
                source: None,
            },
        }
    }
}

/// What the database says. Its details are left out, since they quote values of rows.
fn reason(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} ({})", said.message(), said.code().code());
    }
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        cause = error.source();
    }
    reason
}

/// Whether the same may go through later without anybody doing something: the connection broke, the database stops or starts,
/// is out of something, gave up waiting, or chose this transaction to break a tie.
fn is_passing(error: &Error) -> bool {
    let Some(code) = error.code() else {
        let cause = error.source();
        return error.is_closed() || cause.is_some_and(|it| it.is::<std::io::Error>());
    };
    // Read-only: an address of several hosts led to one that is not the primary yet. 25P03: idle in a transaction for too long.
    let codes = ["25006", "25P03", "55P03"];
    let classes = ["08", "40", "53", "57"];
    codes.contains(&code.code()) || classes.iter().any(|class| code.code().starts_with(class))
}

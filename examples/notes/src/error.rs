//! [`Error`]: what can go wrong.

use storex_sync::SyncError;
use thiserror::Error;

/// What can go wrong with notes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Storage(#[from] storex_core::Error),
    /// The server, the keys, or the other device. [`SyncError::recovery`] says what helps.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// These notes are in no account yet.
    #[error(
        "this device is in no account yet: found one, pair it with a device of yours, or enter the passphrase"
    )]
    NoAccount,
    /// The token is of somebody, or of an account, that this device does not belong to.
    #[error("this token is of another account: this device is not in it")]
    AnotherAccount,
    /// Another device has shut this one out ([`Link::revoke`](crate::Link::revoke)), for good.
    #[error("this device was shut out by another one of the account")]
    ShutOut,
    /// These notes are in an account already.
    #[error("this device is in the account at {server} already")]
    HasAccount {
        /// Where.
        server: String,
    },
}

/// What comes of something that can go wrong.
pub type Result<T, E = Error> = std::result::Result<T, E>;

//! [`CliError`]: why the program ends with a message.

use std::io;
use std::path::PathBuf;

use storex_core::describe;
use storex_sync::SyncError;
use thiserror::Error;

pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

/// Why the program ends with a message.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Notes(#[from] notes::Error),
    #[error("{} cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("it cannot be printed")]
    Output(#[from] io::Error),
    #[error("{reason}")]
    Asked { reason: String },
    #[error("there is no {what} {id}")]
    Missing { what: &'static str, id: String },
    #[error("more than one {what} is meant by {id}: {ids}")]
    Ambiguous { what: &'static str, id: String, ids: String },
    /// It says nothing: the user knows.
    #[error("interrupted")]
    Interrupted,
}

impl From<storex_core::Error> for CliError {
    fn from(error: storex_core::Error) -> Self {
        Self::Notes(error.into())
    }
}

impl From<SyncError> for CliError {
    fn from(error: SyncError) -> Self {
        Self::Notes(error.into())
    }
}

impl CliError {
    /// What was asked for cannot be done.
    pub(crate) fn asked(reason: impl Into<String>) -> Self {
        Self::Asked { reason: reason.into() }
    }

    /// Whether nobody reads any more what is printed.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// In a line, with its causes, and what to do where that is a command of ours.
    pub(crate) fn describe(&self) -> String {
        let Self::Notes(error) = self else { return describe(self) };
        in_words(error).unwrap_or_else(|| describe(self)) + hint(error)
    }
}

/// What the library says with calls of its own, which are nothing to whoever types commands.
fn in_words(error: &notes::Error) -> Option<String> {
    let notes::Error::Sync(error) = error else { return None };
    match error.cause() {
        SyncError::Unauthorized { reason } => {
            Some(format!("the server does not let this device in: {reason}"))
        }
        SyncError::UnknownKey { .. } => Some("the passphrase was changed".to_owned()),
        _ => None,
    }
}

/// What helps.
fn hint(error: &notes::Error) -> &'static str {
    let sync = match error {
        notes::Error::NoAccount => return " (`notes init`, `notes pair`, `notes unlock`)",
        notes::Error::Sync(error) => error.cause(),
        _ => return "",
    };
    match sync {
        SyncError::HasKeys => {
            " (the account has a device already: `notes add-device` there, and `notes pair` here; or `notes unlock`)"
        }
        SyncError::NoKeys => " (`notes init` begins an account)",
        SyncError::UnknownKey { .. } | SyncError::RivalKeys => {
            " (`notes unlock` asks for the new passphrase)"
        }
        SyncError::PairingRefused { .. } => {
            " (is the code on the other device's screen still this one?)"
        }
        SyncError::Unauthorized { .. } => {
            " (was this device shut out? if not, `notes login` gives it another token)"
        }
        SyncError::HeldElsewhere => " (`notes watch`)",
        _ => "",
    }
}

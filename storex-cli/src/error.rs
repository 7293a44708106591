//! [`CliError`]: why a command could not do what it was asked for.

use std::io;
use std::path::{Path, PathBuf};

use storex_server::ServerError;
use storex_sync::SyncError;

/// The result of this crate's functions.
pub type Result<T, E = CliError> = std::result::Result<T, E>;

/// Why a command could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The database that was given cannot be used.
    #[error("{}: {reason}", path.display())]
    Input {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder that was given cannot be used.
    #[error("{}: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused.
    #[error("{during} {} failed", path.display())]
    Io {
        /// What was going on.
        during: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite refused.
    #[error("{during} {} failed", path.display())]
    Sqlite {
        /// What was going on.
        during: &'static str,
        /// With which database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A storage refused.
    #[error("{during} failed")]
    Storage {
        /// What was going on.
        during: &'static str,
        /// Why.
        #[source]
        source: Box<storex_core::Error>,
    },
    /// Sync failed.
    #[error("{during} failed")]
    Sync {
        /// What was going on.
        during: &'static str,
        /// Why.
        #[source]
        source: Box<SyncError>,
    },
    /// Continuous sync went on for long and did not come to an end.
    #[error("the devices are not in step {seconds} s after the last exchange: {reason}")]
    NotInStep {
        /// For how long nothing was exchanged.
        seconds: u64,
        /// What is still to be done, and the last errors.
        reason: String,
    },
    /// The server cannot be run, or failed.
    #[error("{during} failed")]
    Server {
        /// What was going on.
        during: &'static str,
        /// Why.
        #[source]
        source: Box<ServerError>,
    },
    /// What was asked for makes no sense.
    #[error("{reason}")]
    Asked {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The network refused.
    #[error("{during} failed")]
    Network {
        /// What was going on, and with which address.
        during: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The two sides of an initial sync do not go together, or the other one could not go on.
    #[error("{reason}")]
    Peer {
        /// What is in the way, and what to do.
        reason: String,
    },
    /// It was cancelled, here or on the other side.
    #[error("cancelled; what had arrived stays, and running it again goes on from it")]
    Cancelled,
    /// A task ended without an answer.
    #[error("{during} ended without an answer")]
    Gone {
        /// What was going on.
        during: &'static str,
    },
}

/// An error with its causes in one line.
#[must_use]
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors repeat their cause in their own words.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Says what was going on.
pub(crate) trait During<T> {
    fn during(self, during: &'static str) -> Result<T>;
}

impl<T> During<T> for storex_core::Result<T> {
    fn during(self, during: &'static str) -> Result<T> {
        self.map_err(|source| CliError::Storage { during, source: Box::new(source) })
    }
}

impl<T> During<T> for storex_sync::Result<T> {
    fn during(self, during: &'static str) -> Result<T> {
        self.map_err(|source| match source {
            SyncError::Cancelled => CliError::Cancelled,
            source => CliError::Sync { during, source: Box::new(source) },
        })
    }
}

impl<T> During<T> for storex_server::Result<T> {
    fn during(self, during: &'static str) -> Result<T> {
        self.map_err(|source| CliError::Server { during, source: Box::new(source) })
    }
}

/// Says what was going on with which file.
pub(crate) trait With<T> {
    fn with(self, during: &'static str, path: &Path) -> Result<T>;
}

impl<T> With<T> for rusqlite::Result<T> {
    fn with(self, during: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| CliError::Sqlite { during, path: path.to_path_buf(), source })
    }
}

impl<T> With<T> for io::Result<T> {
    fn with(self, during: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| CliError::Io { during, path: path.to_path_buf(), source })
    }
}

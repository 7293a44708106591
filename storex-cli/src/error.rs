//! [`DemoError`]: why a command could not do what it was asked for.

use std::io;
use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T, E = DemoError> = std::result::Result<T, E>;

/// Why the demo could not be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
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
        source: Box<storex_sync::SyncError>,
    },
    /// Continuous sync went on for long and did not come to an end.
    #[error("the devices are not in step {seconds} s after the last exchange: {reason}")]
    NotInStep {
        /// For how long nothing was exchanged.
        seconds: u64,
        /// What is still to be done, and the last errors.
        reason: String,
    },
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
        self.map_err(|source| DemoError::Storage { during, source: Box::new(source) })
    }
}

impl<T> During<T> for storex_sync::Result<T> {
    fn during(self, during: &'static str) -> Result<T> {
        self.map_err(|source| DemoError::Sync { during, source: Box::new(source) })
    }
}

/// Says what was going on with which file.
pub(crate) trait With<T> {
    fn with(self, during: &'static str, path: &Path) -> Result<T>;
}

impl<T> With<T> for rusqlite::Result<T> {
    fn with(self, during: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| DemoError::Sqlite { during, path: path.to_path_buf(), source })
    }
}

impl<T> With<T> for io::Result<T> {
    fn with(self, during: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| DemoError::Io { during, path: path.to_path_buf(), source })
    }
}

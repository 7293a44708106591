//! [`SqliteBuilder`] and [`Durability`]: how a database is opened.

use std::path::PathBuf;
use std::time::Duration;

use storex_core::Result;

use crate::backend::SqliteBackend;

/// When a write is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A write that was acknowledged survives a loss of power. The disk is waited for once per commit; concurrent
    /// writes share commits.
    #[default]
    Full,
    /// A write that was acknowledged survives the end of the process, however it ends; a loss of power may take the
    /// last ones (never half of one). [`Backend::flush`](storex_core::Backend::flush) makes everything safe; sync calls
    /// it before it tells another device of a write.
    Normal,
}

/// How to open a database; see [`SqliteBackend::builder`].
#[derive(Debug, Clone)]
pub struct SqliteBuilder {
    pub(crate) config: Config,
}

#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
    pub(crate) readers: usize,
}

impl SqliteBuilder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            config: Config {
                path,
                durability: Durability::Full,
                busy_timeout: Duration::from_secs(5),
                readers: 4,
            },
        }
    }

    /// When a write is safe; by default [`Durability::Full`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.config.durability = durability;
        self
    }

    /// How long to wait for another program that holds the database before giving up with
    /// [`ErrorKind::Busy`](storex_core::ErrorKind::Busy); by default 5 seconds.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.config.busy_timeout = timeout;
        self
    }

    /// At most so many threads read at the same time (at least one); by default 4. They are started when needed.
    #[must_use]
    pub fn readers(mut self, readers: usize) -> Self {
        self.config.readers = readers.max(1);
        self
    }

    /// The backend. Nothing happens on disk before it is opened.
    ///
    /// # Errors
    /// [`Error::Backend`](storex_core::Error::Backend) for a path that cannot be a database, such as a directory.
    pub fn build(self) -> Result<SqliteBackend> {
        SqliteBackend::with(self.config)
    }
}

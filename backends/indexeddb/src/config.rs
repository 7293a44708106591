//! [`IndexedDbBuilder`]: how a database is opened.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{Result, Runtime, WebRuntime};

use crate::backend::IndexedDbBackend;
use crate::identity::DatabaseId;

/// When a write is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A write that was acknowledged survives the end of the page; a loss of power may take the last ones (never half of
    /// one). [`Backend::flush`](storex_core::Backend::flush) makes everything safe; sync calls it before it tells another
    /// device of a write. About twice as fast for single writes.
    #[default]
    Relaxed,
    /// A write that was acknowledged survives a loss of power, where the browser keeps its word. (Chromium may throw all
    /// data of a site away when it finds its files damaged, by a kill in the middle of a write say, whatever the
    /// durability: see [`IndexedDbBuilder::expecting`].)
    Strict,
}

/// Why the database was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// Another tab has a newer schema. Load the newer program, or open the storage again if it still fits.
    Upgraded,
    /// The database was deleted, by another tab or by this program.
    Deleted,
    /// The browser has closed it: the user cleared the data of this site, or the disk failed. The next operation tries to
    /// open it again.
    ByBrowser,
}

/// How to open a database; see [`IndexedDbBackend::builder`].
#[derive(Debug, Clone)]
pub struct IndexedDbBuilder {
    config: Config,
}

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) durability: Durability,
    pub(crate) blocked_timeout: Duration,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) expected: Option<DatabaseId>,
    pub(crate) on_lost: Option<Rc<dyn Fn(Lost)>>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("durability", &self.durability)
            .field("blocked_timeout", &self.blocked_timeout)
            .finish_non_exhaustive()
    }
}

impl IndexedDbBuilder {
    pub(crate) fn new(name: String) -> Self {
        Self {
            config: Config {
                name,
                durability: Durability::Relaxed,
                blocked_timeout: Duration::from_secs(5),
                runtime: Arc::new(WebRuntime),
                expected: None,
                on_lost: None,
            },
        }
    }

    /// When a write is safe; by default [`Durability::Relaxed`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.config.durability = durability;
        self
    }

    /// How long an upgrade waits for other tabs to close the database, before it gives up with
    /// [`ErrorKind::Busy`](storex_core::ErrorKind::Busy); by default 5 seconds. Tabs with storex close it at once. (A browser
    /// answers the openings of one database in their order: the next one waits until that tab has let go.)
    #[must_use]
    pub fn blocked_timeout(mut self, timeout: Duration) -> Self {
        self.config.blocked_timeout = timeout;
        self
    }

    /// Another clock and other timers than the browser's.
    #[must_use]
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.config.runtime = Arc::new(runtime);
        self
    }

    /// Opens this database and no other: if the browser has evicted it, opening fails with
    /// [`ErrorKind::NotFound`](storex_core::ErrorKind::NotFound) and makes nothing, and the application can fetch its data
    /// again by an initial sync. Remember [`IndexedDbBackend::identity`] outside of the browser for this.
    #[must_use]
    pub fn expecting(mut self, identity: DatabaseId) -> Self {
        self.config.expected = Some(identity);
        self
    }

    /// Calls a function when the database is taken away while it is open.
    #[must_use]
    pub fn on_lost(mut self, function: impl Fn(Lost) + 'static) -> Self {
        self.config.on_lost = Some(Rc::new(function));
        self
    }

    /// The backend. Nothing happens before [`Backend::open`](storex_core::Backend::open).
    ///
    /// # Errors
    /// [`Error::Backend`](storex_core::Error::Backend) for an empty name.
    pub fn build(self) -> Result<IndexedDbBackend> {
        IndexedDbBackend::with(self.config)
    }
}

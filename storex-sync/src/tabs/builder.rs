//! [`TabSyncBuilder`]: puts a [`TabSync`] together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{Runtime, Source};

use super::TabSync;
use super::following::following;
use super::hosted::Hosted;
use super::name::WorkerName;
use super::places::Places;
use crate::continuous::ContinuousSync;
use crate::error::Result;

/// How long a worker may give no sign of life before another takes its place.
const PATIENCE: Duration = Duration::from_secs(10);

/// Puts a [`TabSync`] together; see there.
pub struct TabSyncBuilder {
    places: Places,
}

impl fmt::Debug for TabSyncBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TabSyncBuilder").finish_non_exhaustive()
    }
}

impl TabSync {
    /// Begins one for the database of this name: there is one shared worker for each name, origin and version of the application.
    pub fn builder(database: impl Into<String>, runtime: Arc<dyn Runtime>) -> TabSyncBuilder {
        let (database, version) = (database.into(), String::new());
        TabSyncBuilder {
            places: Places {
                runtime,
                name: WorkerName { database, version, generation: 0 },
                script: None,
                here: None,
                patience: PATIENCE,
                shown: None,
                link: None,
                awake: None,
            },
        }
    }
}

impl TabSyncBuilder {
    /// The version of the application. Tabs of different versions never share a worker; whichever of their workers has the lock
    /// ([`Exclusive::tabs`](crate::Exclusive::tabs)) syncs. Change it with every change of the worker's program.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.places.name.version = version.into();
        self
    }

    /// The address of a module script that calls [`serve_tabs`](super::serve_tabs()), relative to the page. Without it, sync runs in
    /// the tab.
    #[must_use]
    pub fn worker(mut self, script: impl Into<String>) -> Self {
        self.places.script = Some(script.into());
        self
    }

    /// How the sync is started in the tab itself, where there are no workers, or none that works: the function that the worker's
    /// script gives to [`serve_tabs`](super::serve_tabs()) too. It is told when the page is frozen, or left, and when it runs again
    /// ([`page_awake`](crate::page_awake)), unless the function has seen to that.
    #[must_use]
    pub fn here<F, Fut>(mut self, start: F) -> Self
    where
        F: Fn() -> Fut + 'static,
        Fut: Future<Output = std::result::Result<ContinuousSync, Source>> + 'static,
    {
        let runtime = Arc::clone(&self.places.runtime);
        self.places.here = Some(Hosted::new(move || following(start(), &runtime)));
        self
    }

    /// How long a worker may give no sign of life before another takes its place. Without this ten seconds. One that works is
    /// not silent, however much it has to do, unless a single step of it takes that long.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.places.patience = patience;
        self
    }

    /// Connects: to the shared worker of the database; where there is none, or its script fails, to a dedicated worker of this tab's own;
    /// where that fails, to a sync in the tab. What is started here is waited for. Give it up to end that.
    ///
    /// # Errors
    /// [`SyncError::NotStarted`](crate::SyncError::NotStarted) with the reason of each place.
    pub async fn connect(self) -> Result<TabSync> {
        let runtime = Arc::clone(&self.places.runtime);
        TabSync::keep(self.places, runtime).await
    }
}

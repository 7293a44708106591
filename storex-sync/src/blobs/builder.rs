//! [`BlobsBuilder`]: puts [`Blobs`] together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use storex_core::Storage;
use tokio::sync::{Notify, Semaphore, watch};

use super::flights::Flights;
use super::local::Local;
use super::rows::BLOB;
use super::{BlobStatus, BlobStore, Blobs, Inner};
use crate::engine::Backoff;
use crate::error::{Result, SyncError};

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) parallel: usize,
    pub(super) attempts: u32,
    pub(super) patience: Duration,
    pub(super) deadline: Duration,
    pub(super) backoff: Backoff,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parallel: 4,
            attempts: 5,
            patience: Duration::from_secs(7 * 24 * 60 * 60),
            deadline: Duration::from_secs(120),
            backoff: Backoff::default(),
        }
    }
}

/// Puts [`Blobs`] together.
#[derive(Debug)]
pub struct BlobsBuilder {
    storage: Storage,
    store: Arc<dyn BlobStore>,
    settings: Settings,
}

impl BlobsBuilder {
    pub(super) fn new(storage: Storage, store: Arc<dyn BlobStore>) -> Self {
        Self { storage, store, settings: Settings::default() }
    }

    /// How many transfers may be under way at once; each takes one or two chunks of memory. Without this 4; never less than 1.
    #[must_use]
    pub fn parallel(mut self, transfers: usize) -> Self {
        self.settings.parallel = transfers.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// After how many failures in a row a blob is given up. Without this 5. An attempt in which it came further than ever before
    /// begins to count anew. It does not count when the store cannot be reached or refuses this device, when there is no room here, nor
    /// when the store does not have the blob; see [`patience`](Self::patience).
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.settings.attempts = attempts;
        self
    }

    /// For how long a blob is asked for that the store does not have: the device that made it may be off. Without this a week.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// After how long a request to the store (one chunk at most) is given up. Without this two minutes.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline;
        self
    }

    /// How long to wait after failures.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// Opens them, and clears away what an interrupted program has left.
    ///
    /// # Errors
    /// [`SyncError::NoBlobs`], [`SyncError::Storage`].
    pub async fn open(self) -> Result<Blobs> {
        let Self { storage, store, settings } = self;
        if storage.registry().find(BLOB).is_none() {
            return Err(SyncError::NoBlobs);
        }
        let inner = Inner {
            local: Local { storage },
            store,
            settings,
            permits: Semaphore::new(settings.parallel),
            flights: Flights::default(),
            progress: Mutex::default(),
            furthest: Mutex::default(),
            status: watch::Sender::new(BlobStatus::default()),
            counting: tokio::sync::Mutex::default(),
            nudge: Notify::new(),
        };
        inner.local.clear().await?;
        inner.count().await;
        Ok(Blobs { inner: Arc::new(inner) })
    }
}

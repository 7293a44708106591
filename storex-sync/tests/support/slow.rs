//! [`Slow`]: a database that takes its time for some of what is written. [`Unwritable`]: one that cannot be written for a while.
#![allow(clippy::disallowed_methods)] // the tests own the time

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use storex_core::{
    Backend, Batch, BatchOutcome, Capabilities, Error, ErrorKind, Query, Record, Registry, Result,
};
use storex_memory::MemoryBackend;
use tokio::time::sleep;

/// A database that takes a second for the batches that `is_slow` picks, and a minute for the queries that `is_slow_to_read` picks. It has no
/// snapshots.
#[derive(Debug)]
pub struct Slow {
    backend: Arc<MemoryBackend>,
    is_slow: fn(&Batch) -> bool,
    is_slow_to_read: fn(&Query) -> bool,
}

impl Slow {
    pub fn new(is_slow: fn(&Batch) -> bool) -> Self {
        Self { backend: Arc::default(), is_slow, is_slow_to_read: |_| false }
    }

    /// This database without its snapshots, and as fast as it is.
    pub fn without_snapshots(backend: &Arc<MemoryBackend>) -> Self {
        Self::to_read(backend, |_| false)
    }

    /// This database, slow to read.
    pub fn to_read(backend: &Arc<MemoryBackend>, is_slow_to_read: fn(&Query) -> bool) -> Self {
        Self { backend: Arc::clone(backend), is_slow: |_| false, is_slow_to_read }
    }
}

#[async_trait]
impl Backend for Slow {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.backend.capabilities();
        capabilities.snapshots = false;
        capabilities
    }

    async fn open(&self, registry: Arc<Registry>) -> Result<()> {
        self.backend.open(registry).await
    }

    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        if (self.is_slow_to_read)(&query) {
            sleep(Duration::from_secs(60)).await;
        }
        self.backend.find(query).await
    }

    async fn count(&self, query: Query) -> Result<u64> {
        self.backend.count(query).await
    }

    async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        if (self.is_slow)(&batch) {
            sleep(Duration::from_secs(1)).await;
        }
        self.backend.execute(batch).await
    }

    async fn flush(&self) -> Result<()> {
        self.backend.flush().await
    }

    async fn close(&self) -> Result<()> {
        self.backend.close().await
    }
}

/// A database that cannot be written for a while: its disk is full.
#[derive(Debug, Default)]
pub struct Unwritable {
    backend: MemoryBackend,
    refuses: AtomicBool,
}

impl Unwritable {
    pub fn refuse_writes(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }
}

#[async_trait]
impl Backend for Unwritable {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    async fn open(&self, registry: Arc<Registry>) -> Result<()> {
        self.backend.open(registry).await
    }

    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        self.backend.find(query).await
    }

    async fn count(&self, query: Query) -> Result<u64> {
        self.backend.count(query).await
    }

    async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Error::Backend {
                backend: "unwritable",
                operation: "execute",
                collection: None,
                kind: ErrorKind::Full,
                hint: "on purpose".to_owned(),
                source: "on purpose".into(),
            });
        }
        self.backend.execute(batch).await
    }

    async fn flush(&self) -> Result<()> {
        self.backend.flush().await
    }

    async fn close(&self) -> Result<()> {
        self.backend.close().await
    }
}

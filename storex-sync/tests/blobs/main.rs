//! [`Blobs`]: contents that are too large for a row (C27).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(clippy::disallowed_methods)] // the tests own the time
#![allow(missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod contents;
mod evicting;
mod failures;
mod forgetting;
mod given_up;
mod names;
#[cfg(feature = "object-store")]
mod objects;
mod removing;
mod resuming;
mod transfers;

use std::sync::Arc;

use serde_json::json;
use storex_core::{AutoPk, Query, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{BlobRef, BlobStatus, BlobStore, Blobs, BlobsWaiting, SyncLog};
use support::schema;

/// How long a chunk is.
const CHUNK: usize = 1 << 20;

/// A device with rows, blobs and a clock of its own.
#[derive(Debug, Clone)]
struct Device {
    backend: Arc<MemoryBackend>,
    runtime: Arc<TestRuntime>,
    storage: Storage,
    blobs: Blobs,
}

impl Device {
    async fn new(seed: u64, store: &Arc<impl BlobStore>) -> Self {
        let (backend, runtime) = (Arc::new(MemoryBackend::new()), Arc::new(TestRuntime::new(seed)));
        Self::open(backend, runtime, Arc::clone(store) as _).await
    }

    async fn open(
        backend: Arc<MemoryBackend>,
        runtime: Arc<TestRuntime>,
        store: Arc<dyn BlobStore>,
    ) -> Self {
        let registry = schema().build().unwrap();
        let builder = Storage::builder(Arc::clone(&backend), registry, Arc::clone(&runtime) as _);
        let storage = builder
            .module(Blobs::module())
            .middleware(AutoPk::new())
            .middleware(SyncLog::new())
            .open()
            .await
            .unwrap();
        let blobs = Blobs::open(&storage, store).await.unwrap();
        Self { backend, runtime, storage, blobs }
    }

    /// The program is started anew; nothing is left but the database.
    async fn restarted(&self, store: &Arc<impl BlobStore>) -> Self {
        Self::open(Arc::clone(&self.backend), Arc::clone(&self.runtime), Arc::clone(store) as _)
            .await
    }

    /// All of a blob.
    async fn read(&self, blob: &BlobRef) -> storex_sync::Result<Vec<u8>> {
        self.blobs.get(blob).await?.read_to_end().await
    }

    async fn count(&self, collection: &str) -> u64 {
        self.storage.count(Query::new(collection)).await.unwrap()
    }

    /// A row that names a blob.
    async fn name(&self, id: &str, blob: &BlobRef) {
        let row = json!({"id": id, "text": blob});
        self.storage.dynamic("sample").unwrap().create(row).await.unwrap();
    }

    /// The blob that a row names.
    async fn named(&self, id: &str) -> BlobRef {
        let row = self.storage.dynamic("sample").unwrap().get(id).await.unwrap().unwrap();
        serde_json::from_value(row["text"].clone()).unwrap()
    }

    fn status(&self) -> BlobStatus {
        *self.blobs.status().borrow()
    }
}

/// Contents that are different for each number, everywhere.
fn contents(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let mut contents: Vec<u8> = words.take(length.div_ceil(8)).flatten().collect();
    contents.truncate(length);
    contents
}

/// Others get their turn, often enough for whatever they can do now.
async fn others() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn waiting(blobs: u64, bytes: usize) -> BlobsWaiting {
    BlobsWaiting { blobs, bytes: bytes as u64, done: 0 }
}

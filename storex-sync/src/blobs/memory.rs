//! [`MemoryBlobStore`]: the reference.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::reference::BlobRef;
use super::store::BlobStore;
use crate::error::{Result, SyncError};

/// A blob store in memory, for tests and for devices in one process.
#[derive(Debug, Default)]
pub struct MemoryBlobStore {
    blobs: Mutex<BTreeMap<BlobRef, Stored>>,
}

#[derive(Debug, Default)]
struct Stored {
    chunks: BTreeMap<u64, Vec<u8>>,
    finished: bool,
}

impl Stored {
    /// How many chunks from the front are there.
    fn sent(&self) -> u64 {
        (0..).zip(self.chunks.keys()).take_while(|(expected, number)| expected == *number).count()
            as u64
    }
}

impl MemoryBlobStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many whole blobs it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().values().filter(|stored| stored.finished).count()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BlobRef, Stored>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl BlobStore for MemoryBlobStore {
    async fn has(&self, blob: &BlobRef) -> Result<bool> {
        Ok(self.lock().get(blob).is_some_and(|stored| stored.finished))
    }

    async fn sent(&self, blob: &BlobRef) -> Result<u64> {
        Ok(self.lock().get(blob).map_or(0, Stored::sent))
    }

    async fn put_chunk(&self, blob: &BlobRef, number: u64, bytes: Vec<u8>) -> Result<()> {
        self.lock().entry(*blob).or_default().chunks.insert(number, bytes);
        Ok(())
    }

    async fn finish(&self, blob: &BlobRef) -> Result<()> {
        let mut blobs = self.lock();
        if blobs.get(blob).map_or(0, Stored::sent) != blob.chunks() {
            return Err(SyncError::BlobMissing { blob: *blob });
        }
        blobs.entry(*blob).or_default().finished = true;
        Ok(())
    }

    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>> {
        let bytes = self.lock().get(blob).and_then(|stored| stored.chunks.get(&number).cloned());
        bytes.ok_or(SyncError::BlobMissing { blob: *blob })
    }

    async fn remove(&self, blob: &BlobRef) -> Result<()> {
        self.lock().remove(blob);
        Ok(())
    }
}

//! [`BlobsBefore`]: blobs in objects, and those that the store has from before there were objects.

use std::sync::Arc;

use async_trait::async_trait;
use storex_sync::{BlobRef, BlobStore, SyncError};

type Result<T> = std::result::Result<T, SyncError>;

/// Blobs are put into objects, and read from the store where they are not there.
#[derive(Debug)]
pub(super) struct BlobsBefore {
    objects: Arc<dyn BlobStore>,
    store: Arc<dyn BlobStore>,
}

impl BlobsBefore {
    pub(super) fn new(objects: Arc<dyn BlobStore>, store: Arc<dyn BlobStore>) -> Self {
        Self { objects, store }
    }
}

#[async_trait]
impl BlobStore for BlobsBefore {
    async fn has(&self, blob: &BlobRef) -> Result<bool> {
        Ok(self.objects.has(blob).await? || self.store.has(blob).await?)
    }

    async fn sent(&self, blob: &BlobRef) -> Result<u64> {
        let sent = self.objects.sent(blob).await?;
        if sent < blob.chunks() && self.store.has(blob).await? {
            return Ok(blob.chunks());
        }
        Ok(sent)
    }

    async fn put_chunk(&self, blob: &BlobRef, number: u64, bytes: Vec<u8>) -> Result<()> {
        self.objects.put_chunk(blob, number, bytes).await
    }

    async fn finish(&self, blob: &BlobRef) -> Result<()> {
        match self.objects.finish(blob).await {
            // Nothing had to be sent.
            Err(SyncError::BlobMissing { .. }) if self.store.has(blob).await? => Ok(()),
            finished => finished,
        }
    }

    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>> {
        match self.objects.chunk(blob, number).await {
            Err(SyncError::BlobMissing { .. }) => self.store.chunk(blob, number).await,
            read => read,
        }
    }

    async fn remove(&self, blob: &BlobRef) -> Result<()> {
        self.objects.remove(blob).await?;
        self.store.remove(blob).await
    }
}

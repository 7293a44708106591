//! [`UserBlobs`]: the blobs of a user.

use std::sync::Arc;

use async_trait::async_trait;
use storex_sync::object_store::ObjectStore;
use storex_sync::{BlobRef, BlobStore, ObjectBlobStore, SyncError};

use super::lasting;

type Result<T> = std::result::Result<T, SyncError>;

/// Blobs in objects. That the object store refuses the server is none of a device's business: it would think that it has to log in.
#[derive(Debug)]
pub(super) struct UserBlobs(ObjectBlobStore);

impl UserBlobs {
    pub(super) fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self(ObjectBlobStore::new(objects))
    }
}

fn told<T>(done: Result<T>) -> Result<T> {
    done.map_err(|error| match error {
        SyncError::Unauthorized { reason } => lasting("asking the object store", &reason),
        error => error,
    })
}

#[async_trait]
impl BlobStore for UserBlobs {
    async fn has(&self, blob: &BlobRef) -> Result<bool> {
        told(self.0.has(blob).await)
    }

    async fn sent(&self, blob: &BlobRef) -> Result<u64> {
        told(self.0.sent(blob).await)
    }

    async fn put_chunk(&self, blob: &BlobRef, number: u64, bytes: Vec<u8>) -> Result<()> {
        told(self.0.put_chunk(blob, number, bytes).await)
    }

    async fn finish(&self, blob: &BlobRef) -> Result<()> {
        told(self.0.finish(blob).await)
    }

    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>> {
        told(self.0.chunk(blob, number).await)
    }

    async fn remove(&self, blob: &BlobRef) -> Result<()> {
        told(self.0.remove(blob).await)
    }
}

//! [`BlobReader`]: gives the contents of a blob, chunk by chunk.

use super::Blobs;
use super::reference::BlobRef;
use super::rows::Contents;
use crate::error::{Result, SyncError};

/// Gives the contents of a blob, chunk by chunk, with one chunk of it in memory; see [`Blobs::get`].
#[derive(Debug)]
pub struct BlobReader {
    blobs: Blobs,
    blob: BlobRef,
    contents: Contents,
    next: u64,
}

impl BlobReader {
    pub(super) fn new(blobs: Blobs, blob: BlobRef, contents: Contents) -> Self {
        Self { blobs, blob, contents, next: 0 }
    }

    /// The next chunk, `None` behind the last. A blob that was evicted meanwhile is received again.
    ///
    /// Cancel-safe: what a future that is dropped would have given is given by the next one.
    ///
    /// # Errors
    /// As of [`Blobs::get`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        while self.next < self.blob.chunks() {
            if let Some(bytes) = self.blobs.inner.local.chunk(self.contents, self.next).await? {
                self.next += 1;
                return Ok(Some(bytes));
            }
            let contents = self.blobs.fetch(&self.blob).await?;
            if contents == self.contents {
                let reason = format!("chunk {} is not in the database any more", self.next);
                return Err(SyncError::corrupt("a blob", reason));
            }
            self.contents = contents;
        }
        Ok(None)
    }

    /// All chunks that are left, at once: for blobs that are small.
    ///
    /// # Errors
    /// As of [`Blobs::get`].
    pub async fn read_to_end(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }
}

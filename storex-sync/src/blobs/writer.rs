//! [`BlobWriter`]: makes a blob from contents that come in parts.

use super::Blobs;
use super::reference::{BlobHasher, BlobRef, full_chunk};
use super::rows::Loose;
use crate::error::{During, Result, SyncError};

/// Makes a blob from contents that come in parts of any size, with one chunk of it in memory; see [`Blobs::writer`].
///
/// What was written is no blob before [`finish`](Self::finish) has returned. What is left of a writer that was dropped, or of a
/// program that was killed, is cleared away an hour later.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Blobs,
    hasher: BlobHasher,
    buffer: Vec<u8>,
    loose: Loose,
    /// A write was given up or has failed: what follows would not fit what is there.
    is_broken: bool,
}

impl BlobWriter {
    pub(super) fn new(blobs: Blobs, loose: Loose) -> Self {
        let hasher = BlobHasher::default();
        Self { blobs, hasher, buffer: Vec::new(), loose, is_broken: false }
    }

    /// Adds a part.
    ///
    /// When the future is dropped while it waits, or fails, the writer is of no more use.
    ///
    /// # Errors
    /// [`SyncError::Storage`]; [`SyncError::BlobInterrupted`] after a write that failed or was dropped, or when the writer has
    /// rested for more than an hour; [`SyncError::Protocol`] for a blob of more than 1 TiB.
    pub async fn write(&mut self, mut part: &[u8]) -> Result<()> {
        if std::mem::replace(&mut self.is_broken, true) {
            return Err(SyncError::BlobInterrupted);
        }
        self.hasher.update(part);
        if self.hasher.is_too_long() {
            let reason = "no blob has more than 1 TiB".to_owned();
            return Err(SyncError::Protocol { during: "writing a blob", reason });
        }
        while !part.is_empty() {
            let room = full_chunk() - self.buffer.len();
            let (fits, rest) = part.split_at(room.min(part.len()));
            self.buffer.extend_from_slice(fits);
            part = rest;
            if self.buffer.len() == full_chunk() {
                self.write_chunk().await?;
            }
        }
        self.is_broken = false;
        Ok(())
    }

    async fn write_chunk(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        if !self.blobs.inner.local.write_chunk(self.loose, bytes).await? {
            return Err(SyncError::BlobInterrupted);
        }
        self.loose.chunks += 1;
        Ok(())
    }

    /// Makes what was written a blob, durably: from now on it is here, and waits to be sent. Contents that are here already are
    /// kept once.
    ///
    /// Dropping the future leaves all or nothing.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub async fn finish(mut self) -> Result<BlobRef> {
        if self.is_broken {
            return Err(SyncError::BlobInterrupted);
        }
        if !self.buffer.is_empty() {
            self.write_chunk().await?;
        }
        let Self { blobs, hasher, loose, .. } = self;
        let blob = hasher.finish();
        let local = &blobs.inner.local;
        if !local.adopt(loose, blob).await? {
            return Err(SyncError::BlobInterrupted);
        }
        local.storage.flush().await.during("flushing a blob")?;
        local.clear().await?;
        blobs.inner.changed().await;
        Ok(blob)
    }
}

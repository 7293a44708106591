//! [`BlobStore`]: where the devices of one user leave blobs for each other.

use std::fmt;

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync};

use super::reference::BlobRef;
use crate::error::Result;

/// Where the devices of one user leave blobs for each other: chunks under the name of a blob, which becomes a whole one when it is
/// [finished](Self::finish).
///
/// A store does not check contents against names: whoever reads a blob does, and the name of one that was encrypted on the device says nothing
/// of its contents. What a name does say is how many chunks there are, and how long each is; a store takes chunks of up to
/// [`BLOB_CHUNK_LIMIT`](crate::BLOB_CHUNK_LIMIT) bytes. Every method may be dropped while it waits,
/// and called again; doing it twice is doing it once. Two devices may send the same blob at once, which is then the same bytes
/// twice. All may fail with [`SyncError::Transport`](crate::SyncError::Transport) and the like; nothing is lost by it. None has a
/// time-out of its own.
///
/// An implementation of your own is tested by `blob_store_conformance!` of the crate `storex-conformance`.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait BlobStore: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// Whether the whole blob is there. It is also asked for the empty one, to learn whether the store can be reached.
    ///
    /// # Errors
    /// See above.
    async fn has(&self, blob: &BlobRef) -> Result<bool>;

    /// How many chunks from the front are there. Of a blob that is whole that is all of them: one that [`has`](Self::has) tells
    /// of and that lacks chunks is sent again. Where the sending was interrupted it goes on behind them; a store that cannot
    /// tell says 0 then.
    ///
    /// # Errors
    /// See above.
    async fn sent(&self, blob: &BlobRef) -> Result<u64>;

    /// Takes a chunk, which has exactly the bytes of [`BlobRef::chunk_range`]. The chunks come in ascending order, the first
    /// one being that which [`sent`](Self::sent) has told.
    ///
    /// # Errors
    /// See above.
    async fn put_chunk(&self, blob: &BlobRef, number: u64, bytes: Vec<u8>) -> Result<()>;

    /// Makes the chunks a whole blob. They are durable when it returns, as far as the store is.
    ///
    /// # Errors
    /// See above; [`SyncError::BlobMissing`](crate::SyncError::BlobMissing) when the store lacks a chunk.
    async fn finish(&self, blob: &BlobRef) -> Result<()>;

    /// The bytes of a chunk. Of a blob that is not finished it may give those that are there.
    ///
    /// # Errors
    /// See above; [`SyncError::BlobMissing`](crate::SyncError::BlobMissing) when the store does not have it, or not yet.
    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>>;

    /// Deletes a blob, whole or not. One that is not there is passed over.
    ///
    /// # Errors
    /// See above.
    async fn remove(&self, blob: &BlobRef) -> Result<()>;
}

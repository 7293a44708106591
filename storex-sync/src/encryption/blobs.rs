//! [`EncryptedBlobStore`]: a blob store that sees sizes and times only.

use std::sync::Arc;

use async_trait::async_trait;

use super::cipher::mac_of;
use super::data_key::DataKey;
use super::envelope::{EXTRA, Envelope, Subject, seal_to};
use super::log::EncryptedSharedLog;
use super::padding::padded_len;
use crate::blobs::reference::{SEALED_CHUNK_EXTRA, full_chunk};
use crate::blobs::{BlobRef, BlobStore};
use crate::error::{Result, SyncError};

const _: () = assert!(EXTRA as u64 == SEALED_CHUNK_EXTRA, "a chunk has as many bytes more");

/// End-to-end encryption around a blob store of any kind, with the keys of an [`EncryptedSharedLog`]: chunks are encrypted on the device, and only
/// devices that have the keys read them. The store sees how long a blob is (padded), and when it is sent and read; neither its contents nor
/// their hash.
///
/// The same contents are the same bytes under the same name, whichever device sends them, as long as the key is the same: so they are kept once, and
/// what was interrupted goes on, as without encryption. After a [rotation](EncryptedSharedLog::rotate) nothing is encrypted with a key of before. What is
/// in the store already is read with the key that it has, and stays as it is; what was half sent is sent anew.
///
/// A chunk that was changed, exchanged for another, or put there by somebody without the key is [`SyncError::NotAuthentic`], and nothing of it is kept.
///
/// ```
/// # use std::sync::Arc;
/// # use storex_core::{Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// use storex_sync::{
///     Blobs, EncryptedBlobStore, EncryptedSharedLog, KeyRing, LogId, MemoryBlobStore, MemorySharedLog,
/// };
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Arc::new(TestRuntime::new(1));
/// # let storage = Storage::builder(MemoryBackend::new(), Registry::builder().build()?, runtime.clone())
/// #     .module(Blobs::module()).open().await?;
/// # let (log, store) = (Arc::new(MemorySharedLog::new(LogId([7; 16]))), Arc::new(MemoryBlobStore::new()));
/// # let keys = KeyRing::generate(&*runtime);
/// let log = Arc::new(EncryptedSharedLog::new(log, keys, runtime)); // that of `Sync::open`
/// let blobs = Blobs::open(&storage, Arc::new(EncryptedBlobStore::new(store, log))).await?;
/// blobs.put(b"a picture").await?;
/// blobs.sync_once().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct EncryptedBlobStore {
    store: Arc<dyn BlobStore>,
    log: Arc<EncryptedSharedLog>,
}

/// A blob as it is under one of the keys.
pub(super) struct Sealed {
    key: Arc<DataKey>,
    blob: BlobRef,
    /// Its name in the store.
    pub(super) name: BlobRef,
}

impl Sealed {
    pub(super) fn new(key: Arc<DataKey>, blob: BlobRef) -> Self {
        let name = mac_of(key.blob_names(), [blob.to_string().as_bytes()]);
        let length = blob.chunks() * (padded_chunk(&blob) as u64 + SEALED_CHUNK_EXTRA);
        Self { key, blob, name: BlobRef::sealed(name, length) }
    }

    pub(super) fn subject(&self, number: u64) -> Subject {
        Subject::Chunk { blob: self.blob, sealed: self.name, number }
    }

    /// The store speaks of the name that it knows.
    fn told<T>(&self, answer: Result<T>) -> Result<T> {
        match answer {
            Err(SyncError::BlobMissing { .. }) => Err(SyncError::BlobMissing { blob: self.blob }),
            answer => answer,
        }
    }
}

/// How many bytes each chunk has with its padding: of a blob that has several all are full.
fn padded_chunk(blob: &BlobRef) -> usize {
    match usize::try_from(blob.length()) {
        Ok(length) if length < full_chunk() => padded_len(length).min(full_chunk()),
        _ => full_chunk(),
    }
}

impl EncryptedBlobStore {
    /// Around a blob store, with the keys that the log has, now and later.
    #[must_use]
    pub fn new(store: Arc<dyn BlobStore>, log: Arc<EncryptedSharedLog>) -> Self {
        Self { store, log }
    }

    /// Under the key with which is encrypted now.
    fn current(&self, blob: &BlobRef) -> Sealed {
        Sealed::new(Arc::clone(&self.log.key_ring().current().key), *blob)
    }

    /// Under each key, the current one first.
    fn all(&self, blob: &BlobRef) -> impl Iterator<Item = Sealed> {
        let (blob, all) = (*blob, self.log.key_ring().all());
        all.into_iter().map(move |generation| Sealed::new(generation.key, blob))
    }

    async fn open_chunk(&self, sealed: &Sealed, number: u64) -> Result<Vec<u8>> {
        let bytes = sealed.told(self.store.chunk(&sealed.name, number).await)?;
        let envelope = Envelope::read(sealed.subject(number), &bytes)?;
        let length = usize::try_from(sealed.blob.chunk_length(number)).unwrap_or(usize::MAX);
        envelope.open_from(&sealed.key, length)
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl BlobStore for EncryptedBlobStore {
    async fn has(&self, blob: &BlobRef) -> Result<bool> {
        for sealed in self.all(blob) {
            if self.store.has(&sealed.name).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Under another key than the current one a blob is whole, or it is nothing: nobody goes on with it.
    async fn sent(&self, blob: &BlobRef) -> Result<u64> {
        let mut current = None;
        for sealed in self.all(blob) {
            let sent = self.store.sent(&sealed.name).await?;
            let is_all = sent == blob.chunks();
            // What was sent last may still have to be finished.
            if is_all && (current.is_none() || self.store.has(&sealed.name).await?) {
                return Ok(sent);
            }
            current.get_or_insert(sent);
        }
        Ok(current.unwrap_or(0))
    }

    async fn put_chunk(&self, blob: &BlobRef, number: u64, bytes: Vec<u8>) -> Result<()> {
        if bytes.len() as u64 != blob.chunk_length(number) {
            return Err(SyncError::corrupt("a chunk of a blob", "it has another length"));
        }
        if bytes.len() > full_chunk() {
            return Err(SyncError::corrupt("a chunk of a blob", "it is encrypted already"));
        }
        // As for the log: not with a key that others were left out for.
        self.log.leave_keys().await?;
        let sealed = self.current(blob);
        let chunk = seal_to(&sealed.key, sealed.subject(number), &bytes, padded_chunk(blob))?;
        sealed.told(self.store.put_chunk(&sealed.name, number, chunk).await)
    }

    async fn finish(&self, blob: &BlobRef) -> Result<()> {
        let sealed = self.current(blob);
        sealed.told(self.store.finish(&sealed.name).await)
    }

    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>> {
        for sealed in self.all(blob) {
            match self.open_chunk(&sealed, number).await {
                Err(SyncError::BlobMissing { .. }) => {}
                read => return read,
            }
        }
        Err(SyncError::BlobMissing { blob: *blob })
    }

    async fn remove(&self, blob: &BlobRef) -> Result<()> {
        for sealed in self.all(blob) {
            self.store.remove(&sealed.name).await?;
        }
        Ok(())
    }
}

//! [`ObjectBlobStore`]: a blob store in a folder or an object store.
//!
//! ```text
//! blobs/<name of the blob>/<number>   a chunk
//! blobs/<name of the blob>/whole      all chunks are there; written last
//! ```
//!
//! Whatever has another name is passed over. A chunk whose size is wrong has not arrived whole, and counts as not there.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};

use super::reference::BlobRef;
use super::store::BlobStore;
use crate::error::{Result, SyncError, describe};

const WHOLE: &str = "whole";

/// A blob store in a folder (on a shared disk, or one that another program keeps in step) or in an object store (S3 and what speaks
/// its protocol, Google Cloud Storage, Azure Blob Storage).
///
/// Each chunk is an object of its own, and so is the mark that all of them are there. There is no lock, and no object is ever
/// changed: all devices write the same bytes under one name. So the objects may arrive late, in any order and in parts.
#[derive(Debug)]
pub struct ObjectBlobStore {
    store: Arc<dyn ObjectStore>,
}

impl ObjectBlobStore {
    /// Blobs in a store. For blobs under a prefix, give a [`PrefixStore`](object_store::prefix::PrefixStore); not that of a shared
    /// log, which lists everything under its own with each exchange.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Blobs in a folder, which is made when it is not there. Not that of a shared log, see [`new`](Self::new).
    ///
    /// # Errors
    /// [`SyncError::Transport`].
    pub fn in_folder(path: impl AsRef<FilePath>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |error: &dyn std::error::Error| SyncError::Transport {
            during: "opening the folder of the blob store",
            reason: format!("{}: {}", path.display(), describe(error)),
        };
        std::fs::create_dir_all(path).map_err(|error| failed(&error))?;
        let folder = LocalFileSystem::new_with_prefix(path).map_err(|error| failed(&error))?;
        Ok(Self::new(Arc::new(folder.with_fsync(true))))
    }

    /// What is there of a blob. What lies deeper is not ours.
    async fn listed(&self, blob: &BlobRef) -> Result<Listed> {
        let folder = folder_of(blob);
        let objects = self.store.list_with_delimiter(Some(&folder)).await;
        let objects = objects.map_err(|error| failed("looking for a blob", &error))?.objects;
        let mut listed = Listed::default();
        for object in objects {
            match object.location.filename() {
                Some(WHOLE) => listed.is_marked = true,
                name => {
                    let number = name.and_then(parse_number);
                    listed.chunks.extend(number.map(|number| (number, object.size)));
                }
            }
        }
        Ok(listed)
    }

    async fn delete(&self, path: Path) -> Result<()> {
        match self.store.delete(&path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("deleting a blob", &error)),
        }
    }
}

/// What is there of a blob.
#[derive(Debug, Default)]
struct Listed {
    /// The numbers and sizes of the chunks, also of those that have not arrived whole.
    chunks: BTreeMap<u64, u64>,
    is_marked: bool,
}

impl Listed {
    /// How many chunks from the front are there, whole.
    fn sent(&self, blob: &BlobRef) -> u64 {
        let from_the_front = (0..blob.chunks())
            .take_while(|number| self.chunks.get(number) == Some(&blob.chunk_length(*number)));
        from_the_front.count() as u64
    }
}

fn folder_of(blob: &BlobRef) -> Path {
    Path::from(format!("blobs/{blob}"))
}

fn chunk_of(blob: &BlobRef, number: u64) -> Path {
    Path::from(format!("blobs/{blob}/{number:08}"))
}

fn mark_of(blob: &BlobRef) -> Path {
    Path::from(format!("blobs/{blob}/{WHOLE}"))
}

/// The number of a chunk, in exactly the form in which it is written.
fn parse_number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| format!("{number:08}") == name)
}

fn failed(during: &'static str, error: &Error) -> SyncError {
    match error {
        Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => {
            SyncError::Unauthorized { reason: describe(error) }
        }
        error => SyncError::Transport { during, reason: describe(error) },
    }
}

#[async_trait]
impl BlobStore for ObjectBlobStore {
    async fn has(&self, blob: &BlobRef) -> Result<bool> {
        let listed = self.listed(blob).await?;
        // The mark may have come earlier than the chunks, or outlived them where another device sent what was being removed.
        Ok(listed.is_marked && listed.sent(blob) == blob.chunks())
    }

    async fn sent(&self, blob: &BlobRef) -> Result<u64> {
        Ok(self.listed(blob).await?.sent(blob))
    }

    async fn put_chunk(&self, blob: &BlobRef, number: u64, bytes: Vec<u8>) -> Result<()> {
        let put = self.store.put(&chunk_of(blob, number), bytes.into()).await;
        put.map(|_| ()).map_err(|error| failed("sending a chunk of a blob", &error))
    }

    async fn finish(&self, blob: &BlobRef) -> Result<()> {
        if self.sent(blob).await? < blob.chunks() {
            return Err(SyncError::BlobMissing { blob: *blob });
        }
        let mark = b"storex blob\n".to_vec();
        let put = self.store.put(&mark_of(blob), mark.into()).await;
        put.map(|_| ()).map_err(|error| failed("finishing a blob", &error))
    }

    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>> {
        let missing = || SyncError::BlobMissing { blob: *blob };
        let failed = |error: Error| match error {
            Error::NotFound { .. } => missing(),
            error => failed("receiving a chunk of a blob", &error),
        };
        let got = self.store.get(&chunk_of(blob, number)).await.map_err(failed)?;
        // Before it is read: it may be of any size.
        if got.meta.size != blob.chunk_length(number) {
            return Err(missing());
        }
        let bytes = got.bytes().await.map_err(failed)?;
        if bytes.len() as u64 != blob.chunk_length(number) {
            return Err(missing());
        }
        Ok(bytes.into())
    }

    async fn remove(&self, blob: &BlobRef) -> Result<()> {
        // The mark first: what is being deleted is not whole.
        self.delete(mark_of(blob)).await?;
        for number in self.listed(blob).await?.chunks.into_keys() {
            self.delete(chunk_of(blob, number)).await?;
        }
        Ok(())
    }
}

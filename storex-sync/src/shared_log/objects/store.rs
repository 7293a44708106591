//! [`Objects`]: what a log asks of an object store.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};

use super::names::{KEYS, Listing, Name, Segment, segments_of, snapshots_of};
use super::segment::{Manifest, read_manifest, read_member, read_segment, write_member};
use super::vector::Vector;
use crate::error::{Result, SyncError, describe};
use crate::shared_log::{SealedTransaction, SnapshotId};
use crate::stamp::Device;

/// The objects of a log in their store.
#[derive(Debug)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    /// Where it is a folder: a request is refused while that is not there, instead of making another one in its place.
    folder: Option<PathBuf>,
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, folder: Option<PathBuf>) -> Self {
        Self { store, folder }
    }

    /// The store, if it is there.
    fn store(&self) -> Result<&dyn ObjectStore> {
        match &self.folder {
            Some(folder) if !folder.is_dir() => Err(missing(folder)),
            _ => Ok(&*self.store),
        }
    }

    /// Everything there is.
    pub(super) async fn list(&self) -> Result<Listing> {
        self.list_under(None).await
    }

    /// The segments of a device.
    pub(super) async fn list_segments(&self, author: Device) -> Result<Listing> {
        self.list_under(Some(&Path::from(segments_of(author)))).await
    }

    /// The snapshots that a device has made.
    pub(super) async fn list_snapshots(&self, maker: Device) -> Result<Listing> {
        self.list_under(Some(&Path::from(snapshots_of(maker)))).await
    }

    /// The sealed keys.
    pub(super) async fn list_keys(&self) -> Result<Listing> {
        self.list_under(Some(&Path::from(KEYS))).await
    }

    async fn list_under(&self, prefix: Option<&Path>) -> Result<Listing> {
        let listed: Vec<_> = self
            .store()?
            .list(prefix)
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .map_err(|error| failed("listing the shared log", &error))?;
        Ok(Listing::new(listed.iter().filter_map(|path| Name::parse(path.as_ref()))))
    }

    /// Writes an object that has one content only.
    pub(super) async fn mark(&self, name: Name, during: &'static str) -> Result<()> {
        self.put(name, b"storex shared log\n".to_vec(), during).await
    }

    pub(super) async fn put(&self, name: Name, bytes: Vec<u8>, during: &'static str) -> Result<()> {
        let path = Path::from(name.to_string());
        let put = self.store()?.put(&path, bytes.into()).await;
        put.map(|_| ()).map_err(|error| failed(during, &error))
    }

    /// The contents of an object; `None` when there is none.
    pub(super) async fn get(&self, name: Name, during: &'static str) -> Result<Option<Vec<u8>>> {
        let path = Path::from(name.to_string());
        let got = match self.store()?.get(&path).await {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(during, &error)),
        }
    }

    /// Deletes an object; one that is gone already is passed over.
    pub(super) async fn delete(&self, name: Name, during: &'static str) -> Result<()> {
        match self.store()?.delete(&Path::from(name.to_string())).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(during, &error)),
        }
    }

    /// The transactions of a segment; `None` while it has not arrived whole.
    pub(super) async fn segment(
        &self,
        segment: &Segment,
    ) -> Result<Option<Vec<SealedTransaction>>> {
        let name = Name::Segment(*segment);
        let Some(bytes) = self.get(name, "reading the shared log").await? else {
            return Ok(None);
        };
        let read = read_segment(segment, &bytes)?;
        if read.is_none() {
            tracing::warn!(
                object = %name,
                "it has not arrived whole yet, or is damaged; what follows of this device waits for it"
            );
        }
        Ok(read)
    }

    /// What a member has acknowledged; the beginning when it cannot be read yet.
    pub(super) async fn acknowledged(&self, member: Device) -> Result<Vector> {
        let name = Name::Member(member);
        let bytes = self.get(name, "reading a member of the shared log").await?;
        let read = bytes.map_or_else(|| Ok(Vector::default()), |bytes| read_member(&bytes));
        Ok(read.unwrap_or_else(|error| {
            tracing::warn!(object = %name, error = %describe(&error), "nothing counts as acknowledged");
            Vector::default()
        }))
    }

    /// What tells that a snapshot is whole; `None` while it cannot be read.
    pub(super) async fn manifest(&self, id: SnapshotId) -> Result<Option<Manifest>> {
        let name = Name::Manifest(id);
        let Some(bytes) = self.get(name, "reading a snapshot of the shared log").await? else {
            return Ok(None);
        };
        let read = read_manifest(&bytes);
        if let Err(error) = &read {
            tracing::warn!(object = %name, error = %describe(error), "the snapshot is passed over");
        }
        Ok(read.ok())
    }

    pub(super) async fn acknowledge(&self, member: Device, place: &Vector) -> Result<()> {
        self.put(Name::Member(member), write_member(place), "acknowledging").await
    }
}

pub(super) fn missing(folder: &std::path::Path) -> SyncError {
    let reason = format!(
        "{}: it is not there, or is no folder; bring it back (is its disk or share there?), or make it if the log is new",
        folder.display()
    );
    SyncError::Transport { during: "opening the folder of the shared log", reason }
}

fn failed(during: &'static str, error: &Error) -> SyncError {
    SyncError::Transport { during, reason: describe(error) }
}

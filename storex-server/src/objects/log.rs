//! [`ObjectPagesLog`]: a log that keeps the pages of its snapshots in objects.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use storex_core::Runtime;
use storex_sync::http::{device_of_text, device_text};
use storex_sync::object_store::path::Path;
use storex_sync::object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt};
use storex_sync::{
    Cursor, Device, LogId, LogRequest, Member, Page, SealedKeys, SealedTransaction, SharedSyncLog,
    Snapshot, SnapshotId, Snapshots, SyncError, Trimmed, Usage,
};

use super::failed;

type Result<T> = std::result::Result<T, SyncError>;

/// What all pages are under.
const ROOT: &str = "snapshots";

const WRITING: &str = "writing a snapshot into the object store";
const READING: &str = "reading a snapshot from the object store";

/// How long pages stay that no published snapshot has: one may be made at this moment, by another device.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// The log itself keeps an empty page for each: so it knows which are there, publishes all or none, and decides between two makers.
#[derive(Debug)]
pub(super) struct ObjectPagesLog {
    log: Arc<dyn SharedSyncLog>,
    objects: Arc<dyn ObjectStore>,
    runtime: Arc<dyn Runtime>,
}

impl ObjectPagesLog {
    pub(super) fn new(
        log: Arc<dyn SharedSyncLog>,
        objects: Arc<dyn ObjectStore>,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        Self { log, objects, runtime }
    }

    fn inner(&self) -> Result<&dyn Snapshots> {
        self.log.snapshots().ok_or(SyncError::NoSnapshots)
    }

    /// Deletes the pages of snapshots that are not wanted any more, and those that nobody has touched for a day; but for those of the one
    /// that is published, also at this moment.
    async fn clear(&self, is_unwanted: impl Fn(&str) -> bool + Send) -> Result<()> {
        let root = Path::from(ROOT);
        let found = self.objects.list(Some(&root)).map_err(|error| failed(WRITING, &error));
        let found: Vec<ObjectMeta> = found.try_collect().await?;
        let mut given_up = HashMap::new();
        for object in found {
            let Some(name) = object.location.parts().nth(1) else { continue };
            let name = name.as_ref();
            if !is_unwanted(name) && !self.is_abandoned(&object) {
                continue;
            }
            let is_given_up = match given_up.get(name) {
                Some(known) => *known,
                None => {
                    let now = self.give_up(name).await?;
                    given_up.insert(name.to_owned(), now);
                    now
                }
            };
            if is_given_up {
                self.delete(&object.location).await?;
            }
        }
        Ok(())
    }

    /// Has the log forget a snapshot, so that nobody can publish it any more. `false`: it is published, or none of ours.
    async fn give_up(&self, name: &str) -> Result<bool> {
        let Some(id) = id_of(name) else { return Ok(false) };
        // The log decides it in one transaction: a snapshot that lacks pages is given up, unless it is the one that is published.
        let endless = Snapshot { id, pages: u64::MAX, place: Cursor::default() };
        Ok(!self.inner()?.publish(&endless).await?)
    }

    async fn has_all_pages(&self, snapshot: &Snapshot) -> Result<bool> {
        let folder = Path::from(format!("{ROOT}/{}", name_of(snapshot.id)));
        let found = self.objects.list(Some(&folder)).map_err(|error| failed(READING, &error));
        let found: HashSet<Path> = found.map_ok(|it| it.location).try_collect().await?;
        Ok((0..snapshot.pages).all(|page| found.contains(&page_of(snapshot.id, page))))
    }

    fn is_abandoned(&self, object: &ObjectMeta) -> bool {
        let age = self.runtime.now().0.saturating_sub(object.last_modified.timestamp_millis());
        u64::try_from(age).is_ok_and(|age| Duration::from_millis(age) > ABANDONED)
    }

    async fn delete(&self, path: &Path) -> Result<()> {
        match self.objects.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(WRITING, &error)),
        }
    }
}

/// What all snapshots of a maker begin with.
fn maker_name(maker: Device) -> String {
    format!("{}-", device_text(maker))
}

fn name_of(SnapshotId { maker, number }: SnapshotId) -> String {
    format!("{}{number}", maker_name(maker))
}

/// The snapshot of this name.
fn id_of(name: &str) -> Option<SnapshotId> {
    let (maker, number) = name.rsplit_once('-')?;
    let id = SnapshotId { maker: device_of_text(maker).ok()?, number: number.parse().ok()? };
    (name_of(id) == name).then_some(id)
}

fn page_of(id: SnapshotId, page: u64) -> Path {
    Path::from(format!("{ROOT}/{}/{page:08}", name_of(id)))
}

#[async_trait]
impl Snapshots for ObjectPagesLog {
    async fn put_page(&self, id: SnapshotId, page: u64, bytes: &[u8]) -> Result<()> {
        let published = self.inner()?.published().await?;
        if published.is_some_and(|it| it.id == id) {
            return Ok(());
        }
        if page == 0 {
            let (maker, own) = (maker_name(id.maker), name_of(id));
            self.clear(|name| name.starts_with(&maker) && name != own).await?;
        }
        // First the bytes: a page that the log knows of is there.
        let put = self.objects.put(&page_of(id, page), bytes.to_vec().into()).await;
        put.map_err(|error| failed(WRITING, &error))?;
        self.inner()?.put_page(id, page, &[]).await
    }

    async fn publish(&self, snapshot: &Snapshot) -> Result<bool> {
        let former = self.inner()?.published().await?.map(|it| it.id);
        // The log knows of pages that may have been cleared away since.
        let may_be = former == Some(snapshot.id) || self.has_all_pages(snapshot).await?;
        let is_published = may_be && self.inner()?.publish(snapshot).await?;
        let former = former.map(name_of);
        let given_up = if is_published { former } else { Some(name_of(snapshot.id)) };
        if let Err(error) = self.clear(|name| given_up.as_deref() == Some(name)).await {
            // Another day: it is published or not, whatever lies around.
            tracing::warn!(%error, "pages of former snapshots were not deleted");
        }
        Ok(is_published)
    }

    async fn published(&self) -> Result<Option<Snapshot>> {
        self.inner()?.published().await
    }

    async fn page(&self, id: SnapshotId, page: u64) -> Result<Option<Vec<u8>>> {
        let got = match self.objects.get(&page_of(id, page)).await {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) => Ok(Some(bytes.into())),
            // The log has it whole if it was made before there were objects.
            Err(Error::NotFound { .. }) => {
                let in_log = self.inner()?.page(id, page).await?;
                Ok(in_log.filter(|bytes| !bytes.is_empty()))
            }
            Err(error) => Err(failed(READING, &error)),
        }
    }

    async fn usage(&self) -> Result<Usage> {
        self.inner()?.usage().await
    }
}

/// Everything else is the log's.
#[async_trait]
impl SharedSyncLog for ObjectPagesLog {
    async fn register(&self, device: Device) -> Result<LogId> {
        self.log.register(device).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        self.log.append(transactions).await
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        self.log.read(reader, after, limit).await
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        self.log.acknowledge(reader, cursor).await
    }

    async fn exchange(&self, request: &LogRequest, limit: usize) -> Result<Option<Page>> {
        self.log.exchange(request, limit).await
    }

    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        self.log.changed(reader, after).await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.log.members().await
    }

    async fn dismiss(&self, device: Device) -> Result<bool> {
        self.log.dismiss(device).await
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        self.log.reidentify(known).await
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.log.trim().await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        self.log.snapshots().map(|_| self as &dyn Snapshots)
    }

    fn keys(&self) -> Option<&dyn SealedKeys> {
        self.log.keys()
    }
}

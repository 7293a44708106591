//! Blobs and the pages of snapshots in an object store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::disallowed_methods)] // the tests own the time and the tasks

#[path = "support/served.rs"]
#[allow(dead_code)]
mod served;

#[path = "../../tests/e2e/src/interrupted.rs"]
#[allow(unreachable_pub)]
mod interrupted;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use interrupted::Interrupted;
use storex_core::{Runtime, Timestamp, TokioRuntime};
use storex_memory::TestRuntime;
use storex_server::{DeviceId, DeviceInfo, Objects, Result, Store, User};
use storex_sync::{
    BlobRef, BlobStore, Cursor, Device, LogId, MemoryBlobStore, MemorySharedLog, SharedSyncLog,
    Snapshot, SnapshotId,
};

/// Logs in memory.
#[derive(Debug, Default)]
struct MemoryStore {
    logs: Mutex<BTreeMap<User, Arc<MemorySharedLog>>>,
    blobs: Mutex<BTreeMap<User, Arc<MemoryBlobStore>>>,
}

#[async_trait]
impl Store for MemoryStore {
    async fn log(&self, user: &User) -> Result<Arc<dyn SharedSyncLog>> {
        let make = || Arc::new(MemorySharedLog::new(LogId([user.as_str().len() as u8; 16])));
        Ok(Arc::clone(self.logs.lock().unwrap().entry(user.clone()).or_insert_with(make)) as _)
    }

    async fn blobs(&self, user: &User) -> Result<Arc<dyn BlobStore>> {
        Ok(Arc::clone(self.blobs.lock().unwrap().entry(user.clone()).or_default()) as _)
    }

    async fn devices(&self, _: &User) -> Result<Vec<DeviceInfo>> {
        unimplemented!("the directory has no objects")
    }

    async fn note_device(
        &self,
        _: &User,
        _: DeviceId,
        _: Option<&str>,
        _: Timestamp,
    ) -> Result<DeviceInfo> {
        unimplemented!("the directory has no objects")
    }

    async fn revoke(&self, _: &User, _: DeviceId, _: Timestamp) -> Result<()> {
        unimplemented!("the directory has no objects")
    }

    async fn ready(&self) -> Result<()> {
        Ok(())
    }
}

fn objects(folder: &tempfile::TempDir) -> Objects {
    Objects::in_folder(folder.path(), Arc::new(TokioRuntime)).unwrap()
}

fn user(name: &str) -> User {
    User::new(name).unwrap()
}

fn files(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path.display().to_string()),
        }
    }
    found.sort();
    found
}

mod logs {
    use super::*;
    use storex_conformance::shared_log::LogHarness;
    use storex_conformance::shared_log_conformance;

    fn pages_in_objects() -> LogHarness {
        let folder = tempfile::tempdir().unwrap();
        let store = objects(&folder).beside(Arc::new(MemoryStore::default()));
        LogHarness::new(move |n| {
            let (store, _kept) = (Arc::clone(&store), &folder);
            let user = user(&"x".repeat(1 + usize::try_from(n).unwrap()));
            Box::pin(async move { store.log(&user).await.unwrap() })
        })
    }

    shared_log_conformance!(pages_in_objects);
}

mod blobs {
    use super::*;
    use storex_conformance::blob_store::BlobHarness;
    use storex_conformance::blob_store_conformance;

    fn blobs_in_objects() -> BlobHarness {
        let folder = tempfile::tempdir().unwrap();
        let objects = objects(&folder);
        BlobHarness::new(move || {
            let _kept = &folder;
            let blobs = objects.blobs(&user("ada"));
            Box::pin(async move { blobs })
        })
    }

    blob_store_conformance!(blobs_in_objects);
}

mod blobs_over_http {
    use super::*;
    use storex_conformance::blob_store::BlobHarness;
    use storex_conformance::blob_store_conformance;
    use storex_memory::MemoryBackend;
    use storex_server::BackendStore;

    fn http() -> BlobHarness {
        let folder = tempfile::tempdir().unwrap();
        let objects = objects(&folder);
        let served = served::Served::over(async move |runtime| {
            let store = BackendStore::open(MemoryBackend::new(), runtime).await.unwrap();
            objects.beside(Arc::new(store))
        });
        BlobHarness::new(move || {
            let _kept = &folder;
            let store = served.blobs("ada");
            Box::pin(async move { store })
        })
    }

    blob_store_conformance!(http);
}

#[tokio::test]
async fn a_blob_from_before_there_were_objects_is_read_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let inner = Arc::new(MemoryStore::default());
    let blob = BlobRef::of(b"a picture");
    let before = inner.blobs(&user("ada")).await.unwrap();
    before.put_chunk(&blob, 0, b"a picture".to_vec()).await.unwrap();
    before.finish(&blob).await.unwrap();
    let blobs = objects(&folder).beside(inner).blobs(&user("ada")).await.unwrap();
    assert!(blobs.has(&blob).await.unwrap());
    assert_eq!(blobs.sent(&blob).await.unwrap(), 1, "it need not be sent");
    assert_eq!(blobs.chunk(&blob, 0).await.unwrap(), b"a picture");
    blobs.remove(&blob).await.unwrap();
    assert!(!blobs.has(&blob).await.unwrap());
    blobs.put_chunk(&blob, 0, b"a picture".to_vec()).await.unwrap();
    blobs.finish(&blob).await.unwrap();
    assert_eq!(before.sent(&blob).await.unwrap(), 0, "from now on it is in objects");
    assert_eq!(blobs.chunk(&blob, 0).await.unwrap(), b"a picture");
}

#[tokio::test]
async fn pages_are_objects_and_those_of_former_snapshots_go() {
    let folder = tempfile::tempdir().unwrap();
    let inner = Arc::new(MemoryStore::default());
    let store = objects(&folder).beside(Arc::clone(&inner) as _);
    let log = store.log(&user("ada")).await.unwrap();
    let snapshots = log.snapshots().unwrap();
    let maker = Device { id: [0xab; 16], incarnation: 3 };
    for number in [7, 8] {
        let id = SnapshotId { maker, number };
        for page in 0..3 {
            snapshots.put_page(id, page, format!("{number}/{page}").as_bytes()).await.unwrap();
        }
        let snapshot = Snapshot { id, pages: 3, place: Cursor::default() };
        assert!(snapshots.publish(&snapshot).await.unwrap());
    }
    let found = files(folder.path());
    assert_eq!(found.len(), 3, "{found:?}");
    let in_log = inner.log(&user("ada")).await.unwrap();
    let id = SnapshotId { maker, number: 8 };
    let page = in_log.snapshots().unwrap().page(id, 1).await.unwrap();
    assert_eq!(page, Some(Vec::new()), "the log itself has its name only");
    assert_eq!(snapshots.page(id, 1).await.unwrap(), Some(b"8/1".to_vec()));
}

#[tokio::test]
async fn a_snapshot_that_lacks_a_page_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let store = objects(&folder).beside(Arc::new(MemoryStore::default()));
    let log = store.log(&user("ada")).await.unwrap();
    let snapshots = log.snapshots().unwrap();
    let id = SnapshotId { maker: Device { id: [1; 16], incarnation: 0 }, number: 7 };
    for page in 0..3 {
        snapshots.put_page(id, page, b"page").await.unwrap();
    }
    // As when it was cleared away, because its maker took longer than a day.
    std::fs::remove_file(&files(folder.path())[1]).unwrap();
    let snapshot = Snapshot { id, pages: 3, place: Cursor::default() };
    assert!(!snapshots.publish(&snapshot).await.unwrap());
    assert_eq!(snapshots.published().await.unwrap(), None);
    assert_eq!(files(folder.path()), Vec::<String>::new(), "the rest goes");
}

#[tokio::test]
async fn a_snapshot_from_before_there_were_objects_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let inner = Arc::new(MemoryStore::default());
    let id = SnapshotId { maker: Device { id: [1; 16], incarnation: 0 }, number: 7 };
    let in_log = inner.log(&user("ada")).await.unwrap();
    in_log.snapshots().unwrap().put_page(id, 0, b"page").await.unwrap();
    let store = objects(&folder).beside(inner);
    let log = store.log(&user("ada")).await.unwrap();
    assert_eq!(log.snapshots().unwrap().page(id, 0).await.unwrap(), Some(b"page".to_vec()));
    assert_eq!(log.snapshots().unwrap().page(id, 1).await.unwrap(), None);
}

#[tokio::test]
async fn no_name_leads_to_what_another_user_has() {
    let folder = tempfile::tempdir().unwrap();
    let objects = objects(&folder);
    let blob = BlobRef::of(b"secret");
    let of_ada = objects.blobs(&user("ada"));
    of_ada.put_chunk(&blob, 0, b"secret".to_vec()).await.unwrap();
    of_ada.finish(&blob).await.unwrap();
    let before = files(folder.path());
    for name in ["Ada", "ada/", "../ada", "./ada", "ada/blobs", "ada%2F..", "..", "."] {
        let blobs = objects.blobs(&user(name));
        assert!(!blobs.has(&blob).await.unwrap(), "{name}");
        blobs.remove(&blob).await.unwrap();
        assert_eq!(files(folder.path()), before, "{name}");
    }
    assert!(of_ada.has(&blob).await.unwrap());
}

/// A snapshot is published in the middle of somebody's clearing away what nobody has touched for a day: it is whole, or not published.
#[tokio::test]
async fn what_is_published_while_it_is_cleared_away_is_whole_or_not_published() {
    let id = |n: u8, number| SnapshotId { maker: Device { id: [n; 16], incarnation: 0 }, number };
    let mut published_at = Vec::new();
    // Taken for abandoned as it is old, and as its maker begins another one.
    for (clearing, days) in [(id(2, 8), 2), (id(1, 8), 0)] {
        for requests in 0..16 {
            let (store, runtime) = (Interrupted::default(), Arc::new(TestRuntime::new(1)));
            let now = TokioRuntime.now().0 + days * 86_400_000;
            runtime.advance(now - runtime.now().0);
            let objects = Objects::new(Arc::new(store.clone()), runtime);
            let inner = Arc::new(MemoryStore::default());
            let log = objects.beside(inner).log(&user("ada")).await.unwrap();
            let snapshot = Snapshot { id: id(1, 7), pages: 3, place: Cursor::default() };
            for page in 0..3 {
                log.snapshots().unwrap().put_page(snapshot.id, page, b"page").await.unwrap();
            }
            let other = Arc::clone(&log);
            store.after(requests, async move {
                other.snapshots().unwrap().publish(&snapshot).await.unwrap();
            });
            log.snapshots().unwrap().put_page(clearing, 0, b"page").await.unwrap();
            if store.forget() {
                break;
            }
            let Some(there) = log.snapshots().unwrap().published().await.unwrap() else { continue };
            published_at.push((days, requests));
            for page in 0..3 {
                let page = log.snapshots().unwrap().page(there.id, page).await.unwrap();
                assert_eq!(page.as_deref(), Some(&b"page"[..]), "{days}, {requests}");
            }
        }
    }
    assert!(published_at.contains(&(2, 0)), "{published_at:?}");
}

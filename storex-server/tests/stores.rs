//! The stores that keep everything in a storex database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use storex_conformance::store::StoreHarness;
use storex_conformance::{CaseRuntime, WithNeighbours, store_conformance};
use storex_core::{
    Backend, Batch, BatchOutcome, Capabilities, Definition, FieldType, Query, Record, Registry,
    Runtime as _, Storage, Timestamp, TokioRuntime,
};
use storex_memory::MemoryBackend;
use storex_server::{BackendStore, ServerError, SqliteStore, Store, User};
use storex_sqlite::SqliteBackend;
use storex_sync::{BlobRef, Cursor, Device, SealedTransaction};
use tokio::sync::Semaphore;

mod in_memory {
    use super::*;

    fn memory() -> StoreHarness {
        StoreHarness::new(|| {
            Box::pin(async {
                let runtime = Arc::new(CaseRuntime::new(1));
                let store = BackendStore::open(MemoryBackend::new(), runtime).await.unwrap();
                Arc::new(store) as Arc<dyn Store>
            })
        })
    }

    store_conformance!(memory);
}

mod in_a_sqlite_file {
    use super::*;

    fn sqlite() -> StoreHarness {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        StoreHarness::new(move || {
            let folder = Arc::clone(&folder);
            Box::pin(async move { Arc::new(open(folder.path()).await) as Arc<dyn Store> })
        })
    }

    store_conformance!(sqlite);
}

/// The blobs of a user, as any blob store.
mod blobs_of_a_user {
    use super::*;
    use storex_conformance::blob_store::BlobHarness;
    use storex_conformance::blob_store_conformance;

    fn sqlite() -> BlobHarness {
        let store = Arc::new(tokio::sync::OnceCell::new());
        BlobHarness::new(move || {
            let store = Arc::clone(&store);
            Box::pin(async move {
                let folder = tempfile::tempdir().unwrap();
                let open = async { (open(folder.path()).await, folder) };
                let (store, _folder) = store.get_or_init(|| open).await;
                store.blobs(&user("ada")).await.unwrap()
            })
        })
    }

    blob_store_conformance!(sqlite);
}

/// The logs of a server, as any shared log.
mod log_of_a_user {
    use super::*;
    use storex_conformance::shared_log::LogHarness;
    use storex_conformance::shared_log_conformance;
    use storex_sync::SharedSyncLog;

    fn memory() -> LogHarness {
        LogHarness::in_memory(|n| {
            Box::pin(async move {
                let runtime = Arc::new(CaseRuntime::new(n));
                let store = BackendStore::open(MemoryBackend::new(), runtime).await.unwrap();
                let log = store.log(&user("ada")).await.unwrap();
                let neighbour = store.log(&user("ada2")).await.unwrap();
                Arc::new(WithNeighbours::new(log, [neighbour])) as Arc<dyn SharedSyncLog>
            })
        })
    }

    shared_log_conformance!(memory);
}

fn user(name: &str) -> User {
    User::new(name).unwrap()
}

async fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder.join("server.db"), Arc::new(TokioRuntime)).await.unwrap()
}

const PHONE: Device = Device { id: [1; 16], incarnation: 0 };

async fn write(store: &dyn Store, sequence: u64) {
    let log = store.log(&user("ada")).await.unwrap();
    let transaction = SealedTransaction { device: PHONE, sequence, payload: vec![7; 100] };
    log.append(&[transaction]).await.unwrap();
    store.note_device(&user("ada"), PHONE.id, Some("phone"), Timestamp(1)).await.unwrap();
}

async fn written(store: &dyn Store) -> usize {
    let log = store.log(&user("ada")).await.unwrap();
    let page = log.read(Device::NOBODY, &Cursor::default(), 1 << 20).await.unwrap();
    let devices = store.devices(&user("ada")).await.unwrap();
    assert_eq!(devices.len(), usize::from(!page.transactions.is_empty()));
    page.transactions.len()
}

#[tokio::test]
async fn a_second_server_on_one_file_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    let store = open(folder.path()).await;
    let second = SqliteStore::open(&path, Arc::new(TokioRuntime)).await.unwrap_err();
    let told = second.to_string();
    assert!(told.contains("another server uses") && told.contains("server.db"), "{told}");
    assert!(!second.is_retryable());
    write(&store, 1).await;
    store.close().await.unwrap();
    let store = open(folder.path()).await;
    assert_eq!(written(&store).await, 1);
    drop(store);
    assert_eq!(written(&open(folder.path()).await).await, 1, "without closing, too");
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_server_by_another_path_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(folder.path().join("server.db"), &link).unwrap();
    let second = SqliteStore::open(&link, Arc::new(TokioRuntime)).await;
    assert!(matches!(second, Err(ServerError::Store { .. })), "{second:?}");
    drop(store);
}

#[tokio::test]
async fn a_backup_is_whole_and_takes_the_place_of_the_original() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    write(&store, 1).await;
    let copy = tempfile::tempdir().unwrap();
    let to = copy.path().join("server.db");
    let writing = async {
        for sequence in 2..=100 {
            write(&store, sequence).await;
        }
    };
    let (backed_up, ()) = tokio::join!(store.back_up_to(&to), writing);
    backed_up.unwrap();
    let again = store.back_up_to(&to).await.unwrap_err();
    assert!(again.to_string().contains("is there already"), "{again}");
    let restored = open(copy.path()).await;
    let count = written(&restored).await;
    assert!((1..=100).contains(&count), "{count}");
    write(&restored, count as u64 + 1).await;
    assert_eq!(written(&restored).await, count + 1);
    assert_eq!(written(&store).await, 100);
}

/// A reader that was further on than a backup which takes the place of the original learns of it.
#[tokio::test]
async fn who_was_further_on_than_a_backup_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    write(&store, 1).await;
    let copy = tempfile::tempdir().unwrap();
    store.back_up_to(copy.path().join("server.db")).await.unwrap();
    write(&store, 2).await;
    let log = store.log(&user("ada")).await.unwrap();
    let place = log.read(Device::NOBODY, &Cursor::default(), 1 << 20).await.unwrap().cursor;
    let restored = open(copy.path()).await;
    let log = restored.log(&user("ada")).await.unwrap();
    let read = log.read(Device::NOBODY, &place, 1 << 20).await;
    assert!(matches!(read, Err(storex_sync::SyncError::LogReplaced)), "{read:?}");
}

#[tokio::test]
async fn a_backup_has_the_blobs_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let blob = BlobRef::of(b"a picture");
    let blobs = store.blobs(&user("ada")).await.unwrap();
    blobs.put_chunk(&blob, 0, b"a picture".to_vec()).await.unwrap();
    blobs.finish(&blob).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    store.back_up_to(copy.path().join("server.db")).await.unwrap();
    blobs.remove(&blob).await.unwrap();
    let restored = open(copy.path()).await.blobs(&user("ada")).await.unwrap();
    assert!(restored.has(&blob).await.unwrap());
    assert_eq!(restored.chunk(&blob, 0).await.unwrap(), b"a picture");
}

#[tokio::test]
async fn a_file_from_before_there_were_blobs_is_brought_along() {
    let folder = tempfile::tempdir().unwrap();
    let collections = BackendStore::collections().into_iter();
    let before = collections.filter(|it| !it.name().contains("blob"));
    let registry = Registry::builder().collections(before).build().unwrap();
    let backend = SqliteBackend::open(folder.path().join("server.db")).unwrap();
    let storage = Storage::builder(backend, registry, Arc::new(TokioRuntime)).open().await.unwrap();
    storage.close().await.unwrap();
    let store = open(folder.path()).await;
    write(&store, 1).await;
    let blobs = store.blobs(&user("ada")).await.unwrap();
    blobs.finish(&BlobRef::of(b"")).await.unwrap();
    assert!(blobs.has(&BlobRef::of(b"")).await.unwrap());
}

#[tokio::test]
async fn blobs_that_nobody_has_finished_are_dropped_and_no_others() {
    let runtime = Arc::new(CaseRuntime::new(1));
    let store = BackendStore::open(MemoryBackend::new(), Arc::clone(&runtime) as _).await.unwrap();
    let (ada, bob) = (user("ada"), user("bob"));
    let of_ada = store.blobs(&ada).await.unwrap();
    let of_bob = store.blobs(&bob).await.unwrap();
    let (begun, whole) = (BlobRef::of(&vec![7; (1 << 20) + 1]), BlobRef::of(b"whole"));
    of_ada.put_chunk(&whole, 0, b"whole".to_vec()).await.unwrap();
    of_ada.finish(&whole).await.unwrap();
    of_ada.put_chunk(&begun, 0, vec![7; 1 << 20]).await.unwrap();
    let before = runtime.now();
    runtime.sleep(Duration::from_secs(1)).await;
    let later = runtime.now();
    of_bob.put_chunk(&begun, 0, vec![7; 1 << 20]).await.unwrap();
    assert_eq!(store.drop_unfinished_blobs(before).await.unwrap(), 0);
    assert_eq!(store.drop_unfinished_blobs(later).await.unwrap(), 1);
    assert_eq!(of_ada.sent(&begun).await.unwrap(), 0);
    assert!(of_ada.has(&whole).await.unwrap());
    assert_eq!(of_bob.sent(&begun).await.unwrap(), 1);
    assert_eq!(store.drop_unfinished_blobs(later).await.unwrap(), 0);
}

/// A database whose writes wait for a permit each.
#[derive(Debug)]
struct Held {
    inner: Arc<MemoryBackend>,
    permits: Arc<Semaphore>,
}

#[async_trait]
impl Backend for Held {
    fn name(&self) -> &'static str {
        "held"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open(&self, registry: Arc<Registry>) -> storex_core::Result<()> {
        self.inner.open(registry).await
    }

    async fn find(&self, query: Query) -> storex_core::Result<Vec<Record>> {
        self.inner.find(query).await
    }

    async fn count(&self, query: Query) -> storex_core::Result<u64> {
        self.inner.count(query).await
    }

    async fn execute(&self, batch: Batch) -> storex_core::Result<BatchOutcome> {
        self.permits.acquire().await.unwrap().forget();
        self.inner.execute(batch).await
    }

    async fn flush(&self) -> storex_core::Result<()> {
        self.inner.flush().await
    }

    async fn close(&self) -> storex_core::Result<()> {
        self.inner.close().await
    }
}

/// Whoever comes back with the last part of an old upload while the server clears up has sent it.
#[tokio::test]
async fn a_blob_that_is_finished_while_it_is_about_to_be_dropped_stays() {
    let runtime = Arc::new(CaseRuntime::new(1));
    let (inner, permits) = (Arc::new(MemoryBackend::new()), Arc::new(Semaphore::new(0)));
    let device = BackendStore::open(Arc::clone(&inner), Arc::clone(&runtime) as _).await.unwrap();
    let held = Held { inner, permits: Arc::clone(&permits) };
    let clearing = BackendStore::open(held, Arc::clone(&runtime) as _).await.unwrap();
    let (blobs, blob) = (device.blobs(&user("ada")).await.unwrap(), BlobRef::of(b"whole"));
    // So many writes may pass before it is finished.
    for passed in 0..3 {
        blobs.put_chunk(&blob, 0, b"whole".to_vec()).await.unwrap();
        runtime.sleep(Duration::from_secs(1)).await;
        let mut dropping = Box::pin(clearing.drop_unfinished_blobs(runtime.now()));
        permits.add_permits(passed);
        assert!((&mut dropping).now_or_never().is_none(), "{passed}");
        let finished = blobs.finish(&blob).await;
        permits.add_permits(100);
        dropping.await.unwrap();
        assert_eq!(blobs.has(&blob).await.unwrap(), finished.is_ok(), "{passed}");
        assert_eq!(finished.is_ok(), passed < 2, "{passed}");
        permits.forget_permits(100);
        blobs.remove(&blob).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_no_database_of_a_server_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    fs::write(&path, "this is a text, and long enough to be looked at as a database".repeat(20))
        .unwrap();
    let refused = SqliteStore::open(&path, Arc::new(TokioRuntime)).await;
    assert!(matches!(refused, Err(ServerError::Store { .. })), "{refused:?}");
    fs::remove_file(&path).unwrap();
    // Of another program that keeps something else under one of the names.
    let devices = Definition::new("server_device").field("colour", FieldType::String);
    let registry = Registry::builder().collection(devices).build().unwrap();
    let backend = SqliteBackend::open(&path).unwrap();
    let storage = Storage::builder(backend, registry, Arc::new(TokioRuntime)).open().await.unwrap();
    storage.close().await.unwrap();
    let refused = SqliteStore::open(&path, Arc::new(TokioRuntime)).await;
    assert!(matches!(refused, Err(ServerError::Store { .. })), "{refused:?}");
    let nowhere = folder.path().join("no such folder/server.db");
    assert!(SqliteStore::open(nowhere, Arc::new(TokioRuntime)).await.is_err());
}

#[tokio::test]
async fn it_says_when_it_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.ready().await.unwrap();
    store.store().close().await.unwrap();
    assert!(store.ready().await.is_err());
    assert!(store.devices(&user("ada")).await.is_err());
}

/// What a user has whom nobody else may lose anything with: a log, blobs and devices, one of them shut out.
async fn settle(store: &dyn Store, name: &str) {
    let name = user(name);
    let transaction = |sequence| SealedTransaction { device: PHONE, sequence, payload: vec![7; 9] };
    let log = store.log(&name).await.unwrap();
    log.append(&(1..=5).map(transaction).collect::<Vec<_>>()).await.unwrap();
    let blobs = store.blobs(&name).await.unwrap();
    blobs.put_chunk(&whole(), 0, b"whole".to_vec()).await.unwrap();
    blobs.finish(&whole()).await.unwrap();
    blobs.put_chunk(&begun(), 0, vec![7; 1 << 20]).await.unwrap();
    store.note_device(&name, PHONE.id, Some("phone"), Timestamp(1)).await.unwrap();
    store.revoke(&name, [2; 16], Timestamp(2)).await.unwrap();
}

fn whole() -> BlobRef {
    BlobRef::of(b"whole")
}

fn begun() -> BlobRef {
    BlobRef::of(&vec![7; (1 << 20) + 1])
}

/// How many transactions, chunks and devices a user has.
async fn kept(store: &dyn Store, name: &str) -> [usize; 3] {
    let name = user(name);
    let log = store.log(&name).await.unwrap();
    let page = log.read(Device::NOBODY, &Cursor::default(), 1 << 20).await.unwrap();
    let blobs = store.blobs(&name).await.unwrap();
    let chunks = blobs.sent(&whole()).await.unwrap() + blobs.sent(&begun()).await.unwrap();
    assert_eq!(blobs.has(&whole()).await.unwrap(), chunks == 2);
    [page.transactions.len(), chunks as usize, store.devices(&name).await.unwrap().len()]
}

#[tokio::test]
async fn a_user_who_is_removed_leaves_nothing_behind_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for name in ["ada", "ada2"] {
        settle(&store, name).await;
    }
    store.remove_user(&user("ada")).await.unwrap();
    store.remove_user(&user("ada")).await.unwrap();
    store.remove_user(&user("nobody")).await.unwrap();
    assert_eq!(store.store().logs().names(None, 10).await.unwrap(), ["ada2"]);
    assert_eq!(kept(&store, "ada").await, [0, 0, 0]);
    assert_eq!(kept(&store, "ada2").await, [5, 2, 2]);
    settle(&store, "ada").await;
    assert_eq!(kept(&store, "ada").await, [5, 2, 2]);
    store.close().await.unwrap();
}

/// A database that takes so many batches, and then the program that writes is gone.
#[derive(Debug)]
struct Ending {
    inner: MemoryBackend,
    left: AtomicU64,
}

#[async_trait]
impl Backend for Ending {
    fn name(&self) -> &'static str {
        "ending"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open(&self, registry: Arc<Registry>) -> storex_core::Result<()> {
        self.inner.open(registry).await
    }

    async fn find(&self, query: Query) -> storex_core::Result<Vec<Record>> {
        self.inner.find(query).await
    }

    async fn count(&self, query: Query) -> storex_core::Result<u64> {
        self.inner.count(query).await
    }

    async fn execute(&self, batch: Batch) -> storex_core::Result<BatchOutcome> {
        let goes_on = |left: u64| Some(left.saturating_sub(u64::from(left < u64::MAX)));
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, goes_on) == Ok(0) {
            std::future::pending::<()>().await;
        }
        self.inner.execute(batch).await
    }

    async fn flush(&self) -> storex_core::Result<()> {
        self.inner.flush().await
    }

    async fn close(&self) -> storex_core::Result<()> {
        self.inner.close().await
    }
}

/// How many transactions there are of all users.
async fn transactions(backend: &Arc<Ending>) -> u64 {
    let registry = Registry::builder().collections(BackendStore::collections()).build().unwrap();
    let runtime = Arc::new(CaseRuntime::new(2));
    let storage = Storage::builder(Arc::clone(backend), registry, runtime).open().await.unwrap();
    storage.count(Query::new("shared_transaction")).await.unwrap()
}

/// After any of its batches.
#[tokio::test]
async fn the_removal_of_a_user_that_was_cut_short_goes_on_when_it_is_called_again() {
    for batches in 0.. {
        let backend = Arc::new(Ending { inner: MemoryBackend::new(), left: u64::MAX.into() });
        let runtime = Arc::new(CaseRuntime::new(1));
        let store = BackendStore::open(Arc::clone(&backend), runtime.clone()).await.unwrap();
        for name in ["ada", "ada2"] {
            settle(&store, name).await;
        }
        backend.left.store(batches, Ordering::SeqCst);
        let ada = user("ada");
        let is_done = tokio::select! {
            biased;
            removed = store.remove_user(&ada) => removed.is_ok(),
            () = std::future::ready(()) => false,
        };
        backend.left.store(u64::MAX, Ordering::SeqCst);
        let store = BackendStore::open(Arc::clone(&backend), runtime).await.unwrap();
        // What is left of the log is gone already.
        let left = if batches == 0 { 10 } else { 5 };
        assert_eq!(transactions(&backend).await, left, "{batches}");
        store.remove_user(&ada).await.unwrap();
        assert_eq!(kept(&store, "ada").await, [0, 0, 0], "{batches}");
        assert_eq!(kept(&store, "ada2").await, [5, 2, 2], "{batches}");
        if is_done {
            assert!(batches > 5, "{batches}");
            break;
        }
    }
}

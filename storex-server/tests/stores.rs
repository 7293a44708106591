//! The stores that keep everything in a storex database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::fs;
use std::path::Path;
use std::sync::Arc;

use storex_conformance::store::StoreHarness;
use storex_conformance::{CaseRuntime, WithNeighbours, store_conformance};
use storex_core::{Definition, FieldType, Registry, Storage, Timestamp, TokioRuntime};
use storex_memory::MemoryBackend;
use storex_server::{BackendStore, ServerError, SqliteStore, Store, User};
use storex_sqlite::SqliteBackend;
use storex_sync::{Cursor, Device, SealedTransaction};

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

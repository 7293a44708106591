//! Encrypted shared logs on a disk: in a folder, and in a SQLite file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use storex_core::{AutoPk, Definition, FieldType, Registry, Storage, TokioRuntime};
use storex_sqlite::SqliteBackend;
use storex_sync::{
    Access, BackendSharedLog, EncryptedSharedLog, ObjectSharedLog, Passphrase, PassphraseCost,
    SharedSyncLog, Sync, SyncError, SyncLog,
};

const WORDS: [&str; 4] = ["diary_entry", "headline", "the-key-of-it", "Dear diary"];

async fn device(path: &Path) -> Storage {
    let entry = Definition::new("diary_entry").field("headline", FieldType::String);
    let registry = Registry::builder().collection(entry).build().unwrap();
    let backend = SqliteBackend::open(path).unwrap();
    Storage::builder(backend, registry, Arc::new(TokioRuntime))
        .middleware(AutoPk::new())
        .middleware(SyncLog::new())
        .open()
        .await
        .unwrap()
}

async fn write(storage: &Storage, id: &str, headline: &str) {
    let entry = json!({"id": id, "headline": headline});
    storage.dynamic("diary_entry").unwrap().create(entry).await.unwrap();
}

async fn headlines(storage: &Storage) -> u64 {
    storage.dynamic("diary_entry").unwrap().count(&json!({})).await.unwrap()
}

async fn sync(storage: &Storage, log: &Arc<EncryptedSharedLog>) {
    Sync::open(storage, log.clone()).await.unwrap().sync_once().await.unwrap();
}

fn passphrase() -> Passphrase {
    Passphrase::new("seven green boats")
}

fn access() -> Access {
    Access::by(passphrase()).cost(PassphraseCost { memory: 64, passes: 1 })
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push(path),
        }
    }
    all
}

fn holds(folder: &Path, word: &str) -> bool {
    files(folder).iter().any(|path| {
        let bytes = fs::read(path).unwrap();
        let in_name = path.to_str().unwrap().contains(word);
        in_name || bytes.windows(word.len()).any(|window| window == word.as_bytes())
    })
}

/// Two devices in step over a log that is below the folder.
async fn get_in_step(folder: &Path, inner: &Arc<dyn SharedSyncLog>) -> Arc<EncryptedSharedLog> {
    let runtime = Arc::new(TokioRuntime);
    let devices = tempfile::tempdir().unwrap();
    let a = device(&devices.path().join("a.db")).await;
    let b = device(&devices.path().join("b.db")).await;
    write(&a, "the-key-of-it", "Dear diary").await;
    let on_a = EncryptedSharedLog::create(inner.clone(), &access(), runtime.clone()).await;
    let on_a = Arc::new(on_a.unwrap());
    sync(&a, &on_a).await;
    let wrong = Passphrase::new("seven green boat");
    let error = EncryptedSharedLog::open(inner.clone(), &wrong, runtime.clone()).await;
    assert!(matches!(error, Err(SyncError::WrongPassphrase)));
    let on_b = EncryptedSharedLog::open(inner.clone(), &passphrase(), runtime).await.unwrap();
    let on_b = Arc::new(on_b);
    sync(&b, &on_b).await;
    write(&b, "another", "Dear diary, once more").await;
    sync(&b, &on_b).await;
    sync(&a, &on_a).await;
    assert_eq!((headlines(&a).await, headlines(&b).await), (2, 2));
    for word in WORDS {
        assert!(!holds(folder, word), "{word}");
        assert!(holds(devices.path(), word), "{word} would be found");
    }
    a.close().await.unwrap();
    b.close().await.unwrap();
    on_a
}

#[tokio::test]
async fn a_folder_holds_no_word() {
    let folder = tempfile::tempdir().unwrap();
    let log = ObjectSharedLog::in_folder(folder.path(), Arc::new(TokioRuntime)).await.unwrap();
    let log: Arc<dyn SharedSyncLog> = Arc::new(log);
    get_in_step(folder.path(), &log).await;
}

#[tokio::test]
async fn a_sqlite_file_holds_no_word() {
    let folder = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(folder.path().join("log.db")).unwrap();
    let log = BackendSharedLog::open(backend, Arc::new(TokioRuntime)).await.unwrap();
    let log: Arc<dyn SharedSyncLog> = Arc::new(log);
    get_in_step(folder.path(), &log).await;
}

#[tokio::test]
async fn a_folder_that_was_wiped_gets_everything_again_and_the_keys_too() {
    let (folder, devices) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let runtime = Arc::new(TokioRuntime);
    let log = ObjectSharedLog::in_folder(folder.path(), runtime.clone()).await.unwrap();
    let log: Arc<dyn SharedSyncLog> = Arc::new(log);
    let on_a = EncryptedSharedLog::create(log.clone(), &access(), runtime.clone()).await;
    let on_a = Arc::new(on_a.unwrap());
    let a = device(&devices.path().join("a.db")).await;
    write(&a, "the-key-of-it", "Dear diary").await;
    sync(&a, &on_a).await;
    for path in files(folder.path()) {
        fs::remove_file(path).unwrap();
    }
    write(&a, "another", "Dear diary, once more").await;
    sync(&a, &on_a).await;
    let b = device(&devices.path().join("b.db")).await;
    let on_b = EncryptedSharedLog::open(log, &passphrase(), runtime).await.unwrap();
    sync(&b, &Arc::new(on_b)).await;
    assert_eq!(headlines(&b).await, 2);
}

/// A program that keeps the folder in step brings the files in whatever order, and in parts.
#[tokio::test]
async fn a_key_that_has_not_arrived_whole_is_waited_for() {
    let (folder, devices) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let runtime = Arc::new(TokioRuntime);
    let log = ObjectSharedLog::in_folder(folder.path(), runtime.clone()).await.unwrap();
    let log: Arc<dyn SharedSyncLog> = Arc::new(log);
    let phones_key = storex_sync::DeviceKey::generate(&TokioRuntime);
    let on_a = EncryptedSharedLog::create(log.clone(), &access(), runtime.clone()).await;
    let on_a = Arc::new(on_a.unwrap());
    let on_b = EncryptedSharedLog::open(log.clone(), &passphrase(), runtime).await.unwrap();
    let on_b = Arc::new(on_b.device(phones_key.clone()));
    let a = device(&devices.path().join("a.db")).await;
    let b = device(&devices.path().join("b.db")).await;
    sync(&b, &on_b).await;
    let before = files(&folder.path().join("keys"));
    on_a.rotate(&Access::of_devices([phones_key.public()])).await.unwrap();
    write(&a, "the-key-of-it", "Dear diary").await;
    sync(&a, &on_a).await;
    let mut after = files(&folder.path().join("keys"));
    after.retain(|path| !before.contains(path));
    let [path] = &after[..] else { panic!("one key") };
    let whole = fs::read(path).unwrap();
    let joined = Sync::open(&b, on_b).await.unwrap();
    for part in [0, 1, 20, whole.len() / 2, whole.len() - 1] {
        fs::write(path, &whole[..part]).unwrap();
        let error = joined.sync_once().await.unwrap_err();
        assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
        assert_eq!(headlines(&b).await, 0);
    }
    fs::write(path, whole).unwrap();
    joined.sync_once().await.unwrap();
    assert_eq!(headlines(&b).await, 1);
}

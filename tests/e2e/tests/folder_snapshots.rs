//! Snapshots of shared logs in folders that another program keeps in step: pages that arrive late, in parts, or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use storex_core::{Definition, FieldType, Registry, Runtime, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    Compacted, Compaction, Limits, ObjectSharedLog, SharedSyncLog, Sync, SyncError, SyncLog,
};

const EAGER: Compaction = Compaction { least: 1, most_behind: None };

async fn storage(seed: u64) -> Storage {
    let note = Definition::new("note").field("title", FieldType::String);
    let registry = Registry::builder().collection(note).build().unwrap();
    let runtime = Arc::new(TestRuntime::new(seed));
    let builder = Storage::builder(MemoryBackend::new(), registry, runtime);
    builder.middleware(SyncLog::new()).open().await.unwrap()
}

async fn write(storage: &Storage, id: &str) {
    storage
        .dynamic("note")
        .unwrap()
        .create(json!({"id": id, "title": "x".repeat(60)}))
        .await
        .unwrap();
}

async fn notes(storage: &Storage) -> u64 {
    storage.dynamic("note").unwrap().count(&json!({})).await.unwrap()
}

async fn log(folder: &Path) -> Arc<ObjectSharedLog> {
    let runtime: Arc<dyn Runtime> = Arc::new(TestRuntime::new(1));
    Arc::new(ObjectSharedLog::in_folder(folder, runtime).await.unwrap())
}

async fn join(storage: &Storage, log: &Arc<ObjectSharedLog>) -> Sync {
    let limits = Limits { bytes: 1 << 10, ..Limits::default() };
    let sync = Sync::open(storage, Arc::clone(log) as _).await.unwrap();
    sync.limits(limits).compaction(EAGER)
}

/// A log of sixty notes that was compacted, its maker, and the files of its snapshot, the manifest last.
async fn compacted(folder: &Path) -> (Arc<ObjectSharedLog>, Storage, Vec<PathBuf>) {
    let log = log(folder).await;
    let a = storage(1).await;
    for n in 0..60 {
        write(&a, &n.to_string()).await;
        join(&a, &log).await.sync_once().await.unwrap();
    }
    let compacted = join(&a, &log).await.compact().await.unwrap();
    assert_eq!(compacted.trimmed, 59);
    let files = snapshot_files(folder);
    assert!(files.len() > 3, "some pages, and the manifest");
    (log, a, files)
}

fn snapshot_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.join("snapshots")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

async fn is_below(log: &Arc<ObjectSharedLog>, seed: u64) -> bool {
    let new = storage(seed).await;
    write(&new, "its own").await;
    match join(&new, log).await.sync_once().await {
        Ok(report) => {
            assert_eq!((report.restored.unwrap().total(), notes(&new).await), (60, 61));
            false
        }
        Err(SyncError::BelowFloor { .. }) => {
            assert!(new.dynamic("note").unwrap().get("its own").await.unwrap().is_some());
            true
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn c22_a_page_or_manifest_that_has_not_arrived_whole_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _a, files) = compacted(dir.path()).await;
    let mut seed = 10;
    for file in [&files[0], &files[1], files.last().unwrap()] {
        let whole = fs::read(file).unwrap();
        for part in [0, 5, whole.len() / 2, whole.len() - 1] {
            fs::write(file, &whole[..part]).unwrap();
            assert!(is_below(&log, seed).await, "{}, {part} bytes", file.display());
            seed += 1;
        }
        fs::remove_file(file).unwrap();
        assert!(is_below(&log, seed).await, "{} is missing", file.display());
        fs::write(file, &whole).unwrap();
        assert!(!is_below(&log, seed + 1).await, "it is whole again");
        seed += 2;
    }
}

#[tokio::test]
async fn c09_nothing_is_trimmed_while_the_only_snapshot_is_not_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (log, a, files) = compacted(dir.path()).await;
    for n in 0..5 {
        write(&a, &format!("later {n}")).await;
        join(&a, &log).await.sync_once().await.unwrap();
    }
    let page = fs::read(&files[0]).unwrap();
    fs::remove_file(&files[0]).unwrap();
    assert_eq!(log.trim().await.unwrap().transactions, 0);
    fs::write(&files[0], page).unwrap();
    assert_eq!(log.trim().await.unwrap().transactions, 1, "up to its place");
    let new = storage(2).await;
    join(&new, &log).await.sync_once().await.unwrap();
    assert_eq!(notes(&new).await, 65);
}

#[tokio::test]
async fn c09_what_is_left_of_a_lost_snapshot_is_dropped_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (log, a, files) = compacted(dir.path()).await;
    fs::remove_file(&files[1]).unwrap();
    let usage = log.snapshots().unwrap().usage().await.unwrap();
    assert!(usage.lacks_beginning, "{usage:?}");
    let compacted = join(&a, &log).await.compact().await.unwrap();
    assert!(compacted.snapshot.is_some(), "{compacted:?}");
    let left = snapshot_files(dir.path());
    assert!(left.iter().all(|file| !files.contains(file)), "{left:?}");
    assert!(!is_below(&log, 20).await);
    assert_eq!(join(&a, &log).await.compact().await.unwrap(), Compacted::default());
}

#[tokio::test]
async fn c12_conflict_copies_and_temporary_files_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _a, files) = compacted(dir.path()).await;
    for file in &files {
        for name in [".tmp", " (conflicted copy)", "~"] {
            let mut copy = file.clone().into_os_string();
            copy.push(name);
            fs::write(copy, b"rubbish").unwrap();
        }
    }
    fs::write(dir.path().join("snapshots/.stfolder"), b"").unwrap();
    assert!(!is_below(&log, 20).await);
}

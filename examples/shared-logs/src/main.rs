//! Devices that stay in step through a shared log: in memory, in a SQLite file, in a folder. Then what somebody has to do
//! for a log now and then: see who its members are, dismiss one, compact it.
//! Run it with `cargo run --package storex-shared-logs`.
#![allow(clippy::print_stdout)] // an example shows what it does

use std::{error::Error, sync::Arc};

use serde::{Deserialize, Serialize};
use storex_core::{AutoPk, Collection, Filter, Registry, Storage, TokioRuntime};
use storex_memory::MemoryBackend;
use storex_sqlite::SqliteBackend;
use storex_sync::{
    BackendSharedLog, Compaction, LogId, MemorySharedLog, ObjectSharedLog, SharedSyncLog, Sync,
    SyncLog,
};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Collection)]
struct Note {
    id: String,
    title: String,
}

/// A device with a database of its own; here in memory.
async fn device() -> Result<Storage> {
    let registry = Registry::builder().collection(Note::definition()).build()?;
    let builder = Storage::builder(MemoryBackend::new(), registry, Arc::new(TokioRuntime));
    Ok(builder.middleware(AutoPk::new()).middleware(SyncLog::new()).open().await?)
}

async fn write(device: &Storage, title: &str) -> Result<()> {
    let note = Note { id: String::new(), title: title.to_owned() };
    device.collection::<Note>()?.create(&note).await?;
    Ok(())
}

async fn titles(device: &Storage) -> Result<Vec<String>> {
    let notes = device.collection::<Note>()?.find(Filter::All).await?;
    let mut titles: Vec<_> = notes.into_iter().map(|note| note.title).collect();
    titles.sort();
    Ok(titles)
}

/// Whatever the log is: this is all that devices do with it.
async fn two_devices(name: &str, log: Arc<dyn SharedSyncLog>) -> Result<()> {
    let (a, b) = (device().await?, device().await?);
    let (sync_a, sync_b) = (Sync::open(&a, log.clone()).await?, Sync::open(&b, log.clone()).await?);
    write(&a, "written on A").await?;
    write(&b, "written on B").await?;
    for sync in [&sync_a, &sync_b, &sync_a] {
        sync.sync_once().await?;
    }
    assert_eq!(titles(&a).await?, ["written on A", "written on B"]);
    assert_eq!(titles(&a).await?, titles(&b).await?);
    println!("in step through {name}");
    Ok(())
}

/// A member goes away, the log is compacted, and a new device comes.
async fn over_time(log: Arc<dyn SharedSyncLog>) -> Result<()> {
    let (a, lost, new) = (device().await?, device().await?, device().await?);
    let (sync_a, sync_lost) =
        (Sync::open(&a, log.clone()).await?, Sync::open(&lost, log.clone()).await?);
    sync_lost.sync_once().await?;
    for n in 1..=20 {
        write(&a, &format!("note {n:02}")).await?;
        sync_a.sync_once().await?;
    }
    for member in log.members().await? {
        println!("{} is {} transactions behind", member.device, member.behind);
    }
    // It lies at the bottom of a lake, and the log would be kept for it for ever. (`Compaction::most_behind` does so too.)
    log.dismiss(sync_lost.device().await?).await?;

    // A snapshot takes the place of what is dropped. `ContinuousSync` sees to it once a day.
    let at_once = Compaction { least: 1, ..Compaction::default() };
    let compacted = sync_a.clone().compaction(at_once).compact().await?;
    println!("trimmed {} transactions", compacted.trimmed);
    write(&a, "one more").await?;
    sync_a.sync_once().await?;

    // A new device takes the snapshot, and what follows it.
    let report = Sync::open(&new, log).await?.sync_once().await?;
    let restored = report.restored.map(|restored| restored.total());
    println!("{restored:?} notes of the snapshot, {} of the log", report.received.transactions);
    assert_eq!(titles(&new).await?, titles(&a).await?);
    println!("a new device has {} notes", titles(&new).await?.len());
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let runtime = Arc::new(TokioRuntime);

    // In memory: for tests, and for devices in one process.
    two_devices("memory", Arc::new(MemorySharedLog::new(LogId([7; 16])))).await?;

    // In any database that storex has a backend for.
    let file = SqliteBackend::open(dir.path().join("shared.db"))?;
    two_devices("SQLite", Arc::new(BackendSharedLog::open(file, runtime.clone()).await?)).await?;

    // In a folder: on a shared disk, or one that Syncthing, Dropbox and the like keep in step. A bucket of an object store
    // is opened with `ObjectSharedLog::open`.
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder)?;
    two_devices("a folder", Arc::new(ObjectSharedLog::in_folder(folder, runtime.clone()).await?))
        .await?;

    let folder = dir.path().join("another");
    std::fs::create_dir(&folder)?;
    over_time(Arc::new(ObjectSharedLog::in_folder(folder, runtime).await?)).await
}

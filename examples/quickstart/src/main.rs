//! Two devices with a SQLite database each: B gets everything of A once, then both stay in step through a shared log.
//! Run it with `cargo run --package storex-quickstart`.
#![allow(clippy::print_stdout)] // an example shows what it does

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use storex_core::{AutoPk, Collection, Filter, Registry, Storage, TokioRuntime};
use storex_sqlite::SqliteBackend;
use storex_sync::{BackendSharedLog, ContinuousSync, InitialSync, MemoryChannel, Sync, SyncLog};

#[derive(Debug, PartialEq, Serialize, Deserialize, Collection)]
struct Note {
    id: String,
    title: String,
    stars: i64,
}

/// A device: its database, keys for new objects, and the log of its writes.
async fn open(path: &Path) -> storex_core::Result<Storage> {
    let registry = Registry::builder().collection(Note::definition()).build()?;
    let builder = Storage::builder(SqliteBackend::open(path)?, registry, Arc::new(TokioRuntime));
    builder.middleware(AutoPk::new()).middleware(SyncLog::new()).open().await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (a, b) = (open(&dir.path().join("a.db")).await?, open(&dir.path().join("b.db")).await?);
    let (on_a, on_b) = (a.collection::<Note>()?, b.collection::<Note>()?);
    let note = |title: &str| Note { id: String::new(), title: title.to_owned(), stars: 0 };
    let milk = on_a.create(&note("Buy milk")).await?;
    on_a.create(&note("Call Ada")).await?;

    // Once: straight from device to device, here over a channel in memory.
    let (mut here, mut there) = MemoryChannel::pair();
    let (sender, receiver) = (InitialSync::open(&a).await?, InitialSync::open(&b).await?);
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    println!("initial sync: A sent {}, B received {} notes", sent?.total(), received?.total());

    // Both edit while they are apart: two fields of one note, a new note, a delete.
    on_a.update_one(milk.clone(), Note::TITLE.set("Buy oat milk")).await?;
    on_b.update_one(milk, Note::STARS.increment(5)).await?;
    on_b.create(&note("Water the plants")).await?;
    on_b.delete(Note::TITLE.eq("Call Ada")).await?;

    // From then on: through a log that both can reach. Here that is a third SQLite file.
    let file = SqliteBackend::open(dir.path().join("shared.db"))?;
    let log = Arc::new(BackendSharedLog::open(file, Arc::new(TokioRuntime)).await?);
    let every = Duration::from_secs(5);
    let sync_a = ContinuousSync::start(Sync::open(&a, log.clone()).await?, every);
    let sync_b = ContinuousSync::start(Sync::open(&b, log.clone()).await?, every);
    // They would do it by themselves within five seconds; who is in a hurry asks at once.
    for sync in [&sync_a, &sync_b, &sync_a] {
        sync.sync_now().await.ok_or("it was stopped")??;
    }
    println!("continuous sync: {} exchanges on A", sync_a.status().borrow().rounds);
    sync_a.stop().await;
    sync_b.stop().await;

    let notes = on_a.find(Filter::All).await?;
    assert_eq!(notes, on_b.find(Filter::All).await?, "A and B are in step");
    println!("in step: A and B have");
    notes.iter().for_each(|note| println!("  {} ({} stars)", note.title, note.stars));
    a.close().await?;
    b.close().await?;
    log.close().await?;
    Ok(())
}

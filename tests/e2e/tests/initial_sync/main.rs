//! What an initial sync must show, between devices on SQLite files: writers at work on both sides, killed and stopped
//! processes, rubbish, several at once, conflicts. `STOREX_LONG=1`: 300,000 rows, 500 kills.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod chinook;
mod conflicts;
mod events;
mod processes;
mod rubbish;
mod together;
mod writers;

use std::path::Path;
use std::sync::Arc;

use storex_core::{Storage, TokioRuntime};
use storex_e2e::audit;
use storex_e2e::place::Place;
use storex_e2e::shop::{self, assert_equal};
use storex_sqlite::SqliteBackend;
use storex_sync::{BackendSharedLog, InitialSync, StreamChannel, Sync, SyncError, parked};
use tokio::net::UnixStream;

/// Two ends of a connection.
fn connection() -> (StreamChannel<UnixStream>, StreamChannel<UnixStream>) {
    let (here, there) = UnixStream::pair().unwrap();
    (StreamChannel::new(here), StreamChannel::new(there))
}

async fn sync_of(storage: &Storage) -> InitialSync {
    InitialSync::open(storage).await.unwrap()
}

async fn one_way(from: &Storage, to: &Storage) {
    let (mut here, mut there) = connection();
    let (sender, receiver) = (sync_of(from).await, sync_of(to).await);
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    sent.unwrap();
    received.unwrap();
}

async fn both_ways(one: &Storage, other: &Storage) {
    let (mut here, mut there) = connection();
    let (here_sync, there_sync) = (sync_of(one).await, sync_of(other).await);
    let (one, other) =
        tokio::join!(here_sync.both_ways(&mut here), there_sync.both_ways(&mut there));
    one.unwrap();
    other.unwrap();
}

async fn shared_log(place: &Place) -> Arc<BackendSharedLog> {
    let backend = SqliteBackend::open(place.shared()).unwrap();
    Arc::new(BackendSharedLog::open(backend, Arc::new(TokioRuntime)).await.unwrap())
}

/// One exchange of everybody through a shared log: what the first lacks of the others comes by its second turn.
async fn exchange(place: &Place, devices: &[&Storage]) {
    let log = shared_log(place).await;
    for device in devices.iter().chain(devices.iter().rev().skip(1)) {
        Sync::open(*device, log.clone()).await.unwrap().sync_once().await.unwrap();
    }
}

async fn parked_count(storage: &Storage) -> usize {
    parked(storage).await.unwrap().len()
}

/// All devices hold the same, nothing waits, and the files are whole.
async fn assert_in_step(devices: &[(&Storage, &Path)]) {
    let expected = shop::contents(devices[0].0).await.unwrap();
    for (device, path) in devices {
        assert_equal(&shop::contents(device).await.unwrap(), &expected, "equal to the first");
        assert_eq!(parked_count(device).await, 0, "nothing waits");
        audit::assert_whole(path);
    }
}

/// What fails when the other side is gone.
fn is_gone(error: &SyncError) -> bool {
    matches!(error, SyncError::Closed { .. } | SyncError::Transport { .. })
}

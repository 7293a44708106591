//! Sync in another place: what the proxy adds to what is tested in `continuous`, which runs through it as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods)] // the tests own the time and the tasks

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod clients;
mod connection;
mod line;
mod peers;

use std::sync::Arc;
use std::time::Duration;

use storex_memory::TestRuntime;
use storex_sync::{
    Channel, ContinuousSync, MemoryChannel, Phase, RemoteSync, SyncError, SyncHandle, SyncHost,
};
use support::Device;
use support::log::ScriptedLog;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
/// No timer of a test is so long.
const LONG: Duration = Duration::from_secs(100_000);

/// Lets everything run that can run now.
async fn let_run() {
    sleep(Duration::from_millis(1)).await;
}

/// A sync whose timer does not matter.
async fn running(device: &Device, log: &Arc<ScriptedLog>) -> ContinuousSync {
    ContinuousSync::start(device.join(log).await, LONG)
}

async fn host(device: &Device, log: &Arc<ScriptedLog>) -> SyncHost {
    SyncHost::new(running(device, log).await)
}

async fn connect(channel: impl Channel) -> Result<RemoteSync, SyncError> {
    RemoteSync::connect(channel, Arc::new(TestRuntime::new(99))).await
}

async fn client(host: &SyncHost) -> RemoteSync {
    let (here, there) = MemoryChannel::pair();
    host.serve(there);
    connect(here).await.unwrap()
}

fn phase(sync: &impl SyncHandle) -> Phase {
    sync.status().borrow().phase
}

/// That no status follows.
async fn assert_ended(sync: &impl SyncHandle) {
    let mut status = sync.status();
    status.borrow_and_update();
    assert!(status.changed().await.is_err());
}

/// That it says of the connection that it is lost, in every way that it can.
async fn assert_lost(sync: &RemoteSync) {
    let status = sync.status().borrow().clone();
    assert_eq!(
        (status.phase, status.in_step, status.next_attempt),
        (Phase::Disconnected, false, None)
    );
    assert_ended(sync).await;
    assert!(sync.events().next().await.is_none());
    assert_disconnected(&sync.unsent().await.unwrap_err());
    assert_disconnected(&sync.sync_now().await.unwrap().unwrap_err());
    sync.logged_in();
    sync.stop().await;
}

fn assert_disconnected(error: &SyncError) {
    assert!(matches!(error, SyncError::Disconnected { .. }), "{error:?}");
    assert!(error.is_retryable());
    assert!(error.to_string().contains("connect again"), "{error}");
}

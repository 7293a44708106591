//! [`ContinuousSync`](storex_sync::ContinuousSync) under a clock that stands still until everybody waits. Each case is run twice: where sync
//! runs, and through a proxy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods)] // the tests own the time

#[path = "../support/mod.rs"]
mod support;

mod awake;
mod failures;
#[cfg(feature = "object-store")]
mod missing;
mod obstacles;
mod remembering;
mod rounds;
mod status;
mod triggers;
mod writes;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use storex_sync::{ContinuousSync, ContinuousSyncBuilder, Sync, SyncError, SyncHandle, SyncReport};
use support::Device;
use support::log::{Call, ScriptedLog};
use tokio::time::{Instant, sleep};

const INTERVAL: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
/// No timer of a test is so long.
const LONG: Duration = Duration::from_secs(100_000);

/// Lets everything run that can run now.
async fn let_run() {
    sleep(Duration::from_millis(1)).await;
}

/// One whose timer does not matter.
async fn builder(device: &Device, log: &Arc<ScriptedLog>) -> ContinuousSyncBuilder {
    ContinuousSync::builder(device.join(log).await).intervals(LONG, LONG)
}

/// One with one distance between exchanges.
fn every(sync: Sync, interval: Duration) -> ContinuousSyncBuilder {
    ContinuousSync::builder(sync).intervals(interval, interval)
}

/// The error of an exchange that was asked for.
async fn refused(continuous: &Arc<dyn SyncHandle>) -> SyncError {
    continuous.sync_now().await.expect("it runs").expect_err("it is refused")
}

async fn exchanged(continuous: &Arc<dyn SyncHandle>) -> SyncReport {
    continuous.sync_now().await.expect("it runs").expect("it goes through")
}

/// When the next so many requests of each of these kinds begin.
fn times(log: &ScriptedLog, calls: &[Call], count: usize) -> Arc<Mutex<Vec<Instant>>> {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    for call in calls.iter().flat_map(|call| std::iter::repeat_n(*call, count)) {
        let times = Arc::clone(&times);
        log.before(call, move || {
            times.lock().unwrap().push(Instant::now());
            async {}
        });
    }
    times
}

/// The distances between them.
fn distances(times: &Arc<Mutex<Vec<Instant>>>) -> Vec<Duration> {
    times.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

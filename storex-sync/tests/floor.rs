//! Devices that come to a log which has dropped what they lack.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

mod support;

use storex_sync::{SharedSyncLog, SyncError};
use support::{Device, assert_in_step, pump, shared_log};

/// Two devices in step, and a log without what they have exchanged.
async fn trimmed() -> (Device, Device, std::sync::Arc<storex_sync::MemorySharedLog>) {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..5 {
        a.note(&format!("{n}"), "of A").await;
        a.sync(&log).await;
    }
    b.sync(&log).await;
    a.sync(&log).await;
    assert_eq!(log.trim().await.unwrap().transactions, 4);
    (a, b, log)
}

#[tokio::test(start_paused = true)]
async fn c09_a_new_device_below_the_floor_starts_with_an_initial_sync() {
    let (a, b, log) = trimmed().await;
    let c = Device::new(3).await;
    c.note("of C", "written before it had anything").await;
    for _ in 0..2 {
        let error = c.join(&log).await.sync_once().await.unwrap_err();
        assert!(matches!(error, SyncError::BelowFloor { .. }), "{error}");
    }
    b.note("of B", "meanwhile").await;
    b.sync(&log).await;
    pump(&a, &c).await;
    c.sync(&log).await;
    a.sync(&log).await;
    b.sync(&log).await;
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(c.title("of B").await.as_deref(), Some("meanwhile"));
    assert_eq!(b.title("of C").await.as_deref(), Some("written before it had anything"));
}

#[tokio::test(start_paused = true)]
async fn c09_a_dismissed_device_that_comes_back_goes_on_from_the_senders_place() {
    let (a, b, log) = trimmed().await;
    let c = Device::new(3).await;
    pump(&b, &c).await;
    c.sync(&log).await;
    c.note("of C", "not sent yet").await;
    let id = c.join(&log).await.device().await.unwrap();
    log.dismiss(id).await.unwrap();
    for n in 5..9 {
        a.note(&format!("{n}"), "while C was away").await;
        a.sync(&log).await;
    }
    b.sync(&log).await;
    assert!(log.trim().await.unwrap().transactions > 0);
    let error = c.join(&log).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::BelowFloor { reader } if reader == id), "{error}");
    pump(&a, &c).await;
    for device in [&c, &a, &b, &c] {
        device.sync(&log).await;
    }
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(a.title("of C").await.as_deref(), Some("not sent yet"), "its write is not lost");
}

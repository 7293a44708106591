//! A server that goes, comes back, has forgotten, or wants to be left alone.

use std::time::Duration;

use storex_server::{Config, Limits};
use storex_sync::SyncError;

use crate::support::{Site, in_time};

/// Stopped and started again; what was written meanwhile arrives, and live edits go on.
#[tokio::test]
async fn edits_go_on_when_the_server_is_back() {
    let mut site = Site::start();
    let every = Duration::from_millis(300);
    let (a, b) = (site.device_every(every).await, site.device_every(every).await);
    a.in_step().await;
    b.in_step().await;
    for round in 1..=3 {
        site.stop().await;
        a.write("while it was away").await;
        b.write("on both").await;
        site.run();
        a.has(2 * round).await;
        b.has(2 * round).await;
    }
    a.sync.stop().await;
    b.sync.stop().await;
}

/// The server has lost everything: the devices register anew, and send again what they know.
#[tokio::test]
async fn c61_a_server_that_has_forgotten_is_told_again() {
    let mut site = Site::start();
    let every = Duration::from_millis(300);
    let (a, b) = (site.device_every(every).await, site.device_every(every).await);
    a.write("before").await;
    b.has(1).await;
    site.stop().await;
    site.forget();
    // Of another user, so that the log that is made anew has another identity.
    site.store.log_of("somebody else");
    a.write("meanwhile").await;
    site.run();
    b.has(2).await;
    let c = site.device_every(every).await;
    c.has(2).await;
    for device in [a, b, c] {
        device.in_step().await;
        device.sync.stop().await;
    }
}

#[tokio::test]
async fn c66_a_limit_is_told_with_the_time_to_wait() {
    let limits = Limits { requests_per_second: 1, burst: 3, ..Limits::default() };
    let site = Site::with(Config { limits, ..Config::default() });
    let client = site.client("ada");
    let refused = in_time(async {
        loop {
            if let Err(error) = client.devices().await {
                return error;
            }
        }
    });
    let SyncError::RateLimited { retry_after } = refused.await else { panic!("another error") };
    assert!(retry_after > Duration::ZERO && retry_after < Duration::from_secs(60));
}

/// No server there: an error that passes, and no answer of somebody else that is taken for one.
#[tokio::test]
async fn without_a_server_requests_fail_at_once() {
    let mut site = Site::start();
    site.stop().await;
    let failed = in_time(site.client("ada").devices()).await.unwrap_err();
    assert!(matches!(failed, SyncError::Transport { .. }) && failed.is_retryable(), "{failed:?}");
}

//! Continuous sync over HTTP.

use std::sync::Arc;
use std::time::Duration;

use storex_sync::{ContinuousSync, Phase, SharedSyncLog, Sync, SyncError};
use tokio::time::sleep;

use crate::SECOND;
use crate::credentials::{Renewal, programs};
use crate::fake::{FakeServer, Sockets};
use crate::support::{Device, assert_in_step, shared_log};

/// No timer of a test is so long.
const LONG: Duration = Duration::from_secs(100_000);

async fn start(device: &Device, log: Arc<impl SharedSyncLog>) -> ContinuousSync {
    let sync = Sync::open(&device.storage, log).await.unwrap();
    ContinuousSync::builder(sync).intervals(LONG, LONG).start()
}

/// Only news make them exchange, whether they come over a WebSocket or not.
#[tokio::test(start_paused = true)]
async fn c64_an_edit_arrives_within_a_second() {
    for sockets in [Sockets::Served, Sockets::Refused] {
        let server = FakeServer::new(&shared_log());
        server.sockets(sockets);
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        let sync_a = start(&a, server.shared_log()).await;
        let sync_b = start(&b, server.shared_log()).await;
        // Until nobody tries to get a WebSocket any more.
        sleep(SECOND * 10).await;
        for n in 0..5 {
            a.note(&n.to_string(), "x").await;
            sleep(SECOND).await;
            assert_eq!(b.title(&n.to_string()).await.as_deref(), Some("x"), "{sockets:?}");
        }
        sync_a.stop().await;
        sync_b.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn c75_without_a_token_sync_waits_for_a_login_and_nothing_is_lost() {
    let server = FakeServer::new(&shared_log());
    server.accept("access 1");
    let (provider, devices, tokens) = programs(4).await;
    let other = Device::new(9).await;
    let mut tabs = Vec::new();
    for (device, token) in devices.iter().zip(&tokens) {
        tabs.push(start(device, server.log_of(Arc::new(token.clone()))).await);
    }
    sleep(SECOND).await;
    // The token expires, and so has the login.
    provider.set(Renewal::LoginNeeded);
    server.accept("access 2");
    devices[2].note("n", "written meanwhile").await;
    for tab in &tabs {
        let refused = tab.sync_now().await.unwrap().unwrap_err();
        assert!(matches!(refused.cause(), SyncError::Unauthorized { .. }), "{refused:?}");
        let status = tab.status().borrow().clone();
        assert_eq!((status.phase, status.in_step), (Phase::NeedsLogin, false));
    }
    assert_eq!(provider.asked(), 1);
    server.forget();
    sleep(SECOND * 1000).await;
    assert_eq!(server.requests(), [], "nothing is asked before somebody has logged in");
    assert!(storex_sync::rejected(&devices[0].storage).await.unwrap().is_empty());
    tokens[0].login(provider.login()).await.unwrap();
    for (tab, token) in tabs.iter().zip(&tokens) {
        token.logged_in().await.unwrap();
        tab.logged_in();
    }
    sleep(SECOND * 5).await;
    other.sync(&server.log).await;
    assert_in_step(&[&devices[0], &other]).await;
    assert_eq!(provider.asked(), 1);
    for tab in tabs {
        tab.stop().await;
    }
}

/// A device is told that it was revoked as soon as that happens, and not by its next exchange.
#[tokio::test(start_paused = true)]
async fn a_device_that_is_revoked_stops() {
    let server = FakeServer::new(&shared_log());
    let device = Device::new(1).await;
    let sync = start(&device, server.shared_log()).await;
    sleep(SECOND * 10).await;
    let revoked = r#"{"code": "revoked", "message": "shut out"}"#;
    server.answers(403, &[("content-type", "application/problem+json")], revoked);
    server.close_sockets(4403);
    sleep(SECOND).await;
    let status = sync.status().borrow().clone();
    assert_eq!(status.phase, Phase::NeedsLogin);
    assert!(status.last_error.unwrap().contains("shut out"));
    server.forget();
    sleep(SECOND * 1000).await;
    assert_eq!(server.requests(), []);
    assert_eq!(server.connects().1, 0, "it does not listen either");
    sync.stop().await;
}

/// Whoever pauses is quiet: no requests, and no WebSocket.
#[tokio::test(start_paused = true)]
async fn c62_a_pause_ends_the_watch() {
    let server = FakeServer::new(&shared_log());
    let device = Device::new(1).await;
    let sync = start(&device, server.shared_log()).await;
    sleep(SECOND * 10).await;
    assert_eq!(server.connects().1, 1);
    sync.pause().await.unwrap();
    sleep(SECOND * 61).await;
    assert_eq!(server.connects(), (1, 0));
    sync.resume().await.unwrap();
    sleep(SECOND).await;
    assert_eq!(server.connects(), (2, 1));
    sync.stop().await;
}

//! A blob that fails stands in nobody's way, and is given up at some time.

use std::sync::Arc;
use std::time::Duration;

use storex_sync::{BlobRef, BlobReport, BlobStatus, BlobStore, DeadBlob, Sync, SyncError};

use super::support::blobs::ScriptedStore;
use super::support::shared_log;
use super::{CHUNK, Device, contents, waiting};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn c27_a_blob_that_cannot_be_sent_delays_no_other_and_is_given_up() {
    let (store, log) = (ScriptedStore::new(), shared_log());
    let a = Device::new(1, &store).await;
    let cursed = a.blobs.put(&contents(0, CHUNK)).await.unwrap();
    store.fail(cursed);
    a.name("cursed", &cursed).await;
    let runner = a.clone();
    let running = tokio::spawn(async move { runner.blobs.run().await });
    for n in 1..10 {
        a.name(&n.to_string(), &a.blobs.put(&contents(n, 10)).await.unwrap()).await;
        // Rows know nothing of it.
        let sync = Sync::open(&a.storage, Arc::clone(&log) as _).await.unwrap();
        assert!(sync.sync_once().await.unwrap().sent_transactions > 0);
    }
    a.blobs.status().wait_for(|status| status.to_send.blobs == 1).await.unwrap();
    assert_eq!(store.inner.len(), 9, "all others were sent at once");

    tokio::time::sleep(HOUR).await;
    let requests = store.requests();
    assert_eq!(requests, 9 + 5, "five attempts, then no more");
    tokio::time::sleep(100 * HOUR).await;
    assert_eq!(store.requests(), requests);
    let expected = BlobStatus { dead: 1, ..BlobStatus::default() };
    assert_eq!(a.status(), expected);
    let reason = "testing failed: this blob is cursed".to_owned();
    assert_eq!(a.blobs.dead().await.unwrap(), [DeadBlob { blob: cursed, sending: true, reason }]);
    assert_eq!(a.read(&cursed).await.unwrap(), contents(0, CHUNK), "it is still here");

    store.heal();
    a.blobs.retry(&cursed).await.unwrap();
    a.blobs.status().wait_for(|status| *status == BlobStatus::default()).await.unwrap();
    assert!(store.has(&cursed).await.unwrap());
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn c27_a_blob_that_cannot_be_received_delays_no_other_and_is_given_up() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let mut all = Vec::new();
    for n in 0..10 {
        all.push(a.blobs.put(&contents(n, 10)).await.unwrap());
    }
    a.blobs.sync_once().await.unwrap();
    let cursed = all[0];
    store.fail(cursed);
    for blob in &all {
        b.blobs.want(blob).await.unwrap();
        b.runtime.advance(1);
    }
    let report = b.blobs.sync_once().await.unwrap();
    assert_eq!(report, BlobReport { sent: 0, received: 9, failed: 1 });
    let again = b.blobs.sync_once().await.unwrap();
    assert_eq!(again, BlobReport::default(), "it waits before it is tried again");
    let before = store.requests();
    let runner = b.clone();
    let running = tokio::spawn(async move { runner.blobs.run().await });
    tokio::time::sleep(100 * HOUR).await;
    assert_eq!(store.requests() - before, 4);
    assert_eq!(b.blobs.dead().await.unwrap()[0].blob, cursed);
    assert!(!b.blobs.dead().await.unwrap()[0].sending);

    // Who asks for it has it tried once.
    assert!(b.read(&cursed).await.is_err());
    assert_eq!(store.requests() - before, 5);
    assert_eq!(b.status().dead, 1);
    store.heal();
    assert_eq!(b.read(&cursed).await.unwrap(), contents(0, 10));
    assert_eq!(b.status(), BlobStatus::default());
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn c27_a_restart_keeps_count_of_the_failures() {
    let store = ScriptedStore::new();
    let mut a = Device::new(1, &store).await;
    store.fail(a.blobs.put(b"cursed").await.unwrap());
    for attempt in 1..=5 {
        assert_eq!(a.blobs.sync_once().await.unwrap().failed, 1, "attempt {attempt}");
        a = a.restarted(&store).await;
        a.runtime.advance(600_000);
    }
    assert_eq!((a.blobs.sync_once().await.unwrap().failed, a.status().dead), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn c27_a_store_out_of_reach_counts_against_no_blob() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let theirs = b.blobs.put(b"theirs").await.unwrap();
    b.blobs.sync_once().await.unwrap();
    a.blobs.want(&theirs).await.unwrap();
    let mine = a.blobs.put(b"mine").await.unwrap();
    store.offline(true);
    let error = a.blobs.sync_once().await.unwrap_err();
    assert!(matches!(error.cause(), SyncError::Transport { .. }), "{error:?}");
    let runner = a.clone();
    let running = tokio::spawn(async move { runner.blobs.run().await });
    tokio::time::sleep(100 * HOUR).await;
    assert_eq!((a.status().to_send, a.status().to_receive), (waiting(1, 4), waiting(1, 6)));
    assert_eq!(a.status().dead, 0);
    store.offline(false);
    a.blobs.status().wait_for(BlobStatus::is_idle).await.unwrap();
    assert!(store.has(&mine).await.unwrap() && a.blobs.is_here(&theirs).await.unwrap());
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn c27_what_the_store_does_not_have_yet_is_waited_for_and_not_for_ever() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let late = a.blobs.put(b"late").await.unwrap();
    let never = BlobRef::of(b"never");
    for blob in [late, never] {
        b.blobs.want(&blob).await.unwrap();
    }
    let runner = b.clone();
    let running = tokio::spawn(async move { runner.blobs.run().await });
    tokio::time::sleep(6 * 24 * HOUR).await;
    assert_eq!((b.status().to_receive.blobs, b.status().dead), (2, 0));
    a.blobs.sync_once().await.unwrap();
    tokio::time::sleep(HOUR).await;
    assert!(b.blobs.is_here(&late).await.unwrap());
    tokio::time::sleep(24 * HOUR).await;
    assert_eq!((b.status().to_receive.blobs, b.status().dead), (0, 1));
    assert_eq!(b.blobs.dead().await.unwrap()[0].blob, never);
    let asked = store.requests();
    tokio::time::sleep(24 * HOUR).await;
    assert_eq!(store.requests(), asked);
    b.blobs.forget(&never).await.unwrap();
    assert_eq!(b.status(), BlobStatus::default());
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn c27_a_store_that_wants_to_be_left_alone_is() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    for n in 0..20 {
        a.blobs.put(&contents(n, 10)).await.unwrap();
    }
    store.refuse(|| SyncError::RateLimited { retry_after: 2 * HOUR });
    let runner = a.clone();
    let running = tokio::spawn(async move { runner.blobs.run().await });
    tokio::time::sleep(HOUR).await;
    let asked = store.asked();
    assert!(asked <= 4, "{asked} requests: those that were under way at once");
    store.heal();
    tokio::time::sleep(HOUR / 2).await;
    assert_eq!(store.asked(), asked);
    a.blobs.status().wait_for(BlobStatus::is_idle).await.unwrap();
    assert_eq!((store.inner.len(), a.status().dead), (20, 0));
    running.abort();

    store.refuse(|| SyncError::Unauthorized { reason: "who are you?".to_owned() });
    a.blobs.put(b"one more").await.unwrap();
    for _ in 0..10 {
        let error = a.blobs.sync_once().await.unwrap_err();
        assert!(matches!(error.cause(), SyncError::Unauthorized { .. }), "{error:?}");
    }
    assert_eq!((a.status().to_send.blobs, a.status().dead), (1, 0));
}

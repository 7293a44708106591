//! Ordinary trouble gives no blob up, and what was given up is tried anew.

use std::sync::Arc;

use storex_core::{Error, ErrorKind, Runtime, Timestamp};
use storex_sync::{BlobRef, BlobReport, BlobStatus, SyncError};

use super::support::blobs::ScriptedStore;
use super::{CHUNK, Device, contents};

/// Longer than any wait.
const LONG: i64 = 3_600_000;

fn full() -> Error {
    Error::Backend {
        backend: "testing",
        operation: "writing",
        collection: None,
        kind: ErrorKind::Full,
        hint: "the disk is full".to_owned(),
        source: "testing".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn c27_a_large_blob_gets_through_a_bad_connection() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let text = contents(1, 9 * CHUNK);
    let blob = a.blobs.put(&text).await.unwrap();
    b.blobs.want(&blob).await.unwrap();
    for device in [&a, &b] {
        store.stumble(blob);
        let mut failed = 0;
        while !device.status().is_idle() {
            failed += device.blobs.sync_once().await.unwrap().failed;
            device.runtime.advance(LONG);
        }
        assert_eq!((failed, device.status().dead), (8, 0), "more often than five times");
        store.heal();
    }
    assert_eq!(b.read(&blob).await.unwrap(), text);
}

#[tokio::test(start_paused = true)]
async fn c27_what_arrives_again_and_again_and_is_wrong_is_given_up() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let blob = a.blobs.put(&contents(1, 3 * CHUNK)).await.unwrap();
    a.blobs.sync_once().await.unwrap();
    store.damage(blob, 2, 7);
    b.blobs.want(&blob).await.unwrap();
    for attempt in 1..=5 {
        assert_eq!(b.blobs.sync_once().await.unwrap().failed, 1, "attempt {attempt}");
        b.runtime.advance(LONG);
    }
    assert_eq!((b.blobs.sync_once().await.unwrap().failed, b.status().dead), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn c27_no_room_here_counts_against_no_blob() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    a.blobs.put(b"a picture").await.unwrap();
    store.refuse(|| SyncError::Storage { during: "testing", source: full() });
    for _ in 0..10 {
        let error = a.blobs.sync_once().await.unwrap_err();
        assert!(matches!(error.cause(), SyncError::Storage { .. }), "{error:?}");
        a.runtime.advance(LONG);
    }
    assert_eq!((a.status().to_send.blobs, a.status().dead), (1, 0));
    store.heal();
    assert_eq!(a.blobs.sync_once().await.unwrap().sent, 1);
}

#[tokio::test(start_paused = true)]
async fn c27_all_that_was_given_up_is_tried_anew() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let theirs = b.blobs.put(b"theirs").await.unwrap();
    b.blobs.sync_once().await.unwrap();
    a.blobs.want(&theirs).await.unwrap();
    store.fail(theirs);
    for text in [&b"1"[..], b"2"] {
        store.fail(a.blobs.put(text).await.unwrap());
    }
    for _ in 0..5 {
        a.blobs.sync_once().await.unwrap();
        a.runtime.advance(LONG);
    }
    assert_eq!(a.status(), BlobStatus { dead: 3, ..BlobStatus::default() });
    // One that is still in its wait.
    store.fail(a.blobs.put(b"3").await.unwrap());
    assert_eq!(a.blobs.sync_once().await.unwrap().failed, 1);
    store.heal();
    assert_eq!(a.blobs.sync_once().await.unwrap(), BlobReport::default());
    a.blobs.retry_all().await.unwrap();
    let report = a.blobs.sync_once().await.unwrap();
    assert_eq!(report, BlobReport { sent: 3, received: 1, failed: 0 });
    assert_eq!(a.status(), BlobStatus::default());
}

#[tokio::test(start_paused = true)]
async fn c27_a_clock_that_is_set_back_delays_no_blob() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    let now = a.runtime.now();
    a.runtime.advance(1_000 * LONG);
    let blob = a.blobs.put(b"a picture").await.unwrap();
    store.fail(blob);
    assert_eq!(a.blobs.sync_once().await.unwrap().failed, 1);
    store.heal();
    assert_eq!(a.blobs.sync_once().await.unwrap(), BlobReport::default(), "it waits");
    a.runtime.set(Timestamp(now.0));
    assert_eq!(a.blobs.sync_once().await.unwrap().sent, 1);
}

#[tokio::test(start_paused = true)]
async fn c27_a_store_that_panics_at_a_blob_sends_the_others() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    let blobs = storex_sync::Blobs::builder(&a.storage, Arc::clone(&store) as _).parallel(1);
    let blobs = blobs.open().await.unwrap();
    let cursed = blobs.put(b"cursed").await.unwrap();
    store.panic_at(cursed);
    a.runtime.advance(1);
    blobs.put(b"good").await.unwrap();
    let report = blobs.sync_once().await.unwrap();
    assert_eq!(report, BlobReport { sent: 1, received: 0, failed: 1 });
    for _ in 0..4 {
        a.runtime.advance(LONG);
        assert_eq!(blobs.sync_once().await.unwrap().failed, 1);
    }
    let dead = blobs.dead().await.unwrap();
    assert_eq!((dead.len(), dead[0].blob), (1, BlobRef::of(b"cursed")));
    assert!(dead[0].reason.contains("panicked"), "{}", dead[0].reason);
}

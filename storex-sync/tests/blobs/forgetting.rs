//! Signing out: all blobs are given up.

use std::sync::Arc;

use storex_sync::{BlobRef, BlobStatus, SyncError};

use super::support::blobs::ScriptedStore;
use super::support::shared_log;
use super::{CHUNK, Device, contents};

/// Whether nothing is left of any blob.
async fn is_empty(device: &Device) -> bool {
    let mut left = 0;
    for collection in ["_storex_blob", "_storex_blob_chunk", "_storex_blob_loose"] {
        left += device.count(collection).await;
    }
    left == 0
}

#[tokio::test(start_paused = true)]
async fn c27_what_was_not_sent_keeps_all_from_being_forgotten() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    let sent = a.blobs.put(&contents(1, 2 * CHUNK)).await.unwrap();
    a.blobs.sync_once().await.unwrap();
    a.blobs.want(&BlobRef::of(b"wanted")).await.unwrap();
    for text in [&b"1"[..], b"2"] {
        a.blobs.put(text).await.unwrap();
    }
    let refused = a.blobs.forget_all().await;
    assert!(matches!(refused, Err(SyncError::BlobsNotSent { blobs: 2 })), "{refused:?}");
    assert_eq!((a.count("_storex_blob").await, a.count("_storex_blob_chunk").await), (4, 4));
    assert_eq!(a.read(&sent).await.unwrap(), contents(1, 2 * CHUNK));

    a.blobs.sync_once().await.unwrap();
    a.blobs.forget_all().await.unwrap();
    assert!(is_empty(&a).await);
    assert_eq!(a.status(), BlobStatus::default());
    assert_eq!(store.inner.len(), 3, "the store keeps them");
    assert_eq!(a.read(&sent).await.unwrap(), contents(1, 2 * CHUNK), "it is received again");
}

#[tokio::test(start_paused = true)]
async fn c27_the_next_account_gets_no_blob_of_the_one_before() {
    let (store, next) = (ScriptedStore::new(), ScriptedStore::new());
    let a = Device::new(1, &store).await;
    store.fail(a.blobs.put(b"dead").await.unwrap());
    for _ in 0..5 {
        a.blobs.sync_once().await.unwrap();
        a.runtime.advance(3_600_000);
    }
    assert_eq!(a.status().dead, 1);
    a.blobs.put(&contents(1, CHUNK + 1)).await.unwrap();
    let refused = a.blobs.forget_all().await;
    assert!(matches!(refused, Err(SyncError::BlobsNotSent { blobs: 2 })), "{refused:?}");
    let mut writer = a.blobs.writer().await.unwrap();
    writer.write(&contents(2, CHUNK)).await.unwrap();

    a.blobs.forget_all_discarding().await.unwrap();
    assert!(is_empty(&a).await);
    let interrupted = writer.finish().await;
    assert!(matches!(interrupted, Err(SyncError::BlobInterrupted)), "{interrupted:?}");
    let sync = storex_sync::Sync::open(&a.storage, shared_log()).await.unwrap();
    sync.sign_out().await.unwrap();
    let a = a.restarted(&next).await;
    a.blobs.retry_all().await.unwrap();
    a.blobs.sync_once().await.unwrap();
    assert_eq!(next.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn c27_what_is_forgotten_while_it_is_sent_is_not_sent_on() {
    let store = ScriptedStore::closed();
    let a = Device::new(1, &store).await;
    a.blobs.put(&contents(1, 3 * CHUNK)).await.unwrap();
    let sender = a.clone();
    let sending = tokio::spawn(async move { sender.blobs.sync_once().await });
    while store.requests() == 0 {
        tokio::task::yield_now().await;
    }
    a.blobs.forget_all_discarding().await.unwrap();
    Arc::clone(&store).open();
    sending.await.unwrap().unwrap();
    assert_eq!((store.requests(), store.inner.len()), (1, 0));
    assert!(is_empty(&a).await);
}

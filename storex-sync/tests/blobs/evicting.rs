//! What is here is given up only where there is another copy, and may be mended.

use storex_core::{Batch, Changes, Filter, Step, Value};
use storex_sync::{BlobReport, BlobStatus, BlobStore, SyncError};

use super::support::blobs::ScriptedStore;
use super::{CHUNK, Device, contents, others};

/// All chunks in the database of a device go bad.
async fn rot(device: &Device, bytes: &[u8]) {
    let rot = Step::Update {
        collection: "_storex_blob_chunk".into(),
        filter: Filter::All,
        changes: Changes::new().set("bytes", Value::Bytes(bytes.to_vec())),
    };
    device.storage.apply(Batch::new().step(rot)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c27_the_last_copy_is_not_evicted_and_is_sent_again() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    let text = contents(1, CHUNK + 3);
    let blob = a.blobs.put(&text).await.unwrap();
    a.blobs.sync_once().await.unwrap();

    store.offline(true);
    let failed = a.blobs.evict(&blob).await;
    assert!(matches!(failed, Err(SyncError::Transport { .. })), "{failed:?}");
    assert!(a.blobs.is_here(&blob).await.unwrap());
    store.heal();

    store.remove(&blob).await.unwrap(); // by another device
    let refused = a.blobs.evict(&blob).await;
    assert!(matches!(refused, Err(SyncError::BlobNotSent { .. })), "{refused:?}");
    assert_eq!(a.status().to_send.blobs, 1);
    assert_eq!(a.blobs.sync_once().await.unwrap().sent, 1);
    a.blobs.evict(&blob).await.unwrap();
    assert!(!a.blobs.is_here(&blob).await.unwrap());
    assert_eq!(a.read(&blob).await.unwrap(), text);
}

#[tokio::test(start_paused = true)]
async fn c27_what_has_gone_bad_here_is_not_sent_and_is_mended_by_writing_it_again() {
    let text = contents(1, CHUNK);
    for bad in [contents(2, CHUNK), b"short".to_vec()] {
        let store = ScriptedStore::new();
        let a = Device::new(1, &store).await;
        let blob = a.blobs.put(&text).await.unwrap();
        rot(&a, &bad).await;
        let report = a.blobs.sync_once().await.unwrap();
        assert_eq!(report, BlobReport { sent: 0, received: 0, failed: 1 });
        assert!(store.sent().is_empty(), "nothing of it was sent");

        assert_eq!(a.blobs.put(&text).await.unwrap(), blob);
        assert_eq!(a.read(&blob).await.unwrap(), text);
        assert_eq!(a.count("_storex_blob_chunk").await, 1);
        assert_eq!(a.blobs.sync_once().await.unwrap().sent, 1);
        assert_eq!(Device::new(2, &store).await.read(&blob).await.unwrap(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn c27_what_is_written_anew_while_it_is_sent_is_sent_once() {
    let store = ScriptedStore::closed();
    let a = Device::new(1, &store).await;
    let text = contents(1, 3 * CHUNK);
    let blob = a.blobs.put(&text).await.unwrap();
    let sender = a.clone();
    let sending = tokio::spawn(async move { sender.blobs.sync_once().await });
    while store.requests() == 0 {
        tokio::task::yield_now().await;
    }
    a.blobs.put(&text).await.unwrap();
    others().await;
    store.open();
    assert_eq!(sending.await.unwrap().unwrap().sent, 1);
    assert_eq!(a.status(), BlobStatus::default());
    assert_eq!(store.sent().values().copied().collect::<Vec<_>>(), [1; 3]);
    assert_eq!(Device::new(2, &store).await.read(&blob).await.unwrap(), text);
}

#[tokio::test(start_paused = true)]
async fn c27_that_other_contents_were_sent_says_nothing_of_those_that_are_here() {
    let store = ScriptedStore::closed();
    store.gate_finishing();
    let a = Device::new(1, &store).await;
    a.blobs.put(b"a picture").await.unwrap();
    let sender = a.clone();
    let sending = tokio::spawn(async move { sender.blobs.sync_once().await });
    store.let_through(1);
    while store.requests() < 2 {
        tokio::task::yield_now().await;
    }
    a.runtime.advance(1);
    a.blobs.put(b"a picture").await.unwrap();
    store.open();
    sending.await.unwrap().unwrap();
    assert_eq!(a.status().to_send.blobs, 1, "the store is asked anew");
    assert_eq!(a.blobs.sync_once().await.unwrap().sent, 1);
    assert_eq!(a.status(), BlobStatus::default());
    assert_eq!(store.sent().len(), 1);
}

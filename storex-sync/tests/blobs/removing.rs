//! What is removed does not come back, and no mark without chunks passes for a blob.

use storex_sync::{BlobReport, BlobStore};

use super::support::blobs::ScriptedStore;
use super::{CHUNK, Device, contents, others};

#[tokio::test(start_paused = true)]
async fn c27_what_is_removed_while_it_is_sent_does_not_come_back() {
    for length in [10, CHUNK, 3 * CHUNK + 5] {
        let chunks = length.div_ceil(CHUNK);
        for sent in 0..chunks {
            let store = ScriptedStore::closed();
            let a = Device::new(1, &store).await;
            let blob = a.blobs.put(&contents(1, length)).await.unwrap();
            let (sender, remover) = (a.clone(), a.clone());
            let sending = tokio::spawn(async move { sender.blobs.sync_once().await });
            store.let_through(sent);
            while store.requests() <= sent {
                tokio::task::yield_now().await;
            }
            let removing = tokio::spawn(async move { remover.blobs.remove(&blob).await });
            others().await;
            store.open();
            removing.await.unwrap().unwrap();
            sending.await.unwrap().unwrap();
            let left = (store.has(&blob).await.unwrap(), store.inner.sent(&blob).await.unwrap());
            assert_eq!(left, (false, 0), "{sent} of {length} bytes were sent");
            assert_eq!(store.requests(), sent + 1, "no chunk follows");
            assert_eq!(a.count("_storex_blob").await, 0);
            assert_eq!(a.count("_storex_blob_chunk").await, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c27_a_mark_that_has_outlived_its_chunks_is_no_blob() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    store.claim_all();
    let text = contents(1, CHUNK + 5);
    let blob = a.blobs.put(&text).await.unwrap();
    let report = a.blobs.sync_once().await.unwrap();
    assert_eq!(report, BlobReport { sent: 1, received: 0, failed: 0 });
    assert_eq!(store.inner.sent(&blob).await.unwrap(), 2, "it was sent all the same");
    assert_eq!(Device::new(2, &store).await.read(&blob).await.unwrap(), text);
}

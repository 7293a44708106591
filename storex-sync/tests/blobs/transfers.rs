//! Transfers: so many at once, each once.

use std::sync::Arc;

use storex_sync::{BlobReport, BlobStatus, BlobStore, MemoryBlobStore};

use super::support::blobs::ScriptedStore;
use super::support::shared_log;
use super::{CHUNK, Device, contents, waiting};

#[tokio::test(start_paused = true)]
async fn c27_so_many_at_once_and_each_chunk_once() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let mut all = Vec::new();
    for n in 0..12 {
        all.push(a.blobs.put(&contents(n, CHUNK + 1)).await.unwrap());
    }
    assert_eq!(a.status().to_send, waiting(12, 12 * (CHUNK + 1)));
    let report = a.blobs.sync_once().await.unwrap();
    assert_eq!(report, BlobReport { sent: 12, received: 0, failed: 0 });
    assert_eq!((store.most_running(), store.inner.len()), (4, 12));
    assert_eq!(a.status(), BlobStatus::default());

    for blob in &all {
        b.blobs.want(blob).await.unwrap();
    }
    assert_eq!(b.status().to_receive, waiting(12, 12 * (CHUNK + 1)));
    let report = b.blobs.sync_once().await.unwrap();
    assert_eq!(report, BlobReport { sent: 0, received: 12, failed: 0 });
    assert_eq!(store.most_running(), 4);
    for (n, blob) in (0..).zip(&all) {
        assert_eq!(b.read(blob).await.unwrap(), contents(n, CHUNK + 1));
    }
    for chunks in [store.sent(), store.read()] {
        assert_eq!(chunks.len(), 24);
        assert!(chunks.values().all(|times| *times == 1), "each chunk travels once");
    }
    let nothing = b.blobs.sync_once().await.unwrap();
    assert_eq!(nothing, BlobReport::default());
}

#[tokio::test(start_paused = true)]
async fn c27_as_many_at_once_as_the_application_says() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    let blobs = storex_sync::Blobs::builder(&a.storage, Arc::clone(&store) as _).parallel(2);
    let blobs = blobs.open().await.unwrap();
    for n in 0..5 {
        blobs.put(&contents(n, 10)).await.unwrap();
    }
    assert_eq!(blobs.sync_once().await.unwrap().sent, 5);
    assert_eq!(store.most_running(), 2);
}

#[tokio::test(start_paused = true)]
async fn c27_two_readers_of_one_blob_make_one_download() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let text = contents(1, 3 * CHUNK + 7);
    let blob = a.blobs.put(&text).await.unwrap();
    a.blobs.sync_once().await.unwrap();
    b.blobs.want(&blob).await.unwrap();
    // Two that read it, and the one that receives whatever waits.
    let (first, second, report) = tokio::join!(b.read(&blob), b.read(&blob), b.blobs.sync_once());
    assert_eq!((first.unwrap(), second.unwrap()), (text.clone(), text));
    assert_eq!(report.unwrap().received, 1);
    assert_eq!(store.read().values().copied().collect::<Vec<_>>(), [1; 4]);
    assert_eq!(store.most_running(), 1);
}

#[tokio::test(start_paused = true)]
async fn c27_a_reader_that_goes_leaves_the_other_its_download() {
    let store = ScriptedStore::closed();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let text = contents(1, 3 * CHUNK);
    let blob = a.blobs.put(&text).await.unwrap();
    store.let_through(3);
    a.blobs.sync_once().await.unwrap();

    let (one, other) = (b.clone(), b.clone());
    let first = tokio::spawn(async move { one.read(&blob).await });
    let second = tokio::spawn(async move { other.read(&blob).await });
    let mut status = b.blobs.status();
    store.let_through(1);
    let one_chunk = status.wait_for(|status| status.to_receive.done == CHUNK as u64).await;
    assert_eq!(one_chunk.unwrap().to_receive.blobs, 1);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    store.open();
    assert_eq!(second.await.unwrap().unwrap(), text);
    assert_eq!(store.read().values().copied().collect::<Vec<_>>(), [1; 3]);
}

#[tokio::test(start_paused = true)]
async fn c27_a_download_that_nobody_waits_for_is_given_up_and_goes_on_later() {
    let store = ScriptedStore::closed();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let text = contents(1, 3 * CHUNK);
    let blob = a.blobs.put(&text).await.unwrap();
    store.let_through(3);
    a.blobs.sync_once().await.unwrap();

    let reader = b.clone();
    let reading = tokio::spawn(async move { reader.read(&blob).await });
    let mut status = b.blobs.status();
    store.let_through(1);
    status.wait_for(|status| status.to_receive.done == CHUNK as u64).await.unwrap();
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled());
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let asked = store.requests();
    store.open();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.requests(), asked, "nobody asks any more");
    assert!(!b.blobs.is_here(&blob).await.unwrap());

    assert_eq!(b.blobs.sync_once().await.unwrap().received, 1, "it stayed wanted");
    assert_eq!(b.read(&blob).await.unwrap(), text);
    assert_eq!(store.read().values().copied().collect::<Vec<_>>(), [1; 3], "none comes twice");
}

#[tokio::test(start_paused = true)]
async fn c27_what_is_to_be_sent_goes_first() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let theirs = a.blobs.put(b"theirs").await.unwrap();
    a.blobs.sync_once().await.unwrap();
    b.blobs.want(&theirs).await.unwrap();
    let blobs = storex_sync::Blobs::builder(&b.storage, Arc::clone(&store) as _).parallel(1);
    let blobs = blobs.open().await.unwrap();
    let (first, second) = (blobs.put(b"1").await.unwrap(), blobs.put(b"2").await.unwrap());
    blobs.sync_once().await.unwrap();
    let mut sent = store.order()[1..3].to_vec();
    sent.sort();
    let mut own = [first, second];
    own.sort();
    assert_eq!((sent.as_slice(), store.order()[3]), (own.as_slice(), theirs));
}

#[tokio::test(start_paused = true)]
async fn c27_a_row_names_a_blob_and_travels_without_it() {
    let (log, store) = (shared_log(), Arc::new(MemoryBlobStore::new()));
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let (lazy, eager) = (contents(1, 2 * CHUNK + 5), contents(2, 100));
    a.name("lazy", &a.blobs.put(&lazy).await.unwrap()).await;
    a.name("eager", &a.blobs.put(&eager).await.unwrap()).await;
    let sync = async |device: &Device| {
        let sync = storex_sync::Sync::open(&device.storage, Arc::clone(&log) as _).await.unwrap();
        sync.sync_once().await.unwrap();
    };
    sync(&a).await;
    sync(&b).await;
    let named = b.named("eager").await;
    assert!(!b.blobs.is_here(&named).await.unwrap(), "the row is there before the blob");
    assert!(b.read(&named).await.is_err(), "the other device has not sent it");

    a.blobs.sync_once().await.unwrap();
    b.blobs.retry(&named).await.unwrap();
    assert_eq!(b.blobs.sync_once().await.unwrap().received, 1, "what was asked for is wanted");
    assert!(b.blobs.is_here(&named).await.unwrap());
    let named = b.named("lazy").await;
    assert!(!b.blobs.is_here(&named).await.unwrap());
    assert_eq!(b.read(&named).await.unwrap(), lazy);
    assert_eq!(b.read(&b.named("eager").await).await.unwrap(), eager);
}

#[tokio::test(start_paused = true)]
async fn c27_the_same_contents_are_kept_and_sent_once() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let text = contents(1, 2 * CHUNK);
    let blob = a.blobs.put(&text).await.unwrap();
    assert_eq!(a.blobs.put(&text).await.unwrap(), blob);
    assert_eq!((a.count("_storex_blob").await, a.count("_storex_blob_chunk").await), (1, 2));
    assert_eq!(a.count("_storex_blob_loose").await, 0);
    a.blobs.sync_once().await.unwrap();

    assert_eq!(a.blobs.put(&text).await.unwrap(), blob);
    assert_eq!(b.blobs.put(&text).await.unwrap(), blob, "another device has made the same");
    a.blobs.sync_once().await.unwrap();
    b.blobs.sync_once().await.unwrap();
    assert_eq!((a.status(), b.status()), (BlobStatus::default(), BlobStatus::default()));
    assert_eq!(store.sent().values().copied().collect::<Vec<_>>(), [1; 2]);
    assert_eq!(b.read(&blob).await.unwrap(), text);
    assert!(store.read().is_empty());
}

#[tokio::test(start_paused = true)]
async fn c27_what_is_written_here_while_it_is_received_is_not_received() {
    let store = ScriptedStore::closed();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let text = contents(1, 3 * CHUNK);
    let blob = a.blobs.put(&text).await.unwrap();
    store.let_through(3);
    a.blobs.sync_once().await.unwrap();
    let reader = b.clone();
    let reading = tokio::spawn(async move { reader.read(&blob).await });
    let mut status = b.blobs.status();
    store.let_through(1);
    status.wait_for(|status| status.to_receive.done == CHUNK as u64).await.unwrap();
    assert_eq!(b.blobs.put(&text).await.unwrap(), blob);
    store.open();
    assert_eq!(reading.await.unwrap().unwrap(), text);
    b.blobs.sync_once().await.unwrap();
    assert_eq!((b.count("_storex_blob").await, b.count("_storex_blob_chunk").await), (1, 3));
    assert_eq!(store.read().get(&(blob, 2)), None, "what followed was not asked for");
}

#[tokio::test(start_paused = true)]
async fn c27_it_runs_by_itself() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let running =
        [a.clone(), b.clone()].map(|it| tokio::spawn(async move { it.blobs.run().await }));
    let mut sending = a.blobs.status();
    let blob = a.blobs.put(b"a picture").await.unwrap();
    sending.wait_for(BlobStatus::is_idle).await.unwrap();
    assert!(store.has(&blob).await.unwrap());
    b.blobs.want(&blob).await.unwrap();
    b.blobs.status().wait_for(BlobStatus::is_idle).await.unwrap();
    assert!(b.blobs.is_here(&blob).await.unwrap());
    a.storage.close().await.unwrap();
    b.storage.close().await.unwrap();
    for running in running {
        running.await.unwrap(); // it ends with the storage
    }
}

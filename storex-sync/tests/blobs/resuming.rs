//! What was interrupted goes on where it was.

use std::time::Duration;

use storex_sync::{BlobStatus, SyncError};

use super::support::blobs::ScriptedStore;
use super::{CHUNK, Device, contents};

const CHUNKS: usize = 4;

#[tokio::test(start_paused = true)]
async fn c27_sending_goes_on_after_a_cut_at_each_chunk() {
    let text = contents(1, (CHUNKS - 1) * CHUNK + 9);
    for cut in 0..CHUNKS {
        let store = ScriptedStore::new();
        let a = Device::new(1, &store).await;
        let blob = a.blobs.put(&text).await.unwrap();
        store.cut_after(cut);
        assert!(a.blobs.sync_once().await.is_err());
        assert_eq!((store.sent().len(), store.inner.len()), (cut, 0));

        let a = a.restarted(&store).await;
        store.heal();
        assert_eq!(a.blobs.sync_once().await.unwrap().sent, 1, "a cut costs no wait");
        let sent: Vec<_> = store.sent().into_values().collect();
        assert_eq!(sent, [1; CHUNKS], "cut behind {cut} chunks");
        assert_eq!(Device::new(2, &store).await.read(&blob).await.unwrap(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn c27_receiving_goes_on_after_a_cut_at_each_chunk() {
    let text = contents(1, (CHUNKS - 1) * CHUNK + 9);
    for cut in 0..CHUNKS {
        let store = ScriptedStore::new();
        let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
        let blob = a.blobs.put(&text).await.unwrap();
        a.blobs.sync_once().await.unwrap();
        store.cut_after(cut);
        let error = b.read(&blob).await.unwrap_err();
        assert!(matches!(error.cause(), SyncError::Transport { .. }), "{error:?}");
        assert!(!b.blobs.is_here(&blob).await.unwrap());

        let b = b.restarted(&store).await;
        store.heal();
        assert_eq!(b.read(&blob).await.unwrap(), text);
        let read: Vec<_> = store.read().into_values().collect();
        assert_eq!(read, [1; CHUNKS], "cut behind {cut} chunks");
        assert_eq!(b.status(), BlobStatus::default());
    }
}

#[tokio::test(start_paused = true)]
async fn c27_what_was_written_in_part_is_no_blob_and_is_cleared_away() {
    let store = ScriptedStore::new();
    let text = contents(1, 3 * CHUNK);
    for written in 0..=3 {
        let a = Device::new(1, &store).await;
        let mut writer = a.blobs.writer().await.unwrap();
        writer.write(&text[..written * CHUNK]).await.unwrap();
        let a = a.restarted(&store).await; // killed; `writer` stands for a memory that is gone
        assert_eq!(a.count("_storex_blob").await, 0);
        assert_eq!(a.count("_storex_blob_chunk").await, written as u64);
        assert_eq!(a.blobs.sync_once().await.unwrap().sent, 0);
        assert_eq!(a.count("_storex_blob_chunk").await, written as u64, "it may still be written");

        a.runtime.advance(3_600_001);
        let a = a.restarted(&store).await;
        assert_eq!(a.count("_storex_blob_chunk").await, 0, "{written} chunks were written");
        assert_eq!(a.count("_storex_blob_loose").await, 0);
        drop(writer);
    }
}

#[tokio::test(start_paused = true)]
async fn c27_a_writer_that_was_cleared_away_makes_no_blob() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    let text = contents(1, 2 * CHUNK);
    for rests_before_the_end in [true, false] {
        let mut writer = a.blobs.writer().await.unwrap();
        writer.write(&text[..CHUNK]).await.unwrap();
        a.runtime.advance(3_600_001);
        a.blobs.sync_once().await.unwrap();
        let ended = if rests_before_the_end {
            writer.finish().await.map(|_| ())
        } else {
            writer.write(&text[CHUNK..]).await
        };
        assert!(matches!(ended, Err(SyncError::BlobInterrupted)), "{ended:?}");
        assert_eq!((a.count("_storex_blob").await, a.count("_storex_blob_chunk").await), (0, 0));
    }
    // One that goes on is not cleared away, however long it takes.
    let mut writer = a.blobs.writer().await.unwrap();
    for part in text.chunks(CHUNK / 2) {
        a.runtime.advance(1_700_000);
        writer.write(part).await.unwrap();
        a.blobs.sync_once().await.unwrap();
    }
    let blob = writer.finish().await.unwrap();
    assert_eq!(a.read(&blob).await.unwrap(), text);
}

#[tokio::test(start_paused = true)]
async fn c27_a_request_that_is_not_answered_takes_no_place_for_ever() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    for n in 0..4 {
        store.hang(a.blobs.put(&contents(n, 10)).await.unwrap());
    }
    a.runtime.advance(1);
    let good = a.blobs.put(b"good").await.unwrap();
    let before = tokio::time::Instant::now();
    let report = a.blobs.sync_once().await.unwrap();
    assert_eq!((report.sent, report.failed), (1, 4));
    assert_eq!(before.elapsed(), Duration::from_secs(120));
    assert!(storex_sync::BlobStore::has(&*store, &good).await.unwrap());
}

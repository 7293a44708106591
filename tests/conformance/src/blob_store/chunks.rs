//! Chunks, and the blobs that they make.

use futures_util::future::join;
use storex_sync::{BLOB_CHUNK_LIMIT, BlobRef, BlobStore, SyncError};

use super::{BlobHarness, contents, part, put};
use crate::shared_log::give_up_after;

const CHUNK: usize = 1 << 20;

async fn is_missing(store: &dyn BlobStore, blob: &BlobRef, number: u64) {
    let read = store.chunk(blob, number).await;
    assert!(matches!(&read, Err(SyncError::BlobMissing { blob: it }) if it == blob), "{read:?}");
}

pub async fn there_are_none_at_first(harness: BlobHarness) {
    let store = harness.store().await;
    let (blob, _) = contents(10);
    assert!(!store.has(&blob).await.unwrap());
    assert_eq!(store.sent(&blob).await.unwrap(), 0);
    is_missing(&*store, &blob, 0).await;
}

pub async fn they_are_read_as_they_were_put(harness: BlobHarness) {
    let store = harness.store().await;
    for length in [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let (blob, all) = contents(length);
        put(&*store, &blob, &all, 0..blob.chunks()).await;
        store.finish(&blob).await.unwrap();
        assert!(store.has(&blob).await.unwrap());
        assert_eq!(store.sent(&blob).await.unwrap(), blob.chunks(), "all of a whole one");
        for number in 0..blob.chunks() {
            let read = store.chunk(&blob, number).await.unwrap();
            assert!(read == part(&blob, &all, number), "chunk {number} of {length} bytes");
        }
        is_missing(&*store, &blob, blob.chunks()).await;
    }
}

/// What a device has encrypted has a name that says nothing of the contents.
pub async fn they_are_as_large_as_encryption_makes_them(harness: BlobHarness) {
    let store = harness.store().await;
    let all = contents(2 * BLOB_CHUNK_LIMIT).1;
    let name = format!("sealed-{}-{}", "ab".repeat(32), all.len());
    let blob: BlobRef = name.parse().unwrap();
    assert_eq!((blob.chunks(), blob.chunk_range(0)), (2, 0..BLOB_CHUNK_LIMIT as u64));
    if harness.encrypts {
        let refused = store.put_chunk(&blob, 0, part(&blob, &all, 0)).await;
        assert!(refused.is_err_and(|error| !error.is_retryable()));
        assert_eq!(store.sent(&blob).await.unwrap(), 0);
        return;
    }
    put(&*store, &blob, &all, 0..1).await;
    assert!(store.sent(&blob).await.unwrap() <= 1);
    put(&*store, &blob, &all, 0..2).await;
    store.finish(&blob).await.unwrap();
    assert!(store.has(&blob).await.unwrap());
    for number in 0..2 {
        assert!(store.chunk(&blob, number).await.unwrap() == part(&blob, &all, number));
    }
    // The same text of another kind is another blob.
    let alike: BlobRef = name.replace("sealed-", "sha256-").parse().unwrap();
    assert!(!store.has(&alike).await.unwrap());
}

pub async fn they_make_no_blob_before_it_is_finished(harness: BlobHarness) {
    let store = harness.store().await;
    let (blob, all) = contents(CHUNK + 1);
    put(&*store, &blob, &all, 0..2).await;
    assert!(!store.has(&blob).await.unwrap());
    store.finish(&blob).await.unwrap();
    assert!(store.has(&blob).await.unwrap());
}

pub async fn what_was_put_is_told_and_gone_on_with(harness: BlobHarness) {
    let (blob, all) = contents(3 * CHUNK);
    let store = harness.store().await;
    put(&*store, &blob, &all, 0..2).await;
    let store = harness.store().await;
    let sent = store.sent(&blob).await.unwrap();
    assert!(sent <= 2, "a store that cannot tell says 0");
    put(&*store, &blob, &all, sent..3).await;
    store.finish(&blob).await.unwrap();
    for number in 0..3 {
        assert!(store.chunk(&blob, number).await.unwrap() == part(&blob, &all, number));
    }
}

pub async fn a_missing_one_keeps_a_blob_from_being_finished(harness: BlobHarness) {
    let store = harness.store().await;
    let (blob, all) = contents(3 * CHUNK);
    for left_out in 0..3 {
        for number in (0..3).filter(|number| *number != left_out) {
            put(&*store, &blob, &all, number..number + 1).await;
        }
        let finished = store.finish(&blob).await;
        assert!(matches!(finished, Err(SyncError::BlobMissing { .. })), "{finished:?}");
        assert!(!store.has(&blob).await.unwrap());
        store.remove(&blob).await.unwrap();
    }
}

pub async fn twice_is_once(harness: BlobHarness) {
    let store = harness.store().await;
    let (blob, all) = contents(CHUNK + 7);
    for _ in 0..2 {
        put(&*store, &blob, &all, 0..2).await;
        put(&*store, &blob, &all, 1..2).await;
        store.finish(&blob).await.unwrap();
        store.finish(&blob).await.unwrap();
    }
    assert!(store.has(&blob).await.unwrap());
    assert!(store.chunk(&blob, 1).await.unwrap() == part(&blob, &all, 1));
}

pub async fn two_at_once_put_the_same(harness: BlobHarness) {
    let (one, other) = (harness.store().await, harness.store().await);
    let (blob, all) = contents(3 * CHUNK + 1);
    let sending = |store: std::sync::Arc<dyn BlobStore>| {
        let all = all.clone();
        async move {
            put(&*store, &blob, &all, 0..4).await;
            store.finish(&blob).await.unwrap();
        }
    };
    join(sending(one), sending(other)).await;
    let store = harness.store().await;
    assert!(store.has(&blob).await.unwrap());
    for number in 0..4 {
        assert!(store.chunk(&blob, number).await.unwrap() == part(&blob, &all, number));
    }
}

pub async fn of_an_empty_blob_there_are_none(harness: BlobHarness) {
    let store = harness.store().await;
    let (blob, _) = contents(0);
    assert!(!store.has(&blob).await.unwrap());
    store.finish(&blob).await.unwrap();
    assert!(store.has(&blob).await.unwrap());
    assert_eq!(store.sent(&blob).await.unwrap(), 0);
    is_missing(&*store, &blob, 0).await;
}

pub async fn of_one_blob_are_not_those_of_another(harness: BlobHarness) {
    let store = harness.store().await;
    let (blob, all) = contents(10);
    put(&*store, &blob, &all, 0..1).await;
    store.finish(&blob).await.unwrap();
    // The same hash with another length is another blob.
    let text = blob.to_string();
    let alike: BlobRef = format!("{}1", text.strip_suffix("10").unwrap()).parse().unwrap();
    for another in [contents(11).0, alike] {
        assert!(!store.has(&another).await.unwrap());
        assert_eq!(store.sent(&another).await.unwrap(), 0);
        is_missing(&*store, &another, 0).await;
        store.remove(&another).await.unwrap();
    }
    assert!(store.chunk(&blob, 0).await.unwrap() == all);
}

pub async fn they_outlive_the_value_of_the_store(harness: BlobHarness) {
    let (blob, all) = contents(CHUNK + 1);
    let store = harness.store().await;
    put(&*store, &blob, &all, 0..2).await;
    store.finish(&blob).await.unwrap();
    drop(store);
    let store = harness.store().await;
    assert!(store.has(&blob).await.unwrap());
    assert!(store.chunk(&blob, 0).await.unwrap() == part(&blob, &all, 0));
}

pub async fn what_is_removed_is_gone_and_may_come_back(harness: BlobHarness) {
    let store = harness.store().await;
    let (blob, all) = contents(CHUNK + 1);
    for chunks in [0, 1, 2] {
        put(&*store, &blob, &all, 0..chunks).await;
        if chunks == 2 {
            store.finish(&blob).await.unwrap();
        }
        for _ in 0..2 {
            store.remove(&blob).await.unwrap();
            assert!(!store.has(&blob).await.unwrap());
            assert_eq!(store.sent(&blob).await.unwrap(), 0);
            is_missing(&*store, &blob, 0).await;
        }
    }
    put(&*store, &blob, &all, 0..2).await;
    store.finish(&blob).await.unwrap();
    assert!(store.chunk(&blob, 1).await.unwrap() == part(&blob, &all, 1));
}

pub async fn putting_one_may_be_given_up_and_repeated(harness: BlobHarness) {
    let store = harness.store().await;
    let (blob, all) = contents(CHUNK + 1);
    for polls in 0..4 {
        give_up_after(polls, async {
            put(&*store, &blob, &all, 0..2).await;
            store.finish(&blob).await.unwrap();
        })
        .await;
    }
    put(&*store, &blob, &all, 0..2).await;
    store.finish(&blob).await.unwrap();
    for number in 0..2 {
        assert!(store.chunk(&blob, number).await.unwrap() == part(&blob, &all, number));
    }
}

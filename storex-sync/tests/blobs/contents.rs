//! Contents: nobody gets anything but what the name says.

use proptest::prelude::*;
use storex_sync::{BlobRef, BlobStore, SyncError};

use super::support::blobs::ScriptedStore;
use super::{CHUNK, Device, contents};

#[tokio::test(start_paused = true)]
async fn c27_damaged_contents_are_refused_and_received_anew() {
    let text = contents(1, 2 * CHUNK + 4);
    for (chunk, byte) in [(0, 0), (1, CHUNK - 1), (2, 3)] {
        let store = ScriptedStore::new();
        let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
        let blob = a.blobs.put(&text).await.unwrap();
        a.blobs.sync_once().await.unwrap();
        store.damage(blob, chunk, byte);
        let error = b.read(&blob).await.unwrap_err();
        assert!(matches!(error.cause(), SyncError::Corrupt { .. }), "{error:?}");
        assert!(!b.blobs.is_here(&blob).await.unwrap());
        assert_eq!(b.count("_storex_blob_chunk").await, 0, "nothing of it is kept");
        store.heal();
        assert_eq!(b.read(&blob).await.unwrap(), text);
        assert_eq!(store.read().into_values().collect::<Vec<_>>(), [2; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn c27_forged_contents_are_refused() {
    let store = ScriptedStore::new();
    let b = Device::new(2, &store).await;
    let blob = BlobRef::of(b"what was meant");
    // Of the right length, too short, too long, none.
    for forged in [&b"what is forged"[..], b"short", b"much longer than it is", b""] {
        store.put_chunk(&blob, 0, forged.to_vec()).await.unwrap();
        store.finish(&blob).await.unwrap();
        let error = b.read(&blob).await.unwrap_err();
        assert!(matches!(error.cause(), SyncError::Corrupt { .. }), "{error:?}");
        assert!(!b.blobs.is_here(&blob).await.unwrap());
        store.remove(&blob).await.unwrap();
    }
    // The hash of other contents, as long as none.
    let forged = BlobRef::of(b"abc").to_string().replace("-3", "-0");
    let forged: BlobRef = forged.parse().unwrap();
    store.finish(&forged).await.unwrap();
    let error = b.read(&forged).await.unwrap_err();
    assert!(matches!(error.cause(), SyncError::Corrupt { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn c27_an_empty_blob_is_one_too() {
    let store = ScriptedStore::new();
    let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
    let blob = a.blobs.put(b"").await.unwrap();
    assert_eq!((blob, blob.chunks()), (BlobRef::of(b""), 0));
    assert_eq!(a.read(&blob).await.unwrap(), b"");
    assert_eq!(a.blobs.sync_once().await.unwrap().sent, 1);
    assert!(store.has(&blob).await.unwrap());
    assert_eq!(b.read(&blob).await.unwrap(), b"");
    assert!(b.blobs.is_here(&blob).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn c27_only_what_the_store_has_is_evicted_and_it_comes_back() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    let text = contents(1, 2 * CHUNK);
    let blob = a.blobs.put(&text).await.unwrap();
    let refused = a.blobs.evict(&blob).await;
    assert!(matches!(refused, Err(SyncError::BlobNotSent { .. })), "{refused:?}");
    assert_eq!(a.read(&blob).await.unwrap(), text);

    a.blobs.sync_once().await.unwrap();
    let mut reader = a.blobs.get(&blob).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), text[..CHUNK]);
    a.blobs.evict(&blob).await.unwrap();
    a.blobs.evict(&blob).await.unwrap(); // again changes nothing
    assert!(!a.blobs.is_here(&blob).await.unwrap());
    assert_eq!(a.count("_storex_blob_chunk").await, 0);
    let rest = reader.next().await.unwrap().unwrap();
    assert_eq!(rest, text[CHUNK..], "who reads goes on reading");
    assert_eq!(reader.next().await.unwrap(), None);
    assert!(a.blobs.is_here(&blob).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn c27_what_is_removed_is_gone_everywhere_but_where_it_is() {
    let store = ScriptedStore::new();
    let (a, b, c) =
        (Device::new(1, &store).await, Device::new(2, &store).await, Device::new(3, &store).await);
    let blob = a.blobs.put(b"a picture").await.unwrap();
    a.blobs.sync_once().await.unwrap();
    b.read(&blob).await.unwrap();
    a.blobs.remove(&blob).await.unwrap();
    assert_eq!((a.count("_storex_blob").await, a.count("_storex_blob_chunk").await), (0, 0));
    assert!(!store.has(&blob).await.unwrap());
    assert_eq!(b.read(&blob).await.unwrap(), b"a picture");
    let missing = c.read(&blob).await.unwrap_err();
    assert!(matches!(missing.cause(), SyncError::BlobMissing { .. }), "{missing:?}");

    // Whoever writes it again brings it back.
    b.blobs.put(b"a picture").await.unwrap();
    b.blobs.sync_once().await.unwrap();
    assert_eq!(c.read(&blob).await.unwrap(), b"a picture");
}

#[tokio::test(start_paused = true)]
async fn c27_what_is_forgotten_is_no_longer_transferred() {
    let store = ScriptedStore::new();
    let a = Device::new(1, &store).await;
    let unsent = a.blobs.put(b"unsent").await.unwrap();
    let wanted = BlobRef::of(b"wanted");
    a.blobs.want(&wanted).await.unwrap();
    for blob in [unsent, wanted] {
        a.blobs.forget(&blob).await.unwrap();
        a.blobs.forget(&blob).await.unwrap();
    }
    assert_eq!(a.count("_storex_blob").await, 0);
    a.blobs.sync_once().await.unwrap();
    assert!(store.inner.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the parts in which contents come, and wherever they end.
    #[test]
    fn c27_contents_of_any_length_in_any_parts(
        chunks in 0..3_usize,
        offset in -2..=2_isize,
        parts in proptest::collection::vec(1..(CHUNK * 3 / 2), 1..5),
    ) {
        let length = (chunks * CHUNK).saturating_add_signed(offset);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = ScriptedStore::new();
            let (a, b) = (Device::new(1, &store).await, Device::new(2, &store).await);
            let text = contents(length as u64, length);
            let mut writer = a.blobs.writer().await.unwrap();
            let (mut rest, mut sizes) = (text.as_slice(), parts.iter().cycle());
            while !rest.is_empty() {
                let (part, others) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                writer.write(part).await.unwrap();
                rest = others;
            }
            let blob = writer.finish().await.unwrap();
            assert_eq!(blob, BlobRef::of(&text));
            a.blobs.sync_once().await.unwrap();
            let mut reader = b.blobs.get(&blob).await.unwrap();
            for part in text.chunks(CHUNK) {
                assert_eq!(reader.next().await.unwrap().unwrap(), part);
            }
            assert_eq!(reader.next().await.unwrap(), None);
        });
    }
}

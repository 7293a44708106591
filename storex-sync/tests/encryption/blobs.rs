//! Blobs that are encrypted.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;
use storex_core::{Registry, Storage};
use storex_memory::MemoryBackend;
use storex_sync::{
    BLOB_CHUNK_LIMIT, BlobRef, BlobStore, Blobs, EncryptedBlobStore, EncryptedSharedLog, KeyRing,
    LogId, MemoryBlobStore, MemorySharedLog, Result, SyncError,
};

use super::{SECOND, by, create, open, runtime, with_ring};

const CHUNK: usize = 1 << 20;

/// Remembers what it was given.
#[derive(Debug, Default)]
struct Recording {
    inner: MemoryBlobStore,
    puts: Mutex<Vec<(BlobRef, u64, Vec<u8>)>>,
    /// So many more chunks are taken.
    left: Mutex<Option<usize>>,
}

impl Recording {
    fn puts(&self) -> Vec<(BlobRef, u64, Vec<u8>)> {
        std::mem::take(&mut *self.puts.lock().unwrap())
    }
}

#[async_trait]
impl BlobStore for Recording {
    async fn has(&self, blob: &BlobRef) -> Result<bool> {
        self.inner.has(blob).await
    }

    async fn sent(&self, blob: &BlobRef) -> Result<u64> {
        self.inner.sent(blob).await
    }

    async fn put_chunk(&self, blob: &BlobRef, number: u64, bytes: Vec<u8>) -> Result<()> {
        if let Some(left) = &mut *self.left.lock().unwrap() {
            let cut = || SyncError::Transport { during: "sending", reason: "cut".to_owned() };
            *left = left.checked_sub(1).ok_or_else(cut)?;
        }
        self.puts.lock().unwrap().push((*blob, number, bytes.clone()));
        self.inner.put_chunk(blob, number, bytes).await
    }

    async fn finish(&self, blob: &BlobRef) -> Result<()> {
        self.inner.finish(blob).await
    }

    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>> {
        self.inner.chunk(blob, number).await
    }

    async fn remove(&self, blob: &BlobRef) -> Result<()> {
        self.inner.remove(blob).await
    }
}

fn memory_log() -> Arc<MemorySharedLog> {
    Arc::new(MemorySharedLog::new(LogId([7; 16])))
}

fn keys(seed: u64) -> KeyRing {
    KeyRing::generate(&*runtime(seed))
}

/// With a key that others of this number have too.
fn with_keys(store: &Arc<Recording>, seed: u64) -> EncryptedBlobStore {
    around(store, &with_ring(&memory_log(), &keys(seed), seed))
}

fn around(store: &Arc<Recording>, log: &Arc<EncryptedSharedLog>) -> EncryptedBlobStore {
    EncryptedBlobStore::new(Arc::clone(store) as _, Arc::clone(log))
}

async fn device(store: impl BlobStore) -> Blobs {
    let registry = Registry::builder().build().unwrap();
    let storage = Storage::builder(MemoryBackend::new(), registry, runtime(5));
    let storage = storage.module(Blobs::module()).open().await.unwrap();
    Blobs::open(&storage, Arc::new(store)).await.unwrap()
}

async fn send(store: &dyn BlobStore, contents: &[u8]) -> BlobRef {
    let blob = BlobRef::of(contents);
    for (number, bytes) in (0..).zip(contents.chunks(CHUNK)) {
        store.put_chunk(&blob, number, bytes.to_vec()).await.unwrap();
    }
    store.finish(&blob).await.unwrap();
    blob
}

fn text(length: usize) -> Vec<u8> {
    b"nobody else may read this. ".iter().copied().cycle().take(length).collect()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|it| it == part)
}

fn is_missing(read: Result<Vec<u8>>, blob: &BlobRef) {
    assert!(matches!(&read, Err(SyncError::BlobMissing { blob: it }) if it == blob), "{read:?}");
}

fn is_refused<T: std::fmt::Debug>(read: Result<T>, blob: &BlobRef) {
    let error = read.unwrap_err();
    let SyncError::NotAuthentic { what, .. } = error.cause() else { panic!("{error:?}") };
    assert!(what.contains(&blob.to_string()), "{what}");
}

#[tokio::test]
async fn c27_two_devices_exchange_what_the_store_cannot_read() {
    let store = Arc::new(Recording::default());
    let (laptop, phone) = (device(with_keys(&store, 1)).await, device(with_keys(&store, 1)).await);
    let contents = text(2 * CHUNK + 1000);
    let blob = laptop.put(&contents).await.unwrap();
    laptop.sync_once().await.unwrap();
    assert!(phone.get(&blob).await.unwrap().read_to_end().await.unwrap() == contents);

    let puts = store.puts();
    assert_eq!(puts.iter().map(|put| put.1).collect::<Vec<_>>(), [0, 1, 2]);
    let hash = blob.to_string()[7..71].to_owned();
    let octets = (0..32).map(|at| u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).unwrap());
    let octets: Vec<u8> = octets.collect();
    for (name, _, bytes) in &puts {
        assert!(!holds(bytes, b"nobody"));
        assert!(!holds(bytes, &octets) && !holds(name.to_string().as_bytes(), hash.as_bytes()));
        assert_eq!(bytes.len(), BLOB_CHUNK_LIMIT, "the last one too");
    }
    assert_ne!(puts[0].0.length(), blob.length());
}

#[tokio::test]
async fn lengths_are_few() {
    let store = Arc::new(Recording::default());
    let encrypted = with_keys(&store, 1);
    let mut lengths = std::collections::BTreeSet::new();
    let all =
        [1, 2, 100, 255, 256, 270, 1000, 1001, 20_000, 20_050, CHUNK - 1000, CHUNK - 1, CHUNK];
    for length in all {
        let blob = send(&encrypted, &text(length)).await;
        assert!(encrypted.chunk(&blob, 0).await.unwrap() == text(length), "{length}");
        let [(name, 0, bytes)] = &store.puts()[..] else { panic!("one chunk") };
        assert_eq!(name.length(), bytes.len() as u64);
        assert!(bytes.len() <= BLOB_CHUNK_LIMIT && bytes.len() <= length.max(256) * 9 / 8 + 59);
        lengths.insert(bytes.len());
    }
    assert_eq!(lengths.len(), 5, "{lengths:?}");
}

#[tokio::test]
async fn the_same_contents_are_the_same_bytes_and_other_names_with_another_key() {
    let store = Arc::new(Recording::default());
    let (one, same, other) = (with_keys(&store, 1), with_keys(&store, 1), with_keys(&store, 2));
    let blob = send(&one, &text(1000)).await;
    assert!(same.has(&blob).await.unwrap());
    send(&same, &text(1000)).await;
    assert!(!other.has(&blob).await.unwrap());
    is_missing(other.chunk(&blob, 0).await, &blob);
    send(&other, &text(1000)).await;
    let puts = store.puts();
    assert_eq!(puts[0], puts[1]);
    assert!(puts[0].0 != puts[2].0 && puts[0].2 != puts[2].2);
    // Nothing that two blobs have in common is seen, and nothing that repeats in one.
    let zeros = vec![0; 3 * CHUNK];
    send(&one, &zeros).await;
    send(&one, &zeros[..2 * CHUNK]).await;
    let puts = store.puts();
    for (at, (_, _, bytes)) in puts.iter().enumerate() {
        assert!(puts[..at].iter().all(|before| before.2 != *bytes), "{at}");
    }
}

#[tokio::test]
async fn c27_another_device_with_the_key_goes_on_where_one_was_cut() {
    let store = Arc::new(Recording::default());
    let (laptop, phone) = (device(with_keys(&store, 1)).await, device(with_keys(&store, 1)).await);
    let contents = text(4 * CHUNK - 1);
    let blob = laptop.put(&contents).await.unwrap();
    *store.left.lock().unwrap() = Some(2);
    laptop.sync_once().await.unwrap();
    assert_eq!(store.puts().len(), 2);
    *store.left.lock().unwrap() = None;
    phone.put(&contents).await.unwrap();
    phone.sync_once().await.unwrap();
    assert_eq!(store.puts().iter().map(|put| put.1).collect::<Vec<_>>(), [2, 3]);
    let third = device(with_keys(&store, 1)).await;
    assert!(third.get(&blob).await.unwrap().read_to_end().await.unwrap() == contents);
}

/// The name of the key is in front of each chunk.
fn key_of(put: &(BlobRef, u64, Vec<u8>)) -> Vec<u8> {
    put.2[2..18].to_vec()
}

#[tokio::test]
async fn c27_after_a_rotation_nothing_is_encrypted_with_a_former_key_and_all_is_read() {
    let (store, log) = (Arc::new(Recording::default()), memory_log());
    let laptop = create(&log, 1).await;
    let lost = open(&log, super::FIRST, 2).await.unwrap();
    let before = send(&around(&store, &laptop), &text(1000)).await;
    let half = text(2 * CHUNK);
    let half_sent = BlobRef::of(&half);
    let on_laptop = around(&store, &laptop);
    on_laptop.put_chunk(&half_sent, 0, half[..CHUNK].to_vec()).await.unwrap();
    let former = store.puts();
    assert_eq!(key_of(&former[0]), key_of(&former[1]));

    laptop.rotate(&by(SECOND)).await.unwrap();
    assert!(on_laptop.has(&before).await.unwrap());
    assert_eq!(on_laptop.sent(&before).await.unwrap(), 1, "it need not be sent");
    assert_eq!(on_laptop.chunk(&before, 0).await.unwrap(), text(1000));
    assert_eq!(on_laptop.sent(&half_sent).await.unwrap(), 0, "it is sent anew");
    let sent = send(&on_laptop, &half).await;
    let after = send(&on_laptop, &text(2000)).await;
    let puts = store.puts();
    assert_eq!(puts.len(), 3);
    assert!(puts.iter().all(|put| key_of(put) != key_of(&former[0])));

    // New devices read everything; the lost one what was there before.
    let phone = around(&store, &open(&log, SECOND, 3).await.unwrap());
    for (blob, number) in [(before, 0), (sent, 1), (after, 0)] {
        phone.chunk(&blob, number).await.unwrap();
    }
    let lost = around(&store, &lost);
    assert_eq!(lost.chunk(&before, 0).await.unwrap(), text(1000));
    is_missing(lost.chunk(&after, 0).await, &after);
    assert!(!lost.has(&sent).await.unwrap());

    phone.remove(&before).await.unwrap();
    assert!(!on_laptop.has(&before).await.unwrap(), "under whatever key it was");
}

#[tokio::test]
async fn c27_who_was_left_out_sends_nothing_and_gives_no_blob_up() {
    let (store, log) = (Arc::new(Recording::default()), memory_log());
    create(&log, 1).await.rotate(&by(SECOND)).await.unwrap();
    let lost = open(&log, super::FIRST, 2).await.unwrap();
    let lost = device(around(&store, &lost)).await;
    let blob = lost.put(&text(1000)).await.unwrap();
    for _ in 0..10 {
        let error = lost.sync_once().await.unwrap_err();
        assert!(matches!(error.cause(), SyncError::UnknownKey { .. }), "{error:?}");
    }
    assert_eq!(store.puts(), []);
    assert!(lost.dead().await.unwrap().is_empty() && lost.is_here(&blob).await.unwrap());
}

#[tokio::test]
async fn c27_what_was_exchanged_for_another_is_refused_and_nothing_of_it_kept() {
    let store = Arc::new(Recording::default());
    let encrypted = with_keys(&store, 1);
    let blob = send(&encrypted, &text(3 * CHUNK)).await;
    let puts = store.puts();
    let other = send(&encrypted, &vec![7; 3 * CHUNK]).await;
    let of_other = store.puts();
    let name = puts[0].0;
    send(&with_keys(&store, 2), &text(3 * CHUNK)).await;
    let of_another_key = store.puts();
    let plain = text(CHUNK);
    for forged in [&puts[0].2, &puts[2].2, &of_other[1].2, &of_another_key[1].2, &plain] {
        store.put_chunk(&name, 1, forged.clone()).await.unwrap();
        is_refused(encrypted.chunk(&blob, 1).await, &blob);
        let phone = device(with_keys(&store, 1)).await;
        is_refused(phone.get(&blob).await.map(drop), &blob);
        assert!(!phone.is_here(&blob).await.unwrap());
    }
    store.put_chunk(&name, 1, puts[1].2.clone()).await.unwrap();
    let phone = device(with_keys(&store, 1)).await;
    assert!(phone.get(&blob).await.unwrap().read_to_end().await.unwrap() == text(3 * CHUNK));
    assert!(encrypted.has(&other).await.unwrap());
}

#[tokio::test]
async fn a_chunk_of_another_length_is_not_sent() {
    let store = Arc::new(Recording::default());
    let encrypted = with_keys(&store, 1);
    for length in [0, 9, 11] {
        let sent = encrypted.put_chunk(&BlobRef::of(&text(10)), 0, text(length)).await;
        assert!(matches!(sent, Err(SyncError::Corrupt { .. })), "{sent:?}");
    }
    assert_eq!(store.puts(), []);
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn c27_contents_come_back_and_what_was_changed_does_not(
        contents in prop::collection::vec(any::<u8>(), 1..2000),
        at in any::<prop::sample::Index>(),
        change in 1..=255_u8,
        cut in any::<prop::sample::Index>(),
    ) {
        wait(async {
            let store = Arc::new(Recording::default());
            let encrypted = with_keys(&store, 1);
            let blob = send(&encrypted, &contents).await;
            assert_eq!(encrypted.chunk(&blob, 0).await.unwrap(), contents);
            let (name, _, sealed) = store.puts().remove(0);
            let mut changed = sealed.clone();
            changed[at.index(sealed.len())] ^= change;
            store.put_chunk(&name, 0, changed).await.unwrap();
            is_refused(encrypted.chunk(&blob, 0).await, &blob);
            let cut = sealed[..cut.index(sealed.len())].to_vec();
            store.put_chunk(&name, 0, cut).await.unwrap();
            is_refused(encrypted.chunk(&blob, 0).await, &blob);
            let longer = [sealed, vec![0]].concat();
            store.put_chunk(&name, 0, longer).await.unwrap();
            is_refused(encrypted.chunk(&blob, 0).await, &blob);
        });
    }
}

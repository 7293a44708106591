//! The memory that blobs take (C27): as much as the chunks of the transfers that are under way, whatever their size and number.
//!
//! A binary of its own, as it looks at the memory of the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storex_core::{Registry, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{BlobRef, BlobStore, Blobs, Result, SyncError};

/// What the capability asks for.
const BLOBS: u64 = 200;
const LENGTH: usize = 5_000_000;
/// How many are in the database at once.
const HERE: usize = 4;

/// Remembers which blobs it has, and makes their contents when they are read.
#[derive(Debug, Default)]
struct MadeUp(Mutex<BTreeMap<BlobRef, (u64, bool)>>);

fn seed_of(chunk: &[u8]) -> u64 {
    u64::from_le_bytes(chunk[..8].try_into().unwrap())
}

/// Each blob is another one; cheap to make.
fn chunk_of(seed: u64, blob: &BlobRef, number: u64) -> Vec<u8> {
    let range = blob.chunk_range(number);
    let mut bytes = vec![seed as u8; usize::try_from(range.end - range.start).unwrap()];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

#[async_trait]
impl BlobStore for MadeUp {
    async fn has(&self, blob: &BlobRef) -> Result<bool> {
        Ok(self.0.lock().unwrap().get(blob).is_some_and(|(_, whole)| *whole))
    }

    async fn sent(&self, blob: &BlobRef) -> Result<u64> {
        Ok(if self.has(blob).await? { blob.chunks() } else { 0 })
    }

    async fn put_chunk(&self, blob: &BlobRef, _: u64, bytes: Vec<u8>) -> Result<()> {
        self.0.lock().unwrap().insert(*blob, (seed_of(&bytes), false));
        Ok(())
    }

    async fn finish(&self, blob: &BlobRef) -> Result<()> {
        self.0.lock().unwrap().get_mut(blob).unwrap().1 = true;
        Ok(())
    }

    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>> {
        let known = self.0.lock().unwrap().get(blob).copied();
        let (seed, _) = known.ok_or(SyncError::BlobMissing { blob: *blob })?;
        Ok(chunk_of(seed, blob, number))
    }

    async fn remove(&self, _: &BlobRef) -> Result<()> {
        Ok(())
    }
}

/// The most memory that this process has had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kilobytes * 1024
}

async fn device(seed: u64, store: &Arc<MadeUp>) -> Blobs {
    let registry = Registry::builder().build().unwrap();
    let runtime = Arc::new(TestRuntime::new(seed));
    let storage = Storage::builder(MemoryBackend::new(), registry, runtime);
    let storage = storage.module(Blobs::module()).open().await.unwrap();
    Blobs::open(&storage, Arc::clone(store) as _).await.unwrap()
}

/// 200 blobs of 5 MB are written, sent, received and read: 1 GB each time. The database is in memory, so each is evicted when its
/// turn is over: what there may be are four whole blobs, and chunks.
#[tokio::test(start_paused = true)]
async fn c27_two_hundred_blobs_of_5_mb_take_bounded_memory() {
    let store = Arc::new(MadeUp::default());
    let (a, b) = (device(1, &store).await, device(2, &store).await);
    let (before, mut all) = (peak(), Vec::new());
    let shape = BlobRef::of(&vec![0; LENGTH]);
    for seed in 0..BLOBS {
        let mut writer = a.writer().await.unwrap();
        for number in 0..shape.chunks() {
            writer.write(&chunk_of(seed, &shape, number)).await.unwrap();
        }
        all.push(writer.finish().await.unwrap());
        if all.len() % HERE == 0 {
            assert_eq!(a.sync_once().await.unwrap().sent, HERE as u64);
            for blob in &all[all.len() - HERE..] {
                a.evict(blob).await.unwrap();
            }
        }
    }
    assert_eq!(store.0.lock().unwrap().len() as u64, BLOBS);
    for some in all.chunks(HERE) {
        for blob in some {
            b.want(blob).await.unwrap();
        }
        assert_eq!(b.sync_once().await.unwrap().received, HERE as u64);
        for blob in some {
            let mut reader = b.get(blob).await.unwrap();
            let mut length = 0;
            while let Some(chunk) = reader.next().await.unwrap() {
                length += chunk.len();
            }
            assert_eq!(length, LENGTH);
            b.evict(blob).await.unwrap();
        }
    }
    let grown = peak() - before;
    let bound = (HERE * LENGTH + 24 * (1 << 20)) as u64;
    assert!(grown < bound, "{grown} bytes more than before");
}

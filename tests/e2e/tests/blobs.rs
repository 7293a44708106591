//! Blobs in a SQLite file (C27).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use storex_core::{Registry, Storage, TokioRuntime};
use storex_sqlite::SqliteBackend;
use storex_sync::{BlobStore, Blobs, MemoryBlobStore, ObjectBlobStore, SyncError};

const CHUNK: usize = 1 << 20;

async fn open(path: &Path, store: &Arc<impl BlobStore>) -> (Storage, Blobs) {
    let backend = SqliteBackend::open(path).unwrap();
    let registry = Registry::builder().build().unwrap();
    let builder = Storage::builder(backend, registry, Arc::new(TokioRuntime));
    let storage = builder.module(Blobs::module()).open().await.unwrap();
    let blobs = Blobs::open(&storage, Arc::clone(store) as _).await.unwrap();
    (storage, blobs)
}

/// A chunk that is like no other.
fn chunk(number: usize) -> Vec<u8> {
    let mut chunk = vec![number as u8; CHUNK];
    chunk[..8].copy_from_slice(&number.to_le_bytes());
    chunk
}

/// The most memory that this process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: usize = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kilobytes * 1024
}

/// Writes a blob of so many chunks, sends and receives it, and reads it.
#[cfg(target_os = "linux")]
async fn travel(from: &Blobs, to: &Blobs, chunks: std::ops::Range<usize>) {
    let mut writer = from.writer().await.unwrap();
    for number in chunks.clone() {
        writer.write(&chunk(number)).await.unwrap();
    }
    let blob = writer.finish().await.unwrap();
    assert_eq!(from.sync_once().await.unwrap().sent, 1);
    let mut reader = to.get(&blob).await.unwrap();
    for number in chunks {
        assert!(reader.next().await.unwrap().unwrap() == chunk(number), "chunk {number}");
    }
    assert_eq!(reader.next().await.unwrap(), None);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn c27_a_larger_blob_takes_no_more_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(ObjectBlobStore::in_folder(dir.path().join("store")).unwrap());
    let (a, sending) = open(&dir.path().join("a.db"), &store).await;
    let (b, receiving) = open(&dir.path().join("b.db"), &store).await;
    // What SQLite and the allocator keep for themselves is there behind the first.
    travel(&sending, &receiving, 0..40).await;
    let before = peak();
    travel(&sending, &receiving, 40..160).await;
    let grown = peak() - before;
    assert!(grown < 16 * CHUNK, "{grown} bytes more for a blob that is larger by 80 MiB");
    a.close().await.unwrap();
    b.close().await.unwrap();
}

#[tokio::test]
async fn c27_two_programs_on_one_file_receive_a_blob_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryBlobStore::new());
    let (_a, sending) = open(&dir.path().join("a.db"), &store).await;
    let contents = [chunk(1), chunk(2), chunk(3), b"end".to_vec()].concat();
    let blob = sending.put(&contents).await.unwrap();
    sending.sync_once().await.unwrap();

    let path = dir.path().join("b.db");
    let (first, one) = open(&path, &store).await;
    let (second, other) = open(&path, &store).await;
    let (mut at_one, mut at_other) = {
        let (at_one, at_other) = tokio::join!(one.get(&blob), other.get(&blob));
        (at_one.unwrap(), at_other.unwrap())
    };
    assert!(at_one.read_to_end().await.unwrap() == contents);
    assert!(at_other.read_to_end().await.unwrap() == contents);
    let chunks = first.count(storex_core::Query::new("_storex_blob_chunk")).await.unwrap();
    assert_eq!(chunks, 4);
    first.close().await.unwrap();
    second.close().await.unwrap();
}

#[tokio::test]
async fn c27_a_writer_whose_write_was_dropped_makes_no_blob() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryBlobStore::new());
    let (storage, blobs) = open(&dir.path().join("a.db"), &store).await;
    let mut writer = blobs.writer().await.unwrap();
    let two = [chunk(1), chunk(2)].concat();
    let mut writing = Box::pin(writer.write(&two));
    let ready = poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx).is_ready())).await;
    assert!(!ready, "a file takes its time");
    drop(writing);
    let more = writer.write(b"more").await;
    assert!(matches!(more, Err(SyncError::BlobInterrupted)), "{more:?}");
    let finished = writer.finish().await;
    assert!(matches!(finished, Err(SyncError::BlobInterrupted)), "{finished:?}");
    assert_eq!(storage.count(storex_core::Query::new("_storex_blob")).await.unwrap(), 0);
    storage.close().await.unwrap();
}

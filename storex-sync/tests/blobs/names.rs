//! The names of blobs.

use std::sync::Arc;

use storex_core::{Registry, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{BlobRef, Blobs, MemoryBlobStore, SyncError};

#[test]
fn c27_a_name_has_one_form() {
    let blob = BlobRef::of(b"abc");
    let text = "sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad-3";
    assert_eq!(blob.to_string(), text); // FIPS 180-4
    assert_eq!(text.parse::<BlobRef>().unwrap(), blob);
    assert_eq!(serde_json::to_value(blob).unwrap(), text);
    assert_eq!(serde_json::from_value::<BlobRef>(text.into()).unwrap(), blob);
    for wrong in [
        String::new(),
        text.to_uppercase(),
        text.replace("sha256", "sha512"),
        text.replace("-3", "-03"),
        text.replace("-3", "-+3"),
        text.replace("-3", "--3"),
        text.replace("-3", ""),
        text.replace("-3", "-1099511627777"), // one byte more than 1 TiB
        text.replace("-3", "-99999999999999999999"),
        text.replace("ba78", "BA78"),
        text.replace("ba78", "+a78"),
        text.replace("ba78", "éa7"),
        text.replace("ba", ""),
        format!("{text} "),
    ] {
        let read = wrong.parse::<BlobRef>();
        assert!(matches!(read, Err(SyncError::Corrupt { .. })), "{wrong}: {read:?}");
        assert!(serde_json::from_value::<BlobRef>(wrong.into()).is_err());
    }
}

#[test]
fn c27_chunks_cover_a_blob() {
    let longest = BlobRef::of(b"").to_string().replace("-0", "-1099511627776");
    let longest: BlobRef = longest.parse().unwrap();
    assert_eq!(longest.chunks(), 1 << 20);
    assert_eq!(longest.chunk_range((1 << 20) - 1), (1 << 40) - (1 << 20)..1 << 40);
    assert!(longest.chunk_range(1 << 20).is_empty());
    assert!(longest.chunk_range(u64::MAX).is_empty());
}

#[tokio::test]
async fn c27_a_storage_without_the_module_keeps_no_blobs() {
    let registry = Registry::builder().build().unwrap();
    let builder =
        Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)) as _);
    let storage = builder.open().await.unwrap();
    let opened = Blobs::open(&storage, Arc::new(MemoryBlobStore::new())).await;
    assert!(matches!(opened, Err(SyncError::NoBlobs)), "{opened:?}");
}

//! The suite of all blob stores on those that are on a disk or in an object store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::sync::Arc;

use storex_conformance::blob_store::BlobHarness;
use storex_conformance::blob_store_conformance;
use storex_sync::{BlobRef, BlobStore, ObjectBlobStore, SyncError};

mod in_a_folder {
    use super::*;

    fn folder() -> BlobHarness {
        let folder = tempfile::tempdir().unwrap();
        BlobHarness::new(move || {
            let path = folder.path().join("blobs of mine");
            Box::pin(async move {
                Arc::new(ObjectBlobStore::in_folder(path).unwrap()) as Arc<dyn BlobStore>
            })
        })
    }

    blob_store_conformance!(folder);
}

mod in_an_object_store {
    use super::*;
    use storex_sync::object_store::ObjectStore;
    use storex_sync::object_store::memory::InMemory;
    use storex_sync::object_store::prefix::PrefixStore;

    fn memory() -> BlobHarness {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        BlobHarness::new(move || {
            let prefixed = PrefixStore::new(Arc::clone(&store), "users/1");
            Box::pin(async move {
                Arc::new(ObjectBlobStore::new(Arc::new(prefixed))) as Arc<dyn BlobStore>
            })
        })
    }

    blob_store_conformance!(memory);
}

/// A program that keeps a folder in step brings files late, in any order, in parts, and with names of its own.
#[tokio::test]
async fn c27_what_has_not_arrived_whole_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectBlobStore::in_folder(folder.path()).unwrap();
    let contents = vec![7; (1 << 20) + 5];
    let blob = BlobRef::of(&contents);
    for (number, part) in (0..).zip(contents.chunks(1 << 20)) {
        store.put_chunk(&blob, number, part.to_vec()).await.unwrap();
    }
    store.finish(&blob).await.unwrap();
    let files = folder.path().join("blobs").join(blob.to_string());
    std::fs::write(files.join("00000001"), b"half").unwrap();
    for other in ["00000001 (conflicted copy)", "1", ".DS_Store", "000000001"] {
        std::fs::write(files.join(other), b"other").unwrap();
    }
    let read = store.chunk(&blob, 1).await;
    assert!(matches!(read, Err(SyncError::BlobMissing { .. })), "{read:?}");
    assert_eq!(store.sent(&blob).await.unwrap(), 1, "it is sent anew from there");
    store.put_chunk(&blob, 1, contents[1 << 20..].to_vec()).await.unwrap();
    store.finish(&blob).await.unwrap();
    assert_eq!(store.chunk(&blob, 1).await.unwrap(), contents[1 << 20..]);
}

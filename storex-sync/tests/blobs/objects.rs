//! Blobs in an object store.

use std::sync::Arc;

use storex_sync::object_store::memory::InMemory;
use storex_sync::object_store::path::Path;
use storex_sync::object_store::{ObjectStore, ObjectStoreExt};
use storex_sync::{BlobStore, ObjectBlobStore};

use super::{CHUNK, Device, contents};

fn path(of: impl ToString) -> Path {
    Path::from(of.to_string())
}

#[tokio::test(start_paused = true)]
async fn c27_a_mark_without_its_chunks_makes_no_blob_in_an_object_store() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let store = Arc::new(ObjectBlobStore::new(Arc::clone(&objects)));
    let a = Device::new(1, &store).await;
    let text = contents(1, CHUNK + 5);
    let blob = a.blobs.put(&text).await.unwrap();
    a.blobs.sync_once().await.unwrap();
    assert!(store.has(&blob).await.unwrap());
    objects.delete(&path(format!("blobs/{blob}/00000001"))).await.unwrap();
    assert!(!store.has(&blob).await.unwrap());

    a.blobs.put(&text).await.unwrap();
    assert_eq!(a.blobs.sync_once().await.unwrap().sent, 1);
    assert!(store.has(&blob).await.unwrap());
    assert_eq!(Device::new(2, &store).await.read(&blob).await.unwrap(), text);
}

#[tokio::test(start_paused = true)]
async fn c27_what_lies_deeper_is_no_chunk() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let store = ObjectBlobStore::new(Arc::clone(&objects));
    let blob = storex_sync::BlobRef::of(b"a picture");
    let deeper = path(format!("blobs/{blob}/deeper/00000000"));
    objects.put(&deeper, b"a picture".to_vec().into()).await.unwrap();
    assert_eq!(store.sent(&blob).await.unwrap(), 0);
    store.remove(&blob).await.unwrap();
    assert!(objects.head(&deeper).await.is_ok());
}

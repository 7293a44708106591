//! Blobs in an object store.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt, poll_fn};
use storex_sync::object_store::memory::InMemory;
use storex_sync::object_store::path::Path;
use storex_sync::object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use storex_sync::{BlobRef, BlobStore, ObjectBlobStore, SyncError};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Every object is said to be huge, and none may be read.
    Huge,
    /// Whoever asks is not allowed to.
    Forbidden,
    /// Whoever asks is not known.
    Unknown,
}

/// An object store that does what a script says.
#[derive(Debug)]
struct Scripted(InMemory, Script);

impl Scripted {
    fn allowed(&self) -> Result<()> {
        let (path, source) = (String::new(), "testing".into());
        match self.1 {
            Script::Huge => Ok(()),
            Script::Forbidden => Err(Error::PermissionDenied { path, source }),
            Script::Unknown => Err(Error::Unauthenticated { path, source }),
        }
    }
}

impl fmt::Display for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait]
impl ObjectStore for Scripted {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.allowed()?;
        self.0.put_opts(at, bytes, opts).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.allowed()?;
        let mut got = self.0.get_opts(at, options).await?;
        got.meta.size = 1 << 50;
        got.range = 0..got.meta.size;
        got.payload = GetResultPayload::Stream(poll_fn(|_| panic!("it is read")).boxed());
        Ok(got)
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.allowed()?;
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[tokio::test(start_paused = true)]
async fn c27_a_huge_object_is_not_read() {
    let store = ObjectBlobStore::new(Arc::new(Scripted(InMemory::new(), Script::Huge)));
    let blob = BlobRef::of(b"a picture");
    store.put_chunk(&blob, 0, b"a picture".to_vec()).await.unwrap();
    let read = store.chunk(&blob, 0).await;
    assert!(matches!(read, Err(SyncError::BlobMissing { .. })), "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn c27_an_object_store_that_refuses_the_device_counts_against_no_blob() {
    for script in [Script::Forbidden, Script::Unknown] {
        let store = Arc::new(ObjectBlobStore::new(Arc::new(Scripted(InMemory::new(), script))));
        let a = Device::new(1, &store).await;
        a.blobs.put(b"a picture").await.unwrap();
        for _ in 0..10 {
            let error = a.blobs.sync_once().await.unwrap_err();
            assert!(matches!(error.cause(), SyncError::Unauthorized { .. }), "{error:?}");
            a.runtime.advance(3_600_000);
        }
        assert_eq!((a.status().to_send.blobs, a.status().dead), (1, 0));
    }
}

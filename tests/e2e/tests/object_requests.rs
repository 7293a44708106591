//! What a shared log asks of an object store, and what becomes of it when an answer is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use storex_memory::TestRuntime;
use storex_sync::object_store::memory::InMemory;
use storex_sync::object_store::path::Path;
use storex_sync::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use storex_sync::{
    Cursor, Device, ObjectSharedLog, SealedTransaction, SharedSyncLog, Snapshot, SnapshotId,
    SyncError,
};

const ALL: usize = 1 << 20;

/// A store that counts what it is asked for, and may lose answers.
#[derive(Debug, Default)]
struct Counted {
    inner: InMemory,
    asked: Mutex<Vec<&'static str>>,
    loses_answers: Mutex<bool>,
}

impl Counted {
    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn note(&self, what: &'static str) {
        self.asked.lock().unwrap().push(what);
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.note("put");
        let put = self.inner.put_opts(at, bytes, opts).await?;
        if *self.loses_answers.lock().unwrap() {
            return Err(Error::Generic { store: "counted", source: "the answer is lost".into() });
        }
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.note("multipart");
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.note("get");
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.note("delete");
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note("list");
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.note("list");
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.note("copy");
        self.inner.copy_opts(from, to, options).await
    }
}

fn transaction(sequence: u64) -> SealedTransaction {
    let device = Device { id: [1; 16], incarnation: 0 };
    SealedTransaction { device, sequence, payload: vec![7; 100] }
}

async fn open() -> (Arc<Counted>, ObjectSharedLog) {
    let store = Arc::new(Counted::default());
    let runtime = Arc::new(TestRuntime::new(1));
    let log = ObjectSharedLog::open(Arc::clone(&store) as _, runtime).await.unwrap();
    store.asked();
    (store, log)
}

#[tokio::test]
async fn what_it_costs() {
    let (store, log) = open().await;
    let reader = Device { id: [2; 16], incarnation: 0 };
    log.append(&[transaction(1)]).await.unwrap();
    assert_eq!(
        store.asked(),
        ["list", "list", "put"],
        "the first append, which makes sure of the log"
    );
    log.append(&[transaction(2)]).await.unwrap();
    assert_eq!(store.asked(), ["list", "put"], "an append");
    let page = log.read(reader, &Cursor::default(), ALL).await.unwrap();
    assert_eq!(store.asked(), ["list", "get", "get"], "a read of two segments");
    log.acknowledge(reader, &page.cursor).await.unwrap();
    assert_eq!(store.asked(), ["get", "put"], "an acknowledgement");
    log.read(reader, &page.cursor, ALL).await.unwrap();
    assert_eq!(store.asked(), ["list"], "a read without news");
}

#[tokio::test]
async fn what_a_snapshot_costs() {
    let (store, log) = open().await;
    let reader = Device { id: [2; 16], incarnation: 0 };
    log.append(&[transaction(1)]).await.unwrap();
    log.append(&[transaction(2)]).await.unwrap();
    let page = log.read(reader, &Cursor::default(), ALL).await.unwrap();
    log.acknowledge(reader, &page.cursor).await.unwrap();
    store.asked();
    let snapshots = log.snapshots().unwrap();
    assert_eq!(snapshots.usage().await.unwrap().droppable, 1);
    assert_eq!(store.asked(), ["list", "get"], "a look, with one member");
    let id = SnapshotId { maker: reader, number: 7 };
    snapshots.put_page(id, 0, b"a page").await.unwrap();
    assert_eq!(store.asked(), ["list", "put"], "the first page");
    snapshots.put_page(id, 1, b"another").await.unwrap();
    assert_eq!(store.asked(), ["put"], "a page");
    let snapshot = Snapshot { id, pages: 2, place: page.cursor };
    assert!(snapshots.publish(&snapshot).await.unwrap());
    assert_eq!(store.asked(), ["list", "put", "list"], "publishing the first");
    snapshots.published().await.unwrap();
    assert_eq!(store.asked(), ["list", "get"], "looking for it");
    snapshots.page(id, 0).await.unwrap();
    assert_eq!(store.asked(), ["get"], "reading a page");
}

#[tokio::test]
async fn c10_an_append_whose_answer_was_lost_is_made_again() {
    let (store, log) = open().await;
    *store.loses_answers.lock().unwrap() = true;
    let error = log.append(&[transaction(1)]).await.unwrap_err();
    assert!(matches!(error, SyncError::Transport { .. }), "{error}");
    assert!(error.is_retryable());
    assert!(error.to_string().contains("the answer is lost"), "{error}");
    *store.loses_answers.lock().unwrap() = false;
    log.append(&[transaction(1), transaction(2)]).await.unwrap();
    let reader = Device { id: [2; 16], incarnation: 0 };
    let page = log.read(reader, &Cursor::default(), ALL).await.unwrap();
    assert_eq!(page.transactions, [transaction(1), transaction(2)]);
}

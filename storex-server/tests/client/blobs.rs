//! Blobs over a server.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storex_conformance::blob_store::BlobHarness;
use storex_conformance::blob_store_conformance;
use storex_core::{Registry, Storage, TokioRuntime};
use storex_memory::MemoryBackend;
use storex_server::{SqliteStore, Store};
use storex_sync::http::{
    HttpBlobStore, HttpSharedLog, HttpTransport, Method, NativeTransport, Request, Response, Socket,
};
use storex_sync::{
    BlobReport, BlobStore, Blobs, Device, EncryptedBlobStore, EncryptedSharedLog, KeyRing, Result,
    SyncError,
};

use crate::served::Served;

const CHUNK: usize = 1 << 20;
const LAPTOP: Device = Device { id: [0x1a; 16], incarnation: 0 };
const PHONE: Device = Device { id: [0x2b; 16], incarnation: 0 };

/// Everything in one file.
fn serve() -> (Served, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.db");
    let served = Served::over(async move |runtime| {
        Arc::new(SqliteStore::open(path, runtime).await.unwrap()) as Arc<dyn Store>
    });
    (served, folder)
}

mod over_http {
    use super::*;

    fn http() -> BlobHarness {
        let (served, folder) = serve();
        BlobHarness::new(move || {
            let _kept = &folder;
            let store = served.blobs("ada");
            Box::pin(async move { store })
        })
    }

    blob_store_conformance!(http);
}

mod encrypted_over_http {
    use super::*;

    fn encrypted() -> BlobHarness {
        let (served, folder) = serve();
        let keys = KeyRing::generate(&TokioRuntime);
        BlobHarness::new(move || {
            let _kept = &folder;
            let log = Arc::new(HttpSharedLog::new(served.client("ada")));
            let log = EncryptedSharedLog::new(log, keys.clone(), served.machine());
            let store = EncryptedBlobStore::new(served.blobs("ada"), Arc::new(log));
            Box::pin(async move { Arc::new(store) as Arc<dyn BlobStore> })
        })
        .encrypts()
    }

    blob_store_conformance!(encrypted);
}

/// A connection that breaks when so many more chunks have gone over it.
#[derive(Debug)]
struct Breaking {
    inner: NativeTransport,
    left: AtomicUsize,
    /// The method and the chunk of each request that went through.
    chunks: Mutex<Vec<(Method, String)>>,
}

impl Breaking {
    fn new() -> Arc<Self> {
        let (left, chunks) = (AtomicUsize::new(usize::MAX), Mutex::default());
        Arc::new(Self { inner: NativeTransport::new().unwrap(), left, chunks })
    }

    fn chunks(&self) -> Vec<(Method, String)> {
        std::mem::take(&mut *self.chunks.lock().unwrap())
    }
}

#[async_trait]
impl HttpTransport for Breaking {
    async fn request(&self, request: Request) -> Result<Response> {
        let broken = || SyncError::Transport { during: "asking", reason: "cut".to_owned() };
        if self.left.load(SeqCst) == 0 {
            return Err(broken());
        }
        let path = request.url.split_once('?').map(|(path, _)| path.to_owned());
        let chunk = path.and_then(|path| Some(path.split_once("/chunks/")?.1.to_owned()));
        if let Some(chunk) = chunk {
            self.left.fetch_sub(1, SeqCst);
            self.chunks.lock().unwrap().push((request.method, chunk));
        }
        self.inner.request(request).await
    }

    async fn connect(&self, url: &str, protocols: &[&str]) -> Result<Socket> {
        self.inner.connect(url, protocols).await
    }
}

async fn device(store: Arc<dyn BlobStore>) -> Blobs {
    let registry = Registry::builder().build().unwrap();
    let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TokioRuntime));
    let storage = storage.module(Blobs::module()).open().await.unwrap();
    Blobs::open(&storage, store).await.unwrap()
}

fn contents(chunks: usize) -> Vec<u8> {
    let bytes = (0_u32..).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
    bytes.take(chunks * CHUNK - 5).collect()
}

fn numbers(method: Method, numbers: &[usize]) -> Vec<(Method, String)> {
    numbers.iter().map(|number| (method, number.to_string())).collect()
}

#[tokio::test]
async fn c27_two_devices_exchange_blobs_over_a_server_and_go_on_where_they_were_cut() {
    let (served, _folder) = serve();
    let (of_laptop, of_phone) = (Breaking::new(), Breaking::new());
    let store = |transport: &Arc<Breaking>, device| {
        let client = served.client_over(Arc::clone(transport) as _, "ada");
        Arc::new(HttpBlobStore::new(client, device))
    };
    let laptop = device(store(&of_laptop, LAPTOP)).await;
    let phone = device(store(&of_phone, PHONE)).await;
    let all = contents(4);

    let blob = laptop.put(&all).await.unwrap();
    of_laptop.left.store(2, SeqCst);
    let cut = laptop.sync_once().await.unwrap_err();
    assert!(matches!(cut.cause(), SyncError::Transport { .. }), "{cut:?}");
    assert_eq!(of_laptop.chunks(), numbers(Method::Put, &[0, 1]));
    // Half of it is nothing yet.
    let missing = phone.get(&blob).await.unwrap_err();
    assert!(matches!(missing.cause(), SyncError::BlobMissing { .. }), "{missing:?}");
    of_phone.chunks();
    of_laptop.left.store(usize::MAX, SeqCst);
    let report = laptop.sync_once().await.unwrap();
    assert_eq!(report, BlobReport { sent: 1, ..BlobReport::default() });
    assert_eq!(of_laptop.chunks(), numbers(Method::Put, &[2, 3]));

    phone.retry_all().await.unwrap();
    of_phone.left.store(1, SeqCst);
    assert!(phone.sync_once().await.is_err());
    of_phone.left.store(usize::MAX, SeqCst);
    assert!(phone.get(&blob).await.unwrap().read_to_end().await.unwrap() == all);
    let fetched = of_phone.chunks();
    assert_eq!(fetched, numbers(Method::Get, &[2, 3]), "what was there before stays");

    // It is the server's now: here it may go.
    laptop.evict(&blob).await.unwrap();
    assert!(!laptop.is_here(&blob).await.unwrap());
    assert!(laptop.get(&blob).await.unwrap().read_to_end().await.unwrap() == all);
    phone.remove(&blob).await.unwrap();
    assert!(!served.blobs("ada").has(&blob).await.unwrap());
}

#[tokio::test]
async fn c27_whoever_guesses_the_name_of_anothers_blob_finds_nothing() {
    let (served, _folder) = serve();
    let (ada, bob) = (device(served.blobs("ada")).await, device(served.blobs("bob")).await);
    let blob = ada.put(b"a picture").await.unwrap();
    ada.sync_once().await.unwrap();
    let missing = bob.get(&blob).await.unwrap_err();
    assert!(matches!(missing.cause(), SyncError::BlobMissing { .. }), "{missing:?}");
    bob.remove(&blob).await.unwrap();
    ada.evict(&blob).await.unwrap();
    assert_eq!(ada.get(&blob).await.unwrap().read_to_end().await.unwrap(), b"a picture");
}

#[tokio::test]
async fn c27_a_device_that_was_revoked_gets_no_blobs_and_leaves_none() {
    let (served, _folder) = serve();
    let store = |device| Arc::new(HttpBlobStore::new(served.client("ada"), device));
    let (laptop, phone) = (device(store(LAPTOP)).await, device(store(PHONE)).await);
    let blob = laptop.put(b"a picture").await.unwrap();
    laptop.sync_once().await.unwrap();
    served.client("ada").revoke(PHONE.id).await.unwrap();
    let refused = phone.get(&blob).await.unwrap_err();
    assert!(matches!(refused.cause(), SyncError::Unauthorized { .. }), "{refused:?}");
    let left = phone.put(b"another").await.unwrap();
    let refused = phone.sync_once().await.unwrap_err();
    assert!(matches!(refused.cause(), SyncError::Unauthorized { .. }), "{refused:?}");
    assert!(phone.dead().await.unwrap().is_empty(), "it counts against no blob");
    assert!(!laptop.get(&blob).await.unwrap().read_to_end().await.unwrap().is_empty());
    assert!(!store(LAPTOP).has(&left).await.unwrap());
}

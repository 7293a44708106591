//! End-to-end encryption over a server: it keeps everything, and can read nothing.

use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use storex_core::{Registry, Storage, TokioRuntime};
use storex_memory::MemoryBackend;
use storex_server::{Server, SqliteStore};
use storex_sync::http::{
    HttpBlobStore, HttpClient, HttpSharedLog, NativeTransport, StaticToken, Token,
};
use storex_sync::{
    Access, BlobStore, Blobs, Device, EncryptedBlobStore, EncryptedSharedLog, KeyRing, Passphrase,
    PassphraseCost, SharedSyncLog, Sync, SyncError,
};
use tokio::net::TcpListener;

use crate::support::{storage, verifier};

const TITLE: &str = "what nobody else may read";
const PASSPHRASE: &str = "correct horse battery staple";

/// A server that keeps everything in a file of this folder.
async fn serve(folder: &Path) -> SocketAddr {
    let store = SqliteStore::open(folder.join("server.db"), Arc::new(TokioRuntime)).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(Arc::new(store), Arc::new(verifier()));
    tokio::spawn(server.serve(listener, pending()));
    address
}

fn client_of(address: SocketAddr, user: &str) -> HttpClient {
    let transport = Arc::new(NativeTransport::new().unwrap());
    let client = HttpClient::new(transport, &format!("http://{address}"), Arc::new(TokioRuntime));
    client.unwrap().credentials(Arc::new(StaticToken(Token::new(user))))
}

fn log_of(address: SocketAddr, user: &str) -> Arc<dyn SharedSyncLog> {
    Arc::new(HttpSharedLog::new(client_of(address, user)))
}

async fn write(storage: &Storage) {
    storage.dynamic("note").unwrap().create(json!({"title": TITLE})).await.unwrap();
}

async fn exchange(storage: &Storage, log: Arc<dyn SharedSyncLog>) {
    Sync::open(storage, log).await.unwrap().sync_once().await.unwrap();
}

/// Whether the server's database has this text in it.
fn holds(folder: &Path, text: &str) -> bool {
    ["server.db", "server.db-wal"].iter().any(|name| {
        let bytes = std::fs::read(folder.join(name)).unwrap_or_default();
        bytes.windows(text.len()).any(|it| it == text.as_bytes())
    })
}

#[tokio::test]
async fn what_two_devices_encrypt_by_a_passphrase_the_server_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path()).await;
    let runtime = Arc::new(TokioRuntime);
    let (laptop, phone) = (storage().await, storage().await);

    let cost = PassphraseCost { memory: 64, passes: 1 };
    let access = Access::by(Passphrase::new(PASSPHRASE)).cost(cost);
    let log = EncryptedSharedLog::create(log_of(address, "ada"), &access, runtime.clone()).await;
    write(&laptop).await;
    exchange(&laptop, Arc::new(log.unwrap())).await;

    let wrong = Passphrase::new("another horse");
    let refused = EncryptedSharedLog::open(log_of(address, "ada"), &wrong, runtime.clone()).await;
    assert!(matches!(refused, Err(SyncError::WrongPassphrase)), "{refused:?}");
    let known = Passphrase::new(PASSPHRASE);
    let log = EncryptedSharedLog::open(log_of(address, "ada"), &known, runtime).await;
    exchange(&phone, Arc::new(log.unwrap())).await;
    let notes = phone.dynamic("note").unwrap();
    assert_eq!(notes.count(&json!({"title": TITLE})).await.unwrap(), 1);
    assert!(!holds(folder.path(), TITLE) && !holds(folder.path(), PASSPHRASE));

    // Of somebody who does not encrypt it is there to be read.
    let open = storage().await;
    write(&open).await;
    exchange(&open, log_of(address, "bob")).await;
    assert!(holds(folder.path(), TITLE));
}

fn blobs_of(address: SocketAddr, user: &str) -> Arc<dyn BlobStore> {
    let device = Device { id: [7; 16], incarnation: 0 };
    Arc::new(HttpBlobStore::new(client_of(address, user), device))
}

async fn device(store: Arc<dyn BlobStore>) -> Blobs {
    let registry = Registry::builder().build().unwrap();
    let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TokioRuntime));
    let storage = storage.module(Blobs::module()).open().await.unwrap();
    Blobs::open(&storage, store).await.unwrap()
}

#[tokio::test]
async fn c27_the_server_reads_neither_blobs_nor_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let address = serve(folder.path()).await;
    let keys = KeyRing::generate(&TokioRuntime);
    let encrypted = || {
        let log = log_of(address, "ada");
        let log = EncryptedSharedLog::new(log, keys.clone(), Arc::new(TokioRuntime));
        Arc::new(EncryptedBlobStore::new(blobs_of(address, "ada"), Arc::new(log)))
    };
    let contents = TITLE.repeat(100_000).into_bytes();
    let laptop = device(encrypted()).await;
    let blob = laptop.put(&contents).await.unwrap();
    laptop.sync_once().await.unwrap();
    let phone = device(encrypted()).await;
    assert!(phone.get(&blob).await.unwrap().read_to_end().await.unwrap() == contents);
    let (text, length) = (blob.to_string(), blob.length().to_string());
    let hash = &text["sha256-".len()..text.len() - length.len() - 1];
    assert!(!holds(folder.path(), TITLE) && !holds(folder.path(), hash));
    assert!(!holds(folder.path(), &length));

    // Of somebody who does not encrypt it is there to be read.
    let open = device(blobs_of(address, "bob")).await;
    open.put(&contents).await.unwrap();
    open.sync_once().await.unwrap();
    assert!(holds(folder.path(), TITLE) && holds(folder.path(), hash));
}

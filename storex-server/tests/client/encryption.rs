//! End-to-end encryption over a server: it keeps everything, and can read nothing.

use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use storex_core::{Storage, TokioRuntime};
use storex_server::{Server, SqliteStore};
use storex_sync::http::{HttpClient, HttpSharedLog, NativeTransport, StaticToken, Token};
use storex_sync::{
    Access, EncryptedSharedLog, Passphrase, PassphraseCost, SharedSyncLog, Sync, SyncError,
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

fn log_of(address: SocketAddr, user: &str) -> Arc<dyn SharedSyncLog> {
    let transport = Arc::new(NativeTransport::new().unwrap());
    let client = HttpClient::new(transport, &format!("http://{address}"), Arc::new(TokioRuntime));
    let token = Arc::new(StaticToken(Token::new(user)));
    Arc::new(HttpSharedLog::new(client.unwrap().credentials(token)))
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

//! Over TLS, with a certificate that is trusted or not.

use std::path::Path;
use std::sync::Arc;

use storex_core::TokioRuntime;
use storex_server::{Server, TlsFiles};
use storex_sync::http::{HttpClient, HttpSharedLog, NativeTransport, StaticToken, Token};
use storex_sync::{Cursor, Device, SealedTransaction, SharedSyncLog as _, SyncError};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::store::TestStore;
use crate::support::{in_time, verifier};

const CERTIFICATE: &[u8] = include_bytes!("data/loopback.pem");

fn log(transport: NativeTransport, address: &str) -> HttpSharedLog {
    let client = HttpClient::new(Arc::new(transport), address, Arc::new(TokioRuntime)).unwrap();
    HttpSharedLog::new(client.credentials(Arc::new(StaticToken(Token::new("ada")))))
}

#[tokio::test]
async fn requests_and_news_come_over_tls_from_whom_is_trusted() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client/data");
    let files = TlsFiles::open(data.join("loopback.pem"), data.join("loopback.key.pem")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let store = Arc::new(TestStore::default());
    let server = Server::new(Arc::clone(&store) as _, Arc::new(verifier())).tls(files);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(listener, async move { drop(stopped.await) }));

    let device = Device { id: [1; 16], incarnation: 0 };
    let trusting = log(NativeTransport::trusting_pem(CERTIFICATE).unwrap(), &address);
    in_time(trusting.register(device)).await.unwrap();
    let other = Device { id: [2; 16], incarnation: 0 };
    let written = SealedTransaction { device: other, sequence: 1, payload: vec![1] };
    store.log_of("ada").append(&[written]).await.unwrap();
    in_time(trusting.changed(device, &Cursor::default())).await.unwrap();

    let refused = in_time(log(NativeTransport::new().unwrap(), &address).register(device)).await;
    let SyncError::Transport { reason, .. } = refused.unwrap_err() else { panic!("another error") };
    assert!(reason.contains("certificate"), "{reason}");
    assert!(NativeTransport::trusting_pem(b"no certificate").is_err());
    drop(stop);
    serving.await.unwrap().unwrap();
}

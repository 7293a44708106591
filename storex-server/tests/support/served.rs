//! [`Served`]: a server over any store, on a runtime of its own, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{BoxFuture, Runtime, Timestamp, TokioRuntime};
use storex_server::{Config, Identity, Limits, Server, Store, User, Verifier, VerifyWith};
use storex_sync::http::{
    HttpBlobStore, HttpClient, HttpTransport, NativeTransport, StaticToken, Token,
};
use storex_sync::{BlobStore, Device};
use tokio::net::TcpListener;

/// The clock and the timers of the machine, also where tokio's stand still (the cases of the conformance suites).
#[derive(Debug)]
pub struct MachineRuntime(pub tokio::runtime::Handle);

impl Runtime for MachineRuntime {
    fn now(&self) -> Timestamp {
        TokioRuntime.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // Made there, or it is of the clock that stands still.
        let sleeping = self.0.spawn(async move { tokio::time::sleep(duration).await });
        Box::pin(async move { drop(sleeping.await) })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        TokioRuntime.fill_random(buffer);
    }
}

/// A token is the name of a user.
pub fn verifier() -> impl Verifier {
    VerifyWith::new(|token| Box::pin(async move { Ok(Identity::of(User::new(token)?)) }))
}

/// A server over any store.
pub struct Served {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Served {
    /// The store is opened where the server runs.
    pub fn over<S: Future<Output = Arc<dyn Store>> + Send + 'static>(
        open: impl FnOnce(Arc<dyn Runtime>) -> S + Send + 'static,
    ) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let machine = Arc::new(MachineRuntime(runtime.handle().clone()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        // The cases ask more than a device does.
        let limits =
            Limits { blob_requests_per_second: 100_000, blob_burst: 100_000, ..Limits::default() };
        let config = Config { limits, ..Config::default() };
        runtime.spawn(async move {
            let store = open(machine).await;
            let listener = TcpListener::from_std(listener).unwrap();
            let server = Server::new(store, Arc::new(verifier())).config(config);
            server.serve(listener, std::future::pending()).await.unwrap();
        });
        Self { address, runtime: Some(runtime) }
    }

    pub fn machine(&self) -> Arc<dyn Runtime> {
        Arc::new(MachineRuntime(self.runtime.as_ref().unwrap().handle().clone()))
    }

    pub fn client(&self, user: &str) -> HttpClient {
        self.client_over(Arc::new(NativeTransport::new().unwrap()), user)
    }

    pub fn client_over(&self, transport: Arc<dyn HttpTransport>, user: &str) -> HttpClient {
        let address = format!("http://{}", self.address);
        let client = HttpClient::new(transport, &address, self.machine()).unwrap();
        client.credentials(Arc::new(StaticToken(Token::new(user))))
    }

    pub fn blobs(&self, user: &str) -> Arc<dyn BlobStore> {
        let device = Device { id: [7; 16], incarnation: 0 };
        Arc::new(HttpBlobStore::new(self.client(user), device))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A runtime may not wait for its threads where another one runs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

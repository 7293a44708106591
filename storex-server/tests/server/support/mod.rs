//! A server on loopback, with a store in memory and a clock that stands still, and a client that can be rude.

pub mod attack;
mod client;
mod runtime;
mod store;

pub use client::{Answer, Ask, Line, raw};
pub use runtime::ManualRuntime;
pub use store::{Hold, TestStore};

use std::net::SocketAddr;
use std::sync::Arc;

use storex_server::{Config, Identity, Limits, Server, Store, Tokens, User, Verifier};
use storex_sync::http::wire;
use storex_sync::{Cursor, Device, LogRequest, Page, SealedTransaction};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const ADA: &str = "token-of-ada-0123456789";
pub const BOB: &str = "token-of-bob-0123456789";
/// A token of Ada's that only [`LAPTOP`] may use.
pub const ADAS_LAPTOP: &str = "token-of-adas-laptop-01";

pub const LAPTOP: Device = Device { id: [0x1a; 16], incarnation: 0 };
pub const PHONE: Device = Device { id: [0x2b; 16], incarnation: 3 };

/// A server on loopback.
pub struct Site {
    pub address: SocketAddr,
    pub runtime: Arc<ManualRuntime>,
    pub store: Arc<TestStore>,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<storex_server::Result<()>>,
}

pub fn tokens() -> Tokens {
    let of = |name: &str| Identity::of(User::new(name).unwrap());
    Tokens::new()
        .with(ADA, of("ada"))
        .and_then(|it| it.with(BOB, of("bob")))
        .and_then(|it| {
            it.with(ADAS_LAPTOP, Identity::of_device(User::new("ada").unwrap(), LAPTOP.id))
        })
        .unwrap()
}

impl Site {
    pub async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        Self::with_verifier(config, Arc::new(tokens())).await
    }

    pub async fn with_verifier(config: Config, verifier: Arc<dyn Verifier>) -> Self {
        let runtime = Arc::new(ManualRuntime::new());
        let store = Arc::new(TestStore::default());
        let server = Server::new(store.clone(), verifier).config(config).runtime(runtime.clone());
        Self::run(server, runtime, store).await
    }

    /// A server with another store, that takes as many requests as an attacker likes.
    pub async fn over(store: Arc<dyn Store>) -> Self {
        let runtime = Arc::new(ManualRuntime::new());
        let many = 1_000_000;
        let limits = Limits {
            requests_per_second: many,
            burst: many,
            blob_requests_per_second: many,
            blob_burst: many,
            ..Limits::default()
        };
        let server = Server::new(store, Arc::new(tokens())).runtime(runtime.clone());
        let server = server.config(Config { limits, ..Config::default() });
        Self::run(server, runtime, Arc::default()).await
    }

    pub async fn run(server: Server, runtime: Arc<ManualRuntime>, store: Arc<TestStore>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let until = async move { drop(stopped.await) };
        let ended = tokio::spawn(server.serve(listener, until));
        Self { address, runtime, store, stop: Some(stop), ended }
    }

    pub fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(self.address, method, path)
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask("GET", path).token(token).send().await
    }

    pub async fn exchange(&self, token: &str, request: &LogRequest) -> Answer {
        let body = wire::encode_request(request).unwrap();
        self.ask("POST", "/v1/log/exchange").token(token).body(body).send().await
    }

    pub async fn append(
        &self,
        token: &str,
        device: Device,
        sequence: u64,
        payload: &[u8],
    ) -> Answer {
        let append = vec![SealedTransaction { device, sequence, payload: payload.to_vec() }];
        self.exchange(token, &LogRequest { device, append, ..LogRequest::default() }).await
    }

    pub async fn read(&self, token: &str, device: Device, after: Cursor) -> Page {
        let request = LogRequest { device, read: Some(after), ..LogRequest::default() };
        let answer = self.exchange(token, &request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        wire::decode_page(&answer.body).unwrap()
    }

    /// Asks it to stop.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until it has stopped.
    pub async fn stopped(&mut self) {
        (&mut self.ended).await.unwrap().unwrap();
    }
}

pub fn payloads(page: &Page) -> Vec<&[u8]> {
    page.transactions.iter().map(|it| it.payload.as_slice()).collect()
}

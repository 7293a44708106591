//! A server that runs beside the test, on a runtime of its own, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use storex_core::{AutoPk, Definition, FieldType, Query, Registry, Storage, TokioRuntime};
use storex_memory::MemoryBackend;
use storex_server::{Config, Server};
use storex_sync::http::{HttpClient, HttpSharedLog, NativeTransport, StaticToken, Token};
use storex_sync::{ContinuousSync, Sync, SyncLog};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use crate::served::{MachineRuntime, verifier};
use crate::store::TestStore;

/// No timer of a test is so long.
pub const LONG: Duration = Duration::from_secs(100_000);
/// Whatever takes longer than this does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server. A token is the name of a user.
pub struct Site {
    pub address: SocketAddr,
    pub store: Arc<TestStore>,
    config: Config,
    runtime: Option<tokio::runtime::Runtime>,
    running: Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>,
}

impl Site {
    pub fn start() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let (address, store) = (([127, 0, 0, 1], 0).into(), Arc::default());
        let runtime = Some(runtime);
        let mut site = Self { address, store, config, runtime, running: None };
        site.run();
        site
    }

    fn handle(&self) -> tokio::runtime::Handle {
        self.runtime.as_ref().unwrap().handle().clone()
    }

    /// Goes on at the same address.
    pub fn run(&mut self) {
        // The threads of this one may not block.
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (tell, ended) = oneshot::channel();
        let server = Server::new(Arc::clone(&self.store) as _, Arc::new(verifier()));
        let server = server.config(self.config.clone());
        self.handle().spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            server.serve(listener, async move { drop(stopped.await) }).await.unwrap();
            let _ = tell.send(());
        });
        self.running = Some((stop, ended));
    }

    pub async fn stop(&mut self) {
        let (stop, ended) = self.running.take().unwrap();
        stop.send(()).unwrap();
        ended.await.unwrap();
    }

    /// As if everything that it kept had been lost.
    pub fn forget(&mut self) {
        self.store = Arc::default();
    }

    pub fn client_without_token(&self) -> HttpClient {
        let runtime = Arc::new(MachineRuntime(self.handle()));
        let transport = Arc::new(NativeTransport::new().unwrap());
        HttpClient::new(transport, &format!("http://{}", self.address), runtime).unwrap()
    }

    pub fn client(&self, user: &str) -> HttpClient {
        let token = StaticToken(Token::new(user));
        self.client_without_token().credentials(Arc::new(token))
    }

    /// A device of Ada's that is kept in step by news alone.
    pub async fn device(&self) -> Device {
        self.device_every(LONG).await
    }

    pub async fn device_every(&self, interval: Duration) -> Device {
        let storage = storage().await;
        let log = Arc::new(HttpSharedLog::new(self.client("ada")));
        let sync = Sync::open(&storage, log).await.unwrap();
        let sync = ContinuousSync::builder(sync).intervals(interval, interval).start();
        Device { storage, sync }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // A runtime may not wait for its threads where another one runs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A database of notes.
pub async fn storage() -> Storage {
    let note = Definition::new("note").field("title", FieldType::String);
    let registry = Registry::builder().collection(note).build().unwrap();
    let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TokioRuntime));
    storage.middleware(AutoPk::new()).middleware(SyncLog::new()).open().await.unwrap()
}

pub struct Device {
    pub storage: Storage,
    pub sync: ContinuousSync,
}

impl Device {
    pub async fn write(&self, title: &str) {
        self.storage.dynamic("note").unwrap().create(json!({"title": title})).await.unwrap();
    }

    /// Returns when so many notes are here.
    pub async fn has(&self, count: usize) {
        let mut notes = self.storage.live(Query::new("note"));
        let arrived = async {
            loop {
                let here = notes.next().await.unwrap().unwrap().len();
                assert!(here <= count, "{here} notes are here, and there are {count}");
                if here == count {
                    return;
                }
            }
        };
        in_time(arrived).await;
    }

    /// Returns when everything was sent, and everything has arrived.
    pub async fn in_step(&self) {
        let mut status = self.sync.status();
        in_time(status.wait_for(|status| status.in_step && status.unsent == 0)).await.unwrap();
    }
}

pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

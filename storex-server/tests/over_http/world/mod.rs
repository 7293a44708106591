//! Servers, and devices that are kept in step through them.

mod clock;
mod network;
mod store;

pub use clock::WrongClock;
pub use network::{Asked, Fault, Network, Sockets, Wire};
pub use store::SwitchedStore;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use storex_core::{AutoPk, Definition, FieldType, Query, Record, Registry, Runtime, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_server::{Config, Identity, Server, Store, User, Verifier, VerifyWith};
use storex_sync::http::{
    Credentials, HttpClient, HttpSharedLog, HttpTransport as _, Method, Request, StaticToken, Token,
};
use storex_sync::{
    ContinuousSync, ContinuousSyncBuilder, Cursor, SealedTransaction, SharedSyncLog, Sync, SyncLog,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::{LONG, SECOND};

/// Lets everything run that can run now.
pub async fn let_run() {
    sleep(Duration::from_millis(1)).await;
}

/// A token is the name of a user.
pub fn verifier() -> Arc<dyn Verifier> {
    Arc::new(VerifyWith::new(|token| Box::pin(async move { Ok(Identity::of(User::new(token)?)) })))
}

/// A server.
#[derive(Debug)]
pub struct Site {
    pub network: Arc<Network>,
    host: &'static str,
    /// Dropped, it asks the server to stop.
    _stop: oneshot::Sender<()>,
    watcher: Arc<Wire>,
}

impl Site {
    /// A server with a store in memory.
    pub async fn start() -> (Self, Arc<SwitchedStore>) {
        Self::with(Config::default(), verifier()).await
    }

    pub async fn with(config: Config, verifier: Arc<dyn Verifier>) -> (Self, Arc<SwitchedStore>) {
        let store = SwitchedStore::new().await;
        let runtime = Arc::new(TestRuntime::new(1000));
        let server = Server::new(Arc::clone(&store) as _, verifier).config(config);
        (Self::run(&Arc::default(), "one", server.runtime(runtime)), store)
    }

    /// One more server in a network, with a clock of its own.
    pub fn beside(
        network: &Arc<Network>,
        host: &'static str,
        store: Arc<dyn Store>,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        Self::run(network, host, Server::new(store, verifier()).runtime(runtime))
    }

    fn run(network: &Arc<Network>, host: &'static str, server: Server) -> Self {
        let doorway = network.listen(host);
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(async move {
            server.serve(doorway, async move { drop(stopped.await) }).await.unwrap();
        });
        let watcher = Wire::to(network, host);
        Self { network: Arc::clone(network), host, _stop: stop, watcher }
    }

    /// The numbers that the server shows.
    pub async fn metrics(&self) -> BTreeMap<String, f64> {
        let (url, headers) = ("http://test/metrics".to_owned(), Vec::new());
        let most_bytes = 1 << 20;
        let request = Request { method: Method::Get, url, headers, body: Vec::new(), most_bytes };
        let text = self.watcher.request(request).await.unwrap().body;
        let text = String::from_utf8(text).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pair = |line: &str| {
            let (name, number) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), number.parse().unwrap())
        };
        lines.map(pair).collect()
    }

    /// How many requests it has answered, but for those for its numbers.
    pub async fn answered(&self) -> f64 {
        let metrics = self.metrics().await;
        let counts = metrics.iter().filter(|(name, _)| name.starts_with("storex_requests_total"));
        counts.filter(|(name, _)| !name.contains("/metrics")).map(|(_, number)| number).sum()
    }

    /// A device of Ada's.
    pub async fn device(&self, seed: u64) -> Device {
        Device::new(&self.network, self.host, Arc::new(TestRuntime::new(seed))).await
    }
}

fn registry() -> Registry {
    let note = Definition::new("note").field("title", FieldType::String);
    let note = note.optional("stars", FieldType::Int);
    Registry::builder().collection(note).build().unwrap()
}

/// A device of Ada's: a database, and a way to the servers.
#[derive(Debug, Clone)]
pub struct Device {
    pub storage: Storage,
    pub wire: Arc<Wire>,
    backend: Arc<MemoryBackend>,
    runtime: Arc<dyn Runtime>,
    credentials: Arc<dyn Credentials>,
}

impl Device {
    pub async fn new(network: &Arc<Network>, host: &str, runtime: Arc<dyn Runtime>) -> Self {
        let backend = Arc::new(MemoryBackend::new());
        let storage = open(&backend, &runtime).await;
        let credentials = Arc::new(StaticToken(Token::new("ada")));
        Self { storage, wire: Wire::to(network, host), backend, runtime, credentials }
    }

    /// Another program on the same database, with a way of its own to the servers.
    pub async fn program(&self, network: &Arc<Network>, host: &str) -> Self {
        let storage = open(&self.backend, &self.runtime).await;
        Self { storage, wire: Wire::to(network, host), ..self.clone() }
    }

    pub fn credentials(self, credentials: Arc<dyn Credentials>) -> Self {
        Self { credentials, ..self }
    }

    pub fn client(&self) -> HttpClient {
        let (wire, runtime) = (Arc::clone(&self.wire), Arc::clone(&self.runtime));
        let client = HttpClient::new(wire, "http://test", runtime).unwrap();
        client.credentials(Arc::clone(&self.credentials))
    }

    pub async fn join(&self) -> Sync {
        let log = Arc::new(HttpSharedLog::new(self.client()));
        Sync::open(&self.storage, log).await.unwrap()
    }

    pub async fn sync_once(&self) -> storex_sync::SyncReport {
        self.join().await.sync_once().await.unwrap()
    }

    /// One whose timer does not matter.
    pub async fn builder(&self) -> ContinuousSyncBuilder {
        ContinuousSync::builder(self.join().await).intervals(LONG, LONG)
    }

    pub async fn start(&self) -> ContinuousSync {
        self.builder().await.start()
    }

    pub async fn note(&self, id: &str) {
        self.create(json!({"id": id, "title": "x"})).await;
    }

    pub async fn create(&self, note: Json) {
        self.storage.dynamic("note").unwrap().create(note).await.unwrap();
    }

    /// Adds to the number of a note.
    pub async fn count_up(&self, id: &str) {
        let notes = self.storage.dynamic("note").unwrap();
        notes.update(&json!({"id": id}), &json!({"stars": {"$inc": 1}})).await.unwrap();
    }

    pub async fn get(&self, id: &str) -> Option<Json> {
        self.storage.dynamic("note").unwrap().get(id).await.unwrap()
    }

    pub async fn count(&self) -> u64 {
        self.storage.count(Query::new("note")).await.unwrap()
    }

    pub async fn notes(&self) -> Vec<Record> {
        let mut notes = self.storage.find(Query::new("note")).await.unwrap();
        notes.sort_by_key(|note| note.get(0).as_text().map(str::to_owned));
        notes
    }
}

async fn open(backend: &Arc<MemoryBackend>, runtime: &Arc<dyn Runtime>) -> Storage {
    let storage = Storage::builder(Arc::clone(backend), registry(), Arc::clone(runtime));
    storage.middleware(AutoPk::new()).middleware(SyncLog::new()).open().await.unwrap()
}

/// All devices hold the same.
pub async fn assert_in_step(devices: &[&Device]) {
    let first = devices[0].notes().await;
    for (n, device) in devices.iter().enumerate().skip(1) {
        assert_eq!(device.notes().await, first, "device {n} differs from device 0");
    }
}

/// Everything that a log holds.
pub async fn everything(log: &dyn SharedSyncLog) -> Vec<SealedTransaction> {
    let (mut all, mut after) = (Vec::new(), Cursor::default());
    loop {
        let page = log.read(storex_sync::Device::NOBODY, &after, usize::MAX).await.unwrap();
        all.extend(page.transactions);
        if !page.more {
            return all;
        }
        after = page.cursor;
    }
}

/// Waits until that is so, and tells how long it took.
pub async fn until<F: Future<Output = bool>>(mut so: impl FnMut() -> F) -> Duration {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < LONG, "it never comes");
        sleep(SECOND / 100).await;
    }
    begun.elapsed()
}

//! Two servers with clocks of their own in front of one store, and devices whose clocks are wrong: no reader passes what comes later. On
//! PostgreSQL the same is in `tests/postgres/on_postgres/servers.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use storex_core::{Backend, Batch, BatchOutcome, Capabilities, Query, Record, Registry, Runtime};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_server::{BackendStore, Store};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::SECOND;
use crate::world::{Device, Fault, Network, Site, WrongClock, assert_in_step, let_run, until};

const HOUR: i64 = 3_600_000;
const EXCHANGE: &str = "/v1/log/exchange";

/// A database in memory that takes its time: what was asked of it waits in front of the transaction, and behind it.
#[derive(Debug, Default)]
struct SlowBackend {
    inner: MemoryBackend,
    random: Mutex<u64>,
    slow: bool,
    hold: Mutex<Option<(When, Hold)>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    Behind,
}

/// The next transaction tells that it is there, and waits until it is let go.
#[derive(Debug)]
struct Hold {
    holds: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

impl SlowBackend {
    async fn wait(&self) {
        if !self.slow {
            return;
        }
        let milliseconds = drawn(&self.random) % 300;
        sleep(Duration::from_millis(milliseconds)).await;
    }

    async fn hold(&self, when: When) {
        let held = self.hold.lock().unwrap().take_if(|(at, _)| *at == when);
        if let Some((_, Hold { holds, go_on })) = held {
            holds.send(()).unwrap();
            go_on.await.unwrap();
        }
    }

    /// Completes when the next transaction is held; sending lets it go.
    fn hold_next(&self, when: When) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let ((holds, held), (release, go_on)) = (oneshot::channel(), oneshot::channel());
        *self.hold.lock().unwrap() = Some((when, Hold { holds, go_on }));
        (held, release)
    }
}

#[async_trait]
impl Backend for SlowBackend {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open(&self, registry: Arc<Registry>) -> storex_core::Result<()> {
        self.inner.open(registry).await
    }

    async fn find(&self, query: Query) -> storex_core::Result<Vec<Record>> {
        self.wait().await;
        let found = self.inner.find(query).await;
        self.wait().await;
        found
    }

    async fn count(&self, query: Query) -> storex_core::Result<u64> {
        self.inner.count(query).await
    }

    async fn execute(&self, batch: Batch) -> storex_core::Result<BatchOutcome> {
        self.wait().await;
        self.hold(When::Before).await;
        let outcome = self.inner.execute(batch).await;
        self.hold(When::Behind).await;
        self.wait().await;
        outcome
    }

    async fn flush(&self) -> storex_core::Result<()> {
        self.inner.flush().await
    }

    async fn close(&self) -> storex_core::Result<()> {
        self.inner.close().await
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
fn drawn(state: &Mutex<u64>) -> u64 {
    let mut state = state.lock().unwrap();
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn clock(seed: u64, off: i64, rate: f64) -> Arc<dyn Runtime> {
    Arc::new(WrongClock::new(seed, off, rate))
}

/// Two servers; one is hours behind and slow, the other hours ahead and fast.
struct World {
    network: Arc<Network>,
    backend: Arc<SlowBackend>,
    _servers: [Site; 2],
}

impl World {
    async fn new(seed: u64, slow: bool) -> Self {
        let backend = SlowBackend { random: Mutex::new(seed), slow, ..SlowBackend::default() };
        let backend = Arc::new(backend);
        let runtime = Arc::new(TestRuntime::new(seed));
        let store = BackendStore::open(Arc::clone(&backend), runtime).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let network = Arc::default();
        let one =
            Site::beside(&network, "one", Arc::clone(&store), clock(seed + 1, -5 * HOUR, 0.9));
        let two = Site::beside(&network, "two", store, clock(seed + 2, 7 * HOUR, 1.2));
        Self { network, backend, _servers: [one, two] }
    }

    async fn device(&self, host: &str, clock: Arc<dyn Runtime>) -> Device {
        Device::new(&self.network, host, clock).await
    }
}

/// R1: B asks while there is nothing, and then A, whose clock is behind, brings something that is older than the question.
#[tokio::test(start_paused = true)]
async fn r1_what_is_older_by_its_clock_than_the_question_before_it_is_delivered() {
    for off in [-24 * HOUR, -500, 0, 500, 24 * HOUR] {
        let world = World::new(1, false).await;
        let a = world.device("one", clock(10, off, 1.0)).await;
        let b = world.device("two", clock(11, 0, 1.0)).await;
        for n in 0..5 {
            b.sync_once().await;
            a.note(&format!("{n}")).await;
            a.sync_once().await;
            assert_eq!(b.sync_once().await.received.transactions, 1, "off by {off}");
            assert!(b.get(&format!("{n}")).await.is_some());
        }
    }
}

/// R16: A's upload is under way at one server, in front of the transaction or behind it, while B asks at the other one, and C brings
/// something meanwhile.
#[tokio::test(start_paused = true)]
async fn r16_what_is_under_way_while_somebody_asks_is_delivered() {
    for when in [When::Before, When::Behind] {
        for off in [-3 * HOUR, 0, 3 * HOUR] {
            let world = World::new(1, false).await;
            let a = world.device("one", clock(10, off, 1.0)).await;
            let b = world.device("two", clock(11, 0, 1.0)).await;
            let c = world.device("two", clock(12, -off, 1.0)).await;
            for device in [&a, &b, &c] {
                device.sync_once().await;
            }
            for n in 0..3 {
                a.note(&format!("a{n}")).await;
                c.note(&format!("c{n}")).await;
                // What A asks for first may be a note that it was seen; that is held then, which is as well.
                let (held, release) = world.backend.hold_next(when);
                let sending = tokio::spawn({
                    let a = a.clone();
                    async move { a.sync_once().await }
                });
                held.await.unwrap();
                b.sync_once().await;
                c.sync_once().await;
                b.sync_once().await;
                release.send(()).unwrap();
                sending.await.unwrap();
                b.sync_once().await;
                for id in [format!("a{n}"), format!("c{n}")] {
                    assert!(b.get(&id).await.is_some(), "{id}, {when:?}, off by {off}");
                }
            }
            c.sync_once().await;
            assert_in_step(&[&a, &b, &c]).await;
        }
    }
}

/// Devices on either server see each other's edits live, whatever the clocks say: over a WebSocket, and where there is none.
#[tokio::test(start_paused = true)]
async fn devices_on_two_servers_see_each_others_edits_live() {
    use crate::world::Sockets;
    for sockets in [Sockets::Served, Sockets::Refused] {
        let world = World::new(1, false).await;
        let a = world.device("one", clock(10, -9 * HOUR, 0.95)).await;
        let b = world.device("two", clock(11, 9 * HOUR, 1.05)).await;
        for device in [&a, &b] {
            device.wire.sockets(sockets);
        }
        let (on_a, on_b) = (a.start().await, b.start().await);
        sleep(SECOND * 30).await;
        for n in 0..20 {
            let id = format!("{n}");
            let (from, to) = if n % 2 == 0 { (&a, &b) } else { (&b, &a) };
            from.note(&id).await;
            let took = until(async || to.get(&id).await.is_some()).await;
            assert!(took < SECOND, "{took:?}");
            sleep(SECOND * 13).await;
        }
        on_a.stop().await;
        on_b.stop().await;
    }
}

/// What happens at random.
#[derive(Debug, Clone, Copy)]
struct History {
    seed: u64,
    devices: usize,
    steps: u64,
}

/// Devices write and exchange at random, at either server, over ways that lose requests and answers, at a database that takes its time.
/// In the end everybody has everything: nobody's place has passed anything.
async fn nothing_is_missed(History { seed, devices: count, steps }: History) {
    let random = Mutex::new(seed);
    let world = World::new(seed, true).await;
    let mut devices = Vec::new();
    for n in 0..count as u64 {
        let off = (drawn(&random) % 48) as i64 * HOUR - 24 * HOUR;
        let rate = 0.8 + (drawn(&random) % 40) as f64 / 100.0;
        let host = if n % 2 == 0 { "one" } else { "two" };
        devices.push(world.device(host, clock(seed * 100 + n, off, rate)).await);
    }
    devices[0].create(json!({"id": "n", "title": "x", "stars": 0})).await;
    devices[0].sync_once().await;
    let (mut counted, mut written, mut under_way) = (0, 1, Vec::new());
    for step in 0..steps {
        let device = &devices[drawn(&random) as usize % count];
        match drawn(&random) % 10 {
            0..3 => {
                device.note(&format!("{step}")).await;
                written += 1;
            }
            3 if device.get("n").await.is_some() => {
                device.count_up("n").await;
                counted += 1;
            }
            4 => device.wire.lead_to(if drawn(&random).is_multiple_of(2) { "one" } else { "two" }),
            5 => {
                let fault = [Fault::Fail, Fault::LoseAnswer, Fault::Delay(SECOND * 3)];
                device.wire.script(EXCHANGE, [fault[drawn(&random) as usize % 3].clone()]);
            }
            6 => sleep(Duration::from_millis(drawn(&random) % 2000)).await,
            _ => {
                let device = device.clone();
                // It may fail, and be made again.
                let exchange = async move { device.join().await.sync_once().await.map(drop) };
                under_way.push(tokio::spawn(exchange));
            }
        }
        let_run().await;
    }
    for exchange in under_way {
        let _ = exchange.await.unwrap();
    }
    // Two exchanges each: one brings everything to the log, one from it.
    for _ in 0..2 {
        for device in &devices {
            let sync = device.join().await;
            let report = match sync.sync_once().await {
                Ok(report) => report,
                // What is left of the faults.
                Err(_) => until_through(&sync).await,
            };
            assert_eq!((report.incarnation, report.restored.is_some()), (None, false), "{seed}");
        }
    }
    for device in &devices {
        assert_eq!(device.count().await, written, "seed {seed}");
        assert_eq!(device.get("n").await.unwrap()["stars"], counted, "seed {seed}");
    }
    assert_in_step(&devices.iter().collect::<Vec<_>>()).await;
}

async fn until_through(sync: &storex_sync::Sync) -> storex_sync::SyncReport {
    loop {
        if let Ok(report) = sync.sync_once().await {
            return report;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r1_and_r16_at_random_with_two_servers_nothing_is_missed() {
    let seeds = if std::env::var_os("STOREX_LONG").is_some() { 1000 } else { 30 };
    for seed in 0..seeds {
        nothing_is_missed(History { seed, devices: 2 + seed as usize % 4, steps: 120 }).await;
    }
}

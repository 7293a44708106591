//! Whole servers on one database, with devices: clocks that are wrong, live edits, revocations, and a server that is killed.
#![allow(clippy::disallowed_methods)] // how long it takes is measured

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::json;
use storex_conformance::shared_log::LogHarness;
use storex_conformance::shared_log_conformance;
use storex_core::{
    AutoPk, BoxFuture, Definition, FieldType, Query, Registry, Runtime, Storage, Timestamp,
    TokioRuntime,
};
use storex_memory::MemoryBackend;
use storex_server::{
    Config, Identity, Limits, PostgresOptions, PostgresStore, Server, User, VerifyWith,
};
use storex_sync::engine::Backoff;
use storex_sync::http::{
    HttpClient, HttpSharedLog, HttpTransport, NativeTransport, Request, Response, Socket,
    StaticToken, Token,
};
use storex_sync::{ContinuousSync, Cursor, Phase, Result, SharedSyncLog, Sync, SyncError, SyncLog};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::support::{address, connect, device, empty_database, run, soon, unique};

/// The suite of all shared logs, over HTTP: each number is a user.
fn over_http() -> LogHarness {
    let serving = Arc::new(tokio::sync::OnceCell::new());
    LogHarness::in_memory(move |n| {
        let serving = Arc::clone(&serving);
        Box::pin(async move {
            let start = async || Serving::start(&address(), 0, 1.0).await;
            let serving: &Serving = serving.get_or_init(start).await;
            let by = Arc::new(NativeTransport::new().unwrap());
            let on = serving.threads.as_ref().unwrap().handle();
            let user = StaticToken(Token::new(format!("{}-{n}", unique())));
            let client = client(serving.address, by, on).credentials(Arc::new(user));
            Arc::new(HttpSharedLog::new(client)) as _
        })
    })
}

mod c51_over_http_on_postgres {
    use super::*;

    shared_log_conformance!(over_http);
}

/// No timer of a test is so long.
const LONG: Duration = Duration::from_secs(100_000);
const HOUR: i64 = 3_600_000;

/// A clock that is off by so many milliseconds, and of which so many seconds pass in one.
#[derive(Debug)]
struct WrongClock {
    on: Handle,
    since: Timestamp,
    off: i64,
    rate: f64,
}

impl WrongClock {
    fn new(on: &Handle, off: i64, rate: f64) -> Arc<Self> {
        Arc::new(Self { on: on.clone(), since: TokioRuntime.now(), off, rate })
    }
}

impl Runtime for WrongClock {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn now(&self) -> Timestamp {
        let passed = (TokioRuntime.now().0 - self.since.0) as f64 * self.rate;
        Timestamp(self.since.0 + self.off + passed as i64)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // Made there, or it is of a runtime that may be gone.
        let passing = duration.div_f64(self.rate);
        let sleeping = self.on.spawn(async move { TokioRuntime.sleep(passing).await });
        Box::pin(async move { drop(sleeping.await) })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.on.spawn(task);
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        TokioRuntime.fill_random(buffer);
    }
}

/// A server with threads, connections to the database, and a clock of its own. Dropped, it is gone as one that was killed.
struct Serving {
    address: SocketAddr,
    threads: Option<tokio::runtime::Runtime>,
}

impl Serving {
    async fn start(database: &str, off: i64, rate: f64) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let threads = builder.worker_threads(1).enable_all().build().unwrap();
        let clock = WrongClock::new(threads.handle(), off, rate);
        let database = database.to_owned();
        let (tell, told) = tokio::sync::oneshot::channel();
        threads.spawn(async move {
            let options = PostgresOptions::new(&database).unwrap().connections(6);
            let store = PostgresStore::open(&options, Arc::clone(&clock) as _).await.unwrap();
            let verifier = VerifyWith::new(|token| {
                Box::pin(async move { Ok(Identity::of(User::new(token)?)) })
            });
            let limits =
                Limits { requests_per_second: 100_000, burst: 100_000, ..Limits::default() };
            let server = Server::new(Arc::new(store), Arc::new(verifier)).runtime(clock);
            let server = server.config(Config { limits, ..Config::default() });
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            server.serve(listener, std::future::pending()).await.unwrap();
        });
        Self { address: told.await.unwrap(), threads: Some(threads) }
    }

    fn client(&self) -> HttpClient {
        client(self.address, Arc::new(NativeTransport::new().unwrap()), &Handle::current())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may not wait for its threads where another one runs.
        self.threads.take().unwrap().shutdown_background();
    }
}

fn client(address: SocketAddr, by: Arc<dyn HttpTransport>, on: &Handle) -> HttpClient {
    let client = HttpClient::new(by, &format!("http://{address}"), WrongClock::new(on, 0, 1.0));
    client.unwrap().credentials(Arc::new(StaticToken(Token::new("ada"))))
}

/// Something between that knows no WebSockets, and counts the requests for news.
#[derive(Debug)]
struct NoSockets(NativeTransport, Arc<AtomicUsize>);

#[async_trait]
impl HttpTransport for NoSockets {
    async fn request(&self, request: Request) -> Result<Response> {
        if request.url.contains("/v1/log/changed") {
            self.1.fetch_add(1, SeqCst);
        }
        self.0.request(request).await
    }

    async fn connect(&self, _: &str, _: &[&str]) -> Result<Socket> {
        Err(SyncError::Transport { during: "connecting", reason: "no WebSockets".to_owned() })
    }
}

/// A device of Ada's.
#[derive(Clone)]
struct Device {
    storage: Storage,
    log: Arc<HttpSharedLog>,
}

impl Device {
    async fn new(address: SocketAddr, by: Arc<dyn HttpTransport>, off: i64, rate: f64) -> Self {
        let note = Definition::new("note").field("title", FieldType::String);
        let note = note.optional("stars", FieldType::Int);
        let registry = Registry::builder().collection(note).build().unwrap();
        let on = Handle::current();
        let storage =
            Storage::builder(MemoryBackend::new(), registry, WrongClock::new(&on, off, rate));
        let storage = storage.middleware(AutoPk::new()).middleware(SyncLog::new()).open().await;
        let log = Arc::new(HttpSharedLog::new(client(address, by, &on)));
        Self { storage: storage.unwrap(), log }
    }

    async fn at(address: SocketAddr, off: i64, rate: f64) -> Self {
        Self::new(address, Arc::new(NativeTransport::new().unwrap()), off, rate).await
    }

    async fn join(&self) -> Sync {
        Sync::open(&self.storage, Arc::clone(&self.log) as _).await.unwrap()
    }

    /// Kept in step by news alone.
    async fn start(&self) -> ContinuousSync {
        let backoff = Backoff { first: Duration::from_millis(100), ..Backoff::default() };
        let builder = ContinuousSync::builder(self.join().await).intervals(LONG, LONG);
        builder.backoff(backoff).start()
    }

    async fn note(&self, id: &str) {
        let note = json!({"id": id, "title": "x", "stars": 0});
        self.storage.dynamic("note").unwrap().create(note).await.unwrap();
    }

    async fn has(&self, id: &str) -> bool {
        self.storage.dynamic("note").unwrap().get(id).await.unwrap().is_some()
    }

    /// Returns when that note is here.
    async fn gets(&self, id: &str) {
        let mut notes = self.storage.live(Query::new("note"));
        let arrived = async {
            while !self.has(id).await {
                notes.next().await.unwrap().unwrap();
            }
        };
        soon(arrived).await;
    }

    async fn count(&self) -> u64 {
        self.storage.count(Query::new("note")).await.unwrap()
    }
}

async fn in_step(sync: &ContinuousSync) {
    let mut status = sync.status();
    soon(status.wait_for(|it| it.in_step && it.unsent == 0)).await.unwrap();
}

/// Edits of either device at the other one, by turns: how long each took.
async fn edits(from: [&Device; 2], count: usize) -> Vec<Duration> {
    let mut took = Vec::new();
    for n in 0..count {
        let (a, b) = (from[n % 2], from[(n + 1) % 2]);
        let (id, begun) = (format!("live {n}"), Instant::now());
        a.note(&id).await;
        b.gets(&id).await;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took
}

/// A write is gathered for a tenth of a second, so an edit takes at least that.
#[test]
fn devices_on_two_servers_see_each_others_edits_live() {
    run(async {
        let database = empty_database().await;
        let one = Serving::start(&database, -5 * HOUR, 0.98).await;
        let two = Serving::start(&database, 7 * HOUR, 1.02).await;
        let a = Device::at(one.address, -2 * HOUR, 1.0).await;
        let b = Device::at(two.address, 3 * HOUR, 1.0).await;
        let polls = Arc::new(AtomicUsize::new(0));
        let no_sockets =
            || Arc::new(NoSockets(NativeTransport::new().unwrap(), Arc::clone(&polls)));
        let c = Device::new(one.address, no_sockets(), 0, 1.0).await;
        let d = Device::new(two.address, no_sockets(), HOUR, 1.0).await;
        let all = [a.start().await, b.start().await, c.start().await, d.start().await];
        for device in &all {
            in_step(device).await;
        }
        // Each of the two waits by a request.
        let polling = async {
            while polls.load(SeqCst) < 2 {
                tokio::task::yield_now().await;
            }
        };
        soon(polling).await;
        for (what, from) in [("a WebSocket", [&a, &b]), ("a long poll", [&c, &d])] {
            let took = edits(from, 20).await;
            let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
            println!("by {what} at another server: {median:?}, the slowest of 20 {slowest:?}");
            assert!(median < Duration::from_secs(1), "{took:?}");
            for device in all.iter().map(|it| it.sync()) {
                device.sync_once().await.unwrap();
            }
            // Their names are free again for the next two.
            let notes = from[0].storage.dynamic("note").unwrap();
            notes.delete(&json!({})).await.unwrap();
            for _ in 0..2 {
                for device in all.iter().map(|it| it.sync()) {
                    device.sync_once().await.unwrap();
                }
            }
        }
        for device in &all {
            device.stop().await;
        }
    });
}

#[test]
fn a_device_that_is_revoked_at_one_server_is_told_at_the_other() {
    run(async {
        let database = empty_database().await;
        let one = Serving::start(&database, 0, 1.0).await;
        let two = Serving::start(&database, 7 * HOUR, 1.02).await;
        let (a, b) = (Device::at(one.address, 0, 1.0).await, Device::at(two.address, 0, 1.0).await);
        let (on_a, on_b) = (a.start().await, b.start().await);
        in_step(&on_b).await;
        // That it listens is known when it is told of something.
        a.note("n").await;
        b.gets("n").await;
        in_step(&on_b).await;
        let lost = on_b.sync().device().await.unwrap();
        let begun = Instant::now();
        one.client().revoke(lost.id).await.unwrap();
        let mut status = on_b.status();
        soon(status.wait_for(|it| it.phase == Phase::NeedsLogin)).await.unwrap();
        println!("revoked at one server, told at the other after {:?}", begun.elapsed());
        b.note("not sent").await;
        let refused = on_b.sync_now().await.unwrap().unwrap_err();
        assert!(matches!(refused.cause(), SyncError::Unauthorized { .. }), "{refused:?}");
        let listed = two.client().devices().await.unwrap();
        let revoked: Vec<_> = listed.iter().filter(|it| it.revoked).map(|it| it.id).collect();
        assert_eq!(revoked, [lost.id]);
        a.note("m").await;
        in_step(&on_a).await;
        assert!(!a.has("not sent").await);
        on_a.stop().await;
        on_b.stop().await;
    });
}

/// A proxy in front of the servers: it leads who comes to one of them.
struct Front {
    address: SocketAddr,
    leads_to: Arc<Mutex<SocketAddr>>,
}

impl Front {
    async fn of(first: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let leads_to = Arc::new(Mutex::new(first));
        let to = Arc::clone(&leads_to);
        Handle::current().spawn(async move {
            loop {
                let (mut here, _) = listener.accept().await.unwrap();
                let to = *to.lock().unwrap();
                Handle::current().spawn(async move {
                    if let Ok(mut there) = TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                    }
                });
            }
        });
        Self { address, leads_to }
    }
}

#[test]
fn the_devices_of_a_server_that_is_killed_go_on_at_the_other_one() {
    run(async {
        let database = empty_database().await;
        let one = Serving::start(&database, -5 * HOUR, 0.98).await;
        let two = Serving::start(&database, 7 * HOUR, 1.02).await;
        let front = Front::of(one.address).await;
        let a = Device::at(front.address, 0, 1.0).await;
        let b = Device::at(front.address, HOUR, 1.0).await;
        let c = Device::at(two.address, -HOUR, 1.0).await;
        let all = [a.start().await, b.start().await, c.start().await];
        a.note("before").await;
        b.gets("before").await;
        c.gets("before").await;
        // Some of it is under way while the server dies.
        for n in 0..50 {
            [&a, &b][n % 2].note(&format!("meanwhile {n}")).await;
            if n == 25 {
                tokio::task::yield_now().await;
            }
        }
        let begun = Instant::now();
        drop(one);
        *front.leads_to.lock().unwrap() = two.address;
        for device in [&a, &b, &c] {
            for n in 0..50 {
                device.gets(&format!("meanwhile {n}")).await;
            }
        }
        println!("everything was everywhere {:?} after a server was killed", begun.elapsed());
        for n in 0..10 {
            let id = format!("later {n}");
            [&a, &b, &c][n % 3].note(&id).await;
            for device in [&a, &b, &c] {
                device.gets(&id).await;
            }
        }
        for (device, sync) in [&a, &b, &c].into_iter().zip(&all) {
            in_step(sync).await;
            assert_eq!(device.count().await, 61);
            sync.stop().await;
        }
    });
}

/// From now on each transaction of a log does this once its rows are written, before it is committed.
async fn at_each_append(client: &tokio_postgres::Client, what: &str) {
    let trigger = format!(
        "CREATE FUNCTION public.at_append() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN {what}; RETURN NULL; END $$;
        CREATE TRIGGER at_append AFTER INSERT ON storex.transaction
            FOR EACH ROW EXECUTE FUNCTION public.at_append();"
    );
    client.batch_execute(&trigger).await.unwrap();
}

/// R1 and R16: A's upload is inside its transaction at one server while B asks at the other one, and what C sends there waits behind it.
/// Nothing is passed, whatever the clocks of servers and devices say.
#[test]
fn r1_and_r16_what_is_not_committed_while_somebody_asks_is_delivered() {
    run(async {
        let database = empty_database().await;
        let one = Serving::start(&database, -5 * HOUR, 0.9).await;
        let two = Serving::start(&database, 7 * HOUR, 1.1).await;
        let holder = connect(&database).await;
        at_each_append(&holder, "PERFORM pg_advisory_xact_lock_shared(16)").await;
        for (round, off) in [-3 * HOUR, -500, 0, 3 * HOUR].into_iter().enumerate() {
            let a = Device::at(one.address, off, 1.0).await;
            let b = Device::at(two.address, 0, 1.0).await;
            let c = Device::at(two.address, -off, 1.0).await;
            for device in [&a, &b, &c] {
                device.join().await.sync_once().await.unwrap();
            }
            let (of_a, of_c) = (format!("a{round}"), format!("c{round}"));
            a.note(&of_a).await;
            c.note(&of_c).await;
            holder.execute("SELECT pg_advisory_lock(16)", &[]).await.unwrap();
            let exchange = |device: &Device| {
                let device = device.clone();
                Handle::current().spawn(async move { device.join().await.sync_once().await })
            };
            let sending = exchange(&a);
            waits(&holder, "locktype = 'advisory'").await;
            let behind = exchange(&c);
            waits(&holder, "locktype <> 'advisory'").await;
            for _ in 0..3 {
                let report = b.join().await.sync_once().await.unwrap();
                assert_eq!(report.received.transactions, 0, "nothing that is not committed");
            }
            assert!(!sending.is_finished() && !behind.is_finished());
            holder.execute("SELECT pg_advisory_unlock(16)", &[]).await.unwrap();
            for exchange in [sending, behind] {
                soon(exchange).await.unwrap().unwrap();
            }
            let report = b.join().await.sync_once().await.unwrap();
            assert_eq!(
                (report.received.transactions, report.incarnation),
                (2, None),
                "off by {off}"
            );
            assert!(b.has(&of_a).await && b.has(&of_c).await, "off by {off}");
        }
    });
}

/// Until somebody waits for such a lock.
async fn waits(client: &tokio_postgres::Client, condition: &str) {
    let waiting = format!(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND {condition}
            AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
    );
    let waits =
        async { while client.query_one(&waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {} };
    soon(waits).await;
}

/// Devices with wrong clocks write and exchange at two servers with wrong clocks, each transaction takes its time before it is committed,
/// and one reader follows each server. Nobody passes anything.
#[test]
fn r1_and_r16_at_random_with_two_servers_nothing_is_missed() {
    const DEVICES: u8 = 4;
    let rounds = if std::env::var_os("STOREX_LONG").is_some() { 300 } else { 25 };
    run(async move {
        let database = empty_database().await;
        let one = Serving::start(&database, -5 * HOUR, 0.9).await;
        let two = Serving::start(&database, 7 * HOUR, 1.1).await;
        let client = connect(&database).await;
        at_each_append(&client, "PERFORM pg_sleep(random() * 0.02)").await;
        let servers = [one.address, two.address];
        let mut devices = Vec::new();
        for n in 0..DEVICES {
            let off = i64::from(n) * 5 * HOUR - 8 * HOUR;
            let rate = 0.8 + f64::from(n) / 10.0;
            devices.push(Device::at(servers[usize::from(n) % 2], off, rate).await);
        }
        let mut tasks = Vec::new();
        for (n, device) in devices.iter().cloned().enumerate() {
            tasks.push(Handle::current().spawn(async move {
                let sync = device.join().await;
                for round in 0..rounds {
                    device.note(&format!("{n} {round}")).await;
                    let report = sync.sync_once().await.unwrap();
                    assert_eq!((report.incarnation, report.restored.is_some()), (None, false));
                }
            }));
        }
        for address in servers {
            let by = Arc::new(NativeTransport::new().unwrap());
            let log = HttpSharedLog::new(self::client(address, by, &Handle::current()));
            tasks.push(Handle::current().spawn(follow(log, u64::from(DEVICES) * rounds)));
        }
        for task in tasks {
            task.await.unwrap();
        }
        for device in &devices {
            device.join().await.sync_once().await.unwrap();
            assert_eq!(device.count().await, u64::from(DEVICES) * rounds);
        }
    });
}

/// Reads until everything has come, each device's in their order.
async fn follow(log: HttpSharedLog, all: u64) {
    let (mut cursor, mut last) = (Cursor::default(), HashMap::new());
    let reader = device(200);
    while last.values().sum::<u64>() < all {
        soon(log.changed(reader, &cursor)).await.unwrap();
        let page = log.read(reader, &cursor, 500).await.unwrap();
        for transaction in page.transactions {
            let before = last.insert(transaction.device, transaction.sequence).unwrap_or(0);
            assert_eq!(transaction.sequence, before + 1, "nothing is passed over");
        }
        cursor = page.cursor;
    }
}

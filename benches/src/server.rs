//! The server against a bare axum handler that writes the same rows, and what it takes for those who only wait.
//!
//! Each server is a process of its own with as many threads as the machine has processors; those who ask are one thread of this process,
//! on the same machine. Both have all their connections all the time, and are asked in turns.
#![allow(clippy::print_stderr)] // whoever runs it sees how far it is

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use storex_postgres_cluster::{Cluster, Durability, Programs, handed_over};
use storex_sync::Cursor;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::measure::Report;
use crate::server_client::{Client, Over, Work, watch};
use crate::server_side::{Kind, Side};

/// How many ask at once.
const USERS: [usize; 3] = [1, 8, 64];

/// What they ask, and how often in a turn for each number of users.
const WORKS: [(Work, &str, [usize; 3]); 4] = [
    (Work::Idle, "idle", [1000, 2000, 4096]),
    (Work::Append(1), "append_1", [500, 1000, 2048]),
    (Work::AcknowledgeAndAppend, "acknowledge_append_1", [500, 1000, 2048]),
    (Work::Append(50), "append_50", [100, 200, 448]),
];

/// A server, and who is connected to it.
struct Party {
    _side: Side,
    clients: Vec<Client>,
}

impl Party {
    async fn start(kind: Kind, place: &str) -> Self {
        let most = USERS[USERS.len() - 1];
        let side = Side::start(kind, place, most);
        let mut clients = Vec::new();
        for user in 0..most {
            let mut client = Client::open(side.address, user).await;
            // From here on each has a log.
            client.exchange(Work::Append(1)).await;
            clients.push(client);
        }
        Self { _side: side, clients }
    }

    /// How many transactions were appended.
    fn written(&self) -> u64 {
        self.clients.iter().map(Client::written).sum()
    }

    /// So many requests by so many users at once: how many seconds they took in all, and each.
    async fn turn(&mut self, work: Work, users: usize, requests: usize) -> (f64, Vec<f64>) {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for mut client in self.clients.drain(..users) {
            tasks.spawn(async move {
                let mut took = Vec::new();
                for _ in 0..requests / users {
                    took.push(client.exchange(work).await);
                }
                (client, took)
            });
        }
        let mut latencies = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (client, took) = done.unwrap();
            latencies.extend(took);
            self.clients.push(client);
        }
        (began.elapsed().as_secs_f64(), latencies)
    }
}

/// On SQLite.
pub async fn server_sqlite(report: &mut Report, rounds: usize, scale: usize) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let hand = Party::start(Kind::HandSqlite, &file("hand.db")).await;
    let ours = Party::start(Kind::Sqlite, &file("ours.db")).await;
    let written = compare(report, "sqlite", hand, ours, rounds, scale).await;
    let database = rusqlite::Connection::open(file("ours.db")).unwrap();
    // What is still beside the file comes into it.
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let size = std::fs::metadata(file("ours.db")).unwrap().len();
    report.figure("server_sqlite_bytes_per_entry", size as f64 / written as f64);
}

/// On PostgreSQL: that of `STOREX_TEST_POSTGRES`, or one of its own, which writes to the disk.
pub async fn server_postgres(report: &mut Report, rounds: usize, scale: usize) {
    let cluster;
    let address = match handed_over() {
        Some(address) => address,
        None => {
            let started = Programs::find().and_then(|it| Cluster::start(&it, Durability::Full));
            match started {
                Ok(started) => cluster = started,
                Err(why) => return eprintln!("server-postgres is not run: {why}"),
            }
            cluster.address().to_owned()
        }
    };
    let name = format!("bench_{}", std::process::id());
    // The last one counts.
    let place = format!("{address} dbname={name}");
    execute(&address, &format!("CREATE DATABASE {name}")).await;
    if ask(&address, "SELECT count(*) FROM pg_settings WHERE name = 'fsync' AND setting = 'on'")
        .await
        == 0
    {
        eprintln!("this PostgreSQL does not wait for the disk: its figures are no real ones");
    }
    let hand = Party::start(Kind::HandPostgres, &place).await;
    let ours = Party::start(Kind::Postgres, &place).await;
    let written = compare(report, "postgres", hand, ours, rounds, scale).await;
    let size = ask(&place, SIZE).await;
    report.figure("server_postgres_bytes_per_entry", size as f64 / written as f64);
    execute(&address, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

/// What the transactions take, with their indices.
const SIZE: &str = "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('storex.transaction') WHERE isleaf";

async fn connect(address: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn execute(address: &str, statement: &str) {
    connect(address).await.batch_execute(statement).await.unwrap();
}

async fn ask(address: &str, question: &str) -> i64 {
    connect(address).await.query_one(question, &[]).await.unwrap().get(0)
}

/// Tells how many transactions were appended to ours, which has stopped.
async fn compare(
    report: &mut Report,
    database: &str,
    mut hand: Party,
    mut ours: Party,
    rounds: usize,
    scale: usize,
) -> u64 {
    for round in 0..rounds {
        eprintln!("{database}: round {} of {rounds}", round + 1);
        for (work, name, counts) in WORKS {
            for (users, count) in USERS.into_iter().zip(counts) {
                let requests = (count / scale).next_multiple_of(users);
                let key = format!("server_{database}_{name}_by_{users}");
                // Whoever is first finds the machine as the other one has left it.
                let (by_hand, by_us) = if round % 2 == 0 {
                    let by_hand = hand.turn(work, users, requests).await;
                    (by_hand, ours.turn(work, users, requests).await)
                } else {
                    let by_us = ours.turn(work, users, requests).await;
                    (hand.turn(work, users, requests).await, by_us)
                };
                report.turn(key.clone(), requests, by_hand.0, by_us.0);
                report.latencies(key, by_hand.1, by_us.1);
            }
        }
    }
    ours.written()
}

/// What a connection takes that only waits: a WebSocket that watches, the same by TLS, and one that is kept between requests. And how
/// much of a processor the WebSockets take.
pub async fn server_memory(report: &mut Report, scale: usize) {
    let tls = Over::Tls(connector(), "first.example");
    for (key, kind, over, count) in [
        ("server_websocket_1000_kib", Kind::Sqlite, Over::Tcp, 1000 / scale),
        ("server_websocket_tls_1000_kib", Kind::SqliteTls, tls, 1000 / scale),
    ] {
        sockets(report, key, kind, over, count, None).await;
    }
    let processor = "server_websocket_microseconds_per_second";
    let key = "server_websocket_5000_kib";
    sockets(report, key, Kind::Sqlite, Over::Tcp, 5000 / scale, Some(processor)).await;
    connections(report, 1000 / scale).await;
}

fn connector() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let authority = include_bytes!("../../storex-server/tests/server/data/authority.pem");
    roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// A folder with what a server with TLS needs.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 2] = [
        ("cert.pem", include_bytes!("../../storex-server/tests/server/data/first.pem")),
        ("key.pem", include_bytes!("../../storex-server/tests/server/data/first.key.pem")),
    ];
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// Each is of a user of its own.
async fn sockets(
    report: &mut Report,
    key: &str,
    kind: Kind,
    over: Over,
    count: usize,
    processor: Option<&str>,
) {
    eprintln!("{count} WebSockets");
    let dir = folder();
    let side = Side::start(kind, dir.path().join("server.db").to_str().unwrap(), count);
    let alive = Arc::new(AtomicUsize::new(0));
    // What a first one brings into memory is there already.
    let first =
        tokio::spawn(watch(side.address, over.clone(), 0, Cursor::default(), Arc::default()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = side.memory();
    let mut tasks = JoinSet::new();
    for user in 0..count {
        tasks.spawn(watch(side.address, over.clone(), user, Cursor::default(), Arc::clone(&alive)));
        // No more of them at once than the system keeps for a server that has not taken them yet.
        if user % 50 == 49 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(120);
    while alive.load(Relaxed) < count {
        assert!(Instant::now() < deadline, "{} of {count}", alive.load(Relaxed));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    report.figure(key, (side.memory() - before) * 1024.0 / count as f64);
    if let Some(key) = processor {
        // As long as it takes until each device is noted anew.
        let (seconds, before) = (60.0, side.processor());
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        report.figure(key, (side.processor() - before) * 1e6 / seconds / count as f64);
    }
    first.abort();
    tasks.shutdown().await;
}

async fn connections(report: &mut Report, count: usize) {
    let dir = folder();
    let side = Side::start(Kind::Sqlite, dir.path().join("server.db").to_str().unwrap(), count);
    let mut first = Client::open(side.address, 0).await;
    first.exchange(Work::Append(1)).await;
    let before = side.memory();
    let mut clients = Vec::new();
    for user in 1..count {
        let mut client = Client::open(side.address, user).await;
        client.exchange(Work::Append(1)).await;
        clients.push(client);
    }
    report.figure("server_connection_1000_kib", (side.memory() - before) * 1024.0 / count as f64);
}

//! A server in a process of its own, and households of devices that do all that devices do, politely or not: what it has in memory does
//! not grow, and nothing is left when they are gone. `STOREX_LONG=1`: for ten minutes, with a line for each, in which a few bytes that are kept of each
//! request show; the short run would notice some hundreds of them.
#![cfg(all(target_os = "linux", feature = "sqlite"))] // that is where it can be seen what a process has in memory
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)] // these are tests
#![allow(clippy::disallowed_methods)] // what runs beside the server

#[path = "server/support/client.rs"]
#[allow(dead_code)]
mod client;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use storex_core::TokioRuntime;
use storex_server::{
    Config, Identity, Limits, Relay, Retention, Server, SqliteStore, Timeouts, Tokens, User,
};
use storex_sync::http::{device_text, wire};
use storex_sync::{Cursor, Device, LogRequest, Page, SealedTransaction};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use client::{Answer, Ask, Line};

/// Where the child keeps its file; without it, it is no child.
const FOLDER: &str = "STOREX_TEST_FOLDER";

const LAPTOP: Device = Device { id: [1; 16], incarnation: 0 };
const PHONE: Device = Device { id: [2; 16], incarnation: 0 };

const HOUSEHOLDS: usize = 12;

/// How often each household does something in one go.
const ROUNDS: u64 = 40;

/// How much more the server may have in the last third than in the first, in MiB. What it keeps is bounded by the number of users,
/// which stays; but SQLite's caches fill with the pages that are in use (16 MiB at most for the one who writes, 2 MiB for each of four
/// who read, of a file that stays as small as what is trimmed leaves it), and the allocator keeps what the largest moment so far has
/// needed: some bodies of 100 KB and frames of the relay more or less at once. 16 bytes of each request would be more in ten minutes.
const MARGIN: f64 = 8.0;

fn token(household: usize) -> String {
    format!("token-of-household-{household:04}")
}

async fn serve(folder: &Path) {
    let runtime = Arc::new(TokioRuntime);
    let store = SqliteStore::open(folder.join("server.db"), runtime).await.unwrap();
    let tokens = (0..HOUSEHOLDS).fold(Tokens::new(), |tokens, n| {
        let user = User::new(format!("household-{n}")).unwrap();
        tokens.with(&token(n), Identity::of(user)).unwrap()
    });
    let often = 1_000_000;
    let config = Config {
        limits: Limits { requests_per_second: often, burst: often, ..Limits::default() },
        timeouts: Timeouts { heartbeat: Duration::from_secs(5), ..Timeouts::default() },
        // Who waits alone is not waited for by us.
        relay: Relay { waits: Duration::from_secs(1), ..Relay::default() },
        retention: Retention { trim_every: Some(Duration::from_secs(1)), ..Retention::default() },
        ..Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("listens at {}", listener.local_addr().unwrap());
    let server = Server::new(Arc::new(store), Arc::new(tokens)).config(config);
    server.serve(listener, std::future::pending()).await.unwrap();
}

#[test]
#[ignore = "it is the process that the other test asks"]
fn the_process_that_serves() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.spawn(async move { serve(Path::new(&folder)).await });
    // Until the other one ends, in whatever way.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    runtime.shutdown_background();
}

/// The process that serves.
struct Serving {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Serving {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_serves", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            line.split_once("listens at ").map(|(_, address)| address.parse().unwrap())
        });
        Self { child, address: address.expect("the child serves"), _folder: folder }
    }

    /// What it has in memory, in MiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    async fn gauge(&self, name: &str) -> u64 {
        let answer = Ask::new(self.address, "GET", "/metrics").send().await;
        let text = String::from_utf8(answer.body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A laptop that writes and a phone that reads, of one user.
struct Household {
    address: SocketAddr,
    token: String,
    kept: Option<TcpStream>,
    /// The phone's.
    watch: Option<Line>,
    written: u64,
    laptop: Cursor,
    phone: Cursor,
    random: Random,
    /// How many seconds requests took.
    took: Vec<f64>,
}

impl Household {
    fn new(address: SocketAddr, number: usize) -> Self {
        Self {
            address,
            token: token(number),
            kept: None,
            watch: None,
            written: 0,
            laptop: Cursor::default(),
            phone: Cursor::default(),
            random: Random(number as u64),
            took: Vec::new(),
        }
    }

    async fn live(mut self) -> Self {
        for _ in 0..ROUNDS {
            self.write_and_read().await;
            for _ in 0..3 {
                let (device, read) = (PHONE, Some(self.phone.clone()));
                self.exchange(LogRequest { device, read, ..LogRequest::default() }).await;
            }
            match self.random.below(20) {
                0..4 => self.poll().await,
                4..6 => self.meet().await,
                6 => self.publish().await,
                7..9 => self.be_rude().await,
                // Without a word.
                9..11 => (self.watch, self.kept) = (None, None),
                11..13 => {
                    if let Some(watch) = self.watch.take() {
                        watch.close().await;
                    }
                }
                _ => {}
            }
        }
        // Nobody would answer its heartbeats until all the others are done.
        self.watch = None;
        self
    }

    /// On a connection that is kept.
    async fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Answer {
        let mut stream = match self.kept.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await.unwrap(),
        };
        let began = Instant::now();
        send(&mut stream, method, path, &self.token, body).await;
        let answer = answer(&mut stream).await;
        self.took.push(began.elapsed().as_secs_f64());
        self.kept = Some(stream);
        answer
    }

    async fn exchange(&mut self, request: LogRequest) -> Page {
        let body = wire::encode_request(&request).unwrap();
        let answer = self.ask("POST", "/v1/log/exchange", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        wire::decode_page(&answer.body).unwrap()
    }

    async fn write(&mut self) {
        let count = 1 + self.random.below(5);
        let transaction = |sequence| {
            let payload = vec![sequence as u8; 300];
            SealedTransaction { device: LAPTOP, sequence, payload }
        };
        let append = (self.written + 1..=self.written + count).map(transaction).collect();
        self.written += count;
        let place = Some(self.laptop.clone());
        let request =
            LogRequest { device: LAPTOP, acknowledge: place.clone(), append, read: place };
        self.laptop = self.exchange(request).await.cursor;
    }

    async fn read(&mut self) {
        let place = Some(self.phone.clone());
        let (device, acknowledge) = (PHONE, place.clone());
        let request = LogRequest { device, acknowledge, append: Vec::new(), read: place };
        let page = self.exchange(request).await;
        assert_eq!(page.transactions.last().map(|it| it.sequence), Some(self.written));
        self.phone = page.cursor;
    }

    /// The phone is told of what the laptop writes.
    async fn write_and_read(&mut self) {
        let place = json!({"device": device_text(PHONE), "after": hex(&self.phone)});
        if self.watch.is_none() {
            self.watch = Some(Line::open(self.address, "/v1/log/watch", Some(&self.token)).await);
        }
        if let Some(watch) = &mut self.watch {
            watch.say(place).await;
        }
        self.write().await;
        if let Some(watch) = &mut self.watch {
            while soon(watch.next()).await.expect("the watch is open") != r#"{"news":true}"# {}
        }
        self.read().await;
    }

    /// Long polls: one that is answered, and one that nobody waits for.
    async fn poll(&mut self) {
        let (device, after) = (device_text(PHONE), hex(&self.phone));
        let path = format!("/v1/log/changed?device={device}&after={after}&wait=50");
        let mut streams = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            send(&mut stream, "GET", &path, &self.token, b"").await;
            streams.push(stream);
        }
        streams.pop();
        self.write().await;
        let told = soon(answer(&mut streams[0])).await;
        assert_eq!(told.json(), json!({"changed": true}));
        self.read().await;
    }

    /// In a room, if there is one: both, or one that is alone and goes.
    async fn meet(&mut self) {
        let made = self.ask("POST", "/v1/rooms", b"").await;
        if made.json_code().as_deref() == Some("too_many_rooms") {
            return;
        }
        let room = format!("/v1/rooms/{}", made.json()["room"].as_str().unwrap());
        let Ok(mut one) = Line::try_open(self.address, &room, Some(&self.token)).await else {
            return;
        };
        // Unless it was waited for long enough.
        let _ = one.send_message(Message::binary(vec![1; 50_000])).await;
        if self.random.below(2) == 0 {
            return;
        }
        let Ok(mut other) = Line::try_open(self.address, &room, Some(&self.token)).await else {
            return;
        };
        if let Ok(heard) = soon(other.next()).await {
            assert_eq!(heard.len(), 50_000);
            let _ = other.send_message(Message::binary(vec![2; 50_000])).await;
            let _ = soon(one.next()).await;
        }
    }

    async fn publish(&mut self) {
        let (maker, number) = (device_text(LAPTOP), self.written);
        for page in 0..2 {
            let path = format!("/v1/snapshots/{maker}/{number}/pages/{page}");
            assert_eq!(self.ask("PUT", &path, &[3; 100_000]).await.status, 204);
        }
        let place = hex(&self.laptop);
        let form =
            json!({"maker": maker, "number": number.to_string(), "pages": 2, "place": place});
        let published = self.ask("POST", "/v1/snapshots", form.to_string().as_bytes()).await;
        assert_eq!(published.json(), json!({"published": true}));
    }

    async fn be_rude(&mut self) {
        assert_eq!(self.ask("POST", "/v1/log/exchange", b"rubbish").await.status, 400);
        let own = std::mem::replace(&mut self.token, "a-token-of-nobody".to_owned());
        assert_eq!(self.ask("GET", "/v1/devices", b"").await.status, 401);
        self.token = own;
        // Half a request.
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("authorization: Bearer {}\r\ncontent-length: 1000", self.token);
        let half = format!("POST /v1/log/exchange HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\nhalf");
        stream.write_all(half.as_bytes()).await.unwrap();
    }
}

async fn send(stream: &mut TcpStream, method: &str, path: &str, token: &str, body: &[u8]) {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
}

/// The next answer of a connection.
async fn answer(stream: &mut TcpStream) -> Answer {
    let mut received = Vec::new();
    loop {
        let count = stream.read_buf(&mut received).await.unwrap();
        assert!(count > 0, "the connection was closed: {received:?}");
        if let Some(answer) = Answer::parse(&received) {
            let length = answer.header("content-length").map_or(0, |it| it.parse().unwrap());
            if answer.body.len() >= length {
                return answer;
            }
        }
    }
}

/// What is awaited comes.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it comes soon")
}

fn hex(Cursor(bytes): &Cursor) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// So many of a hundred do not exceed it.
fn percentile(values: &mut [f64], per_cent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() * per_cent / 100]
}

#[tokio::test]
async fn what_the_server_has_in_memory_does_not_grow() {
    let long = std::env::var_os("STOREX_LONG").is_some_and(|long| !long.is_empty() && long != "0");
    let (periods, length) = if long { (10, Duration::from_secs(60)) } else { (6, Duration::ZERO) };
    let serving = Serving::start();
    let mut households: Vec<Household> =
        (0..HOUSEHOLDS).map(|number| Household::new(serving.address, number)).collect();
    let mut memory = Vec::new();
    for period in 0..periods {
        let began = Instant::now();
        loop {
            let lives: JoinSet<Household> = households.into_iter().map(Household::live).collect();
            households = lives.join_all().await;
            if began.elapsed() >= length {
                break;
            }
        }
        memory.push(serving.memory());
        let mut took: Vec<f64> = households.iter_mut().flat_map(|it| it.took.drain(..)).collect();
        let requests = took.len() as f64 / began.elapsed().as_secs_f64();
        println!(
            "{period}: {:.1} MiB, {requests:.0} requests/s, p50 {:.1} ms, p99 {:.1} ms",
            serving.memory(),
            percentile(&mut took, 50) * 1000.0,
            percentile(&mut took, 99) * 1000.0,
        );
    }
    let most = |of: &[f64]| of.iter().copied().fold(0.0, f64::max);
    let third = periods / 3;
    let (first, last) = (most(&memory[..third]), most(&memory[periods - third..]));
    assert!(last <= first + MARGIN, "{memory:?}");

    drop(households);
    let all_gone = async {
        loop {
            // The connection that asks is one.
            let connections = serving.gauge("storex_connections ").await - 1;
            let (sockets, rooms) =
                (serving.gauge("storex_sockets ").await, serving.gauge("storex_rooms ").await);
            if (connections, sockets, rooms) == (0, 0, 0) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    soon(all_gone).await;
}

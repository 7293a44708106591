//! An initial sync on SQLite: all that is sent is of one moment, and one that was cut goes on where it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
#![allow(clippy::disallowed_methods)] // other threads and another process run by the real clock

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use storex_core::{Batch, Changes, Filter, Query, Record, Storage, TokioRuntime};
use storex_e2e::place::Place;
use storex_e2e::process::{Process, text};
use storex_e2e::rng::Rng;
use storex_e2e::{block_on, schema, story};
use storex_sync::{Channel, InitialSync, InitialSyncReport, MemoryChannel, Result, SyncError};

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");

async fn open(path: &Path) -> Storage {
    schema::open_sqlite(path, Arc::new(TokioRuntime)).await.unwrap()
}

/// One end of a channel that breaks when so many frames, of both directions, were sent.
#[derive(Debug)]
struct Breaking {
    inner: MemoryChannel,
    left: Arc<AtomicU64>,
}

impl Breaking {
    fn pair(frames: u64) -> (Self, Self) {
        let (here, there) = MemoryChannel::pair();
        let left = Arc::new(AtomicU64::new(frames));
        (Self { inner: here, left: Arc::clone(&left) }, Self { inner: there, left })
    }
}

#[async_trait]
impl Channel for Breaking {
    async fn send(&mut self, frame: Vec<u8>) -> Result<()> {
        let one_less = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_err() {
            self.inner.close().await?;
            return Err(SyncError::Closed { during: "sending over a broken line" });
        }
        self.inner.send(frame).await
    }

    async fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        self.inner.recv().await
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.close().await
    }
}

/// Runs it with small pages. Whoever fails lets go of its end.
async fn run(
    from: &Storage,
    to: &Storage,
    ends: (Breaking, Breaking),
) -> (Result<InitialSyncReport>, Result<InitialSyncReport>) {
    let sender = InitialSync::open(from).await.unwrap().page(8);
    let receiver = InitialSync::open(to).await.unwrap().page(8);
    let (mut here, mut there) = ends;
    let send = async move { sender.send(&mut here).await };
    let receive = async move { receiver.receive(&mut there).await };
    tokio::join!(send, receive)
}

async fn objects(storage: &Storage) -> u64 {
    let mut objects = 0;
    for collection in ["member", "account", "doc"] {
        objects += storage.count(Query::new(collection)).await.unwrap();
    }
    objects
}

async fn contents(storage: &Storage) -> Vec<Vec<Record>> {
    let mut contents = Vec::new();
    for collection in ["member", "account", "doc"] {
        contents.push(storage.find(Query::new(collection)).await.unwrap());
    }
    contents
}

/// So many accounts, whose names are in order.
async fn furnish(storage: &Storage, accounts: usize) {
    let all: Vec<_> =
        (0..accounts).map(|n| json!({"name": format!("{n:05}"), "balance": 0})).collect();
    storage.dynamic("account").unwrap().create_many(&all).await.unwrap();
}

/// An application that changes two accounts at a time, of which one is sent long before the other. SQLite writes and reads on threads of its own.
#[tokio::test]
async fn transactions_are_seen_whole_while_others_write() {
    let place = Place::new();
    let (a, b) = (open(&place.a()).await, open(&place.b()).await);
    furnish(&a, 1500).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (a, is_over) = (a.clone(), Arc::clone(&is_over));
        async move {
            let mut n = 0_i64;
            while !is_over.load(Ordering::SeqCst) {
                n += 1;
                let set = || Changes::new().set("balance", n);
                let batch = Batch::new().update("account", Filter::key("00000"), set()).update(
                    "account",
                    Filter::key("01499"),
                    set(),
                );
                a.execute(batch).await.unwrap();
            }
            n
        }
    });
    let (sent, received) = run(&a, &b, Breaking::pair(u64::MAX)).await;
    let (sent, received) = (sent.unwrap(), received.unwrap());
    is_over.store(true, Ordering::SeqCst);
    let written = writer.await.unwrap();
    println!("{written} transactions meanwhile");
    assert_eq!((sent.total(), received.total()), (1500, 1500));
    let balance = async |name: &str| {
        let account = b.dynamic("account").unwrap().get(name).await.unwrap().unwrap();
        account["balance"].as_i64().unwrap()
    };
    assert_eq!(balance("00000").await, balance("01499").await);

    let log = story::open_log(&place).await;
    for _ in 0..2 {
        for device in [&a, &b] {
            story::sync(device, log.clone()).await.unwrap();
        }
    }
    assert_eq!(balance("00000").await, written);
    assert_eq!(contents(&a).await, contents(&b).await);
    assert!(story::sync(&b, log).await.unwrap().is_idle(), "nothing comes twice");
}

/// Cut, both databases closed and opened again with writes in between, and cut again, to the end.
#[tokio::test]
async fn it_goes_on_after_both_sides_were_opened_anew() {
    let place = Place::new();
    let (a, b) = (open(&place.a()).await, open(&place.b()).await);
    furnish(&a, 2000).await;
    a.dynamic("account").unwrap().delete(&json!({"name": {"$gte": "01990"}})).await.unwrap();
    a.close().await.unwrap();
    b.close().await.unwrap();
    let (mut runs, mut frames) = (0, 40);
    loop {
        let (a, b) = (open(&place.a()).await, open(&place.b()).await);
        let (all, there) = (objects(&a).await, objects(&b).await);
        frames += 90;
        let (sent, received) = run(&a, &b, Breaking::pair(frames)).await;
        if let (Ok(sent), Ok(received)) = (sent, received) {
            assert_eq!(contents(&a).await, contents(&b).await);
            // An edit between the runs, whose account was there already.
            assert_eq!(received.total(), all - there + 1, "of {all}, {there} were there");
            assert_eq!(sent.objects, received.objects);
            break;
        }
        runs += 1;
        assert!(runs < 40, "it does not come to an end");
        assert!(objects(&b).await > there, "it goes on");
        let edit = json!({"balance": runs});
        a.dynamic("account").unwrap().update(&json!({"name": "00001"}), &edit).await.unwrap();
        a.close().await.unwrap();
        b.close().await.unwrap();
    }
    println!("{runs} cuts");
    assert!(runs > 1);
}

/// The receiver is killed at any moment: what is there, and how far it is, are one transaction.
#[test]
fn after_a_kill_exactly_the_rest_is_sent() {
    let mut in_the_middle = 0;
    for seed in 1..=12_u64 {
        let place = Place::new();
        block_on(async {
            let b = open(&place.b()).await;
            furnish(&b, 1200).await;
            b.close().await.unwrap();
        });
        let mut child = Process::start(CHILD, &["receive", text(place.path()), "8"]);
        assert!(child.wait_for("opened"));
        // Of some 150 pages.
        let mut rng = Rng::new(seed);
        for _ in 0..rng.below(100) {
            child.wait_for("page");
        }
        std::thread::sleep(Duration::from_micros(rng.below(4000)));
        child.kill();
        let killed = child.was_killed();
        block_on(async {
            let (a, b) = (open(&place.a()).await, open(&place.b()).await);
            let there = objects(&a).await;
            println!("{there} were there, killed: {killed}");
            in_the_middle += u32::from(0 < there && there < 1200);
            let (_, received) = run(&b, &a, Breaking::pair(u64::MAX)).await;
            let received = received.unwrap().total();
            assert_eq!(contents(&a).await, contents(&b).await);
            // Without a kill in time it was through, and is done once more.
            assert!(received == 1200 - there || there == 1200, "{received}, {there} were there");
        });
    }
    assert!(in_the_middle > 3, "{in_the_middle} kills in the middle");
}

//! C64: a live link. (C51, one suite for all implementations, is `tests/conformance` and `tests/e2e/tests/shared_logs.rs`.)

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use storex_sync::{
    ContinuousSync, Cursor, Device as Id, LogId, Member, MemorySharedLog, Page, Result,
    SealedTransaction, SharedSyncLog, Trimmed,
};
use tokio::time::{Instant, sleep};

use crate::support::{Device, assert_in_step, count, settle, shared_log};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(100_000);

#[tokio::test(start_paused = true)]
async fn c64_a_write_is_with_the_others_within_a_second() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let on_a = ContinuousSync::start(a.join(&log).await, LONG);
    let on_b = ContinuousSync::start(b.join(&log).await, LONG);
    sleep(SECOND).await;
    let mut arrivals = b.storage.changes();
    for n in 0..10 {
        let written = Instant::now();
        a.note(&format!("{n}"), "x").await;
        arrivals.next().await.unwrap();
        assert!(written.elapsed() < SECOND, "{:?}", written.elapsed());
        sleep(SECOND * 7).await;
    }
    assert_in_step(&[&a, &b]).await;
    on_a.stop().await;
    on_b.stop().await;
}

/// Answers some reads with a page of an earlier place, and never says that there is something.
#[derive(Debug)]
struct Stale(Arc<MemorySharedLog>, std::sync::Mutex<u32>);

#[async_trait]
impl SharedSyncLog for Stale {
    async fn register(&self, device: Id) -> Result<LogId> {
        self.0.register(device).await
    }

    async fn append(&self, all: &[SealedTransaction]) -> Result<()> {
        self.0.append(all).await
    }

    async fn read(&self, reader: Id, after: &Cursor, limit: usize) -> Result<Page> {
        let number = {
            let mut number = self.1.lock().unwrap();
            *number += 1;
            *number
        };
        // Every third answer is about the beginning.
        let after = if number.is_multiple_of(3) { &Cursor::default() } else { after };
        self.0.read(reader, after, limit).await
    }

    async fn acknowledge(&self, reader: Id, cursor: &Cursor) -> Result<()> {
        self.0.acknowledge(reader, cursor).await
    }

    /// A socket that is open and says nothing.
    async fn changed(&self, _: Id, _: &Cursor) -> Result<()> {
        std::future::pending().await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.0.members().await
    }

    async fn dismiss(&self, device: Id) -> Result<bool> {
        self.0.dismiss(device).await
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        self.0.reidentify(known).await
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.0.trim().await
    }
}

/// What comes from a place that this device has left behind changes nothing, and what follows is applied; a link that is silent is
/// made up for by the timer. (A request without an answer is given up: `c64_each_request_has_a_deadline`.)
#[tokio::test(start_paused = true)]
async fn c64_an_answer_about_an_earlier_place_does_no_harm_and_silence_is_noticed() {
    let log = shared_log();
    let stale = Arc::new(Stale(Arc::clone(&log), std::sync::Mutex::default()));
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "x", "stars": 0})).await;
    settle(&[&a, &b], &log).await;
    let continuous = ContinuousSync::start(b.join(&stale).await, 10 * SECOND);
    for n in 1..=20 {
        a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
        a.note(&format!("{n}"), "x").await;
        a.sync(&log).await;
        sleep(21 * SECOND).await;
        assert_eq!(b.get("note", "n").await.unwrap()["stars"], n);
        assert_eq!(count(&b, "note").await, 1 + n);
    }
    continuous.stop().await;
    assert_in_step(&[&a, &b]).await;
}

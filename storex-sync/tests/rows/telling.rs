//! C52: what waits, what arrives and what cannot be applied, for whoever listens; and those who break down.

use std::time::Duration;

use serde_json::json;
use storex_core::ChangeEvent;
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    Conflict, ContinuousSync, Decision, ObjectWrite, PassingEntry, SyncEvent, SyncHooks, SyncLog,
    Verdict,
};
use tokio::time::sleep;

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, assert_in_step, larger_schema, open, schema, settle, shared_log};

const SECOND: Duration = Duration::from_secs(1);

/// The outbox, the inbox and the dead letters are seen to grow and to shrink, by everybody who looks.
#[tokio::test(start_paused = true)]
async fn c52_what_is_added_to_the_queues_and_removed_from_them_is_told() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::with(2, larger_schema()).await);
    let continuous = ContinuousSync::start(a.join(&scripted).await, 5 * SECOND);
    sleep(SECOND).await;
    let (mut one, mut other) = (continuous.status(), continuous.status());
    let mut arrivals = a.storage.changes();
    scripted.script(Call::Append, [Fault::Fail]);
    a.note("1", "x").await;
    assert_eq!(one.wait_for(|it| it.unsent == 1).await.unwrap().parked, 0);
    assert_eq!(other.wait_for(|it| it.unsent == 1).await.unwrap().parked, 0);
    one.wait_for(|it| it.unsent == 0).await.unwrap();
    other.wait_for(|it| it.unsent == 0).await.unwrap();
    b.note("2", "x").await;
    b.create("extra", json!({"id": "e", "text": "not known to A"})).await;
    b.sync(&log).await;
    one.wait_for(|it| it.parked == 1).await.unwrap();
    other.wait_for(|it| it.parked == 1).await.unwrap();
    let mut arrived = 0;
    while let Some(event) = arrivals.try_next() {
        if let ChangeEvent::Changed(set) = event {
            arrived += set.changes.iter().filter(|it| &*it.collection == "note").count();
        }
    }
    assert_eq!(arrived, 2, "A's own and B's");
    let parked = storex_sync::parked(&a.storage).await.unwrap();
    let write = storex_sync::WriteId { device: parked[0].device, sequence: parked[0].sequence };
    continuous.sync().discard(write).await.unwrap();
    one.wait_for(|it| it.parked == 0).await.unwrap();
    other.wait_for(|it| it.parked == 0).await.unwrap();
    continuous.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c52_a_listener_that_panics_disturbs_nobody() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let continuous = ContinuousSync::start(a.join(&log).await, 5 * SECOND);
    let (mut breaks, mut listens) = (continuous.events(), continuous.events());
    let breaks = tokio::spawn(async move {
        breaks.next().await;
        panic!("on purpose");
    });
    a.note("1", "x").await;
    sleep(SECOND).await;
    assert!(breaks.await.unwrap_err().is_panic());
    a.note("2", "x").await;
    sleep(SECOND).await;
    let mut sent = 0;
    while sent < 2 {
        if let Some(SyncEvent::Exchanged(report)) = listens.next().await {
            sent += report.sent_transactions;
        }
    }
    continuous.stop().await;
    b.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
}

/// Panics at one of the places where the application is asked, about one note.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Breaks {
    Sending,
    Receiving,
    Applying,
    Deciding,
}

impl Breaks {
    fn at(self, place: Self, key: &str) {
        assert!(self != place || !key.contains("bad"), "on purpose");
    }
}

impl SyncHooks for Breaks {
    fn before_send(&self, entry: &mut PassingEntry<'_>) -> Verdict {
        self.at(Self::Sending, entry.key.as_text().unwrap());
        Verdict::Pass
    }

    fn after_receive(&self, entry: &mut PassingEntry<'_>) -> Verdict {
        self.at(Self::Receiving, entry.key.as_text().unwrap());
        Verdict::Pass
    }

    fn before_apply(&self, write: &ObjectWrite<'_>) -> Result<(), String> {
        self.at(Self::Applying, write.key.as_text().unwrap());
        Ok(())
    }

    fn on_conflict(&self, conflict: &Conflict) -> Decision {
        self.at(Self::Deciding, &format!("{:?}", conflict.key));
        Decision::Leave
    }
}

/// A function of the application that panics is told as an error, and sync is still there.
#[tokio::test(start_paused = true)]
async fn c52_a_hook_that_panics_does_not_end_sync() {
    for breaks in [Breaks::Sending, Breaks::Receiving, Breaks::Applying, Breaks::Deciding] {
        let log = shared_log();
        let (runtime, backend) =
            (std::sync::Arc::new(TestRuntime::new(1)), std::sync::Arc::new(MemoryBackend::new()));
        let storage = open(&backend, &runtime, schema(), SyncLog::new().hooks(breaks)).await;
        let (a, b) = (Device { runtime, backend, storage }, Device::new(2).await);
        b.note("bad one", "before").await;
        b.sync(&log).await;
        let continuous = ContinuousSync::start(a.join(&log).await, 5 * SECOND);
        sleep(SECOND).await;
        if breaks == Breaks::Deciding {
            b.retitle("bad one", "by B").await;
            b.sync(&log).await;
            a.retitle("bad one", "by A").await;
        } else {
            a.note("a bad one", "of A").await;
        }
        sleep(SECOND).await;
        b.note("a good one", "of B").await;
        b.sync(&log).await;
        sleep(60 * SECOND).await;
        assert!(continuous.sync_now().await.is_some(), "{breaks:?}: it is still there");
        if breaks != Breaks::Sending {
            assert!(a.title("a good one").await.is_some(), "{breaks:?}: the others flow");
        }
        continuous.stop().await;
        // With a program that does not break, everything comes to its place.
        let a = a.reopened(schema()).await;
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
    }
}

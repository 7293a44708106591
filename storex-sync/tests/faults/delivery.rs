//! Nothing is passed over, nothing is delivered twice, whatever the clocks and the network do.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use storex_sync::{Cursor, Limits, LogId, SharedSyncLog, Sync};

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, assert_in_step, count, dump_all, log_of, settle, shared_log};

#[tokio::test(start_paused = true)]
async fn l01_client_clocks_do_not_decide_what_was_seen() {
    let log = shared_log();
    let reader = Device::skewed(1, 100_000).await;
    let writer = Device::new(2).await;
    assert!(reader.sync(&log).await.is_idle());
    writer.note("n", "from a slow clock").await;
    writer.sync(&log).await;
    reader.sync(&log).await;
    reader.sync(&log).await;
    assert_eq!(reader.title("n").await.as_deref(), Some("from a slow clock"));
}

#[tokio::test(start_paused = true)]
async fn r01_an_upload_with_a_clock_half_a_second_behind_the_poll_arrives() {
    let log = shared_log();
    let (a, b) = (Device::skewed(1, -500).await, Device::new(2).await);
    b.sync(&log).await;
    a.note("n", "late").await;
    a.sync(&log).await;
    b.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(count(&b, "note").await, 1);
}

/// B has read an empty page; before it notes where it is, A's upload gets in.
#[tokio::test(start_paused = true)]
async fn l02_what_is_written_between_an_empty_read_and_its_mark_arrives() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("n", "between").await;
    let (other, other_log) = (a.clone(), Arc::clone(&log));
    scripted.after(Call::Read, move || {
        let (other, other_log) = (other.clone(), Arc::clone(&other_log));
        async move { drop(other.sync(&other_log).await) }
    });
    assert_eq!(b.sync(&scripted).await.received.transactions, 0);
    assert_eq!(log.len(), 1, "A's upload got in between");
    b.sync(&scripted).await;
    assert_eq!(b.title("n").await.as_deref(), Some("between"));
}

#[tokio::test(start_paused = true)]
async fn r16_what_is_under_way_while_another_device_polls_arrives() {
    let log = shared_log();
    let slow = ScriptedLog::new(&log);
    slow.script(Call::Append, [Fault::Delay(Duration::from_secs(30))]);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("n", "in flight").await;
    let poll = async {
        for _ in 0..10 {
            assert!(b.sync(&log).await.is_idle());
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(a.sync(&slow), poll);
    b.sync(&log).await;
    assert_eq!(b.title("n").await.as_deref(), Some("in flight"));
}

#[tokio::test(start_paused = true)]
async fn l03_two_writers_with_the_same_clock_both_arrive() {
    let log = shared_log();
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    a.note("a", "first").await;
    a.sync(&log).await;
    c.sync(&log).await;
    b.note("b", "second, same millisecond").await;
    b.sync(&log).await;
    c.sync(&log).await;
    assert_eq!(log_of(&c).await, []);
    assert_eq!(count(&c, "note").await, 2);
}

/// Small pages, answers lost, acknowledgements out of order: everything is applied, and once.
#[tokio::test(start_paused = true)]
async fn l04_the_watermark_never_goes_back() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..10 {
        a.note(&format!("n{n}"), "x").await;
    }
    a.sync(&log).await;
    let sync = b.join(&scripted).await.limits(Limits { bytes: 1, transactions: 1 });
    sync.sync_once().await.unwrap();
    let delivered: Vec<u64> =
        scripted.delivered().iter().flat_map(|(_, page)| page).map(|it| it.sequence).collect();
    assert_eq!(delivered, (1..=10).collect::<Vec<_>>(), "each once, in order");

    // A late acknowledgement of an earlier page changes nothing.
    let device = sync.device().await.unwrap();
    scripted.acknowledge(device, &Cursor(1_u64.to_be_bytes().to_vec())).await.unwrap();
    assert!(sync.sync_once().await.unwrap().is_idle());
    assert_eq!(scripted.delivered().last().unwrap().1, []);
}

/// While one page is sent, more is written, with a clock that was set back: none of it is taken for sent.
#[tokio::test(start_paused = true)]
async fn l05_what_was_never_sent_is_never_taken_for_sent() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..4 {
        a.note(&format!("n{n}"), "before").await;
    }
    let writer = a.clone();
    scripted.after(Call::Append, move || {
        let writer = writer.clone();
        async move {
            writer.runtime.advance(-3_600_000);
            writer.note("late", "written while the page was under way").await;
        }
    });
    // The second page fails, so that what is marked as sent can be seen.
    scripted.script(Call::Append, [Fault::None, Fault::Fail]);
    let sync = a.join(&scripted).await.limits(Limits { bytes: usize::MAX, transactions: 2 });
    sync.sync_once().await.unwrap_err();
    assert_eq!(sync.unsent().await.unwrap(), 3, "two were sent, two and the late one were not");
    sync.sync_once().await.unwrap();
    assert_eq!(sync.unsent().await.unwrap(), 0);
    b.sync(&log).await;
    assert_eq!(count(&b, "note").await, 5);
    assert_in_step(&[&a, &b]).await;
}

/// The answer to the append is lost, so the same is sent again; the log passes it over, and so does the receiver.
#[tokio::test(start_paused = true)]
async fn l21_redelivery_changes_nothing() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "x", "stars": 1})).await;
    a.update("note", json!({}), json!({"stars": {"$inc": 1}})).await;
    scripted.script(Call::Append, [Fault::DropAnswer, Fault::Duplicate]);
    let sync = a.join(&scripted).await;
    sync.sync_once().await.unwrap_err();
    assert_eq!((log.len(), sync.unsent().await.unwrap()), (2, 2));
    sync.sync_once().await.unwrap();
    assert_eq!((log.len(), sync.unsent().await.unwrap()), (2, 0));

    // The receiver applies, but the log never hears of it; then the same page comes once more.
    let again = Again { inner: ScriptedLog::new(&log) };
    again.inner.script(Call::Acknowledge, [Fault::Fail]);
    let again = Arc::new(again);
    let receiver = b.join(&again).await;
    receiver.sync_once().await.unwrap_err();
    assert_eq!(b.get("note", "n").await.unwrap()["stars"], 2);
    b.update("note", json!({}), json!({"title": "edited on B"})).await;
    let before = dump_all(&b).await;
    let report = receiver.sync_once().await.unwrap();
    assert_eq!((report.received.transactions, report.received.parked), (0, 0));
    assert_eq!(b.title("n").await.as_deref(), Some("edited on B"));
    assert_eq!(dump_all(&b).await["_storex_clock"], before["_storex_clock"]);
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
}

/// A log whose reads begin at the beginning, whatever the cursor.
#[derive(Debug)]
struct Again {
    inner: Arc<ScriptedLog>,
}

#[async_trait::async_trait]
impl SharedSyncLog for Again {
    async fn register(&self, device: storex_sync::Device) -> storex_sync::Result<LogId> {
        self.inner.register(device).await
    }

    async fn append(&self, all: &[storex_sync::SealedTransaction]) -> storex_sync::Result<()> {
        self.inner.append(all).await
    }

    async fn read(
        &self,
        reader: storex_sync::Device,
        _after: &Cursor,
        limit: usize,
    ) -> storex_sync::Result<storex_sync::Page> {
        self.inner.read(reader, &Cursor::default(), limit).await
    }

    async fn acknowledge(
        &self,
        reader: storex_sync::Device,
        cursor: &Cursor,
    ) -> storex_sync::Result<()> {
        self.inner.acknowledge(reader, cursor).await
    }

    async fn members(&self) -> storex_sync::Result<Vec<storex_sync::Member>> {
        self.inner.members().await
    }

    async fn dismiss(&self, device: storex_sync::Device) -> storex_sync::Result<bool> {
        self.inner.dismiss(device).await
    }

    async fn reidentify(
        &self,
        known: storex_sync::LogId,
    ) -> storex_sync::Result<storex_sync::LogId> {
        self.inner.reidentify(known).await
    }

    async fn trim(&self) -> storex_sync::Result<storex_sync::Trimmed> {
        self.inner.trim().await
    }
}

/// A device that reads for the first time after others have written gets everything from the beginning.
#[tokio::test(start_paused = true)]
async fn l22_a_new_device_has_no_gap() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::skewed(2, 1_000_000).await);
    a.note("1", "before B").await;
    a.sync(&log).await;
    crate::support::pump(&a, &b).await;
    a.note("2", "after the initial sync, before B's first exchange").await;
    a.sync(&log).await;
    let report = b.sync(&log).await;
    assert_eq!(report.received.transactions, 1, "only what is new");
    assert_in_step(&[&a, &b]).await;
}

/// Local writes, receptions and failures of every request, interleaved: nothing is lost, nothing twice.
#[tokio::test(start_paused = true)]
async fn c10_every_request_may_fail_before_or_after_it_was_carried_out() {
    let calls = [Call::Register, Call::Append, Call::Read, Call::Acknowledge];
    for call in calls {
        for fault in [Fault::Fail, Fault::DropAnswer, Fault::Duplicate] {
            let log = shared_log();
            let scripted = ScriptedLog::new(&log);
            let (a, b) = (Device::new(1).await, Device::new(2).await);
            b.note("b", "from B").await;
            b.sync(&log).await;
            a.create("note", json!({"id": "a", "title": "from A", "stars": 0})).await;
            let sync: Sync = a.join(&scripted).await;
            if call == Call::Read {
                // Else it is part of the request that sends.
                sync.sync_once().await.unwrap();
            }
            scripted.script(call, [fault]);
            let first = sync.sync_once().await;
            assert_eq!(first.is_err(), fault != Fault::Duplicate, "{call:?} {fault:?}");
            a.update("note", json!({"id": "a"}), json!({"stars": {"$inc": 1}})).await;
            sync.sync_once().await.unwrap();
            b.sync(&log).await;
            assert_in_step(&[&a, &b]).await;
            assert_eq!(log.len(), 3, "{call:?} {fault:?}");
            assert_eq!(b.get("note", "a").await.unwrap()["stars"], 1);
        }
    }
}

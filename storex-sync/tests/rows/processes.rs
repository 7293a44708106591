//! C. One database, several programs. What needs real processes is in `tests/e2e`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use storex_core::{
    AutoPk, Batch, BoxFuture, ChangeEvent, Origin, Query, Runtime, Storage, Timestamp,
};
use storex_memory::TestRuntime;
use storex_sync::engine::Triggers;
use storex_sync::{
    Brief, ContinuousSync, Exclusive, LeaseTimes, LogId, MemorySharedLog, Sync, SyncLog, WhenBusy,
};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, assert_in_step, count, schema, settle, shared_log};

const SECOND: Duration = Duration::from_secs(1);

/// Two programs without a lock read the same page at the same time; one of them is killed between reading and committing.
#[tokio::test(start_paused = true)]
async fn c38_what_two_programs_fetch_at_once_is_applied_once() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "x", "stars": 0})).await;
    settle(&[&a, &b], &log).await;
    for killed in [false, true] {
        let before = b.get("note", "n").await.unwrap()["stars"].as_i64().unwrap();
        a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
        a.sync(&log).await;
        let scripted = ScriptedLog::new(&log);
        scripted.script(Call::Read, [Fault::Delay(SECOND); 2]);
        let other = b.reopened(schema()).await;
        let (one, other) = (b.join(&scripted).await, other.join(&scripted).await);
        let other = async {
            let exchange = other.sync_once();
            if killed {
                tokio::time::timeout(SECOND / 2, exchange).await.ok()
            } else {
                Some(exchange.await)
            }
        };
        let (one, other) = tokio::join!(one.sync_once(), other);
        let applied = one.unwrap().received.transactions
            + other.map_or(0, |it| it.unwrap().received.transactions);
        assert_eq!(applied, 1);
        assert_eq!(b.get("note", "n").await.unwrap()["stars"], before + 1);
    }
    assert_in_step(&[&a, &b]).await;
}

/// A program that is woken for a moment receives ten rows while the main one is away; that one shows them when it is back, without
/// being opened again.
#[tokio::test(start_paused = true)]
async fn c40_what_another_program_has_received_is_shown_by_the_main_one() {
    let log = shared_log();
    let (a, main) = (Device::new(1).await, Device::new(2).await);
    let mut live = main.storage.live(Query::new("note"));
    assert_eq!(live.next().await.unwrap().unwrap().len(), 0);
    for n in 0..10 {
        a.note(&format!("{n}"), "x").await;
    }
    a.sync(&log).await;
    let extension = main.reopened(schema()).await;
    let brief = Brief { within: 3 * SECOND, when_busy: WhenBusy::ReceiveOnly };
    extension.join(&log).await.sync_briefly(brief).await.unwrap();
    main.storage.suspend().await.unwrap();
    main.storage.resume().await.unwrap();
    assert_eq!(live.next().await.unwrap().unwrap().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn c45_three_databases_in_one_program_know_nothing_of_each_other() {
    let mut databases = Vec::new();
    for n in 1..=3_u8 {
        let log = Arc::new(MemorySharedLog::new(LogId([n; 16])));
        let (here, there) = (Device::new(u64::from(n)).await, Device::new(u64::from(n) + 10).await);
        let sync = ContinuousSync::start(here.join(&log).await, 5 * SECOND);
        databases.push((here, there, log, sync));
    }
    for stopped in 0..=3 {
        for (n, (here, there, log, _)) in databases.iter().enumerate() {
            let id = format!("of {n} with {stopped} stopped");
            here.note(&id, "x").await;
            sleep(SECOND).await;
            there.sync(log).await;
            assert_eq!(there.title(&id).await.is_some(), n >= stopped, "{id}");
        }
        if let Some((.., sync)) = databases.get(stopped) {
            sync.stop().await;
        }
    }
    for (here, there, log, _) in &databases {
        settle(&[here, there], log).await;
        assert_in_step(&[here, there]).await;
        assert_eq!(count(here, "note").await, 4, "and nothing of the others");
    }
}

#[tokio::test(start_paused = true)]
async fn c47_changes_are_told_behind_the_commit_and_only_then() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let mut changes = a.storage.changes();
    a.note("n", "x").await;
    let Some(ChangeEvent::Changed(set)) = changes.try_next() else { panic!("it was committed") };
    assert_eq!((&*set.changes[0].collection, set.changes[0].keys.len()), ("note", 1));
    assert_eq!(set.origin, Origin::Local);
    // One that is given up in its last step is never told of.
    let fails = Batch::new()
        .create("note", vec![crate::support::note_record("m")])
        .create("note", vec![crate::support::note_record("n")]);
    a.storage.execute(fails).await.unwrap_err();
    assert_eq!(changes.try_next(), None);
    b.note("b", "x").await;
    b.sync(&log).await;
    a.sync(&log).await;
    let Some(ChangeEvent::Changed(set)) = changes.try_next() else { panic!("it was applied") };
    assert_eq!((&*set.changes[0].collection, set.origin), ("note", Origin::Sync));
}

/// The programs that write never speak to the one that syncs, and nothing wakes that one but its timer.
#[tokio::test(start_paused = true)]
async fn c49_without_any_signal_a_write_goes_out_at_the_next_poll() {
    let log = shared_log();
    let (a, reader) = (Device::new(1).await, Device::new(2).await);
    let tab = a.reopened(schema()).await;
    let sync = a.join(&log).await;
    let poll = 10 * SECOND;
    let continuous = ContinuousSync::builder(sync)
        .triggers(Triggers { timer: true, startup: true, ..Triggers::MANUAL })
        .intervals(poll, poll)
        .start();
    sleep(SECOND).await;
    for n in 0..3 {
        tab.note(&format!("{n}"), "by another tab").await;
        sleep(poll - SECOND / 2).await;
        reader.sync(&log).await;
        sleep(SECOND).await;
        reader.sync(&log).await;
        assert!(reader.title(&format!("{n}")).await.is_some());
    }
    continuous.stop().await;
}

/// What the operating system gives a process: when it is killed, nothing of it goes on.
#[derive(Debug)]
struct Mortal {
    inner: Arc<TestRuntime>,
    tasks: Mutex<Option<Vec<AbortHandle>>>,
}

impl Mortal {
    fn kill(&self) {
        for task in self.tasks.lock().unwrap().take().unwrap() {
            task.abort();
        }
    }
}

impl Runtime for Mortal {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if let Some(tasks) = &mut *self.tasks.lock().unwrap() {
            tasks.push(tokio::spawn(task).abort_handle());
        }
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        self.inner.fill_random(buffer);
    }
}

/// The one that syncs is killed in the middle of a push, with its lease; another delivers the rest when the lease has ended.
#[tokio::test(start_paused = true)]
async fn c50_what_was_being_pushed_is_delivered_by_another() {
    let times = LeaseTimes { lasts: 5 * SECOND, renewed: SECOND };
    let log = shared_log();
    let stuck = ScriptedLog::new(&log);
    stuck.script(Call::Append, [Fault::Delay(1000 * SECOND)]);
    let a = Device::new(1).await;
    let tasks = Mutex::new(Some(Vec::new()));
    let mortal = Arc::new(Mortal { inner: Arc::clone(&a.runtime), tasks });
    let killed = Storage::builder(
        Arc::clone(&a.backend),
        schema().build().unwrap(),
        Arc::clone(&mortal) as _,
    );
    let killed = killed.middleware(AutoPk::new()).middleware(SyncLog::new()).open().await.unwrap();
    let lease = Exclusive::lease(&killed, times).await.unwrap();
    let sync = Sync::open(&killed, Arc::clone(&stuck) as _).await.unwrap().exclusive(lease);
    let _first = ContinuousSync::start(sync, 10 * SECOND);
    sleep(SECOND).await;
    let lease = Exclusive::lease(&a.storage, times).await.unwrap();
    let second = ContinuousSync::start(a.join(&log).await.exclusive(lease), 10 * SECOND);
    let notes = killed.dynamic("note").unwrap();
    notes.create(json!({"id": "1", "title": "being pushed"})).await.unwrap();
    sleep(SECOND).await;
    assert_eq!(stuck.count(Call::Append), 1, "it is under way");
    a.note("2", "by the one that stands by").await;
    mortal.kill();
    sleep(3 * SECOND).await;
    assert_eq!(log.len(), 0, "not before the lease has ended");
    sleep(5 * SECOND).await;
    assert_eq!(log.len(), 2);
    second.stop().await;
}

//! What the status says, and that it is true.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use storex_core::{
    AutoPk, Backend, Batch, BatchOutcome, Capabilities, Query, Record, Registry, Storage,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{ContinuousSync, Phase, Sync, SyncEvent, SyncLog};
use tokio::time::sleep;

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, assert_in_step, count, open, schema, shared_log};
use crate::{INTERVAL, LONG, SECOND, builder, exchanged, let_run};

/// Looks at every status while devices write, requests fail and connections go: "in step" is never said with something
/// to send.
#[tokio::test(start_paused = true)]
async fn c69_in_step_is_true_whenever_it_is_said() {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let (device, other) = (Device::new(1).await, Device::new(2).await);
    let (connection, online) = tokio::sync::watch::channel(true);
    let short = builder(&device, &log).await.intervals(SECOND, SECOND);
    let continuous = short.online(online).start();
    let mut status = continuous.status();
    let watcher = {
        let (device, log) = (device.clone(), Arc::clone(&log));
        let id = device.join(&log).await.device().await.unwrap();
        tokio::spawn(async move {
            let (mut said, mut all) = (0, 0);
            while status.changed().await.is_ok() {
                let now = status.borrow_and_update().clone();
                all += 1;
                if now.in_step {
                    said += 1;
                    assert_eq!((now.unsent, now.last_error), (0, None));
                    assert_eq!(count(&device, "_storex_log").await, 0);
                    let delivered = log.delivered();
                    let last = delivered.iter().rev().find(|(to, _)| *to == id);
                    assert!(last.is_none_or(|(_, page)| page.is_empty() || log.place(id) > 0));
                }
            }
            (said, all)
        })
    };
    for n in 0..60_u64 {
        device.note(&format!("{n}"), "x").await;
        match n % 6 {
            0 => log.script(Call::Append, [Fault::Fail]),
            1 => log.script(Call::Read, [Fault::DropAnswer]),
            2 => {
                other.note(&format!("other {n}"), "x").await;
                other.sync(&inner).await;
            }
            3 => connection.send(n % 4 == 3).unwrap(),
            4 => log.script(Call::Append, [Fault::Delay(SECOND / 3)]),
            _ => {}
        }
        sleep(Duration::from_millis(70 + 37 * (n % 11))).await;
    }
    connection.send(true).unwrap();
    log.heal();
    sleep(SECOND * 20).await;
    assert!(continuous.status().borrow().in_step, "in the end it is");
    other.sync(&inner).await;
    assert_in_step(&[&device, &other]).await;
    continuous.stop().await;
    let (said, all) = watcher.await.unwrap();
    assert!(said > 5 && all > said, "{said} of {all}");
}

#[tokio::test(start_paused = true)]
async fn c69_the_phases_of_an_exchange_are_told() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    device.note("n", "x").await;
    log.script(Call::Append, [Fault::Delay(SECOND)]);
    log.script(Call::Read, [Fault::Delay(SECOND)]);
    let continuous = builder(&device, &log).await.start();
    let phase = || continuous.status().borrow().phase;
    let_run().await;
    assert_eq!(phase(), Phase::Sending);
    sleep(SECOND).await;
    assert_eq!(phase(), Phase::Receiving);
    assert!(!continuous.status().borrow().in_step, "it has not read to the end");
    sleep(SECOND).await;
    assert_eq!(phase(), Phase::Waiting);
    assert!(continuous.status().borrow().in_step);
    let next = continuous.status().borrow().next_attempt;
    assert!(next.is_some());
    continuous.stop().await;
    assert_eq!((phase(), continuous.status().borrow().in_step), (Phase::Stopped, false));
}

#[tokio::test(start_paused = true)]
async fn c71_error_and_success_are_remembered_over_restarts() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let continuous = builder(&device, &log).await.start();
    let_run().await;
    let success = continuous.status().borrow().last_success.unwrap();
    sleep(SECOND * 100).await;
    log.script(Call::Append, [Fault::Fail; 100]);
    device.note("n", "x").await;
    device.note("m", "x").await;
    sleep(SECOND * 5).await;
    continuous.stop().await;
    let before = continuous.status().borrow().clone();
    assert!(before.last_error.as_deref().unwrap().contains("lost"));

    let storage = open(&device.backend, &device.runtime, schema(), SyncLog::new()).await;
    let device = Device { storage, ..device };
    let (_connection, online) = tokio::sync::watch::channel(false);
    let continuous = builder(&device, &log).await.online(online).start();
    let_run().await;
    let after = continuous.status().borrow().clone();
    assert_eq!(after.last_error, before.last_error);
    assert_eq!(after.last_error_at, before.last_error_at);
    assert_eq!((after.last_success, before.last_success), (Some(success), Some(success)));
    assert_eq!((after.unsent, count(&device, "_storex_log").await), (2, 2));
    continuous.stop().await;

    // Healed: that is remembered too.
    log.heal();
    let continuous = builder(&device, &log).await.start();
    exchanged(&continuous).await;
    continuous.stop().await;
    let (_connection, online) = tokio::sync::watch::channel(false);
    let continuous = builder(&device, &log).await.online(online).start();
    let_run().await;
    let healed = continuous.status().borrow().clone();
    assert_eq!((healed.last_error, healed.last_error_at, healed.unsent), (None, None, 0));
    assert!(healed.last_success > Some(success));
    continuous.stop().await;
}

/// With nothing to do, the database is left alone too.
#[tokio::test(start_paused = true)]
async fn an_idle_exchange_writes_at_most_once_a_minute() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let continuous = ContinuousSync::start(device.join(&log).await, SECOND);
    let remembered = || async {
        let row = device.storage.find(storex_core::Query::new("_storex_meta")).await.unwrap();
        row.into_iter().find(|row| row.get(0).as_text() == Some("sync_status")).unwrap()
    };
    let_run().await;
    let first = remembered().await;
    sleep(SECOND * 50).await;
    assert_eq!(remembered().await, first);
    sleep(SECOND * 20).await;
    assert_ne!(remembered().await, first);
    continuous.stop().await;
}

/// An observer that does not listen, or is gone, disturbs nobody; one that is slow misses the oldest.
#[tokio::test(start_paused = true)]
async fn events_reach_everybody_who_listens() {
    let log = ScriptedLog::new(&shared_log());
    let (device, other) = (Device::new(1).await, Device::new(2).await);
    device.note("n", "here").await;
    other.note("n", "there").await;
    other.sync(&log).await;
    let continuous = builder(&device, &log).await.intervals(INTERVAL, INTERVAL).start();
    let (mut slow, mut quick) = (continuous.events(), continuous.events());
    drop(continuous.events());
    let Some(SyncEvent::Exchanged(report)) = quick.next().await else { panic!("an exchange") };
    assert_eq!(report.sent_transactions, 1);
    assert!(report.received.conflicts.iter().any(|it| it.field.as_deref() == Some("title")));
    for _ in 0..1000 {
        exchanged(&continuous).await;
    }
    assert!(matches!(slow.next().await, Some(SyncEvent::Exchanged(report)) if report.is_idle()));
    continuous.stop().await;
}

/// A database that takes a second to note what is remembered of the status.
#[derive(Debug)]
struct Slow(MemoryBackend);

#[async_trait]
impl Backend for Slow {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn open(&self, registry: Arc<Registry>) -> storex_core::Result<()> {
        self.0.open(registry).await
    }

    async fn find(&self, query: Query) -> storex_core::Result<Vec<Record>> {
        self.0.find(query).await
    }

    async fn count(&self, query: Query) -> storex_core::Result<u64> {
        self.0.count(query).await
    }

    async fn execute(&self, batch: Batch) -> storex_core::Result<BatchOutcome> {
        if format!("{batch:?}").contains("\"status\"") {
            sleep(SECOND).await;
        }
        self.0.execute(batch).await
    }

    async fn flush(&self) -> storex_core::Result<()> {
        self.0.flush().await
    }

    async fn close(&self) -> storex_core::Result<()> {
        self.0.close().await
    }
}

#[tokio::test(start_paused = true)]
async fn c69_what_is_written_while_the_status_is_noted_is_known_at_once() {
    let runtime = Arc::new(TestRuntime::new(1));
    let registry = schema().build().unwrap();
    let storage = Storage::builder(Slow(MemoryBackend::new()), registry, Arc::clone(&runtime) as _)
        .middleware(AutoPk::new())
        .middleware(SyncLog::new());
    let storage = storage.open().await.unwrap();
    let sync = Sync::open(&storage, shared_log()).await.unwrap();
    let continuous = ContinuousSync::builder(sync).intervals(LONG, LONG).start();
    exchanged(&continuous).await;
    sleep(SECOND * 5).await;
    let in_step = || continuous.status().borrow().in_step;
    assert!(in_step());
    // Long enough for the status to be noted anew, although there was nothing to do.
    runtime.advance(3_600_000);
    let write = async {
        sleep(SECOND / 2).await;
        assert!(in_step(), "the note is being written");
        let note = json!({"id": "n", "title": "x"});
        storage.dynamic("note").unwrap().create(note).await.unwrap();
        let_run().await;
        assert!(!in_step(), "there is something to be sent");
    };
    tokio::join!(exchanged(&continuous), write);
    sleep(SECOND * 5).await;
    assert!(in_step(), "it was sent");
    continuous.stop().await;
}

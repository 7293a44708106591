//! D. What goes wrong on the way: poison, a log that forgets, a database that refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use storex_core::{
    AutoPk, Backend, Batch, BatchOutcome, Capabilities, Error, ErrorKind, Query, Record, Registry,
    Storage,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{ContinuousSync, SharedSyncLog, Sync, SyncLog, Transaction};

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, assert_in_step, count, parked_count, schema, settle, shared_log};

const SECOND: Duration = Duration::from_secs(1);

/// One of a thousand transactions cannot be read by anybody.
#[tokio::test(start_paused = true)]
async fn c57_of_a_thousand_with_one_that_is_invalid_all_others_arrive() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..1000 {
        a.note(&format!("{n}"), "x").await;
    }
    let from = shared_log();
    a.sync(&from).await;
    let nobody = storex_sync::Device { id: [9; 16], incarnation: 0 };
    let page = from.read(nobody, &storex_sync::Cursor::default(), usize::MAX).await.unwrap();
    let mut all = page.transactions;
    let bad = &mut all[499];
    assert!(Transaction::decode(&bad.payload).is_ok());
    bad.payload.truncate(bad.payload.len() - 1);
    let number = bad.sequence;
    log.append(&all).await.unwrap();
    let report = b.sync(&log).await;
    assert_eq!((report.received.transactions, report.received.parked), (999, 1));
    assert_eq!(count(&b, "note").await, 999);
    let parked = storex_sync::parked(&b.storage).await.unwrap();
    assert_eq!((parked.len(), parked[0].sequence), (1, number));
    assert!(b.sync(&log).await.is_idle(), "it holds up nothing later either");
}

/// The log forgets the device between two requests of one exchange, and once more between two exchanges.
#[tokio::test(start_paused = true)]
async fn c61_a_log_that_forgets_the_device_gets_everything_and_nothing_twice() {
    for call in [Call::Append, Call::Read, Call::Acknowledge] {
        let log = shared_log();
        let scripted = ScriptedLog::new(&log);
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        a.create("note", json!({"id": "n", "title": "x", "stars": 0})).await;
        settle(&[&a, &b], &log).await;
        b.note("b", "of B").await;
        b.sync(&log).await;
        for _ in 0..10 {
            a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
        }
        let sync = a.join(&scripted).await;
        let device = sync.device().await.unwrap();
        let forgetful = Arc::clone(&log);
        scripted.before(call, move || {
            let log = Arc::clone(&forgetful);
            async move { assert!(log.dismiss(device).await.is_ok()) }
        });
        let few = storex_sync::Limits { bytes: usize::MAX, transactions: 3 };
        let sync = sync.limits(few);
        // Whether it is noticed in this exchange or not: the next one needs no help.
        let _ = sync.sync_once().await;
        log.dismiss(device).await.unwrap();
        a.note("later", "x").await;
        sync.sync_once().await.unwrap();
        settle(&[&b, &a], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(b.get("note", "n").await.unwrap()["stars"], 10);
        assert_eq!(log.len(), 1 + 1 + 10 + 1);
        let members = log.members().await.unwrap();
        assert!(members.iter().any(|it| it.device == device), "it is known again");
    }
}

/// Fails at the n-th access.
#[derive(Debug, Default)]
struct Faulty {
    inner: MemoryBackend,
    /// 0: not at all.
    at: AtomicUsize,
    kind: std::sync::Mutex<Option<ErrorKind>>,
}

impl Faulty {
    fn fail_at(&self, access: usize, kind: ErrorKind) {
        *self.kind.lock().unwrap() = Some(kind);
        self.at.store(access, Ordering::SeqCst);
    }

    /// Whether it failed since.
    fn heal(&self) -> bool {
        self.at.swap(0, Ordering::SeqCst) == 0
    }

    fn access(&self) -> storex_core::Result<()> {
        let before = self.at.load(Ordering::SeqCst);
        if before == 0 {
            return Ok(());
        }
        self.at.store(before - 1, Ordering::SeqCst);
        if before > 1 {
            return Ok(());
        }
        Err(Error::Backend {
            backend: "faulty",
            operation: "access",
            collection: None,
            kind: self.kind.lock().unwrap().unwrap(),
            hint: "on purpose".to_owned(),
            source: "on purpose".into(),
        })
    }
}

#[async_trait]
impl Backend for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open(&self, registry: Arc<Registry>) -> storex_core::Result<()> {
        self.inner.open(registry).await
    }

    async fn find(&self, query: Query) -> storex_core::Result<Vec<Record>> {
        self.access()?;
        self.inner.find(query).await
    }

    async fn count(&self, query: Query) -> storex_core::Result<u64> {
        self.access()?;
        self.inner.count(query).await
    }

    async fn execute(&self, batch: Batch) -> storex_core::Result<BatchOutcome> {
        self.access()?;
        self.inner.execute(batch).await
    }

    async fn flush(&self) -> storex_core::Result<()> {
        self.access()?;
        self.inner.flush().await
    }

    async fn close(&self) -> storex_core::Result<()> {
        self.inner.close().await
    }
}

/// A transaction that the browser has aborted (`Other`), a quota or disk that is full, a database that is busy, a disk that fails:
/// at each access of an exchange. Nothing is lost or half done, and the next exchange goes through.
#[tokio::test(start_paused = true)]
async fn c79_a_database_that_fails_at_any_access_loses_nothing() {
    for kind in [ErrorKind::Other, ErrorKind::Full, ErrorKind::Busy, ErrorKind::Io] {
        for access in 1.. {
            let log = shared_log();
            let b = Device::new(2).await;
            b.create("note", json!({"id": "n", "title": "x", "stars": 0})).await;
            b.sync(&log).await;
            let backend = Arc::new(Faulty::default());
            let runtime = Arc::new(TestRuntime::new(1));
            let registry = schema().build().unwrap();
            let storage = Storage::builder(Arc::clone(&backend), registry, runtime);
            let storage = storage.middleware(AutoPk::new()).middleware(SyncLog::new());
            let storage = storage.open().await.unwrap();
            let sync = Sync::open(&storage, log.clone()).await.unwrap();
            sync.sync_once().await.unwrap();
            b.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 2}})).await;
            b.note("b", "of B").await;
            b.sync(&log).await;
            let notes = storage.dynamic("note").unwrap();
            notes.update(&json!({"id": "n"}), &json!({"stars": {"$inc": 1}})).await.unwrap();

            backend.fail_at(access, kind);
            let result = sync.sync_once().await;
            if !backend.heal() {
                assert!(access > 8, "{access} accesses are too few to tell");
                break;
            }
            // What was busy is tried again in the storage already.
            if let Err(error) = result {
                assert_eq!(error.kind(), kind, "access {access}: {error}");
            } else {
                assert_eq!(kind, ErrorKind::Busy, "access {access}");
            }
            sync.sync_once().await.unwrap();
            b.sync(&log).await;
            assert_eq!(notes.get("n").await.unwrap().unwrap()["stars"], 3, "{kind:?} {access}");
            assert_eq!(b.get("note", "n").await.unwrap()["stars"], 3, "{kind:?} {access}");
            assert_eq!(notes.count(&json!({})).await.unwrap(), 2);
            assert_eq!((sync.unsent().await.unwrap(), parked_count(&b).await), (0, 0));
            let here = sync.digest().await.unwrap();
            assert_eq!(here, b.join(&log).await.digest().await.unwrap(), "{kind:?} {access}");
        }
    }
}

/// It is told while it lasts, and mends itself.
#[tokio::test(start_paused = true)]
async fn c79_a_full_disk_is_told_and_sync_goes_on_when_there_is_room() {
    let log = shared_log();
    let (backend, runtime) = (Arc::new(Faulty::default()), Arc::new(TestRuntime::new(1)));
    let registry = schema().build().unwrap();
    let storage = Storage::builder(Arc::clone(&backend), registry, runtime);
    let storage = storage.middleware(SyncLog::new()).open().await.unwrap();
    let notes = storage.dynamic("note").unwrap();
    notes.create(json!({"id": "1", "title": "x"})).await.unwrap();
    let sync = Sync::open(&storage, log.clone()).await.unwrap();
    backend.fail_at(4, ErrorKind::Full);
    let continuous = ContinuousSync::start(sync, Duration::from_secs(60));
    let mut status = continuous.status();
    let told = status.wait_for(|it| it.last_error.is_some()).await.unwrap().clone();
    assert!(told.last_error.unwrap().contains("on purpose") && !told.in_step);
    let done = status.wait_for(|it| it.in_step).await.unwrap().clone();
    assert_eq!((done.last_error, done.unsent, log.len()), (None, 0, 1));
    continuous.stop().await;
}

/// A device whose requests are all lost for a while has its writes in their order afterwards. 100,000 writes in the check.
#[tokio::test(start_paused = true)]
async fn c67_what_a_log_does_not_take_waits_in_the_database_and_goes_out_in_order() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let limits = storex_sync::Limits { bytes: 20_000, transactions: 50 };
    scripted.script(Call::Append, [Fault::Fail; 20]);
    let continuous = ContinuousSync::start(a.join(&scripted).await.limits(limits), SECOND);
    for n in 0..1000 {
        a.note(&format!("{n:04}"), "x").await;
        if n % 100 == 0 {
            tokio::time::sleep(SECOND).await;
        }
    }
    continuous.status().wait_for(|it| it.in_step).await.unwrap();
    continuous.stop().await;
    assert!(scripted.appended().iter().all(|it| it.len() <= 50), "memory is that of a request");
    let nobody = storex_sync::Device { id: [9; 16], incarnation: 0 };
    let page = log.read(nobody, &storex_sync::Cursor::default(), usize::MAX).await.unwrap();
    let numbers: Vec<u64> = page.transactions.iter().map(|it| it.sequence).collect();
    assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
    b.join(&log).await.limits(limits).sync_once().await.unwrap();
    assert_in_step(&[&a, &b]).await;
}

/// Dead letters outlive a restart, and are gone with the log that they came from.
#[tokio::test(start_paused = true)]
async fn c58_dead_letters_outlive_a_restart_and_go_when_the_log_is_left() {
    let log = shared_log();
    let (a, b) = (Device::with(1, crate::support::larger_schema()).await, Device::new(2).await);
    a.create("extra", json!({"id": "1", "text": "B does not know this"})).await;
    a.sync(&log).await;
    b.sync(&log).await;
    let before = storex_sync::parked(&b.storage).await.unwrap();
    assert_eq!(before.len(), 1);
    let b = b.reopened(schema()).await;
    assert_eq!(storex_sync::parked(&b.storage).await.unwrap(), before);
    b.join(&log).await.sign_out().await.unwrap();
    assert_eq!(parked_count(&b).await, 0);
}

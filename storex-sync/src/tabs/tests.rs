//! What needs no browser: that a tab is connected again, and that a sync is started with its first client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use storex_core::{Definition, FieldType, Registry, Runtime as _, Source, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};

use super::hosted::{Hosted, Started};
use super::keeper::{Connect, Connection};
use super::{SyncPlace, TabSync};
use crate::channel::MemoryChannel;
use crate::continuous::ContinuousSync;
use crate::engine::status::{Phase, SyncEvent, SyncStatus};
use crate::error::{Result, SyncError};
use crate::handle::SyncHandle;
use crate::log::SyncLog;
use crate::proxy::{Audience, Pace, RemoteSync, SyncHost};
use crate::shared_log::{LogId, MemorySharedLog};
use crate::sync::Sync;

const SECOND: Duration = Duration::from_secs(1);

/// A database, and what a worker would start on it.
#[derive(Clone)]
struct Database {
    storage: Storage,
    log: Arc<MemorySharedLog>,
}

impl Database {
    async fn new() -> Self {
        let note = Definition::new("note").field("title", FieldType::String);
        let registry = Registry::builder().collection(note).build().unwrap();
        let storage = Storage::builder(MemoryBackend::new(), registry, runtime());
        let storage = storage.middleware(SyncLog::new()).open().await.unwrap();
        Self { storage, log: Arc::new(MemorySharedLog::new(LogId([7; 16]))) }
    }

    async fn start(&self) -> ContinuousSync {
        let sync = Sync::open(&self.storage, self.log.clone()).await.unwrap();
        ContinuousSync::start(sync, SECOND * 60)
    }

    async fn write(&self, id: &str) {
        let notes = self.storage.dynamic("note").unwrap();
        notes.create(json!({"id": id, "title": "x"})).await.unwrap();
    }
}

fn runtime() -> Arc<TestRuntime> {
    Arc::new(TestRuntime::new(1))
}

/// Workers of which there is one at a time, as long as there are places left for them.
#[derive(Clone)]
struct Workers {
    database: Database,
    host: Arc<Mutex<Option<SyncHost>>>,
    /// Where the next one is to be had, after how long.
    next: Arc<Mutex<Vec<(SyncPlace, Duration)>>>,
    asked: Arc<AtomicUsize>,
}

impl Workers {
    async fn new(next: &[(SyncPlace, Duration)]) -> Self {
        let database = Database::new().await;
        let next = next.iter().rev().copied().collect::<Vec<_>>();
        Self { database, host: Arc::default(), next: Arc::new(next.into()), asked: Arc::default() }
    }

    async fn connected(&self) -> TabSync {
        TabSync::keep(self.clone(), runtime()).await.unwrap()
    }

    /// As a worker that is ended: whoever uses it notices that its channel has ended.
    async fn end(&self) {
        self.host.lock().await.take().expect("there is one");
    }
}

#[async_trait]
impl Connect for Workers {
    async fn connect(&mut self, audience: &Audience) -> Result<Connection> {
        self.asked.fetch_add(1, SeqCst);
        let next = self.next.lock().await.pop();
        let nowhere = SyncError::NotStarted { reason: "no place is left".to_owned() };
        let (place, after) = next.ok_or(nowhere)?;
        runtime().sleep(after).await;
        let host = SyncHost::until_unused(self.database.start().await);
        let (here, there) = MemoryChannel::pair();
        host.serve(there);
        *self.host.lock().await = Some(host);
        let sync = RemoteSync::connect_for(audience, here, runtime(), Pace::default()).await?;
        Ok(Connection { sync: Arc::new(sync), place })
    }
}

async fn comes_to(status: &mut watch::Receiver<SyncStatus>, phase: Phase) {
    let comes = status.wait_for(|status| status.phase == phase);
    timeout(SECOND * 120, comes).await.expect("it comes to that").unwrap();
}

const IN_SHARED: (SyncPlace, Duration) = (SyncPlace::SharedWorker, Duration::ZERO);

#[tokio::test(start_paused = true)]
async fn c42_status_and_events_go_on_with_another_worker() {
    let workers = Workers::new(&[IN_SHARED, (SyncPlace::Worker, SECOND)]).await;
    let sync = workers.connected().await;
    let (mut status, mut events) = (sync.status(), sync.events());
    sync.sync_now().await.unwrap().unwrap();
    assert!(status.borrow_and_update().in_step, "whoever has an answer knows the status, too");
    assert_eq!(sync.place(), SyncPlace::SharedWorker);

    workers.end().await;
    comes_to(&mut status, Phase::Disconnected).await;
    assert!(!status.borrow().in_step);
    comes_to(&mut status, Phase::Waiting).await;
    assert_eq!(sync.place(), SyncPlace::Worker);
    workers.database.write("1").await;
    let write = sync.last_write().await.unwrap().unwrap();
    sync.await_synced(write).await.unwrap();
    let sent = async {
        loop {
            let Some(SyncEvent::Exchanged(report)) = events.next().await else { continue };
            if report.sent_transactions == 1 {
                return;
            }
        }
    };
    timeout(SECOND * 10, sent).await.expect("an event of the second worker");
    assert_eq!(workers.asked.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn c44_what_was_not_answered_ends_retryably_and_what_is_asked_then_waits() {
    let workers = Workers::new(&[IN_SHARED, (SyncPlace::SharedWorker, SECOND * 5)]).await;
    let sync = workers.connected().await;
    workers.database.write("1").await;
    let write = sync.last_write().await.unwrap().unwrap();
    sync.pause().await.unwrap();
    let begin = Instant::now();
    let (error, ()) = tokio::join!(sync.await_synced(write), async {
        runtime().sleep(SECOND).await;
        workers.end().await;
    });
    let error = error.unwrap_err();
    assert!(matches!(error, SyncError::Disconnected { .. }) && error.is_retryable(), "{error}");
    assert_eq!(begin.elapsed(), SECOND);
    // At once, before anybody has noticed.
    assert_eq!(sync.unsent().await.unwrap(), 1);
    assert_eq!(begin.elapsed(), SECOND * 6);
}

#[tokio::test(start_paused = true)]
async fn c43_nobody_waits_for_ever_where_there_is_no_sync_to_be_had() {
    let workers = Workers::new(&[IN_SHARED]).await;
    let sync = workers.connected().await;
    workers.end().await;
    comes_to(&mut sync.status(), Phase::Disconnected).await;
    let begin = Instant::now();
    let error = sync.unsent().await.unwrap_err();
    assert_eq!(begin.elapsed(), SECOND * 30);
    assert!(error.is_retryable() && error.to_string().contains("no place is left"), "{error}");
    // It is looked for all the same.
    workers.next.lock().await.push(IN_SHARED);
    comes_to(&mut sync.status(), Phase::Waiting).await;
    assert_eq!(sync.unsent().await.unwrap(), 0);

    let nowhere = TabSync::keep(Workers::new(&[]).await, runtime()).await.unwrap_err();
    assert!(matches!(nowhere, SyncError::NotStarted { .. }), "{nowhere}");
}

#[tokio::test(start_paused = true)]
async fn c42_a_sync_that_was_stopped_is_not_looked_for_again() {
    for lost_before in [false, true] {
        let slow = (SyncPlace::SharedWorker, SECOND * 5);
        let workers = Workers::new(&[IN_SHARED, slow, slow]).await;
        let sync = workers.connected().await;
        let (status, mut events) = (sync.status(), sync.events());
        if lost_before {
            workers.end().await;
            comes_to(&mut sync.status(), Phase::Disconnected).await;
        }
        sync.stop().await;
        assert_eq!(status.borrow().phase, Phase::Stopped);
        while timeout(SECOND, events.next()).await.expect("they have ended").is_some() {}
        runtime().sleep(SECOND * 10).await;
        assert!(sync.sync_now().await.is_none_or(|result| result.is_err()));
        let asked = workers.asked.load(SeqCst);
        runtime().sleep(SECOND * 100).await;
        assert_eq!((status.borrow().phase, workers.asked.load(SeqCst)), (Phase::Stopped, asked));
        assert_eq!(workers.host.lock().await.is_none(), lost_before, "no other one is started");
    }
}

#[tokio::test(start_paused = true)]
async fn c42_the_last_clone_ends_the_use_of_it() {
    let workers = Workers::new(&[IN_SHARED]).await;
    let sync = workers.connected().await;
    let other = sync.clone();
    drop(sync);
    assert_eq!(other.unsent().await.unwrap(), 0);
    drop(other);
    let host = workers.host.lock().await.take().unwrap();
    timeout(SECOND, host.ended()).await.expect("nobody uses it any more");
    assert_eq!(host.clients(), 0);
}

#[test]
fn c70_a_tab_that_stands_by_shows_what_the_one_that_syncs_does() {
    let audience = Audience::default();
    let (status, _events) = audience.listen().unwrap();
    let shown = || (status.borrow().phase, status.borrow().rounds);
    let of = |phase, rounds| SyncStatus { phase, rounds, ..SyncStatus::default() };
    audience.heard(of(Phase::Sending, 7));
    assert_eq!(shown(), (Phase::Waiting, 0), "it syncs itself");
    audience.status(of(Phase::StandingBy, 1));
    assert_eq!(shown(), (Phase::Sending, 7));
    audience.heard(of(Phase::Waiting, 8));
    assert_eq!(shown(), (Phase::Waiting, 8));
    assert_eq!(audience.own().unwrap().borrow().phase, Phase::StandingBy);

    audience.status(of(Phase::Receiving, 2));
    assert_eq!(shown(), (Phase::Receiving, 2), "it has taken over");
    audience.status(of(Phase::StandingBy, 3));
    assert_eq!(shown(), (Phase::StandingBy, 3), "what was heard before it took over is the past");
    audience.heard(of(Phase::Waiting, 9));
    assert_eq!(shown(), (Phase::Waiting, 9));
    audience.lost();
    assert_eq!(shown().0, Phase::Disconnected);
    audience.status(of(Phase::StandingBy, 3));
    assert_eq!(shown().0, Phase::StandingBy, "what was heard before is stale");
}

#[test]
fn c70_what_a_tab_that_stands_by_has_written_is_not_in_step_before_it_is_sent() {
    let audience = Audience::default();
    let (status, _events) = audience.listen().unwrap();
    let shown = || (status.borrow().in_step, status.borrow().unsent);
    let of =
        |phase, in_step, unsent| SyncStatus { phase, in_step, unsent, ..SyncStatus::default() };
    audience.status(of(Phase::StandingBy, false, 0));
    audience.heard(of(Phase::Waiting, true, 0));
    assert_eq!(shown(), (true, 0));
    // The one that syncs says nothing of it: it is frozen, say.
    audience.status(of(Phase::StandingBy, false, 1));
    assert_eq!(shown(), (false, 1));
    audience.status(of(Phase::StandingBy, false, 0));
    assert_eq!(shown(), (true, 0));
}

#[tokio::test(start_paused = true)]
async fn c63_whoever_starts_a_sync_tells_whether_it_runs_unless_the_application_does() {
    let database = Database::new().await;
    let (page, awake) = watch::channel(false);
    let sync = database.start().await;
    sync.follow(awake.clone());
    comes_to(&mut sync.status(), Phase::StandingBy).await;
    page.send(true).unwrap();
    comes_to(&mut sync.status(), Phase::Waiting).await;
    page.send(false).unwrap();
    comes_to(&mut sync.status(), Phase::StandingBy).await;
    sync.stop().await;

    let (_application, own) = watch::channel(true);
    let sync = Sync::open(&database.storage, database.log.clone()).await.unwrap();
    let sync = ContinuousSync::builder(sync).awake(own).start();
    sync.follow(awake);
    sync.sync_now().await.unwrap().unwrap();
    assert_eq!(sync.status().borrow().phase, Phase::Waiting);
}

/// A host whose start is counted, slow, and fails when it is the `failing`-th.
fn hosted(database: &Database, failing: usize) -> (Hosted, Arc<AtomicUsize>) {
    let (database, started) = (database.clone(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&started);
    let start = move || {
        let (database, count) = (database.clone(), Arc::clone(&count));
        async move {
            runtime().sleep(SECOND).await;
            let number = count.fetch_add(1, SeqCst) + 1;
            if number == failing {
                return Started::Err(Source::from("no database"));
            }
            Ok(database.start().await)
        }
    };
    (Hosted::new(start), started)
}

async fn client(hosted: &Hosted) -> Result<RemoteSync, Source> {
    let (here, there) = MemoryChannel::pair();
    hosted.serve(there).await?;
    Ok(RemoteSync::connect(here, runtime()).await?)
}

#[tokio::test(start_paused = true)]
async fn c42_a_sync_is_started_with_its_first_client_and_ends_with_its_last() {
    let (hosted, started) = hosted(&Database::new().await, 0);
    let (one, other) = tokio::join!(client(&hosted), client(&hosted));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(started.load(SeqCst), 1);
    drop(one);
    runtime().sleep(SECOND).await;
    other.sync_now().await.unwrap().unwrap();

    // The one that comes when the last is going finds one that runs.
    other.stop().await;
    let next = client(&hosted).await.unwrap();
    next.sync_now().await.expect("it was not stopped").unwrap();
    assert_eq!(started.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn c43_a_start_that_fails_is_told_and_tried_again_for_the_next() {
    let (hosted, started) = hosted(&Database::new().await, 1);
    let error = client(&hosted).await.unwrap_err();
    assert_eq!(error.to_string(), "no database");
    client(&hosted).await.unwrap().sync_now().await.unwrap().unwrap();
    assert_eq!(started.load(SeqCst), 2);
}

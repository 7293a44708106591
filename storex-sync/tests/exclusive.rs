//! One syncer at a time: two instances on one database, each with an identity of its own, under a virtual clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use storex_core::{
    BoxFuture, Definition, ErrorKind, FieldType, Registry, Runtime, Storage, Timestamp,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{Exclusive, Guard, LeaseTimes, SyncError, SyncLog};

const TIMES: LeaseTimes =
    LeaseTimes { lasts: Duration::from_secs(5), renewed: Duration::from_secs(1) };

struct Place {
    backend: Arc<MemoryBackend>,
    storage: Storage,
    runtime: Arc<TestRuntime>,
}

/// Of a process that is killed as soon as a call has returned: its tasks never go on.
#[derive(Debug)]
struct Doomed(Arc<TestRuntime>);

impl Runtime for Doomed {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    fn spawn(&self, _task: BoxFuture<'static, ()>) {}

    fn fill_random(&self, buffer: &mut [u8]) {
        self.0.fill_random(buffer);
    }
}

async fn open(backend: &Arc<MemoryBackend>, runtime: Arc<dyn Runtime>) -> Storage {
    let note = Definition::new("note").field("title", FieldType::String);
    let registry = Registry::builder().collection(note).build().unwrap();
    let builder = Storage::builder(Arc::clone(backend), registry, runtime);
    builder.middleware(SyncLog::new()).open().await.unwrap()
}

impl Place {
    async fn new() -> Self {
        let (backend, runtime) = (Arc::default(), Arc::new(TestRuntime::new(1)));
        let storage = open(&backend, runtime.clone()).await;
        Self { backend, storage, runtime }
    }

    async fn instance(&self) -> Exclusive {
        Exclusive::lease(&self.storage, TIMES).await.unwrap()
    }

    async fn sleep(&self, milliseconds: u64) {
        self.runtime.sleep(Duration::from_millis(milliseconds)).await;
    }

    /// What a process leaves behind that is killed while it holds: nobody renews the row, and nobody releases it.
    async fn killed_holder(&self) -> Guard {
        let storage = open(&self.backend, Arc::new(Doomed(self.runtime.clone()))).await;
        get(&Exclusive::lease(&storage, TIMES).await.unwrap()).await.unwrap()
    }
}

async fn get(exclusive: &Exclusive) -> Option<Guard> {
    exclusive.try_acquire().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn c28_one_holds_it_at_a_time() {
    let place = Place::new().await;
    let (one, other) = (place.instance().await, place.instance().await);
    let guard = get(&one).await.unwrap();
    for _ in 0..100 {
        assert!(get(&other).await.is_none());
        place.sleep(1000).await;
    }
    guard.release().await.unwrap();
    assert!(get(&other).await.is_some(), "at once, without waiting for the end of the lease");
    assert!(get(&one).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn c36_instances_with_the_same_settings_are_told_apart() {
    let place = Place::new().await;
    let mut holders = 0;
    let mut guards = Vec::new();
    for _ in 0..20 {
        guards.extend(get(&place.instance().await).await.inspect(|_| holders += 1));
    }
    assert_eq!(holders, 1);
}

#[tokio::test(start_paused = true)]
async fn c32_a_waiter_gets_it_soon_after_the_release_and_gives_up_at_its_limit() {
    let place = Place::new().await;
    let (one, other) = (place.instance().await, place.instance().await);
    let guard = get(&one).await.unwrap();
    let before = place.runtime.now();
    let error = other.acquire(Duration::from_secs(3)).await.unwrap_err();
    assert!(matches!(error, SyncError::HeldElsewhere), "{error}");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.is_retryable());
    assert_eq!(place.runtime.now().0 - before.0, 3000);

    let runtime = Arc::clone(&place.runtime);
    let released = async {
        runtime.sleep(Duration::from_secs(2)).await;
        guard.release().await.unwrap();
        runtime.now()
    };
    let acquired = async {
        let guard = other.acquire(Duration::from_secs(60)).await.unwrap();
        (guard, place.runtime.now())
    };
    let (released, (_guard, acquired)) = tokio::join!(released, acquired);
    assert!((0..=100).contains(&(acquired.0 - released.0)), "{released:?} {acquired:?}");
}

#[tokio::test(start_paused = true)]
async fn c32_each_of_three_waiters_gets_its_turn() {
    let place = Place::new().await;
    let turns = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for name in 0..3 {
        let (exclusive, turns) = (place.instance().await, Arc::clone(&turns));
        let runtime = Arc::clone(&place.runtime);
        tasks.push(async move {
            for _ in 0..5 {
                let guard = exclusive.acquire(Duration::from_secs(600)).await.unwrap();
                turns.lock().unwrap().push(name);
                runtime.sleep(Duration::from_millis(700)).await;
                guard.release().await.unwrap();
                runtime.sleep(Duration::from_millis(100)).await;
            }
        });
    }
    let third = tasks.pop().unwrap();
    let second = tasks.pop().unwrap();
    tokio::join!(tasks.pop().unwrap(), second, third);
    let turns = turns.lock().unwrap();
    assert_eq!(turns.len(), 15);
    for name in 0..3 {
        assert!(turns[..9].contains(&name), "{name} starved: {turns:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c33_who_acquires_it_learns_once_that_somebody_else_held_it() {
    let place = Place::new().await;
    let (one, other) = (place.instance().await, place.instance().await);
    for _ in 0..2 {
        let guard = get(&one).await.unwrap();
        assert!(!guard.is_dirty(), "nobody else has held it");
        guard.release().await.unwrap();
    }
    get(&other).await.unwrap().release().await.unwrap();
    let guard = get(&one).await.unwrap();
    assert!(guard.is_dirty());
    assert!(guard.clone().is_dirty(), "until it is cleared");
    guard.clear_dirty();
    assert!(!guard.is_dirty());
    guard.release().await.unwrap();
    assert!(!get(&one).await.unwrap().is_dirty());
}

#[tokio::test(start_paused = true)]
async fn c34_it_is_held_until_the_last_clone_is_gone() {
    let place = Place::new().await;
    let (one, other) = (place.instance().await, place.instance().await);
    let first = get(&one).await.unwrap();
    let again = get(&one).await.expect("its own holder gets another guard");
    assert_eq!(first.token(), again.token());
    let third = first.clone();
    drop(first);
    drop(third);
    // The lock goes before its guard.
    drop(one);
    place.sleep(20_000).await;
    assert!(get(&other).await.is_none(), "one guard is left, and its lease is renewed");
    drop(again);
    place.sleep(0).await;
    assert!(other.acquire(TIMES.renewed).await.is_ok(), "released by the drop");
}

#[tokio::test(start_paused = true)]
#[allow(clippy::disallowed_methods)] // a task whose panic can be seen
async fn c34_a_panic_releases_it() {
    let place = Place::new().await;
    let (one, other) = (place.instance().await, place.instance().await);
    let guard = get(&one).await.unwrap();
    let panicked = tokio::spawn(async move {
        let _guard = guard;
        panic!("in the middle of a sync");
    });
    assert!(panicked.await.is_err());
    assert!(other.acquire(TIMES.renewed).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn c31_a_holder_whose_lease_was_taken_is_told() {
    let place = Place::new().await;
    let (one, other) = (place.instance().await, place.instance().await);
    let guard = get(&one).await.unwrap();
    assert!(!guard.is_lost());
    // As after a sleep of the machine: the clock has gone on, and nothing was renewed.
    place.runtime.advance(60_000);
    let taken = get(&other).await.expect("the lease has ended");
    assert!(taken.token() > guard.token(), "the fencing token grows");
    tokio::time::timeout(TIMES.renewed * 2, guard.lost()).await.expect("it is told");
    assert!(guard.is_lost());
    // Releasing what was lost takes nothing from the new holder.
    guard.release().await.unwrap();
    assert!(get(&one).await.is_none());
    assert!(!taken.is_lost());
}

#[tokio::test(start_paused = true)]
async fn c29_a_killed_holder_is_taken_over_from_when_its_lease_ends_and_not_before() {
    let place = Place::new().await;
    let killed = place.killed_holder().await;
    let other = place.instance().await;
    place.sleep(4999).await;
    assert!(get(&other).await.is_none());
    place.sleep(1).await;
    let guard = get(&other).await.expect("in the very millisecond in which it ends");
    assert!(guard.token() > killed.token());
    assert!(!guard.is_dirty(), "it was made after the other had begun");
}

#[tokio::test(start_paused = true)]
async fn c29_a_clock_that_is_set_back_locks_nobody_out() {
    let place = Place::new().await;
    let killed = place.killed_holder().await;
    place.runtime.advance(-7 * 24 * 3_600_000);
    let guard = place.instance().await.acquire(TIMES.lasts * 2).await.unwrap();
    assert!(guard.token() > killed.token());
}

#[tokio::test(start_paused = true)]
async fn c35_a_single_process_writes_nothing() {
    let place = Place::new().await;
    let exclusive = Exclusive::single_process(&place.storage);
    let mut changes = place.storage.changes();
    for _ in 0..60 {
        let guard = get(&exclusive).await.unwrap();
        assert_eq!(guard.token(), None);
        assert!(!guard.is_dirty());
        place.sleep(1000).await;
        guard.release().await.unwrap();
    }
    let nothing = tokio::time::timeout(Duration::from_secs(1), changes.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test(start_paused = true)]
async fn a_storage_without_a_sync_log_is_refused() {
    let runtime = Arc::new(TestRuntime::new(1));
    let note = Definition::new("note").field("title", FieldType::String);
    let registry = Registry::builder().collection(note).build().unwrap();
    let storage = Storage::builder(MemoryBackend::new(), registry, runtime).open().await.unwrap();
    let error = Exclusive::lease(&storage, TIMES).await.unwrap_err();
    assert!(matches!(error, SyncError::NoSyncLog), "{error}");
}

mod file {
    use super::*;

    /// A lock file of this test's own; gone with the value.
    struct LockFile(std::path::PathBuf);

    impl LockFile {
        fn new(name: &str) -> Self {
            let name = format!("storex-{}-{name}.lock", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for LockFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_operating_systems_lock_has_the_same_semantics() {
        let (place, lock) = (Place::new().await, LockFile::new("semantics"));
        let one = Exclusive::file(&place.storage, &lock.0).await.unwrap();
        let other = Exclusive::file(&place.storage, &lock.0).await.unwrap();
        let guard = get(&one).await.unwrap();
        let clone = get(&one).await.expect("its own holder gets another guard");
        assert!(!guard.is_dirty());
        place.sleep(60_000).await;
        assert!(get(&other).await.is_none());
        drop(guard);
        assert!(get(&other).await.is_none());
        clone.release().await.unwrap();
        let taken = get(&other).await.expect("at once");
        assert!(taken.is_dirty());
        taken.release().await.unwrap();
        assert!(get(&one).await.unwrap().is_dirty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_cannot_be_made_is_named() {
        let place = Place::new().await;
        let missing = std::env::temp_dir().join("storex-no-such-folder/inside/x.lock");
        let exclusive = Exclusive::file(&place.storage, &missing).await.unwrap();
        let error = exclusive.try_acquire().await.unwrap_err();
        assert!(error.to_string().contains("x.lock"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Io);
    }
}

mod continuous {
    use serde_json::json;
    use storex_sync::{ContinuousSync, LogId, MemorySharedLog, Phase, SharedSyncLog, Sync};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn started(place: &Place, log: &Arc<MemorySharedLog>) -> ContinuousSync {
        let log: Arc<dyn SharedSyncLog> = log.clone();
        let sync = Sync::open(&place.storage, log).await.unwrap();
        ContinuousSync::start(sync.exclusive(place.instance().await), 30 * SECOND)
    }

    async fn reaches(continuous: &ContinuousSync, phase: Phase) {
        let mut status = continuous.status();
        let reached = status.wait_for(|status| status.phase == phase);
        tokio::time::timeout(60 * SECOND, reached).await.expect("in time").unwrap();
    }

    async fn write(place: &Place, id: &str) {
        let notes = place.storage.dynamic("note").unwrap();
        notes.create(json!({"id": id, "title": "x"})).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn c50_one_stands_by_and_carries_on_when_the_other_has_stopped() {
        let place = Place::new().await;
        let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
        let first = started(&place, &log).await;
        first.sync_now().await.unwrap().unwrap();
        let second = started(&place, &log).await;
        reaches(&second, Phase::StandingBy).await;
        let status = second.status().borrow().clone();
        assert!(!status.in_step, "it cannot tell");
        assert_eq!((status.failures, status.last_error), (0, None), "that is no failure");
        let error = second.sync_now().await.unwrap().unwrap_err();
        assert!(matches!(error.cause(), SyncError::HeldElsewhere), "{error}");

        // What is written beside the one that stands by is sent by the other.
        write(&place, "1").await;
        let written = second.sync().last_write().await.unwrap().unwrap();
        let synced = second.await_synced(written);
        tokio::time::timeout(5 * SECOND, synced).await.expect("in time").unwrap();
        assert_eq!(log.len(), 1);

        first.stop().await;
        let before = place.runtime.now();
        write(&place, "2").await;
        reaches(&second, Phase::Waiting).await;
        let took = place.runtime.now().0 - before.0;
        assert!(took <= 2000, "{took} ms until it took over");
        assert_eq!(log.len(), 2);
        second.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_lets_others_have_it() {
        let place = Place::new().await;
        let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
        let first = started(&place, &log).await;
        first.sync_now().await.unwrap().unwrap();
        let other = place.instance().await;
        assert!(get(&other).await.is_none(), "held between exchanges, too");
        first.pause().await.unwrap();
        assert!(get(&other).await.is_some());
        first.stop().await;
    }

    #[tokio::test(start_paused = true)]
    async fn c31_who_was_taken_over_from_in_the_middle_of_an_exchange_commits_nothing() {
        let place = Place::new().await;
        let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
        let sync = Sync::open(&place.storage, log.clone()).await.unwrap();
        let sync = sync.exclusive(place.instance().await);
        sync.sync_once().await.unwrap();
        write(&place, "1").await;

        let turn = sync.turn().await.unwrap();
        // As after a stop of the process: the lease is over, and another has taken it.
        place.runtime.advance(60_000);
        let other = place.instance().await;
        let guard = get(&other).await.expect("it is over");
        let cursor = storex_sync::Cursor(vec![0, 0, 0, 0, 0, 0, 0, 9]);
        let to = storex_sync::Place { log: LogId([7; 16]), cursor };
        let moved = storex_sync::engine::Move { from: None, to };
        let error =
            sync.perform(&turn, storex_sync::engine::Action::Apply(Vec::new(), moved)).await;
        assert!(matches!(error, Err(SyncError::LeaseLost)), "{error:?}");
        let device = sync.device().await.unwrap();
        let error = sync.perform(&turn, storex_sync::engine::Action::Trim(device, 1)).await;
        assert!(matches!(error, Err(SyncError::LeaseLost)), "{error:?}");
        assert_eq!(sync.unsent().await.unwrap(), 1, "nothing was trimmed");
        drop(turn);
        guard.release().await.unwrap();
        assert_eq!(sync.sync_once().await.unwrap().sent_transactions, 1);
    }
}

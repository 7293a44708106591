//! Devices on SQLite and a shared log on SQLite, from end to end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use storex_core::{Runtime, Storage, TokioRuntime};
use storex_e2e::disk::{has_program, not_run};
use storex_e2e::ops;
use storex_e2e::place::Place;
use storex_e2e::process::{Process, text};
use storex_e2e::rng::Rng;
use storex_e2e::{block_on, schema, story};
use storex_sqlite::SqliteBackend;
use storex_sync::{BackendSharedLog, ContinuousSync, Sync};

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");

/// Nothing here may take longer, however slow the machine is.
const LONG: Duration = Duration::from_secs(60);

async fn start(storage: &Storage, log: &Arc<BackendSharedLog>) -> ContinuousSync {
    let sync = Sync::open(storage, log.clone()).await.unwrap().unreduced().limits(story::LIMITS);
    ContinuousSync::start(sync, Duration::from_millis(2))
}

/// Waits for an exchange that has begun after this call, by the timer.
async fn exchange(sync: &ContinuousSync) {
    let mut status = sync.status();
    // The one that is under way may have begun before.
    let enough = status.borrow().rounds + 2;
    let waiting = status.wait_for(|status| status.rounds >= enough);
    tokio::time::timeout(LONG, waiting).await.expect("the timer runs").expect("it goes on");
}

async fn write(storage: &Storage, device: &str, seed: u64, count: u64) {
    let mut rng = Rng::new(seed);
    for number in 0..count {
        let op = ops::random(&mut rng, device, seed * 1_000_000_000_000 + number);
        ops::perform(storage, &op).await.unwrap();
    }
}

/// Initial sync, edits apart, then continuous sync on a timer while both go on writing.
#[tokio::test]
async fn three_devices_get_in_step_on_a_timer_and_stay_there() {
    let place = Place::new();
    story::prepare(&place, 21).await;
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let log = story::open_log(&place).await;
    let a = schema::open_sqlite(&place.a(), runtime.clone()).await.unwrap();
    let b = schema::open_sqlite(&place.b(), runtime.clone()).await.unwrap();
    let c = schema::open_sqlite(&place.c(), runtime).await.unwrap();
    story::receive(&b, &a).await;

    // Apart.
    for op in ops::beginning("a") {
        ops::perform(&a, &op).await.unwrap();
    }
    tokio::join!(write(&a, "a", 31, 60), write(&b, "b", 32, 60), write(&c, "c", 33, 60));

    // In touch, and still writing.
    let all = [&a, &b, &c];
    let syncs = [start(&a, &log).await, start(&b, &log).await, start(&c, &log).await];
    tokio::join!(write(&a, "a", 41, 60), write(&b, "b", 42, 60), write(&c, "c", 43, 60));
    // One exchange each sends everything, a second one brings it.
    for _ in 0..2 {
        for sync in &syncs {
            exchange(sync).await;
        }
    }
    for sync in &syncs {
        sync.stop().await;
        assert_eq!(sync.status().borrow().last_error, None);
    }
    for storage in all {
        let sync = Sync::open(storage, log.clone()).await.unwrap().unreduced();
        assert_eq!(sync.unsent().await.unwrap(), 0);
        assert!(sync.sync_once().await.unwrap().is_idle(), "nothing is left to exchange");
        storage.close().await.unwrap();
    }
    log.close().await.unwrap();
    story::check_equal(&place);
    // They can be opened again.
    story::finish(&place, 21).await;
}

/// A shared log that is held by somebody else: the status says so, and afterwards the timer goes on.
#[tokio::test]
async fn c55_a_shared_log_that_is_held_up_is_told_and_tried_again() {
    let place = Place::new();
    story::prepare(&place, 22).await;
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let b = schema::open_sqlite(&place.b(), runtime.clone()).await.unwrap();
    let backend = SqliteBackend::builder(place.shared()).busy_timeout(Duration::from_millis(5));
    let log = BackendSharedLog::open(backend.build().unwrap(), runtime).await.unwrap();
    let log = Arc::new(log);
    let mut holder = Process::start(CHILD, &["hold", text(&place.shared()), "IMMEDIATE"]);
    assert!(holder.wait_for("held"));
    let sync = start(&b, &log).await;
    let mut status = sync.status();
    let failed = status.wait_for(|status| status.last_error.is_some());
    let status = tokio::time::timeout(LONG, failed).await.unwrap().unwrap().clone();
    assert_eq!(status.rounds, 0);
    let said = status.last_error.unwrap();
    assert!(said.contains("somebody else holds the database"), "{said}");
    holder.let_go();
    assert!(!holder.was_killed());
    exchange(&sync).await;
    assert_eq!(sync.status().borrow().last_error, None);
    sync.stop().await;
    b.close().await.unwrap();
    log.close().await.unwrap();
    story::finish(&place, 22).await;
}

/// With `Durability::Normal` no commit waits for the disk; but before the shared log is written, the device's own log is
/// safe, and before what arrived is acknowledged, it is too. Seen in the system calls.
#[test]
fn nothing_is_sent_or_acknowledged_before_it_is_durable() {
    if !has_program("strace") {
        return not_run("the order of flushes", "there is no strace");
    }
    let place = Place::new();
    block_on(story::prepare(&place, 23));
    let mut command = Command::new("strace");
    let calls = "trace=pwrite64,fsync,fdatasync,openat";
    command.args(["-f", "-qq", "-y", "-s", "0", "-e", calls, "-o", text(&place.file("strace"))]);
    command.args([CHILD, "normal", text(place.path())]);
    let mut child = Process::spawn(command);
    child.let_go();
    if child.code() != 0 {
        return not_run("the order of flushes", "strace may not trace here");
    }
    let said = std::fs::read_to_string(place.file("strace")).unwrap();
    let said = said.split_once("/mark\"").expect("the beginning of the writes").1;
    // Until A is closed, which flushes everything.
    let (mut unsafe_writes, mut commits, mut flushes, mut sent) = (0, 0, 0, 0);
    for line in said.lines() {
        let is =
            |call: &str, file: &str| line.contains(call) && line.contains(&format!("/{file}>"));
        if is("pwrite64(", "a.db-wal") {
            unsafe_writes += 1;
            commits += 1;
        } else if is("fsync(", "a.db-wal") || is("fdatasync(", "a.db-wal") {
            unsafe_writes = 0;
            flushes += 1;
        } else if is("pwrite64(", "shared.db-wal") {
            assert_eq!(unsafe_writes, 0, "something is sent or acknowledged, and not yet durable");
            sent += 1;
        }
    }
    println!("{commits} writes, {flushes} flushes of A's log, {sent} writes to the shared log");
    assert!(sent > 0 && flushes >= 2, "it has sent and received");
    assert!(flushes < commits / 4, "a commit does not wait for the disk");
    block_on(story::finish(&place, 23));
}

//! Databases that were cloned or restored, and logs that are not what they were: nothing is lost, and all come into step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

mod support;

use std::sync::Arc;

use serde_json::json;
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::engine::{Action, Outcome, Renewal};
use storex_sync::{
    BackendSharedLog, LogId, MemorySharedLog, SharedSyncLog, SyncError, SyncLog, WriteState,
};
use support::log::{Call, Fault, ScriptedLog};
use support::{
    Device, another_log, assert_in_step, cloned, count, dump, dump_all, settle, shared_log,
};

#[tokio::test(start_paused = true)]
async fn a_clone_that_wrote_keeps_its_writes_and_gets_the_originals() {
    let (a, b, copy, log) = cloned().await;
    a.note("2", "of the original").await;
    a.retitle("1", "by the original").await;
    copy.note("3", "of the copy").await;
    copy.create("tag", json!({"owner": 1, "name": "of the copy", "colour": "red"})).await;
    a.sync(&log).await;
    let report = copy.sync(&log).await;
    let new = report.incarnation.expect("it began a new incarnation");
    assert_eq!(new.incarnation, 1);
    assert_eq!(copy.join(&log).await.device().await.unwrap(), new);
    settle(&[&a, &b, &copy], &log).await;
    assert_in_step(&[&a, &b, &copy]).await;
    assert_eq!(copy.title("2").await.as_deref(), Some("of the original"));
    assert_eq!(copy.title("1").await.as_deref(), Some("by the original"));
    assert_eq!(a.title("3").await.as_deref(), Some("of the copy"));
    assert_eq!(count(&a, "tag").await, 1);
    for device in [&a, &b, &copy] {
        assert_eq!(device.sync(&log).await.incarnation, None, "it is over");
        assert!(device.sync(&log).await.is_idle());
    }
}

/// It would never ask for what "it" wrote.
#[tokio::test(start_paused = true)]
async fn a_restored_backup_that_wrote_nothing_gets_what_it_had_written_since() {
    let (a, b, backup, log) = cloned().await;
    a.note("2", "after the backup").await;
    a.retitle("1", "after the backup").await;
    a.delete("note", json!({"id": "n"})).await;
    settle(&[&a, &b], &log).await;
    let report = backup.sync(&log).await;
    assert_eq!(report.incarnation.map(|it| it.incarnation), Some(1));
    assert_eq!(report.received.transactions, 3);
    assert_in_step(&[&a, &b, &backup]).await;
    backup.note("3", "from now on").await;
    settle(&[&backup, &b], &log).await;
    assert_eq!(b.title("3").await.as_deref(), Some("from now on"));
}

#[tokio::test(start_paused = true)]
async fn increments_of_a_clone_count_once_beside_those_of_the_original() {
    let (a, b, copy, log) = cloned().await;
    let add = |device: &Device, by: i64| {
        let device = device.clone();
        async move {
            device.update("note", json!({"id": "n"}), json!({"stars": {"$inc": by}})).await;
        }
    };
    a.sync(&log).await;
    add(&a, 1).await;
    add(&copy, 100).await;
    add(&copy, 200).await;
    a.sync(&log).await;
    copy.sync(&log).await;
    add(&copy, 1000).await;
    add(&b, 5).await;
    add(&a, 2).await;
    settle(&[&a, &b, &copy], &log).await;
    assert_in_step(&[&a, &b, &copy]).await;
    assert_eq!(b.get("note", "n").await.unwrap()["stars"], 10 + 1 + 300 + 1000 + 5 + 2);
}

/// What both had added before the copy was made is the original's, and counts once.
#[tokio::test(start_paused = true)]
async fn increments_from_before_the_copy_count_once() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "x", "stars": 0})).await;
    a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 7}})).await;
    settle(&[&a, &b], &log).await;
    let copy = a.copied(3).await;
    copy.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 100}})).await;
    a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 20}})).await;
    settle(&[&a, &copy, &b], &log).await;
    assert_in_step(&[&a, &b, &copy]).await;
    assert_eq!(copy.get("note", "n").await.unwrap()["stars"], 127);
    let mut clocks = Vec::new();
    for device in [&a, &b, &copy] {
        device.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
        clocks.push(device.get("note", "n").await.unwrap()["stars"].clone());
    }
    settle(&[&a, &copy, &b], &log).await;
    assert_in_step(&[&a, &b, &copy]).await;
    assert_eq!(a.get("note", "n").await.unwrap()["stars"], 130, "{clocks:?}");
}

/// Both have the same stamps: their clocks stand at the same time.
#[tokio::test(start_paused = true)]
async fn equal_stamps_of_the_two_are_told_apart() {
    let (a, b, copy, log) = cloned().await;
    a.retitle("1", "by the original").await;
    copy.retitle("1", "by the copy").await;
    a.sync(&log).await;
    copy.sync(&log).await;
    settle(&[&a, &b, &copy], &log).await;
    assert_in_step(&[&a, &b, &copy]).await;
    assert_eq!(a.title("1").await.as_deref(), Some("by the copy"), "the greater incarnation wins");
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_second_is_the_new_one_and_so_are_further_copies() {
    let (a, b, copy, log) = cloned().await;
    let second = copy.copied(4).await;
    for (device, n) in [(&a, "4"), (&copy, "5"), (&second, "6")] {
        device.note(n, "its own").await;
        device.retitle("1", n).await;
    }
    copy.sync(&log).await;
    second.sync(&log).await;
    a.sync(&log).await;
    settle(&[&a, &b, &copy, &second], &log).await;
    assert_in_step(&[&a, &b, &copy, &second]).await;
    assert_eq!(count(&b, "note").await, 5);
    let mut names = Vec::new();
    for device in [&a, &copy, &second] {
        names.push(device.join(&log).await.device().await.unwrap().incarnation);
    }
    names.sort_unstable();
    assert_eq!(names, [0, 1, 2]);
}

/// A kill after each step: the next exchange goes on.
#[tokio::test(start_paused = true)]
async fn a_new_incarnation_survives_a_lost_answer() {
    let (a, b, copy, log) = cloned().await;
    a.note("2", "of the original").await;
    a.sync(&log).await;
    copy.note("3", "of the copy").await;
    let scripted = ScriptedLog::new(&log);
    for call in [Call::Append, Call::Register, Call::Append, Call::Read, Call::Acknowledge] {
        scripted.script(call, [Fault::DropAnswer]);
        let _ = copy.join(&scripted).await.sync_once().await;
        scripted.heal();
    }
    settle(&[&copy, &a, &b], &log).await;
    assert_in_step(&[&a, &b, &copy]).await;
    assert_eq!(copy.join(&log).await.device().await.unwrap().incarnation, 1, "once");
}

#[tokio::test(start_paused = true)]
async fn c72_the_writes_of_a_former_incarnation_are_still_known() {
    let (a, _, copy, log) = cloned().await;
    a.note("2", "of the original").await;
    a.sync(&log).await;
    copy.note("3", "of the copy").await;
    copy.note("4", "of the copy").await;
    let sync = copy.join(&log).await;
    let last = sync.last_write().await.unwrap().unwrap();
    assert_eq!(sync.write_state(last).await.unwrap(), WriteState::Waiting);
    let scripted = ScriptedLog::new(&log);
    // The new incarnation is made, and its writes do not get through.
    scripted.script(Call::Append, [Fault::None, Fault::Fail]);
    copy.join(&scripted).await.sync_once().await.unwrap_err();
    assert_eq!(sync.write_state(last).await.unwrap(), WriteState::Waiting);
    sync.sync_once().await.unwrap();
    assert_eq!(sync.write_state(last).await.unwrap(), WriteState::Sent);
    let unknown = storex_sync::WriteId { sequence: last.sequence + 1, ..last };
    assert_eq!(sync.write_state(unknown).await.unwrap(), WriteState::Unknown);
}

#[tokio::test(start_paused = true)]
async fn c61_a_wiped_log_gets_everything_again() {
    let first = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..3 {
        a.note(&n.to_string(), "of A").await;
        b.note(&(10 + n).to_string(), "of B").await;
    }
    a.note("gone", "deleted later").await;
    settle(&[&a, &b], &first).await;
    b.delete("note", json!({"id": "gone"})).await;
    a.update("note", json!({"id": "1"}), json!({"stars": {"$inc": 2}})).await;
    // A's write reaches the old log, and nobody reads it there any more.
    a.sync(&first).await;
    a.retitle("2", "not sent yet").await;
    let second = another_log();
    let report = a.sync(&second).await;
    assert!(report.incarnation.is_some());
    settle(&[&b, &a], &second).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("2").await.as_deref(), Some("not sent yet"));
    assert_eq!(b.get("note", "1").await.unwrap()["stars"], 2);
    assert_eq!(a.title("gone").await, None);
    // One who was never there gets all of it from the log alone.
    let c = Device::new(3).await;
    c.sync(&second).await;
    assert_in_step(&[&a, &b, &c]).await;
    for device in [&a, &b, &c] {
        assert!(device.sync(&second).await.is_idle());
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_put_back_to_an_older_state_gets_what_it_lost() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "kept").await;
    settle(&[&a, &b], &log).await;
    let older = Arc::new(MemorySharedLog::new(LogId([7; 16])));
    let copy = Device::new(9).await;
    copy.note("9", "all that the older one holds").await;
    copy.sync(&older).await;
    a.note("2", "lost by the log").await;
    settle(&[&a, &b], &log).await;
    a.note("3", "after it").await;
    settle(&[&a, &b, &copy], &older).await;
    settle(&[&a, &b, &copy], &older).await;
    assert_in_step(&[&a, &b, &copy]).await;
    assert_eq!(count(&copy, "note").await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_keeps_its_log_refuses_another_before_anything_is_sent() {
    let first = shared_log();
    let a = Device::new(1).await;
    a.sync(&first).await;
    a.note("n", "x").await;
    let second = another_log();
    let before = dump_all(&a).await;
    let error = a.join(&second).await.keep_log().sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::LogReplaced), "{error:?}");
    assert!(second.is_empty());
    assert_eq!(dump_all(&a).await, before, "the state before is the state after");
    a.sync(&first).await;
    assert_eq!(first.len(), 1);
}

/// A device goes on from where it was, however often it is stopped.
#[tokio::test(start_paused = true)]
async fn sending_the_state_goes_on_after_failures() {
    let first = shared_log();
    let a = Device::new(1).await;
    for n in 0..1200 {
        a.note(&n.to_string(), "one of many").await;
    }
    a.sync(&first).await;
    let second = another_log();
    let scripted = ScriptedLog::new(&second);
    scripted.script(
        Call::Append,
        [Fault::None, Fault::Fail, Fault::DropAnswer, Fault::Duplicate, Fault::Fail],
    );
    let sync = a.join(&scripted).await;
    let mut failures = 0;
    while sync.sync_once().await.is_err() {
        failures += 1;
        assert!(failures < 10);
    }
    assert_eq!(failures, 3);
    let b = Device::new(2).await;
    b.sync(&second).await;
    assert_in_step(&[&a, &b]).await;
    let sent: usize = scripted.appended().iter().map(Vec::len).sum();
    assert!(sent <= 3 + 4, "pages are not sent without need: {sent}");
}

#[tokio::test(start_paused = true)]
async fn c23_what_is_older_than_sync_is_sent_when_it_is_asked_for() {
    let log = shared_log();
    let old: Vec<_> = (0..1000).map(|n| json!({"id": n.to_string(), "title": "old"})).collect();
    let a = Device::with_old_notes(1, &old).await;
    let b = Device::with_old_notes(2, &[json!({"id": "5", "title": "old too"})]).await;
    b.note("b", "of B").await;
    b.retitle("6", "nobody").await;
    for device in [&a, &b] {
        device.join(&log).await.send_state().await.unwrap();
        device.sync(&log).await;
    }
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(count(&b, "note").await, 1001);
    // A write counts more than what is older than sync, in whatever order they come.
    b.retitle("7", "written").await;
    b.sync(&log).await;
    a.join(&log).await.send_state().await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("7").await.as_deref(), Some("written"));
}

#[tokio::test(start_paused = true)]
async fn the_state_changes_nothing_where_it_is_known() {
    let (a, b, _, log) = cloned().await;
    a.join(&log).await.send_state().await.unwrap();
    a.sync(&log).await;
    let before = dump(&b).await;
    let clocks = dump_all(&b).await["_storex_clock"].clone();
    b.sync(&log).await;
    assert_eq!(dump(&b).await, before);
    assert_eq!(dump_all(&b).await["_storex_clock"], clocks);
    assert_eq!(count(&b, "_storex_log").await, 0, "nothing is sent back");
}

const YEAR: i64 = 365 * 24 * 3_600_000;

/// A device whose clock was years ahead when it wrote something, and sent it; now the clock is right.
async fn far_ahead(sent: bool) -> (Device, Device, Arc<MemorySharedLog>) {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "before").await;
    a.create("note", json!({"id": "n", "title": "a number", "stars": 10})).await;
    settle(&[&a, &b], &log).await;
    a.runtime.advance(70 * YEAR);
    a.retitle("1", "in the year 2096").await;
    a.note("2", "in the year 2096").await;
    a.note("3", "deleted then").await;
    a.delete("note", json!({"id": "3"})).await;
    a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 5}})).await;
    if sent {
        a.sync(&log).await;
    }
    (a, b, log)
}

#[tokio::test(start_paused = true)]
async fn what_was_written_far_ahead_is_parked_and_told_and_the_rest_flows() {
    let (a, b, log) = far_ahead(true).await;
    b.note("4", "of B").await;
    let report = b.sync(&log).await;
    assert_eq!(report.received.parked, 5);
    let parked = storex_sync::parked(&b.storage).await.unwrap();
    assert!(parked.iter().all(|it| it.waits_for == storex_sync::WaitsFor::Time));
    assert!(parked[0].reason.contains("hours ahead"), "{}", parked[0].reason);
    assert_eq!(b.title("1").await.as_deref(), Some("before"));
    // B's own stamps did not follow.
    b.retitle("1", "by B").await;
    assert!(support::log_of(&b).await[0].header.hlc.millis().0 < YEAR * 60);
    // When its time comes it is applied.
    b.runtime.advance(70 * YEAR);
    a.note("5", "something new").await;
    a.sync(&log).await;
    b.sync(&log).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(support::parked_count(&b).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_right_again_dates_its_writes_anew() {
    for sent in [false, true] {
        let (a, b, log) = far_ahead(sent).await;
        if sent {
            b.sync(&log).await;
            assert_eq!(support::parked_count(&b).await, 5);
        }
        b.runtime.advance(YEAR / 300);
        a.runtime.set(storex_core::Runtime::now(&*b.runtime));
        let report = a.sync(&log).await;
        assert!(report.incarnation.is_some(), "sent: {sent}");
        settle(&[&b, &a], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(support::parked_count(&b).await, 0, "sent: {sent}");
        assert_eq!(b.title("1").await.as_deref(), Some("in the year 2096"));
        assert_eq!(b.title("3").await, None);
        // From now on everybody can write over it.
        b.retitle("1", "by B").await;
        b.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
        a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 2}})).await;
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(a.title("1").await.as_deref(), Some("by B"));
        assert_eq!(a.get("note", "n").await.unwrap()["stars"], 18);
        assert_eq!(a.sync(&log).await.incarnation, None, "it is over");
    }
}

/// Otherwise it would take everything that the others wrote for far ahead, and its own writes for wrong.
#[tokio::test(start_paused = true)]
async fn a_clock_that_fell_back_believes_what_it_had_seen() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "before").await;
    b.note("2", "before").await;
    settle(&[&a, &b], &log).await;
    a.runtime.set(storex_core::Timestamp(0));
    a.note("3", "in the year 1970").await;
    b.retitle("1", "by B").await;
    assert_eq!(a.sync(&log).await.incarnation, None);
    settle(&[&b, &a], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("1").await.as_deref(), Some("by B"));
}

/// The log has dropped what the copy's numbers could be compared with.
#[tokio::test(start_paused = true)]
async fn a_backup_that_wrote_over_what_was_trimmed_loses_nothing() {
    for writes in [2, 4, 7] {
        let log = shared_log();
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        for n in 0..5 {
            a.note(&n.to_string(), "before the backup").await;
            a.sync(&log).await;
        }
        let backup = a.copied(3).await;
        for n in 5..10 {
            a.note(&n.to_string(), "after the backup").await;
            a.sync(&log).await;
        }
        settle(&[&a, &b], &log).await;
        assert!(log.trim().await.unwrap().transactions > 0);
        for n in 0..writes {
            backup.note(&format!("backup {n}"), "of the backup").await;
        }
        // It may be below the floor now; everything that it wrote is sent first.
        let _ = backup.join(&log).await.sync_once().await;
        b.sync(&log).await;
        for n in 0..writes {
            assert!(b.title(&format!("backup {n}")).await.is_some(), "{n} of {writes}");
        }
    }
}

/// The user writes while a restored database finds out that it is one.
#[tokio::test(start_paused = true)]
async fn what_is_written_while_a_restored_database_finds_out_is_not_lost() {
    let (a, b, backup, log) = cloned().await;
    a.note("2", "after the backup").await;
    a.note("3", "after the backup").await;
    settle(&[&a, &b], &log).await;
    let scripted = ScriptedLog::new(&log);
    let writer = backup.clone();
    scripted.after(Call::Read, move || {
        let writer = writer.clone();
        async move { writer.note("4", "meanwhile").await }
    });
    backup.join(&scripted).await.sync_once().await.unwrap();
    settle(&[&backup, &a, &b], &log).await;
    assert_in_step(&[&a, &b, &backup]).await;
    assert_eq!(b.title("4").await.as_deref(), Some("meanwhile"));
    assert_eq!(backup.title("2").await.as_deref(), Some("after the backup"));
}

/// Whoever only receives cannot tell its own lost answers from what another self wrote: it passes neither.
#[tokio::test(start_paused = true)]
async fn receiving_only_does_not_pass_over_what_another_self_wrote() {
    let (a, b, copy, log) = cloned().await;
    for n in 0..3 {
        copy.note(&format!("copy {n}"), "of the copy").await;
    }
    a.note("2", "of the original").await;
    a.note("3", "of the original").await;
    a.sync(&log).await;
    let report = copy.join(&log).await.receive_once().await.unwrap();
    assert!(report.is_idle(), "{report:?}");
    a.note("4", "of the original").await;
    settle(&[&copy, &a, &b, &copy], &log).await;
    assert_in_step(&[&a, &b, &copy]).await;
    assert_eq!(count(&b, "note").await, 2 + 3 + 3);
}

/// It was a little ahead, then very much.
#[tokio::test(start_paused = true)]
async fn what_others_believe_keeps_its_date() {
    let (a, b, _, log) = cloned().await;
    a.runtime.advance(600_000);
    a.retitle("1", "ten minutes ahead").await;
    settle(&[&a, &b], &log).await;
    a.runtime.advance(70 * YEAR);
    a.note("2", "in the year 2096").await;
    a.runtime.set(storex_core::Runtime::now(&*b.runtime));
    assert!(a.sync(&log).await.incarnation.is_some());
    a.retitle("1", "afterwards").await;
    settle(&[&a, &b, &a], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("1").await.as_deref(), Some("afterwards"));
    assert_eq!(b.title("2").await.as_deref(), Some("in the year 2096"));
    assert_eq!(support::parked_count(&b).await, 0);
}

/// The only one who writes: nobody else's stamps tell that it is this clock that is wrong.
#[tokio::test(start_paused = true)]
async fn a_clock_without_the_time_dates_nothing_anew() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "before").await;
    settle(&[&a, &b], &log).await;
    a.runtime.set(storex_core::Timestamp(0));
    a.retitle("1", "in the year 1970").await;
    assert_eq!(a.sync(&log).await.incarnation, None);
    settle(&[&b, &a], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("1").await.as_deref(), Some("in the year 1970"));
}

/// What is older than sync may be something else on each device, so only those who ask for it send it.
#[tokio::test(start_paused = true)]
async fn another_log_does_not_get_what_is_older_than_sync_unasked() {
    let old = |title: &str| vec![json!({"id": "settings", "title": title})];
    let a = Device::with_old_notes(1, &old("of A")).await;
    let b = Device::with_old_notes(2, &old("of B")).await;
    a.note("1", "of A").await;
    settle(&[&a, &b], &shared_log()).await;
    settle(&[&a, &b], &another_log()).await;
    assert_eq!(a.title("settings").await.as_deref(), Some("of A"));
    assert_eq!(b.title("settings").await.as_deref(), Some("of B"));
    assert_eq!(b.title("1").await.as_deref(), Some("of A"));
}

/// The log was put back while this device was away, and somebody else has written more than it lost: what they wrote first is in
/// front of the place where this device was.
#[tokio::test(start_paused = true)]
async fn a_log_that_was_put_back_and_has_grown_since_is_read_from_its_beginning() {
    let stored = Arc::new(MemoryBackend::new());
    let clock = || Arc::new(TestRuntime::new(77));
    let log = Arc::new(BackendSharedLog::open(Arc::clone(&stored), clock()).await.unwrap());
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    a.note("1", "kept").await;
    settle(&[&a, &b], &log).await;
    let older = Arc::new(stored.copied());
    for n in 0..4 {
        a.note(&format!("lost {n}"), "by the log").await;
        a.sync(&log).await;
    }
    b.sync(&log).await;
    let log = Arc::new(BackendSharedLog::open(older, clock()).await.unwrap());
    for n in 0..9 {
        c.note(&format!("of C {n}"), "written since").await;
        c.sync(&log).await;
    }
    b.sync(&log).await;
    assert_eq!(count(&b, "note").await, 14, "what B had, and all of C's");
    // Its place is behind all that, in the database as in the log, which may be trimmed by it.
    let scripted = ScriptedLog::new(&log);
    assert!(b.sync(&scripted).await.is_idle());
    assert_eq!(scripted.count(Call::Read), 1, "nothing is read anew");
    let sync = b.join(&log).await;
    let turn = sync.turn().await.unwrap();
    let Ok(Outcome::Place { place: Some(place), device, .. }) =
        sync.perform(&turn, Action::ReadPlace).await
    else {
        panic!("it has a place")
    };
    drop(turn);
    let end = log.read(device, &Default::default(), usize::MAX).await.unwrap().cursor;
    assert_eq!(place.cursor, end);
    // Its author brings what the log has lost.
    a.note("2", "after it").await;
    settle(&[&a, &b, &c], &log).await;
    settle(&[&a, &b, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(count(&c, "note").await, 15);
}

/// A log without what is missing does not come to hold it by being read again.
#[tokio::test(start_paused = true)]
async fn what_is_missing_from_the_beginning_of_a_log_is_told() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "x").await;
    settle(&[&a, &b], &log).await;
    a.note("2", "x").await;
    a.sync(&log).await;
    let holed = ScriptedLog::new(&log);
    holed.leave_out(a.join(&log).await.device().await.unwrap(), 2);
    a.note("3", "x").await;
    a.sync(&log).await;
    for _ in 0..2 {
        let error = b.join(&holed).await.sync_once().await.unwrap_err();
        assert!(matches!(error, SyncError::Gap { expected: 2, found: 3, .. }), "{error:?}");
    }
    b.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
}

/// Whoever got an object with a state has seen the writes that it consists of: to delete it then is no conflict.
#[tokio::test(start_paused = true)]
async fn what_came_with_a_state_was_seen() {
    let wins = || SyncLog::new().update_wins(["note"]);
    let open = |seed| device_with(seed, wins());
    let (a, b, c) = (open(1).await, open(2).await, open(3).await);
    let first = shared_log();
    for n in 0..1200 {
        a.note(&n.to_string(), "one of many").await;
    }
    b.note("of B", "x").await;
    settle(&[&a, &b], &first).await;
    a.retitle("of B", "by A").await;
    a.sync(&first).await;
    // B knows it from A's state alone, and C knows nothing else.
    let second = another_log();
    settle(&[&a, &b, &c], &second).await;
    settle(&[&a, &b, &c], &second).await;
    assert_in_step(&[&a, &b, &c]).await;
    c.delete("note", json!({"id": "of B"})).await;
    b.delete("note", json!({"id": "7"})).await;
    for device in [&c, &b, &a, &b, &c] {
        let report = device.sync(&second).await;
        assert_eq!(report.received.resolutions, [], "nothing is brought back");
        assert_eq!(report.received.conflicts, []);
    }
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(a.title("of B").await, None);
    assert_eq!(a.title("7").await, None);
}

async fn device_with(seed: u64, sync_log: SyncLog) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let storage = support::open(&backend, &runtime, support::schema(), sync_log).await;
    Device { runtime, backend, storage }
}

/// Two programs on one database, without anything that keeps them apart: one begins a new incarnation, the other was about to trim
/// what the former one had sent.
#[tokio::test(start_paused = true)]
async fn what_a_new_incarnation_has_still_to_send_is_not_trimmed_as_the_former_ones() {
    let (_, _, copy, log) = cloned().await;
    let sync = copy.join(&log).await;
    let former = sync.device().await.unwrap();
    let turn = sync.turn().await.unwrap();
    copy.retitle("1", "unsent").await;
    let read = sync.perform(&turn, Action::ReadOutbox(former)).await.unwrap();
    let Outcome::Outbox(outbox) = read else { panic!("{read:?}") };
    let renewal = Renewal::Forked { at: outbox.transactions[0].sequence };
    let renewed = sync.perform(&turn, Action::Renew(former, renewal)).await.unwrap();
    let Outcome::Renewed(Some(now)) = renewed else { panic!("{renewed:?}") };
    for late in [Action::Trim(former, 100), Action::ReadOutbox(former)] {
        let outcome = sync.perform(&turn, late).await.unwrap();
        assert_eq!(outcome, Outcome::Renewed(Some(now)));
    }
    drop(turn);
    assert_eq!(sync.unsent().await.unwrap(), 1);
    assert_eq!(sync.sync_once().await.unwrap().sent_transactions, 1);
}

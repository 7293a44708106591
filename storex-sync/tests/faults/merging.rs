//! Whatever arrives in whatever order: the same on all devices, the later write, and nothing comes back from the dead.

use serde_json::json;
use storex_sync::Conflict;

use crate::support::log::{Call, ScriptedLog};
use crate::support::{Device, assert_in_step, count, pump, settle, shared_log};

#[tokio::test(start_paused = true)]
async fn l12_an_edit_with_an_earlier_clock_than_its_create_counts() {
    let log = shared_log();
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    b.runtime.set(storex_core::Timestamp(20));
    a.note("n", "v1").await;
    a.sync(&log).await;
    b.sync(&log).await;
    b.retitle("n", "edit").await;
    b.sync(&log).await;
    c.sync(&log).await;
    a.sync(&log).await;
    assert_eq!(c.title("n").await.as_deref(), Some("edit"));
    assert_in_step(&[&a, &b, &c]).await;
}

#[tokio::test(start_paused = true)]
async fn r14_with_five_seconds_of_skew_an_edit_of_what_was_seen_wins() {
    let log = shared_log();
    let (a, b) = (Device::skewed(1, 5_000).await, Device::new(2).await);
    a.note("n", "created").await;
    settle(&[&a, &b], &log).await;
    a.retitle("n", "A edit").await;
    a.sync(&log).await;
    b.sync(&log).await;
    assert_eq!(b.title("n").await.as_deref(), Some("A edit"), "B has seen it");
    b.retitle("n", "B edit").await;
    b.sync(&log).await;
    let report = a.sync(&log).await;
    assert_eq!(report.received.conflicts, [], "B had seen what it has overwritten");
    for _ in 0..4 {
        settle(&[&a, &b], &log).await;
    }
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("n").await.as_deref(), Some("B edit"));
}

/// The same, when A's write came to B by initial sync, complete or not.
#[tokio::test(start_paused = true)]
async fn r14_holds_for_what_came_by_initial_sync() {
    let log = shared_log();
    let (a, b) = (Device::skewed(1, 5_000).await, Device::new(2).await);
    a.note("n", "A").await;
    pump(&a, &b).await;
    b.retitle("n", "B edit").await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("n").await.as_deref(), Some("B edit"));
}

#[tokio::test(start_paused = true)]
async fn r11_a_clock_far_ahead_once_leaves_no_divergence() {
    for year in [2099, 1970] {
        let log = shared_log();
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        a.note("n", "created").await;
        settle(&[&a, &b], &log).await;
        let milliseconds = if year == 2099 { 4_070_908_800_000 } else { 0 };
        a.runtime.set(storex_core::Timestamp(milliseconds));
        a.retitle("n", "with a wrong clock").await;
        a.runtime.set(storex_memory::TestRuntime::START);
        settle(&[&a, &b], &log).await;
        b.retitle("n", "B, afterwards").await;
        settle(&[&a, &b], &log).await;
        assert_eq!(a.title("n").await.as_deref(), Some("B, afterwards"), "{year}");
        a.retitle("n", "A, afterwards").await;
        settle(&[&a, &b], &log).await;
        assert_eq!(b.title("n").await.as_deref(), Some("A, afterwards"), "{year}");
        assert_in_step(&[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn l13_a_delete_wins_over_what_it_had_not_seen_and_says_so() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("n", "x").await;
    settle(&[&a, &b], &log).await;
    a.delete("note", json!({})).await;
    b.runtime.advance(60_000);
    b.retitle("n", "later, but B had not seen the delete").await;
    a.sync(&log).await;
    let report = b.sync(&log).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(count(&a, "note").await, 0);
    let told = |field: &Option<_>, conflicts: &[Conflict]| {
        conflicts.iter().any(|conflict| conflict.field == *field && conflict.incoming_won)
    };
    assert!(told(&None, &report.received.conflicts), "{:?}", report.received.conflicts);

    // Whoever has seen the delete can have the object again.
    b.note("n", "again").await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("n").await.as_deref(), Some("again"));
}

#[tokio::test(start_paused = true)]
async fn r08_a_delete_and_a_newer_concurrent_update_converge_and_the_conflict_is_told() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::skewed(2, 30_000).await);
    a.note("n", "x").await;
    settle(&[&a, &b], &log).await;
    b.retitle("n", "newer").await;
    b.sync(&log).await;
    a.delete("note", json!({})).await;
    let report = a.sync(&log).await;
    assert_eq!(report.received.conflicts.len(), 1);
    assert!(!report.received.conflicts[0].incoming_won);
    assert_eq!(report.received.conflicts[0].field, None);
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(count(&a, "note").await, 0);
}

#[tokio::test(start_paused = true)]
async fn l14_a_delete_reaches_an_object_that_came_by_initial_sync() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("n", "x").await;
    pump(&a, &b).await;
    assert_eq!(count(&b, "note").await, 1);
    a.delete("note", json!({})).await;
    // Create and delete come in one page.
    a.sync(&log).await;
    b.sync(&log).await;
    assert_eq!(count(&b, "note").await, 0);

    // The same for rows that are older than sync on both.
    let old = [json!({"id": "old", "title": "older than sync"})];
    let (c, d) = (Device::with_old_notes(3, &old).await, Device::with_old_notes(4, &old).await);
    let log = shared_log();
    c.delete("note", json!({})).await;
    c.sync(&log).await;
    d.sync(&log).await;
    assert_eq!(count(&d, "note").await, 0);
}

#[tokio::test(start_paused = true)]
async fn l15_a_remote_edit_meets_what_was_deleted_and_created_again() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "x", "body": "first life", "stars": 1})).await;
    settle(&[&a, &b], &log).await;
    a.delete("note", json!({})).await;
    a.create("note", json!({"id": "n", "title": "y", "body": "second life", "stars": 2})).await;
    b.update("note", json!({}), json!({"title": "edit of the first life"})).await;
    settle(&[&b, &a], &log).await;
    assert_in_step(&[&a, &b]).await;
    let note = b.get("note", "n").await.unwrap();
    assert_eq!(note, json!({"id": "n", "title": "y", "body": "second life", "stars": 2}));
    // An edit of the second life leaves the columns alone that it does not name.
    b.update("note", json!({}), json!({"title": "z"})).await;
    settle(&[&a, &b], &log).await;
    assert_eq!(
        a.get("note", "n").await.unwrap(),
        json!({"id": "n", "title": "z", "body": "second life", "stars": 2})
    );
}

#[tokio::test(start_paused = true)]
async fn r07_two_creates_of_one_key_merge() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::skewed(2, 1_000).await);
    a.create("note", json!({"id": "n", "title": "A", "body": "only A"})).await;
    b.create("note", json!({"id": "n", "title": "B", "stars": 5})).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("n").await.as_deref(), Some("B"), "the later one");
    a.note("m", "goes on").await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn l16_any_number_of_creates_and_deletes_leaves_the_object_as_the_last_one_says() {
    // Three creates of one key.
    let log = shared_log();
    let devices =
        [Device::new(1).await, Device::new(2).await, Device::new(3).await, Device::new(4).await];
    let [a, b, c, d] = &devices;
    for (n, device) in [a, b, c].into_iter().enumerate() {
        device.runtime.advance(i64::try_from(n).unwrap());
        device.note("n", &format!("create {n}")).await;
    }
    settle(&[a, b, c, d], &log).await;
    assert_in_step(&[a, b, c, d]).await;
    assert_eq!(d.title("n").await.as_deref(), Some("create 2"));

    // A delete, then two creates that have both seen it.
    a.delete("note", json!({})).await;
    settle(&[a, b, c, d], &log).await;
    b.note("n", "again on B").await;
    c.runtime.advance(10);
    c.note("n", "again on C").await;
    settle(&[a, b, c, d], &log).await;
    assert_in_step(&[a, b, c, d]).await;
    assert_eq!(a.title("n").await.as_deref(), Some("again on C"));
}

/// The log row of the newer edit is long gone when the older one arrives.
#[tokio::test(start_paused = true)]
async fn l17_the_merge_does_not_need_the_log() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::skewed(2, 1_000).await);
    a.note("n", "created").await;
    settle(&[&a, &b], &log).await;
    a.retitle("n", "older").await;
    b.retitle("n", "newer").await;
    settle(&[&a, &b], &log).await;
    assert_eq!(count(&a, "_storex_log").await + count(&b, "_storex_log").await, 0, "trimmed");
    assert_eq!(a.title("n").await.as_deref(), Some("newer"));
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn r04_an_older_edit_that_arrives_after_the_newer_one_was_trimmed_loses() {
    let log = shared_log();
    let (a, b, c) = (Device::new(1).await, Device::skewed(2, 1_000).await, Device::new(3).await);
    a.note("n", "created").await;
    settle(&[&a, &b, &c], &log).await;
    a.retitle("n", "older, sent late").await;
    b.retitle("n", "newer, sent early").await;
    settle(&[&b, &c], &log).await;
    settle(&[&a, &b, &c], &log).await;
    assert_eq!(c.title("n").await.as_deref(), Some("newer, sent early"));
    assert_in_step(&[&a, &b, &c]).await;
}

/// Equal readings of two devices: one winner, whatever each device still knows of the history.
#[tokio::test(start_paused = true)]
async fn l18_ties_do_not_depend_on_history() {
    let mut winners = Vec::new();
    for order in [[0, 1], [1, 0]] {
        let log = shared_log();
        let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
        a.note("n", "created").await;
        settle(&[&a, &b, &c], &log).await;
        let at = storex_core::Timestamp(storex_memory::TestRuntime::START.0 + 5_000);
        a.runtime.set(at);
        b.runtime.set(at);
        a.retitle("n", "A").await;
        b.retitle("n", "B").await;
        let stamps = (
            crate::support::log_of(&a).await[0].header.hlc,
            crate::support::log_of(&b).await[0].header.hlc,
        );
        assert_eq!(stamps.0, stamps.1, "a true tie");
        let both = [&a, &b];
        settle(&[both[order[0]], both[order[1]], &c], &log).await;
        // D knows nothing but what the log and A's tables say.
        let (d, e) = (Device::new(4).await, Device::new(5).await);
        d.sync(&log).await;
        pump(&a, &e).await;
        assert_in_step(&[&a, &b, &c, &d, &e]).await;
        winners.push(c.title("n").await);
    }
    assert_eq!(winners[0], winners[1]);
}

/// A write that lands between reading the log and applying it is part of the merge.
#[tokio::test(start_paused = true)]
async fn r15_a_local_write_during_integration_is_not_reverted() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::skewed(2, 1_000).await);
    a.note("n", "created").await;
    settle(&[&a, &b], &log).await;
    a.retitle("n", "older, from A").await;
    a.sync(&log).await;
    let writer = b.clone();
    scripted.after(Call::Read, move || {
        let writer = writer.clone();
        async move { writer.retitle("n", "newest, written meanwhile").await }
    });
    b.sync(&scripted).await;
    assert_eq!(b.title("n").await.as_deref(), Some("newest, written meanwhile"));
    settle(&[&b, &a], &log).await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn r09_a_collection_that_is_not_known_here_holds_nothing_up() {
    let log = shared_log();
    let a = Device::with(1, crate::support::larger_schema()).await;
    let b = Device::new(2).await;
    a.create("extra", json!({"id": "e", "text": "B does not know this"})).await;
    a.note("n", "but this").await;
    a.sync(&log).await;
    let report = b.sync(&log).await;
    assert_eq!((report.received.parked, report.received.transactions), (1, 1));
    assert_eq!(b.title("n").await.as_deref(), Some("but this"));
    // Once the program is updated, what was parked is applied.
    let b = b.reopened(crate::support::larger_schema()).await;
    b.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(storex_sync::parked(&b.storage).await.unwrap(), []);
}

//! C80: sync can be switched off and on at run time.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use storex_core::{AutoPk, Storage};
use storex_sync::ContinuousSync;
use tokio::time::sleep;

use crate::support::{
    Device, assert_in_step, count, log_of, parked_count, schema, settle, shared_log,
};

/// The same database, opened without a sync log.
async fn without_sync(device: &Device) -> Device {
    let registry = schema().build().unwrap();
    let storage =
        Storage::builder(Arc::clone(&device.backend), registry, Arc::clone(&device.runtime) as _);
    let storage = storage.middleware(AutoPk::new()).open().await.unwrap();
    Device { storage, ..device.clone() }
}

/// Off and on while the program runs: writes are logged all the time, and are sent when it is on again.
#[tokio::test(start_paused = true)]
async fn c80_what_is_written_while_it_is_off_is_sent_when_it_is_on_again() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let minute = Duration::from_secs(60);
    for round in 0..3 {
        let continuous = ContinuousSync::start(a.join(&log).await, minute);
        a.note(&format!("on {round}"), "x").await;
        sleep(minute).await;
        continuous.stop().await;
        let sent = log.len();
        a.note(&format!("off {round}"), "x").await;
        a.retitle("on 0", &format!("while it was off, {round}")).await;
        b.note(&format!("of B {round}"), "x").await;
        b.sync(&log).await;
        sleep(minute * 10).await;
        assert_eq!(log.len(), sent + 1, "nothing but what B wrote");
    }
    settle(&[&a, &b], &log).await;
    assert_eq!(count(&b, "note").await, 9);
    assert_in_step(&[&a, &b]).await;
}

/// A program without the middleware uses the database as it is, and leaves alone what sync keeps in it.
#[tokio::test(start_paused = true)]
async fn c80_without_a_sync_log_the_storage_works_and_new_objects_are_found_later() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("known", "x").await;
    settle(&[&a, &b], &log).await;
    a.note("logged", "not sent before it was switched off").await;

    let plain = without_sync(&a).await;
    assert_eq!(plain.title("known").await.as_deref(), Some("x"));
    plain.note("unlogged 1", "x").await;
    plain.note("unlogged 2", "x").await;
    plain.retitle("unlogged 2", "y").await;
    plain.note("unlogged 3", "x").await;
    plain.delete("note", json!({"id": "unlogged 3"})).await;

    let again = a.reopened(schema()).await;
    assert_eq!(log_of(&again).await.len(), 1, "what was logged before is still there");
    let sync = again.join(&log).await;
    assert_eq!(sync.unlogged().await.unwrap(), 2);
    sync.send_state().await.unwrap();
    settle(&[&again, &b], &log).await;
    assert_eq!(sync.unlogged().await.unwrap(), 0);
    assert_in_step(&[&again, &b]).await;
    assert_eq!(b.title("unlogged 2").await.as_deref(), Some("y"));
    assert_eq!(b.title("logged").await.as_deref(), Some("not sent before it was switched off"));
    // And from now on as ever.
    again.retitle("unlogged 1", "logged").await;
    settle(&[&again, &b], &log).await;
    assert_eq!(b.title("unlogged 1").await.as_deref(), Some("logged"));
}

/// What was changed or deleted without a log nobody can find: it has no date (see decision 30). It holds nothing up, and comes
/// right with the next write of the same field or object.
#[tokio::test(start_paused = true)]
async fn c80_unlogged_changes_of_known_objects_hold_nothing_up() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for id in ["changed", "deleted", "untouched"] {
        a.note(id, "x").await;
    }
    settle(&[&a, &b], &log).await;
    let plain = without_sync(&a).await;
    plain.retitle("changed", "without a log").await;
    plain.delete("note", json!({"id": "deleted"})).await;
    let a = a.reopened(schema()).await;
    for id in ["changed", "deleted", "untouched"] {
        b.update("note", json!({"id": id}), json!({"body": "of B"})).await;
    }
    settle(&[&b, &a], &log).await;
    assert_eq!(parked_count(&a).await, 0);
    let sync = a.join(&log).await;
    sync.send_state().await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_eq!((parked_count(&a).await, parked_count(&b).await), (0, 0));
    assert_eq!(b.title("changed").await.as_deref(), Some("x"), "nobody can tell");
    assert_ne!(sync.digest().await.unwrap(), b.join(&log).await.digest().await.unwrap());

    a.retitle("changed", "with a log").await;
    a.note("deleted", "created again").await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("deleted").await.as_deref(), Some("created again"));
}

/// What was deleted with a log and created again without one is new.
#[tokio::test]
async fn c80_what_was_created_again_without_a_log_is_found_too() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("n", "first").await;
    settle(&[&a, &b], &log).await;
    a.delete("note", json!({"id": "n"})).await;
    settle(&[&a, &b], &log).await;
    without_sync(&a).await.note("n", "created again").await;
    let a = a.reopened(schema()).await;
    let sync = a.join(&log).await;
    assert_eq!(sync.unlogged().await.unwrap(), 1);
    sync.send_state().await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_eq!(a.title("n").await.as_deref(), Some("created again"));
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.join(&log).await.unlogged().await.unwrap(), 0);
}

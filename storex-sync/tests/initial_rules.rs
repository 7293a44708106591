//! An initial sync, or a snapshot, between devices that have broken a rule together: it holds up nothing, loses nothing, and
//! the rules of the merge have their say when everything is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use serde_json::json;
use storex_core::{Definition, FieldType, OnDelete, RegistryBuilder, RelationDefinition};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    Compaction, InitialSync, InitialSyncReport, MemoryChannel, Sync, SyncError, SyncLog,
    UniqueRule, WriteId, parked,
};
use support::{Device, assert_in_step, log_of, open, parked_count, pump, settle, shared_log};

fn schema() -> RegistryBuilder {
    support::schema()
        .collection(Definition::new("team").field("name", FieldType::String))
        .collection(
            Definition::new("member")
                .field("name", FieldType::String)
                .relation(RelationDefinition::child_of("team").on_delete(OnDelete::Cascade)),
        )
        .collection(Definition::new("seat").field("number", FieldType::Int).unique(["number"]))
}

async fn device_with(seed: u64, sync_log: SyncLog) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let storage = open(&backend, &runtime, schema(), sync_log).await;
    Device { runtime, backend, storage }
}

async fn device(seed: u64) -> Device {
    device_with(seed, SyncLog::new()).await
}

async fn login(device: &Device, id: &str, name: &str) {
    device.create("login", json!({"id": id, "name": name})).await;
}

/// The logins 1 ("first") and 2 ("second") exchange their names.
async fn exchange_names(device: &Device) {
    device.update("login", json!({"id": "1"}), json!({"name": "free"})).await;
    device.update("login", json!({"id": "2"}), json!({"name": "first"})).await;
    device.update("login", json!({"id": "1"}), json!({"name": "second"})).await;
}

/// With pages so small that what belongs together is in several.
async fn pump_slowly(from: &Device, to: &Device, page: u64) -> InitialSyncReport {
    let (mut here, mut there) = MemoryChannel::pair();
    let sender = InitialSync::open(&from.storage).await.unwrap().page(page);
    let receiver = InitialSync::open(&to.storage).await.unwrap();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    sent.unwrap();
    received.unwrap()
}

#[tokio::test(start_paused = true)]
async fn of_two_objects_with_one_unique_value_the_later_is_renamed() {
    let log = shared_log();
    let (a, b) = (device(1).await, device(2).await);
    b.runtime.advance(1_000);
    login(&a, "of A", "ada").await;
    login(&b, "of B", "ada").await;
    for n in 0..20 {
        a.note(&format!("{n}"), "arrives all the same").await;
    }
    let report = pump_slowly(&a, &b, 7).await;
    assert_eq!((report.total(), report.parked), (21, 1));
    assert_eq!(b.get("login", "of A").await.unwrap()["name"], "ada");
    let renamed = b.get("login", "of B").await.unwrap()["name"].clone();
    assert!(renamed.as_str().unwrap().starts_with("ada~"), "{renamed}");
    assert_eq!(parked_count(&b).await, 0);
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.get("login", "of B").await.unwrap()["name"], renamed);
}

/// The sender has moved a value from one object to another; the receiver holds both as they were.
#[tokio::test(start_paused = true)]
async fn a_unique_value_that_has_moved_breaks_nothing() {
    for page in [1, 2, 100] {
        let log = shared_log();
        let (a, b) = (device(1).await, device(2).await);
        login(&a, "1", "first").await;
        login(&a, "2", "second").await;
        login(&a, "3", "third").await;
        settle(&[&a, &b], &log).await;
        // Handed on, and exchanged in a circle.
        a.update("login", json!({"id": "3"}), json!({"name": "free"})).await;
        a.update("login", json!({"id": "2"}), json!({"name": "third"})).await;
        a.update("login", json!({"id": "1"}), json!({"name": "second"})).await;
        a.update("login", json!({"id": "3"}), json!({"name": "first"})).await;
        pump_slowly(&a, &b, page).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(log_of(&b).await, [], "nobody had to give way");
        assert_eq!(parked_count(&b).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_rule_leaves_to_somebody_waits_and_the_rest_is_there() {
    let log = shared_log();
    let park = || SyncLog::new().on_unique("seat", ["number"], UniqueRule::Park);
    let (a, b) = (device_with(1, park()).await, device_with(2, park()).await);
    a.create("seat", json!({"id": "of A", "number": 1})).await;
    a.create("seat", json!({"id": "free", "number": 2})).await;
    b.create("seat", json!({"id": "of B", "number": 1})).await;
    for _ in 0..2 {
        pump(&a, &b).await;
        assert_eq!(b.get("seat", "of A").await, None);
        assert!(b.get("seat", "free").await.is_some());
        let waiting = parked(&b.storage).await.unwrap();
        assert_eq!(waiting.len(), 1, "the same object waits once");
        assert!(waiting[0].reason.contains("seat"), "{}", waiting[0].reason);
    }
    // What waits travels on with the next initial sync.
    let c = device_with(3, park()).await;
    pump(&b, &c).await;
    assert_eq!(parked_count(&c).await, 1);
    // Somebody decides; then it comes in by itself.
    for device in [&b, &c] {
        device.update("seat", json!({"id": "of B"}), json!({"number": 3})).await;
        let sync = device.join(&log).await;
        let waiting = parked(&device.storage).await.unwrap();
        let write = WriteId { device: waiting[0].device, sequence: waiting[0].sequence };
        assert_eq!(sync.retry(write).await.unwrap().transactions, 1);
        assert_eq!(device.get("seat", "of A").await.unwrap()["number"], 1);
        assert_eq!(parked_count(device).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded() {
    let park = || SyncLog::new().on_unique("seat", ["number"], UniqueRule::Park);
    let (a, b) = (device_with(1, park()).await, device_with(2, park()).await);
    for n in 0..4 {
        a.create("seat", json!({"id": format!("A{n}"), "number": n})).await;
        b.create("seat", json!({"id": format!("B{n}"), "number": n})).await;
    }
    let log = shared_log();
    a.sync(&log).await;
    let sync = a.join(&log).await.compaction(Compaction { least: 1, most_behind: None });
    sync.compact().await.unwrap();
    a.note("later", "x").await;
    a.sync(&log).await;
    let sync = b.join(&log).await.most_parked(2);
    let error = sync.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::ParkingFull { most: 2 }), "{error:?}");
    let sync = b.join(&log).await.most_parked(10);
    sync.sync_once().await.unwrap();
    assert_eq!(b.title("later").await.as_deref(), Some("x"));
    assert_eq!(parked_count(&b).await, 4);
}

/// A snapshot in the shared log, taken by a device that has written meanwhile.
#[tokio::test(start_paused = true)]
async fn a_snapshot_is_taken_though_a_unique_value_is_taken_here() {
    let log = shared_log();
    let (a, b) = (device(1).await, device(2).await);
    b.runtime.advance(1_000);
    login(&a, "of A", "ada").await;
    for n in 0..5 {
        a.note(&format!("{n}"), "x").await;
        a.sync(&log).await;
    }
    let sync: Sync = a.join(&log).await.compaction(Compaction { least: 1, most_behind: None });
    assert!(sync.compact().await.unwrap().snapshot.is_some());
    // What follows the snapshot resolves one of the two.
    login(&a, "2", "grace").await;
    a.update("login", json!({"id": "of A"}), json!({"name": "lovelace"})).await;
    a.sync(&log).await;
    login(&b, "of B", "ada").await;
    login(&b, "3", "grace").await;
    let report = b.sync(&log).await;
    assert_eq!(report.restored.map(|it| it.parked), Some(1));
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(parked_count(&b).await, 0);
    assert_eq!(a.get("login", "of A").await.unwrap()["name"], "lovelace");
    assert_eq!(a.get("login", "of B").await.unwrap()["name"], "ada", "it is free by now");
    let renamed = a.get("login", "3").await.unwrap()["name"].clone();
    assert!(renamed.as_str().unwrap().starts_with("grace~"), "{renamed}");
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_parent_was_deleted_follows_its_rule() {
    for deleted_by_sender in [true, false] {
        let log = shared_log();
        let (a, b) = (device(1).await, device(2).await);
        a.create("team", json!({"id": "t", "name": "T"})).await;
        a.create("team", json!({"id": "u", "name": "U"})).await;
        a.create("member", json!({"id": "moved", "name": "N", "team": "t"})).await;
        settle(&[&a, &b], &log).await;
        let (gone, hired) = if deleted_by_sender { (&a, &b) } else { (&b, &a) };
        hired.create("member", json!({"id": "m", "name": "M", "team": "t"})).await;
        hired.update("member", json!({"id": "moved"}), json!({"team": "u"})).await;
        gone.update("member", json!({"id": "moved"}), json!({"team": "u"})).await;
        gone.delete("team", json!({"id": "t"})).await;
        pump_slowly(&a, &b, 1).await;
        assert_eq!(b.get("member", "m").await, None, "{deleted_by_sender}");
        assert!(b.get("member", "moved").await.is_some(), "it hangs on another one by now");
        settle(&[&b, &a], &log).await;
        assert_in_step(&[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_that_the_sender_had_not_seen_wins_where_updates_win() {
    let log = shared_log();
    let wins = || SyncLog::new().update_wins(["note"]);
    let (a, b) = (device_with(1, wins()).await, device_with(2, wins()).await);
    a.note("1", "x").await;
    a.note("2", "x").await;
    settle(&[&a, &b], &log).await;
    b.retitle("1", "edited on B").await;
    a.delete("note", json!({})).await;
    pump(&a, &b).await;
    assert_eq!(b.title("1").await.as_deref(), Some("edited on B"));
    assert_eq!(b.title("2").await, None);
    settle(&[&b, &a], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("1").await.as_deref(), Some("edited on B"));
}

/// Rows older than sync on both sides, which nobody can date, and one unique value.
#[tokio::test(start_paused = true)]
async fn rows_older_than_sync_that_share_a_unique_value_are_both_kept() {
    let old = |seed: u64, id: &'static str| async move {
        let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
        let registry = schema().build().unwrap();
        let before = storex_core::Storage::builder(
            Arc::clone(&backend),
            registry,
            Arc::clone(&runtime) as _,
        );
        let before = before.open().await.unwrap();
        before.dynamic("login").unwrap().create(json!({"id": id, "name": "ada"})).await.unwrap();
        let storage = open(&backend, &runtime, schema(), SyncLog::new()).await;
        Device { runtime, backend, storage }
    };
    let (a, b) = (old(1, "of A").await, old(2, "of B").await);
    pump(&a, &b).await;
    assert_eq!(b.storage.dynamic("login").unwrap().count(&json!({})).await.unwrap(), 2);
    assert_eq!(parked_count(&b).await, 0);
}

/// What is in the way of a value, or of a child, moves with a later page, also where updates win.
#[tokio::test(start_paused = true)]
async fn nothing_is_judged_before_everything_is_there_where_updates_win() {
    for page in [1, 100] {
        let log = shared_log();
        let wins = || SyncLog::new().update_wins(["team", "login", "member"]);
        let (a, b) = (device_with(1, wins()).await, device_with(2, wins()).await);
        a.create("team", json!({"id": "t", "name": "T"})).await;
        a.create("team", json!({"id": "u", "name": "U"})).await;
        a.create("member", json!({"id": "moved", "name": "N", "team": "t"})).await;
        login(&a, "9", "ada").await;
        settle(&[&a, &b], &log).await;
        a.update("member", json!({"id": "moved"}), json!({"team": "u"})).await;
        a.delete("team", json!({"id": "t"})).await;
        a.update("login", json!({"id": "9"}), json!({"name": "grace"})).await;
        login(&a, "1", "ada").await;
        pump_slowly(&a, &b, page).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(log_of(&b).await, [], "nobody had to give way");
        assert_eq!(parked_count(&b).await, 0);
    }
}

/// The parent is created anew, and waits for a name that is taken, when its child arrives.
#[tokio::test(start_paused = true)]
async fn a_child_is_not_judged_before_its_parent_was_let_in() {
    let unique = || {
        support::schema()
            .collection(Definition::new("team").field("name", FieldType::String).unique(["name"]))
            .collection(
                Definition::new("member")
                    .field("name", FieldType::String)
                    .relation(RelationDefinition::child_of("team").on_delete(OnDelete::Cascade)),
            )
    };
    let log = shared_log();
    let (a, b) = (Device::with(1, unique()).await, Device::with(2, unique()).await);
    a.create("team", json!({"id": "t", "name": "Inbox"})).await;
    settle(&[&a, &b], &log).await;
    a.delete("team", json!({})).await;
    settle(&[&a, &b], &log).await;
    b.runtime.advance(1_000);
    b.create("team", json!({"id": "of B", "name": "Inbox"})).await;
    a.create("team", json!({"id": "t", "name": "Inbox"})).await;
    a.create("member", json!({"id": "m", "name": "M", "team": "t"})).await;
    pump_slowly(&a, &b, 1).await;
    assert!(b.get("member", "m").await.is_some());
    assert!(b.get("team", "t").await.is_some());
    settle(&[&b, &a], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.storage.dynamic("team").unwrap().count(&json!({})).await.unwrap(), 2);
}

/// One that stays refused does not keep two others from exchanging a value.
#[tokio::test(start_paused = true)]
async fn one_that_waits_does_not_keep_others_from_exchanging_values() {
    let log = shared_log();
    let park = || SyncLog::new().on_unique("seat", ["number"], UniqueRule::Park);
    let (a, b) = (device_with(1, park()).await, device_with(2, park()).await);
    login(&a, "1", "first").await;
    login(&a, "2", "second").await;
    settle(&[&a, &b], &log).await;
    exchange_names(&a).await;
    a.create("seat", json!({"id": "of A", "number": 1})).await;
    b.create("seat", json!({"id": "of B", "number": 1})).await;
    pump_slowly(&a, &b, 1).await;
    assert_eq!(parked_count(&b).await, 1, "the seat");
    assert_eq!(b.get("login", "1").await.unwrap()["name"], "second");
    assert_eq!(b.get("login", "2").await.unwrap()["name"], "first");
    assert_eq!(log_of(&b).await.len(), 1, "its own seat: nobody had to give way");
}

/// An initial sync that breaks off, wherever it does, leaves what is parked alone until another one comes to its end.
#[tokio::test(start_paused = true)]
async fn what_an_initial_sync_has_parked_waits_for_its_end() {
    let mut waited = 0;
    for frames in 2..30 {
        let log = shared_log();
        let (a, b) = (device(1).await, device(2).await);
        login(&a, "1", "first").await;
        login(&a, "2", "second").await;
        settle(&[&a, &b], &log).await;
        exchange_names(&a).await;
        let (mut here, mut there) = support::channel::Watched::pair(frames);
        let sender = InitialSync::open(&a.storage).await.unwrap().page(1);
        let receiver = InitialSync::open(&b.storage).await.unwrap();
        let (_, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
        if received.is_err() {
            waited += parked_count(&b).await;
        }
        let c = device(3).await;
        c.note("of C", "something arrives").await;
        c.sync(&log).await;
        b.sync(&log).await;
        assert!(log_of(&b).await.is_empty(), "nothing was judged");
        pump_slowly(&a, &b, 1).await;
        assert_eq!(parked_count(&b).await, 0);
        assert_eq!(b.get("login", "1").await.unwrap()["name"], "second");
        assert!(log_of(&b).await.is_empty(), "nobody had to give way");
    }
    assert!(waited > 0, "it broke off between the two");
}

/// One that broke off, and the shared log brings the rest.
#[tokio::test(start_paused = true)]
async fn what_an_initial_sync_has_left_behind_goes_in_when_the_log_has_brought_the_rest() {
    let log = shared_log();
    let (a, b) = (device(1).await, device(2).await);
    login(&a, "1", "first").await;
    login(&a, "2", "second").await;
    settle(&[&a, &b], &log).await;
    exchange_names(&a).await;
    for frames in 2..30 {
        let (mut here, mut there) = support::channel::Watched::pair(frames);
        let sender = InitialSync::open(&a.storage).await.unwrap().page(1);
        let receiver = InitialSync::open(&b.storage).await.unwrap();
        let _ = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
        if parked_count(&b).await > 0 {
            break;
        }
    }
    assert_eq!(parked_count(&b).await, 1);
    settle(&[&a, &b], &log).await;
    assert_eq!(parked_count(&b).await, 0);
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.get("login", "1").await.unwrap()["name"], "second");
}

/// What came beside something that waited was seen, once that is in: a delete of it is no delete of something unseen.
#[tokio::test(start_paused = true)]
async fn what_came_beside_something_that_waited_was_seen() {
    let log = shared_log();
    let wins = || SyncLog::new().update_wins(["note"]);
    let (a, b) = (device_with(1, wins()).await, device_with(2, wins()).await);
    b.runtime.advance(1_000);
    a.note("1", "x").await;
    login(&a, "of A", "ada").await;
    login(&b, "of B", "ada").await;
    assert_eq!(pump(&a, &b).await.1.parked, 1);
    b.delete("note", json!({})).await;
    settle(&[&b, &a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("1").await, None, "nobody brings it back");
}

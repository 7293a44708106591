//! Scopes that are added: from the log, from its snapshot, and where both lack the beginning.

use storex_sync::{Backfill, Compaction, Limits};

use super::*;
use support::log::{Call, Fault, ScriptedLog};
use support::pump;

const EAGER: Compaction = Compaction { least: 1, most_behind: None };

async fn state(device: &Device, log: &Arc<impl SharedSyncLog>) -> Backfill {
    device.join(log).await.backfill().await.unwrap()
}

/// Writes by several devices, moves among them, and one of this device itself.
async fn history(log: &Arc<impl SharedSyncLog>) -> (Device, Device) {
    let (a, b) = (device(1).await, device(2).await);
    for n in 0..6 {
        write(&a, &n.to_string(), if n % 2 == 0 { "x" } else { "y" }).await;
    }
    settle(&[&a, &b], log).await;
    b.retitle("1", "edited on B").await;
    b.update("note", json!({"id": "1"}), json!({"stars": {"$inc": 2}, "tags": ["b"]})).await;
    a.update("note", json!({"id": "1"}), json!({"stars": {"$inc": 3}, "tags": ["a"]})).await;
    settle(&[&b, &a], log).await;
    shift(&a, "0", "y").await;
    a.delete("note", json!({"id": "3"})).await;
    settle(&[&a, &b], log).await;
    subscribe(&b, log, &["x"]).await;
    settle(&[&b, &a], log).await;
    assert_eq!(ids(&b).await, ["2", "4"]);
    (a, b)
}

/// What this device itself wrote comes back with it, and everything that was written since.
#[tokio::test(start_paused = true)]
async fn c19_a_scope_comes_back_whole() {
    let log = shared_log();
    let (a, b) = history(&log).await;
    a.retitle("5", "edited while B did not hold it").await;
    a.sync(&log).await;
    subscribe(&b, &log, &["y"]).await;
    assert_eq!(state(&b, &log).await, Backfill::Pending);
    let sync = b.join(&log).await.limits(Limits { bytes: 1, transactions: 1 });
    let report = sync.sync_once().await.unwrap();
    assert_eq!(report.backfill, Some(Backfill::Complete));
    assert!(report.received.conflicts.is_empty());
    assert_eq!(
        (state(&b, &log).await, ids(&b).await),
        (Backfill::Complete, vec!["0".into(), "1".into(), "5".into()])
    );
    let everything = held(&a).await;
    for (id, note) in held(&b).await {
        assert_eq!(note, everything[&id]);
    }
    assert_eq!(everything["1"]["stars"], 5);
    assert_eq!(b.sync(&log).await.backfill, None);
    // Its clocks are as they were: what is added from here on counts once.
    b.update("note", json!({"id": "1"}), json!({"stars": {"$inc": 10}})).await;
    settle(&[&b, &a], &log).await;
    assert_eq!(held(&a).await["1"]["stars"], 15);
}

/// From the snapshot in the log, and what follows it.
#[tokio::test(start_paused = true)]
async fn c19_a_scope_comes_from_a_snapshot() {
    let log = shared_log();
    let (a, b) = history(&log).await;
    let compacted = a.join(&log).await.compaction(EAGER).compact().await.unwrap();
    assert!(compacted.trimmed > 0);
    a.retitle("5", "later").await;
    a.sync(&log).await;
    subscribe(&b, &log, &["y"]).await;
    assert_eq!(b.sync(&log).await.backfill, Some(Backfill::Complete));
    assert_eq!(ids(&b).await, ["0", "1", "5"]);
    let everything = held(&a).await;
    assert!(held(&b).await.iter().all(|(id, note)| *note == everything[id]));
}

/// What the log cannot give now is no end: whatever was read first, it comes before all is said to be here.
#[cfg(feature = "object-store")]
#[tokio::test(start_paused = true)]
async fn c19_a_backfill_waits_for_what_is_missing() {
    use support::objects::{Harm, Objects};

    for harm in [Harm::Away, Harm::Flipped] {
        let objects = Objects::new().await;
        let log = &objects.log;
        let (a, b, c) = (device(1).await, device(2).await, holding(3, log, &["z"]).await);
        for id in ["1", "2", "3"] {
            write(&a, id, "x").await;
            settle(&[&a, &b, &c], log).await;
        }
        b.retitle("2", "edited on B").await;
        settle(&[&b, &a, &c], log).await;
        let maker = a.join(log).await.device().await.unwrap();
        let whole = objects.harm(harm, maker, 2).await;
        subscribe(&c, log, &["x"]).await;
        for _ in 0..3 {
            assert_eq!(c.sync(log).await.backfill, Some(Backfill::Pending));
        }
        assert_eq!((state(&c, log).await, ids(&c).await), (Backfill::Pending, vec!["1".into()]));
        objects.bring(whole).await;
        assert_eq!(c.sync(log).await.backfill, Some(Backfill::Complete));
        assert_eq!(held(&c).await, held(&a).await);
    }
}

/// A log that has dropped its beginning says so, and goes on; a snapshot helps, and so does an initial sync.
#[tokio::test(start_paused = true)]
async fn c19_a_log_without_its_beginning_is_told() {
    for by_snapshot in [true, false] {
        let log = shared_log();
        let (a, b) = history(&log).await;
        settle(&[&a, &b], &log).await;
        assert!(log.trim().await.unwrap().transactions > 0);
        subscribe(&b, &log, &["x", "y"]).await;
        assert_eq!(b.sync(&log).await.backfill, Some(Backfill::NoBeginning));
        assert_eq!(state(&b, &log).await, Backfill::NoBeginning);
        // What is written goes its way.
        write(&a, "7", "y").await;
        a.sync(&log).await;
        assert_eq!(b.sync(&log).await.backfill, Some(Backfill::NoBeginning));
        assert_eq!(ids(&b).await, ["2", "4", "7"]);
        if by_snapshot {
            a.join(&log).await.compaction(EAGER).compact().await.unwrap();
            assert_eq!(b.sync(&log).await.backfill, Some(Backfill::Complete));
        } else {
            pump(&a, &b).await;
        }
        assert_eq!(state(&b, &log).await, Backfill::Complete);
        assert_eq!(held(&b).await, held(&a).await);
        assert_eq!(b.sync(&log).await.backfill, None);
    }
}

/// An initial sync from a device that is behind, or holds a part itself, is not taken for everything.
#[tokio::test(start_paused = true)]
async fn c19_who_lacks_something_does_not_complete_a_scope() {
    let log = shared_log();
    let (a, b) = history(&log).await;
    let (behind, part) = (device(5).await, holding(6, &log, &["x"]).await);
    settle(&[&behind, &part, &a, &b], &log).await;
    write(&a, "7", "y").await;
    settle(&[&a, &b, &part], &log).await;
    log.trim().await.unwrap();
    subscribe(&b, &log, &["x", "y"]).await;
    for sender in [&behind, &part] {
        pump(sender, &b).await;
        assert_ne!(state(&b, &log).await, Backfill::Complete);
    }
    pump(&a, &b).await;
    assert_eq!((state(&b, &log).await, held(&b).await), (Backfill::Complete, held(&a).await));
}

/// The network fails on the way, the program ends: it goes on where it was, and is not complete before.
#[tokio::test(start_paused = true)]
async fn c19_a_backfill_goes_on_after_a_restart() {
    let inner = shared_log();
    let (a, b) = history(&inner).await;
    subscribe(&b, &inner, &["x", "y"]).await;
    let log = ScriptedLog::new(&inner);
    let mut rounds = 0;
    while state(&b, &log).await != Backfill::Complete {
        // The look at what is new, and two pages.
        log.heal();
        log.script(Call::Read, [Fault::None, Fault::None, Fault::None, Fault::Fail]);
        let b = Device { storage: open(&b.backend, &b.runtime).await, ..b.clone() };
        let sync = b.join(&log).await.limits(Limits { bytes: 1, transactions: 1 });
        let result = sync.sync_once().await;
        assert_eq!(result.is_ok(), state(&b, &log).await == Backfill::Complete);
        rounds += 1;
        assert!(rounds < 100, "it begins anew each time");
    }
    assert!(rounds > 3);
    assert_eq!(held(&b).await, held(&a).await);
}

/// A name that has passed from one object to another: what is read again was in order at no time together with what is here.
#[tokio::test(start_paused = true)]
async fn c19_a_backfill_does_not_trip_over_the_past() {
    let log = shared_log();
    let new = |seed: u64| async move {
        let schema = Registry::builder().collection(
            Definition::new("page")
                .field("name", FieldType::String)
                .field("book", FieldType::String)
                .unique(["name"]),
        );
        let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
        let sync_log = SyncLog::new().scoped("page", "book");
        let storage = support::open(&backend, &runtime, schema, sync_log).await;
        Device { runtime, backend, storage }
    };
    let (a, b) = (new(1).await, new(2).await);
    let subscribe = |books: &[&'static str]| {
        let (b, log, scope) = (b.clone(), Arc::clone(&log), Scope::only(books.iter().copied()));
        async move { b.join(&log).await.subscribe("page", scope).await.unwrap() }
    };
    subscribe(&["y"]).await;
    a.create("page", json!({"id": "1", "name": "n", "book": "x"})).await;
    a.update("page", json!({}), json!({"name": "m"})).await;
    a.create("page", json!({"id": "2", "name": "n", "book": "y"})).await;
    settle(&[&a, &b], &log).await;
    subscribe(&["x", "y"]).await;
    let small = b.join(&log).await.limits(Limits { bytes: 1, transactions: 1 });
    assert_eq!(small.sync_once().await.unwrap().backfill, Some(Backfill::Complete));
    for _ in 0..2 {
        settle(&[&b, &a], &log).await;
    }
    support::assert_in_step(&[&a, &b]).await;
    assert_eq!(b.get("page", "1").await.unwrap()["name"], "m");
    assert_eq!(support::parked_count(&b).await, 0);
}

/// A log that gives transactions device by device: what was changed may come before what was created.
#[cfg(feature = "object-store")]
#[tokio::test(start_paused = true)]
async fn c19_a_backfill_needs_no_order() {
    let store = Arc::new(storex_sync::object_store::memory::InMemory::new());
    let runtime = Arc::new(TestRuntime::new(99));
    let log = Arc::new(storex_sync::ObjectSharedLog::open(store, runtime).await.unwrap());
    let (a, b, c) = (device(1).await, device(2).await, holding(3, &log, &["z"]).await);
    write(&a, "1", "x").await;
    write(&b, "2", "x").await;
    settle(&[&a, &b], &log).await;
    a.retitle("2", "edited on A").await;
    b.retitle("1", "edited on B").await;
    settle(&[&a, &b, &c], &log).await;
    subscribe(&c, &log, &["x"]).await;
    assert_eq!(c.sync(&log).await.backfill, Some(Backfill::Complete));
    assert_eq!(held(&c).await, held(&a).await);
    assert_eq!(support::parked_count(&c).await, 0);
}

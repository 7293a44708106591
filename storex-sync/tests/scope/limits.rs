//! What a device that holds a part does not claim.

use storex_core::OnDelete;
use storex_sync::{Backfill, Compaction, ConflictJournal, LogId, MemorySharedLog, WriteId};

use super::*;
use support::pump;

const EAGER: Compaction = Compaction { least: 1, most_behind: None };

/// A snapshot would lack what is not held.
#[tokio::test(start_paused = true)]
async fn a_device_that_holds_a_part_makes_no_snapshot() {
    let log = shared_log();
    let (a, b) = (device(1).await, holding(2, &log, &["x"]).await);
    write(&a, "1", "x").await;
    write(&a, "2", "y").await;
    settle(&[&a, &b], &log).await;
    let compact =
        || async { b.join(&log).await.compaction(EAGER).compact().await.unwrap().snapshot };
    assert_eq!(compact().await, None);
    b.join(&log).await.subscribe("note", Scope::All).await.unwrap();
    b.sync(&log).await;
    assert!(compact().await.is_some(), "it holds everything by now");
}

/// Who gets an initial sync from one that holds a part reads the log for the rest.
#[tokio::test(start_paused = true)]
async fn an_initial_sync_of_a_part_is_no_claim() {
    let log = shared_log();
    let (a, b, c) = (device(1).await, holding(2, &log, &["x"]).await, device(3).await);
    write(&a, "1", "x").await;
    write(&a, "2", "y").await;
    settle(&[&a, &b], &log).await;
    pump(&b, &c).await;
    assert_eq!(ids(&c).await, ["1"]);
    c.sync(&log).await;
    assert_eq!(ids(&c).await, ["1", "2"]);
    // And who holds a part takes a part.
    let d = holding(4, &log, &["y"]).await;
    pump(&a, &d).await;
    assert_eq!((ids(&d).await, clocks(&d).await), (vec!["2".to_owned()], 1));
    d.sync(&log).await;
    a.retitle("2", "later").await;
    settle(&[&a, &d], &log).await;
    assert_eq!(d.title("2").await.as_deref(), Some("later"));
}

/// Nor is a state that it sends again, to a log that was replaced.
#[tokio::test(start_paused = true)]
async fn a_state_of_a_part_is_no_claim() {
    let log = shared_log();
    let (a, b) = (device(1).await, holding(2, &log, &["x"]).await);
    write(&a, "1", "x").await;
    write(&a, "2", "y").await;
    settle(&[&a, &b], &log).await;
    let second = Arc::new(MemorySharedLog::new(LogId([8; 16])));
    let c = device(3).await;
    settle(&[&b, &c], &second).await;
    assert_eq!(ids(&c).await, ["1"]);
    // What it deletes it has not seen all of: that is told as a conflict.
    a.retitle("1", "later").await;
    settle(&[&a, &c, &b], &second).await;
    settle(&[&a, &c, &b], &second).await;
    assert_eq!(
        (ids(&c).await, ids(&b).await),
        (vec!["1".into(), "2".into()], vec!["1".to_owned()])
    );
    assert_eq!(held(&c).await, held(&a).await);
    assert_eq!(held(&b).await["1"], held(&a).await["1"]);
}

/// Who has got such a state and writes without having seen what was not in it is told of the conflict.
#[tokio::test(start_paused = true)]
async fn who_has_a_state_of_a_part_has_not_seen_the_rest() {
    let log = shared_log();
    let (a, b) = (device(1).await, holding(2, &log, &["x"]).await);
    write(&a, "1", "x").await;
    write(&a, "2", "y").await;
    settle(&[&a, &b], &log).await;
    let second = Arc::new(MemorySharedLog::new(LogId([8; 16])));
    let c = device(3).await;
    settle(&[&b, &c], &second).await;
    c.runtime.advance(1_000);
    c.create("note", json!({"id": "2", "title": "of C", "notebook": "y"})).await;
    c.sync(&second).await;
    let report = a.sync(&second).await;
    assert!(!report.received.conflicts.is_empty(), "{report:?}");
    settle(&[&c, &a], &second).await;
    assert_eq!(held(&c).await, held(&a).await);
}

/// What points to an object of another scope is no orphan.
#[tokio::test(start_paused = true)]
async fn what_points_outside_is_no_orphan() {
    let log = shared_log();
    let new = |seed: u64| async move {
        let schema = Registry::builder()
            .collection(
                Definition::new("topic")
                    .field("name", FieldType::String)
                    .field("book", FieldType::String),
            )
            .collection(
                Definition::new("page")
                    .field("book", FieldType::String)
                    .field("topic", FieldType::String)
                    .foreign_key(["topic"], "topic", ["id"], OnDelete::Cascade),
            );
        let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
        let sync_log = SyncLog::new().scoped("page", "book").scoped("topic", "book");
        let storage = support::open(&backend, &runtime, schema, sync_log).await;
        Device { runtime, backend, storage }
    };
    let (a, b) = (new(1).await, new(2).await);
    a.create("topic", json!({"id": "t", "name": "n", "book": "y"})).await;
    a.create("page", json!({"id": "p", "book": "x", "topic": "t"})).await;
    settle(&[&a, &b], &log).await;
    let sync = b.join(&log).await;
    sync.subscribe("topic", Scope::only(["x"])).await.unwrap();
    sync.subscribe("page", Scope::only(["x"])).await.unwrap();
    settle(&[&b, &a, &b], &log).await;
    assert_eq!((count(&b, "topic").await, count(&b, "page").await), (0, 1));
    a.create("page", json!({"id": "q", "book": "x", "topic": "t"})).await;
    settle(&[&a, &b], &log).await;
    sync.subscribe("page", Scope::only(["x", "y"])).await.unwrap();
    settle(&[&b, &a], &log).await;
    assert_eq!((count(&b, "page").await, count(&a, "page").await), (2, 2));
    // But it is when it is deleted, wherever it was.
    a.delete("topic", json!({})).await;
    settle(&[&a, &b], &log).await;
    assert_eq!((count(&b, "page").await, count(&a, "page").await), (0, 0));
}

/// What a journal holds of what has gone stays to be looked at, and cannot be put back.
#[tokio::test(start_paused = true)]
async fn a_conflict_of_what_has_gone_cannot_be_put_back() {
    let log = shared_log();
    let (a, b) = (device(1).await, device(2).await);
    write(&a, "1", "x").await;
    settle(&[&a, &b], &log).await;
    b.retitle("1", "of B").await;
    a.runtime.advance(1_000);
    a.retitle("1", "of A").await;
    settle(&[&a, &b], &log).await;
    let journal = ConflictJournal::open(&b.storage).await.unwrap();
    let noted = journal.list(&storex_sync::ConflictQuery::default()).await.unwrap();
    subscribe(&b, &log, &["y"]).await;
    b.sync(&log).await;
    assert!(journal.undo(noted[0].id).await.is_err());
}

/// What is older than sync was never sent: it stays.
#[tokio::test(start_paused = true)]
async fn what_was_never_sent_does_not_go() {
    let log = shared_log();
    let (runtime, backend) = (Arc::new(TestRuntime::new(1)), Arc::new(MemoryBackend::new()));
    let registry = notes().build().unwrap();
    let before = Storage::builder(Arc::clone(&backend), registry, Arc::clone(&runtime) as _);
    let before = before.open().await.unwrap();
    let old = json!({"id": "old", "title": "older than sync", "notebook": "y"});
    before.dynamic("note").unwrap().create(old).await.unwrap();
    let a = Device { storage: open(&backend, &runtime).await, runtime, backend };
    write(&a, "1", "y").await;
    subscribe(&a, &log, &["x"]).await;
    a.sync(&log).await;
    assert_eq!(ids(&a).await, ["old"]);
    a.join(&log).await.send_state().await.unwrap();
    a.sync(&log).await;
    subscribe(&a, &log, &["z"]).await;
    subscribe(&a, &log, &["x"]).await;
    a.sync(&log).await;
    assert_eq!(ids(&a).await, [""; 0]);
    let b = device(2).await;
    b.sync(&log).await;
    assert_eq!(ids(&b).await, ["1", "old"]);
}

/// What the application has discarded does not come again when the log is read again, and what is parked is not parked anew.
#[tokio::test(start_paused = true)]
async fn what_was_discarded_does_not_come_with_a_scope_that_is_added() {
    let log = shared_log();
    let (a, b) = (device(1).await, holding(2, &log, &["x"]).await);
    b.sync(&log).await;
    let right = storex_core::Runtime::now(&*a.runtime);
    a.runtime.advance(30 * 24 * 3600 * 1000);
    write(&a, "1", "x").await;
    write(&a, "2", "x").await;
    a.sync(&log).await;
    a.runtime.set(right);
    b.sync(&log).await;
    let parked = storex_sync::parked(&b.storage).await.unwrap();
    assert_eq!(parked.len(), 2);
    let write = WriteId { device: parked[0].device, sequence: parked[0].sequence };
    b.join(&log).await.discard(write).await.unwrap();
    subscribe(&b, &log, &["x", "y"]).await;
    // There is room for no more than what is parked already.
    let sync = b.join(&log).await.most_parked(1);
    assert_eq!(sync.sync_once().await.unwrap().backfill, Some(Backfill::Complete));
    assert_eq!(storex_sync::parked(&b.storage).await.unwrap(), parked[1..]);
}

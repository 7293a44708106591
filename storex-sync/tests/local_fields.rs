//! Fields that a device keeps to itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use serde_json::json;
use storex_core::{Definition, FieldType, OnDelete, Registry, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    Compaction, Cursor, LogId, MemorySharedLog, SharedSyncLog, Strategy, Sync, SyncLog,
};
use support::{
    Device, assert_in_step, log_of, open, parked_count, pump, schema, settle, shared_log,
};

fn discreet() -> SyncLog {
    SyncLog::new().local_fields("note", ["body"])
}

async fn with(seed: u64, sync_log: SyncLog) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let storage = open(&backend, &runtime, schema(), sync_log).await;
    Device { runtime, backend, storage }
}

async fn body(device: &Device, id: &str) -> serde_json::Value {
    device.get("note", id).await.unwrap()["body"].clone()
}

async fn everything_in(log: &MemorySharedLog, reader: &Device, joined: &Sync) -> String {
    let _ = reader;
    let reader = joined.device().await.unwrap();
    let page = log.read(reader, &Cursor::default(), usize::MAX).await.unwrap();
    page.transactions.iter().map(|it| String::from_utf8_lossy(&it.payload).into_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn c02_a_local_field_is_neither_logged_nor_sent() {
    let log = shared_log();
    let (a, b) = (with(1, discreet()).await, Device::new(2).await);
    a.create("note", json!({"id": "1", "title": "open", "body": "private"})).await;
    a.sync(&log).await;
    a.update("note", json!({}), json!({"body": "private too"})).await;
    assert_eq!(log_of(&a).await, [], "what others never see makes no transaction");
    a.update("note", json!({}), json!({"title": "opened", "body": "private again"})).await;
    a.sync(&log).await;
    let sync = b.join(&log).await;
    let sent = everything_in(&log, &b, &sync).await;
    assert!(sent.contains("opened") && !sent.contains("private"), "{sent}");
    b.sync(&log).await;
    assert_eq!(b.title("1").await.as_deref(), Some("opened"));
    assert_eq!(body(&b, "1").await, json!(null));
    assert_eq!(body(&a, "1").await, "private again");
    // An upsert and a replacement by this program itself change what they say.
    a.delete("note", json!({})).await;
    a.create("note", json!({"id": "1", "title": "second life", "body": "new"})).await;
    settle(&[&a, &b], &log).await;
    assert_eq!((body(&a, "1").await, body(&b, "1").await), (json!("new"), json!(null)));
}

/// C2: the others have the field, and write it.
#[tokio::test(start_paused = true)]
async fn c02_a_local_field_survives_what_arrives() {
    let log = shared_log();
    let (a, b, c) = (with(1, discreet()).await, Device::new(2).await, Device::new(3).await);
    a.create("note", json!({"id": "1", "title": "x", "body": "of A"})).await;
    settle(&[&a, &b, &c], &log).await;
    b.update("note", json!({"id": "1"}), json!({"body": "of B"})).await;
    b.update("note", json!({"id": "1"}), json!({"body": "of B again", "stars": 3})).await;
    b.create("note", json!({"id": "2", "title": "y", "body": "of B"})).await;
    settle(&[&b, &a, &c], &log).await;
    assert_eq!(parked_count(&a).await, 0);
    let note = a.get("note", "1").await.unwrap();
    assert_eq!((&note["body"], &note["stars"]), (&json!("of A"), &json!(3)));
    assert_eq!(body(&a, "2").await, json!(null), "it has its default");
    assert_eq!(body(&c, "2").await, "of B", "those who do not keep it local exchange it");
    a.update("note", json!({"id": "2"}), json!({"body": "of A"})).await;
    // The same object made twice.
    a.create("note", json!({"id": "3", "title": "A", "body": "of A"})).await;
    b.runtime.advance(1_000);
    b.create("note", json!({"id": "3", "title": "B", "body": "of B"})).await;
    settle(&[&a, &b, &c], &log).await;
    assert_eq!(a.title("3").await.as_deref(), Some("B"));
    assert_eq!((body(&a, "3").await, body(&b, "3").await), (json!("of A"), json!("of B")));
    let digest = |device: &Device| {
        let (device, log) = (device.clone(), Arc::clone(&log));
        async move { device.join(&log).await.digest().await.unwrap() }
    };
    assert_eq!(digest(&b).await, digest(&c).await);
    assert_in_step(&[&b, &c]).await;
}

/// By initial sync, in both directions, with rows older than sync and such as are on both sides.
#[tokio::test(start_paused = true)]
async fn an_initial_sync_neither_brings_nor_overwrites_a_local_field() {
    for (mine, theirs) in [(true, false), (false, true), (true, true)] {
        let log = |local: bool| if local { discreet() } else { SyncLog::new() };
        let old = |title: &str, body: &str| json!({"id": "old", "title": title, "body": body});
        let device = |seed, local: bool, row| {
            let (runtime, backend) =
                (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
            async move {
                let registry = schema().build().unwrap();
                let plain =
                    Storage::builder(Arc::clone(&backend), registry, Arc::clone(&runtime) as _);
                let plain = plain.open().await.unwrap();
                plain.dynamic("note").unwrap().create(row).await.unwrap();
                let storage = open(&backend, &runtime, schema(), log(local)).await;
                Device { runtime, backend, storage }
            }
        };
        let a = device(1, mine, old("of A", "private A")).await;
        let b = device(2, theirs, old("of B", "private B")).await;
        a.create("note", json!({"id": "new", "title": "n", "body": "private A"})).await;
        pump(&a, &b).await;
        assert_eq!(b.title("old").await.as_deref(), Some("of A"));
        assert_eq!(body(&b, "old").await, "private B");
        assert_eq!(body(&b, "new").await, json!(null));
        b.retitle("new", "edited on B").await;
        pump(&b, &a).await;
        assert_eq!(a.title("new").await.as_deref(), Some("edited on B"));
        assert_eq!(
            (body(&a, "old").await, body(&a, "new").await),
            ("private A".into(), "private A".into())
        );
    }
}

/// A state that is sent again to a log that was wiped.
#[tokio::test(start_paused = true)]
async fn a_state_that_is_sent_again_holds_no_local_field() {
    let (a, b) = (with(1, discreet()).await, Device::new(2).await);
    for n in 0..5 {
        a.create("note", json!({"id": n.to_string(), "title": "x", "body": "private"})).await;
    }
    let first = shared_log();
    settle(&[&a, &b], &first).await;
    b.update("note", json!({}), json!({"body": "of B"})).await;
    let second = Arc::new(MemorySharedLog::new(LogId([8; 16])));
    settle(&[&a, &b], &second).await;
    settle(&[&a, &b], &second).await;
    let c = Device::new(3).await;
    let sync = c.join(&second).await;
    assert!(!everything_in(&second, &c, &sync).await.contains("private"));
    c.sync(&second).await;
    for n in 0..5 {
        assert_eq!(body(&a, &n.to_string()).await, "private");
        assert_eq!(body(&c, &n.to_string()).await, "of B");
    }
}

/// An update that wins brings the object back for the others, and leaves alone what is local here.
#[tokio::test(start_paused = true)]
async fn what_is_brought_back_keeps_its_local_field() {
    let log = shared_log();
    let wins = || discreet().update_wins(["note"]);
    let (a, b) = (with(1, wins()).await, with(2, wins()).await);
    a.create("note", json!({"id": "1", "title": "x", "body": "of A"})).await;
    settle(&[&a, &b], &log).await;
    a.retitle("1", "edited on A").await;
    b.delete("note", json!({})).await;
    settle(&[&b, &a, &b], &log).await;
    assert_eq!(a.get("note", "1").await.unwrap()["body"], "of A");
    assert_eq!(b.title("1").await.as_deref(), Some("edited on A"));
    assert_eq!(body(&b, "1").await, json!(null));
}

/// The choice may be another at each start.
#[tokio::test(start_paused = true)]
async fn what_is_no_longer_local_is_sent_with_the_next_write() {
    let log = shared_log();
    let (a, b) = (with(1, discreet()).await, Device::new(2).await);
    a.create("note", json!({"id": "1", "title": "x", "body": "of A"})).await;
    settle(&[&a, &b], &log).await;
    let a = a.reopened(schema()).await;
    settle(&[&a, &b], &log).await;
    assert_eq!(body(&b, "1").await, json!(null));
    a.update("note", json!({}), json!({"body": "for all"})).await;
    settle(&[&a, &b], &log).await;
    assert_eq!(body(&b, "1").await, "for all");
    let a = Device { storage: open(&a.backend, &a.runtime, schema(), discreet()).await, ..a };
    b.update("note", json!({}), json!({"body": "of B"})).await;
    settle(&[&b, &a], &log).await;
    assert_eq!(body(&a, "1").await, "for all");
}

#[tokio::test(start_paused = true)]
async fn what_the_others_could_not_do_without_is_refused() {
    let definition = || {
        Definition::new("thing")
            .field("name", FieldType::String)
            .optional("code", FieldType::Int)
            .optional("tags", FieldType::Json)
            .optional("within", FieldType::String)
            .unique(["code"])
            .foreign_key(["within"], "thing", ["id"], OnDelete::SetNull)
    };
    let refused = |sync_log: SyncLog| async move {
        let registry = Registry::builder().collection(definition()).build().unwrap();
        let runtime = Arc::new(TestRuntime::new(1));
        let builder = Storage::builder(MemoryBackend::new(), registry, runtime);
        builder.middleware(sync_log).open().await.unwrap_err().to_string()
    };
    let local = |field: &str| SyncLog::new().local_fields("thing", [field]);
    for (sync_log, why) in [
        (local("id"), "primary key"),
        (local("name"), "required"),
        (local("code"), "unique"),
        (local("within"), "refers"),
        (local("nothing"), "nothing"),
        (local("tags").strategy("thing", "tags", Strategy::Set), "strategy"),
        (local("tags").local_only(["thing"]), "not synced"),
        (SyncLog::new().local_fields("nowhere", ["x"]), "nowhere"),
    ] {
        let said = refused(sync_log).await;
        assert!(said.contains(why), "{why}: {said}");
    }
}

/// A snapshot of a device that keeps fields to itself would lack them, and the log would drop what it stands for.
#[tokio::test(start_paused = true)]
async fn what_others_exchange_is_not_lost_by_a_device_that_keeps_it_local() {
    let log = shared_log();
    let (a, b) = (with(1, discreet()).await, Device::new(2).await);
    for n in 0..5 {
        b.create("note", json!({"id": n.to_string(), "title": "x", "body": "of B"})).await;
        settle(&[&b, &a], &log).await;
    }
    let eager = Compaction { least: 1, most_behind: None };
    let compacted = a.join(&log).await.compaction(eager).compact().await.unwrap();
    assert_eq!(compacted.snapshot, None);
    // By an initial sync neither: whoever gets it reads the log itself.
    let c = Device::new(3).await;
    pump(&a, &c).await;
    c.sync(&log).await;
    assert_in_step(&[&b, &c]).await;
    let compacted = b.join(&log).await.compaction(eager).compact().await.unwrap();
    assert!(compacted.snapshot.is_some());
    let d = Device::new(4).await;
    d.sync(&log).await;
    assert_in_step(&[&b, &d]).await;
}

/// What was written before the field became local stays here too.
#[tokio::test(start_paused = true)]
async fn what_is_still_to_be_sent_goes_without_what_has_become_local() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "1", "title": "x", "body": "private"})).await;
    let a = Device { storage: open(&a.backend, &a.runtime, schema(), discreet()).await, ..a };
    a.update("note", json!({}), json!({"stars": 1})).await;
    a.sync(&log).await;
    let sync = b.join(&log).await;
    let sent = everything_in(&log, &b, &sync).await;
    assert!(sent.contains("stars") && !sent.contains("private"), "{sent}");
    b.sync(&log).await;
    assert_eq!(body(&b, "1").await, json!(null));
}

//! C76: signing out protects what was not sent, and what is local only survives.

use std::sync::Arc;

use serde_json::json;
use storex_core::{Definition, FieldType, RegistryBuilder, RelationDefinition, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{Exclusive, Lane, LeaseTimes, SyncError, SyncLog};

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{
    Device, another_log, assert_in_step, count, dump, dump_all, open, schema, settle, shared_log,
};

/// With a collection of its own that points to what is synced.
fn with_bookmarks() -> RegistryBuilder {
    schema().collection(
        Definition::new("bookmark")
            .field("page", FieldType::Int)
            .relation(RelationDefinition::child_of("user")),
    )
}

async fn device(seed: u64) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let sync_log = SyncLog::new().local_only(["bookmark", "tag"]);
    let storage = open(&backend, &runtime, with_bookmarks(), sync_log).await;
    Device { runtime, backend, storage }
}

fn unsent(error: &SyncError) -> (u64, u64) {
    match error {
        SyncError::Unsent { transactions, unlogged } => (*transactions, *unlogged),
        error => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn c76_what_was_not_sent_keeps_one_from_signing_out() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (device(1).await, Device::new(2).await);
    let user = a.create("user", json!({"name": "Ada", "emails": [{"address": "a@x"}]})).await;
    a.create("bookmark", json!({"page": 7, "user": user["id"]})).await;
    a.create("tag", json!({"owner": 1, "name": "private"})).await;
    b.note("b", "of B").await;
    settle(&[&a, &b], &log).await;
    let sync = a.join(&scripted).await;
    for n in 0..3 {
        a.note(&format!("{n}"), "not sent").await;
    }
    // Off-line.
    scripted.script(Call::Append, [Fault::Fail; 2]);
    let before = dump(&a).await;
    let error = sync.sign_out().await.unwrap_err();
    assert_eq!(unsent(&error), (3, 0));
    assert!(error.to_string().starts_with("3 transactions"), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(dump(&a).await, before, "nothing was changed");
    assert_eq!(sync.unsent().await.unwrap(), 3);

    sync.sign_out_discarding().await.unwrap();
    for collection in ["note", "user", "email", "_storex_log", "_storex_clock"] {
        assert_eq!(count(&a, collection).await, 0, "{collection}");
    }
    assert_eq!(dump(&a).await["tag"], before["tag"]);
    assert_eq!(dump(&a).await["bookmark"], before["bookmark"], "also what points to the others");
    b.sync(&log).await;
    assert_eq!((count(&b, "note").await, count(&b, "user").await), (1, 1), "others lose nothing");
}

#[tokio::test(start_paused = true)]
async fn c76_with_a_connection_it_is_sent_first_and_nothing_is_left_of_it() {
    let log = shared_log();
    let (a, b) = (device(1).await, Device::new(2).await);
    a.note("sent", "before").await;
    settle(&[&a, &b], &log).await;
    b.note("b", "of B").await;
    b.sync(&log).await;
    a.retitle("sent", "by signing out").await;
    let sync = a.join(&log).await;
    let former = sync.device().await.unwrap();
    sync.sign_out().await.unwrap();
    b.sync(&log).await;
    assert_eq!(b.title("sent").await.as_deref(), Some("by signing out"));
    assert_eq!(count(&a, "note").await, 0);
    let members = storex_sync::SharedSyncLog::members(&*log).await.unwrap();
    assert!(members.iter().all(|it| it.device != former), "the log does not wait for it");
    assert_eq!(sync.unsent().await.unwrap(), 0);
    assert_ne!(sync.device().await.unwrap(), former);
    // Signing out again is harmless.
    sync.sign_out().await.unwrap();
}

/// Afterwards it is a new device, in any log: with the storage that was open all the time, and with one that is opened again.
#[tokio::test(start_paused = true)]
async fn c76_the_database_can_join_any_log_afterwards() {
    for reopened in [false, true] {
        let (first, second) = (shared_log(), another_log());
        let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
        a.note("n", "of the first account").await;
        a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 3}})).await;
        settle(&[&a, &b], &first).await;
        c.note("n", "of the second account").await;
        c.sync(&second).await;
        a.join(&first).await.sign_out().await.unwrap();
        let a = if reopened { a.reopened(schema()).await } else { a };
        a.note("written", "before joining").await;
        settle(&[&a, &c], &second).await;
        assert_in_step(&[&a, &c]).await;
        assert_eq!(a.title("n").await.as_deref(), Some("of the second account"));
        assert_eq!(c.title("written").await.as_deref(), Some("before joining"));
        // And back into the first one.
        a.join(&second).await.sign_out().await.unwrap();
        settle(&[&a, &b], &first).await;
        assert_in_step(&[&a, &b]).await;
        a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 4}})).await;
        settle(&[&a, &b], &first).await;
        assert_eq!(b.get("note", "n").await.unwrap()["stars"], 7);
        assert!(b.title("written").await.is_none());
    }
}

/// Where the log was reached, but somebody writes before everything is removed.
#[tokio::test(start_paused = true)]
async fn c76_what_is_written_meanwhile_is_protected_too() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let a = Device::new(1).await;
    a.note("1", "x").await;
    let writer = a.clone();
    scripted.after(Call::Append, move || {
        let writer = writer.clone();
        async move { writer.note("2", "meanwhile").await }
    });
    let sync = a.join(&scripted).await;
    assert_eq!(unsent(&sync.sign_out().await.unwrap_err()), (1, 0));
    assert_eq!(count(&a, "note").await, 2);
    sync.sign_out().await.unwrap();
    assert_eq!((count(&a, "note").await, log.len()), (0, 2));
}

/// Also what no log has ever heard of, because it is older than sync.
#[tokio::test(start_paused = true)]
async fn c76_what_is_older_than_sync_is_protected_too() {
    let log = shared_log();
    let old: Vec<_> = (0..1200).map(|n| json!({"id": format!("{n}"), "title": "old"})).collect();
    let (a, b) = (Device::with_old_notes(1, &old).await, Device::new(2).await);
    a.retitle("7", "has a clock now").await;
    let sync = a.join(&log).await;
    assert_eq!(sync.unlogged().await.unwrap(), 1199);
    assert_eq!(unsent(&sync.sign_out().await.unwrap_err()), (0, 1199));
    // A state of which the end is not sent counts as well.
    sync.send_state().await.unwrap();
    let scripted = ScriptedLog::new(&log);
    scripted.script(Call::Append, [Fault::None, Fault::Fail]);
    let (transactions, _) = unsent(&a.join(&scripted).await.sign_out().await.unwrap_err());
    assert!(transactions > 0);
    sync.sign_out().await.unwrap();
    b.sync(&log).await;
    assert_eq!((count(&a, "note").await, count(&b, "note").await), (0, 1200));
}

/// Nobody signs out under the hands of another program, and who is killed meanwhile has done it or not.
#[tokio::test(start_paused = true)]
async fn c76_it_is_one_programs_matter_and_one_transaction() {
    let log = shared_log();
    let a = Device::new(1).await;
    a.note("1", "x").await;
    let other = a.reopened(schema()).await;
    let (here, there) = (
        Exclusive::lease(&a.storage, LeaseTimes::default()).await.unwrap(),
        Exclusive::lease(&other.storage, LeaseTimes::default()).await.unwrap(),
    );
    let held = there.try_acquire().await.unwrap().unwrap();
    let sync = a.join(&log).await.exclusive(here.clone());
    for refused in [sync.sign_out().await, sync.sign_out_discarding().await] {
        assert!(matches!(refused, Err(SyncError::HeldElsewhere)));
    }
    held.release().await.unwrap();
    let guard = here.try_acquire().await.unwrap().unwrap();
    let mut changes = a.storage.changes();
    sync.sign_out().await.unwrap();
    assert!(there.try_acquire().await.unwrap().is_none(), "it is still held");
    guard.release().await.unwrap();
    let told = std::iter::from_fn(|| changes.try_next()).count();
    assert_eq!(told, 1, "one commit");
    assert_eq!(dump_all(&a).await["_storex_parked"], []);
}

/// Each lane is signed out on its own.
#[tokio::test(start_paused = true)]
async fn c76_a_lane_is_signed_out_on_its_own() {
    let (runtime, backend) = (Arc::new(TestRuntime::new(1)), Arc::new(MemoryBackend::new()));
    let sync_log = SyncLog::new().lane("bulk", ["sample"]);
    let storage: Storage = open(&backend, &runtime, schema(), sync_log).await;
    let a = Device { runtime, backend, storage };
    a.note("1", "x").await;
    a.create("sample", json!({"id": "1", "text": "x"})).await;
    let bulk = Lane::named(&a.storage, "bulk").unwrap();
    let bulk = storex_sync::Sync::open(&bulk, another_log()).await.unwrap();
    bulk.sign_out().await.unwrap();
    assert_eq!((count(&a, "note").await, count(&a, "sample").await), (1, 0));
    let log = shared_log();
    assert_eq!(a.sync(&log).await.sent_transactions, 1, "the other lane goes on");
    a.create("sample", json!({"id": "2", "text": "again"})).await;
    bulk.sync_once().await.unwrap();
    a.join(&log).await.sign_out().await.unwrap();
    // What it had sent before is in its log, and has come again.
    assert_eq!((count(&a, "note").await, count(&a, "sample").await), (0, 2));
}

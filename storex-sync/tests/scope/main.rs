//! Devices that hold some scopes of a collection only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod backfill;
mod histories;
mod limits;
mod moves;
mod narrowing;
mod returning;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use storex_core::{AutoPk, Definition, FieldType, Registry, RegistryBuilder, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{ContinuousSync, Scope, SharedSyncLog, Strategy, Sync, SyncLog, SyncReport};
use support::{Device, count, log_of, settle, shared_log};

/// Notes in notebooks, and what has no scope.
fn notes() -> RegistryBuilder {
    Registry::builder()
        .collection(
            Definition::new("note")
                .field("title", FieldType::String)
                .optional("notebook", FieldType::String)
                .optional("stars", FieldType::Int)
                .optional("tags", FieldType::Json),
        )
        .collection(Definition::new("other").field("title", FieldType::String))
}

fn scoped() -> SyncLog {
    SyncLog::new().scoped("note", "notebook").strategy("note", "tags", Strategy::Set)
}

async fn open(backend: &Arc<MemoryBackend>, runtime: &Arc<TestRuntime>) -> Storage {
    support::open(backend, runtime, notes(), scoped()).await
}

async fn device(seed: u64) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let storage = open(&backend, &runtime).await;
    Device { runtime, backend, storage }
}

/// A device that holds these notebooks only.
async fn holding(seed: u64, log: &Arc<impl SharedSyncLog>, notebooks: &[&str]) -> Device {
    let device = device(seed).await;
    subscribe(&device, log, notebooks).await;
    device
}

async fn subscribe(device: &Device, log: &Arc<impl SharedSyncLog>, notebooks: &[&str]) {
    let scope = Scope::only(notebooks.iter().copied());
    device.join(log).await.subscribe("note", scope).await.unwrap();
}

async fn write(device: &Device, id: &str, notebook: &str) {
    device.create("note", json!({"id": id, "title": id, "notebook": notebook})).await;
}

async fn shift(device: &Device, id: &str, notebook: &str) {
    device.update("note", json!({"id": id}), json!({"notebook": notebook})).await;
}

/// The notes that are there, by key.
async fn held(device: &Device) -> BTreeMap<String, Json> {
    let notes = device.storage.dynamic("note").unwrap().find(&json!({})).await.unwrap();
    notes.into_iter().map(|note| (note["id"].as_str().unwrap().to_owned(), note)).collect()
}

async fn ids(device: &Device) -> Vec<String> {
    held(device).await.into_keys().collect()
}

/// The clocks of living notes and other objects.
async fn clocks(device: &Device) -> u64 {
    count(device, "_storex_clock").await - markers(device).await
}

/// What is kept of notes that have gone.
async fn markers(device: &Device) -> u64 {
    let rows = support::dump_all(device).await.remove("_storex_clock").unwrap();
    let is_marker = |row: &storex_core::Record| {
        row.get(2).as_bytes().is_some_and(|it| it.starts_with(&[0, 0, 0]))
    };
    rows.iter().filter(|row| is_marker(row)).count() as u64
}

/// C19: one of twenty; one is added; one is dropped.
#[tokio::test(start_paused = true)]
async fn c19_only_what_is_subscribed_to_is_here() {
    let log = shared_log();
    let a = device(1).await;
    for n in 0..20 {
        for k in 0..3 {
            write(&a, &format!("{n:02}.{k}"), &format!("set {n}")).await;
        }
    }
    a.create("other", json!({"id": "o", "title": "has no scope"})).await;
    a.sync(&log).await;
    let b = holding(2, &log, &["set 3"]).await;
    b.sync(&log).await;
    assert_eq!(ids(&b).await, ["03.0", "03.1", "03.2"]);
    assert_eq!((count(&b, "other").await, clocks(&b).await), (1, 4));

    subscribe(&b, &log, &["set 3", "set 7"]).await;
    let report = b.sync(&log).await;
    assert_eq!(report.backfill, Some(storex_sync::Backfill::Complete));
    assert_eq!(ids(&b).await, ["03.0", "03.1", "03.2", "07.0", "07.1", "07.2"]);

    subscribe(&b, &log, &["set 7"]).await;
    b.sync(&log).await;
    assert_eq!(ids(&b).await, ["07.0", "07.1", "07.2"]);
    assert_eq!((clocks(&b).await, markers(&b).await), (4, 3), "of what has gone a marker is left");
    settle(&[&b, &a], &log).await;
    assert_eq!(count(&a, "note").await, 60, "it has gone from here, and not from there");
    assert_eq!(support::parked_count(&b).await, 0);
}

/// What comes later, of all kinds, while only a part is held.
#[tokio::test(start_paused = true)]
async fn c19_later_writes_arrive_by_scope() {
    let log = shared_log();
    let (a, b) = (device(1).await, holding(2, &log, &["x"]).await);
    write(&a, "1", "x").await;
    write(&a, "2", "y").await;
    settle(&[&a, &b], &log).await;
    a.retitle("1", "one").await;
    a.retitle("2", "two").await;
    write(&a, "3", "x").await;
    write(&a, "4", "y").await;
    a.create("note", json!({"id": "5", "title": "of none"})).await;
    let report = {
        settle(&[&a], &log).await;
        b.sync(&log).await
    };
    assert_eq!((ids(&b).await, report.received.parked), (vec!["1".into(), "3".into()], 0));
    assert_eq!(b.title("1").await.as_deref(), Some("one"));
    a.delete("note", json!({"notebook": "y"})).await;
    a.delete("note", json!({"id": "3"})).await;
    settle(&[&a, &b], &log).await;
    assert_eq!(ids(&b).await, ["1"]);
    // Null is a scope like any other.
    let nothing = Scope::Only(vec![storex_core::Value::Null]);
    b.join(&log).await.subscribe("note", nothing.clone()).await.unwrap();
    b.sync(&log).await;
    assert_eq!(ids(&b).await, ["5"]);
    assert_eq!(b.join(&log).await.subscription("note").await.unwrap(), nothing);
}

/// What this device writes outside of what it holds is sent, and goes then.
#[tokio::test(start_paused = true)]
async fn what_is_written_outside_goes_when_it_is_sent() {
    let log = shared_log();
    let (a, b) = (device(1).await, holding(2, &log, &["x"]).await);
    write(&b, "1", "x").await;
    write(&b, "2", "y").await;
    settle(&[&b, &a], &log).await;
    assert_eq!((ids(&a).await, ids(&b).await), (vec!["1".into(), "2".into()], vec!["1".into()]));
    shift(&b, "1", "y").await;
    b.join(&log).await.receive_once().await.unwrap();
    assert_eq!(ids(&b).await, ["1"], "it is not sent yet");
    settle(&[&b, &a], &log).await;
    assert_eq!(ids(&b).await, [""; 0]);
    assert_eq!(held(&a).await["1"]["notebook"], "y");
}

/// A scope is dropped while something of it is still to be sent.
#[tokio::test(start_paused = true)]
async fn what_is_not_sent_survives_a_scope_that_is_dropped() {
    let log = shared_log();
    let (a, b) = (device(1).await, device(2).await);
    write(&a, "1", "x").await;
    write(&a, "2", "x").await;
    settle(&[&a, &b], &log).await;
    b.retitle("1", "edited").await;
    subscribe(&b, &log, &["z"]).await;
    b.join(&log).await.receive_once().await.unwrap();
    assert_eq!(ids(&b).await, ["1"], "of this something is to be sent");
    assert_eq!(log_of(&b).await.len(), 1);
    settle(&[&b, &a], &log).await;
    assert_eq!(ids(&b).await, [""; 0]);
    assert_eq!(a.title("1").await.as_deref(), Some("edited"));
}

/// What was chosen holds over restarts, and for another program at once, also while sync runs.
#[tokio::test(start_paused = true)]
async fn what_is_chosen_outlives_the_program() {
    let log = shared_log();
    let (a, b) = (device(1).await, holding(2, &log, &["x"]).await);
    write(&a, "1", "x").await;
    write(&a, "2", "y").await;
    settle(&[&a, &b], &log).await;
    let b = Device { storage: open(&b.backend, &b.runtime).await, ..b };
    write(&a, "3", "y").await;
    settle(&[&a, &b], &log).await;
    assert_eq!(ids(&b).await, ["1"]);
    let every = std::time::Duration::from_secs(3600);
    let continuous = ContinuousSync::start(b.join(&log).await, every);
    continuous.sync_now().await.unwrap().unwrap();
    let other = Device { storage: open(&b.backend, &b.runtime).await, ..b.clone() };
    other.join(&log).await.subscribe("note", Scope::All).await.unwrap();
    let report: SyncReport = continuous.sync_now().await.unwrap().unwrap();
    assert_eq!(report.backfill, Some(storex_sync::Backfill::Complete));
    assert_eq!(ids(&b).await, ["1", "2", "3"]);
    continuous.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_say_the_scope_is_refused() {
    let refused = |sync_log: SyncLog| async move {
        let (runtime, backend) = (TestRuntime::new(1), MemoryBackend::new());
        let registry = notes().build().unwrap();
        Storage::builder(backend, registry, Arc::new(runtime))
            .middleware(AutoPk::new())
            .middleware(sync_log)
            .open()
            .await
            .unwrap_err()
            .to_string()
    };
    for (sync_log, why) in [
        (SyncLog::new().scoped("nothing", "notebook"), "nothing"),
        (SyncLog::new().scoped("note", "nothing"), "nothing"),
        (SyncLog::new().scoped("note", "notebook").scoped("note", "title"), "another field"),
        (SyncLog::new().scoped("note", "notebook").local_only(["note"]), "not synced"),
        (SyncLog::new().scoped("note", "tags").strategy("note", "tags", Strategy::Set), "strategy"),
        (
            SyncLog::new().scoped("note", "notebook").together("note", ["notebook", "title"]),
            "group",
        ),
        (SyncLog::new().scoped("note", "notebook").local_fields("note", ["notebook"]), "local"),
    ] {
        let error = refused(sync_log).await;
        assert!(error.contains(why), "{error}");
    }
    let log = shared_log();
    let sync: Sync = device(1).await.join(&log).await;
    assert!(sync.subscribe("other", Scope::only(["x"])).await.is_err());
    assert!(sync.subscribe("note", Scope::only([7])).await.is_err());
    assert!(sync.subscribe("unknown", Scope::All).await.is_err());
}

//! What cannot be taken back, and what is taken back in a way of its own.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{Strategy, SyncLog};

use crate::support::{Device, assert_in_step, count, open, schema, settle};
use crate::{Guarded, in_step_without, refuse_last, reversible_as, stars, two};

/// A unique value that the refused write has freed was given to another object: that stays, and what was refused is not taken back.
#[tokio::test(start_paused = true)]
async fn c59_a_rule_of_the_database_comes_first() {
    let (a, b, log) = two().await;
    a.create("login", json!({"id": "1", "name": "ann"})).await;
    settle(&[&a, &b], &log).await;
    a.delete("login", json!({"id": "1"})).await;
    let refused = refuse_last(&a, &log).await;
    a.create("login", json!({"id": "2", "name": "ann"})).await;
    a.note("a", "goes on").await;
    let report = a.sync(&log).await;
    let told: Vec<_> = report.rejected.iter().map(|it| (it.write, it.is_reverted)).collect();
    assert_eq!(told, [(refused, false)]);
    assert_eq!(a.join(&log).await.unsent().await.unwrap(), 0);
    b.sync(&log).await;
    assert!(b.title("a").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn c59_an_object_that_is_older_than_sync_comes_back_too() {
    let log = Guarded::new();
    let old = Device::with_old_notes(1, &[json!({"id": "n", "title": "old", "stars": 7})]).await;
    let sync_log = SyncLog::new().reversible();
    let storage = open(&old.backend, &old.runtime, schema(), sync_log).await;
    let (a, b) = (Device { storage, ..old }, Device::new(2).await);
    a.sync(&log).await;
    a.retitle("n", "refused").await;
    let update = refuse_last(&a, &log).await;
    a.delete("note", json!({"id": "n"})).await;
    let delete = refuse_last(&a, &log).await;
    let report = a.sync(&log).await;
    assert_eq!(report.rejected.iter().map(|it| it.write).collect::<Vec<_>>(), [update, delete]);
    assert_eq!((a.title("n").await.as_deref(), stars(&a).await), (Some("old"), json!(7)));
    assert_eq!(count(&a, "_storex_clock").await, 0, "nobody has ever written it");
    a.join(&log).await.send_state().await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
}

/// What a device has put into a set stays, but for what was refused.
#[tokio::test(start_paused = true)]
async fn c59_of_a_set_only_what_was_refused_goes() {
    let log = Guarded::new();
    let sets = || SyncLog::new().strategy("sample", "json", Strategy::Set).reversible();
    let mut devices = Vec::new();
    for seed in [1, 2] {
        let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
        let storage = open(&backend, &runtime, schema(), sets()).await;
        devices.push(Device { runtime, backend, storage });
    }
    let (a, b) = (&devices[0], &devices[1]);
    a.create("sample", json!({"id": "s", "json": ["first"]})).await;
    settle(&[a, b], &log).await;
    let put = async |device: &Device, all: Json| {
        device.update("sample", json!({"id": "s"}), json!({"json": all})).await;
    };
    put(a, json!(["first", "refused"])).await;
    refuse_last(a, &log).await;
    put(a, json!(["first", "refused", "later"])).await;
    put(b, json!(["first", "of b"])).await;
    settle(&[b, a, b], &log).await;
    assert_in_step(&[a, b]).await;
    let mut all = a.get("sample", "s").await.unwrap()["json"].as_array().unwrap().clone();
    all.sort_by_key(Json::to_string);
    assert_eq!(all, [json!("first"), json!("later"), json!("of b")]);
}

/// Its numbers are others by then: what was before them is not known any more.
#[tokio::test(start_paused = true)]
async fn c59_a_new_incarnation_puts_aside_and_takes_nothing_back() {
    let (a, b, log) = two().await;
    let copy = {
        let (runtime, backend) = (Arc::new(TestRuntime::new(9)), Arc::new(a.backend.copied()));
        let storage = open(&backend, &runtime, schema(), SyncLog::new().reversible()).await;
        Device { runtime, backend, storage }
    };
    a.note("of a", "x").await;
    a.sync(&log).await;
    copy.note("of the copy", "x").await;
    copy.join(&log).await.sync_once().await.unwrap();
    let now = copy.join(&log).await.device().await.unwrap();
    assert_eq!(now.incarnation, 1);
    assert_eq!(count(&copy, "_storex_before").await, 0);
    copy.retitle("n", "refused").await;
    let refused = refuse_last(&copy, &log).await;
    assert_eq!(refused.device, now);
    settle(&[&b, &a], &log).await;
    in_step_without(&copy, &b, &log, refused).await;
}

/// One step that creates several objects, one of which was there before: what it had written is no more known than the rest.
#[tokio::test(start_paused = true)]
async fn c59_of_what_is_created_at_once_nothing_stays() {
    let (a, b, log) = two().await;
    a.note("gone", "was here").await;
    a.delete("note", json!({"id": "gone"})).await;
    settle(&[&a, &b], &log).await;
    b.note("new", "of B").await;
    a.runtime.advance(60_000);
    let notes =
        [json!({"id": "gone", "title": "refused"}), json!({"id": "new", "title": "refused"})];
    a.storage.dynamic("note").unwrap().create_many(&notes).await.unwrap();
    let refused = refuse_last(&a, &log).await;
    in_step_without(&a, &b, &log, refused).await;
    b.sync(&log).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!((a.title("gone").await, a.title("new").await.as_deref()), (None, Some("of B")));
    assert_eq!(count(&a, "_storex_clock").await, count(&b, "_storex_clock").await);
}

/// What is taken back to a scope that the device does not hold any more goes.
#[tokio::test(start_paused = true)]
async fn what_is_back_in_a_scope_that_is_not_held_goes() {
    let log = Guarded::new();
    let (runtime, backend) = (Arc::new(TestRuntime::new(1)), Arc::new(MemoryBackend::new()));
    let sync_log = SyncLog::new().reversible().scoped("note", "title");
    let storage = open(&backend, &runtime, schema(), sync_log).await;
    let (a, b) = (Device { runtime, backend, storage }, Device::new(2).await);
    b.create("note", json!({"id": "n", "title": "y", "stars": 1})).await;
    settle(&[&b, &a], &log).await;
    a.retitle("n", "x").await;
    let scope = storex_sync::Scope::only(["x"]);
    a.join(&log).await.subscribe("note", scope).await.unwrap();
    a.join(&log).await.receive_once().await.unwrap();
    assert!(!a.join(&log).await.is_letting_go().await.unwrap());
    refuse_last(&a, &log).await;
    settle(&[&a, &a], &log).await;
    assert_eq!((count(&a, "note").await, count(&b, "note").await), (0, 1));
}

/// Under the key of an object that has gone to a scope which is not held: the own increments to it are still known.
#[tokio::test]
async fn a_refused_create_gives_back_what_was_kept_of_an_object_that_has_gone() {
    let scoped = || SyncLog::new().reversible().scoped("note", "title");
    let log = Guarded::new();
    let (a, b) = (reversible_as(1, scoped()).await, reversible_as(2, scoped()).await);
    let only_x = storex_sync::Scope::only(["x"]);
    a.join(&log).await.subscribe("note", only_x).await.unwrap();
    b.create("note", json!({"id": "n", "title": "x", "stars": 0})).await;
    settle(&[&b, &a], &log).await;
    a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 5}})).await;
    a.sync(&log).await;
    // B has not heard of it.
    b.retitle("n", "y").await;
    b.join(&log).await.send_once().await.unwrap();
    a.sync(&log).await;
    assert_eq!(a.get("note", "n").await, None);
    a.create("note", json!({"id": "n", "title": "x", "stars": 1})).await;
    let write = refuse_last(&a, &log).await;
    assert_eq!(a.sync(&log).await.rejected[0].write, write);
    assert_eq!(a.get("note", "n").await, None);
    b.runtime.advance(1_000);
    b.retitle("n", "x").await;
    b.join(&log).await.send_once().await.unwrap();
    a.join(&log).await.receive_once().await.unwrap();
    assert_eq!(stars(&a).await, 5);
}

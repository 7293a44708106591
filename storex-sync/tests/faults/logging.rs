//! What is written is logged: all of it, once, as it was written.

use std::sync::Arc;

use serde_json::json;
use storex_core::{
    Batch, Changes, Error, Filter, Key, OnConflict, Query, Record, Step, Storage, Value, field,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{EntryKind, SyncLog};

use crate::support::{Device, assert_in_step, count, log_of, schema, settle, shared_log};

#[tokio::test(start_paused = true)]
async fn l06_writes_in_one_millisecond_are_all_logged() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    // Two processes on one database: two storages, one backend.
    let second = a.reopened(schema()).await;
    for n in 0..50 {
        a.note(&format!("a{n}"), "x").await;
        second.note(&format!("b{n}"), "x").await;
    }
    a.runtime.advance(-86_400_000);
    a.note("back", "the clock was set back by a day").await;
    let transactions = log_of(&a).await;
    assert_eq!(transactions.len(), 101);
    for pair in transactions.windows(2) {
        assert_eq!(pair[1].header.sequence, pair[0].header.sequence + 1);
        assert!(pair[1].header.hlc > pair[0].header.hlc, "no two have the same stamp");
    }
    settle(&[&a, &b], &log).await;
    assert_eq!(count(&b, "note").await, 101);
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn r06b_two_tabs_in_one_millisecond_both_sync() {
    let log = shared_log();
    let (tab, b) = (Device::new(1).await, Device::new(2).await);
    let other_tab = tab.reopened(schema()).await;
    tokio::join!(tab.note("1", "one tab"), other_tab.note("2", "the other tab"));
    // Either may send; both sending at once is no harm.
    tokio::join!(tab.sync(&log), other_tab.sync(&log));
    b.sync(&log).await;
    assert_eq!((log.len(), count(&b, "note").await), (2, 2));
    assert_in_step(&[&tab, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn l07_nested_creates_keep_their_parent() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let user = json!({"name": "Ada", "emails": [{"address": "a@x"}, {"address": "b@x"}]});
    let user = a.create("user", user).await;
    assert_eq!(log_of(&a).await.len(), 1, "parent and children are one transaction");
    a.sync(&log).await;
    b.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
    let children = b.storage.dynamic("email").unwrap().find(&json!({"user": user["id"]})).await;
    assert_eq!(children.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn l08_a_change_to_what_the_same_batch_has_created_is_logged() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let batch = Batch::new()
        .create_json(&a.storage, "note", "new", &json!({"id": "n", "title": "A", "stars": 1}))
        .unwrap()
        .update("note", Filter::key("n"), Changes::new().set("title", "B"))
        .update("note", field("title").eq("B"), Changes::new().increment("stars", 4))
        .create_json(&a.storage, "note", "gone", &json!({"id": "gone", "title": "x"}))
        .unwrap()
        .delete("note", Filter::key("gone"));
    a.storage.execute(batch).await.unwrap();
    a.sync(&log).await;
    b.sync(&log).await;
    let note = b.get("note", "n").await.unwrap();
    assert_eq!((note["title"].as_str(), note["stars"].as_i64()), (Some("B"), Some(5)));
    assert_in_step(&[&a, &b]).await;
}

/// Bulk creates, upserts, and what continuations write.
#[tokio::test(start_paused = true)]
async fn l09_whatever_way_is_taken_it_is_logged() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let notes: Vec<_> = (0..3).map(|n| json!({"id": n.to_string(), "title": "bulk"})).collect();
    a.storage.dynamic("note").unwrap().create_many(&notes).await.unwrap();
    let replaced =
        Record::new(vec![Value::from("0"), Value::from("replaced"), Value::Null, Value::Null]);
    let order: Vec<String> = a
        .storage
        .registry()
        .find("note")
        .unwrap()
        .fields()
        .iter()
        .map(|field| field.name.to_string())
        .collect();
    assert_eq!(order, ["id", "title", "body", "stars"]);
    let batch = Batch::new()
        .step(Step::create_or("note", vec![replaced], OnConflict::Replace))
        .find(Query::new("note").filter(field("title").eq("bulk")))
        .then(|trace| {
            let keys: Vec<Key> =
                trace.found(0).iter().map(|row| Key::single(row.get(0).clone())).collect();
            Ok(vec![Step::Delete { collection: "note".into(), filter: Filter::Keys(keys) }])
        });
    a.storage.execute(batch).await.unwrap();
    a.sync(&log).await;
    b.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(count(&b, "note").await, 1);
    assert_eq!(b.title("0").await.as_deref(), Some("replaced"));
}

#[tokio::test(start_paused = true)]
async fn l10_a_create_without_a_key_is_refused_and_not_logged() {
    let backend = Arc::new(MemoryBackend::new());
    let runtime = Arc::new(TestRuntime::new(1));
    let without_auto_pk = Storage::builder(
        Arc::clone(&backend),
        schema().build().unwrap(),
        Arc::clone(&runtime) as _,
    )
    .middleware(SyncLog::new())
    .open()
    .await
    .unwrap();
    let device = Device { runtime, backend, storage: without_auto_pk };
    let created = device.storage.dynamic("note").unwrap().create(json!({"title": "no key"})).await;
    assert!(matches!(created, Err(Error::MissingField { .. })), "{created:?}");
    assert_eq!(log_of(&device).await, []);
    assert_eq!(count(&device, "_storex_clock").await, 0);

    // Behind `AutoPk` the key is logged, and the same object is on both devices.
    let log = shared_log();
    let (a, b) = (Device::new(2).await, Device::new(3).await);
    let note = a.create("note", json!({"title": "a key is made"})).await;
    let transactions = log_of(&a).await;
    let key = transactions[0].entries[0].values[0].value();
    assert_eq!(key.as_text(), note["id"].as_str());
    a.sync(&log).await;
    b.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn l11_operators_are_logged_by_their_result() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "x", "stars": 2})).await;
    a.create("note", json!({"id": "m", "title": "x", "stars": null})).await;
    a.sync(&log).await;
    b.sync(&log).await;
    a.update("note", json!({}), json!({"stars": {"$inc": 1}})).await;
    a.sync(&log).await;
    b.sync(&log).await;
    assert_eq!(b.get("note", "n").await.unwrap()["stars"], 3);
    assert_eq!(b.get("note", "m").await.unwrap()["stars"], 1);
    assert_in_step(&[&a, &b]).await;
    let fields = b.get("note", "n").await.unwrap();
    assert_eq!(fields.as_object().unwrap().len(), 4, "no field named after the operator");
}

/// A delete by filter names the rows, so that the same rows are deleted where the filter would match others.
#[tokio::test(start_paused = true)]
async fn filters_are_not_evaluated_again_elsewhere() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "x").await;
    a.note("2", "y").await;
    settle(&[&a, &b], &log).await;
    b.retitle("2", "x").await;
    a.delete("note", json!({"title": "x"})).await;
    let transactions = log_of(&a).await;
    assert_eq!(transactions.last().unwrap().entries.len(), 1);
    assert_eq!(transactions.last().unwrap().entries[0].kind, EntryKind::Delete);
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("2").await.as_deref(), Some("x"));
}

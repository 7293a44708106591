//! C77 and C78: what is written under an older schema. Updates of a database, with writes pending, are in `tests/e2e/tests/schemas.rs`:
//! the backend here keeps nothing over a migration.

use serde_json::json;
use storex_core::{
    Batch, Definition, FieldType, Migration, Record, Registry, RegistryBuilder, Value,
};
use storex_sync::WaitsFor;

use crate::support::{
    Device, assert_in_step, count, larger_schema, parked_count, settle, shared_log,
};

fn first() -> RegistryBuilder {
    let letter = Definition::new("letter")
        .field("title", FieldType::String)
        .optional("fax", FieldType::String)
        .optional("stars", FieldType::Int);
    let text = |name: &str| Definition::new(name).field("text", FieldType::String);
    Registry::builder().collections([letter, text("draft"), text("receipt")])
}

/// A field and a collection have other names, the field's name is taken again, a field and a collection are gone.
fn second() -> RegistryBuilder {
    let letter = Definition::new("letter")
        .version(2)
        .field("subject", FieldType::String)
        .optional("title", FieldType::String)
        .optional("stars", FieldType::Int);
    let memo = Definition::new("memo").version(2).field("text", FieldType::String);
    let migrations = [
        Migration::new("letter", 2).rename_field("title", "subject").remove_field("fax"),
        Migration::new("memo", 2).renamed_from("draft"),
        Migration::remove("receipt", 2),
    ];
    first().collections([letter, memo]).migrations(migrations)
}

fn record(id: &str, text: &str) -> Record {
    Record::new(vec![id.into(), text.into()])
}

/// The same application in two versions: each has what it knows, and after the update everything.
#[tokio::test(start_paused = true)]
async fn c77_two_programs_exchange_what_both_know() {
    let log = shared_log();
    let (old, new) = (Device::new(1).await, Device::with(2, larger_schema()).await);
    for n in 0..5 {
        old.note(&format!("old {n}"), "x").await;
        new.note(&format!("new {n}"), "x").await;
        new.create("extra", json!({"id": format!("{n}"), "text": "x"})).await;
    }
    settle(&[&old, &new], &log).await;
    assert_eq!((count(&old, "note").await, count(&new, "note").await), (10, 10));
    let parked = storex_sync::parked(&old.storage).await.unwrap();
    assert_eq!(parked.len(), 5);
    assert!(parked.iter().all(|it| it.waits_for == WaitsFor::Update));
    let updated = old.reopened(larger_schema()).await;
    settle(&[&updated, &new], &log).await;
    assert_eq!(parked_count(&updated).await, 0);
    assert_in_step(&[&updated, &new]).await;
}

/// Writes of an old program, and then its whole state: both arrive under the names of today.
#[tokio::test(start_paused = true)]
async fn c78_what_an_older_schema_says_is_understood() {
    let log = shared_log();
    let old = Device::with(1, first()).await;
    old.create("letter", json!({"id": "1", "title": "a", "fax": "f", "stars": 1})).await;
    old.create("letter", json!({"id": "2", "title": "b"})).await;
    old.create("letter", json!({"id": "3", "title": "deleted"})).await;
    old.update("letter", json!({"id": "1"}), json!({"title": "edited", "fax": "g"})).await;
    old.update("letter", json!({"id": "2"}), json!({"fax": "only this"})).await;
    old.update("letter", json!({"id": "1"}), json!({"stars": {"$inc": 4}})).await;
    old.delete("letter", json!({"id": "3"})).await;
    // What is gone stands in front of and between what is not, in one transaction.
    let letter = vec!["4".into(), "in one transaction".into(), Value::Null, Value::Int(7)];
    let batch = Batch::new()
        .create("receipt", vec![record("r", "gone")])
        .create("draft", vec![record("d", "a memo now")])
        .create("receipt", vec![record("s", "gone")])
        .create("letter", vec![Record::new(letter)]);
    old.storage.execute(batch).await.unwrap();
    old.create("receipt", json!({"id": "t", "text": "nothing but this"})).await;
    let expected = [
        json!({"id": "1", "subject": "edited", "title": null, "stars": 5}),
        json!({"id": "2", "subject": "b", "title": null, "stars": null}),
        json!({"id": "4", "subject": "in one transaction", "title": null, "stars": 7}),
    ];
    let (writes, states) = (Device::with(2, second()).await, Device::with(3, second()).await);
    settle(&[&old, &writes], &log).await;
    // The state goes through a log that holds nothing else.
    let other = crate::support::another_log();
    old.join(&other).await.send_state().await.unwrap();
    settle(&[&old, &states], &other).await;
    for device in [&writes, &states] {
        let parked = storex_sync::parked(&device.storage).await.unwrap();
        assert_eq!(parked.first().map(|it| &it.reason), None);
        let letters = device.storage.dynamic("letter").unwrap().find(&json!({})).await.unwrap();
        assert_eq!(letters, expected);
        let memos = device.storage.dynamic("memo").unwrap().find(&json!({})).await.unwrap();
        assert_eq!(memos, [json!({"id": "d", "text": "a memo now"})]);
        assert!(device.sync(&log).await.received.parked == 0);
    }
    // And the name that was taken again means what it means in the version that says it.
    writes.update("letter", json!({"id": "2"}), json!({"title": "a new field"})).await;
    settle(&[&writes, &states], &log).await;
    assert_eq!(states.get("letter", "2").await.unwrap()["title"], "a new field");
    assert_eq!(states.get("letter", "2").await.unwrap()["subject"], "b");
}

/// Two writes of one device that are both still to be sent, to a name that has changed its meaning between them.
#[tokio::test]
async fn c78_a_write_under_an_older_schema_is_not_overwritten_by_one_under_another() {
    let log = shared_log();
    let device = Device::with(1, first()).await;
    device.create("letter", json!({"id": "1", "title": "before"})).await;
    device.sync(&log).await;
    device
        .update("letter", json!({"id": "1"}), json!({"title": "what is the subject today"}))
        .await;
    let device = device.reopened(second()).await;
    device.update("letter", json!({"id": "1"}), json!({"title": "what is new today"})).await;
    let other = Device::with(2, second()).await;
    settle(&[&device, &other], &log).await;
    let letter = other.get("letter", "1").await.unwrap();
    assert_eq!(letter["subject"], "what is the subject today");
    assert_eq!(letter["title"], "what is new today");
    assert_in_step(&[&device, &other]).await;
}

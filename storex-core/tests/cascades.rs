//! What a delete brings with it is done in the same batch, and told like any write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::sync::Arc;

use serde_json::json;
use storex_core::{
    Batch, ChangeEvent, ChangeKind, Definition, ErrorKind, FieldType, Filter, OnDelete, Registry,
    Storage,
};
use storex_memory::{MemoryBackend, TestRuntime};

fn tree() -> Vec<Definition> {
    vec![
        Definition::new("artist").field("name", FieldType::String),
        Definition::new("album").field("artist", FieldType::String).foreign_key(
            ["artist"],
            "artist",
            ["id"],
            OnDelete::Cascade,
        ),
        Definition::new("track").field("album", FieldType::String).foreign_key(
            ["album"],
            "album",
            ["id"],
            OnDelete::Cascade,
        ),
        Definition::new("review").optional("album", FieldType::String).foreign_key(
            ["album"],
            "album",
            ["id"],
            OnDelete::SetNull,
        ),
    ]
}

async fn open(definitions: Vec<Definition>) -> Storage {
    let registry = Registry::builder().collections(definitions).build().unwrap();
    Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
        .open()
        .await
        .unwrap()
}

async fn filled() -> Storage {
    let storage = open(tree()).await;
    for (collection, object) in [
        ("artist", json!({"id": "a", "name": "A"})),
        ("artist", json!({"id": "b", "name": "B"})),
        ("album", json!({"id": "a1", "artist": "a"})),
        ("album", json!({"id": "a2", "artist": "a"})),
        ("album", json!({"id": "b1", "artist": "b"})),
        ("track", json!({"id": "a1t", "album": "a1"})),
        ("track", json!({"id": "b1t", "album": "b1"})),
        ("review", json!({"id": "r", "album": "a2"})),
    ] {
        storage.dynamic(collection).unwrap().create(object).await.unwrap();
    }
    storage
}

#[tokio::test]
async fn children_go_and_pointers_become_null() {
    let storage = filled().await;
    let mut changes = storage.changes();
    let deleted = storage.dynamic("artist").unwrap().delete(&json!({"name": "A"})).await.unwrap();
    assert_eq!(deleted, ["a".into()], "the artist is what was asked for");
    assert_eq!(
        storage.dynamic("album").unwrap().find(&json!({})).await.unwrap(),
        [json!({"id": "b1", "artist": "b"})]
    );
    assert_eq!(storage.dynamic("track").unwrap().count(&json!({})).await.unwrap(), 1);
    assert_eq!(
        storage.dynamic("review").unwrap().find(&json!({})).await.unwrap(),
        [json!({"id": "r", "album": null})]
    );
    let Some(ChangeEvent::Changed(set)) = changes.try_next() else { panic!("one change set") };
    let told: Vec<(String, ChangeKind, usize)> =
        set.changes.iter().map(|it| (it.collection.to_string(), it.kind, it.keys.len())).collect();
    assert_eq!(
        told,
        [
            ("track".into(), ChangeKind::Deleted, 1),
            ("review".into(), ChangeKind::Updated, 1),
            ("album".into(), ChangeKind::Deleted, 2),
            ("artist".into(), ChangeKind::Deleted, 1),
        ]
    );
}

#[tokio::test]
async fn what_another_device_deleted_brings_nothing_with_it() {
    let storage = filled().await;
    storage.apply(Batch::new().delete("artist", Filter::key("a"))).await.unwrap();
    assert_eq!(
        storage.dynamic("album").unwrap().count(&json!({})).await.unwrap(),
        3,
        "their deletes come on their own"
    );
}

#[tokio::test]
async fn a_circle_of_references_ends() {
    let employee = Definition::new("employee").optional("boss", FieldType::String).foreign_key(
        ["boss"],
        "employee",
        ["id"],
        OnDelete::Cascade,
    );
    let storage = open(vec![employee]).await;
    let employees = storage.dynamic("employee").unwrap();
    for (id, boss) in [("1", "2"), ("2", "1"), ("3", "1"), ("4", "4")] {
        employees.create(json!({"id": id, "boss": boss})).await.unwrap();
    }
    employees.delete(&json!({"id": "1"})).await.unwrap();
    assert_eq!(employees.find(&json!({})).await.unwrap(), [json!({"id": "4", "boss": "4"})]);
    employees.delete(&json!({})).await.unwrap();
    assert_eq!(employees.count(&json!({})).await.unwrap(), 0);
}

#[test]
fn a_rule_that_cannot_be_kept_is_refused_by_name() {
    let artist = || Definition::new("artist").field("name", FieldType::String);
    let album = || Definition::new("album").field("artist", FieldType::String);
    for (child, expected) in [
        (
            album().foreign_key(["artist"], "artist", ["id"], OnDelete::SetNull),
            "`artist`: is to become null",
        ),
        (
            album().foreign_key(["x"], "artist", ["id"], OnDelete::Cascade),
            "`x`: is named by a foreign key",
        ),
        (
            album().foreign_key(["artist"], "nobody", ["id"], OnDelete::Cascade),
            "collection `nobody`",
        ),
        (
            album().foreign_key(["artist"], "artist", ["x"], OnDelete::Cascade),
            "fields that `artist` does not have",
        ),
    ] {
        let error = Registry::builder().collection(artist()).collection(child).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.to_string().contains("`album`") && error.to_string().contains(expected),
            "{error}"
        );
    }
}

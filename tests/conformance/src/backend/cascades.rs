//! What a delete brings with it: done in the same batch, and told like any write.

use serde_json::json;
use storex_core::{
    Batch, ChangeEvent, ChangeKind, Definition, Error, FieldType, Filter, Key, OnDelete, Query,
    Registry, Storage, Value, field,
};

use crate::Harness;
use crate::support::{NONE, ids, record, records, registry};

/// Artists with albums with tracks, which go with them, and reviews, which stay and forget their album.
fn music() -> Registry {
    let keyed = |name: &str| Definition::new(name).field("id", FieldType::Int).primary_key(["id"]);
    registry([
        keyed("artist"),
        keyed("album").optional("artist", FieldType::Int).foreign_key(
            ["artist"],
            "artist",
            ["id"],
            OnDelete::Cascade,
        ),
        keyed("track").field("album", FieldType::Int).foreign_key(
            ["album"],
            "album",
            ["id"],
            OnDelete::Cascade,
        ),
        keyed("review").optional("album", FieldType::Int).foreign_key(
            ["album"],
            "album",
            ["id"],
            OnDelete::SetNull,
        ),
    ])
}

async fn filled(h: &Harness) -> Storage {
    let storage = h.open(music()).await;
    let batch = Batch::new()
        .create("artist", vec![record![1], record![2]])
        .create(
            "album",
            vec![record![10, 1], record![11, 1], record![20, 2], record![30, None::<i64>]],
        )
        .create("track", vec![record![100, 10], record![110, 11], record![200, 20]])
        .create("review", vec![record![5, 10], record![6, 20], record![7, None::<i64>]]);
    storage.execute(batch).await.unwrap();
    storage
}

async fn keys(storage: &Storage, collection: &str) -> Vec<i64> {
    ids(&records(storage, collection).await)
}

pub async fn children_go_and_pointers_become_null(h: Harness) {
    let storage = filled(&h).await;
    let deleted = storage.dynamic("artist").unwrap().delete(&json!({ "id": 1 })).await.unwrap();
    // What was asked for, not what came with it.
    assert_eq!(deleted, [Key::single(1)]);
    assert_eq!(keys(&storage, "artist").await, [2]);
    assert_eq!(keys(&storage, "album").await, [20, 30]);
    assert_eq!(keys(&storage, "track").await, [200]);
    let none = None::<i64>;
    let expected = [record![5, none], record![6, 20], record![7, none]];
    assert_eq!(records(&storage, "review").await, expected);
}

pub async fn all_of_it_is_told(h: Harness) {
    let storage = filled(&h).await;
    let mut changes = storage.changes();
    storage.dynamic("artist").unwrap().delete(&json!({ "id": 1 })).await.unwrap();
    let Some(ChangeEvent::Changed(set)) = changes.try_next() else { panic!("nothing is told") };
    let mut told: Vec<(String, ChangeKind, Vec<Key>)> = set
        .changes
        .into_iter()
        .map(|mut change| {
            change.keys.sort();
            (change.collection.to_string(), change.kind, change.keys)
        })
        .collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    let of = |collection: &str, kind, keys: &[i64]| {
        (collection.to_owned(), kind, keys.iter().map(|key| Key::single(*key)).collect())
    };
    assert_eq!(
        told,
        [
            of("album", ChangeKind::Deleted, &[10, 11]),
            of("artist", ChangeKind::Deleted, &[1]),
            of("review", ChangeKind::Updated, &[5]),
            of("track", ChangeKind::Deleted, &[100, 110]),
        ]
    );
    assert_eq!(changes.try_next(), None);
}

/// The other device has told what its delete brought with it.
pub async fn what_another_device_deletes_brings_nothing_with_it(h: Harness) {
    let storage = filled(&h).await;
    storage.apply(Batch::new().delete("artist", Filter::key(1))).await.unwrap();
    assert_eq!(keys(&storage, "artist").await, [2]);
    assert_eq!(keys(&storage, "album").await, [10, 11, 20, 30]);
    assert_eq!(keys(&storage, "track").await, [100, 110, 200]);
}

pub async fn a_batch_that_fails_afterwards_brings_nothing_with_it(h: Harness) {
    let storage = filled(&h).await;
    let batch = Batch::new()
        .delete("artist", Filter::All)
        .then(|_| Err(Error::Aborted { reason: "no".to_owned() }));
    storage.execute(batch).await.unwrap_err();
    assert_eq!(keys(&storage, "artist").await, [1, 2]);
    assert_eq!(keys(&storage, "album").await, [10, 11, 20, 30]);
    assert_eq!(keys(&storage, "track").await, [100, 110, 200]);
    let found = storage.find(Query::new("review").filter(field("album").is_null())).await.unwrap();
    assert_eq!(ids(&found), [7]);
}

pub async fn a_circle_ends(h: Harness) {
    let employee = Definition::new("employee")
        .field("id", FieldType::Int)
        .optional("boss", FieldType::Int)
        .primary_key(["id"])
        .foreign_key(["boss"], "employee", ["id"], OnDelete::Cascade);
    let storage = h.open(registry([employee])).await;
    let all = vec![record![1, 2], record![2, 1], record![3, 1], record![4, 4], record![5, 3]];
    storage.execute(Batch::new().create("employee", all)).await.unwrap();
    storage.execute(Batch::new().delete("employee", Filter::key(1))).await.unwrap();
    assert_eq!(records(&storage, "employee").await, [record![4, 4]]);
    storage.execute(Batch::new().delete("employee", Filter::All)).await.unwrap();
    assert_eq!(keys(&storage, "employee").await, NONE);
}

/// What was deleted may be created again in the same batch, and deleted again.
pub async fn deleted_created_and_deleted_again(h: Harness) {
    let storage = filled(&h).await;
    let delete = |batch: Batch| batch.delete("artist", Filter::key(1));
    let batch = delete(Batch::new())
        .create("artist", vec![record![1]])
        .create("album", vec![record![12, 1]]);
    storage.execute(delete(batch)).await.unwrap();
    assert_eq!(keys(&storage, "artist").await, [2]);
    assert_eq!(keys(&storage, "album").await, [20, 30]);
}

pub async fn nothing_to_delete_brings_nothing_with_it(h: Harness) {
    let storage = filled(&h).await;
    let artists = storage.dynamic("artist").unwrap();
    assert_eq!(artists.delete(&json!({ "id": 9 })).await.unwrap(), []);
    assert!(!artists.delete_one(&json!({ "id": 9 })).await.unwrap());
    assert_eq!(keys(&storage, "album").await, [10, 11, 20, 30]);
}

pub async fn by_several_fields(h: Harness) {
    let order = Definition::new("order")
        .field("shop", FieldType::String)
        .field("number", FieldType::Int)
        .primary_key(["shop", "number"]);
    let line = Definition::new("line")
        .field("id", FieldType::Int)
        .optional("number", FieldType::Int)
        .optional("shop", FieldType::String)
        .primary_key(["id"])
        .foreign_key(["shop", "number"], "order", ["shop", "number"], OnDelete::Cascade);
    let storage = h.open(registry([order, line])).await;
    let (no_shop, no_number) = (None::<&str>, None::<i64>);
    let batch = Batch::new()
        .create("order", vec![record!["a", 1], record!["a", 2], record!["b", 1]])
        .create(
            "line",
            vec![
                record![1, 1, "a"],
                record![2, 2, "a"],
                record![3, 1, "b"],
                record![4, 1, "a"],
                record![5, 1, no_shop],
                record![6, no_number, "a"],
            ],
        );
    storage.execute(batch).await.unwrap();
    let one = Key::compound([Value::from("a"), Value::from(1)]);
    storage.execute(Batch::new().delete("order", Filter::key(one))).await.unwrap();
    assert_eq!(keys(&storage, "line").await, [2, 3, 5, 6]);
    let rest = Batch::new().delete("order", field("shop").ne("c"));
    storage.execute(rest).await.unwrap();
    assert_eq!(keys(&storage, "line").await, [5, 6]);
}

pub async fn thousands_at_once(h: Harness) {
    let storage = h.open(music()).await;
    let batch = Batch::new()
        .create("artist", (0..1500_i64).map(|id| record![id]).collect())
        .create("album", (0..3000_i64).map(|id| record![id, id / 2]).collect())
        .create("track", (0..3000_i64).map(|id| record![id, id]).collect());
    storage.execute(batch).await.unwrap();
    let deleted = Batch::new().delete("artist", field("id").gte(10));
    storage.execute(deleted).await.unwrap();
    assert_eq!(keys(&storage, "artist").await, (0..10).collect::<Vec<_>>());
    assert_eq!(keys(&storage, "album").await, (0..20).collect::<Vec<_>>());
    assert_eq!(keys(&storage, "track").await, (0..20).collect::<Vec<_>>());
}

//! Relations that are kept by a rule: who is pointed to is there, and what happens when it goes.

use serde_json::json;
use storex_core::{
    Batch, Changes, Definition, Error, ErrorKind, FieldType, Filter, Key, OnDelete, Origin, Query,
    Registry, RelationDefinition, Step, Storage, field,
};

use crate::Harness;
use crate::support::{NONE, assert_refused, ids, record, records, refused, registry};

fn keyed(name: &str) -> Definition {
    Definition::new(name).field("id", FieldType::Int).primary_key(["id"])
}

/// Folders with files, by this rule.
fn folders(rule: OnDelete) -> Registry {
    registry([
        keyed("folder"),
        keyed("file").relation(RelationDefinition::child_of("folder").optional().on_delete(rule)),
    ])
}

async fn filled(h: &Harness, rule: OnDelete) -> Storage {
    let storage = h.open(folders(rule)).await;
    let batch = Batch::new().create("folder", vec![record![1], record![2], record![3]]).create(
        "file",
        vec![record![10, 1], record![11, 1], record![20, 2], record![30, None::<i64>]],
    );
    storage.execute(batch).await.unwrap();
    storage
}

async fn keys(storage: &Storage, collection: &str) -> Vec<i64> {
    ids(&records(storage, collection).await)
}

pub async fn cascade_deletes_the_children(h: Harness) {
    let storage = filled(&h, OnDelete::Cascade).await;
    storage.execute(Batch::new().delete("folder", Filter::key(1))).await.unwrap();
    assert_eq!(keys(&storage, "folder").await, [2, 3]);
    assert_eq!(keys(&storage, "file").await, [20, 30]);
}

pub async fn set_null_leaves_the_children(h: Harness) {
    let storage = filled(&h, OnDelete::SetNull).await;
    storage.execute(Batch::new().delete("folder", Filter::key(1))).await.unwrap();
    let none = None::<i64>;
    let expected = [record![10, none], record![11, none], record![20, 2], record![30, none]];
    assert_eq!(records(&storage, "file").await, expected);
}

pub async fn restrict_keeps_a_parent_with_children(h: Harness) {
    let storage = filled(&h, OnDelete::Restrict).await;
    let delete = storage.execute(Batch::new().delete("folder", Filter::key(2))).await;
    refused(delete, ErrorKind::Conflict, &["file", "folder", "20"]);
    let all = storage.execute(Batch::new().delete("folder", Filter::All)).await;
    assert_refused!(all, Error::Relation { .. });
    assert_eq!(keys(&storage, "folder").await, [1, 2, 3]);
    storage.execute(Batch::new().delete("folder", Filter::key(3))).await.unwrap();
    assert_eq!(keys(&storage, "folder").await, [1, 2], "nobody pointed to it");
}

/// The rules are looked at in the end.
pub async fn within_a_batch_objects_go_in_any_order(h: Harness) {
    let storage = filled(&h, OnDelete::Restrict).await;
    let batch = Batch::new()
        .delete("folder", Filter::key(1))
        .delete("file", field("folder").eq(1))
        .delete("folder", Filter::key(2))
        .update("file", field("folder").eq(2), Changes::new().set("folder", 3));
    storage.execute(batch).await.unwrap();
    assert_eq!(keys(&storage, "folder").await, [3]);
    assert_eq!(records(&storage, "file").await, [record![20, 3], record![30, None::<i64>]]);
}

pub async fn within_a_batch_objects_come_in_any_order(h: Harness) {
    let storage = h.open(folders(OnDelete::Restrict)).await;
    let batch =
        Batch::new().create("file", vec![record![10, 1]]).create("folder", vec![record![1]]);
    storage.execute(batch).await.unwrap();
    assert_eq!(keys(&storage, "file").await, [10]);
}

pub async fn a_parent_that_goes_and_comes_again(h: Harness) {
    let storage = filled(&h, OnDelete::Restrict).await;
    let batch = Batch::new().delete("folder", Filter::key(1)).create("folder", vec![record![1]]);
    storage.execute(batch).await.unwrap();
    assert_eq!(keys(&storage, "folder").await, [1, 2, 3]);
    let batch = Batch::new()
        .delete("folder", Filter::key(1))
        .create("folder", vec![record![1]])
        .delete("folder", Filter::key(1));
    assert_refused!(storage.execute(batch).await, Error::Relation { .. });
}

pub async fn a_child_of_nobody_is_refused(h: Harness) {
    let file = |name: &str, rule| {
        keyed(name).relation(RelationDefinition::child_of("folder").optional().on_delete(rule))
    };
    let files = [
        file("file", OnDelete::Cascade),
        file("link", OnDelete::SetNull),
        file("lock", OnDelete::Restrict),
    ];
    let storage = h.open(registry([keyed("folder")].into_iter().chain(files))).await;
    storage.execute(Batch::new().create("folder", vec![record![1]])).await.unwrap();
    for name in ["file", "link", "lock"] {
        let batch = Batch::new().create(name, vec![record![10, 1], record![20, 7]]);
        refused(storage.execute(batch).await, ErrorKind::Conflict, &[name, "folder", "7"]);
        assert_eq!(keys(&storage, name).await, NONE);
    }
}

pub async fn an_update_to_nobody_is_refused(h: Harness) {
    let storage = filled(&h, OnDelete::Cascade).await;
    let update = |to: i64| {
        let changes = Changes::new().set("folder", to);
        storage.execute(Batch::new().update("file", Filter::key(10), changes))
    };
    assert_refused!(update(7).await, Error::Relation { .. });
    update(3).await.unwrap();
    assert_eq!(records(&storage, "file").await[0], record![10, 3]);
    // Of an update that changes nothing nobody asks who it points to.
    let nothing = Batch::new().update("file", Filter::key(99), Changes::new().set("folder", 7));
    storage.execute(nothing).await.unwrap();
}

pub async fn a_child_created_and_deleted_with_its_parent(h: Harness) {
    let storage = filled(&h, OnDelete::Cascade).await;
    let batch = Batch::new().create("file", vec![record![31, 3]]).delete("folder", Filter::key(3));
    storage.execute(batch).await.unwrap();
    assert_eq!(keys(&storage, "file").await, [10, 11, 20, 30]);
    let batch = Batch::new().delete("folder", Filter::key(2)).create("file", vec![record![32, 2]]);
    assert_refused!(storage.execute(batch).await, Error::Relation { .. });
    assert_eq!(keys(&storage, "folder").await, [1, 2]);
}

/// A tree in one collection.
pub async fn a_parent_of_the_same_collection(h: Harness) {
    let relation = RelationDefinition::child_of("node").alias("parent").reverse_alias("children");
    let definition = keyed("node").relation(relation.optional().on_delete(OnDelete::Restrict));
    let storage = h.open(registry([definition])).await;
    let nodes = vec![record![1, None::<i64>], record![2, 1], record![3, 2]];
    storage.execute(Batch::new().create("node", nodes)).await.unwrap();
    let delete = |filter| storage.execute(Batch::new().delete("node", filter));
    assert_refused!(delete(Filter::key(2)).await, Error::Relation { .. });
    delete(Filter::Keys(vec![Key::single(2), Key::single(3)])).await.unwrap();
    delete(Filter::key(1)).await.unwrap();
    assert_eq!(keys(&storage, "node").await, NONE);
}

pub async fn a_continuation_keeps_the_rules_too(h: Harness) {
    let storage = filled(&h, OnDelete::Restrict).await;
    let batch = Batch::new()
        .touching(["folder", "file"])
        .then(|_| Ok(vec![Step::Delete { collection: "folder".into(), filter: Filter::key(1) }]));
    assert_refused!(storage.execute(batch).await, Error::Relation { .. });
    let batch = Batch::new()
        .touching(["file"])
        .then(|_| Ok(vec![Step::create("file", vec![record![50, 99]])]));
    assert_refused!(storage.execute(batch).await, Error::Relation { .. });
    assert_eq!(keys(&storage, "file").await, [10, 11, 20, 30]);
}

/// What the rules ask is no part of what a batch has done.
pub async fn the_outcome_tells_the_batch_only(h: Harness) {
    let storage = filled(&h, OnDelete::Restrict).await;
    let batch = Batch::new()
        .create("file", vec![record![12, 1]])
        .delete("folder", Filter::key(3))
        .find(Query::new("file").filter(Filter::key(12)));
    let outcome = storage.execute(batch).await.unwrap();
    assert_eq!(outcome.executed().last().unwrap().origin, 2);
    assert_eq!(outcome.of_step(0).count(), 1);
    assert_eq!(outcome.of_step(2).count(), 1);
}

/// It was checked where it was written; what it points to may come later.
pub async fn sync_brings_children_before_their_parents(h: Harness) {
    let storage = h.open(folders(OnDelete::Restrict)).await;
    let mut batch = Batch::new().create("file", vec![record![10, 1]]);
    batch.origin = Origin::Sync;
    storage.apply(batch).await.unwrap();
    storage.apply(Batch::new().create("folder", vec![record![1]])).await.unwrap();
    storage.apply(Batch::new().delete("folder", Filter::key(1))).await.unwrap();
    assert_eq!(keys(&storage, "file").await, [10]);
}

/// Three levels and two rules: the whole is refused when the last one is.
pub async fn a_cascade_ends_at_a_restriction(h: Harness) {
    let child = |parent: &str, rule| RelationDefinition::child_of(parent).on_delete(rule);
    let storage = h
        .open(registry([
            keyed("artist"),
            keyed("album").relation(child("artist", OnDelete::Cascade)),
            keyed("sale").relation(child("album", OnDelete::Restrict)),
        ]))
        .await;
    let batch = Batch::new()
        .create("artist", vec![record![1], record![2]])
        .create("album", vec![record![10, 1], record![20, 2]])
        .create("sale", vec![record![100, 10]]);
    storage.execute(batch).await.unwrap();
    let sold = storage.execute(Batch::new().delete("artist", Filter::key(1))).await;
    refused(sold, ErrorKind::Conflict, &["sale", "album"]);
    assert_eq!(keys(&storage, "album").await, [10, 20]);
    storage.execute(Batch::new().delete("artist", Filter::key(2))).await.unwrap();
    assert_eq!(keys(&storage, "album").await, [10]);
}

pub async fn nested_objects_keep_the_rules(h: Harness) {
    let storage = h
        .open(registry([
            Definition::new("user").field("name", FieldType::String),
            Definition::new("email")
                .field("address", FieldType::String)
                .relation(RelationDefinition::child_of("user").on_delete(OnDelete::Cascade)),
        ]))
        .await;
    let user = json!({ "name": "Ann", "emails": [{ "address": "a" }, { "address": "b" }] });
    let user = storage.dynamic("user").unwrap().create(user).await.unwrap();
    let email = json!({ "address": "c", "user": "nobody" });
    refused(
        storage.dynamic("email").unwrap().create(email).await,
        ErrorKind::Conflict,
        &["email", "user", "nobody"],
    );
    storage.dynamic("user").unwrap().delete_one(&user).await.unwrap();
    assert_eq!(storage.count(Query::new("email")).await.unwrap(), 0);
}

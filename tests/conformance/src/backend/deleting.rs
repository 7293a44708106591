//! Objects are deleted.

use serde_json::json;
use storex_core::{
    Batch, Definition, FieldType, Filter, Key, RelationDefinition, StepOutcome, field,
};

use crate::Harness;
use crate::support::{
    NONE, OBJECT, assert_objects, create_all, dump, numbers, open_one, registry, simple,
    sorted_keys, step,
};

/// storex-facts 1.14, case 33.
pub async fn one_object_leaves_the_others(h: Harness) {
    let (storage, objects) = simple(&h, FieldType::Int).await;
    let created = create_all(&objects, [json!({ "field": 1 }), json!({ "field": 2 })]).await;
    assert!(objects.delete_one(&created[0]).await.unwrap());
    assert_eq!(dump(&storage, OBJECT).await, created[1..]);
}

/// storex-facts 1.14, case 34.
pub async fn objects_by_a_list_of_keys(h: Harness) {
    let (storage, objects) = simple(&h, FieldType::Int).await;
    let created = create_all(&objects, (1..=3).map(|n| json!({ "field": n }))).await;
    let filter = json!({ "id": { "$in": [created[0]["id"], created[1]["id"]] } });
    assert_eq!(objects.delete(&filter).await.unwrap().len(), 2);
    assert_eq!(dump(&storage, OBJECT).await, created[2..]);
}

pub async fn exactly_the_objects_that_match(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, Some(1)), (2, None), (3, Some(3))]).await;
    let deleted = objects.delete(&json!({ "n": { "$ne": 3 } })).await.unwrap();
    assert_eq!(sorted_keys(&deleted), [1, 2]);
    assert_objects(&storage, json!([{ "id": 3, "n": 3 }])).await;
}

pub async fn no_object_matches(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 5)]).await;
    assert_eq!(objects.delete(&json!({ "n": 6 })).await.unwrap(), []);
    assert!(!objects.delete_one(&json!({ "id": 2 })).await.unwrap());
    assert_objects(&storage, json!([{ "id": 1, "n": 5 }])).await;
}

pub async fn an_object_twice(h: Harness) {
    let (_storage, objects) = numbers(&h, &[(1, 5)]).await;
    assert!(objects.delete_one(&json!({ "id": 1 })).await.unwrap());
    assert!(!objects.delete_one(&json!({ "id": 1 })).await.unwrap());
}

/// The object's other fields are what the caller remembers of it, not what it is found by.
pub async fn one_object_is_found_by_its_key_alone(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 5), (2, 4)]).await;
    assert!(objects.delete_one(&json!({ "id": 1, "n": 4 })).await.unwrap());
    assert_objects(&storage, json!([{ "id": 2, "n": 4 }])).await;
}

pub async fn by_keys_with_absent_and_double_ones(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2), (3, 3)]).await;
    let keys = Filter::Keys([3, 9, 1, 3].map(Key::single).to_vec());
    let outcome = storage.execute(Batch::new().delete(OBJECT, keys)).await.unwrap();
    let StepOutcome::Deleted { keys } = step(&outcome, 0) else { panic!("{outcome:?}") };
    assert_eq!(sorted_keys(keys), [1, 3]);
    assert_objects(&storage, json!([{ "id": 2, "n": 2 }])).await;
}

pub async fn all_objects(h: Harness) {
    let objects: Vec<(i64, i64)> = (0..3000).map(|id| (id, id)).collect();
    let (storage, collection) = numbers(&h, &objects).await;
    assert_eq!(collection.delete(&json!({})).await.unwrap().len(), 3000);
    assert_objects(&storage, json!([])).await;
}

pub async fn five_thousand_keys(h: Harness) {
    let objects: Vec<(i64, i64)> = (0..3000).map(|id| (id * 2, id)).collect();
    let (storage, _) = numbers(&h, &objects).await;
    let keys = Filter::Keys((1000..6000_i64).map(Key::single).collect());
    let outcome = storage.execute(Batch::new().delete(OBJECT, keys)).await.unwrap();
    let StepOutcome::Deleted { keys } = step(&outcome, 0) else { panic!("{outcome:?}") };
    assert_eq!(sorted_keys(keys), (500..3000).map(|id| id * 2).collect::<Vec<_>>());
    assert_eq!(dump(&storage, OBJECT).await.len(), 500);
}

pub async fn an_object_with_a_compound_key(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("a", FieldType::Int)
        .field("b", FieldType::String)
        .primary_key(["a", "b"]);
    let (storage, objects) = open_one(&h, definition).await;
    for (a, b) in [(1, "x"), (1, "y"), (2, "x")] {
        objects.create(json!({ "a": a, "b": b })).await.unwrap();
    }
    assert!(objects.delete_one(&json!({ "a": 1, "b": "y" })).await.unwrap());
    assert!(!objects.delete_one(&json!({ "a": 2, "b": "y" })).await.unwrap());
    assert_objects(&storage, json!([{ "a": 1, "b": "x" }, { "a": 2, "b": "x" }])).await;
}

/// storex deletes what it is told to delete and nothing else.
pub async fn a_parent_leaves_its_children(h: Harness) {
    let user = Definition::new("user").field("name", FieldType::String);
    let email = Definition::new("email").relation(RelationDefinition::child_of("user"));
    let storage = h.open(registry([user, email])).await;
    let users = storage.dynamic("user").unwrap();
    let user = users.create(json!({ "name": "Joe" })).await.unwrap();
    let email =
        storage.dynamic("email").unwrap().create(json!({ "user": user["id"] })).await.unwrap();
    assert!(users.delete_one(&user).await.unwrap());
    assert_eq!(dump(&storage, "email").await, [email]);
}

pub async fn deleted_objects_are_in_no_index(h: Harness) {
    let definition = crate::support::numbered().index(["n"]).unique(["n"]);
    let (storage, objects) = open_one(&h, definition).await;
    objects.create(json!({ "id": 1, "n": 5 })).await.unwrap();
    objects.delete(&json!({ "n": 5 })).await.unwrap();
    assert_eq!(crate::support::matching(&storage, field("n").eq(5)).await, NONE);
    objects.create(json!({ "id": 2, "n": 5 })).await.unwrap();
    assert_eq!(crate::support::matching(&storage, field("n").eq(5)).await, [2]);
}

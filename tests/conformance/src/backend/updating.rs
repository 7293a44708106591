//! Objects are changed.

use serde_json::json;
use storex_core::{
    Batch, Changes, Definition, Error, ErrorKind, FieldType, Filter, Key, RelationDefinition,
    StepOutcome, Timestamp, Value, field,
};

use crate::Harness;
use crate::support::{
    OBJECT, assert_objects, assert_refused, dump, keyed, matching, numbers, open_one, record,
    records, refused, registry, sorted_keys, step,
};

fn user() -> Definition {
    Definition::new("user")
        .field("identifier", FieldType::String)
        .field("isActive", FieldType::Boolean)
}

/// storex-facts 1.14, case 26.
pub async fn one_object_by_its_key(h: Harness) {
    let (storage, users) = open_one(&h, user()).await;
    let joe = users.create(json!({ "identifier": "joe", "isActive": false })).await.unwrap();
    assert!(users.update_one(&joe, &json!({ "isActive": true })).await.unwrap());
    assert_eq!(
        dump(&storage, "user").await,
        [json!({ "id": joe["id"], "identifier": "joe", "isActive": true })]
    );
}

/// storex-facts 1.14, case 27.
pub async fn objects_by_a_filter(h: Harness) {
    let (storage, users) = open_one(&h, user()).await;
    let joe = users.create(json!({ "identifier": "joe", "isActive": false })).await.unwrap();
    let changed =
        users.update(&json!({ "identifier": "joe" }), &json!({ "isActive": true })).await.unwrap();
    assert_eq!(changed[0].as_text(), joe["id"].as_str());
    assert_eq!(
        dump(&storage, "user").await,
        [json!({ "id": joe["id"], "identifier": "joe", "isActive": true })]
    );
}

pub async fn exactly_the_objects_that_match(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1), (2, 2), (3, 3), (4, 2)]).await;
    let changed = objects.update(&json!({ "n": 2 }), &json!({ "n": 20 })).await.unwrap();
    assert_eq!(sorted_keys(&changed), [2, 4]);
    let expected = json!([
        { "id": 1, "n": 1 }, { "id": 2, "n": 20 }, { "id": 3, "n": 3 }, { "id": 4, "n": 20 },
    ]);
    assert_objects(&storage, expected).await;
}

/// The keys of the objects that match are told, also of those that had the value before.
pub async fn a_change_to_the_same_value_is_told(h: Harness) {
    let (_storage, objects) = numbers(&h, &[(1, 5), (2, 6)]).await;
    let changed = objects.update(&json!({}), &json!({ "n": 5 })).await.unwrap();
    assert_eq!(sorted_keys(&changed), [1, 2]);
}

pub async fn no_object_matches(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 5)]).await;
    let changed = objects.update(&json!({ "n": 6 }), &json!({ "n": 7 })).await.unwrap();
    assert_eq!(changed, []);
    assert!(!objects.update_one(&json!({ "id": 9 }), &json!({ "n": 7 })).await.unwrap());
    assert_objects(&storage, json!([{ "id": 1, "n": 5 }])).await;
}

/// The object's other fields are what the caller remembers of it, not what it is found by.
pub async fn one_object_is_found_by_its_key_alone(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 5)]).await;
    let stale = json!({ "id": 1, "n": 4 });
    assert!(objects.update_one(&stale, &json!({ "n": 6 })).await.unwrap());
    assert_objects(&storage, json!([{ "id": 1, "n": 6 }])).await;
    assert_eq!(stale, json!({ "id": 1, "n": 4 }));
}

pub async fn by_keys_with_absent_and_double_ones(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2), (3, 3)]).await;
    let keys = [3, 9, 1, 3].map(Key::single).to_vec();
    let batch = Batch::new().update(OBJECT, Filter::Keys(keys), Changes::new().increment("n", 10));
    let outcome = storage.execute(batch).await.unwrap();
    let StepOutcome::Updated { keys, .. } = step(&outcome, 0) else { panic!("{outcome:?}") };
    assert_eq!(sorted_keys(keys), [1, 3]);
    assert_eq!(records(&storage, OBJECT).await, [record![1, 11], record![2, 2], record![3, 13]]);
}

pub async fn an_object_with_a_compound_key(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("a", FieldType::Int)
        .field("b", FieldType::String)
        .optional("n", FieldType::Int)
        .primary_key(["b", "a"]);
    let (storage, objects) = open_one(&h, definition).await;
    for (a, b) in [(1, "x"), (1, "y"), (2, "x")] {
        objects.create(json!({ "a": a, "b": b })).await.unwrap();
    }
    let changed = objects.update(&json!({ "a": 1, "b": "x" }), &json!({ "n": 1 })).await.unwrap();
    assert_eq!(changed, [Key::compound([Value::from("x"), Value::from(1)])]);
    assert!(objects.update_one(&json!({ "a": 2, "b": "x" }), &json!({ "n": 2 })).await.unwrap());
    assert!(!objects.update_one(&json!({ "a": 2, "b": "y" }), &json!({ "n": 3 })).await.unwrap());
    let expected = json!([
        { "a": 1, "b": "x", "n": 1 }, { "a": 2, "b": "x", "n": 2 }, { "a": 1, "b": "y", "n": null },
    ]);
    assert_objects(&storage, expected).await;
}

pub async fn several_fields_at_once(h: Harness) {
    let definition = keyed()
        .optional("a", FieldType::Int)
        .optional("b", FieldType::String)
        .optional("c", FieldType::Json);
    let (storage, objects) = open_one(&h, definition).await;
    objects.create(json!({ "id": 1, "a": 1, "b": "x", "c": [1] })).await.unwrap();
    let changes = json!({ "a": null, "c": { "d": 2 } });
    objects.update(&json!({}), &changes).await.unwrap();
    assert_objects(&storage, json!([{ "id": 1, "a": null, "b": "x", "c": { "d": 2 } }])).await;
}

pub async fn an_optional_field_is_unset(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 5), (2, 6)]).await;
    objects.update(&json!({ "id": 1 }), &json!({ "n": null })).await.unwrap();
    objects.update(&json!({ "id": 2 }), &json!({ "n": { "$unset": true } })).await.unwrap();
    assert_objects(&storage, json!([{ "id": 1, "n": null }, { "id": 2, "n": null }])).await;
    assert_eq!(matching(&storage, field("n").is_null()).await, [1, 2]);
}

/// What an update changes is what matched before it: none is changed twice.
pub async fn changes_that_move_objects_within_the_filter(h: Harness) {
    let objects: Vec<(i64, i64)> = (1..=50).map(|id| (id, id)).collect();
    let (storage, _) = open_one(&h, keyed().optional("n", FieldType::Int).index(["n"])).await;
    let all = objects.iter().map(|(id, n)| record![*id, *n]).collect();
    let batch = Batch::new().create(OBJECT, all).update(
        OBJECT,
        field("n").gte(10),
        Changes::new().increment("n", 5),
    );
    storage.execute(batch).await.unwrap();
    let expected: Vec<_> =
        objects.iter().map(|(id, n)| record![*id, if *n >= 10 { n + 5 } else { *n }]).collect();
    assert_eq!(records(&storage, OBJECT).await, expected);
}

pub async fn five_thousand_objects(h: Harness) {
    let objects: Vec<(i64, i64)> = (0..5000).map(|id| (id, id % 2)).collect();
    let (storage, collection) = numbers(&h, &objects).await;
    let changed = collection.update(&json!({ "n": 1 }), &json!({ "n": 7 })).await.unwrap();
    assert_eq!(changed.len(), 2500);
    assert_eq!(matching(&storage, field("n").eq(7)).await.len(), 2500);
}

pub async fn the_parent_of_a_child(h: Harness) {
    let user = Definition::new("user").field("name", FieldType::String);
    let email = Definition::new("email").relation(RelationDefinition::child_of("user").column("u"));
    let storage = h.open(registry([user, email])).await;
    let users = storage.dynamic("user").unwrap();
    let emails = storage.dynamic("email").unwrap();
    let first = users.create(json!({ "name": "first" })).await.unwrap();
    let second = users.create(json!({ "name": "second" })).await.unwrap();
    let email = emails.create(json!({ "user": first["id"] })).await.unwrap();
    emails.update(&json!({ "user": first["id"] }), &json!({ "user": second["id"] })).await.unwrap();
    let found = emails.find(&json!({ "user": second["id"] })).await.unwrap();
    assert_eq!(found, [json!({ "id": email["id"], "user": second["id"] })]);
}

fn counters() -> Definition {
    keyed()
        .optional("i", FieldType::Int)
        .optional("f", FieldType::Float)
        .optional("at", FieldType::Timestamp)
}

pub async fn increments(h: Harness) {
    let (storage, objects) = open_one(&h, counters()).await;
    objects.create(json!({ "id": 1, "i": 40, "f": 0.5, "at": 1000 })).await.unwrap();
    let changes = Changes::new().increment("i", 2).increment("f", 0.25).increment("at", -2000);
    storage.execute(Batch::new().update(OBJECT, Filter::All, changes)).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, 42, 0.75, Timestamp(-1000)]]);
    let changes = json!({ "$inc": { "i": -2, "f": 1 } });
    objects.update(&json!({ "i": 42 }), &changes).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, 40, 1.75, Timestamp(-1000)]]);
}

pub async fn an_increment_of_null_counts_from_zero(h: Harness) {
    let (storage, objects) = open_one(&h, counters()).await;
    objects.create(json!({ "id": 1 })).await.unwrap();
    let changes = Changes::new().increment("i", -3).increment("f", 2).increment("at", 5);
    storage.execute(Batch::new().update(OBJECT, Filter::All, changes)).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, -3, 2.0, Timestamp(5)]]);
}

/// Whoever logs an increment needs what it gave.
pub async fn an_increment_tells_the_objects_as_they_are_now(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, Some(1)), (2, None), (3, Some(3))]).await;
    let keys = Filter::Keys([3, 2, 9].map(Key::single).to_vec());
    let batch = Batch::new().update(OBJECT, keys, Changes::new().increment("n", 10)).update(
        OBJECT,
        Filter::key(1),
        Changes::new().set("n", 5),
    );
    let outcome = storage.execute(batch).await.unwrap();
    let StepOutcome::Updated { keys, records, .. } = step(&outcome, 0) else {
        panic!("{outcome:?}")
    };
    let mut told: Vec<_> = keys.iter().zip(records).map(|(key, it)| (key.as_int(), it)).collect();
    told.sort_by_key(|(key, _)| *key);
    assert_eq!(told, [(Some(2), &record![2, 10]), (Some(3), &record![3, 13])]);
    assert_eq!(records.len(), 2);
    let expected =
        StepOutcome::Updated { keys: vec![Key::single(1)], records: vec![], unchanged: vec![] };
    assert_eq!(step(&outcome, 1), &expected);
}

pub async fn an_increment_at_the_edge_is_exact(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, (1_i64 << 53) + 1), (2, i64::MAX - 1)]).await;
    let batch = Batch::new().update(OBJECT, Filter::All, Changes::new().increment("n", 1));
    storage.execute(batch).await.unwrap();
    let expected = [record![1, (1_i64 << 53) + 2], record![2, i64::MAX]];
    assert_eq!(records(&storage, OBJECT).await, expected);
}

/// Integers never wrap and never become floats; of several objects none is changed then.
pub async fn an_increment_beyond_the_edge_is_refused(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1), (2, i64::MAX), (3, i64::MIN)]).await;
    let before = dump(&storage, OBJECT).await;
    for by in [1, -1] {
        let result = objects.update(&json!({}), &json!({ "n": { "$inc": by } })).await;
        refused(result, ErrorKind::Invalid, &[OBJECT, "`n`"]);
        assert_eq!(dump(&storage, OBJECT).await, before);
    }
}

pub async fn a_timestamp_beyond_the_edge_is_refused(h: Harness) {
    let (storage, _) = open_one(&h, counters()).await;
    let object = record![1, 0, 0.0, Timestamp(i64::MAX)];
    storage.execute(Batch::new().create(OBJECT, vec![object.clone()])).await.unwrap();
    let changes = Changes::new().increment("i", 1).increment("at", 1);
    let result = storage.execute(Batch::new().update(OBJECT, Filter::All, changes)).await;
    assert_refused!(result, Error::InvalidValue { .. });
    assert_eq!(records(&storage, OBJECT).await, [object]);
}

/// A float grows to infinity, as floats do; infinity minus infinity is no number.
pub async fn floats_beyond_the_edge(h: Harness) {
    let (storage, _) = open_one(&h, counters()).await;
    let object = record![1, 0, f64::MAX, Timestamp(0)];
    let grow =
        |by: f64| Batch::new().update(OBJECT, Filter::All, Changes::new().increment("f", by));
    storage.execute(Batch::new().create(OBJECT, vec![object])).await.unwrap();
    storage.execute(grow(f64::MAX)).await.unwrap();
    let infinite = [record![1, 0, f64::INFINITY, Timestamp(0)]];
    assert_eq!(records(&storage, OBJECT).await, infinite);
    let result = storage.execute(grow(f64::NEG_INFINITY)).await;
    refused(result, ErrorKind::Invalid, &[OBJECT, "`f`"]);
    assert_eq!(records(&storage, OBJECT).await, infinite);
}

//! What finds give.

use serde_json::json;
use storex_core::{Batch, Definition, Direction, FieldType, Filter, Key, Query, Value, field};

use crate::Harness;
use crate::support::{NONE, OBJECT, ids, keyed, numbers, open_one, record, records};

fn by_keys(keys: impl IntoIterator<Item = i64>) -> Query {
    Query::new(OBJECT).filter(Filter::Keys(keys.into_iter().map(Key::single).collect()))
}

pub async fn nothing_in_an_empty_collection(h: Harness) {
    let (storage, objects) = numbers::<i64>(&h, &[]).await;
    assert_eq!(objects.find(&json!({})).await.unwrap(), Vec::<serde_json::Value>::new());
    assert_eq!(objects.find_one(&json!({})).await.unwrap(), None);
    assert_eq!(objects.get(1).await.unwrap(), None);
    assert_eq!(storage.count(Query::new(OBJECT)).await.unwrap(), 0);
}

pub async fn one_object_by_a_filter(h: Harness) {
    let (_storage, objects) = numbers(&h, &[(1, 5), (2, 6)]).await;
    let found = objects.find_one(&json!({ "n": 6 })).await.unwrap();
    assert_eq!(found, Some(json!({ "id": 2, "n": 6 })));
}

pub async fn of_several_matches_the_first_by_key(h: Harness) {
    let (_storage, objects) = numbers(&h, &[(3, 5), (1, 6), (2, 5)]).await;
    let found = objects.find_one(&json!({ "n": 5 })).await.unwrap();
    assert_eq!(found, Some(json!({ "id": 2, "n": 5 })));
}

pub async fn keys_give_objects_in_their_order(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2), (3, 3), (4, 4)]).await;
    let found = storage.find(by_keys([3, 1, 4])).await.unwrap();
    assert_eq!(found, [record![3, 3], record![1, 1], record![4, 4]]);
}

pub async fn keys_that_are_not_there_are_left_out(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2)]).await;
    let found = storage.find(by_keys([9, 2, -1, 1, 8])).await.unwrap();
    assert_eq!(ids(&found), [2, 1]);
    assert_eq!(storage.count(by_keys([9, 2, -1, 1, 8])).await.unwrap(), 2);
    assert_eq!(ids(&storage.find(by_keys([9])).await.unwrap()), NONE);
}

pub async fn a_key_given_twice_counts_once(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2)]).await;
    let found = storage.find(by_keys([2, 1, 2, 2, 1])).await.unwrap();
    assert_eq!(ids(&found), [2, 1]);
    assert_eq!(storage.count(by_keys([2, 1, 2, 2, 1])).await.unwrap(), 2);
}

pub async fn no_keys_give_nothing(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2)]).await;
    assert_eq!(storage.find(by_keys([])).await.unwrap(), []);
    assert_eq!(storage.count(by_keys([])).await.unwrap(), 0);
}

pub async fn keys_with_an_order(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 4), (2, 3), (3, 2), (4, 1)]).await;
    let query = by_keys([1, 4, 3]).order_by("n", Direction::Ascending);
    assert_eq!(ids(&storage.find(query).await.unwrap()), [4, 3, 1]);
}

/// With a limit or an offset the order is that of the keys themselves.
pub async fn keys_with_a_limit(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 4), (2, 3), (3, 2), (4, 1)]).await;
    assert_eq!(ids(&storage.find(by_keys([4, 3, 1]).limit(2)).await.unwrap()), [1, 3]);
    assert_eq!(ids(&storage.find(by_keys([4, 3, 1]).offset(1)).await.unwrap()), [3, 4]);
}

pub async fn five_thousand_keys(h: Harness) {
    let (storage, _) = open_one(&h, keyed()).await;
    let even = (0..5000_i64).map(|n| record![n * 2]).collect();
    storage.execute(Batch::new().create(OBJECT, even)).await.unwrap();
    let wanted = (0..5000_i64).rev();
    let expected: Vec<i64> = (0..2500).rev().map(|n| n * 2).collect();
    assert_eq!(ids(&storage.find(by_keys(wanted.clone())).await.unwrap()), expected);
    assert_eq!(storage.count(by_keys(wanted)).await.unwrap(), 2500);
}

pub async fn five_thousand_compound_keys(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("a", FieldType::Int)
        .field("b", FieldType::String)
        .primary_key(["a", "b"]);
    let (storage, _) = open_one(&h, definition).await;
    let all = (0..3000_i64).map(|n| record![n % 10, format!("{n:05}")]).collect();
    storage.execute(Batch::new().create(OBJECT, all)).await.unwrap();
    let wanted: Vec<Key> = (0..5000_i64)
        .rev()
        .map(|n| Key::compound([Value::from(n % 10), Value::from(format!("{n:05}"))]))
        .collect();
    let found = storage.find(Query::new(OBJECT).filter(Filter::Keys(wanted))).await.unwrap();
    let expected: Vec<_> =
        (0..3000_i64).rev().map(|n| record![n % 10, format!("{n:05}")]).collect();
    assert_eq!(found, expected);
}

pub async fn only_the_fields_asked_for_in_their_order(h: Harness) {
    let definition = keyed().optional("a", FieldType::Int).optional("b", FieldType::Int);
    let (storage, objects) = open_one(&h, definition).await;
    objects.create(json!({ "id": 1, "a": 2, "b": 3 })).await.unwrap();
    let query = Query::new(OBJECT).select(["b", "id"]);
    assert_eq!(storage.find(query).await.unwrap(), [record![3, 1]]);
    let found = objects.find_with(&json!({}), &json!({ "fields": ["a"] })).await.unwrap();
    assert_eq!(found, [json!({ "a": 2 })]);
}

pub async fn fields_left_out_still_filter_and_order(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 30), (2, 20), (3, 10)]).await;
    let query = Query::new(OBJECT)
        .filter(field("n").gte(20))
        .order_by("n", Direction::Ascending)
        .select(["id"]);
    assert_eq!(storage.find(query.clone()).await.unwrap(), [record![2], record![1]]);
    let query = by_keys([3, 1]).select(["n"]);
    assert_eq!(storage.find(query).await.unwrap(), [record![10], record![30]]);
}

pub async fn no_fields_give_empty_objects(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 30), (2, 20)]).await;
    let query = Query::new(OBJECT).select(Vec::<&str>::new());
    assert_eq!(storage.find(query).await.unwrap(), [record![], record![]]);
    let found = objects.find_with(&json!({ "n": 20 }), &json!({ "fields": [] })).await.unwrap();
    assert_eq!(found, [json!({})]);
}

/// A field that is asked for twice is given twice.
pub async fn a_field_twice(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 30)]).await;
    let query = Query::new(OBJECT).select(["n", "id", "n"]);
    assert_eq!(storage.find(query).await.unwrap(), [record![30, 1, 30]]);
}

pub async fn a_find_changes_nothing(h: Harness) {
    let (storage, objects) = numbers(&h, &[(2, 30), (1, 20)]).await;
    let before = records(&storage, OBJECT).await;
    let first = objects.find(&json!({})).await.unwrap();
    let again = objects.find(&json!({})).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(records(&storage, OBJECT).await, before);
}

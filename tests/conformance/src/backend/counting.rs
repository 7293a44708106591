//! Objects are counted.

use serde_json::{Value as Json, json};
use storex_core::{Direction, FieldType, Filter, Key, Query, field};

use crate::Harness;
use crate::support::{OBJECT, create_all, numbers, simple};

/// storex-facts 1.14, cases 35 to 37.
async fn of_one_and_two(h: Harness, filter: Json, expected: u64) {
    let (_storage, objects) = simple(&h, FieldType::Int).await;
    create_all(&objects, [json!({ "field": 1 }), json!({ "field": 2 })]).await;
    assert_eq!(objects.count(&filter).await.unwrap(), expected);
}

pub async fn all_objects(h: Harness) {
    of_one_and_two(h, json!({}), 2).await;
}

pub async fn objects_by_equality(h: Harness) {
    of_one_and_two(h, json!({ "field": 2 }), 1).await;
}

pub async fn objects_by_an_operator(h: Harness) {
    of_one_and_two(h, json!({ "field": { "$lt": 2 } }), 1).await;
}

/// A count is the number of objects that the same query finds.
pub async fn with_limit_and_offset(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]).await;
    let some = || Query::new(OBJECT).filter(field("n").gt(1));
    for (query, expected) in [
        (some(), 4),
        (some().limit(3), 3),
        (some().limit(0), 0),
        (some().limit(9), 4),
        (some().offset(1), 3),
        (some().offset(9), 0),
        (some().offset(3).limit(3), 1),
        (some().order_by("n", Direction::Descending).limit(2), 2),
        (some().select(["n"]), 4),
        (Query::new(OBJECT).limit(2), 2),
        (Query::new(OBJECT).offset(4), 1),
    ] {
        assert_eq!(storage.count(query.clone()).await.unwrap(), expected, "{query:?}");
        assert_eq!(storage.find(query.clone()).await.unwrap().len() as u64, expected, "{query:?}");
    }
}

pub async fn behind_a_position(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]).await;
    let query = Query::new(OBJECT).order_by("n", Direction::Descending);
    let schema = storage.registry().collection(OBJECT).unwrap();
    let found = storage.find(query.clone()).await.unwrap();
    let position = query.position_of(schema, &found[1]);
    assert_eq!(storage.count(query.clone().after(position.clone())).await.unwrap(), 3);
    assert_eq!(storage.count(query.after(position).limit(2)).await.unwrap(), 2);
}

pub async fn objects_by_keys(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1), (2, 2)]).await;
    let keys = [2, 7, 1, 1].map(Key::single).to_vec();
    assert_eq!(storage.count(Query::new(OBJECT).filter(Filter::Keys(keys))).await.unwrap(), 2);
}

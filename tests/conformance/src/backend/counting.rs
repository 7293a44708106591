//! Objects are counted.

use serde_json::{Value as Json, json};
use storex_core::FieldType;

use crate::Harness;
use crate::support::{create_all, simple};

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

//! The order of what is found.

use serde_json::{Value as Json, json};
use storex_core::FieldType;

use crate::Harness;
use crate::support::{column, create_all, simple};

/// storex-facts 1.14, cases 22 to 25.
async fn of_two_one_three(h: Harness, options: Json, expected: &[i64]) {
    let (_storage, objects) = simple(&h, FieldType::Int).await;
    create_all(&objects, [2, 1, 3].map(|n| json!({ "field": n }))).await;
    let found = objects.find_with(&json!({ "field": { "$gte": 1 } }), &options).await.unwrap();
    assert_eq!(column(&found, "field"), expected);
}

pub async fn ascending(h: Harness) {
    of_two_one_three(h, json!({ "order": [["field", "asc"]] }), &[1, 2, 3]).await;
}

pub async fn descending(h: Harness) {
    of_two_one_three(h, json!({ "order": [["field", "desc"]] }), &[3, 2, 1]).await;
}

pub async fn ascending_with_a_limit(h: Harness) {
    of_two_one_three(h, json!({ "order": [["field", "asc"]], "limit": 2 }), &[1, 2]).await;
}

pub async fn descending_with_a_limit(h: Harness) {
    of_two_one_three(h, json!({ "order": [["field", "desc"]], "limit": 2 }), &[3, 2]).await;
}

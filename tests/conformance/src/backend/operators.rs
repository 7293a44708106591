//! What filters match.

use serde_json::{Value as Json, json};
use storex_core::FieldType;

use crate::Harness;
use crate::support::{column, create_all, simple, sorted};

/// storex-facts 1.14, cases 14 to 21.
async fn of_one_to_three(h: Harness, field_type: FieldType, condition: Json, expected: &[i64]) {
    let (_storage, objects) = simple(&h, field_type).await;
    create_all(&objects, (1..=3).map(|n| json!({ "field": n }))).await;
    let found = objects.find(&json!({ "field": condition })).await.unwrap();
    assert_eq!(sorted(column(&found, "field")), expected);
}

pub async fn int_lt(h: Harness) {
    of_one_to_three(h, FieldType::Int, json!({ "$lt": 3 }), &[1, 2]).await;
}

pub async fn int_lte(h: Harness) {
    of_one_to_three(h, FieldType::Int, json!({ "$lte": 2 }), &[1, 2]).await;
}

pub async fn int_gt(h: Harness) {
    of_one_to_three(h, FieldType::Int, json!({ "$gt": 1 }), &[2, 3]).await;
}

pub async fn int_gte(h: Harness) {
    of_one_to_three(h, FieldType::Int, json!({ "$gte": 2 }), &[2, 3]).await;
}

pub async fn timestamp_lt(h: Harness) {
    of_one_to_three(h, FieldType::Timestamp, json!({ "$lt": 3 }), &[1, 2]).await;
}

pub async fn timestamp_lte(h: Harness) {
    of_one_to_three(h, FieldType::Timestamp, json!({ "$lte": 2 }), &[1, 2]).await;
}

pub async fn timestamp_gt(h: Harness) {
    of_one_to_three(h, FieldType::Timestamp, json!({ "$gt": 1 }), &[2, 3]).await;
}

pub async fn timestamp_gte(h: Harness) {
    of_one_to_three(h, FieldType::Timestamp, json!({ "$gte": 2 }), &[2, 3]).await;
}

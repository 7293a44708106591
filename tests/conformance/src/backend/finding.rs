//! What finds give.

use serde_json::json;

use crate::Harness;
use crate::support::{create_all, numbered, open_one};

pub async fn one_object_by_a_filter(h: Harness) {
    let (_storage, objects) = open_one(&h, numbered()).await;
    create_all(&objects, [json!({ "id": 1, "n": 5 }), json!({ "id": 2, "n": 6 })]).await;
    let found = objects.find_one(&json!({ "n": 6 })).await.unwrap();
    assert_eq!(found, Some(json!({ "id": 2, "n": 6 })));
}

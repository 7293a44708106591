//! Objects are changed.

use serde_json::json;
use storex_core::{Definition, FieldType};

use crate::Harness;
use crate::support::{dump, open_one};

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

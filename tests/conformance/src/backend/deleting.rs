//! Objects are deleted.

use serde_json::json;
use storex_core::FieldType;

use crate::Harness;
use crate::support::{OBJECT, create_all, dump, simple};

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

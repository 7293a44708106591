//! Nested objects are taken apart into steps (storex-facts 1.15, cases 17 to 22) and put together again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::sync::Arc;

use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Batch, Create, Definition, Error, FieldType, Registry, RelationDefinition, Step,
    Storage,
};
use storex_memory::{MemoryBackend, TestRuntime};

async fn open() -> Storage {
    let registry = Registry::builder()
        .collections([
            Definition::new("user").field("identifier", FieldType::String),
            Definition::new("userEmail")
                .field("email", FieldType::String)
                .relation(RelationDefinition::child_of("user").reverse_alias("emails")),
            Definition::new("userEmailVerificationCode").field("code", FieldType::String).relation(
                RelationDefinition::single_child_of("userEmail").reverse_alias("verificationCode"),
            ),
            Definition::new("note")
                .optional("data", FieldType::Json)
                .optional("user", FieldType::String),
        ])
        .build()
        .unwrap();
    let runtime = Arc::new(TestRuntime::new(1));
    Storage::builder(MemoryBackend::new(), registry, runtime)
        .middleware(AutoPk::new())
        .open()
        .await
        .unwrap()
}

/// A create as (collection, placeholders, links, own fields).
fn parts(storage: &Storage, step: &Step) -> (String, Vec<String>, Vec<(String, String)>, Json) {
    let Step::Create(Create { collection, records, placeholders, links, .. }) = step else {
        panic!("{step:?}")
    };
    let schema = storage.registry().collection(collection).unwrap();
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let object = schema.record_to_json(&all, &records[0]).unwrap();
    let given = object.into_iter().filter(|(_, value)| !value.is_null()).collect();
    (
        collection.to_string(),
        placeholders.iter().map(|(_, name)| name.to_string()).collect(),
        links.iter().map(|link| (link.field.to_string(), link.placeholder.to_string())).collect(),
        Json::Object(given),
    )
}

fn link(field: &str, placeholder: &str) -> (String, String) {
    (field.to_owned(), placeholder.to_owned())
}

/// Case 17.
#[tokio::test]
async fn an_object_without_children_is_one_step() {
    let storage = open().await;
    let object = json!({ "identifier": "joe" });
    let batch = Batch::new().create_json(&storage, "user", "joe", &object).unwrap();
    assert_eq!(batch.steps.len(), 1);
    let expected = ("user".to_owned(), vec!["joe".to_owned()], vec![], object);
    assert_eq!(parts(&storage, &batch.steps[0]), expected);
}

/// Cases 18 to 22: parents before children, each child linked to its own parent, placeholders that are the caller's or
/// are made, and no two alike.
#[tokio::test]
async fn children_follow_their_parents() {
    let storage = open().await;
    let object = json!({
        "identifier": "joe",
        "emails": [
            { "email": "a", "verificationCode": { "code": "1" } },
            { "email": "b", "verificationCode": { "code": "2" } },
            { "email": "c" },
        ],
    });
    let batch = Batch::new().create_json(&storage, "user", "custom", &object).unwrap();
    let steps: Vec<_> = batch.steps.iter().map(|step| parts(&storage, step)).collect();
    let collections: Vec<&str> = steps.iter().map(|step| step.0.as_str()).collect();
    assert_eq!(
        collections,
        [
            "user",
            "userEmail",
            "userEmailVerificationCode",
            "userEmail",
            "userEmailVerificationCode",
            "userEmail",
        ]
    );
    assert_eq!(steps[0].1, ["custom"]);
    assert_eq!(steps[0].3, json!({ "identifier": "joe" }));
    for (email, code, name) in [(1, 2, "a"), (3, 4, "b")] {
        assert_eq!(steps[email].2, [link("user", "custom")]);
        assert_eq!(steps[email].3, json!({ "email": name }));
        assert_eq!(steps[code].2, [link("userEmail", &steps[email].1[0])]);
    }
    assert_ne!(steps[1].1, steps[3].1);
    // One that nobody refers to needs no placeholder.
    assert_eq!((&steps[5].1, &steps[5].2), (&vec![], &vec![link("user", "custom")]));
}

#[tokio::test]
async fn several_nested_objects_in_one_batch_do_not_meet() {
    let storage = open().await;
    let object = |name: &str| json!({ "identifier": name, "emails": [{ "email": name, "verificationCode": { "code": name } }] });
    let batch = Batch::new()
        .create_json(&storage, "user", "joe", &object("joe"))
        .and_then(|batch| batch.create_json(&storage, "user", "jane", &object("jane")))
        .unwrap();
    storage.execute(batch).await.unwrap();
    for collection in ["user", "userEmail", "userEmailVerificationCode"] {
        assert_eq!(storage.dynamic(collection).unwrap().count(&json!({})).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn what_was_created_has_the_form_of_what_was_given() {
    let storage = open().await;
    let created = storage
        .dynamic("user")
        .unwrap()
        .create(json!({
            "identifier": "joe",
            "emails": [{ "email": "a" }, { "email": "b", "verificationCode": { "code": "1" } }],
        }))
        .await
        .unwrap();
    let emails = created["emails"].as_array().unwrap();
    assert_eq!(emails.len(), 2);
    assert_eq!(emails[0].get("verificationCode"), None);
    assert_eq!(emails[0]["user"], created["id"]);
    assert_eq!(emails[1]["verificationCode"]["userEmail"], emails[1]["id"]);
    let codes = storage.dynamic("userEmailVerificationCode").unwrap();
    assert_eq!(codes.find(&json!({})).await.unwrap(), [emails[1]["verificationCode"].clone()]);
}

#[tokio::test]
async fn an_unknown_collection_or_child_is_refused() {
    let storage = open().await;
    let result = Batch::new().create_json(&storage, "nobody", "x", &json!({}));
    assert!(matches!(result, Err(Error::UnknownCollection { .. })));
    let object = json!({ "identifier": "joe", "mails": [] });
    let result = Batch::new().create_json(&storage, "user", "x", &object);
    assert!(
        matches!(&result, Err(Error::UnknownField { collection, field })
            if &**collection == "user" && &**field == "mails"),
        "{result:?}"
    );
    let object =
        json!({ "identifier": "joe", "emails": [{ "email": "a", "verificationCode": [] }] });
    assert!(Batch::new().create_json(&storage, "user", "x", &object).is_err());
}

/// In a JSON field `{"$placeholder": ..}` is the application's own data; elsewhere it is a link.
#[tokio::test]
async fn a_placeholder_in_a_json_field_is_data() {
    let storage = open().await;
    let object = json!({
        "data": { "$placeholder": "joe" }, "user": { "$placeholder": "joe" },
    });
    let batch = Batch::new()
        .create_json(&storage, "user", "joe", &json!({ "identifier": "joe" }))
        .and_then(|batch| batch.create_json(&storage, "note", "note", &object))
        .unwrap();
    let outcome = storage.execute(batch).await.unwrap();
    let note = storage.dynamic("note").unwrap().find_one(&json!({})).await.unwrap().unwrap();
    assert_eq!(note["data"], json!({ "$placeholder": "joe" }));
    assert_eq!(note["user"].as_str(), outcome.key("joe").unwrap().as_text());
}

/// Two relations whose children would stand under the same name in the parent.
#[tokio::test]
async fn children_that_may_be_of_two_relations_are_refused() {
    let registry = Registry::builder()
        .collections([
            Definition::new("user").optional("name", FieldType::String),
            Definition::new("message")
                .relation(RelationDefinition::child_of("user").alias("sender").optional())
                .relation(RelationDefinition::child_of("user").alias("receiver").optional()),
        ])
        .build()
        .unwrap();
    let runtime = Arc::new(TestRuntime::new(1));
    let builder = Storage::builder(MemoryBackend::new(), registry, runtime);
    let storage = builder.middleware(AutoPk::new()).open().await.unwrap();
    let users = storage.dynamic("user").unwrap();
    let error = users.create(json!({ "messages": [{}] })).await.unwrap_err();
    assert!(
        error.to_string().contains("sender") && error.to_string().contains("receiver"),
        "{error}"
    );
    assert_eq!(users.count(&json!({})).await.unwrap(), 0);
}

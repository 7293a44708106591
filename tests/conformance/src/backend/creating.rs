//! Objects are created and found again.

use serde_json::json;
use storex_core::{Batch, Definition, Error, FieldType, OnConflict, Step, StepOutcome};

use crate::Harness;
use crate::support::{
    NONE, OBJECT, assert_objects, assert_refused, dump, ids, keyed, matching, numbers, open_one,
    record, records, simple, step,
};

/// The user of storex-facts 1.14.
fn user() -> Definition {
    Definition::new("user")
        .field("identifier", FieldType::String)
        .optional("passwordHash", FieldType::String)
        .field("isActive", FieldType::Boolean)
        .index(["identifier"])
}

/// storex-facts 1.14, case 8.
pub async fn an_object_is_found_by_its_key(h: Harness) {
    let (_storage, users) = open_one(&h, user()).await;
    let created =
        users.create(json!({ "identifier": "email:joe@doe.com", "isActive": true })).await.unwrap();
    let id = created["id"].as_str().expect("the object was given a key");
    assert_eq!(
        created,
        json!({
            "id": id, "identifier": "email:joe@doe.com", "passwordHash": null, "isActive": true,
        })
    );
    assert_eq!(users.get(id).await.unwrap(), Some(created.clone()));
    assert_eq!(users.find_one(&json!({ "id": id })).await.unwrap(), Some(created.clone()));
    let other = format!("{id}bla");
    assert_eq!(users.get(other.as_str()).await.unwrap(), None);
    assert_eq!(users.find_one(&json!({ "id": other })).await.unwrap(), None);
}

/// storex-facts 1.14, case 9.
pub async fn an_object_is_found_by_a_string_field(h: Harness) {
    let (_storage, users) = open_one(&h, user()).await;
    let created =
        users.create(json!({ "identifier": "email:joe@doe.com", "isActive": true })).await.unwrap();
    let found = users.find_one(&json!({ "identifier": "email:joe@doe.com" })).await.unwrap();
    assert_eq!(found, Some(created));
    let found = users.find_one(&json!({ "identifier": "email:bla@doe.com" })).await.unwrap();
    assert_eq!(found, None);
}

/// storex-facts 1.14, case 10.
pub async fn an_object_is_found_by_a_boolean_field(h: Harness) {
    let (_storage, users) = open_one(&h, user()).await;
    let created =
        users.create(json!({ "identifier": "email:joe@doe.com", "isActive": true })).await.unwrap();
    assert_eq!(users.find_one(&json!({ "isActive": true })).await.unwrap(), Some(created));
    assert_eq!(users.find_one(&json!({ "isActive": false })).await.unwrap(), None);
}

/// storex-facts 1.14, case 11.
pub async fn objects_created_in_bulk_are_found(h: Harness) {
    let (storage, users) = open_one(&h, user()).await;
    let objects = [
        json!({ "id": "1", "identifier": "email:joe@doe.com", "isActive": true }),
        json!({ "id": "2", "identifier": "email:jane@doe.com", "isActive": true }),
    ];
    let keys = users.create_many(&objects).await.unwrap();
    assert_eq!(keys.iter().map(|key| key.as_text().unwrap()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(users.count(&json!({ "isActive": true })).await.unwrap(), 2);
    assert_eq!(users.find_one(&json!({ "isActive": false })).await.unwrap(), None);
    assert_eq!(
        dump(&storage, "user").await,
        [
            json!({
                "id": "1", "identifier": "email:joe@doe.com", "passwordHash": null,
                "isActive": true,
            }),
            json!({
                "id": "2", "identifier": "email:jane@doe.com", "passwordHash": null,
                "isActive": true,
            }),
        ]
    );
}

/// storex-facts 1.14, case 12.
pub async fn an_optional_field_left_out_is_null_in_the_created_object(h: Harness) {
    let (_storage, objects) = simple(&h, FieldType::String).await;
    let created = objects.create(json!({ "id": "a" })).await.unwrap();
    assert_eq!(created, json!({ "id": "a", "field": null }));
}

/// storex-facts 1.14, case 13.
pub async fn an_optional_field_left_out_is_null_when_read_again(h: Harness) {
    let (storage, objects) = simple(&h, FieldType::String).await;
    objects.create(json!({ "id": "a" })).await.unwrap();
    assert_eq!(dump(&storage, OBJECT).await, [json!({ "id": "a", "field": null })]);
}

pub async fn an_empty_list_of_objects(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    assert_eq!(objects.create_many(&[]).await.unwrap(), []);
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

pub async fn five_thousand_objects_in_one_step(h: Harness) {
    let (storage, _) = open_one(&h, keyed().optional("t", FieldType::String)).await;
    let expected: Vec<_> = (0..5000_i64).map(|n| record![n, format!("text {n}")]).collect();
    storage.execute(Batch::new().create(OBJECT, expected.clone())).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, expected);
}

pub async fn an_existing_key_is_refused(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 10)]).await;
    let error = objects.create(json!({ "id": 1, "n": 11 })).await.unwrap_err();
    assert!(
        matches!(&error, Error::AlreadyExists { collection, key } if **collection == *OBJECT && key == "1"),
        "{error:?}"
    );
    assert_objects(&storage, json!([{ "id": 1, "n": 10 }])).await;
}

pub async fn an_existing_compound_key_is_refused(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("a", FieldType::Int)
        .field("b", FieldType::String)
        .primary_key(["a", "b"]);
    let (storage, objects) = open_one(&h, definition).await;
    objects.create(json!({ "a": 1, "b": "x" })).await.unwrap();
    objects.create(json!({ "a": 1, "b": "y" })).await.unwrap();
    let again = objects.create(json!({ "a": 1, "b": "x" })).await;
    assert_refused!(again, Error::AlreadyExists { .. });
    assert_objects(&storage, json!([{ "a": 1, "b": "x" }, { "a": 1, "b": "y" }])).await;
}

pub async fn of_a_list_with_an_existing_key_nothing_is_created(h: Harness) {
    let (storage, objects) = numbers(&h, &[(3, 10)]).await;
    let list: Vec<_> = (1..=5).map(|id| json!({ "id": id, "n": 0 })).collect();
    assert_refused!(objects.create_many(&list).await, Error::AlreadyExists { .. });
    assert_objects(&storage, json!([{ "id": 3, "n": 10 }])).await;
}

pub async fn a_list_with_a_key_twice_is_refused(h: Harness) {
    let (storage, objects) = numbers(&h, &[(9, 9)]).await;
    let list = [json!({ "id": 1, "n": 0 }), json!({ "id": 1, "n": 1 })];
    assert_refused!(objects.create_many(&list).await, Error::AlreadyExists { .. });
    assert_objects(&storage, json!([{ "id": 9, "n": 9 }])).await;
}

pub async fn a_deleted_key_can_be_created_again(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 10)]).await;
    assert!(objects.delete_one(&json!({ "id": 1 })).await.unwrap());
    objects.create(json!({ "id": 1 })).await.unwrap();
    assert_objects(&storage, json!([{ "id": 1, "n": null }])).await;
}

pub async fn skip_leaves_what_exists(h: Harness) {
    let (storage, _) = numbers(&h, &[(2, 20), (4, 40)]).await;
    let list = (1..=5).map(|id| record![id, id]).collect();
    let batch = Batch::new().step(Step::create_or(OBJECT, list, OnConflict::Skip));
    let outcome = storage.execute(batch).await.unwrap();
    assert_eq!(step(&outcome, 0), &StepOutcome::Created { skipped: vec![1, 3] });
    let schema = storage.registry().collection(OBJECT).unwrap();
    let keys = outcome.of_step(0).next().unwrap().keys(schema);
    assert_eq!(keys.iter().map(|key| key.as_int().unwrap()).collect::<Vec<_>>(), [1, 3, 5]);
    let n: Vec<_> = records(&storage, OBJECT).await.iter().map(|it| it.get(1).as_int()).collect();
    assert_eq!(n, [Some(1), Some(20), Some(3), Some(40), Some(5)]);
}

pub async fn skip_keeps_the_first_of_a_key_given_twice(h: Harness) {
    let (storage, _) = numbers(&h, &[(9, 9)]).await;
    let list = vec![record![1, 1], record![1, 2], record![2, 3], record![1, 4]];
    let batch = Batch::new().step(Step::create_or(OBJECT, list, OnConflict::Skip));
    let outcome = storage.execute(batch).await.unwrap();
    assert_eq!(step(&outcome, 0), &StepOutcome::Created { skipped: vec![1, 3] });
    assert_eq!(records(&storage, OBJECT).await, [record![1, 1], record![2, 3], record![9, 9]]);
}

pub async fn replace_gives_all_values_of_the_new_object(h: Harness) {
    let definition = keyed().optional("a", FieldType::Int).optional("b", FieldType::Int);
    let (storage, objects) = open_one(&h, definition.index(["a"])).await;
    objects.create(json!({ "id": 1, "a": 10, "b": 11 })).await.unwrap();
    let list = vec![record![1, 12, None::<i64>], record![2, 20, 21]];
    let batch = Batch::new().step(Step::create_or(OBJECT, list.clone(), OnConflict::Replace));
    let outcome = storage.execute(batch).await.unwrap();
    assert_eq!(step(&outcome, 0), &StepOutcome::Created { skipped: vec![] });
    assert_eq!(records(&storage, OBJECT).await, list);
    assert_eq!(matching(&storage, storex_core::field("a").eq(10)).await, NONE);
    assert_eq!(matching(&storage, storex_core::field("a").eq(12)).await, [1]);
}

pub async fn replace_keeps_the_last_of_a_key_given_twice(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 9)]).await;
    let list = vec![record![1, 1], record![1, 2], record![1, 3]];
    storage
        .execute(Batch::new().step(Step::create_or(OBJECT, list, OnConflict::Replace)))
        .await
        .unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, 3]]);
}

/// A skipped or replaced object is of no other collection.
pub async fn equal_keys_of_two_collections_are_two_objects(h: Harness) {
    let other = Definition::new("other").field("id", FieldType::Int).primary_key(["id"]);
    let storage = h.open(crate::support::registry([keyed(), other])).await;
    let batch = Batch::new().create(OBJECT, vec![record![1]]).create("other", vec![record![1]]);
    storage.execute(batch).await.unwrap();
    storage.dynamic(OBJECT).unwrap().delete_one(&json!({ "id": 1 })).await.unwrap();
    assert_eq!(ids(&records(&storage, "other").await), [1]);
    assert_eq!(ids(&records(&storage, OBJECT).await), NONE);
}

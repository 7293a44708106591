//! [`Validate`]: rules of the application hold for whatever a batch leaves behind.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use storex_core::{
    Batch, Changes, ErrorKind, Filter, ObjectView, OnConflict, Step, Storage, Validate, field,
};

use crate::Harness;
use crate::support::{OBJECT, numbered, record, records, refused, registry};

fn n(object: &ObjectView<'_>) -> Option<i64> {
    object.get("n").as_int()
}

/// No number above ten, and none shrinks.
fn rules() -> Validate {
    Validate::new()
        .check(OBJECT, |object| match n(object) {
            Some(n) if n > 10 => Err(format!("{n} is above ten")),
            _ => Ok(()),
        })
        .check(OBJECT, |object| {
            let before = object.before().and_then(|before| n(&before));
            if n(object) < before { Err("a number shrinks".to_owned()) } else { Ok(()) }
        })
}

async fn filled(h: &Harness) -> Storage {
    let storage = h.open_with(registry([numbered()]), vec![Arc::new(rules())]).await;
    let objects = vec![record![1, 1], record![2, 9]];
    storage.execute(Batch::new().create(OBJECT, objects)).await.unwrap();
    storage
}

async fn unchanged(storage: &Storage) {
    assert_eq!(records(storage, OBJECT).await, [record![1, 1], record![2, 9]]);
}

pub async fn a_create_that_breaks_a_rule(h: Harness) {
    let storage = filled(&h).await;
    let error =
        storage.execute(Batch::new().create(OBJECT, vec![record![3, 3], record![4, 11]])).await;
    refused(error, ErrorKind::Invalid, &[OBJECT, "key 4", "11 is above ten"]);
    let replace = Step::create_or(OBJECT, vec![record![2, 3]], OnConflict::Replace);
    let error = storage.execute(Batch::new().step(replace)).await;
    refused(error, ErrorKind::Invalid, &["shrinks"]);
    unchanged(&storage).await;
    // What is left out is not checked: it is not written.
    let skip = Step::create_or(OBJECT, vec![record![2, 30]], OnConflict::Skip);
    storage.execute(Batch::new().step(skip)).await.unwrap();
    unchanged(&storage).await;
}

/// By filter: one object that breaks a rule refuses them all.
pub async fn an_update_that_breaks_a_rule(h: Harness) {
    let storage = filled(&h).await;
    let error =
        storage.execute(Batch::new().update(OBJECT, Filter::All, Changes::new().set("n", 5))).await;
    refused(error, ErrorKind::Invalid, &[OBJECT, "key 2", "shrinks"]);
    unchanged(&storage).await;
    storage
        .execute(Batch::new().update(OBJECT, field("n").lt(5), Changes::new().set("n", 5)))
        .await
        .unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, 5], record![2, 9]]);
}

/// What counts is the result of an increment, not the increment.
pub async fn an_increment_that_breaks_a_rule(h: Harness) {
    let storage = filled(&h).await;
    let by = |by: i64| Batch::new().update(OBJECT, Filter::All, Changes::new().increment("n", by));
    refused(storage.execute(by(2)).await, ErrorKind::Invalid, &["key 2", "11 is above ten"]);
    unchanged(&storage).await;
    storage.execute(by(1)).await.unwrap();
    assert_eq!(records(&storage, OBJECT).await, [record![1, 2], record![2, 10]]);
}

pub async fn a_continuation_that_breaks_a_rule(h: Harness) {
    let storage = filled(&h).await;
    let batch = Batch::new()
        .create(OBJECT, vec![record![3, 3]])
        .then(|_| Ok(vec![Step::create(OBJECT, vec![record![4, 12]])]));
    refused(storage.execute(batch).await, ErrorKind::Invalid, &["12 is above ten"]);
    unchanged(&storage).await;
}

/// Each step is checked, though a later one would mend it; a delete is not.
pub async fn each_step_is_checked_but_deletes(h: Harness) {
    let storage = filled(&h).await;
    let batch = Batch::new().create(OBJECT, vec![record![3, 20]]).delete(OBJECT, Filter::key(3));
    refused(storage.execute(batch).await, ErrorKind::Invalid, &["20 is above ten"]);
    unchanged(&storage).await;
    storage.execute(Batch::new().delete(OBJECT, Filter::All)).await.unwrap();
}

#[derive(Deserialize)]
struct Numbered {
    id: i64,
    n: Option<i64>,
}

pub async fn a_rule_sees_the_object_as_a_struct(h: Harness) {
    let rule = Validate::new().check(OBJECT, |object| {
        let object: Numbered = object.object()?;
        if object.n == Some(object.id) { Ok(()) } else { Err("its number is another".to_owned()) }
    });
    let storage = h.open_with(registry([numbered()]), vec![Arc::new(rule)]).await;
    let objects = storage.dynamic(OBJECT).unwrap();
    objects.create(json!({ "id": 1, "n": 1 })).await.unwrap();
    let error = objects.create(json!({ "id": 2 })).await;
    refused(error, ErrorKind::Invalid, &["its number is another"]);
}

pub async fn a_rule_for_a_collection_that_is_not_there(h: Harness) {
    let rule = Validate::new().check("nothing", |_| Ok(()));
    let result = h.try_open(registry([numbered()]), vec![Arc::new(rule)]).await;
    refused(result, ErrorKind::NotFound, &["nothing"]);
}

//! What values and objects must be like beyond their types.

use serde_json::{Value as Json, json};
use storex_core::{
    Batch, Changes, Check, Definition, Error, ErrorKind, FieldOption, FieldType, Filter,
    OnConflict, Step, Storage, field,
};

use crate::Harness;
use crate::support::{OBJECT, assert_objects, assert_refused, keyed, open_one, record, refused};

/// A range of two numbers, and a name of two to four letters.
fn ranges() -> Definition {
    keyed()
        .field("low", FieldType::Int)
        .field("high", FieldType::Int)
        .field_with(
            "name",
            FieldType::String,
            [
                FieldOption::Optional,
                FieldOption::Check(Check::MinLength(2)),
                FieldOption::Check(Check::MaxLength(4)),
            ],
        )
        .check("have a low end below its high end", |it| {
            it.get("low").compare(it.get("high")).is_lt()
        })
}

async fn filled(h: &Harness) -> Storage {
    let (storage, _) = open_one(h, ranges()).await;
    let records = vec![record![1, 1, 5, "ab"], record![2, 2, 9, None::<&str>]];
    storage.execute(Batch::new().create(OBJECT, records)).await.unwrap();
    storage
}

async fn unchanged(storage: &Storage) {
    let expected = json!([
        { "id": 1, "low": 1, "high": 5, "name": "ab" },
        { "id": 2, "low": 2, "high": 9, "name": null },
    ]);
    assert_objects(storage, expected).await;
}

pub async fn a_create_is_checked(h: Harness) {
    let storage = filled(&h).await;
    for (name, words) in [("a", "least"), ("abcde", "most")] {
        let batch =
            Batch::new().create(OBJECT, vec![record![3, 1, 2, "abc"], record![4, 1, 2, name]]);
        let error =
            refused(storage.execute(batch).await, ErrorKind::Invalid, &[OBJECT, "name", words]);
        assert!(matches!(error, Error::InvalidValue { .. }));
    }
    let batch = Batch::new().create(OBJECT, vec![record![3, 5, 5, "abc"]]);
    let words = [OBJECT, "have a low end below its high end"];
    refused(storage.execute(batch).await, ErrorKind::Invalid, &words);
    unchanged(&storage).await;
}

pub async fn an_update_is_checked_by_what_it_sets(h: Harness) {
    let storage = filled(&h).await;
    let changes = Changes::new().set("name", "x");
    let batch = Batch::new().update(OBJECT, Filter::All, changes);
    refused(storage.execute(batch).await, ErrorKind::Invalid, &[OBJECT, "name"]);
    unchanged(&storage).await;
    let batch = Batch::new().update(OBJECT, Filter::All, Changes::new().unset("name"));
    storage.execute(batch).await.unwrap();
}

/// Whether it is right can only be told from the whole object.
pub async fn an_update_is_checked_by_what_becomes_of_the_objects(h: Harness) {
    let storage = filled(&h).await;
    let update = |filter: Filter, low: i64| {
        storage.execute(Batch::new().update(OBJECT, filter, Changes::new().set("low", low)))
    };
    assert_refused!(update(Filter::All, 5).await, Error::BrokenRule { .. });
    unchanged(&storage).await;
    update(field("high").gt(5), 5).await.unwrap();
    let relative = Batch::new().update(OBJECT, Filter::key(2), Changes::new().increment("low", 4));
    assert_refused!(storage.execute(relative).await, Error::BrokenRule { .. });
    let relative = Batch::new().update(OBJECT, Filter::key(2), Changes::new().increment("low", 3));
    storage.execute(relative).await.unwrap();
}

pub async fn a_relative_update_is_checked(h: Harness) {
    let storage = filled(&h).await;
    let append = |text: &str| {
        let changes = Changes::new().append("name", text);
        storage.execute(Batch::new().update(OBJECT, Filter::key(1), changes))
    };
    append("cd").await.unwrap();
    refused(append("e").await, ErrorKind::Invalid, &[OBJECT, "name", "most"]);
    let found = storage.dynamic(OBJECT).unwrap().get(1).await.unwrap().unwrap();
    assert_eq!(found["name"], "abcd");
}

pub async fn every_kind_of_check(h: Harness) {
    let with = |name: &str, field_type, check| {
        let options = [FieldOption::Optional, FieldOption::Check(check)];
        Definition::new(name)
            .field("id", FieldType::Int)
            .primary_key(["id"])
            .field_with("field", field_type, options)
    };
    let even = Check::custom("an even number", |it| it.as_int().is_some_and(|it| it % 2 == 0));
    let of_names = Check::OneOf(vec!["red".into(), "blue".into()]);
    let cases: Vec<(FieldType, Check, Json, Json)> = vec![
        (FieldType::Int, Check::Min(3.into()), json!(3), json!(2)),
        (FieldType::Int, Check::Max(3.into()), json!(3), json!(4)),
        (FieldType::Float, Check::Max(1.5.into()), json!(1.5), json!(1.6)),
        (FieldType::String, of_names, json!("red"), json!("green")),
        (FieldType::Int, even, json!(2), json!(3)),
        (FieldType::String, Check::MinLength(2), json!("äö"), json!("ä")),
        (FieldType::Binary, Check::MaxLength(2), json!("AAA="), json!("AAAA")),
        (FieldType::Json, Check::MaxLength(1), json!(["a"]), json!(["a", "b"])),
    ];
    for (n, (field_type, check, good, bad)) in cases.into_iter().enumerate() {
        let name = format!("{OBJECT}{n}");
        let (storage, objects) = open_one(&h, with(&name, field_type, check)).await;
        objects.create(json!({ "id": 1, "field": good })).await.unwrap();
        objects.create(json!({ "id": 2 })).await.unwrap();
        let create = objects.create(json!({ "id": 3, "field": bad })).await;
        refused(create, ErrorKind::Invalid, &[OBJECT, "field"]);
        let update = objects.update(&json!({ "id": 2 }), &json!({ "field": bad })).await;
        refused(update, ErrorKind::Invalid, &[OBJECT, "field"]);
        let found = objects.find_with(&json!({}), &json!({ "order": ["id"] })).await.unwrap();
        assert_eq!(json!(found), json!([{ "id": 1, "field": good }, { "id": 2, "field": null }]));
        storage.close().await.unwrap();
    }
}

pub async fn replaced_objects_and_those_of_continuations_are_checked(h: Harness) {
    let storage = filled(&h).await;
    let bad = || vec![record![1, 9, 1, "ab"]];
    let replace = Batch::new().step(Step::create_or(OBJECT, bad(), OnConflict::Replace));
    assert_refused!(storage.execute(replace).await, Error::BrokenRule { .. });
    let later = Batch::new()
        .touching([OBJECT])
        .then(move |_| Ok(vec![Step::create(OBJECT, vec![record![3, 9, 1, "ab"]])]));
    assert_refused!(storage.execute(later).await, Error::BrokenRule { .. });
    unchanged(&storage).await;
}

/// It was checked where it was written, and what two devices have written is merged as it is.
pub async fn what_sync_brings_is_not_checked(h: Harness) {
    let storage = filled(&h).await;
    let batch = Batch::new().create(OBJECT, vec![record![3, 9, 1, "a"]]).update(
        OBJECT,
        Filter::key(1),
        Changes::new().set("low", 50),
    );
    storage.apply(batch).await.unwrap();
    assert_eq!(storage.count(storex_core::Query::new(OBJECT)).await.unwrap(), 3);
}

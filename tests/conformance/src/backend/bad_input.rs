//! What is wrong is refused, by name, and nothing is changed.

use serde_json::{Value as Json, json};
use storex_core::{
    Batch, Changes, Definition, Direction, DynamicCollection, Error, ErrorKind, FieldOption,
    FieldType, Filter, Key, Operation, Position, Query, Record, Storage, Timestamp, Value, field,
};

use crate::Harness;
use crate::support::{
    OBJECT, assert_objects, assert_refused, dump, keyed, numbers, open_one, record, refused,
};

/// One required and one optional field of each common type.
async fn typed(h: &Harness) -> (Storage, DynamicCollection, Json) {
    let types = [
        ("int", FieldType::Int),
        ("float", FieldType::Float),
        ("text", FieldType::String),
        ("bool", FieldType::Boolean),
        ("at", FieldType::Timestamp),
        ("moment", FieldType::DateTime),
        ("bytes", FieldType::Binary),
    ];
    let mut definition = keyed();
    for (name, field_type) in types {
        definition = definition.field(name, field_type.clone());
        definition = definition.optional(format!("{name}?"), field_type);
    }
    let (storage, objects) = open_one(h, definition).await;
    let object = json!({
        "id": 1, "int": 1, "float": 1.5, "text": "x", "bool": true, "at": 1,
        "moment": "2026-11-20T12:00:00.000Z", "bytes": "AAE=",
    });
    let created = objects.create(object).await.unwrap();
    (storage, objects, created)
}

/// Values that a field does not take, as JSON.
fn wrong_values() -> Vec<(&'static str, Json)> {
    vec![
        ("int", json!("1")),
        ("int", json!(1.0)),
        ("int", json!(1.5)),
        ("int", json!(true)),
        ("int", json!(9_223_372_036_854_775_808_u64)),
        ("int", json!([1])),
        ("int", json!({ "a": 1 })),
        ("float", json!("1.5")),
        ("float", json!("NaN")),
        ("float", json!(false)),
        ("float", json!(9_007_199_254_740_993_i64)),
        ("text", json!(1)),
        ("text", json!(true)),
        ("text", json!(["x"])),
        ("text", json!({ "a": "x" })),
        ("bool", json!(1)),
        ("bool", json!(0)),
        ("bool", json!("true")),
        ("at", json!(1.5)),
        ("at", json!("yesterday")),
        ("at", json!(true)),
        ("moment", json!("2026-11-20")),
        ("moment", json!("2026-13-20T12:00:00Z")),
        ("moment", json!(false)),
        ("bytes", json!("not base64!")),
        ("bytes", json!([0, 1])),
        ("bytes", json!(7)),
    ]
}

pub async fn a_value_of_a_wrong_type_in_a_create(h: Harness) {
    let (storage, objects, before) = typed(&h).await;
    for (name, wrong) in wrong_values() {
        for name in [name.to_owned(), format!("{name}?")] {
            let mut object = before.clone();
            object["id"] = json!(2);
            object[&name] = wrong.clone();
            let result = objects.create(object).await;
            refused(result, ErrorKind::Invalid, &[OBJECT, &format!("`{name}`")]);
        }
    }
    assert_eq!(dump(&storage, OBJECT).await, [before]);
}

pub async fn a_value_of_a_wrong_type_in_an_update(h: Harness) {
    let (storage, objects, before) = typed(&h).await;
    for (name, wrong) in wrong_values() {
        for name in [name.to_owned(), format!("{name}?")] {
            let changes = json!({ "$set": { &name: wrong } });
            let result = objects.update(&json!({}), &changes).await;
            refused(result, ErrorKind::Invalid, &[OBJECT, &format!("`{name}`")]);
        }
    }
    assert_eq!(dump(&storage, OBJECT).await, [before]);
}

/// A filter that compares with a value of another type would mean something else on each database.
pub async fn a_value_of_a_wrong_type_in_a_filter(h: Harness) {
    let (storage, objects, before) = typed(&h).await;
    for (name, wrong) in wrong_values() {
        for condition in
            [json!({ "$eq": wrong }), json!({ "$gt": wrong }), json!({ "$nin": [wrong] })]
        {
            let filter = json!({ name: condition });
            let named = [OBJECT, &format!("`{name}`")];
            refused(objects.find(&filter).await, ErrorKind::Invalid, &named);
            refused(objects.count(&filter).await, ErrorKind::Invalid, &named);
            refused(objects.delete(&filter).await, ErrorKind::Invalid, &named);
            let changes = json!({ "int": 9 });
            refused(objects.update(&filter, &changes).await, ErrorKind::Invalid, &named);
        }
    }
    assert_eq!(dump(&storage, OBJECT).await, [before]);
}

/// The same for those who build records themselves.
pub async fn a_value_of_a_wrong_kind_in_a_record(h: Harness) {
    let kinds = [
        Value::Bool(true),
        Value::Int(1),
        Value::Float(1.5),
        Value::from("x"),
        Value::Bytes(vec![1]),
        Value::Timestamp(Timestamp(1)),
        Value::Json(json!({})),
    ];
    let types = [
        (FieldType::Boolean, vec![0]),
        (FieldType::Int, vec![1]),
        (FieldType::Float, vec![1, 2]),
        (FieldType::String, vec![3]),
        (FieldType::Url, vec![3]),
        (FieldType::Blob, vec![4]),
        (FieldType::Timestamp, vec![1, 5]),
        (FieldType::Json, vec![6]),
    ];
    let mut definition = keyed();
    for (n, (field_type, _)) in types.iter().enumerate() {
        definition = definition.optional(format!("f{n}"), field_type.clone());
    }
    let (storage, _) = open_one(&h, definition).await;
    for (n, (field_type, takes)) in types.iter().enumerate() {
        for (k, kind) in kinds.iter().enumerate() {
            let mut record = Record::nulls(types.len() + 1);
            record.set(0, Value::from(i64::try_from(n * 100 + k).unwrap()));
            record.set(n + 1, kind.clone());
            let result = storage.execute(Batch::new().create(OBJECT, vec![record])).await;
            if takes.contains(&k) {
                assert!(result.is_ok(), "{field_type:?} takes {kind:?}: {result:?}");
            } else {
                refused(result, ErrorKind::Invalid, &[OBJECT, &format!("`f{n}`")]);
            }
        }
    }
}

pub async fn a_required_field_that_is_missing(h: Harness) {
    let (storage, objects, before) = typed(&h).await;
    for name in ["id", "int", "float", "text", "bool", "at", "moment", "bytes"] {
        for missing in [true, false] {
            let mut object = before.clone();
            object["id"] = json!(2);
            if missing {
                object.as_object_mut().unwrap().remove(name);
            } else {
                object[name] = json!(null);
            }
            let result = objects.create(object).await;
            let error = refused(result, ErrorKind::Invalid, &[OBJECT, &format!("`{name}`")]);
            assert!(matches!(error, Error::MissingField { .. }), "{error:?}");
        }
    }
    assert_eq!(dump(&storage, OBJECT).await, [before]);
}

pub async fn a_required_field_that_is_unset(h: Harness) {
    let (storage, objects, before) = typed(&h).await;
    for name in ["int", "float", "text", "bool", "at", "moment", "bytes"] {
        for change in [json!(null), json!({ "$unset": true })] {
            let result = objects.update(&json!({}), &json!({ name: change })).await;
            let error = refused(result, ErrorKind::Invalid, &[OBJECT, &format!("`{name}`")]);
            assert!(matches!(error, Error::MissingField { .. }), "{error:?}");
        }
    }
    assert_eq!(dump(&storage, OBJECT).await, [before]);
}

/// `FieldOption::Nullable`: null is a value like others, and has to be given.
pub async fn a_nullable_field_that_is_not_given(h: Harness) {
    let definition = keyed().field_with("n", FieldType::Int, [FieldOption::Nullable]);
    let (storage, objects) = open_one(&h, definition).await;
    let result = objects.create(json!({ "id": 1 })).await;
    assert_refused!(result, Error::MissingField { .. });
    objects.create(json!({ "id": 1, "n": null })).await.unwrap();
    assert_objects(&storage, json!([{ "id": 1, "n": null }])).await;
}

pub async fn an_unknown_field(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    // Case counts, and storage is not to be reached by other names.
    for name in ["m", "N", "n ", "", "rowid", "object.n", "$n"] {
        let words: &[&str] =
            if name.starts_with('$') { &[OBJECT] } else { &[OBJECT, &format!("`{name}`")] };
        refused(objects.find(&json!({ name: 1 })).await, ErrorKind::Invalid, words);
        refused(objects.count(&json!({ name: 1 })).await, ErrorKind::Invalid, words);
        refused(objects.delete(&json!({ name: 1 })).await, ErrorKind::Invalid, words);
        refused(
            objects.update(&json!({ name: 1 }), &json!({ "n": 2 })).await,
            ErrorKind::Invalid,
            words,
        );
        refused(objects.update(&json!({}), &json!({ name: 2 })).await, ErrorKind::Invalid, words);
        refused(objects.create(json!({ "id": 2, name: 2 })).await, ErrorKind::Invalid, words);
        for options in [json!({ "order": [[name, "asc"]] }), json!({ "fields": ["n", name] })] {
            refused(objects.find_with(&json!({}), &options).await, ErrorKind::Invalid, words);
        }
        // Also deep within a filter, and for those who build it themselves.
        let filter = field("n").eq(1).and(field("n").eq(2).or(field(name).eq(1).negate()));
        let find = storage.find(Query::new(OBJECT).filter(filter.clone())).await;
        refused(find, ErrorKind::Invalid, words);
        let delete = storage.execute(Batch::new().delete(OBJECT, filter)).await;
        refused(delete, ErrorKind::Invalid, words);
    }
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

pub async fn an_unknown_collection(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    for name in ["objects", "Object", "", "sqlite_master", "object "] {
        let words: &[&str] = &[&format!("`{name}`")];
        refused(storage.dynamic(name), ErrorKind::NotFound, words);
        refused(storage.find(Query::new(name)).await, ErrorKind::NotFound, words);
        refused(storage.count(Query::new(name)).await, ErrorKind::NotFound, words);
        for batch in [
            Batch::new().create(name, vec![record![1]]),
            Batch::new().create(name, vec![]),
            Batch::new().update(name, Filter::All, Changes::new().set("n", 1)),
            Batch::new().delete(name, Filter::All),
            Batch::new().find(Query::new(name)),
            Batch::new().require(Query::new(name), 0),
        ] {
            refused(storage.execute(batch.clone()).await, ErrorKind::NotFound, words);
            refused(storage.apply(batch).await, ErrorKind::NotFound, words);
        }
    }
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

/// What is not understood is never "all objects".
pub async fn an_unknown_operator(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1), (2, 2)]).await;
    for (filter, operator) in [
        (json!({ "n": { "$regex": "1" } }), "$regex"),
        (json!({ "n": { "$ge": 1 } }), "$ge"),
        (json!({ "n": { "$EQ": 1 } }), "$EQ"),
        (json!({ "n": { "$gt": 0, "$near": 1 } }), "$near"),
        (json!({ "n": { "$gt": 0, "lt": 5 } }), "lt"),
        (json!({ "n": { "$not": { "$some": [1] } } }), "$some"),
        (json!({ "$xor": [{ "n": 1 }] }), "$xor"),
        (json!({ "$where": "true" }), "$where"),
        (json!({ "$and": [{ "$or": [{ "n": { "$length": 1 } }] }] }), "$length"),
        (json!({ "$eq": 1 }), "$eq"),
    ] {
        let words = &[OBJECT, operator];
        refused(objects.find(&filter).await, ErrorKind::Invalid, words);
        refused(objects.find_one(&filter).await, ErrorKind::Invalid, words);
        refused(objects.count(&filter).await, ErrorKind::Invalid, words);
        refused(objects.delete(&filter).await, ErrorKind::Invalid, words);
        refused(objects.update(&filter, &json!({ "n": 9 })).await, ErrorKind::Invalid, words);
    }
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }, { "id": 2, "n": 2 }])).await;
}

/// A list where a value is expected emptied whole collections in the system that came before.
pub async fn a_list_instead_of_a_value(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1), (2, 2)]).await;
    for filter in [
        json!({ "id": [1, 2] }),
        json!({ "n": [1] }),
        json!({ "n": [] }),
        json!({ "n": { "$eq": [1] } }),
        json!({ "n": { "$in": [[1]] } }),
        json!({ "n": { "$not": [1] } }),
        json!({ "n": {} }),
        json!({ "n": { "a": 1 } }),
    ] {
        refused(objects.find(&filter).await, ErrorKind::Invalid, &[OBJECT]);
        refused(objects.delete(&filter).await, ErrorKind::Invalid, &[OBJECT]);
        refused(objects.update(&filter, &json!({ "n": 9 })).await, ErrorKind::Invalid, &[OBJECT]);
    }
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }, { "id": 2, "n": 2 }])).await;
}

pub async fn a_filter_of_a_wrong_form(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    for filter in [
        json!(null),
        json!([]),
        json!("n"),
        json!(1),
        json!(true),
        json!({ "$and": { "n": 1 } }),
        json!({ "$or": null }),
        json!({ "$or": [1] }),
        json!({ "$nor": "n" }),
        json!({ "$not": [{ "n": 1 }] }),
        json!({ "n": { "$in": 1 } }),
        json!({ "n": { "$nin": { "a": 1 } } }),
        json!({ "n": { "$exists": 1 } }),
        json!({ "n": { "$exists": null } }),
    ] {
        refused(objects.find(&filter).await, ErrorKind::Invalid, &[OBJECT]);
        refused(objects.count(&filter).await, ErrorKind::Invalid, &[OBJECT]);
        refused(objects.delete(&filter).await, ErrorKind::Invalid, &[OBJECT]);
    }
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

pub async fn options_of_a_wrong_form(h: Harness) {
    let definition = keyed().optional("n", FieldType::Int).optional("data", FieldType::Json);
    let (_storage, objects) = open_one(&h, definition).await;
    for options in [
        json!([]),
        json!("limit"),
        json!({ "limits": 1 }),
        json!({ "limit": -1 }),
        json!({ "limit": 1.5 }),
        json!({ "limit": "1" }),
        json!({ "limit": null }),
        json!({ "skip": -1 }),
        json!({ "order": "n" }),
        json!({ "order": [["n", "up"]] }),
        json!({ "order": [["n", "asc", "desc"]] }),
        json!({ "order": [[1, "asc"]] }),
        json!({ "order": [["data", "asc"]] }),
        json!({ "fields": "n" }),
        json!({ "fields": [1] }),
        json!({ "reverse": true }),
    ] {
        refused(objects.find_with(&json!({}), &options).await, ErrorKind::Invalid, &[OBJECT]);
    }
}

pub async fn changes_of_a_wrong_form(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    for changes in [
        json!(null),
        json!([]),
        json!({}),
        json!({ "n": { "$mul": "2" } }),
        json!({ "n": { "$rename": "m" } }),
        json!({ "n": { "$append": "x" } }),
        json!({ "n": { "$addToSet": 1 } }),
        json!({ "n": { "$inc": "1" } }),
        json!({ "n": { "$inc": null } }),
        json!({ "n": { "$inc": 1.5 } }),
        json!({ "n": { "$inc": 1, "$set": 2 } }),
        json!({ "$push": { "n": 1 } }),
        json!({ "$set": 1 }),
        json!({ "$inc": { "m": 1 } }),
        json!({ "$set": { "n": 1 }, "$inc": { "n": 1 } }),
        json!({ "n": 1, "$inc": { "n": 1 } }),
    ] {
        refused(objects.update(&json!({}), &changes).await, ErrorKind::Invalid, &[OBJECT]);
    }
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

pub async fn a_change_of_the_key(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    for changes in [
        json!({ "id": 2 }),
        json!({ "id": 1 }),
        json!({ "id": null }),
        json!({ "n": 5, "$inc": { "id": 1 } }),
    ] {
        let result = objects.update(&json!({}), &changes).await;
        let error = refused(result, ErrorKind::Invalid, &[OBJECT, "`id`"]);
        assert!(matches!(error, Error::KeyChange { .. }), "{error:?}");
    }
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

pub async fn a_change_of_a_part_of_the_key(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("a", FieldType::Int)
        .field("b", FieldType::Int)
        .primary_key(["a", "b"]);
    let (storage, objects) = open_one(&h, definition).await;
    objects.create(json!({ "a": 1, "b": 1 })).await.unwrap();
    for name in ["a", "b"] {
        let result = objects.update(&json!({}), &json!({ name: 2 })).await;
        assert_refused!(result, Error::KeyChange { .. });
    }
    assert_objects(&storage, json!([{ "a": 1, "b": 1 }])).await;
}

/// An increment needs a field that counts, and a number that the field can hold.
pub async fn an_increment_of_what_does_not_count(h: Harness) {
    let (storage, _, before) = typed(&h).await;
    for (name, by) in [
        ("text", Value::Int(1)),
        ("bool", Value::Int(1)),
        ("bytes", Value::Int(1)),
        ("int", Value::Float(0.5)),
        ("int", Value::Float(1.0)),
        ("int", Value::from("1")),
        ("int", Value::Null),
        ("at", Value::Float(1.0)),
        ("at", Value::Timestamp(Timestamp(1))),
        ("float", Value::from("1")),
        ("float", Value::Bool(true)),
    ] {
        let changes = Changes::new().increment(name, by.clone());
        // Also where no object matches: what is wrong is wrong.
        for filter in [Filter::All, Filter::key(77)] {
            let batch = Batch::new().update(OBJECT, filter, changes.clone());
            refused(
                storage.execute(batch).await,
                ErrorKind::Invalid,
                &[OBJECT, &format!("`{name}`")],
            );
        }
    }
    assert_eq!(dump(&storage, OBJECT).await, [before]);
}

pub async fn a_key_of_a_wrong_form(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    for key in [
        Key::from("1"),
        Key::from(1.0),
        Key::from(true),
        Key::from(Value::Null),
        Key::compound([]),
        Key::compound([1.into(), 1.into()]),
    ] {
        refused(objects.get(key.clone()).await, ErrorKind::Invalid, &[OBJECT]);
        let filter = Filter::Keys(vec![Key::single(1), key]);
        let find = storage.find(Query::new(OBJECT).filter(filter.clone())).await;
        refused(find, ErrorKind::Invalid, &[OBJECT]);
        let delete = storage.execute(Batch::new().delete(OBJECT, filter.clone())).await;
        refused(delete, ErrorKind::Invalid, &[OBJECT]);
        let changes = Changes::new().set("n", 9);
        let update = storage.execute(Batch::new().update(OBJECT, filter, changes)).await;
        refused(update, ErrorKind::Invalid, &[OBJECT]);
    }
    for object in
        [json!({}), json!({ "n": 1 }), json!({ "id": null }), json!({ "id": "1" }), json!(1)]
    {
        refused(objects.delete_one(&object).await, ErrorKind::Invalid, &[OBJECT]);
        let update = objects.update_one(&object, &json!({ "n": 9 })).await;
        refused(update, ErrorKind::Invalid, &[OBJECT]);
    }
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

pub async fn a_record_of_a_wrong_length(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    for record in [record![], record![2], record![2, 2, 2]] {
        let result = storage.execute(Batch::new().create(OBJECT, vec![record])).await;
        refused(result, ErrorKind::Invalid, &[OBJECT]);
    }
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

pub async fn an_object_of_a_wrong_form(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    for object in [json!(null), json!([]), json!([{ "id": 2 }]), json!("object"), json!(2)] {
        refused(objects.create(object.clone()).await, ErrorKind::Invalid, &[OBJECT]);
        refused(objects.create_many(&[object]).await, ErrorKind::Invalid, &[OBJECT]);
    }
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

/// A page position is one of the same query.
pub async fn a_position_of_another_query(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    for values in [vec![], vec![Value::from(1)], vec![Value::from(1); 3]] {
        let query =
            Query::new(OBJECT).order_by("n", Direction::Ascending).after(Position { values });
        refused(storage.find(query.clone()).await, ErrorKind::Invalid, &[OBJECT]);
        refused(storage.count(query).await, ErrorKind::Invalid, &[OBJECT]);
    }
}

/// What was read in a form that nobody refused is refused by the storage too.
pub async fn every_way_into_the_storage_checks(h: Harness) {
    let (storage, _) = numbers(&h, &[(1, 1)]).await;
    let wrong = || Query::new(OBJECT).filter(field("n").eq("text"));
    assert_refused!(storage.operation(Operation::Find(wrong())).await, Error::InvalidValue { .. });
    assert_refused!(storage.operation(Operation::Count(wrong())).await, Error::InvalidValue { .. });
    for batch in [
        Batch::new().find(wrong()),
        Batch::new().step(storex_core::Step::Count(wrong())),
        Batch::new().require(wrong(), 0),
        Batch::new().delete(OBJECT, wrong().filter),
        Batch::new().create(OBJECT, vec![record![2, "text"]]),
    ] {
        assert_refused!(storage.execute(batch.clone()).await, Error::InvalidValue { .. });
        assert_refused!(storage.apply(batch).await, Error::InvalidValue { .. });
    }
    assert_objects(&storage, json!([{ "id": 1, "n": 1 }])).await;
}

/// After all that the storage works on.
pub async fn the_storage_works_on(h: Harness) {
    let (storage, objects) = numbers(&h, &[(1, 1)]).await;
    for _ in 0..50 {
        objects.find(&json!({ "x": 1 })).await.unwrap_err();
        objects.create(json!({ "id": 1 })).await.unwrap_err();
        storage.execute(Batch::new().delete("x", Filter::All)).await.unwrap_err();
    }
    objects.create(json!({ "id": 2 })).await.unwrap();
    assert_eq!(objects.count(&json!({})).await.unwrap(), 2);
}

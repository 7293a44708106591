//! Changes whose result depends on the value before: multiplied, at least, at most, appended, with elements added.

use serde_json::{Value as Json, json};
use storex_core::{
    Affinity, Batch, Change, Changes, Definition, ErrorKind, FieldType, Filter, Key, OnConflict,
    Query, Record, Step, StepOutcome, Storage, Timestamp, Value, field,
};

use crate::Harness;
use crate::support::{OBJECT, keyed, open_one, record, records, refused, sorted_keys, step};

/// Objects `1..` with these values of a field of this type.
async fn opened(h: &Harness, field_type: FieldType, values: &[Value]) -> Storage {
    let (storage, _) = open_one(h, keyed().optional("field", field_type)).await;
    let records = (1_i64..).zip(values).map(|(id, value)| record![id, value.clone()]).collect();
    storage.execute(Batch::new().create(OBJECT, records)).await.unwrap();
    storage
}

/// The values of the field, by key.
async fn values(storage: &Storage) -> Vec<Value> {
    records(storage, OBJECT).await.iter().map(|record| record.get(1).clone()).collect()
}

async fn change(storage: &Storage, changes: Changes) -> storex_core::Result<StepOutcome> {
    let batch = Batch::new().update(OBJECT, Filter::All, changes);
    Ok(step(&storage.execute(batch).await?, 0).clone())
}

/// What a change makes of values, as it is told and as it is found afterwards.
async fn changed(
    h: &Harness,
    field_type: FieldType,
    before: &[Value],
    changes: Changes,
) -> Vec<Value> {
    let storage = opened(h, field_type, before).await;
    let StepOutcome::Updated { keys, mut records, .. } = change(&storage, changes).await.unwrap()
    else {
        panic!("no update")
    };
    let count = i64::try_from(before.len()).unwrap();
    assert_eq!(sorted_keys(&keys), (1..=count).collect::<Vec<_>>());
    let told: Vec<Key> = records.iter().map(|it| Key::single(it.get(0).clone())).collect();
    assert_eq!(told, keys, "the objects are told in the order of the keys");
    records.sort_by_key(|record| record.get(0).as_int());
    let told: Vec<Value> = records.iter().map(|record| record.get(1).clone()).collect();
    let found = values(&storage).await;
    assert_eq!(told, found, "told as found");
    storage.close().await.unwrap();
    found
}

fn ints(values: &[i64]) -> Vec<Value> {
    values.iter().copied().map(Value::Int).collect()
}

fn texts(values: &[&str]) -> Vec<Value> {
    values.iter().copied().map(Value::from).collect()
}

fn arrays(values: &[Json]) -> Vec<Value> {
    values.iter().cloned().map(Value::Json).collect()
}

pub async fn integers_are_multiplied(h: Harness) {
    let before = ints(&[3, -4, 0, i64::MAX / 2, i64::MIN / 2]);
    let after = changed(&h, FieldType::Int, &before, Changes::new().multiply("field", 2)).await;
    assert_eq!(after, ints(&[6, -8, 0, i64::MAX - 1, i64::MIN]));
}

pub async fn floats_are_multiplied(h: Harness) {
    let before = [Value::Float(1.5), Value::Float(-2.0), Value::Float(0.0), Value::Float(1e308)];
    let after = changed(&h, FieldType::Float, &before, Changes::new().multiply("field", 10)).await;
    let expected = [15.0, -20.0, 0.0, f64::INFINITY].map(Value::Float);
    assert_eq!(after, expected, "an integer counts as a float; too great is infinite");
}

/// Minus zero is zero, as everywhere.
pub async fn a_product_is_never_minus_zero(h: Harness) {
    let before = [Value::Float(0.0), Value::Float(5e-324)];
    let changes = Changes::new().multiply("field", -0.1);
    let after = changed(&h, FieldType::Float, &before, changes).await;
    assert_eq!(after, [Value::Float(0.0), Value::Float(0.0)]);
}

pub async fn a_product_that_leaves_its_range_is_refused(h: Harness) {
    let before = ints(&[1, i64::MAX / 2 + 1, 3]);
    let storage = opened(&h, FieldType::Int, &before).await;
    let result = change(&storage, Changes::new().multiply("field", 2)).await;
    refused(result, ErrorKind::Invalid, &[OBJECT, "field", "range"]);
    assert_eq!(values(&storage).await, before, "nothing was changed");
    let result = change(&storage, Changes::new().multiply("field", i64::MIN)).await;
    refused(result, ErrorKind::Invalid, &["range"]);
    assert_eq!(values(&storage).await, before);
}

pub async fn what_is_no_number_is_refused(h: Harness) {
    let before = [Value::Float(f64::INFINITY), Value::Float(1.0)];
    let storage = opened(&h, FieldType::Float, &before).await;
    for changes in [
        Changes::new().multiply("field", 0),
        Changes::new().increment("field", f64::NEG_INFINITY),
        Changes::new().multiply("field", f64::NAN),
        Changes::new().increment("field", f64::NAN),
        Changes::new().min("field", f64::NAN),
    ] {
        let result = change(&storage, changes).await;
        refused(result, ErrorKind::Invalid, &[OBJECT, "field"]);
        assert_eq!(values(&storage).await, before);
    }
}

pub async fn the_smaller_stays(h: Harness) {
    let before = ints(&[1, 5, 9]);
    let after = changed(&h, FieldType::Int, &before, Changes::new().min("field", 5)).await;
    assert_eq!(after, ints(&[1, 5, 5]));
}

/// In the order of the field's type.
pub async fn the_greater_of_every_type_stays(h: Harness) {
    let cases = [
        (FieldType::Int, ints(&[1, 9]), Value::from(5), ints(&[5, 9])),
        (
            FieldType::Float,
            vec![Value::Float(-1.0), Value::Float(f64::INFINITY)],
            Value::from(0),
            vec![Value::Float(0.0), Value::Float(f64::INFINITY)],
        ),
        (FieldType::String, texts(&["B", "b", "é"]), "a".into(), texts(&["a", "b", "é"])),
        (
            FieldType::Timestamp,
            vec![Timestamp(-5).into(), Timestamp(5).into()],
            Timestamp(0).into(),
            vec![Timestamp(0).into(), Timestamp(5).into()],
        ),
        (
            FieldType::Binary,
            vec![vec![0_u8, 9].into(), vec![1_u8].into()],
            vec![0_u8, 255].into(),
            vec![vec![0_u8, 255].into(), vec![1_u8].into()],
        ),
    ];
    let mut definition = keyed();
    for (n, (field_type, ..)) in cases.iter().enumerate() {
        definition = definition.optional(format!("field{n}"), field_type.clone());
    }
    let (storage, _) = open_one(&h, definition).await;
    for (n, (_, before, by, after)) in cases.into_iter().enumerate() {
        storage.execute(Batch::new().delete(OBJECT, Filter::All)).await.unwrap();
        let name = format!("field{n}");
        let records = (1_i64..).zip(before).map(|(id, value)| {
            let mut record = Record::nulls(6);
            record.set(0, id.into());
            record.set(n + 1, value);
            record
        });
        let batch = Batch::new().create(OBJECT, records.collect());
        let batch = batch.update(OBJECT, Filter::All, Changes::new().max(name, by));
        storage.execute(batch).await.unwrap();
        let found: Vec<Value> =
            records_of(&storage).await.iter().map(|record| record.get(n + 1).clone()).collect();
        assert_eq!(found, after, "field{n}");
    }
}

async fn records_of(storage: &Storage) -> Vec<Record> {
    records(storage, OBJECT).await
}

/// Null counts as nothing yet; a product of nothing is nothing.
pub async fn of_null(h: Harness) {
    let definition = keyed()
        .optional("i", FieldType::Int)
        .optional("f", FieldType::Float)
        .optional("t", FieldType::String)
        .optional("j", FieldType::Json)
        .optional("at", FieldType::Timestamp);
    let (storage, _) = open_one(&h, definition).await;
    let cases = [
        (Changes::new().increment("i", 5), 1, Value::from(5)),
        (Changes::new().multiply("i", 5), 1, Value::Null),
        (Changes::new().min("i", 5), 1, Value::from(5)),
        (Changes::new().max("i", -5), 1, Value::from(-5)),
        (Changes::new().increment("f", 5), 2, Value::Float(5.0)),
        (Changes::new().multiply("f", 5), 2, Value::Null),
        (Changes::new().append("t", "x"), 3, Value::from("x")),
        (Changes::new().replace_prefix("t", "", "x"), 3, Value::Null),
        (Changes::new().min("t", "x"), 3, Value::from("x")),
        (Changes::new().add_elements("j", [1, 1]), 4, Value::Json(json!([1]))),
        (Changes::new().add_elements::<Json>("j", []), 4, Value::Json(json!([]))),
        (Changes::new().remove_elements("j", [1]), 4, Value::Null),
        (Changes::new().increment("at", 7), 5, Value::from(Timestamp(7))),
        (Changes::new().max("at", Timestamp(7)), 5, Value::from(Timestamp(7))),
    ];
    for (changes, at, expected) in cases {
        let empty = Record::new(std::iter::once(1.into()).chain(vec![Value::Null; 5]).collect());
        let replace = Step::create_or(OBJECT, vec![empty], OnConflict::Replace);
        let batch = Batch::new().step(replace).update(OBJECT, Filter::All, changes.clone());
        storage.execute(batch).await.unwrap();
        assert_eq!(records_of(&storage).await[0].get(at), &expected, "{changes:?}");
    }
}

pub async fn texts_are_appended(h: Harness) {
    let before = texts(&["", "a", "é\0", "😀"]);
    let after =
        changed(&h, FieldType::String, &before, Changes::new().append("field", "'😁")).await;
    assert_eq!(after, texts(&["'😁", "a'😁", "é\0'😁", "😀'😁"]));
}

pub async fn the_beginnings_of_texts_are_replaced(h: Harness) {
    let before = texts(&["/old/a", "/old", "/older", "x/old/a", "/OLD/a", "", "/old/old/"]);
    let changes = Changes::new().replace_prefix("field", "/old/", "/new/path/");
    let after = changed(&h, FieldType::String, &before, changes).await;
    let expected = ["/new/path/a", "/old", "/older", "x/old/a", "/OLD/a", "", "/new/path/old/"];
    assert_eq!(after, texts(&expected), "what does not begin so stays");
}

pub async fn the_beginning_of_every_text_is_nothing(h: Harness) {
    let before = texts(&["a", "", "ab"]);
    let changes = Changes::new().replace_prefix("field", "", "> ");
    let after = changed(&h, FieldType::Text, &before, changes).await;
    assert_eq!(after, texts(&["> a", "> ", "> ab"]));
}

pub async fn a_beginning_is_taken_away(h: Harness) {
    let before = texts(&["%a%a", "%", "a%", "é", "e\u{301}"]);
    let storage = opened(&h, FieldType::String, &before).await;
    change(&storage, Changes::new().replace_prefix("field", "%", "")).await.unwrap();
    assert_eq!(values(&storage).await, texts(&["a%a", "", "a%", "é", "e\u{301}"]));
    change(&storage, Changes::new().replace_prefix("field", "e", "")).await.unwrap();
    assert_eq!(values(&storage).await, texts(&["a%a", "", "a%", "é", "\u{301}"]));
}

/// Numbers are the same when their values are; the order stays.
pub async fn elements_are_added_once(h: Harness) {
    let before = arrays(&[
        json!([]),
        json!(["a", 1]),
        json!([1.0, "b"]),
        json!([true, null, "1"]),
        json!(["c", "c"]),
    ]);
    let elements = vec![json!("c"), json!(1), json!("a"), json!("c"), json!(1.0)];
    let changes = Changes::new().add_elements("field", elements);
    let after = changed(&h, FieldType::Json, &before, changes).await;
    let expected = [
        json!(["c", 1, "a"]),
        json!(["a", 1, "c"]),
        json!([1.0, "b", "c", "a"]),
        json!([true, null, "1", "c", 1, "a"]),
        json!(["c", "c", 1, "a"]),
    ];
    assert_eq!(after, arrays(&expected));
}

pub async fn elements_are_taken_out(h: Harness) {
    let before = arrays(&[
        json!(["a", 1, "a", 1.0, 2]),
        json!([]),
        json!([null, true, [1], { "a": 1 }, "1"]),
        json!([{ "a": 1, "b": 2 }]),
    ]);
    let elements = vec![json!("a"), json!(1), json!([1]), json!({ "a": 1 }), json!(null)];
    let changes = Changes::new().remove_elements("field", elements);
    let after = changed(&h, FieldType::Json, &before, changes).await;
    let expected = [json!([2]), json!([]), json!([true, "1"]), json!([{ "a": 1, "b": 2 }])];
    assert_eq!(after, arrays(&expected), "all of them, and objects by their content");
}

pub async fn elements_of_what_is_no_array_are_refused(h: Harness) {
    let storage = opened(&h, FieldType::Json, &[]).await;
    for value in [json!({ "a": 1 }), json!("a"), json!(1), json!(true)] {
        let before = arrays(&[json!([1]), value.clone()]);
        let records = (1_i64..).zip(&before).map(|(id, value)| record![id, value.clone()]);
        let batch = Batch::new().delete(OBJECT, Filter::All).create(OBJECT, records.collect());
        storage.execute(batch).await.unwrap();
        for changes in [
            Changes::new().add_elements("field", ["x"]),
            Changes::new().remove_elements("field", ["x"]),
        ] {
            let result = change(&storage, changes).await;
            refused(result, ErrorKind::Invalid, &[OBJECT, "field", "array"]);
            assert_eq!(values(&storage).await, before, "{value}: nothing was changed");
        }
    }
}

/// What a column of an adopted database holds decides.
pub async fn of_values_of_any_kind(h: Harness) {
    let any = FieldType::Dynamic(Affinity::Blob);
    let before =
        [Value::from(2), Value::from(2.5), Value::Null, Value::from("2"), Value::from(vec![2_u8])];
    let storage = opened(&h, any, &before).await;
    for (filter, changes, expected) in [
        (Filter::key(1), Changes::new().multiply("field", 3), Value::from(6)),
        (Filter::key(2), Changes::new().multiply("field", 2), Value::from(5.0)),
        (Filter::key(1), Changes::new().multiply("field", 0.5), Value::from(3.0)),
        (Filter::key(4), Changes::new().append("field", "x"), Value::from("2x")),
        (Filter::key(4), Changes::new().replace_prefix("field", "2", "3"), Value::from("3x")),
        (Filter::key(5), Changes::new().max("field", "z"), Value::from(vec![2_u8])),
        (Filter::key(5), Changes::new().min("field", "z"), Value::from("z")),
        (Filter::key(1), Changes::new().max("field", "a"), Value::from("a")),
        (Filter::key(2), Changes::new().replace_prefix("field", "", "x"), Value::from(5.0)),
    ] {
        let Filter::Keys(keys) = &filter else { continue };
        let at = usize::try_from(keys[0].as_int().unwrap() - 1).unwrap();
        storage.execute(Batch::new().update(OBJECT, filter, changes.clone())).await.unwrap();
        assert_eq!(values(&storage).await[at], expected, "{changes:?}");
    }
    let before = values(&storage).await;
    for changes in [
        Changes::new().multiply("field", 2),
        Changes::new().increment("field", 2),
        Changes::new().append("field", "x"),
    ] {
        refused(change(&storage, changes).await, ErrorKind::Invalid, &[OBJECT, "field"]);
        assert_eq!(values(&storage).await, before, "one of another kind, so none is changed");
    }
}

pub async fn of_exactly_the_objects_that_match(h: Harness) {
    let storage = opened(&h, FieldType::Int, &ints(&[1, 2, 3, 4, 5, 6])).await;
    let batch = Batch::new()
        .update(OBJECT, field("field").gte(4), Changes::new().multiply("field", 10))
        .update(OBJECT, field("field").lt(3), Changes::new().max("field", 2))
        .update(OBJECT, field("field").eq(99), Changes::new().min("field", 0));
    let outcome = storage.execute(batch).await.unwrap();
    let told: Vec<Vec<i64>> = (0..3)
        .map(|n| match step(&outcome, n) {
            StepOutcome::Updated { keys, .. } => sorted_keys(keys),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [vec![4, 5, 6], vec![1, 2], vec![]]);
    assert_eq!(values(&storage).await, ints(&[2, 2, 3, 40, 50, 60]));
}

/// A change moves objects in and out of what its own filter matches; each is changed once.
pub async fn that_move_objects_within_the_filter(h: Harness) {
    let definition = keyed().optional("field", FieldType::Int).index(["field"]);
    let (storage, _) = open_one(&h, definition).await;
    let records = (1..=100).map(|id| record![id, id]).collect();
    storage.execute(Batch::new().create(OBJECT, records)).await.unwrap();
    let changes = Changes::new().multiply("field", 2);
    let batch = Batch::new().update(OBJECT, field("field").gte(1), changes);
    storage.execute(batch).await.unwrap();
    let expected: Vec<i64> = (1..=100).map(|n| n * 2).collect();
    assert_eq!(values(&storage).await, ints(&expected));
}

pub async fn several_in_one_update(h: Harness) {
    let definition = keyed()
        .optional("i", FieldType::Int)
        .optional("f", FieldType::Float)
        .optional("t", FieldType::String)
        .optional("j", FieldType::Json)
        .optional("rest", FieldType::String);
    let (storage, _) = open_one(&h, definition).await;
    let first = record![1, 2, 0.5, "a", json!([1]), "stays"];
    storage.execute(Batch::new().create(OBJECT, vec![first])).await.unwrap();
    let changes = Changes::new()
        .multiply("i", 21)
        .increment("f", 1)
        .append("t", "b")
        .add_elements("j", [json!({ "x": null })]);
    let outcome = change(&storage, changes).await.unwrap();
    let expected = record![1, 42, 1.5, "ab", json!([1, { "x": null }]), "stays"];
    let updated = StepOutcome::Updated {
        keys: vec![Key::single(1)],
        records: vec![expected.clone()],
        unchanged: vec![],
    };
    assert_eq!(outcome, updated);
    assert_eq!(records_of(&storage).await, std::slice::from_ref(&expected));
    let changes = Changes::new().set("rest", "x").multiply("i", i64::MAX).append("t", "c");
    refused(change(&storage, changes).await, ErrorKind::Invalid, &[OBJECT, "`i`", "range"]);
    assert_eq!(records_of(&storage).await, [expected], "all of them or none");
    let twice = Changes::new().append("t", "x").append("t", "y");
    refused(change(&storage, twice).await, ErrorKind::Invalid, &[OBJECT, "`t`", "twice"]);
}

/// What changed nothing is told, so that nobody takes it for a write.
pub async fn what_changed_nothing_is_told(h: Harness) {
    let definition = keyed()
        .field("n", FieldType::Int)
        .optional("t", FieldType::String)
        .optional("j", FieldType::Json);
    let (storage, _) = open_one(&h, definition).await;
    let first = vec![record![1, 5, "a/b", json!(["x"])], record![2, 1, Value::Null, Value::Null]];
    storage.execute(Batch::new().create(OBJECT, first)).await.unwrap();
    let told = async |changes: Changes| {
        let keys = Filter::Keys([1, 2].map(Key::single).to_vec());
        let outcome = storage.execute(Batch::new().update(OBJECT, keys, changes)).await.unwrap();
        let StepOutcome::Updated { keys, records, unchanged } = step(&outcome, 0) else { panic!() };
        assert_eq!((keys.len(), sorted_keys(keys)), (2, vec![1, 2]), "it is there all the same");
        assert!(records.is_empty() || records.len() == 2);
        let mut told: Vec<String> = unchanged
            .iter()
            .map(|(at, field)| format!("{}{field}", keys[*at].as_int().unwrap()))
            .collect();
        told.sort();
        told
    };
    let none: [&str; 0] = [];
    assert_eq!(
        told(Changes::new().min("n", 3).replace_prefix("t", "a/", "c/")).await,
        ["2n", "2t"]
    );
    assert_eq!(told(Changes::new().max("n", 3)).await, ["1n"]);
    assert_eq!(told(Changes::new().increment("n", 0)).await, ["1n", "2n"]);
    assert_eq!(told(Changes::new().multiply("n", 1)).await, ["1n", "2n"]);
    assert_eq!(told(Changes::new().remove_elements("j", ["y"])).await, ["1j", "2j"]);
    assert_eq!(told(Changes::new().add_elements("j", ["x"])).await, ["1j"]);
    assert_eq!(told(Changes::new().append("t", "").set("n", 3)).await, ["1t"]);
    assert_eq!(told(Changes::new().set("n", 3)).await, none, "what is set is written");
}

/// Asked for, the objects are told as they are afterwards, whatever the changes are.
pub async fn and_others_give_the_objects_when_asked(h: Harness) {
    let definition = keyed().optional("field", FieldType::Int).optional("j", FieldType::Json);
    let (storage, _) = open_one(&h, definition).await;
    let first =
        vec![record![1, 1, json!([1])], record![2, 2, Value::Null], record![3, 3, json!("x")]];
    storage.execute(Batch::new().create(OBJECT, first)).await.unwrap();
    let set = Changes::new().set("field", 7);
    let batch = Batch::new()
        .update(OBJECT, field("field").lte(2), set.clone().returning())
        .update(OBJECT, field("field").eq(7), set.clone())
        .update(OBJECT, field("field").eq(99), set.returning());
    let outcome = storage.execute(batch).await.unwrap();
    let StepOutcome::Updated { keys, records: told, .. } = step(&outcome, 0) else { panic!() };
    assert_eq!(sorted_keys(keys), [1, 2]);
    let mut told = told.clone();
    told.sort_by_key(|record| record.get(0).as_int());
    assert_eq!(told, [record![1, 7, json!([1])], record![2, 7, Value::Null]]);
    let StepOutcome::Updated { keys, records: told, .. } = step(&outcome, 1) else { panic!() };
    assert_eq!((keys.len(), told.len()), (2, 0), "not asked for");
    assert_eq!(
        step(&outcome, 2),
        &StepOutcome::Updated { keys: vec![], records: vec![], unchanged: vec![] }
    );
    let all: Vec<Key> = [3, 1].map(Key::single).to_vec();
    let batch = Batch::new().update(
        OBJECT,
        Filter::Keys(all.clone()),
        Changes::new().unset("j").returning(),
    );
    let outcome = storage.execute(batch).await.unwrap();
    let StepOutcome::Updated { keys, records: told, .. } = step(&outcome, 0) else { panic!() };
    let told: Vec<Key> = told.iter().map(|it| Key::single(it.get(0).clone())).collect();
    assert_eq!(&told, keys, "in the order of the keys");
    assert_eq!(sorted_keys(&told), [1, 3]);
}

/// A change that does not fit the field is refused before anything is written.
pub async fn that_do_not_fit_the_field_are_refused(h: Harness) {
    let definition = keyed()
        .optional("int", FieldType::Int)
        .optional("float", FieldType::Float)
        .optional("text", FieldType::String)
        .optional("json", FieldType::Json)
        .optional("bool", FieldType::Boolean)
        .optional("at", FieldType::Timestamp)
        .optional("bytes", FieldType::Binary);
    let (storage, objects) = open_one(&h, definition).await;
    objects.create(json!({ "id": 1, "int": 1 })).await.unwrap();
    let add = |elements: Json| Change::AddElements(vec![elements]);
    let refused_changes: Vec<(&str, Change)> = vec![
        ("int", Change::Multiply(Value::from(1.5))),
        ("int", Change::Multiply(Value::Null)),
        ("int", Change::Multiply(Value::from("2"))),
        ("int", Change::Append("1".to_owned())),
        ("int", Change::ReplacePrefix { from: "1".to_owned(), to: "2".to_owned() }),
        ("int", add(json!(1))),
        ("int", Change::RemoveElements(vec![json!(1)])),
        ("int", Change::Min(Value::Null)),
        ("int", Change::Max(Value::from("x"))),
        ("float", Change::Multiply(Value::from("2"))),
        ("float", Change::Append("1".to_owned())),
        ("text", Change::Multiply(Value::from(2))),
        ("text", Change::Increment(Value::from(2))),
        ("text", Change::Min(Value::from(2))),
        ("text", add(json!(1))),
        ("json", Change::Multiply(Value::from(2))),
        ("json", Change::Append("x".to_owned())),
        ("json", Change::Min(Value::Json(json!([1])))),
        ("json", Change::Max(Value::from(1))),
        ("bool", Change::Min(Value::from(true))),
        ("bool", Change::Increment(Value::from(1))),
        ("at", Change::Multiply(Value::from(2))),
        ("at", Change::Append("x".to_owned())),
        ("bytes", Change::Append("x".to_owned())),
        ("bytes", add(json!(1))),
        ("id", Change::Multiply(Value::from(2))),
        ("nowhere", Change::Multiply(Value::from(2))),
    ];
    let mut other = Record::nulls(8);
    other.set(0, 2.into());
    for (name, change) in refused_changes {
        let changes = Changes::new().with(name.into(), change.clone());
        let batch = Batch::new().create(OBJECT, vec![other.clone()]).update(
            OBJECT,
            Filter::key(1),
            changes,
        );
        let result = storage.execute(batch).await;
        refused(result, ErrorKind::Invalid, &[OBJECT, name]);
        let count = storage.count(Query::new(OBJECT)).await.unwrap();
        assert_eq!(count, 1, "{change:?}: nothing was written");
    }
}

/// A required field is never null after a change, and a unique index is kept.
pub async fn within_the_rules_of_the_collection(h: Harness) {
    let definition = Definition::new(OBJECT)
        .field("id", FieldType::Int)
        .primary_key(["id"])
        .field("name", FieldType::String)
        .unique(["name"]);
    let (storage, _) = open_one(&h, definition).await;
    let first = vec![record![1, "a"], record![2, "ab"]];
    storage.execute(Batch::new().create(OBJECT, first.clone())).await.unwrap();
    let batch = Batch::new().update(OBJECT, Filter::key(1), Changes::new().append("name", "b"));
    refused(storage.execute(batch).await, ErrorKind::Conflict, &[OBJECT, "name"]);
    let batch = Batch::new().update(OBJECT, Filter::All, Changes::new().max("name", "z"));
    refused(storage.execute(batch).await, ErrorKind::Conflict, &[OBJECT, "name"]);
    assert_eq!(records_of(&storage).await, first);
    let batch = Batch::new().update(OBJECT, Filter::key(2), Changes::new().append("name", "c"));
    storage.execute(batch).await.unwrap();
    let batch = Batch::new().update(OBJECT, Filter::key(1), Changes::new().append("name", "b"));
    storage.execute(batch).await.unwrap();
    assert_eq!(records_of(&storage).await, [record![1, "ab"], record![2, "abc"]]);
}

/// The words of JSON, on the dynamic face.
pub async fn in_json(h: Harness) {
    let definition = keyed()
        .optional("n", FieldType::Int)
        .optional("t", FieldType::String)
        .optional("tags", FieldType::Json);
    let (_storage, objects) = open_one(&h, definition).await;
    objects.create(json!({ "id": 1, "n": 4, "t": "a/b", "tags": ["x"] })).await.unwrap();
    let key = json!({ "id": 1 });
    for (changes, field, expected) in [
        (json!({ "n": { "$mul": 3 } }), "n", json!(12)),
        (json!({ "n": { "$min": 10 } }), "n", json!(10)),
        (json!({ "n": { "$max": 11 } }), "n", json!(11)),
        (json!({ "$inc": { "n": -1 } }), "n", json!(10)),
        (json!({ "t": { "$append": "/c" } }), "t", json!("a/b/c")),
        (json!({ "t": { "$replacePrefix": { "from": "a/", "to": "" } } }), "t", json!("b/c")),
        (json!({ "tags": { "$addToSet": "y" } }), "tags", json!(["x", "y"])),
        (json!({ "tags": { "$addToSet": { "$each": ["y", 1] } } }), "tags", json!(["x", "y", 1])),
        (json!({ "$addToSet": { "tags": { "k": 1 } } }), "tags", json!(["x", "y", 1, { "k": 1 }])),
        (json!({ "tags": { "$pull": "x" } }), "tags", json!(["y", 1, { "k": 1 }])),
        (json!({ "tags": { "$pullAll": [1.0, { "k": 1 }] } }), "tags", json!(["y"])),
    ] {
        assert!(objects.update_one(&key, &changes).await.unwrap());
        let object = objects.get(1).await.unwrap().unwrap();
        assert_eq!(object[field], expected, "{changes}");
    }
}

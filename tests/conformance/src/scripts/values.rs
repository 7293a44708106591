//! The values of scripts: few, so that they meet, and at the edges.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use storex_core::{Collection, FieldType, Key, KeyFormat, Name, Record, Timestamp, Value};

pub(super) fn ints() -> BoxedStrategy<Value> {
    let edges = [i64::MIN, -(1 << 53) - 1, 1 << 53, (1 << 53) + 1, i64::MAX - 1, i64::MAX];
    prop_oneof![12 => -2..5_i64, 1 => select(edges.to_vec())].prop_map(Value::Int).boxed()
}

const TEXTS: [&str; 24] = [
    "",
    "a",
    "A",
    "a b",
    "b",
    "ab",
    "a ",
    "ab a",
    "10",
    "9",
    "e\u{301}",
    "é",
    "É a",
    "ß",
    "SS",
    "a\0",
    "\u{ffff}",
    "\u{10ffff}",
    "😀",
    "2026-11-20T12:00:00Z",
    "1.0",
    "null",
    "'",
    "%",
];

pub(super) fn words() -> BoxedStrategy<String> {
    prop_oneof![2 => select(TEXTS[..8].to_vec()), 1 => select(TEXTS.to_vec())]
        .prop_map(str::to_owned)
        .boxed()
}

pub(super) fn texts() -> BoxedStrategy<Value> {
    words().prop_map(Value::from).boxed()
}

pub(super) fn floats() -> BoxedStrategy<Value> {
    let floats = [
        0.0,
        1.0,
        1.5,
        -1.5,
        0.1,
        5e-324,
        9_007_199_254_740_992.0,
        1e300,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    let odd =
        vec![Value::Float(-0.0), Value::Int(2), Value::Int((1 << 53) + 1), Value::Float(f64::NAN)];
    prop_oneof![
        60 => select(floats[..5].to_vec()).prop_map(Value::from),
        20 => select(floats.to_vec()).prop_map(Value::from),
        1 => select(odd),
    ]
    .boxed()
}

fn json_values() -> BoxedStrategy<Value> {
    let values = [
        json!([]),
        json!([1]),
        json!([1.0, "a", 1]),
        json!(["a", "b", null]),
        json!([true, 2, [1], "1"]),
        json!([{ "a": 1, "b": "a" }, { "a": 2 }]),
        json!([{ "a": 1.5, "b": null }, 1]),
        json!([31.245_270_191_439_438, 9_007_199_254_740_993_i64]),
        json!({}),
        json!(0),
        json!(0.1),
        json!("a"),
        json!(true),
        json!(null),
        json!({ "b": [1, null], "a": "é" }),
        json!({ "$eq": 1 }),
    ];
    prop_oneof![2 => select(values[..8].to_vec()), 1 => select(values.to_vec())]
        .prop_map(Value::Json)
        .boxed()
}

/// What a JSON array has an element of, nearly always.
pub(super) fn element() -> BoxedStrategy<Value> {
    let values = [
        Value::from(1),
        Value::from(1.0),
        Value::from(2),
        Value::from(1.5),
        Value::from("a"),
        Value::from("b"),
        Value::from("1"),
        Value::from(true),
        Value::from(9_007_199_254_740_993_i64),
    ];
    prop_oneof![60 => select(values.to_vec()), 1 => Just(Value::Null), 1 => bytes()].boxed()
}

fn bytes() -> BoxedStrategy<Value> {
    vec(select(&[0_u8, 1, 97, 255][..]), 0..3).prop_map(Value::Bytes).boxed()
}

/// A value that the field takes.
pub(super) fn value_of(field_type: &FieldType) -> BoxedStrategy<Value> {
    match field_type {
        FieldType::Int | FieldType::ForeignKey(KeyFormat::Int) => ints(),
        FieldType::Float => floats(),
        FieldType::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
        FieldType::Timestamp | FieldType::DateTime => ints()
            .prop_map(|int| Value::Timestamp(Timestamp(int.as_int().unwrap_or_default())))
            .boxed(),
        FieldType::Json => json_values(),
        FieldType::Binary => bytes(),
        FieldType::Dynamic(_) => prop_oneof![ints(), texts(), floats(), bytes()].boxed(),
        _ => texts(),
    }
}

/// A value for a field, mostly one that it takes.
pub(super) fn value(collection: &Collection, at: usize) -> BoxedStrategy<Value> {
    let field = &collection.fields()[at];
    let good = value_of(&field.field_type);
    let wrong = select(vec![Value::Bool(true), Value::from("wrong"), Value::Bytes(vec![1])]);
    let null = if field.nullable { 200 } else { 1 };
    prop_oneof![800 => good, null => Just(Value::Null), 1 => wrong].boxed()
}

pub(super) fn record(collection: &Arc<Collection>) -> BoxedStrategy<Record> {
    let values: Vec<_> = (0..collection.fields().len()).map(|at| value(collection, at)).collect();
    values.prop_map(Record::new).boxed()
}

pub(super) fn key(collection: &Arc<Collection>) -> BoxedStrategy<Key> {
    let fields = collection.fields();
    let parts: Vec<_> =
        collection.primary_key().iter().map(|at| value_of(&fields[*at].field_type)).collect();
    parts.prop_map(Key::compound).boxed()
}

/// A record as it is stored, with null for what the field does not take.
pub(super) fn checked(collection: &Collection, mut record: Record) -> Record {
    for (field, value) in collection.fields().iter().zip(record.values_mut()) {
        if collection.check_value(field, value).is_err() {
            *value = Value::Null;
        }
    }
    record
}

/// The name of a field that is there, nearly always.
pub(super) fn field_name(collection: &Arc<Collection>) -> BoxedStrategy<Name> {
    prop_oneof![200 => named(collection, |_| true), 1 => Just("unknown".into())].boxed()
}

/// The name of a field that has an order, nearly always.
pub(super) fn ordered_name(collection: &Arc<Collection>) -> BoxedStrategy<Name> {
    let ordered = named(collection, |it| !matches!(it, FieldType::Json));
    prop_oneof![200 => ordered, 1 => field_name(collection)].boxed()
}

/// The name of a field of such a type; the first of the key where there is none.
pub(super) fn named(
    collection: &Arc<Collection>,
    is_such: impl Fn(&FieldType) -> bool,
) -> BoxedStrategy<Name> {
    let fields = collection.fields().iter();
    let such = fields.filter(|field| is_such(&field.field_type));
    let mut names: Vec<Name> = such.map(|field| Name::clone(&field.name)).collect();
    if names.is_empty() {
        names.push(Name::clone(&collection.fields()[collection.primary_key()[0]].name));
    }
    select(names).boxed()
}

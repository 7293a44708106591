//! JSON: filters, changes and queries are read as they are meant, and every value comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use storex_core::{
    Affinity, Changes, Collection, Comparison, Definition, Direction, Error, ErrorKind, FieldType,
    Filter, Key, KeyFormat, Query, Registry, Timestamp, Value, field,
};

fn types() -> Vec<(&'static str, FieldType)> {
    vec![
        ("text", FieldType::Text),
        ("string", FieldType::String),
        ("url", FieldType::Url),
        ("random", FieldType::RandomKey),
        ("json", FieldType::Json),
        ("moment", FieldType::DateTime),
        ("at", FieldType::Timestamp),
        ("bool", FieldType::Boolean),
        ("float", FieldType::Float),
        ("int", FieldType::Int),
        ("blob", FieldType::Blob),
        ("binary", FieldType::Binary),
        ("media", FieldType::Media),
        ("keyText", FieldType::ForeignKey(KeyFormat::Text)),
        ("keyInt", FieldType::ForeignKey(KeyFormat::Int)),
        ("keyBytes", FieldType::ForeignKey(KeyFormat::Bytes)),
        ("any", FieldType::Dynamic(Affinity::Blob)),
    ]
}

fn collection() -> Arc<Collection> {
    Arc::clone(registry().collection("object").unwrap())
}

fn registry() -> Registry {
    let definition = types()
        .into_iter()
        .fold(Definition::new("object"), |it, (name, field_type)| it.optional(name, field_type));
    Registry::builder().collection(definition).build().unwrap()
}

fn compare(name: &str, op: Comparison, value: impl Into<Value>) -> Filter {
    Filter::Compare { field: name.into(), op, value: value.into() }
}

#[test]
fn filters_are_read_as_they_are_meant() {
    let c = collection();
    for (json, filter) in [
        (json!({}), Filter::All),
        (json!({ "int": 1 }), compare("int", Comparison::Eq, 1)),
        (json!({ "int": null }), compare("int", Comparison::Eq, Value::Null)),
        (json!({ "int": { "$ne": 1 } }), compare("int", Comparison::Ne, 1)),
        (
            json!({ "int": { "$gte": 1, "$lt": 9 } }),
            Filter::And(vec![
                compare("int", Comparison::Gte, 1),
                compare("int", Comparison::Lt, 9),
            ]),
        ),
        (
            json!({ "float": 1, "string": "2026-11-20" }),
            Filter::And(vec![
                compare("float", Comparison::Eq, 1),
                compare("string", Comparison::Eq, "2026-11-20"),
            ]),
        ),
        (
            json!({ "int": { "$in": [1, null] } }),
            Filter::In { field: "int".into(), values: vec![1.into(), Value::Null] },
        ),
        (
            json!({ "int": { "$nin": [1] } }),
            Filter::In { field: "int".into(), values: vec![1.into()] }.negate(),
        ),
        (json!({ "int": { "$exists": true } }), field("int").is_not_null()),
        (json!({ "int": { "$exists": false } }), field("int").is_null()),
        (json!({ "int": { "$not": { "$gt": 1 } } }), field("int").gt(1).negate()),
        (json!({ "$not": { "int": 1 } }), field("int").eq(1).negate()),
        (json!({ "$or": [{ "int": 1 }, {}] }), Filter::Or(vec![field("int").eq(1), Filter::All])),
        (json!({ "$nor": [{ "int": 1 }] }), Filter::Or(vec![field("int").eq(1)]).negate()),
        // In a JSON field everything but an operator is a value.
        (json!({ "json": [1] }), field("json").eq(json!([1]))),
        (json!({ "json": { "a": 1 } }), field("json").eq(json!({ "a": 1 }))),
        (json!({ "json": { "$eq": { "$gt": 1 } } }), field("json").eq(json!({ "$gt": 1 }))),
        (json!({ "any": { "$bytes": "AA==" } }), field("any").eq(vec![0_u8])),
        (json!({ "any": { "$float": "-Infinity" } }), field("any").eq(f64::NEG_INFINITY)),
        (
            json!({ "moment": "2026-11-20T12:00:00Z" }),
            field("moment").eq(Timestamp(1_795_176_000_000)),
        ),
    ] {
        assert_eq!(c.filter_from_json(&json, &registry()).unwrap(), filter, "{json}");
    }
}

#[test]
fn changes_are_read_as_they_are_meant() {
    let c = collection();
    for (json, changes) in [
        (json!({ "int": 1 }), Changes::new().set("int", 1)),
        (json!({ "int": null }), Changes::new().unset("int")),
        (json!({ "int": { "$inc": -2 } }), Changes::new().increment("int", -2)),
        (json!({ "float": { "$inc": 0.5 } }), Changes::new().increment("float", 0.5)),
        (json!({ "int": { "$unset": true } }), Changes::new().unset("int")),
        (json!({ "int": { "$set": 3 } }), Changes::new().set("int", 3)),
        (
            json!({ "$set": { "string": "x" }, "$inc": { "int": 1 }, "$unset": { "json": true } }),
            Changes::new().increment("int", 1).set("string", "x").unset("json"),
        ),
        (json!({ "json": { "a": 1 } }), Changes::new().set("json", json!({ "a": 1 }))),
        (
            json!({ "$set": { "json": { "$inc": 1 } } }),
            Changes::new().set("json", json!({ "$inc": 1 })),
        ),
        (json!({ "any": { "$bytes": "AA==" } }), Changes::new().set("any", vec![0_u8])),
        (json!({}), Changes::new()),
    ] {
        assert_eq!(c.changes_from_json(&json).unwrap(), changes, "{json}");
    }
}

#[test]
fn queries_are_read_as_they_are_meant() {
    let c = collection();
    let options = json!({
        "order": [["int", "desc"], "string", ["at", "asc"]], "limit": 5, "skip": 2, "fields": ["int", "id"],
    });
    let expected = Query::new("object")
        .filter(field("int").gt(1))
        .order_by("int", Direction::Descending)
        .order_by("string", Direction::Ascending)
        .order_by("at", Direction::Ascending)
        .limit(5)
        .offset(2)
        .select(["int", "id"]);
    let filter = json!({ "int": { "$gt": 1 } });
    assert_eq!(c.query_from_json(&filter, &options, &registry()).unwrap(), expected);
    assert_eq!(
        c.query_from_json(&json!({}), &Json::Null, &registry()).unwrap(),
        Query::new("object")
    );
}

/// Every operator that the system before knew and this one does not is refused, wherever it stands.
#[test]
fn operators_of_others_are_refused() {
    let c = collection();
    for operator in [
        "$regex", "$text", "$where", "$ge", "$le", "$like", "$near", "$type", "$mod", "$", "$GT",
        "eq",
    ] {
        for json in [
            json!({ "int": { operator: 1, "$gt": 0 } }),
            json!({ "int": { "$gt": 0, operator: 1 } }),
            json!({ "$and": [{ "int": { "$gt": 0, operator: 1 } }] }),
        ] {
            let error = c.filter_from_json(&json, &registry()).unwrap_err();
            assert!(error.to_string().contains(operator), "{json}: {error}");
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
        let error = c.changes_from_json(&json!({ operator: { "int": 1 } })).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{operator}: {error}");
    }
    for operator in ["$push", "$rename", "$pop", "$slice", "$sort", "$bit", "$currentDate"] {
        for json in [json!({ "int": { operator: 1 } }), json!({ operator: { "int": 1 } })] {
            let error = c.changes_from_json(&json).unwrap_err();
            assert!(error.to_string().contains(operator), "{json}: {error}");
        }
    }
}

#[test]
fn keys_are_read_from_objects() {
    let definition = Definition::new("person")
        .field("firstName", FieldType::String)
        .field("lastName", FieldType::String)
        .primary_key(["lastName", "firstName"]);
    let registry = Registry::builder().collection(definition).build().unwrap();
    let person = registry.collection("person").unwrap();
    let object = json!({ "firstName": "Jane", "lastName": "Doe", "age": "not looked at" });
    let key = person.key_from_json(object.as_object().unwrap()).unwrap();
    assert_eq!(key, Key::compound(["Doe".into(), "Jane".into()]));
    let record = person.record_from_json(
        Timestamp(0),
        json!({ "firstName": "Jane", "lastName": "Doe" }).as_object().unwrap(),
    );
    assert_eq!(person.key_of(&record.unwrap()), key);
    for missing in
        [json!({ "firstName": "Jane" }), json!({ "firstName": "Jane", "lastName": null })]
    {
        let result = person.key_from_json(missing.as_object().unwrap());
        assert!(
            matches!(&result, Err(Error::MissingField { field, .. }) if &**field == "lastName")
        );
    }
}

/// Base64 that happens to be 32 hexadecimal digits is base64; a UUID has hyphens.
#[test]
fn bytes_of_a_key_are_not_taken_for_a_uuid() {
    let c = collection();
    let field = &c.fields()[c.position("keyBytes").unwrap()];
    let text = "00112233445566778899aabbccddeeff";
    let value = c.value_from_json(field, &json!(text)).unwrap();
    assert_eq!(value.as_bytes().unwrap().len(), 24);
    assert_eq!(c.value_to_json(field, &value), json!(text));
    let uuid = "00112233-4455-6677-8899-aabbccddeeff";
    let value = c.value_from_json(field, &json!(uuid)).unwrap();
    assert_eq!(value.as_bytes().unwrap().len(), 16);
    assert_eq!(c.value_to_json(field, &value), json!(uuid));
    assert!(c.value_from_json(field, &json!("neither!")).is_err());
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,20}", any::<String>(), Just("2026-11-20T12:00:00Z".to_owned())]
}

fn any_float() -> impl Strategy<Value = f64> {
    use proptest::num::f64;
    f64::NORMAL | f64::SUBNORMAL | f64::ZERO | f64::INFINITE | f64::POSITIVE | f64::NEGATIVE
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any_float().prop_filter("JSON has no infinity", |it| it.is_finite()).prop_map(Json::from),
        any_text().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(prop_oneof![inner.clone(), Just(Json::Null)], 0..4)
                .prop_map(Json::from),
            proptest::collection::btree_map(any_text(), inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// A value that the field takes, in the form in which it is stored.
fn value_for(field_type: &FieldType) -> BoxedStrategy<Value> {
    let texts = any_text().prop_map(Value::from).boxed();
    let bytes = any::<Vec<u8>>().prop_map(Value::from).boxed();
    let ints = any::<i64>().prop_map(Value::from).boxed();
    let floats = any_float().prop_map(Value::from).boxed();
    match field_type {
        FieldType::Json => any_json().prop_map(Value::Json).boxed(),
        FieldType::DateTime | FieldType::Timestamp => {
            prop_oneof![any::<i64>(), -377_705_116_800_000..253_402_300_800_000_i64,]
                .prop_map(|ms| Value::from(Timestamp(ms)))
                .boxed()
        }
        FieldType::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        FieldType::Float => floats,
        FieldType::Int | FieldType::ForeignKey(KeyFormat::Int) => ints,
        FieldType::Blob | FieldType::Binary | FieldType::Media => bytes,
        FieldType::ForeignKey(KeyFormat::Bytes) => {
            prop_oneof![bytes, any::<[u8; 16]>().prop_map(|it| Value::from(it.to_vec()))].boxed()
        }
        FieldType::Dynamic(_) => prop_oneof![texts, bytes, ints, floats].boxed(),
        _ => texts,
    }
}

fn object() -> impl Strategy<Value = Vec<Value>> {
    let fields: Vec<_> = types()
        .iter()
        .map(|(_, field_type)| {
            prop_oneof![6 => value_for(field_type), 1 => Just(Value::Null)].boxed()
        })
        .collect();
    fields
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Through JSON, through JSON as text, and back: the same value of the same kind.
    #[test]
    fn every_value_comes_back(values in object()) {
        let c = collection();
        let mut all = vec![Value::from("key")];
        all.extend(values);
        let mut record = storex_core::Record::new(all.clone());
        c.check_record(&mut record).unwrap();
        prop_assert_eq!(record.values(), &all[..], "the check changes a value that fits");
        let positions: Vec<usize> = (0..c.fields().len()).collect();
        let json = Json::Object(c.record_to_json(&positions, &record));
        let text = json.to_string();
        let json: Json = serde_json::from_str(&text).unwrap();
        let mut back = c.record_from_json(Timestamp(0), json.as_object().unwrap()).unwrap();
        c.check_record(&mut back).unwrap();
        prop_assert_eq!(back, record, "{}", text);
    }

    /// A filter for a value in JSON matches the object that has the value.
    #[test]
    fn a_filter_in_json_finds_the_object(values in object()) {
        let c = collection();
        let mut all = vec![Value::from("key")];
        all.extend(values);
        let record = storex_core::Record::new(all);
        for (at, field) in c.fields().iter().enumerate() {
            let json = json!({ &*field.name: { "$eq": c.value_to_json(field, record.get(at)) } });
            let mut filter = c.filter_from_json(&json, &registry()).unwrap();
            filter.check(&c, &registry()).unwrap();
            prop_assert!(filter.matches(&c, &record), "{json}");
            prop_assert!(!filter.negate().matches(&c, &record), "{json}");
        }
    }

    /// Whatever JSON comes as a filter, changes or options: read or refused, never a panic.
    #[test]
    fn nothing_in_json_panics(json in any_json()) {
        let (c, registry) = (collection(), registry());
        let _ = c.filter_from_json(&json, &registry);
        let _ = c.changes_from_json(&json);
        let _ = c.query_from_json(&json!({}), &json, &registry);
        for name in ["int", "json", "moment", "keyBytes", "any", "float"] {
            let _ = c.filter_from_json(&json!({ name: json }), &registry);
            let _ = c.filter_from_json(&json!({ name: { "$in": json } }), &registry);
            let _ = c.changes_from_json(&json!({ name: json }));
            let _ = c.changes_from_json(&json!({ "$inc": { name: json } }));
        }
    }
}

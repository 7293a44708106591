//! What lies in the database for other programs to see, and how it is read.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::json;
use storex_core::{
    Affinity, Backend, Batch, Definition, Direction, FieldOption, FieldType, Filter, KeyFormat,
    Query, Timestamp, Value, field,
};
use storex_indexeddb::IndexedDbBackend;
use support::js::{js, stored, stored_keys};
use support::{fresh_name, opened, record};
use wasm_bindgen_test::wasm_bindgen_test;

/// A collection with a field of each kind, all of them optional.
fn all_kinds() -> Definition {
    Definition::new("thing")
        .field("key", FieldType::String)
        .primary_key(["key"])
        .optional("int", FieldType::Int)
        .optional("float", FieldType::Float)
        .optional("yes", FieldType::Boolean)
        .optional("raw", FieldType::Binary)
        .optional("at", FieldType::Timestamp)
        .optional("data", FieldType::Json)
        .optional("any", FieldType::Dynamic(Affinity::Blob))
        .index(["int", "yes"])
}

const BEYOND: i64 = (1 << 53) + 1;

#[wasm_bindgen_test]
async fn objects_are_plain_javascript_objects_under_their_fields_names() {
    let name = fresh_name();
    let backend = opened(&name, [all_kinds()]).await;
    let nested = json!({"list": [1, 1.5, "x", null, true, {"deep": {}}], "__proto__": 1});
    let records = vec![
        record([
            "a".into(),
            5.into(),
            1.5.into(),
            true.into(),
            Value::Bytes(vec![0, 255]),
            Value::Timestamp(Timestamp(0)),
            Value::Json(nested.clone()),
            "text".into(),
        ]),
        record([
            "b".into(),
            BEYOND.into(),
            5.0.into(),
            false.into(),
            Value::Bytes(Vec::new()),
            Value::Timestamp(Timestamp(-1)),
            Value::Json(json!([5.0, 5, i64::MIN, u64::MAX])),
            5.0.into(),
        ]),
        record(["c".into()].into_iter().chain((0..7).map(|_| Value::Null))),
        record([
            "d".into(),
            i64::MIN.into(),
            f64::INFINITY.into(),
            Value::Null,
            Value::Null,
            Value::Timestamp(Timestamp(i64::MAX)),
            Value::Json(json!("text")),
            5.into(),
        ]),
    ];
    backend.execute(Batch::new().create("thing", records.clone())).await.unwrap();
    assert_eq!(
        stored(&name, "thing").await,
        [
            "{key: \"a\", int: number 5, float: number 1.5, yes: boolean true, raw: Uint8Array 0,255, \
             at: Date 1970-01-01T00:00:00.000Z, data: {__proto__: number 1, list: [number 1, number 1.5, \"x\", null, \
             boolean true, {deep: {}}]}, any: \"text\"}",
            "{key: \"b\", int: bigint 9007199254740993, float: number 5, yes: boolean false, raw: Uint8Array , \
             at: Date 1969-12-31T23:59:59.999Z, data: [Number object 5, number 5, bigint -9223372036854775808, \
             bigint 18446744073709551615], any: Number object 5}",
            "{key: \"c\", int: null, float: null, yes: null, raw: null, at: null, data: null, any: null}",
            "{key: \"d\", int: bigint -9223372036854775808, float: number Infinity, yes: null, raw: null, \
             at: bigint 9223372036854775807, data: \"text\", any: number 5}",
        ]
    );
    // And they come back as what they were: each value of the same kind.
    let query = || Query::new("thing").order_by("key", Direction::Ascending);
    assert_eq!(backend.find(query()).await.unwrap(), records);
    backend.close().await.unwrap();
    let backend = opened(&name, [all_kinds()]).await;
    assert_eq!(backend.find(query()).await.unwrap(), records);
}

#[wasm_bindgen_test]
async fn a_field_is_stored_under_its_columns_name() {
    let name = fresh_name();
    let column = [FieldOption::Column("inner".into())];
    let definition = Definition::new("thing").field_with("outer", FieldType::Int, column);
    let backend = opened(&name, [definition]).await;
    backend
        .execute(Batch::new().create("thing", vec![record(["k".into(), 1.into()])]))
        .await
        .unwrap();
    assert_eq!(stored(&name, "thing").await, ["{id: \"k\", inner: number 1}"]);
    let found = backend.find(Query::new("thing").filter(field("outer").eq(1))).await.unwrap();
    assert_eq!(found, [record(["k".into(), 1.into()])]);
}

#[wasm_bindgen_test]
async fn texts_and_bytes_are_keys_as_they_are() {
    let name = fresh_name();
    let text = Definition::new("text").field("k", FieldType::String).primary_key(["k"]);
    let bytes = Definition::new("bytes").key_format(KeyFormat::Bytes);
    let both = Definition::new("both")
        .field("t", FieldType::String)
        .field("b", FieldType::Binary)
        .primary_key(["t", "b"]);
    let backend = opened(&name, [text, bytes, both]).await;
    let raw = Value::Bytes(vec![7, 0]);
    let batch = Batch::new()
        .create("text", vec![record(["plain".into()])])
        .create("bytes", vec![record([raw.clone()])])
        .create("both", vec![record(["x".into(), raw])]);
    backend.execute(batch).await.unwrap();
    assert_eq!(stored_keys(&name, "text").await, ["\"plain\""]);
    assert_eq!(stored_keys(&name, "bytes").await, ["Uint8Array 7,0"]);
    // A key of several parts holds its bytes as a buffer.
    let body = "
        const db = await open(name);
        const [[text, raw]] = await answer(db.transaction('both').objectStore('both').getAllKeys());
        db.close();
        return `${text} ${[...new Uint8Array(raw)]}`";
    assert_eq!(js(&[("name", name.into())], body).await.as_string().unwrap(), "x 7,0");
}

#[wasm_bindgen_test]
async fn nulls_and_booleans_have_their_place_in_an_index() {
    let name = fresh_name();
    let backend = opened(&name, [all_kinds()]).await;
    let mut records = Vec::new();
    for (at, int) in [Value::Null, 1.into(), BEYOND.into()].into_iter().enumerate() {
        for yes in [Value::Null, false.into(), true.into()] {
            let key = format!("{at}-{yes:?}");
            let nulls = (0..5).map(|_| Value::Null);
            records.push(record(
                [key.into(), int.clone(), Value::Null, yes].into_iter().chain(nulls).take(8),
            ));
        }
    }
    backend.execute(Batch::new().create("thing", records.clone())).await.unwrap();
    let at = |filter: Filter| {
        let query = Query::new("thing").filter(filter).order_by("key", Direction::Ascending);
        let backend = &backend;
        async move {
            let count = backend.count(query.clone()).await.unwrap();
            let found = backend.find(query).await.unwrap();
            assert_eq!(count, found.len() as u64);
            found
                .iter()
                .map(|record| record.get(0).as_text().unwrap().to_owned())
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(at(field("int").is_null()).await, ["0-Bool(false)", "0-Bool(true)", "0-Null"]);
    assert_eq!(at(field("int").eq(BEYOND)).await, ["2-Bool(false)", "2-Bool(true)", "2-Null"]);
    assert_eq!(at(field("int").is_null().and(field("yes").is_null())).await, ["0-Null"]);
    assert_eq!(at(field("int").eq(1).and(field("yes").eq(true))).await, ["1-Bool(true)"]);
    assert_eq!(at(field("int").eq(1).and(field("yes").is_null())).await, ["1-Null"]);
    assert_eq!(at(field("int").gt(1)).await, ["2-Bool(false)", "2-Bool(true)", "2-Null"]);
    assert_eq!(at(field("int").lte(1)).await, ["1-Bool(false)", "1-Bool(true)", "1-Null"]);
    assert_eq!(
        at(field("int").is_in([Value::Null, 1.into()]).and(field("yes").eq(false))).await.len(),
        2
    );
}

/// Texts whose order by UTF-16, IndexedDB's own, is another one than by code points.
const TEXTS: [&str; 10] = [
    "",
    "a",
    "a\u{7f}",
    "a\u{d7ff}",
    "a\u{e000}",
    "a\u{fffd}",
    "a\u{ffff}",
    "a\u{10000}",
    "a\u{1f600}z",
    "b",
];

async fn with_texts(name: &str) -> IndexedDbBackend {
    let text = Definition::new("text")
        .field("k", FieldType::String)
        .field("v", FieldType::String)
        .primary_key(["k"])
        .index(["v"]);
    let backend = opened(name, [text]).await;
    let records = TEXTS.iter().rev().map(|text| record([(*text).into(), (*text).into()])).collect();
    backend.execute(Batch::new().create("text", records)).await.unwrap();
    backend
}

#[wasm_bindgen_test]
async fn texts_are_ordered_by_code_points_everywhere() {
    let backend = with_texts(&fresh_name()).await;
    let found = async |query: Query| {
        let found = backend.find(query).await.unwrap();
        found.iter().map(|record| record.get(0).as_text().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for by in ["k", "v"] {
        let up = Query::new("text").order_by(by, Direction::Ascending);
        let down = Query::new("text").order_by(by, Direction::Descending);
        assert_eq!(found(up.clone()).await, TEXTS);
        let mut reversed = TEXTS;
        reversed.reverse();
        assert_eq!(found(down.clone()).await, reversed);
        for (at, text) in TEXTS.iter().enumerate() {
            let range = |filter: Filter| found(up.clone().filter(filter));
            assert_eq!(range(field(by).lt(*text)).await, TEXTS[..at], "{by} < {text:?}");
            assert_eq!(range(field(by).lte(*text)).await, TEXTS[..=at], "{by} <= {text:?}");
            assert_eq!(range(field(by).gt(*text)).await, TEXTS[at + 1..], "{by} > {text:?}");
            assert_eq!(range(field(by).gte(*text)).await, TEXTS[at..], "{by} >= {text:?}");
            assert_eq!(found(up.clone().limit(at as u64)).await, TEXTS[..at]);
            assert_eq!(found(down.clone().limit(at as u64)).await, reversed[..at]);
        }
    }
}

#[wasm_bindgen_test]
async fn pages_of_one_meet_every_text_once() {
    let backend = with_texts(&fresh_name()).await;
    for (by, direction) in [
        ("k", Direction::Ascending),
        ("k", Direction::Descending),
        ("v", Direction::Ascending),
        ("v", Direction::Descending),
    ] {
        let mut met = Vec::new();
        let mut query = Query::new("text").order_by(by, direction).limit(1);
        let registry = support::registry([Definition::new("text")
            .field("k", FieldType::String)
            .field("v", FieldType::String)
            .primary_key(["k"])]);
        let collection = registry.collection("text").unwrap();
        while let Some(last) = backend.find(query.clone()).await.unwrap().pop() {
            met.push(last.get(0).as_text().unwrap().to_owned());
            query = query.clone().after(query.position_of(collection, &last));
            assert!(met.len() <= TEXTS.len(), "{met:?}");
        }
        if direction == Direction::Descending {
            met.reverse();
        }
        assert_eq!(met, TEXTS, "{by} {direction:?}");
    }
}

//! Databases that were there before storex.
#![cfg(target_family = "wasm")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arc_with_non_send_sync
)]

#[path = "adoption/by_hand.rs"]
mod by_hand;
#[path = "adoption/oracle.rs"]
mod oracle;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use by_hand::{dump, js, outline};
use serde_json::json;
use storex_core::{
    Affinity, AutoPk, Definition, Error, ErrorKind, FieldType, KeyFormat, KeyGenerator, Query,
    Registry, Storage, Value, WebRuntime,
};
use storex_indexeddb::{Adoption, IndexedDbBackend, adopt};
use wasm_bindgen_test::wasm_bindgen_test;

async fn open(name: &str, definitions: Vec<Definition>) -> Storage {
    let registry = Registry::builder().collections(definitions).build().unwrap();
    let backend = IndexedDbBackend::open(name).unwrap();
    Storage::builder(backend, registry, Arc::new(WebRuntime)).open().await.unwrap()
}

fn registry(adoption: &Adoption) -> Registry {
    Registry::builder().collections(adoption.definitions.clone()).build().unwrap()
}

/// Type and whether it is optional, by field; the key's fields; the indices, and whether they are unique.
type Shape = (BTreeMap<String, (FieldType, bool)>, Vec<String>, Vec<(String, bool)>);

fn shape(registry: &Registry, name: &str) -> Shape {
    let collection = registry.collection(name).unwrap();
    let fields = collection
        .fields()
        .iter()
        .map(|it| (it.name.to_string(), (it.field_type.clone(), it.nullable)));
    let key = collection.primary_key().iter().map(|at| collection.fields()[*at].name.to_string());
    let indices = collection.indices().iter().map(|it| (collection.index_label(it), it.unique));
    (fields.collect(), key.collect(), indices.collect())
}

fn noted<'a>(adoption: &'a Adoption, store: &str, subject: &str) -> &'a str {
    let found = adoption
        .notes
        .iter()
        .find(|it| it.store == store && it.subject.as_deref() == Some(subject));
    found.map_or("", |it| it.text.as_str())
}

const SHAPES: &str = r#"
await make(7, db => {
    const auto = db.createObjectStore('auto', { keyPath: 'id', autoIncrement: true });
    auto.createIndex('whatever', ['name', 'age']);
    auto.createIndex('name', 'name', { unique: true });
    auto.createIndex('tags', 'tags', { multiEntry: true });
    auto.createIndex('deep', 'address.city');
    auto.createIndex('flag', 'flag');
    auto.createIndex('absent', 'absent');
    db.createObjectStore('beside');
    db.createObjectStore('numbered', { autoIncrement: true });
    db.createObjectStore('compound', { keyPath: ['b', 'a'] });
    db.createObjectStore('dates', { keyPath: 'at' });
    db.createObjectStore('empty', { keyPath: 'id' }).createIndex('by size', 'size');
    db.createObjectStore('nested', { keyPath: 'a.b' });
    db.createObjectStore('itself', { keyPath: '' });
    db.createObjectStore('arrays', { keyPath: 'id' });
    db.createObjectStore('texts');
    db.createObjectStore('odd', { keyPath: 'id' });
    db.createObjectStore('_storex_log');
});
await change(['auto', 'beside', 'numbered', 'compound', 'dates', 'nested', 'arrays', 'texts', 'odd'],
    (auto, beside, numbered, compound, dates, nested, arrays, texts, odd) => {
    auto.add({ name: 'a', age: 1, score: 1, flag: true, born: new Date(5), raw: new Uint8Array([1, 2]), tags: ['x'],
        address: { city: 'Z' }, mixed: 'text', loose: 1, nothing: null });
    auto.add({ name: 'b', age: 2, score: 1.5, flag: false, born: new Date(6), raw: new ArrayBuffer(1), tags: [],
        address: { city: 'Y', at: new Date(0) }, mixed: 5, loose: 'x', later: 1, $odd: 1 });
    auto.add({ name: 'c', age: null, score: 2, flag: true, born: new Date(7), raw: new Uint8Array(), tags: ['x', 'y'],
        address: { city: 'X' }, mixed: 2.5, loose: { a: 1 } });
    beside.put({ key: 'mine', v: 1 }, 'k1');
    beside.put({ Key: 'mine', v: 2 }, 'k2');
    numbered.add({ v: 1 });
    compound.put({ a: 1, b: 'x', v: true });
    dates.put({ at: new Date(9), v: 1 });
    nested.put({ a: { b: 1 } });
    arrays.put({ id: [1, 2] });
    texts.put('a text', 'k');
    odd.put({ id: 1, nan: NaN, big: 5n, map: new Map(), floats: new Float32Array(2), half: '\ud800', constructor: 1, '': 1,
        ID: 1, ok: 'ok', bytesOr: new Uint8Array(1), never: new Date(NaN), deep: { x: new Map() } });
    odd.put({ id: 2, bytesOr: true, ok: null });
});
"#;

#[wasm_bindgen_test]
async fn stores_of_all_shapes_become_definitions() {
    let name = support::fresh_name();
    js(&name, SHAPES, "").await;
    let adoption = adopt(&name).await.unwrap();
    let registry = registry(&adoption);
    let names: Vec<&str> = registry.collections().iter().map(|it| &**it.name()).collect();
    assert_eq!(names, ["auto", "beside", "compound", "dates", "empty", "numbered", "odd"]);
    assert!(registry.collections().iter().all(|it| it.is_adopted()));
    let any = FieldType::Dynamic(Affinity::Blob);

    let (fields, key, indices) = shape(&registry, "auto");
    let expected = [
        ("id", FieldType::AutoPk(KeyFormat::Int), false),
        ("name", FieldType::String, false),
        ("age", FieldType::Int, true),
        ("score", FieldType::Float, false),
        ("flag", FieldType::Boolean, false),
        ("born", FieldType::DateTime, false),
        ("raw", FieldType::Binary, false),
        ("tags", FieldType::Json, false),
        ("address", FieldType::Json, false),
        ("mixed", any.clone(), false),
        ("loose", FieldType::Json, false),
        ("nothing", any.clone(), true),
        ("later", FieldType::Int, true),
        ("absent", any.clone(), true),
        ("_$odd", FieldType::Int, true),
    ];
    assert_eq!(
        fields,
        expected.map(|(name, kind, optional)| (name.to_owned(), (kind, optional))).into()
    );
    assert_eq!(key, ["id"]);
    assert_eq!(
        indices,
        [("absent".into(), false), ("name".into(), true), ("name, age".into(), false)]
    );

    let (fields, key, _) = shape(&registry, "beside");
    assert_eq!(key, ["key_"]);
    assert_eq!(fields["key_"], (FieldType::String, false));
    assert_eq!(shape(&registry, "numbered").0["key"].0, FieldType::AutoPk(KeyFormat::Int));
    assert_eq!(shape(&registry, "compound").1, ["b", "a"]);
    assert_eq!(shape(&registry, "dates").0["at"], (FieldType::DateTime, false));
    let (fields, _, indices) = shape(&registry, "empty");
    assert_eq!(fields, [("id".into(), (any.clone(), false)), ("size".into(), (any, true))].into());
    assert_eq!(indices, [("size".into(), false)]);
    assert_eq!(shape(&registry, "odd").0.keys().collect::<Vec<_>>(), ["id", "ok"]);
}

#[wasm_bindgen_test]
async fn what_is_left_out_is_named_with_the_reason() {
    let name = support::fresh_name();
    js(&name, SHAPES, "").await;
    let adoption = adopt(&name).await.unwrap();
    let left_out: BTreeMap<&str, &str> =
        adoption.left_out.iter().map(|it| (it.store.as_str(), it.reason.as_str())).collect();
    assert_eq!(
        left_out.keys().copied().collect::<Vec<_>>(),
        ["arrays", "itself", "nested", "texts"]
    );
    assert!(left_out["nested"].contains("`a.b`"), "{left_out:?}");
    assert!(left_out["arrays"].contains("arrays"), "{left_out:?}");
    assert!(left_out["texts"].contains("a string"), "{left_out:?}");
    assert!(left_out["itself"].contains("itself"), "{left_out:?}");

    for (subject, word) in [
        ("tags", "multiEntry"),
        ("deep", "address.city"),
        ("flag", "no keys"),
        ("id", "Int53"),
        ("$odd", "_$odd"),
    ] {
        assert!(
            noted(&adoption, "auto", subject).contains(word),
            "{subject}: {:?}",
            adoption.notes
        );
    }
    let odd = [
        ("nan", "NaN"),
        ("big", "bigint"),
        ("map", "Map"),
        ("floats", "Float32Array"),
        ("half", "surrogate"),
        ("constructor", "every object"),
        ("", "empty"),
        ("ID", "case"),
        ("bytesOr", "bytes"),
        ("never", "date"),
        ("deep", "Map"),
    ];
    for (subject, word) in odd {
        assert!(noted(&adoption, "odd", subject).contains(word), "{subject}: {:?}", adoption.notes);
    }
}

#[wasm_bindgen_test]
async fn a_database_that_is_not_there_is_not_made() {
    let name = support::fresh_name();
    let error = adopt(&name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(&name), "{error}");
    let there =
        js(&name, "return (await indexedDB.databases()).some(it => it.name === name)", "").await;
    assert_eq!(there, false);
}

#[wasm_bindgen_test]
async fn adopting_and_opening_change_nothing_of_theirs() {
    let name = support::fresh_name();
    js(&name, SHAPES, "").await;
    let stores = ["auto", "beside", "numbered", "compound", "dates", "odd", "texts", "nested"];
    let mut before = Vec::new();
    for store in stores {
        before.push(dump(&name, store).await);
    }
    let adoption = adopt(&name).await.unwrap();
    let (version, there) = outline(&name).await;
    assert_eq!(version, 7.0);
    let storage = open(&name, adoption.definitions.clone()).await;
    storage.close().await.unwrap();
    // Opening once more changes nothing at all.
    open(&name, adoption.definitions).await.close().await.unwrap();
    for (store, before) in stores.into_iter().zip(before) {
        assert_eq!(dump(&name, store).await, before, "{store}");
    }
    assert_eq!(outline(&name).await, (8.0, there));
}

#[wasm_bindgen_test]
async fn objects_are_read_and_written_as_the_other_program_has_them() {
    let name = support::fresh_name();
    js(&name, SHAPES, "").await;
    let storage = open(&name, adopt(&name).await.unwrap().definitions).await;
    let auto = storage.dynamic("auto").unwrap();
    let first = auto.get(1).await.unwrap().unwrap();
    assert_eq!(first["score"], json!(1.0));
    assert_eq!(first["born"], json!("1970-01-01T00:00:00.005Z"));
    assert_eq!((&first["tags"], &first["later"]), (&json!(["x"]), &json!(null)));
    let untouched = dump(&name, "auto").await;

    auto.update(
        &json!({"id": 2}),
        &json!({"$set": {"age": 9, "address": {"n": 5.0}, "score": 7.0}}),
    )
    .await
    .unwrap();
    let after = dump(&name, "auto").await;
    let expected = untouched[1]
        .replace("\"age\":2", "\"age\":9")
        .replace("\"score\":1.5", "\"score\":7")
        .replace("{\"city\":\"Y\",\"at\":<date 0>}", "{\"n\":5}");
    assert_eq!(after, [untouched[0].clone(), expected, untouched[2].clone()]);

    // What storex does not know stays.
    storage
        .dynamic("odd")
        .unwrap()
        .update(&json!({"id": 1}), &json!({"$set": {"ok": "new"}}))
        .await
        .unwrap();
    let odd = dump(&name, "odd").await;
    assert!(
        odd[0].contains("\"nan\":NaN,\"big\":<5n>,\"map\":<map >,\"floats\":<Float32Array 0,0>"),
        "{odd:?}"
    );
    assert!(odd[0].contains("\"ok\":\"new\""), "{odd:?}");

    // A new object has what it was given, and nothing else.
    let object = json!({"key_": "k3", "v": 3});
    storage.dynamic("beside").unwrap().create(object).await.unwrap();
    assert_eq!(dump(&name, "beside").await[2], "\"k3\" {\"v\":3}");
    storage
        .dynamic("compound")
        .unwrap()
        .create(json!({"b": "w", "a": 2, "v": false}))
        .await
        .unwrap();
    assert_eq!(dump(&name, "compound").await[0], "[\"w\",2] {\"b\":\"w\",\"a\":2,\"v\":false}");
    storage
        .dynamic("dates")
        .unwrap()
        .delete(&json!({"at": "1970-01-01T00:00:00.009Z"}))
        .await
        .unwrap();
    assert_eq!(dump(&name, "dates").await, Vec::<String>::new());
    storage.close().await.unwrap();
}

#[wasm_bindgen_test]
async fn their_unique_indices_hold_whatever_they_are_called() {
    let name = support::fresh_name();
    js(&name, SHAPES, "").await;
    let definitions = adopt(&name).await.unwrap().definitions;
    let registry = Registry::builder().collections(definitions).build().unwrap();
    let backend = IndexedDbBackend::open(&*name).unwrap();
    let keys = AutoPk::new().with("auto", KeyGenerator::Int53);
    let storage = Storage::builder(backend, registry, Arc::new(WebRuntime))
        .middleware(keys)
        .open()
        .await
        .unwrap();
    let auto = storage.dynamic("auto").unwrap();
    let object = |name: &str| json!({"name": name, "score": 1, "flag": true, "born": 0, "raw": "", "tags": [], "address": {}, "mixed": 1, "loose": 1});
    let error = auto.create(object("b")).await.unwrap_err();
    assert!(matches!(&error, Error::UniqueViolation { index, .. } if index == "name"), "{error}");
    let made = auto.create(object("d")).await.unwrap();
    assert!(made["id"].as_i64().unwrap() > 1_000_000);
    // Their own counter goes on behind it.
    js(&name, "await change(['auto'], auto => { auto.add({ name: 'e' }) })", "").await;
    assert_eq!(storage.count(Query::new("auto")).await.unwrap(), 5);
    storage.close().await.unwrap();
}

#[wasm_bindgen_test]
async fn an_index_that_is_gone_is_named() {
    let name = support::fresh_name();
    js(&name, SHAPES, "").await;
    let definitions = adopt(&name).await.unwrap().definitions;
    js(&name, "await make(8, (db, transaction) => transaction.objectStore('auto').deleteIndex('whatever'))", "").await;
    let registry = Registry::builder().collections(definitions).build().unwrap();
    let backend = IndexedDbBackend::open(&*name).unwrap();
    let opened = Storage::builder(backend, registry, Arc::new(WebRuntime)).open().await;
    let error = opened.unwrap_err();
    assert!(
        matches!(&error, Error::SchemaMismatch { collection, reason } if &**collection == "auto" && reason.contains("name, age")),
        "{error}"
    );
    assert_eq!(outline(&name).await.0, 8.0, "nothing was changed");
}

#[wasm_bindgen_test]
async fn what_is_written_past_storex_is_found_or_named() {
    let name = support::fresh_name();
    js(&name, SHAPES, "").await;
    let storage = open(&name, adopt(&name).await.unwrap().definitions).await;
    // Without properties that all objects had, and so in none of the indices.
    js(
        &name,
        "await change(['auto'], auto => { auto.add({ name: 'e' }); auto.add({ age: 3 }) })",
        "",
    )
    .await;
    let all = Query::new("auto").order_by("name", storex_core::Direction::Ascending);
    let names: Vec<Value> =
        storage.find(all).await.unwrap().iter().map(|it| it.get(1).clone()).collect();
    assert_eq!(names, [Value::Null, "a".into(), "b".into(), "c".into(), "e".into()]);
    js(&name, "await change(['auto'], auto => { auto.add({ name: 6 }) })", "").await;
    let error = storage.find(Query::new("auto")).await.unwrap_err();
    assert!(error.to_string().contains("`name` holds a number"), "{error}");
    storage.close().await.unwrap();
}

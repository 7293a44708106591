//! Rubbish that others have written into a database of ours: a clear error, and what is there stays as it is.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use storex_core::{
    Backend, Batch, Changes, Definition, ErrorKind, FieldType, Filter, Query, Value,
};
use storex_indexeddb::IndexedDbBackend;
use support::js::{js, snapshot};
use support::{fresh_name, opened, record, registry};
use wasm_bindgen_test::wasm_bindgen_test;

fn note() -> Definition {
    Definition::new("note")
        .field("key", FieldType::String)
        .primary_key(["key"])
        .optional("n", FieldType::Int)
        .optional("at", FieldType::Timestamp)
        .optional("data", FieldType::Json)
        .index(["n"])
}

/// Writes the value of a JavaScript expression into a store, past storex.
async fn put(database: &str, store: &str, value: &str, key: &str) {
    let key = if key.is_empty() { String::new() } else { format!(", '{key}'") };
    let body = format!(
        "const db = await open(database);
        await answer(db.transaction('{store}', 'readwrite').objectStore('{store}').put({value}{key}));
        db.close();"
    );
    js(&[("database", database.into())], &body).await;
}

#[wasm_bindgen_test]
async fn a_value_that_is_no_value_of_its_field_is_named_and_stops_nothing_else() {
    let circle = "(() => { const data = []; data.push(data); return { key: 'bad', data }; })()";
    for (value, field) in [
        ("{ key: 'bad', n: 'text' }", "n"),
        ("{ key: 'bad', n: 0.5 }", "n"),
        ("{ key: 'bad', n: 2n ** 80n }", "n"),
        ("{ key: 'bad', at: new Date(NaN) }", "at"),
        ("{ key: 'bad', at: '2026-11-21' }", "at"),
        ("{ key: 'bad', data: new Map([[1, 2]]) }", "data"),
        ("{ key: 'bad', data: { deep: NaN } }", "data"),
        ("{ key: 'bad', data: '\\ud800' }", "data"),
        (circle, "data"),
    ] {
        let name = fresh_name();
        let backend = opened(&name, [note()]).await;
        let good = record(["good".into(), 1.into(), Value::Null, Value::Null]);
        backend.execute(Batch::new().create("note", vec![good.clone()])).await.unwrap();
        put(&name, "note", value, "").await;

        let everything = backend.find(Query::new("note")).await.unwrap_err();
        assert_eq!(everything.kind(), ErrorKind::Corrupt, "{value}: {everything}");
        assert!(everything.to_string().contains(&format!("`{field}`")), "{value}: {everything}");
        let all = Batch::new().update("note", Filter::All, Changes::new().set("n", 2));
        assert_eq!(backend.execute(all).await.unwrap_err().kind(), ErrorKind::Corrupt, "{value}");
        // Nor has the update changed what it came to first.
        let one = Query::new("note").filter(Filter::key("good"));
        assert_eq!(backend.find(one).await.unwrap(), [good], "{value}");
        let change = Batch::new().update("note", Filter::key("good"), Changes::new().set("n", 3));
        backend.execute(change).await.unwrap();
    }
}

#[wasm_bindgen_test]
async fn rubbish_in_the_store_of_our_own_makes_and_loses_nothing() {
    let version = |version: &str| format!("{{ version: {version}, stores: '{{}}' }}");
    for row in [
        "'text'".to_owned(),
        "7".to_owned(),
        "{}".to_owned(),
        "{ version: 1, stores: 'no JSON' }".to_owned(),
        "{ version: 1, stores: { note: 1 } }".to_owned(),
        version("-1"),
        version("NaN"),
        version("1e300"),
        version("'one'"),
    ] {
        let name = fresh_name();
        let backend = opened(&name, [note()]).await;
        let good = record(["good".into(), 1.into(), Value::Null, Value::Null]);
        backend.execute(Batch::new().create("note", vec![good])).await.unwrap();
        backend.close().await.unwrap();
        put(&name, "_storex_indexeddb", &row, "schema").await;
        let before = snapshot(&name).await;

        let backend = IndexedDbBackend::open(&*name).unwrap();
        let error = backend.open(registry([note()])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{row}: {error}");
        assert_eq!(snapshot(&name).await, before, "{row}");
    }
}

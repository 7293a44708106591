//! Prints the content of an existing SQLite database, to be brought where there is no SQLite:
//!
//! ```text
//! storex-e2e-export FILE
//! {"collections": [{"name", "fields": [[name, type, nullable]..], "key": [..], "indices": [[fields, unique]..], "rows": [[..]..]}]}
//! ```
//!
//! Integers and floats are objects with a text (`{"i": "1"}`, `{"f": "0.5"}`), bytes too (`{"b": "00ff"}`), so that nothing
//! is lost in JSON.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use storex_core::{
    Affinity, Collection, FieldType, Query, Record, Registry, Storage, TokioRuntime, Value,
};
use storex_sqlite::SqliteBackend;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("which database file?")?;
    let adoption = storex_sqlite::adopt(&file)?;
    let registry = Registry::builder().collections(adoption.definitions).build()?;
    let backend = SqliteBackend::open(file)?;
    let storage = Storage::builder(backend, registry, Arc::new(TokioRuntime)).open().await?;
    let mut collections = Vec::new();
    for collection in storage.registry().collections() {
        let rows = storage.find(Query::new(collection.name().clone()).limit(u64::MAX)).await?;
        collections.push(exported(collection, &rows));
    }
    storage.close().await?;
    let exported = json!({ "collections": collections });
    Ok(std::io::stdout().write_all(exported.to_string().as_bytes())?)
}

fn exported(collection: &Collection, rows: &[Record]) -> Json {
    let name = |at: &usize| collection.fields()[*at].name.to_string();
    let fields = collection.fields().iter();
    json!({
        "name": collection.name().to_string(),
        "fields": fields.map(|it| json!([&*it.name, kind(&it.field_type), it.nullable])).collect::<Vec<_>>(),
        "key": collection.primary_key().iter().map(name).collect::<Vec<_>>(),
        "indices": collection
            .indices()
            .iter()
            .map(|index| json!([index.fields.iter().map(name).collect::<Vec<_>>(), index.unique]))
            .collect::<Vec<_>>(),
        "rows": rows.iter().map(|row| row.values().iter().map(value).collect()).collect::<Vec<Json>>(),
    })
}

fn kind(field_type: &FieldType) -> &'static str {
    match field_type {
        FieldType::Dynamic(Affinity::Text) => "text",
        FieldType::Dynamic(Affinity::Integer) => "integer",
        FieldType::Dynamic(Affinity::Real) => "real",
        FieldType::Dynamic(Affinity::Numeric) => "numeric",
        // What is adopted from SQLite is dynamic.
        _ => "blob",
    }
}

fn value(value: &Value) -> Json {
    match value {
        Value::Int(it) => json!({ "i": it.to_string() }),
        Value::Float(it) => json!({ "f": it.to_string() }),
        Value::Text(it) => json!(it),
        Value::Bytes(it) => {
            json!({ "b": it.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
        _ => Json::Null,
    }
}

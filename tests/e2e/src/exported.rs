//! The content of a database as JSON in which nothing is lost, to be brought where there is no SQLite:
//!
//! ```text
//! {"collections": [{"name", "fields": [[name, type, nullable]..], "key": [..], "indices": [[fields, unique]..], "rows": [[..]..]}]}
//! ```
//!
//! Integers and floats are objects with a text (`{"i": "1"}`, `{"f": "0.5"}`), bytes too (`{"b": "00ff"}`).

use rusqlite::types::ValueRef;
use serde_json::{Value as Json, json};
use storex_core::{Affinity, Collection, FieldType, Query, Record, Result, Storage, Value};

/// The application's collections and all that is in them, in the order of their keys.
///
/// # Errors
/// The storage's.
pub async fn exported(storage: &Storage) -> Result<Json> {
    let mut collections = Vec::new();
    for collection in storage.registry().collections().iter().filter(|it| !it.is_reserved()) {
        let rows = storage.find(Query::new(collection.name().clone()).limit(u64::MAX)).await?;
        collections.push(of_collection(collection, &rows));
    }
    Ok(json!({ "collections": collections }))
}

fn of_collection(collection: &Collection, rows: &[Record]) -> Json {
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
        Value::Bytes(it) => bytes(it),
        _ => Json::Null,
    }
}

/// A value as SQLite has it, in the same form.
#[must_use]
pub fn plain_value(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Integer(it) => json!({ "i": it.to_string() }),
        ValueRef::Real(it) => json!({ "f": it.to_string() }),
        ValueRef::Text(it) => json!(String::from_utf8_lossy(it)),
        ValueRef::Blob(it) => bytes(it),
        ValueRef::Null => Json::Null,
    }
}

fn bytes(bytes: &[u8]) -> Json {
    json!({ "b": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
}

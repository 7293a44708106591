//! [`copy`]: the content of another database, written and read back.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use storex_core::{
    Affinity, AutoPk, Batch, Definition, FieldOption, FieldType, Query, Record, Registry, Storage,
    Value, WebRuntime,
};
use storex_indexeddb::IndexedDbBackend;
use storex_sync::SyncLog;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::{Result, ToJs};

/// Writes what `storex-e2e-export` has printed into a database, opens it again, and gives what is there in the same form.
///
/// # Errors
/// What the storage cannot do, or what cannot be read in the text.
#[wasm_bindgen]
pub async fn copy(database: String, exported: String) -> Result<String> {
    let exported: Json = serde_json::from_str(&exported).to_js()?;
    let collections =
        exported["collections"].as_array().ok_or_else(|| JsError::new("no collections"))?;
    let storage = open(&database, collections).await?;
    for collection in collections {
        let name = text(&collection["name"])?;
        let rows = collection["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        for page in rows.chunks(1000) {
            let records = page.iter().map(record).collect::<Result<Vec<_>>>()?;
            storage.execute(Batch::new().create(name, records)).await.to_js()?;
        }
    }
    storage.close().await.to_js()?;
    let storage = open(&database, collections).await?;
    let mut read = Vec::new();
    for collection in collections {
        let mut collection = collection.clone();
        collection["rows"] = rows(&storage, text(&collection["name"])?).await?;
        read.push(collection);
    }
    storage.close().await.to_js()?;
    Ok(json!({ "collections": read }).to_string())
}

/// All that is in a collection, in the order of the keys.
pub(crate) async fn rows(storage: &Storage, collection: &str) -> Result<Json> {
    let rows = storage.find(Query::new(collection).limit(u64::MAX)).await.to_js()?;
    Ok(rows.iter().map(|row| row.values().iter().map(shown).collect::<Json>()).collect())
}

/// A database with the collections of an exported one.
pub(crate) async fn open(database: &str, collections: &[Json]) -> Result<Storage> {
    let definitions = collections.iter().map(definition).collect::<Result<Vec<_>>>()?;
    let registry = Registry::builder().collections(definitions).build().to_js()?;
    Storage::builder(IndexedDbBackend::open(database).to_js()?, registry, Arc::new(WebRuntime))
        .middleware(AutoPk::new())
        .middleware(SyncLog::new())
        .open()
        .await
        .to_js()
}

fn definition(collection: &Json) -> Result<Definition> {
    let mut definition = Definition::new(text(&collection["name"])?);
    for field in collection["fields"].as_array().into_iter().flatten() {
        let affinity = match text(&field[1])? {
            "text" => Affinity::Text,
            "integer" => Affinity::Integer,
            "real" => Affinity::Real,
            "numeric" => Affinity::Numeric,
            _ => Affinity::Blob,
        };
        let options =
            if field[2] == json!(true) { vec![FieldOption::Optional] } else { Vec::new() };
        definition = definition.field_with(text(&field[0])?, FieldType::Dynamic(affinity), options);
    }
    for index in collection["indices"].as_array().into_iter().flatten() {
        let fields = names(&index[0])?;
        definition = if index[1] == json!(true) {
            definition.unique(fields)
        } else {
            definition.index(fields)
        };
    }
    Ok(definition.primary_key(names(&collection["key"])?))
}

fn names(json: &Json) -> Result<Vec<&str>> {
    json.as_array().into_iter().flatten().map(text).collect()
}

fn text(json: &Json) -> Result<&str> {
    json.as_str().ok_or_else(|| JsError::new("not a text"))
}

fn record(row: &Json) -> Result<Record> {
    let values = row.as_array().into_iter().flatten().map(value).collect::<Result<Vec<_>>>()?;
    Ok(Record::new(values))
}

fn value(json: &Json) -> Result<Value> {
    if let Some(text) = json.as_str() {
        return Ok(Value::from(text));
    }
    if let Some(int) = json["i"].as_str() {
        return Ok(Value::Int(int.parse().to_js()?));
    }
    if let Some(float) = json["f"].as_str() {
        return Ok(Value::from(float.parse::<f64>().to_js()?));
    }
    if let Some(bytes) = json["b"].as_str() {
        let digits: Vec<char> = bytes.chars().collect();
        let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).to_js();
        return Ok(Value::Bytes(digits.chunks(2).map(byte).collect::<Result<_>>()?));
    }
    Ok(Value::Null)
}

fn shown(value: &Value) -> Json {
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

//! An application in two versions: what the second one makes of a database of the first is killed at any moment by the
//! scenario `kill-upgrade`.

use std::sync::Arc;

use storex_core::{AutoPk, Definition, FieldType, Migration, Registry, Storage, Value, WebRuntime};
use storex_indexeddb::IndexedDbBackend;
use storex_sync::SyncLog;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::device::Device;
use crate::error::{Result, ToJs};

/// Opens the database as the first or the second version of the application does.
///
/// # Errors
/// What the storage cannot be opened for.
#[wasm_bindgen]
pub async fn open_version(database: String, version: u32) -> Result<Device> {
    let registry = if version == 1 {
        Registry::builder().collections(first()).build()
    } else {
        let definitions = first().into_iter().chain(second());
        Registry::builder().collections(definitions).migrations(migrations()).build()
    };
    let backend = IndexedDbBackend::open(database).to_js()?;
    let storage = Storage::builder(backend, registry.to_js()?, Arc::new(WebRuntime))
        .middleware(AutoPk::new())
        .middleware(SyncLog::new())
        .open()
        .await
        .to_js()?;
    Ok(Device::over(storage))
}

fn first() -> Vec<Definition> {
    let people = Definition::new("people")
        .field("name", FieldType::String)
        .field("age", FieldType::String)
        .optional("fax", FieldType::String)
        .field("bio", FieldType::Text)
        .index(["name"]);
    let draft = Definition::new("draft").field("text", FieldType::Text);
    vec![people, visit(), draft]
}

fn second() -> Vec<Definition> {
    let person = Definition::new("person")
        .version(2)
        .field("full_name", FieldType::String)
        .field("age", FieldType::Int)
        .field("initial", FieldType::String)
        .field("bio", FieldType::Text)
        .index(["full_name"])
        .index(["age"])
        .index(["bio"]);
    vec![person, visit().version(2)]
}

fn visit() -> Definition {
    Definition::new("visit").field("number", FieldType::Int).unique(["number"])
}

/// A collection and its fields get other names and types, values of a unique index move from object to object, and a
/// collection goes.
fn migrations() -> [Migration; 3] {
    let person = Migration::new("person", 2)
        .renamed_from("people")
        .rename_field("name", "full_name")
        .remove_field("fax")
        .change(|person| {
            let age = person.get("age").and_then(Value::as_text).and_then(|it| it.parse().ok());
            person.insert("age".to_owned(), Value::Int(age.unwrap_or_default()));
            let name = person.get("full_name").and_then(Value::as_text).unwrap_or_default();
            let initial: String = name.chars().take(1).collect();
            person.insert("initial".to_owned(), initial.into());
            Ok(())
        });
    let visit = Migration::new("visit", 2).change(|visit| {
        let number = visit.get("number").and_then(Value::as_int).unwrap_or_default();
        visit.insert("number".to_owned(), Value::Int(number + 1));
        Ok(())
    });
    [person, visit, Migration::remove("draft", 2)]
}

//! The store of our own: which database this is, and which schema it has.
//!
//! The identity is the canary in the coal mine: browsers evict whole databases without a word, and one that is made anew
//! has another identity. An application that remembers it elsewhere (on its server, say) notices at once.

use std::collections::BTreeMap;
use std::fmt;

use js_sys::{Object, Reflect};
use storex_core::StoredSchema;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::IdbObjectStore;

use crate::raw::{DomError, Request};

/// The object store.
pub(crate) const OWN: &str = "_storex_indexeddb";

const IDENTITY: &str = "identity";
const SCHEMA: &str = "schema";
const FLUSHED: &str = "flushed";

/// Which database this is: drawn when it is made, and never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DatabaseId(pub [u8; 16]);

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is written down of the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// Its description; see [`storex_core::StoredSchema`].
    pub(crate) schema: Option<String>,
    /// Its version, …
    pub(crate) version: u64,
    /// … and the properties of each store's objects with the kind of each, where there is no description yet.
    pub(crate) stores: BTreeMap<String, BTreeMap<String, String>>,
}

/// What is written down of the schema.
pub(crate) async fn recorded(own: &IdbObjectStore) -> Result<Recorded, DomError> {
    let row = Request::of(own.get(&SCHEMA.into()))?.await?;
    let schema = property(&row, "schema").and_then(|schema| schema.as_string());
    let version = property(&row, "version").and_then(|version| version.as_f64());
    let stores =
        property(&row, "stores").and_then(|stores| serde_json::from_str(&stores.as_string()?).ok());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let version = version.unwrap_or_default() as u64;
    Ok(Recorded { schema, version, stores: stores.unwrap_or_default() })
}

/// The identity of the database, if it has one.
pub(crate) async fn read(own: &IdbObjectStore) -> Result<Option<DatabaseId>, DomError> {
    let row = Request::of(own.get(&IDENTITY.into()))?.await?;
    let id = property(&row, "id").and_then(|id| id.dyn_into::<js_sys::Uint8Array>().ok());
    Ok(id.and_then(|id| id.to_vec().try_into().ok()).map(DatabaseId))
}

/// Writes the schema, and an identity if there is none.
#[allow(clippy::cast_precision_loss)]
pub(crate) async fn write(
    own: &IdbObjectStore,
    schema: &StoredSchema,
    fresh: DatabaseId,
) -> Result<(), DomError> {
    let known = read(own).await?;
    // Beside the text for people who look into the database.
    let version = JsValue::from_f64(schema.version as f64);
    let row = object(&[("version", version), ("schema", schema.to_text().into())]);
    let mut last = own.put_with_key(&row, &SCHEMA.into());
    if known.is_none() {
        let id = js_sys::Uint8Array::from(fresh.0.as_slice());
        last = own.put_with_key(&object(&[("id", id.into())]), &IDENTITY.into());
    }
    Request::of(last)?.await.map(drop)
}

/// Writes something, so that a strict transaction has something to make safe.
pub(crate) async fn touch(own: &IdbObjectStore) -> Result<(), DomError> {
    Request::of(own.put_with_key(&object(&[]), &FLUSHED.into()))?.await.map(drop)
}

fn object(properties: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in properties {
        // A plain object refuses no property.
        let _ = Reflect::set(&object, &(*name).into(), value);
    }
    object
}

fn property(row: &JsValue, name: &str) -> Option<JsValue> {
    if row.is_object() { Reflect::get(row, &name.into()).ok() } else { None }
}

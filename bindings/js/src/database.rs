//! [`Database`]: a storage on IndexedDB, for the JavaScript in `lib/`.

use std::sync::Arc;

use js_sys::Function;
use serde_json::{Map, Value as Json, json};
use storex_core::{
    Batch, ChangeEvent, ChangeKind, ChangeSet, Continuation, Error, Key, Origin, Query, Registry,
    Step, StepOutcome, Storage, WebRuntime,
};
use storex_indexeddb::{Durability, IndexedDbBackend, Lost};
use storex_sync::SyncLog;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::batch;
use crate::error::{Result, ToJs, thrown};
use crate::exact::exact;
use crate::schema;
use crate::telling::{Subscription, call, tell};

/// A storage on IndexedDB: objects, filters, options and changes are JSON texts.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Database {
    pub(crate) storage: Storage,
    pub(crate) name: String,
}

#[wasm_bindgen]
impl Database {
    /// Opens the database of this name and brings it to the schema. `strict`: each commit waits for the disk. `lost` is called with a word
    /// when the browser takes the database away. `logged`: what is written is logged, for sync.
    ///
    /// # Errors
    /// What the schema is refused for; what the storage cannot be opened for.
    pub async fn open(
        name: String,
        schema: String,
        strict: bool,
        lost: Function,
        logged: bool,
    ) -> Result<Self> {
        let (registry, auto_pk) = schema::read(&schema)?;
        let durability = if strict { Durability::Strict } else { Durability::Relaxed };
        let backend = IndexedDbBackend::builder(name.clone())
            .durability(durability)
            .on_lost(move |why| call(&lost, &word_of(why).into()))
            .build()
            .to_js()?;
        let mut builder =
            Storage::builder(backend, registry, Arc::new(WebRuntime)).middleware(auto_pk);
        if logged {
            builder = builder.middleware(SyncLog::new());
        }
        Ok(Self { storage: builder.open().await.to_js()?, name })
    }

    /// Creates an object with its nested children, and gives it back with keys and defaults.
    ///
    /// # Errors
    /// The storage's.
    pub async fn create(&self, collection: String, object: String) -> Result<String> {
        let object = serde_json::from_str(&object).to_js()?;
        let dynamic = self.storage.dynamic(&collection).to_js()?;
        let created = dynamic.create(object).await.to_js()?;
        Ok(self.text_of(&collection, created))
    }

    /// Creates objects without children, all or none, and gives them back with keys and defaults.
    ///
    /// # Errors
    /// The storage's.
    pub async fn create_many(&self, collection: String, objects: String) -> Result<String> {
        let objects: Vec<Map<String, Json>> = serde_json::from_str(&objects).to_js()?;
        let schema = self.storage.registry().collection(&collection).to_js()?;
        let now = self.storage.runtime().now();
        let records = objects.iter().map(|object| schema.record_from_json(now, object));
        let records = records.collect::<std::result::Result<_, _>>().to_js()?;
        let outcome = self.storage.execute(Batch::new().create(collection, records)).await;
        let made = batch::created_by(&self.storage, &outcome.to_js()?, 0)?;
        Ok(Json::Array(made).to_string())
    }

    /// The objects that the filter matches.
    ///
    /// # Errors
    /// The storage's.
    pub async fn find(
        &self,
        collection: String,
        filter: String,
        options: String,
    ) -> Result<String> {
        let filter = serde_json::from_str(&filter).to_js()?;
        let options = serde_json::from_str(&options).to_js()?;
        let dynamic = self.storage.dynamic(&collection).to_js()?;
        let found = dynamic.find_with(&filter, &options).await.to_js()?;
        Ok(self.text_of(&collection, Json::Array(found)))
    }

    /// How many objects the filter matches.
    ///
    /// # Errors
    /// The storage's.
    pub async fn count(&self, collection: String, filter: String) -> Result<f64> {
        let filter = serde_json::from_str(&filter).to_js()?;
        let counted = self.storage.dynamic(&collection).to_js()?.count(&filter).await.to_js()?;
        Ok(number(counted))
    }

    /// Changes the objects that the filter matches and tells how many they were.
    ///
    /// # Errors
    /// The storage's.
    pub async fn update(
        &self,
        collection: String,
        filter: String,
        changes: String,
    ) -> Result<usize> {
        let filter = serde_json::from_str(&filter).to_js()?;
        let changes = serde_json::from_str(&changes).to_js()?;
        let collection = self.storage.dynamic(&collection).to_js()?;
        Ok(collection.update(&filter, &changes).await.to_js()?.len())
    }

    /// Deletes the objects that the filter matches and tells how many they were. With more of them than `most`, none is deleted.
    ///
    /// # Errors
    /// The storage's; [`Error::Aborted`] for too many.
    pub async fn delete(
        &self,
        collection: String,
        filter: String,
        most: Option<f64>,
    ) -> Result<usize> {
        let filter: Json = serde_json::from_str(&filter).to_js()?;
        let Some(most) = most else {
            let collection = self.storage.dynamic(&collection).to_js()?;
            return Ok(collection.delete(&filter).await.to_js()?.len());
        };
        let (schema, filter) = batch::filtered(&self.storage, &collection, &filter)?;
        let name = schema.name().clone();
        let batch = Batch::new()
            .step(Step::Count(Query::new(name.clone()).filter(filter.clone())))
            .step(Step::Then(Continuation::new(move |trace| {
                match trace.last().map(|executed| &executed.outcome) {
                    Some(StepOutcome::Counted(count)) if number(*count) > most => {
                        let reason = format!(
                            "{count} objects of `{name}` match, which are more than the limit of {most}"
                        );
                        Err(Error::Aborted { reason })
                    }
                    _ => Ok(Vec::new()),
                }
            })))
            .delete(collection.as_str(), filter);
        let outcome = self.storage.execute(batch).await.to_js()?;
        Ok(outcome.executed().iter().map(|it| it.keys(schema).len()).sum())
    }

    /// Executes the steps of a batch, all or none.
    ///
    /// # Errors
    /// The storage's.
    pub async fn execute_batch(&self, steps: String) -> Result<String> {
        Ok(batch::execute(&self.storage, &steps).await?.to_string())
    }

    /// The objects that the filter matches, now and after each change of them. `told` is called with an error or null, and the objects.
    ///
    /// # Errors
    /// What the filter is refused for.
    pub fn live(
        &self,
        collection: String,
        filter: String,
        options: String,
        told: Function,
    ) -> Result<Subscription> {
        let filter = serde_json::from_str(&filter).to_js()?;
        let options = serde_json::from_str(&options).to_js()?;
        let live = self.storage.dynamic(&collection).to_js()?.live(&filter, &options).to_js()?;
        let registry = Arc::clone(self.storage.registry());
        Ok(tell(live, async move |live| {
            let Some(result) = live.next().await else { return false };
            let text = result.map(|found| text_of(&registry, &collection, Json::Array(found)));
            let (error, objects) = match text {
                Ok(text) => (JsValue::NULL, JsValue::from(text)),
                Err(error) => (thrown(&error), JsValue::NULL),
            };
            call(&told, &js_sys::Array::of2(&error, &objects));
            true
        }))
    }

    /// Tells of each change after its commit.
    pub fn changes(&self, told: Function) -> Subscription {
        let registry = Arc::clone(self.storage.registry());
        tell(self.storage.changes(), async move |changes| {
            let Some(event) = changes.next().await else { return false };
            let json = match &event {
                ChangeEvent::Changed(set) => set_json(&registry, set),
                // What was changed is not known then.
                _ => json!({ "origin": "elsewhere" }),
            };
            call(&told, &json.to_string().into());
            true
        })
    }

    /// What has been acknowledged is on the disk when this returns.
    ///
    /// # Errors
    /// The backend's.
    pub async fn flush(&self) -> Result<()> {
        self.storage.flush().await.to_js()
    }

    /// Closes the database.
    ///
    /// # Errors
    /// The backend's.
    pub async fn close(&self) -> Result<()> {
        self.storage.close().await.to_js()
    }

    fn text_of(&self, collection: &str, objects: Json) -> String {
        text_of(self.storage.registry(), collection, objects)
    }
}

/// Deletes a database with everything in it.
///
/// # Errors
/// When other tabs hold it open.
#[wasm_bindgen]
pub async fn delete_database(name: String) -> Result<()> {
    IndexedDbBackend::open(name).to_js()?.delete().await.to_js()
}

/// An object, or a list of them, as text.
fn text_of(registry: &Registry, collection: &str, mut objects: Json) -> String {
    if let Some(schema) = registry.find(collection) {
        match &mut objects {
            Json::Array(list) => list.iter_mut().for_each(|it| exact(registry, schema, it)),
            object => exact(registry, schema, object),
        }
    }
    objects.to_string()
}

fn set_json(registry: &Registry, set: &ChangeSet) -> Json {
    let changes: Vec<Json> = set
        .changes
        .iter()
        .map(|change| {
            json!({
                "type": match change.kind {
                    ChangeKind::Created => "create",
                    ChangeKind::Updated => "modify",
                    ChangeKind::Deleted => "delete",
                },
                "collection": &*change.collection,
                "pks": keys_json(registry, &change.collection, &change.keys),
            })
        })
        .collect();
    let origin = match set.origin {
        Origin::Local => "local",
        Origin::Sync => "sync",
    };
    json!({ "origin": origin, "changes": changes })
}

/// Keys as JSON: each an object of its fields, so that it is read by their types.
pub(crate) fn keys_json(registry: &Registry, collection: &str, keys: &[Key]) -> Json {
    let Some(schema) = registry.find(collection) else { return Json::Array(Vec::new()) };
    let key = |key: &Key| {
        let fields = schema.primary_key().iter().zip(key.values()).filter_map(|(at, value)| {
            let field = schema.fields().get(*at)?;
            Some((field.name.to_string(), schema.value_to_json(field, value).ok()?))
        });
        let mut object = Json::Object(fields.collect());
        exact(registry, schema, &mut object);
        object
    };
    Json::Array(keys.iter().map(key).collect())
}

fn word_of(lost: Lost) -> &'static str {
    match lost {
        Lost::Upgraded => "upgraded",
        Lost::Deleted => "deleted",
        _ => "closed-by-browser",
    }
}

/// Far below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

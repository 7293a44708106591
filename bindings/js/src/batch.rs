//! `executeBatch`: steps from JavaScript, as one batch.

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use storex_core::{Batch, BatchOutcome, Collection, Filter, Step, StepOutcome, Storage, created};

use crate::error::{Result, ToJs, invalid};
use crate::exact::exact;

/// What the placeholders of creates that have none begin with. No name of an application does: it is a private-use character.
const UNNAMED: &str = "\u{E000}";

/// A step, as `lib/batch.js` writes it.
#[derive(Debug, Deserialize)]
#[serde(tag = "operation", rename_all = "camelCase")]
enum Written {
    CreateObject {
        collection: String,
        args: Json,
        placeholder: Option<String>,
    },
    UpdateObjects {
        collection: String,
        #[serde(rename = "where")]
        filter: Json,
        updates: Json,
    },
    DeleteObjects {
        collection: String,
        #[serde(rename = "where")]
        filter: Json,
    },
}

/// Executes them, all or none, and gives what the creates with a placeholder have made: `{placeholder: {object}}`.
pub(crate) async fn execute(storage: &Storage, steps: &str) -> Result<Json> {
    let steps: Vec<Written> = serde_json::from_str(steps).to_js()?;
    let mut batch = Batch::new();
    let mut named = Vec::new();
    for (n, step) in steps.into_iter().enumerate() {
        let first = batch.steps.len();
        batch = match step {
            Written::CreateObject { collection, args, placeholder } => {
                let name = placeholder.clone().unwrap_or_else(|| format!("{UNNAMED}{n}"));
                if let Some(placeholder) = placeholder {
                    if named.iter().any(|(_, other)| *other == placeholder) {
                        return Err(invalid(&format!(
                            "two steps of the batch have the placeholder `{placeholder}`"
                        )));
                    }
                    named.push((first, placeholder));
                }
                batch.create_json(storage, &collection, &name, &args).to_js()?
            }
            Written::UpdateObjects { collection, filter, updates } => {
                let (schema, filter) = filtered(storage, &collection, &filter)?;
                let changes = schema.changes_from_json(&updates).to_js()?;
                batch.update(collection, filter, changes)
            }
            Written::DeleteObjects { collection, filter } => {
                let (_, filter) = filtered(storage, &collection, &filter)?;
                batch.delete(collection, filter)
            }
        };
    }
    if batch.steps.is_empty() {
        return Ok(Json::Object(Map::new()));
    }
    let outcome = storage.execute(batch).await.to_js()?;
    let mut info = Map::new();
    for (step, placeholder) in named {
        let mut entry = Map::new();
        let object = created_by(storage, &outcome, step)?.into_iter().next();
        entry.insert("object".to_owned(), object.unwrap_or_default());
        info.insert(placeholder, Json::Object(entry));
    }
    Ok(Json::Object(info))
}

/// A collection, and a filter of its objects.
pub(crate) fn filtered<'a>(
    storage: &'a Storage,
    collection: &str,
    filter: &Json,
) -> Result<(&'a Collection, Filter)> {
    let registry = storage.registry();
    let schema: &Collection = registry.collection(collection).to_js()?;
    let filter = schema.filter_from_json(filter, registry).to_js()?;
    Ok((schema, filter))
}

/// What a step has created, with keys and defaults.
pub(crate) fn created_by(
    storage: &Storage,
    outcome: &BatchOutcome,
    step: usize,
) -> Result<Vec<Json>> {
    let registry = storage.registry();
    let mut objects = Vec::new();
    for executed in outcome.of_step(step) {
        let (Step::Create(create), StepOutcome::Created { skipped }) =
            (&executed.step, &executed.outcome)
        else {
            continue;
        };
        let collection = registry.collection(&create.collection).to_js()?;
        let all: Vec<usize> = (0..collection.fields().len()).collect();
        for record in created(create, skipped) {
            let mut object = Json::Object(collection.record_to_json(&all, record).to_js()?);
            exact(registry, collection, &mut object);
            objects.push(object);
        }
    }
    Ok(objects)
}

//! The journal of conflicts.

use serde_json::{Map, Value as Json, json};
use storex_core::{Collection, Name, Value};
use storex_sync::http::id_text;
use storex_sync::{Conflict, ConflictId, ConflictJournal, ConflictQuery, Content, Version};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::database::{Database, keys_json};
use crate::error::{Result, ToJs};
use crate::exact::exact;

#[wasm_bindgen]
impl Database {
    /// Conflicts, the newest first.
    ///
    /// # Errors
    /// The storage's.
    pub async fn conflicts(&self, limit: f64) -> Result<String> {
        let which = ConflictQuery::new().limit(whole(limit));
        let noted = self.journal().await?.list(&which).await.to_js()?;
        let list = noted.iter().map(|noted| {
            let mut json = self.conflict_json(&noted.conflict);
            json.insert("id".to_owned(), json!(noted.id.0));
            json.insert("at".to_owned(), json!(noted.at.as_millis()));
            Json::Object(json)
        });
        Ok(Json::Array(list.collect()).to_string())
    }

    /// Puts back what was lost.
    ///
    /// # Errors
    /// When it cannot be put back.
    pub async fn undo_conflict(&self, id: f64) -> Result<()> {
        self.journal().await?.undo(ConflictId(whole(id))).await.to_js()
    }

    /// Takes a conflict out of the journal.
    ///
    /// # Errors
    /// The storage's.
    pub async fn forget_conflict(&self, id: f64) -> Result<()> {
        self.journal().await?.forget(ConflictId(whole(id))).await.to_js()
    }
}

impl Database {
    async fn journal(&self) -> Result<ConflictJournal> {
        ConflictJournal::open(&self.storage).await.to_js()
    }

    fn conflict_json(&self, conflict: &Conflict) -> Map<String, Json> {
        let registry = self.storage.registry();
        let schema = registry.find(&conflict.collection).map(AsRef::as_ref);
        let keys = keys_json(registry, &conflict.collection, std::slice::from_ref(&conflict.key));
        let side = |version: &Version| {
            let mut fields = Vec::new();
            match &version.content {
                Content::Value(value) => {
                    fields.extend(conflict.field.clone().map(|field| (field, value.clone())));
                }
                Content::Object(all) => fields.clone_from(all),
                Content::Deleted => {}
            }
            let mut object = object(schema, &fields);
            if let Some(schema) = schema {
                exact(registry, schema, &mut object);
            }
            json!({
                "at": version.stamp.hlc.millis().as_millis(),
                "device": id_text(version.stamp.device.id),
                "deleted": version.content == Content::Deleted,
                "fields": object,
            })
        };
        let json = json!({
            "collection": &*conflict.collection,
            "pk": keys.get(0),
            "field": conflict.field.as_deref(),
            "incomingWon": conflict.incoming_won,
            "isLoss": conflict.is_loss(),
            "won": side(&conflict.won),
            "lost": side(&conflict.lost),
        });
        match json {
            Json::Object(map) => map,
            _ => Map::new(),
        }
    }
}

fn object(schema: Option<&Collection>, fields: &[(Name, Value)]) -> Json {
    let shown = fields.iter().filter_map(|(name, value)| {
        let field = schema.and_then(|it| it.fields().get(it.position(name)?));
        Some((name.to_string(), schema?.value_to_json(field?, value).ok()?))
    });
    Json::Object(shown.collect())
}

/// Numbers of JavaScript that were numbers of ours.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> u64 {
    number as u64
}

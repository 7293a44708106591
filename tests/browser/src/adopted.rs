//! A [`Device`] with the collections that a native device has adopted from a database of another program.

use serde_json::{Map, Value as Json};
use storex_sync::SyncHandle as _;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::copy::{self, rows};
use crate::device::Device;
use crate::error::{Result, ToJs};

#[wasm_bindgen]
impl Device {
    /// Opens a database with the collections of what `storex-e2e-export` prints; what is in them is not looked at.
    ///
    /// # Errors
    /// What the storage cannot be opened for, or what cannot be read in the text.
    pub async fn open_like(database: String, exported: String) -> Result<Self> {
        let exported: Json = serde_json::from_str(&exported).to_js()?;
        let collections = exported["collections"].as_array();
        let collections = collections.ok_or_else(|| JsError::new("no collections"))?;
        Ok(Self::over(copy::open(&database, collections).await?))
    }

    /// All rows of all collections, in the form of `storex-e2e-export`.
    ///
    /// # Errors
    /// The storage's.
    pub async fn all_rows(&self) -> Result<String> {
        let mut all = Map::new();
        let collections = self.storage.registry().collections().iter();
        for collection in collections.filter(|collection| !collection.is_reserved()) {
            let name = collection.name();
            all.insert(name.to_string(), rows(&self.storage, name).await?);
        }
        Ok(Json::Object(all).to_string())
    }

    /// The fingerprint of what is in them.
    ///
    /// # Errors
    /// When this device is not kept in step; the storage's.
    pub async fn digest(&self) -> Result<String> {
        let digest = self.continuous()?.digest().await.to_js()?;
        Ok(Json::from(digest.to_string()).to_string())
    }
}

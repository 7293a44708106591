//! A database of another program as a device.

use std::sync::Arc;

use storex_core::{AutoPk, KeyGenerator, Registry, Storage, WebRuntime};
use storex_indexeddb::{IndexedDbBackend, adopt};
use storex_sync::SyncLog;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::device::Device;
use crate::error::{Result, ToJs};

/// Opens a database in place, with the definitions that adopting `model` gives: devices that shall be in step need the
/// same ones, and an empty database tells less than a full one.
///
/// # Errors
/// The adoption's, and what the storage cannot be opened for.
#[wasm_bindgen]
pub async fn open_adopted(database: String, model: String) -> Result<Device> {
    let adoption = adopt(&model).await.to_js()?;
    let registry = Registry::builder().collections(adoption.definitions).build().to_js()?;
    let backend = IndexedDbBackend::open(database).to_js()?;
    let storage = Storage::builder(backend, registry, Arc::new(WebRuntime))
        .middleware(AutoPk::new().with("customer", KeyGenerator::Int53))
        .middleware(SyncLog::new())
        .open()
        .await
        .to_js()?;
    Ok(Device::over(storage))
}

//! What an application that uses all of storex in the browser loads. Nobody runs it: it is weighed.

#![cfg(target_family = "wasm")]
#![allow(clippy::arc_with_non_send_sync)] // a browser has one thread

use std::sync::Arc;
use std::time::Duration;

use storex_core::{AutoPk, Definition, FieldType, Registry, Storage, WebRuntime};
use storex_indexeddb::IndexedDbBackend;
use storex_sync::{
    BackendSharedLog, ContinuousSync, InitialSync, MessagePortChannel, Sync, SyncLog,
};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::MessagePort;

fn failed(error: impl std::fmt::Display) -> JsError {
    JsError::new(&error.to_string())
}

async fn open() -> storex_core::Result<Storage> {
    let note = Definition::new("note").field("title", FieldType::String).index(["title"]);
    let registry = Registry::builder().collection(note).build()?;
    Storage::builder(IndexedDbBackend::open("notes")?, registry, Arc::new(WebRuntime))
        .middleware(AutoPk::new())
        .middleware(SyncLog::new())
        .open()
        .await
}

/// Writes, changes, finds and deletes.
#[wasm_bindgen]
pub async fn write(object: String, filter: String) -> Result<String, JsError> {
    let storage = open().await.map_err(failed)?;
    let notes = storage.dynamic("note").map_err(failed)?;
    let filter = serde_json::from_str(&filter).map_err(failed)?;
    let object: serde_json::Value = serde_json::from_str(&object).map_err(failed)?;
    notes.create(object.clone()).await.map_err(failed)?;
    notes.update(&filter, &object).await.map_err(failed)?;
    let found = notes.find(&filter).await.map_err(failed)?;
    notes.delete(&filter).await.map_err(failed)?;
    Ok(serde_json::Value::from(found).to_string())
}

/// Keeps in step through a shared log.
#[wasm_bindgen]
pub async fn sync() -> Result<(), JsError> {
    let storage = open().await.map_err(failed)?;
    let backend = IndexedDbBackend::open("log").map_err(failed)?;
    let log = BackendSharedLog::open(backend, Arc::new(WebRuntime)).await.map_err(failed)?;
    let sync = Sync::open(&storage, Arc::new(log)).await.map_err(failed)?;
    sync.sync_once().await.map_err(failed)?;
    let continuous = ContinuousSync::start(sync, Duration::from_secs(60));
    continuous.stop().await;
    Ok(())
}

/// Brings what is here to another device, or the other way round.
#[wasm_bindgen]
pub async fn pump(port: MessagePort, send: bool) -> Result<(), JsError> {
    let storage = open().await.map_err(failed)?;
    let mut channel = MessagePortChannel::new(port);
    let initial = InitialSync::open(&storage).await.map_err(failed)?;
    let done =
        if send { initial.send(&mut channel).await } else { initial.receive(&mut channel).await };
    done.map(drop).map_err(failed)
}

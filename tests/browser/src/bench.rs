//! What the benchmark against Dexie measures of storex.

use std::sync::Arc;

use serde_json::json;
use storex_core::{
    AutoPk, Batch, Definition, FieldType, Filter, Query, Record, Registry, Runtime, Storage, Value,
    WebRuntime, field,
};
use storex_indexeddb::{Durability, IndexedDbBackend};
use storex_sync::SyncLog;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::{Result, ToJs};

/// Notes on IndexedDB, every write logged, as an application has them.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Bench {
    storage: Storage,
    written: std::cell::Cell<i64>,
}

fn registry() -> storex_core::Result<Registry> {
    let note = Definition::new("note")
        .field("title", FieldType::String)
        .field("body", FieldType::Text)
        .field("tags", FieldType::Json)
        .field("created_at", FieldType::Int)
        .field("updated_at", FieldType::Int)
        .index(["created_at"]);
    Registry::builder().collection(note).build()
}

#[wasm_bindgen]
impl Bench {
    /// Opens the database; `logged`: with the log of sync.
    ///
    /// # Errors
    /// What the storage cannot be opened for.
    pub async fn open(database: String, logged: bool) -> Result<Self> {
        let backend =
            IndexedDbBackend::builder(database).durability(Durability::Relaxed).build().to_js()?;
        let mut builder = Storage::builder(backend, registry().to_js()?, Arc::new(WebRuntime))
            .middleware(AutoPk::new());
        if logged {
            builder = builder.middleware(SyncLog::new());
        }
        Ok(Self { storage: builder.open().await.to_js()?, written: std::cell::Cell::new(0) })
    }

    /// Creates so many notes in one batch.
    ///
    /// # Errors
    /// The storage's.
    pub async fn create(&self, notes: u32) -> Result<()> {
        let from = self.written.get();
        let records = (from..from + i64::from(notes)).map(note).collect();
        self.storage.execute(Batch::new().create("note", records)).await.to_js()?;
        self.written.set(from + i64::from(notes));
        Ok(())
    }

    /// Reads all notes and tells how many they are.
    ///
    /// # Errors
    /// The storage's.
    pub async fn read(&self) -> Result<usize> {
        Ok(self.storage.find(Query::new("note")).await.to_js()?.len())
    }

    /// Reads the notes whose time is within a range of so many.
    ///
    /// # Errors
    /// The storage's.
    pub async fn range(&self, from: i32, many: i32) -> Result<usize> {
        let filter: Filter = field("created_at").gte(from).and(field("created_at").lt(from + many));
        Ok(self.storage.find(Query::new("note").filter(filter)).await.to_js()?.len())
    }

    /// Closes the database.
    ///
    /// # Errors
    /// The storage's.
    pub async fn close(&self) -> Result<()> {
        self.storage.close().await.to_js()
    }
}

/// The note that `bench.mjs` gives Dexie, too. Its key comes from `AutoPk`.
fn note(n: i64) -> Record {
    let title = format!("Note number {n:>7} on the kitchen table");
    let body = "Milk, bread, two lemons, and whatever else the list on the door says. ".repeat(3);
    let at = 1_700_000_000 + n;
    let mut id = [0; 16];
    WebRuntime.fill_random(&mut id);
    Record::new(vec![
        Value::Text(key(n, id)),
        Value::Text(title),
        Value::Text(body),
        Value::Json(json!(["kitchen", "shopping", format!("week{}", n % 52)])),
        Value::Int(at),
        Value::Int(at),
    ])
}

/// A UUID of version 7, made as cheaply as the JavaScript side makes its own.
fn key(n: i64, random: [u8; 16]) -> String {
    let tail = u64::from_le_bytes([
        random[0], random[1], random[2], random[3], random[4], random[5], 0, 0,
    ]);
    format!("{:08x}-{:04x}-7000-8000-{tail:012x}", 1_700_000 + n / 65_536, n % 65_536)
}

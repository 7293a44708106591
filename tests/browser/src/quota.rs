//! Batches of some size, for the scenario in which the browser runs out of space or throws everything away.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::json;
use storex_core::{
    Backend, Batch, Definition, Error, FieldType, Query, Record, Registry, Runtime, Value,
    WebRuntime, field,
};
use storex_indexeddb::{IndexedDbBackend, Lost, estimate, is_persisted, persist};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::{Result, ToJs};

/// Writes batches: each a row in `batch` that says how many pieces it has, and the pieces.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Filler {
    backend: IndexedDbBackend,
    lost: Rc<RefCell<Vec<Lost>>>,
}

#[wasm_bindgen]
impl Filler {
    /// Opens the database.
    ///
    /// # Errors
    /// The backend's.
    pub async fn open(database: String) -> Result<Self> {
        let lost = Rc::new(RefCell::new(Vec::new()));
        let tell = Rc::clone(&lost);
        let builder =
            IndexedDbBackend::builder(database).on_lost(move |why| tell.borrow_mut().push(why));
        let filler = Self { backend: builder.build().to_js()?, lost };
        filler.reopen().await?;
        Ok(filler)
    }

    /// Opens the database again.
    ///
    /// # Errors
    /// The backend's.
    pub async fn reopen(&self) -> Result<()> {
        let batch = Definition::new("batch")
            .field("number", FieldType::Int)
            .field("pieces", FieldType::Int)
            .primary_key(["number"]);
        let piece = Definition::new("piece")
            .field("batch", FieldType::Int)
            .field("n", FieldType::Int)
            .field("body", FieldType::Binary)
            .primary_key(["batch", "n"])
            .index(["batch"]);
        let registry = Registry::builder().collection(batch).collection(piece).build().to_js()?;
        self.backend.open(Arc::new(registry)).await.to_js()
    }

    /// Writes a batch of so many pieces of so many bytes, at most 65,536. `ok`, or what it failed with.
    pub async fn write(&self, number: u32, pieces: u32, bytes: usize) -> String {
        let piece = |n: u32| {
            let mut body = vec![0; bytes];
            WebRuntime.fill_random(&mut body);
            Record::new(vec![number.into(), n.into(), Value::Bytes(body)])
        };
        let batch = Batch::new()
            .create("batch", vec![Record::new(vec![number.into(), pieces.into()])])
            .create("piece", (0..pieces).map(piece).collect());
        outcome(self.backend.execute(batch).await)
    }

    /// The numbers of the batches that are there, as JSON; or which of them is not there whole.
    ///
    /// # Errors
    /// The backend's.
    pub async fn audit(&self) -> Result<String> {
        let mut numbers = Vec::new();
        let mut sum = 0;
        for row in self.backend.find(Query::new("batch")).await.to_js()? {
            let (number, pieces) =
                (row.get(0).as_int().unwrap_or(-1), row.get(1).as_int().unwrap_or(-1));
            let mine = Query::new("piece").filter(field("batch").eq(number));
            let there = self.backend.count(mine).await.to_js()?;
            if i64::try_from(there).ok() != Some(pieces) {
                return Ok(json!({ "half": number, "pieces": pieces, "there": there }).to_string());
            }
            numbers.push(number);
            sum += there;
        }
        let all = self.backend.count(Query::new("piece")).await.to_js()?;
        if all != sum {
            return Ok(json!({ "pieces of no batch": all - sum }).to_string());
        }
        Ok(json!(numbers).to_string())
    }

    /// Reads something: `ok`, or what it failed with.
    pub async fn read(&self) -> String {
        outcome(self.backend.count(Query::new("batch")).await)
    }

    /// The identity of the database.
    #[must_use]
    pub fn identity(&self) -> String {
        self.backend.identity().map(|identity| identity.to_string()).unwrap_or_default()
    }

    /// How the database was taken away so far.
    #[must_use]
    pub fn lost(&self) -> String {
        format!("{:?}", self.lost.borrow())
    }

    /// Closes the database.
    ///
    /// # Errors
    /// The backend's.
    pub async fn close(&self) -> Result<()> {
        self.backend.close().await.to_js()
    }
}

/// `ok`, or the error's kind and words.
fn outcome<T>(result: std::result::Result<T, Error>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

/// Asks the browser to keep everything.
///
/// # Errors
/// Where it cannot be asked.
#[wasm_bindgen]
pub async fn ask_to_persist() -> Result<bool> {
    persist().await.to_js()
}

/// Whether it has promised to.
///
/// # Errors
/// Where it cannot be asked.
#[wasm_bindgen]
pub async fn will_persist() -> Result<bool> {
    is_persisted().await.to_js()
}

/// Bytes in use, and bytes that may be.
///
/// # Errors
/// Where it cannot be asked.
#[wasm_bindgen]
pub async fn space() -> Result<Vec<f64>> {
    let estimate = estimate().await.to_js()?;
    Ok(vec![estimate.usage, estimate.quota])
}

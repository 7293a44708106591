//! [`Device`]: a storage on IndexedDB, as JavaScript drives it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use js_sys::Function;
use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Batch, Changes, Direction, Filter, Key, OnConflict, Query, Record, Step, Storage,
    WebRuntime,
};
use storex_indexeddb::{Durability, IndexedDbBackend};
use storex_sync::{
    BackendSharedLog, Channel, ContinuousSync, InitialSync, InitialSyncReport, MessagePortChannel,
    Sync, SyncLog,
};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};
use web_sys::MessagePort;

use crate::audit::audit;
use crate::error::{Result, ToJs};
use crate::schema::registry;
use crate::server::AtServer;
use crate::steps::MarkEnd;
use crate::tabs::TabUse;
use crate::writer;

/// A storage on IndexedDB with a sync log. JSON goes in and out as text.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Device {
    pub(crate) storage: Storage,
    pub(crate) sync: RefCell<Option<Sync>>,
    pub(crate) continuous: RefCell<Option<Arc<ContinuousSync>>>,
    pub(crate) server: RefCell<Option<AtServer>>,
    pub(crate) tabs: RefCell<Option<TabUse>>,
}

#[wasm_bindgen]
impl Device {
    /// Opens the database; `newer`: as the next version of the application does, with one more collection; `strict`: each
    /// commit waits for the disk.
    ///
    /// # Errors
    /// What the storage cannot be opened for.
    pub async fn open(database: String, newer: bool, strict: bool) -> Result<Self> {
        let durability = if strict { Durability::Strict } else { Durability::Relaxed };
        let backend = IndexedDbBackend::builder(database).durability(durability).build().to_js()?;
        let storage = Storage::builder(backend, registry(newer).to_js()?, Arc::new(WebRuntime))
            .middleware(AutoPk::new())
            .middleware(SyncLog::new())
            .middleware(MarkEnd)
            .open()
            .await
            .to_js()?;
        Ok(Self::over(storage))
    }

    /// Creates an object and gives it back.
    ///
    /// # Errors
    /// The storage's.
    pub async fn create(&self, collection: String, object: String) -> Result<String> {
        let object = serde_json::from_str(&object).to_js()?;
        let collection = self.storage.dynamic(&collection).to_js()?;
        Ok(collection.create(object).await.to_js()?.to_string())
    }

    /// Creates many objects in one batch and tells how many they were.
    ///
    /// # Errors
    /// The storage's.
    pub async fn create_many(&self, collection: String, objects: String) -> Result<usize> {
        let objects: Vec<Json> = serde_json::from_str(&objects).to_js()?;
        let collection = self.storage.dynamic(&collection).to_js()?;
        Ok(collection.create_many(&objects).await.to_js()?.len())
    }

    /// Changes the objects that a filter matches and tells how many they were.
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

    /// Deletes the objects that a filter matches and tells how many they were.
    ///
    /// # Errors
    /// The storage's.
    pub async fn delete(&self, collection: String, filter: String) -> Result<usize> {
        let filter = serde_json::from_str(&filter).to_js()?;
        let collection = self.storage.dynamic(&collection).to_js()?;
        Ok(collection.delete(&filter).await.to_js()?.len())
    }

    /// Adds 1 to an account so many times, each in a batch of its own. The account is made when it is not there.
    ///
    /// # Errors
    /// The storage's.
    pub async fn count(&self, account: String, times: u32) -> Result<()> {
        let open = vec![Record::new(vec![account.as_str().into(), 0.into()])];
        for _ in 0..times {
            let batch = Batch::new()
                .step(Step::create_or("account", open.clone(), OnConflict::Skip))
                .update(
                    "account",
                    Filter::key(account.as_str()),
                    Changes::new().increment("balance", 1),
                );
            self.storage.execute(batch).await.to_js()?;
        }
        Ok(())
    }

    /// The batches of the kill tests; `tell` gets the number of each when it is through.
    ///
    /// # Errors
    /// The storage's.
    pub async fn write(&self, batches: u32, seed: u32, tell: Function) -> Result<()> {
        let tell = |number| {
            // Whoever does not listen does not matter here.
            #[allow(clippy::cast_precision_loss)] // far below 2^53
            let _ = tell.call1(&JsValue::UNDEFINED, &JsValue::from_f64(number as f64));
        };
        writer::write(&self.storage, batches, seed, tell).await.to_js()
    }

    /// As `write`, and nobody is told.
    ///
    /// # Errors
    /// The storage's.
    pub async fn write_quietly(&self, batches: u32, seed: u32) -> Result<()> {
        writer::write(&self.storage, batches, seed, |_| {}).await.to_js()
    }

    /// Checks the whole database; gives the number of transactions in its log.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn audit(&self) -> Result<f64> {
        let transactions = audit(&self.storage).await.map_err(|wrong| JsError::new(&wrong))?;
        #[allow(clippy::cast_precision_loss)] // far below 2^53
        Ok(transactions as f64)
    }

    /// Deletes the first object of a collection, also a reserved one, and nobody logs it: an audit must notice.
    ///
    /// # Errors
    /// The storage's.
    pub async fn tamper(&self, collection: String) -> Result<()> {
        let schema = self.storage.registry().collection(&collection).to_js()?;
        let first = Query::new(schema.name().clone()).limit(1);
        let rows = self.storage.find(first).await.to_js()?;
        let keys = rows
            .iter()
            .map(|row| Key::compound(schema.primary_key().iter().map(|at| row.get(*at).clone())));
        let batch = Batch::new().delete(schema.name().clone(), Filter::Keys(keys.collect()));
        self.storage.apply(batch).await.to_js()?;
        Ok(())
    }

    /// Everything in the application's collections, by key.
    ///
    /// # Errors
    /// The storage's.
    pub async fn dump(&self) -> Result<String> {
        let mut dump = serde_json::Map::new();
        for collection in self.storage.registry().collections() {
            if collection.is_reserved() {
                continue;
            }
            let key = &collection.fields()[collection.primary_key()[0]].name;
            let query =
                Query::new(collection.name().clone()).order_by(key.clone(), Direction::Ascending);
            let objects = self.storage.dynamic(collection.name()).to_js()?.query(query).await;
            dump.insert(collection.name().to_string(), objects.to_js()?.into());
        }
        Ok(Json::Object(dump).to_string())
    }

    /// Joins the shared log in another database.
    ///
    /// # Errors
    /// The storages'.
    pub async fn join(&self, database: String) -> Result<()> {
        let backend = IndexedDbBackend::open(database).to_js()?;
        let log = BackendSharedLog::open(backend, Arc::new(WebRuntime)).await.to_js()?;
        let sync = Sync::open(&self.storage, Arc::new(log)).await.to_js()?.unreduced();
        *self.sync.borrow_mut() = Some(sync);
        Ok(())
    }

    /// One exchange with the shared log: how much was sent and received.
    ///
    /// # Errors
    /// The exchange's.
    pub async fn sync_once(&self) -> Result<String> {
        let report = self.joined()?.sync_once().await.to_js()?;
        let sent = report.sent_transactions;
        Ok(json!({"sent": sent, "received": report.received.transactions}).to_string())
    }

    /// Exchanges with the shared log from now on.
    ///
    /// # Errors
    /// When it has joined none.
    pub fn start_sync(&self, milliseconds: u32) -> Result<()> {
        let every = Duration::from_millis(milliseconds.into());
        let continuous = ContinuousSync::start(self.joined()?, every);
        *self.continuous.borrow_mut() = Some(Arc::new(continuous));
        Ok(())
    }

    /// Ends what `start_sync` began; tells how many exchanges went through, and the error of the last one, if it failed.
    pub async fn stop_sync(&self) -> String {
        let continuous = self.continuous.borrow_mut().take();
        let Some(continuous) = continuous else { return Json::Null.to_string() };
        continuous.stop().await;
        let status = continuous.status().borrow().clone();
        json!({"rounds": status.rounds, "error": status.last_error}).to_string()
    }

    /// The sending side of an initial sync over a port: how many objects went.
    ///
    /// # Errors
    /// The initial sync's.
    pub async fn send(&self, port: MessagePort) -> Result<String> {
        let mut channel = MessagePortChannel::new(port);
        let sync = InitialSync::open(&self.storage).await.to_js()?;
        let report = sync.send(&mut channel).await.to_js()?;
        channel.close().await.to_js()?;
        Ok(summary(&report))
    }

    /// The receiving side of an initial sync over a port: how many objects came.
    ///
    /// # Errors
    /// The initial sync's.
    pub async fn receive(&self, port: MessagePort) -> Result<String> {
        let mut channel = MessagePortChannel::new(port);
        let sync = InitialSync::open(&self.storage).await.to_js()?;
        let report = sync.receive(&mut channel).await.to_js()?;
        channel.close().await.to_js()?;
        Ok(summary(&report))
    }

    /// Closes the database.
    ///
    /// # Errors
    /// The backend's.
    pub async fn close(&self) -> Result<()> {
        self.storage.close().await.to_js()
    }

    pub(crate) fn over(storage: Storage) -> Self {
        let (sync, continuous, server, tabs) = Default::default();
        Self { storage, sync, continuous, server, tabs }
    }

    pub(crate) fn joined(&self) -> Result<Sync> {
        self.sync.borrow().clone().ok_or_else(|| JsError::new("this device has joined no log"))
    }
}

pub(crate) fn summary(report: &InitialSyncReport) -> String {
    json!({
        "objects": report.total(),
        "tombstones": report.tombstones,
        "kept": report.kept,
    })
    .to_string()
}

//! A [`Device`] whose sync is that of all tabs, and what the worker's script calls.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use js_sys::Function;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use storex_core::{AutoPk, Runtime, Source, Storage, WebRuntime};
use storex_indexeddb::IndexedDbBackend;
use storex_sync::{
    BackendSharedLog, ContinuousSync, Cursor, Device as SyncDevice, Exclusive, LeaseTimes, LogId,
    LogRequest, Member, Page, SealedTransaction, SharedSyncLog, Sync, SyncHandle, SyncLog, TabSync,
    Trimmed, serve_tabs,
};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};

use crate::device::Device;
use crate::error::{Result, ToJs};
use crate::schema::registry;

/// How often the engine looks for what others have written.
const EVERY: Duration = Duration::from_millis(200);

/// What a sync in any place is started with.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Settings {
    /// The database that is kept in step.
    database: String,
    /// The one that the shared log is in.
    log: String,
    /// As the next version of the application does.
    #[serde(default)]
    newer: bool,
    /// The version of the application.
    #[serde(default)]
    version: String,
    /// Of the worker; none: in the tab.
    script: Option<String>,
    /// Whether sync may run in the tab.
    #[serde(default)]
    here: bool,
    /// Whether it cannot be started.
    #[serde(default)]
    fails: bool,
    /// In milliseconds.
    patience: Option<u64>,
}

/// The sync of a tab, and how many events it has told.
#[derive(Debug, Clone)]
pub(crate) struct TabUse {
    sync: TabSync,
    events: Rc<Cell<u32>>,
}

impl TabUse {
    pub(crate) fn of(sync: TabSync) -> Self {
        let (events, count) = (Rc::new(Cell::new(0)), sync.events());
        WebRuntime.spawn(Box::pin(counted(count, Rc::clone(&events))));
        Self { sync, events }
    }
}

/// In the script of a worker: serves the tabs. `tell` is told when an exchange begins and ends.
///
/// # Errors
/// For settings that are none.
#[wasm_bindgen]
pub fn serve(settings: String, tell: Function) -> Result<()> {
    let settings: Settings = serde_json::from_str(&settings).to_js()?;
    serve_tabs(Arc::new(WebRuntime), move || start(settings.clone(), tell.clone()));
    Ok(())
}

/// The same wherever it is started.
async fn start(settings: Settings, tell: Function) -> std::result::Result<ContinuousSync, Source> {
    if settings.fails {
        return Err("it fails on purpose".into());
    }
    let Settings { database, log, newer, .. } = settings;
    let runtime = Arc::new(WebRuntime);
    let storage = Storage::builder(
        IndexedDbBackend::open(database.clone())?,
        registry(newer)?,
        runtime.clone(),
    );
    let storage = storage.middleware(AutoPk::new()).middleware(SyncLog::new()).open().await?;
    let log = BackendSharedLog::open(IndexedDbBackend::open(log)?, runtime).await?;
    let exclusive = Exclusive::tabs(&storage, database, LeaseTimes::default()).await?;
    let sync = Sync::open(&storage, Arc::new(TracedLog { log, tell })).await?.exclusive(exclusive);
    Ok(ContinuousSync::builder(sync).intervals(EVERY, EVERY).start())
}

#[wasm_bindgen]
impl Device {
    /// Uses the sync that all tabs use; see `Settings`.
    ///
    /// # Errors
    /// Where it is to be had nowhere.
    pub async fn use_tabs(&self, settings: String, tell: Function) -> Result<()> {
        let settings: Settings = serde_json::from_str(&settings).to_js()?;
        let builder = TabSync::builder(settings.database.clone(), Arc::new(WebRuntime));
        let mut builder = builder.version(settings.version.clone());
        if let Some(script) = &settings.script {
            builder = builder.worker(script.clone());
        }
        if let Some(patience) = settings.patience {
            builder = builder.patience(Duration::from_millis(patience));
        }
        if settings.here {
            builder = builder.here(move || start(settings.clone(), tell.clone()));
        }
        let sync = builder.connect().await.to_js()?;
        *self.tabs.borrow_mut() = Some(TabUse::of(sync));
        Ok(())
    }

    /// Where sync runs, and what it does.
    ///
    /// # Errors
    /// When it uses none.
    pub fn tab_status(&self) -> Result<String> {
        let TabUse { sync, events } = self.tab()?;
        let status = sync.status().borrow().clone();
        Ok(json!({
            "place": sync.place().to_string(),
            "phase": format!("{:?}", status.phase),
            "inStep": status.in_step,
            "unsent": status.unsent,
            "rounds": status.rounds,
            "error": status.last_error,
            "events": events.get(),
        })
        .to_string())
    }

    /// What each call of the handle gives, in the order of the names; errors as text.
    ///
    /// # Errors
    /// For a call that is not known here.
    pub async fn tab_ask(&self, call: String) -> Result<String> {
        let TabUse { sync, .. } = self.tab()?;
        let answer = match call.as_str() {
            "sync_now" => match sync.sync_now().await {
                None => Ok(Json::Null),
                Some(report) => report.map(|report| json!({"sent": report.sent_transactions})),
            },
            "synced" => match sync.last_write().await {
                Ok(Some(write)) => sync.await_synced(write).await.map(|()| Json::Bool(true)),
                Ok(None) => Ok(Json::Bool(false)),
                Err(error) => Err(error),
            },
            "pause" => sync.pause().await.map(|()| Json::Null),
            "resume" => sync.resume().await.map(|()| Json::Null),
            "unsent" => sync.unsent().await.map(Json::from),
            "parked" => sync.parked().await.map(|parked| parked.len().into()),
            "rejected" => sync.rejected().await.map(|rejected| rejected.len().into()),
            "digest" => sync.digest().await.map(|digest| format!("{digest:?}").into()),
            "device" => sync.device().await.map(|device| device.to_string().into()),
            other => return Err(JsError::new(&format!("there is no call {other}"))),
        };
        Ok(match answer {
            Ok(answer) => json!({"answer": answer}),
            Err(error) => json!({"error": error.to_string()}),
        }
        .to_string())
    }

    fn tab(&self) -> Result<TabUse> {
        self.tabs.borrow().clone().ok_or_else(|| JsError::new("this device uses no sync of tabs"))
    }
}

async fn counted(mut events: storex_sync::SyncEvents, count: Rc<Cell<u32>>) {
    while events.next().await.is_some() {
        count.set(count.get() + 1);
    }
}

/// A log that tells when it is asked for something and when it has answered.
#[derive(Debug)]
struct TracedLog {
    log: BackendSharedLog,
    tell: Function,
}

impl TracedLog {
    fn tell(&self, what: &str) {
        // Whoever does not listen does not matter here.
        let _ = self.tell.call1(&JsValue::UNDEFINED, &what.into());
    }
}

#[async_trait(?Send)]
impl SharedSyncLog for TracedLog {
    async fn register(&self, device: SyncDevice) -> storex_sync::Result<LogId> {
        self.log.register(device).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> storex_sync::Result<()> {
        self.log.append(transactions).await
    }

    async fn exchange(
        &self,
        request: &LogRequest,
        limit: usize,
    ) -> storex_sync::Result<Option<Page>> {
        self.tell("begins");
        // As a network would: long enough for another exchange to overlap.
        WebRuntime.sleep(Duration::from_millis(20)).await;
        let page = self.log.exchange(request, limit).await;
        self.tell("ends");
        page
    }

    async fn read(
        &self,
        reader: SyncDevice,
        after: &Cursor,
        limit: usize,
    ) -> storex_sync::Result<Page> {
        self.log.read(reader, after, limit).await
    }

    async fn acknowledge(&self, reader: SyncDevice, cursor: &Cursor) -> storex_sync::Result<()> {
        self.log.acknowledge(reader, cursor).await
    }

    async fn members(&self) -> storex_sync::Result<Vec<Member>> {
        self.log.members().await
    }

    async fn dismiss(&self, device: SyncDevice) -> storex_sync::Result<bool> {
        self.log.dismiss(device).await
    }

    async fn reidentify(&self, known: LogId) -> storex_sync::Result<LogId> {
        self.log.reidentify(known).await
    }

    async fn trim(&self) -> storex_sync::Result<Trimmed> {
        self.log.trim().await
    }
}

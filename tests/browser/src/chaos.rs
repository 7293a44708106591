//! A [`Device`] in one of several tabs that come and go: writes of which a number tells all effects, live queries, and sync by
//! whichever tab may.

use std::sync::Arc;
use std::time::Duration;

use js_sys::Function;
use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Batch, Changes, Filter, OnConflict, Record, Runtime as _, Step, Storage, Value,
    WebRuntime, field,
};
use storex_indexeddb::IndexedDbBackend;
use storex_sync::engine::Backoff;
use storex_sync::http::{HttpClient, HttpSharedLog, StaticToken, Token, WebTransport};
use storex_sync::{ContinuousSync, Exclusive, LeaseTimes, Sync, SyncLog, TabSync, serve_tabs};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};

use crate::device::Device;
use crate::error::{Result, ToJs};
use crate::log_summary::LogSummary;
use crate::schema::registry;
use crate::tabs::TabUse;

/// The account that everybody counts on, and the object that everybody overwrites. Another device makes them.
const COMMON: &str = "common";
const SHARED: &str = "shared";

/// Where nobody tells of news, and nobody writes.
const RARELY: Duration = Duration::from_secs(2);

/// In the script of a worker: keeps the database in step with the server at this address, for all tabs; see
/// [`Device::connect_as_tab`].
#[wasm_bindgen]
pub fn serve_chaos(database: String, server: String, token: String, lease: u32) {
    serve_tabs(Arc::new(WebRuntime), move || {
        let (database, server, token) = (database.clone(), server.clone(), token.clone());
        async move {
            let backend = IndexedDbBackend::open(database)?;
            let storage = Storage::builder(backend, registry(false)?, Arc::new(WebRuntime))
                .middleware(AutoPk::new())
                .middleware(SyncLog::new())
                .open()
                .await?;
            Ok(start(&storage, &server, token, lease).await?)
        }
    });
}

#[wasm_bindgen]
impl Device {
    /// Is kept in step by the worker of this script, which all tabs have; one that is silent for so many milliseconds is replaced.
    ///
    /// # Errors
    /// For a worker that cannot be had.
    pub async fn connect_to_worker(
        &self,
        database: String,
        script: String,
        patience: u32,
    ) -> Result<()> {
        let builder = TabSync::builder(database, Arc::new(WebRuntime)).worker(script);
        let builder = builder.patience(Duration::from_millis(patience.into()));
        let sync = builder.connect().await.to_js()?;
        *self.tabs.borrow_mut() = Some(TabUse::of(sync));
        Ok(())
    }

    /// Keeps in step with the server at this address as long as no other tab does; `lease`: where the browser has no locks, the
    /// next one takes over after so many milliseconds.
    ///
    /// # Errors
    /// The storage's.
    pub async fn connect_as_tab(&self, server: String, token: String, lease: u32) -> Result<()> {
        let continuous = start(&self.storage, &server, token, lease).await.to_js()?;
        *self.continuous.borrow_mut() = Some(Arc::new(continuous));
        Ok(())
    }

    /// The `number`-th write of a tab, in one batch; the first is 1. It makes an object, praises the one before it and deletes the
    /// fourth before it, overwrites what all share, and counts one more on the tab's account and on that of all.
    ///
    /// # Errors
    /// The storage's.
    pub async fn write_numbered(&self, tab: String, team: i32, number: i32) -> Result<()> {
        self.storage.execute(numbered(&tab, i64::from(team), i64::from(number))).await.to_js()?;
        Ok(())
    }

    /// Tells the objects of a collection, as they are now and after each change: `tell(JSON)`.
    ///
    /// # Errors
    /// For what is no collection.
    pub fn show(&self, collection: String, tell: Function) -> Result<()> {
        let collection = self.storage.dynamic(&collection).to_js()?;
        let mut live = collection.live(&json!({}), &json!({})).to_js()?;
        WebRuntime.spawn(Box::pin(async move {
            while let Some(objects) = live.next().await {
                let shown = match objects {
                    Ok(objects) => Json::from(objects),
                    Err(error) => json!({ "error": error.to_string() }),
                };
                // A page that does not listen shows nothing.
                let _ = tell.call1(&JsValue::UNDEFINED, &shown.to_string().into());
            }
        }));
        Ok(())
    }

    /// What the log of the server holds, by device: see [`LogSummary`].
    ///
    /// # Errors
    /// The server's; a transaction that is missing or cannot be read.
    pub async fn summarise_log(&self, server: String, token: String) -> Result<String> {
        let log = log(&server, token).to_js()?;
        let summary = LogSummary::of(&log).await.map_err(|wrong| JsError::new(&wrong))?;
        Ok(summary.to_json().to_string())
    }
}

/// Starts sync that goes on as long as no other tab's does.
async fn start(
    storage: &Storage,
    server: &str,
    token: String,
    lease: u32,
) -> storex_sync::Result<ContinuousSync> {
    let lasts = Duration::from_millis(lease.into());
    let times = LeaseTimes { lasts, renewed: lasts / 5 };
    let exclusive = Exclusive::tabs(storage, "tabs-chaos", times).await?;
    // Each write is to be found in the log.
    let sync = Sync::open(storage, Arc::new(log(server, token)?)).await?.unreduced();
    Ok(ContinuousSync::builder(sync.exclusive(exclusive))
        .intervals(RARELY, RARELY)
        .gather(Duration::from_millis(20))
        .backoff(Backoff { first: Duration::from_millis(100), ..Backoff::default() })
        .compact_every(None)
        .start())
}

fn log(server: &str, token: String) -> storex_sync::Result<HttpSharedLog> {
    let runtime = Arc::new(WebRuntime);
    let transport = Arc::new(WebTransport::new(runtime.clone()));
    let client = HttpClient::new(transport, server, runtime)?;
    let client = client.credentials(Arc::new(StaticToken(Token::new(token))));
    Ok(HttpSharedLog::new(client))
}

fn numbered(tab: &str, team: i64, number: i64) -> Batch {
    let title = |number: i64| format!("{tab}#{number}");
    let own = |number| field("team").eq(team).and(field("title").eq(title(number)));
    let values = [Value::Null, team.into(), number.into(), title(number).into(), 0.into()];
    let one_more = || Changes::new().increment("balance", 1);
    Batch::new()
        .step(Step::create_or(
            "account",
            vec![Record::new(vec![tab.into(), 0.into()])],
            OnConflict::Skip,
        ))
        .update("account", Filter::key(tab), one_more())
        .update("account", Filter::key(COMMON), one_more())
        .create("member", vec![Record::new([&values[..], &[Value::Null]].concat())])
        .update("member", own(number - 1), Changes::new().increment("stars", 1))
        .delete("member", own(number - 4))
        .update(
            "member",
            field("team").eq(0).and(field("title").eq(SHARED)),
            Changes::new().set("size", number).set("body", title(number)),
        )
}

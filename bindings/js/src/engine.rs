//! The engine of sync: what it is started with, in a tab or in the worker of all tabs.

use std::sync::Arc;
use std::time::Duration;

use js_sys::{Function, Promise};
use serde::Deserialize;
use storex_core::{Runtime, Source, Storage, WebRuntime};
use storex_sync::http::{HttpClient, HttpSharedLog, WebTransport};
use storex_sync::{
    Access, ContinuousSync, EncryptedSharedLog, Exclusive, KeyRing, LeaseTimes, Passphrase,
    SharedSyncLog, Sync, SyncError, serve_tabs,
};
use tokio::sync::watch;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::credentials::JsTokens;
use crate::database::Database;
use crate::error::{Result, ToJs, said};

#[wasm_bindgen]
extern "C" {
    /// What `lib/sync.js` gives to start it.
    #[derive(Debug, Clone)]
    pub type Given;

    /// Those of the engine, as JSON.
    #[wasm_bindgen(method, getter)]
    fn options(this: &Given) -> String;

    /// From the token that was not accepted, or null, to another one.
    #[wasm_bindgen(method, getter)]
    fn token(this: &Given) -> Function;

    /// What was kept of an earlier run.
    #[wasm_bindgen(method, getter)]
    fn keys(this: &Given) -> Option<Vec<u8>>;

    /// What the database is opened with, in a worker.
    #[wasm_bindgen(method, getter)]
    fn name(this: &Given) -> String;
    #[wasm_bindgen(method, getter)]
    fn schema(this: &Given) -> String;
    #[wasm_bindgen(method, getter)]
    fn strict(this: &Given) -> bool;
    #[wasm_bindgen(method, getter)]
    fn lost(this: &Given) -> Function;

    /// The script of the worker, for a tab.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn worker(this: &Given) -> Option<String>;

    /// The version of the application, for a tab.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn version(this: &Given) -> Option<String>;
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    server: String,
    device_name: Option<String>,
    passphrase: Option<String>,
    /// Milliseconds.
    shortest_interval: u64,
    longest_interval: u64,
}

/// What the engine is started with.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    options: Options,
    token: Function,
    keys: Option<Vec<u8>>,
}

/// An engine that runs.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) continuous: ContinuousSync,
    pub(crate) rest: OfEngine,
}

/// What else is used of an engine, where it runs.
#[derive(Debug)]
pub(crate) struct OfEngine {
    pub(crate) tokens: Arc<JsTokens>,
    pub(crate) encrypted: Option<Arc<EncryptedSharedLog>>,
}

impl Start {
    pub(crate) fn read(given: &Given) -> Result<Self> {
        let options = serde_json::from_str(&given.options()).to_js()?;
        Ok(Self { options, token: given.token(), keys: given.keys() })
    }

    /// Starts it on the database of this name: it joins the log of the server, and keeps in step with it while no other engine of the
    /// database does.
    pub(crate) async fn on(&self, storage: &Storage, name: &str) -> storex_sync::Result<Engine> {
        let Self { options, token, keys } = self;
        let AtServer { client, tokens, online } = AtServer::new(&options.server, token.clone())?;
        let mut log = HttpSharedLog::new(client);
        if let Some(name) = &options.device_name {
            log = log.device_name(name.as_str());
        }
        let (log, encrypted) =
            encrypted(Arc::new(log), options.passphrase.as_deref(), keys.as_deref()).await?;
        let lock = format!("storex sync of {name}");
        let exclusive = Exclusive::tabs(storage, lock, LeaseTimes::default()).await?;
        let sync = Sync::open(storage, log).await?.exclusive(exclusive);
        let (shortest, longest) = (options.shortest_interval, options.longest_interval);
        let continuous = ContinuousSync::builder(sync)
            .intervals(Duration::from_millis(shortest), Duration::from_millis(longest))
            .online(online)
            .start();
        Ok(Engine { continuous, rest: OfEngine { tokens, encrypted } })
    }
}

/// How a device reaches its server.
pub(crate) struct AtServer {
    pub(crate) client: HttpClient,
    tokens: Arc<JsTokens>,
    /// What the browser says of the connection.
    online: watch::Receiver<bool>,
}

impl AtServer {
    pub(crate) fn new(address: &str, token: Function) -> storex_sync::Result<Self> {
        let runtime = Arc::new(WebRuntime);
        let transport = Arc::new(WebTransport::new(runtime.clone()));
        let online = transport.online();
        let tokens = Arc::new(JsTokens::new(token));
        let client = HttpClient::new(transport, address, runtime)?;
        Ok(Self { client: client.credentials(tokens.clone()), tokens, online })
    }
}

/// The log as it is, or encrypted where there is a passphrase or keys. The first device makes the first key.
async fn encrypted(
    log: Arc<dyn SharedSyncLog>,
    passphrase: Option<&str>,
    keys: Option<&[u8]>,
) -> storex_sync::Result<(Arc<dyn SharedSyncLog>, Option<Arc<EncryptedSharedLog>>)> {
    let runtime: Arc<dyn Runtime> = Arc::new(WebRuntime);
    let around = match (keys, passphrase) {
        (Some(keys), _) => EncryptedSharedLog::new(log, KeyRing::from_bytes(keys)?, runtime),
        (None, Some(passphrase)) => {
            let typed = || Passphrase::new(passphrase);
            match EncryptedSharedLog::open(Arc::clone(&log), &typed(), Arc::clone(&runtime)).await {
                Err(SyncError::NoKeys) => {
                    EncryptedSharedLog::create(log, &Access::by(typed()), runtime).await?
                }
                opened => opened?,
            }
        }
        (None, None) => return Ok((log, None)),
    };
    let around = Arc::new(around);
    Ok((Arc::clone(&around) as Arc<dyn SharedSyncLog>, Some(around)))
}

/// In the script of a worker: serves the tabs of a database. Its sync is started with the first of them, and `given` is asked then: an async
/// function that gives a [`Given`], with what [`Database::open`] needs.
#[wasm_bindgen]
pub fn serve_sync(given: Function) {
    serve_tabs(Arc::new(WebRuntime), move || start_in_worker(given.clone()));
}

async fn start_in_worker(given: Function) -> std::result::Result<ContinuousSync, Source> {
    let starting = async {
        let given = Promise::resolve(&given.call0(&JsValue::UNDEFINED)?);
        let given: Given = JsFuture::from(given).await?.unchecked_into();
        let start = Start::read(&given)?;
        let (name, schema) = (given.name(), given.schema());
        let opened = Database::open(name, schema, given.strict(), given.lost(), true).await?;
        start.on(&opened.storage, &opened.name).await.to_js()
    };
    let engine = starting.await.map_err(|error: JsValue| said(&error))?;
    Ok(engine.continuous)
}

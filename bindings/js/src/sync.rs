//! [`SyncHandle`]: continuous sync with a server.

use std::sync::Arc;
use std::time::Duration;

use js_sys::Function;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use storex_core::{Runtime, Timestamp, WebRuntime};
use storex_sync::http::{HttpClient, HttpSharedLog, WebTransport, id_text};
use storex_sync::{
    Access, ContinuousSync, Device, EncryptedSharedLog, Exclusive, KeyRing, LeaseTimes, Passphrase,
    Phase, SharedSyncLog, Sync, SyncError, SyncEvent, SyncReport, SyncStatus, WaitsFor, WriteId,
    page_awake, parked, rejected,
};
use tokio::sync::watch;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::credentials::JsTokens;
use crate::database::Database;
use crate::error::{Result, ToJs, closed, invalid};
use crate::telling::{Subscription, call, tell};

/// How a device reaches its server.
pub(crate) struct AtServer {
    pub(crate) client: HttpClient,
    tokens: Arc<JsTokens>,
    /// What the browser says of the connection.
    online: watch::Receiver<bool>,
}

impl AtServer {
    pub(crate) fn new(address: &str, token: Function) -> Result<Self> {
        let runtime = Arc::new(WebRuntime);
        let transport = Arc::new(WebTransport::new(runtime.clone()));
        let online = transport.online();
        let tokens = Arc::new(JsTokens::new(token));
        let client = HttpClient::new(transport, address, runtime).to_js()?;
        Ok(Self { client: client.credentials(tokens.clone()), tokens, online })
    }
}

/// As `lib/sync.js` writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    server: String,
    device_name: Option<String>,
    passphrase: Option<String>,
    /// Milliseconds.
    shortest_interval: u64,
    longest_interval: u64,
}

/// Continuous sync with a server, which goes on until it is stopped.
#[wasm_bindgen]
#[derive(Debug)]
pub struct SyncHandle {
    pub(crate) continuous: ContinuousSync,
    tokens: Arc<JsTokens>,
    encrypted: Option<Arc<EncryptedSharedLog>>,
}

#[wasm_bindgen]
impl Database {
    /// Joins the log of a server and keeps in step with it from now on. `token` is a function from the token that was not accepted, or
    /// null, to another one. `keys` are those of [`SyncHandle::keys`].
    ///
    /// # Errors
    /// The storage's; with a passphrase and no keys, those of the server.
    pub async fn start_sync(
        &self,
        options: String,
        token: Function,
        keys: Option<Vec<u8>>,
    ) -> Result<SyncHandle> {
        let options: Options = serde_json::from_str(&options).to_js()?;
        let AtServer { client, tokens, online } = AtServer::new(&options.server, token)?;
        let mut log = HttpSharedLog::new(client);
        if let Some(name) = &options.device_name {
            log = log.device_name(name.as_str());
        }
        let (log, encrypted) = encrypted(Arc::new(log), &options, keys).await?;
        let lock = format!("storex sync of {}", self.name);
        let exclusive =
            Exclusive::tabs(&self.storage, lock, LeaseTimes::default()).await.to_js()?;
        let sync = Sync::open(&self.storage, log).await.to_js()?.exclusive(exclusive);
        let (shortest, longest) = (options.shortest_interval, options.longest_interval);
        let runtime: Arc<dyn Runtime> = Arc::new(WebRuntime);
        let continuous = ContinuousSync::builder(sync)
            .intervals(Duration::from_millis(shortest), Duration::from_millis(longest))
            .online(online)
            .awake(page_awake(&runtime))
            .start();
        Ok(SyncHandle { continuous, tokens, encrypted })
    }
}

/// The log as it is, or encrypted where there is a passphrase or keys. The first device makes the first key.
async fn encrypted(
    log: Arc<dyn SharedSyncLog>,
    options: &Options,
    keys: Option<Vec<u8>>,
) -> Result<(Arc<dyn SharedSyncLog>, Option<Arc<EncryptedSharedLog>>)> {
    let runtime: Arc<dyn Runtime> = Arc::new(WebRuntime);
    let around = match (keys, &options.passphrase) {
        (Some(keys), _) => {
            EncryptedSharedLog::new(log, KeyRing::from_bytes(&keys).to_js()?, runtime)
        }
        (None, Some(passphrase)) => {
            let typed = || Passphrase::new(passphrase.as_str());
            match EncryptedSharedLog::open(Arc::clone(&log), &typed(), Arc::clone(&runtime)).await {
                Err(SyncError::NoKeys) => {
                    EncryptedSharedLog::create(log, &Access::by(typed()), runtime).await.to_js()?
                }
                opened => opened.to_js()?,
            }
        }
        (None, None) => return Ok((log, None)),
    };
    let around = Arc::new(around);
    Ok((Arc::clone(&around) as Arc<dyn SharedSyncLog>, Some(around)))
}

#[wasm_bindgen]
impl SyncHandle {
    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> String {
        status_json(&self.continuous.status().borrow()).to_string()
    }

    /// Tells the status, now and whenever it changes.
    pub fn on_status(&self, told: Function) -> Subscription {
        let mut receiver = self.continuous.status();
        receiver.mark_changed();
        tell(receiver, async move |receiver| {
            if receiver.changed().await.is_err() {
                return false;
            }
            let status = status_json(&receiver.borrow_and_update()).to_string();
            call(&told, &status.into());
            true
        })
    }

    /// Tells what has happened.
    pub fn on_event(&self, told: Function) -> Subscription {
        tell(self.continuous.events(), async move |events| {
            let Some(event) = events.next().await else { return false };
            call(&told, &event_json(&event).to_string().into());
            true
        })
    }

    /// Makes an exchange now, and tells what it has done.
    ///
    /// # Errors
    /// The exchange's; when it was stopped.
    pub async fn sync_now(&self) -> Result<String> {
        let exchanged = self.continuous.sync_now().await;
        let report = exchanged.ok_or_else(|| closed("sync was stopped"))?.to_js()?;
        Ok(report_json(&report).to_string())
    }

    /// Makes no exchange until it is resumed.
    ///
    /// # Errors
    /// When it was stopped.
    pub async fn pause(&self) -> Result<()> {
        self.continuous.pause().await.to_js()
    }

    /// Goes on.
    ///
    /// # Errors
    /// When it was stopped.
    pub async fn resume(&self) -> Result<()> {
        self.continuous.resume().await.to_js()
    }

    /// Ends after the exchange that is running.
    pub async fn stop(&self) {
        self.continuous.stop().await;
    }

    /// Somebody has logged in: the application is asked for a token again.
    pub fn logged_in(&self) {
        self.tokens.forget();
        self.continuous.logged_in();
    }

    /// How many transactions are still to be sent.
    ///
    /// # Errors
    /// The storage's.
    pub async fn unsent(&self) -> Result<f64> {
        Ok(crate::database::number(self.continuous.sync().unsent().await.to_js()?))
    }

    /// The digits by which the server knows this device.
    ///
    /// # Errors
    /// The storage's.
    pub async fn device_id(&self) -> Result<String> {
        Ok(id_text(self.continuous.sync().device().await.to_js()?.id))
    }

    /// The keys that the log is encrypted with, for the next time; nothing without encryption. They are a secret.
    #[must_use]
    pub fn keys(&self) -> Option<Vec<u8>> {
        self.encrypted.as_ref().map(|log| log.key_ring().to_bytes().to_vec())
    }

    /// Takes up keys that a new passphrase opens.
    ///
    /// # Errors
    /// For a wrong one; those of the server.
    pub async fn unlock(&self, passphrase: String) -> Result<()> {
        match &self.encrypted {
            Some(log) => log.unlock(&Passphrase::new(passphrase)).await.to_js(),
            None => Err(invalid("this sync is not encrypted: start it with a passphrase")),
        }
    }
}

#[wasm_bindgen]
impl Database {
    /// What others have written and could not be applied yet.
    ///
    /// # Errors
    /// The storage's.
    pub async fn parked(&self) -> Result<String> {
        let list = parked(&self.storage).await.to_js()?;
        let list = list.into_iter().map(|it| {
            json!({
                "write": write_text(it.device, it.sequence),
                "reason": it.reason,
                "waitsFor": match it.waits_for {
                    WaitsFor::Update => "update",
                    WaitsFor::Change => "change",
                    WaitsFor::Time => "time",
                    WaitsFor::InitialSync => "initial-sync",
                },
            })
        });
        Ok(Json::Array(list.collect()).to_string())
    }

    /// What was written here and the shared log refuses for good.
    ///
    /// # Errors
    /// The storage's.
    pub async fn rejected(&self) -> Result<String> {
        let list = rejected(&self.storage).await.to_js()?;
        let list = list.into_iter().map(|it| {
            json!({ "write": write_text(it.write.device, it.write.sequence), "reason": it.reason })
        });
        Ok(Json::Array(list.collect()).to_string())
    }
}

#[wasm_bindgen]
impl SyncHandle {
    /// Tries what is parked again.
    ///
    /// # Errors
    /// The storage's.
    pub async fn retry_parked(&self) -> Result<()> {
        self.continuous.sync().retry_parked().await.to_js()?;
        Ok(())
    }

    /// Forgets a parked transaction.
    ///
    /// # Errors
    /// When it is not parked.
    pub async fn discard_parked(&self, write: String) -> Result<()> {
        self.continuous.sync().discard(write_id(&write)?).await.to_js()?;
        Ok(())
    }

    /// Writes again what the shared log has refused.
    ///
    /// # Errors
    /// When it was not refused.
    pub async fn retry_rejected(&self, write: String) -> Result<()> {
        self.continuous.sync().retry_rejected(write_id(&write)?).await.to_js()
    }

    /// Takes back what the shared log has refused.
    ///
    /// # Errors
    /// When it was not refused.
    pub async fn discard_rejected(&self, write: String) -> Result<()> {
        self.continuous.sync().discard_rejected(write_id(&write)?).await.to_js()?;
        Ok(())
    }
}

/// The name of a transaction: device, incarnation and number.
fn write_text(device: Device, sequence: u64) -> String {
    format!("{}.{}.{sequence}", id_text(device.id), device.incarnation)
}

fn write_id(text: &str) -> Result<WriteId> {
    let read = || {
        let mut parts = text.split('.');
        let (id, incarnation, sequence) = (parts.next()?, parts.next()?, parts.next()?);
        let device = Device {
            id: u128::from_str_radix(id, 16).ok()?.to_be_bytes(),
            incarnation: incarnation.parse().ok()?,
        };
        Some(WriteId { device, sequence: sequence.parse().ok()? })
    };
    read().ok_or_else(|| invalid(&format!("`{text}` is no name of a transaction")))
}

fn status_json(status: &SyncStatus) -> Json {
    let at = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
    json!({
        "phase": phase_word(status.phase),
        "inStep": status.in_step,
        "rounds": status.rounds,
        "failures": status.failures,
        "unsent": status.unsent,
        "parked": status.parked,
        "rejected": status.rejected,
        "missing": status.missing.len(),
        "lastSuccess": at(status.last_success),
        "lastError": status.last_error,
        "lastErrorAt": at(status.last_error_at),
        "nextAttempt": at(status.next_attempt),
        "progress": status.progress.map(|it| {
            json!({ "sent": it.sent, "toSend": it.to_send, "received": it.received })
        }),
    })
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting",
        Phase::Sending => "sending",
        Phase::Receiving => "receiving",
        Phase::Offline => "offline",
        Phase::Paused => "paused",
        Phase::NeedsLogin => "needs-login",
        Phase::BackingOff { .. } => "backing-off",
        Phase::StandingBy => "standing-by",
        Phase::Stopped => "stopped",
        _ => "disconnected",
    }
}

fn event_json(event: &SyncEvent) -> Json {
    match event {
        SyncEvent::Exchanged(report) => {
            json!({ "type": "exchanged", "report": report_json(report) })
        }
        SyncEvent::Failed { error, attempts } => json!({
            "type": "failed",
            "message": error.to_string(),
            "retryable": error.is_retryable(),
            "attempts": attempts,
        }),
        SyncEvent::Compacted(_) => json!({ "type": "compacted" }),
        _ => json!({ "type": "other" }),
    }
}

fn report_json(report: &SyncReport) -> Json {
    json!({
        "sent": report.sent_transactions,
        "received": report.received.transactions,
        "conflicts": report.received.conflicts.len(),
        "rejected": report.rejected.len(),
    })
}

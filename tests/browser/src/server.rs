//! A [`Device`] that a server keeps in step, as an application in a page makes it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use storex_core::WebRuntime;
use storex_sync::http::{
    HttpClient, HttpSharedLog, RoomCode, SharedToken, Token, TokenSource, Tokens, WebTransport,
    id_text,
};
use storex_sync::{
    Channel, ContinuousSync, DeviceKey, HeartbeatChannel, InitialSync, Pairing, RelayChannel,
    SecureChannel, Sync, SyncError, SyncStatus,
};
use tokio::sync::watch;
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::device::{Device, summary};
use crate::error::{Result, ToJs};

/// What is exchanged is exchanged because of a write or of news.
const RARELY: Duration = Duration::from_secs(3600);

/// How a device reaches its server.
#[derive(Debug, Clone)]
pub(crate) struct AtServer {
    pub(crate) client: HttpClient,
    token: SharedToken,
    /// What the browser says of the connection.
    pub(crate) online: watch::Receiver<bool>,
}

/// A login that ends with its token.
#[derive(Debug)]
struct NoRenewal;

#[async_trait(?Send)]
impl TokenSource for NoRenewal {
    async fn renew(&self, _: &Tokens) -> storex_sync::Result<Tokens> {
        Err(SyncError::Unauthorized { reason: "the login has ended".to_owned() })
    }
}

#[wasm_bindgen]
impl Device {
    /// From now on there is a server at this address. The token is that of the last login, if there was one.
    ///
    /// # Errors
    /// For what is no address.
    pub fn reach(&self, address: String) -> Result<()> {
        let runtime = Arc::new(WebRuntime);
        let transport = Arc::new(WebTransport::new(runtime.clone()));
        let online = transport.online();
        let token = SharedToken::new(&self.storage, Arc::new(NoRenewal));
        let client = HttpClient::new(transport, &address, runtime).to_js()?;
        let client = client.credentials(Arc::new(token.clone()));
        *self.server.borrow_mut() = Some(AtServer { client, token, online });
        Ok(())
    }

    /// Joins the log of the server and keeps in step with it from now on. `name` is what people call this device.
    ///
    /// # Errors
    /// The storage's.
    pub async fn connect(&self, name: String) -> Result<()> {
        let AtServer { client, online, .. } = self.at_server()?;
        let log = HttpSharedLog::new(client).device_name(name);
        let sync = Sync::open(&self.storage, Arc::new(log)).await.to_js()?;
        let builder = ContinuousSync::builder(sync.clone()).intervals(RARELY, RARELY);
        let continuous = builder.online(online).start();
        *self.sync.borrow_mut() = Some(sync);
        *self.continuous.borrow_mut() = Some(Arc::new(continuous));
        Ok(())
    }

    /// Keeps the token of a login, and goes on with it.
    ///
    /// # Errors
    /// The storage's.
    pub async fn login(&self, token: String) -> Result<()> {
        let tokens = Tokens { access: Token::new(token), refresh: None };
        self.at_server()?.token.login(tokens).await.to_js()?;
        if let Ok(continuous) = self.continuous() {
            continuous.logged_in();
        }
        Ok(())
    }

    /// Returns when so many objects match.
    ///
    /// # Errors
    /// The storage's.
    pub async fn has(&self, collection: String, filter: String, count: usize) -> Result<()> {
        let filter = serde_json::from_str(&filter).to_js()?;
        let mut live =
            self.storage.dynamic(&collection).to_js()?.live(&filter, &json!({})).to_js()?;
        while let Some(found) = live.next().await {
            if found.to_js()?.len() == count {
                return Ok(());
            }
        }
        Err(JsError::new("the storage was closed"))
    }

    /// Returns when continuous sync is in this phase, and tells its status.
    ///
    /// # Errors
    /// When it was stopped.
    pub async fn phase(&self, phase: String) -> Result<String> {
        self.status_with(|status| phase_name(status) == phase).await
    }

    /// Returns when everything was sent and received, as far as is known, and tells the status.
    ///
    /// # Errors
    /// When continuous sync was stopped.
    pub async fn in_step(&self) -> Result<String> {
        self.status_with(|status| status.in_step && status.unsent == 0).await
    }

    /// What continuous sync is doing.
    ///
    /// # Errors
    /// When there is none.
    pub fn status(&self) -> Result<String> {
        Ok(shown(&self.continuous()?.status().borrow()))
    }

    /// Makes an exchange now.
    ///
    /// # Errors
    /// The exchange's.
    pub async fn sync_now(&self) -> Result<()> {
        let exchanged = self.continuous()?.sync_now().await;
        exchanged.ok_or_else(|| JsError::new("it was stopped"))?.to_js()?;
        Ok(())
    }

    /// The digits by which the server knows this device.
    ///
    /// # Errors
    /// The storage's.
    pub async fn device_id(&self) -> Result<String> {
        let sync = self.joined()?;
        Ok(Json::from(id_text(sync.device().await.to_js()?.id)).to_string())
    }

    /// Opens a room of the server and waits in it for a device to send everything to. `tell` gets what is to be typed there.
    ///
    /// # Errors
    /// The room's, those of pairing, those of the initial sync.
    pub async fn send_in_room(&self, tell: js_sys::Function) -> Result<String> {
        let channel = self.host_room(&tell).await?;
        let mut channel = HeartbeatChannel::new(channel, Arc::new(WebRuntime));
        let report = InitialSync::open(&self.storage).await.to_js()?.send(&mut channel).await;
        channel.close().await.to_js()?;
        Ok(summary(&report.to_js()?))
    }

    /// Receives everything from the device that shows this.
    ///
    /// # Errors
    /// As `send_in_room`.
    pub async fn receive_in_room(&self, typed: String) -> Result<String> {
        let channel = self.enter_room(&typed).await?;
        let mut channel = HeartbeatChannel::new(channel, Arc::new(WebRuntime));
        let report = InitialSync::open(&self.storage).await.to_js()?.receive(&mut channel).await;
        channel.close().await.to_js()?;
        Ok(summary(&report.to_js()?))
    }

    /// Opens a room of the server and waits in it for a device, with which it is paired. `tell` gets what is to be typed there.
    pub(crate) async fn host_room(
        &self,
        tell: &js_sys::Function,
    ) -> Result<SecureChannel<RelayChannel>> {
        let (client, runtime) = (self.at_server()?.client, Arc::new(WebRuntime));
        let mut pairing = Pairing::new(runtime.clone());
        let room = client.open_room().await.to_js()?;
        let mut joined = client.join_room(&room).await.to_js()?;
        let shown = format!("{room}-{}", pairing.code());
        // Whoever does not listen does not matter here.
        let _ = tell.call1(&wasm_bindgen::JsValue::UNDEFINED, &shown.into());
        joined.spoken_to().await;
        pairing.accept(joined, &DeviceKey::generate(&*runtime)).await.to_js()
    }

    /// Goes to the device that shows this.
    pub(crate) async fn enter_room(&self, typed: &str) -> Result<SecureChannel<RelayChannel>> {
        let (client, runtime) = (self.at_server()?.client, Arc::new(WebRuntime));
        let RoomCode { room, code } = typed.parse().to_js()?;
        let joined = client.join_room(&room).await.to_js()?;
        let key = DeviceKey::generate(&*runtime);
        SecureChannel::pair(joined, &code, &key, runtime.clone()).await.to_js()
    }

    pub(crate) fn at_server(&self) -> Result<AtServer> {
        let server = self.server.borrow().clone();
        server.ok_or_else(|| JsError::new("this device is connected to no server"))
    }

    pub(crate) fn continuous(&self) -> Result<Arc<ContinuousSync>> {
        let continuous = self.continuous.borrow().clone();
        continuous.ok_or_else(|| JsError::new("this device is not kept in step"))
    }

    async fn status_with(&self, condition: impl FnMut(&SyncStatus) -> bool) -> Result<String> {
        let mut status: watch::Receiver<SyncStatus> = self.continuous()?.status();
        Ok(shown(&*status.wait_for(condition).await.to_js()?))
    }
}

/// Its name, without what else it tells.
fn phase_name(status: &SyncStatus) -> String {
    let phase = format!("{:?}", status.phase);
    phase.split(' ').next().unwrap_or_default().to_owned()
}

fn shown(status: &SyncStatus) -> String {
    json!({
        "phase": phase_name(status),
        "in_step": status.in_step,
        "rounds": status.rounds,
        "failures": status.failures,
        "unsent": status.unsent,
        "parked": status.parked,
        "rejected": status.rejected,
        "error": status.last_error,
    })
    .to_string()
}

//! Initial sync by code, over the relay of a server.

use std::sync::Arc;

use js_sys::Function;
use serde_json::json;
use storex_core::WebRuntime;
use storex_sync::http::RoomCode;
use storex_sync::{
    BothWaysReport, Channel, DeviceKey, HeartbeatChannel, InitialSync, InitialSyncEvent, Pairing,
    Role, SecureChannel, SyncError,
};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::database::Database;
use crate::engine::AtServer;
use crate::error::{Result, ToJs};
use crate::telling::call;

#[wasm_bindgen]
impl Database {
    /// Opens a room of the server and waits in it for another device; `shown` gets the code that is to be typed there. Then each side's
    /// contents are brought to the other.
    ///
    /// # Errors
    /// The room's, those of pairing, those of the initial sync.
    pub async fn offer_initial_sync(
        &self,
        server: String,
        token: Function,
        shown: Function,
        told: Function,
    ) -> Result<String> {
        let client = AtServer::new(&server, token).to_js()?.client;
        let runtime = Arc::new(WebRuntime);
        let mut pairing = Pairing::new(runtime.clone());
        let room = client.open_room().await.to_js()?;
        let mut joined = client.join_room(&room).await.to_js()?;
        call(&shown, &format!("{room}-{}", pairing.code()).into());
        joined.spoken_to().await;
        let key = DeviceKey::generate(&*runtime);
        let channel = pairing.accept(joined, &key).await.to_js()?;
        self.exchange_all(channel, told).await.to_js()
    }

    /// Joins the device that shows this code.
    ///
    /// # Errors
    /// As [`Database::offer_initial_sync`].
    pub async fn join_initial_sync(
        &self,
        server: String,
        token: Function,
        typed: String,
        told: Function,
    ) -> Result<String> {
        let client = AtServer::new(&server, token).to_js()?.client;
        let runtime = Arc::new(WebRuntime);
        let RoomCode { room, code } = typed.parse().to_js()?;
        let joined = client.join_room(&room).await.to_js()?;
        let key = DeviceKey::generate(&*runtime);
        let channel = SecureChannel::pair(joined, &code, &key, runtime).await.to_js()?;
        self.exchange_all(channel, told).await.to_js()
    }
}

impl Database {
    async fn exchange_all<C: Channel + 'static>(
        &self,
        channel: C,
        told: Function,
    ) -> std::result::Result<String, SyncError> {
        let mut channel = HeartbeatChannel::new(channel, Arc::new(WebRuntime));
        let sync =
            InitialSync::open(&self.storage).await?.on_event(move |event| tell(&told, event));
        let report = sync.both_ways(&mut channel).await;
        // What the initial sync says counts for more than how the channel is closed.
        let closed = channel.close().await;
        let BothWaysReport { sent, received } = report?;
        closed?;
        Ok(json!({
            "sent": sent.total(),
            "received": received.total(),
            "kept": received.kept,
            "parked": received.parked,
        })
        .to_string())
    }
}

fn tell(told: &Function, event: &InitialSyncEvent) {
    let role = |role: &Role| match role {
        Role::Sender => "sender",
        Role::Receiver => "receiver",
    };
    let json = match event {
        InitialSyncEvent::Prepared { role: it, objects, collections } => {
            json!({ "type": "prepared", "role": role(it), "objects": objects, "collections": collections })
        }
        InitialSyncEvent::Progress { role: it, collection, done, total } => json!({
            "type": "progress",
            "role": role(it),
            "collection": collection.as_deref(),
            "done": done,
            "total": total,
        }),
        InitialSyncEvent::RoleSwitch { before, after } => {
            json!({ "type": "roleSwitch", "before": role(before), "after": role(after) })
        }
        InitialSyncEvent::Stalled { .. } => json!({ "type": "stalled" }),
        InitialSyncEvent::Finished => json!({ "type": "finished" }),
        _ => return,
    };
    call(told, &json.to_string().into());
}

//! Two [`Device`]s in a room of a server that connect directly where they can: `RtcChannel`, signalled over the room.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use storex_core::{Runtime, WebRuntime};
use storex_sync::{
    Channel, HeartbeatChannel, InitialSync, RelayChannel, RtcChannel, RtcConfig, SecureChannel,
    SyncError,
};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::device::{Device, summary};
use crate::error::{Result, ToJs};

/// The bytes of a frame of which many are sent.
const FRAME: usize = 1 << 20;

/// What goes between two devices, and why it is not direct.
type Way = (HeartbeatChannel<Box<dyn Channel>>, Option<String>);

#[wasm_bindgen]
impl Device {
    /// Opens a room, waits for a device in it, and sends it everything: directly, if a way is found in so many milliseconds (0: none is
    /// looked for), or through the room. `tell` gets what is to be typed there. Tells which of the two it was, and how long it took.
    ///
    /// # Errors
    /// The room's, those of pairing, those of the initial sync.
    pub async fn send_by(&self, tell: js_sys::Function, milliseconds: u32) -> Result<String> {
        let room = self.host_room(&tell).await?;
        let (mut channel, why) = way(room, milliseconds, true).await?;
        let begun = WebRuntime.now();
        let report = InitialSync::open(&self.storage).await.to_js()?.send(&mut channel).await;
        let report = report.to_js()?;
        channel.close().await.to_js()?;
        told(serde_json::from_str(&summary(&report)).to_js()?, why, begun)
    }

    /// Receives everything from the device that shows this.
    ///
    /// # Errors
    /// As `send_by`.
    pub async fn receive_by(&self, typed: String, milliseconds: u32) -> Result<String> {
        let room = self.enter_room(&typed).await?;
        let (mut channel, why) = way(room, milliseconds, false).await?;
        let begun = WebRuntime.now();
        let report = InitialSync::open(&self.storage).await.to_js()?.receive(&mut channel).await;
        let report = report.to_js()?;
        channel.close().await.to_js()?;
        told(serde_json::from_str(&summary(&report)).to_js()?, why, begun)
    }

    /// As `send_by`, but so many frames of 1 MiB that mean nothing, and an empty one, which the other side sends back.
    ///
    /// # Errors
    /// The room's, those of pairing, the channel's.
    pub async fn send_frames(
        &self,
        tell: js_sys::Function,
        milliseconds: u32,
        frames: u32,
    ) -> Result<String> {
        let room = self.host_room(&tell).await?;
        let (mut channel, why) = way(room, milliseconds, true).await?;
        let begun = WebRuntime.now();
        for _ in 0..frames {
            channel.send(vec![7; FRAME]).await.to_js()?;
        }
        channel.send(Vec::new()).await.to_js()?;
        // The other side has all of it. That it ends does not tell: a room ends for both as soon as one of them has closed.
        channel.recv().await.to_js()?.ok_or_else(|| JsError::new("it has gone"))?;
        channel.close().await.to_js()?;
        told(json!({}), why, begun)
    }

    /// The other side of `send_frames`.
    ///
    /// # Errors
    /// As there.
    pub async fn receive_frames(&self, typed: String, milliseconds: u32) -> Result<String> {
        let room = self.enter_room(&typed).await?;
        let (mut channel, why) = way(room, milliseconds, false).await?;
        let (begun, mut bytes) = (WebRuntime.now(), 0);
        while let Some(frame) = channel.recv().await.to_js()? {
            bytes += frame.len();
            if frame.is_empty() {
                channel.send(frame).await.to_js()?;
            }
        }
        channel.close().await.to_js()?;
        told(json!({ "bytes": bytes }), why, begun)
    }
}

/// The direct way, if there is one; both ends find the same.
async fn way(
    mut room: SecureChannel<RelayChannel>,
    milliseconds: u32,
    offers: bool,
) -> Result<Way> {
    let runtime = Arc::new(WebRuntime);
    let heartbeat = |channel: Box<dyn Channel>| HeartbeatChannel::new(channel, runtime.clone());
    if milliseconds == 0 {
        return Ok((heartbeat(Box::new(room)), Some("none was looked for".to_owned())));
    }
    let config = RtcConfig::new().deadline(Duration::from_millis(milliseconds.into()));
    let found = if offers {
        RtcChannel::offer(&mut room, &config, runtime.clone()).await
    } else {
        RtcChannel::answer(&mut room, &config, runtime.clone()).await
    };
    match found {
        Ok(direct) => Ok((heartbeat(Box::new(direct)), None)),
        Err(SyncError::NotDirect { reason }) => Ok((heartbeat(Box::new(room)), Some(reason))),
        Err(error) => Err(error).to_js(),
    }
}

fn told(mut told: Json, why: Option<String>, begun: storex_core::Timestamp) -> Result<String> {
    let all = told.as_object_mut().ok_or_else(|| JsError::new("no object"))?;
    all.insert("direct".to_owned(), why.is_none().into());
    all.insert("why".to_owned(), why.into());
    all.insert("milliseconds".to_owned(), WebRuntime.now().0.saturating_sub(begun.0).into());
    Ok(told.to_string())
}

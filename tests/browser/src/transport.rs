//! Single requests of the browser's transport, to a server that does what a scenario wants.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use storex_core::{Runtime, WebRuntime};
use storex_sync::http::{HttpClient, HttpTransport, Method, Request, WebTransport};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::error::{Result, ToJs};

/// Makes a request with a body of so many bytes by chance, and takes an answer of at most `most_bytes`. Tells the status, and how many
/// bytes have come and their sum; or the error.
#[wasm_bindgen]
pub async fn ask(url: String, bytes: usize, most_bytes: usize) -> String {
    let mut body = vec![0; bytes];
    // In pieces, of which a browser fills none that is larger.
    body.chunks_mut(65_536).for_each(|piece| WebRuntime.fill_random(piece));
    let sent = sum(&body);
    let method = if body.is_empty() { Method::Get } else { Method::Post };
    let headers = vec![("content-type", "application/octet-stream".to_owned())];
    let request = Request { method, url, headers, body, most_bytes };
    match WebTransport::new(Arc::new(WebRuntime)).request(request).await {
        Ok(answer) => json!({
            "status": answer.status,
            "type": answer.header("content-type"),
            "sent": sent,
            "bytes": answer.body.len(),
            "sum": sum(&answer.body),
        }),
        Err(error) => json!({ "error": format!("{error:?}") }),
    }
    .to_string()
}

/// What can be told apart with little work on the other side.
fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)))
}

/// Asks a server for its devices: how many there are, or the error.
///
/// # Errors
/// For what is no address.
#[wasm_bindgen]
pub async fn ask_for_devices(address: String, milliseconds: u32) -> Result<String> {
    let runtime = Arc::new(WebRuntime);
    let transport = Arc::new(WebTransport::new(runtime.clone()));
    let client = HttpClient::new(transport, &address, runtime).to_js()?;
    let devices = client.deadline(Duration::from_millis(milliseconds.into())).devices().await;
    Ok(match devices {
        Ok(devices) => json!({ "devices": devices.len() }),
        Err(error) => json!({ "error": format!("{error:?}") }),
    }
    .to_string())
}

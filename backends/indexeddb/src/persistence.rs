//! What the browser promises about the data of this site.

use js_sys::{Function, Promise, Reflect};
use storex_core::Result;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::error;
use crate::raw::DomError;

/// How much this site stores, and how much it may.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StorageEstimate {
    /// Bytes in use, about.
    pub usage: f64,
    /// Bytes that may be used, about.
    pub quota: f64,
}

/// Asks the browser to keep the data of this site until the user removes it. Without it, browsers evict when the disk gets
/// full, and some after a week without a visit. `false`: it will not promise. Some browsers ask the user, so call it when
/// the user has just done something worth keeping.
///
/// Only pages may ask, workers may not.
///
/// # Errors
/// [`ErrorKind::Unsupported`](storex_core::ErrorKind::Unsupported) where this cannot be asked for.
pub async fn persist() -> Result<bool> {
    Ok(ask("persist").await?.is_truthy())
}

/// Whether the browser has promised to keep the data of this site.
///
/// # Errors
/// As [`persist`].
pub async fn is_persisted() -> Result<bool> {
    Ok(ask("persisted").await?.is_truthy())
}

/// How much this site stores, and how much it may.
///
/// # Errors
/// As [`persist`].
pub async fn estimate() -> Result<StorageEstimate> {
    let estimate = ask("estimate").await?;
    let number = |name: &str| {
        Reflect::get(&estimate, &name.into())
            .ok()
            .and_then(|number| number.as_f64())
            .unwrap_or_default()
    };
    Ok(StorageEstimate { usage: number("usage"), quota: number("quota") })
}

async fn ask(method: &str) -> Result<JsValue> {
    let answer = async {
        let manager = Reflect::get(
            &Reflect::get(&js_sys::global(), &"navigator".into())?,
            &"storage".into(),
        )?;
        let function: Function = Reflect::get(&manager, &method.into())?.dyn_into()?;
        let promise: Promise = function.call0(&manager)?.dyn_into()?;
        JsFuture::from(promise).await
    };
    answer.await.map_err(|thrown: JsValue| {
        let source = DomError::from(&thrown);
        let unsupported =
            DomError { name: "NotSupportedError".to_owned(), message: source.message };
        error::failed("ask about persistent storage", None, unsupported)
    })
}

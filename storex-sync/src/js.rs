//! What JavaScript throws.

use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// What an error of JavaScript says, with its name: `TypeError: Failed to fetch`. That of another document is no instance of the classes here.
pub(crate) fn said(error: &JsValue) -> String {
    let text = |name: &str| Reflect::get(error, &name.into()).ok()?.as_string();
    match (text("name"), text("message")) {
        (Some(name), Some(message)) => format!("{name}: {message}"),
        _ => error.as_string().unwrap_or_else(|| format!("{error:?}")),
    }
}

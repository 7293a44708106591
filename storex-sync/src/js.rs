//! What JavaScript throws.

use wasm_bindgen::{JsCast, JsValue};

/// What an error of JavaScript says, with its name: `TypeError: Failed to fetch`.
pub(crate) fn said(error: &JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.to_string()),
        None => format!("{error:?}"),
    }
}

//! Key paths of stores and indices, as properties.

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};

/// The properties of a key path, where it leads to properties of the object itself; the error says what else it is.
pub(super) fn properties(path: &JsValue) -> Result<Vec<String>, String> {
    if let Some(path) = path.as_string() {
        return property(path).map(|property| vec![property]);
    }
    let parts =
        path.dyn_ref::<Array>().map(|parts| parts.iter().collect::<Vec<_>>()).unwrap_or_default();
    if parts.len() < 2 {
        return Err("is a list of one property".to_owned());
    }
    parts.iter().map(|part| property(part.as_string().unwrap_or_default())).collect()
}

fn property(path: String) -> Result<String, String> {
    match path.as_str() {
        "" => Err("is the object itself".to_owned()),
        path if path.contains('.') => Err(format!("lies deeper in the objects (`{path}`)")),
        crate::adopt::KEY_BESIDE => {
            Err(format!("is `{path}`, a name that storex keeps for keys beside the objects"))
        }
        _ => Ok(path),
    }
}

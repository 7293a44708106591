//! [`DomError`]: what the browser threw, copied out of JavaScript.

use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// What the browser threw or reported.
///
/// Name and message are copied out of the JavaScript value, because an error of storex must be able to cross threads
/// and the value cannot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub(crate) struct DomError {
    /// The class of the failure: `QuotaExceededError`, `ConstraintError`, ...
    pub name: String,
    /// The browser's own words.
    pub message: String,
}

impl DomError {
    /// The name of an error that is null: browsers give it when a connection is lost, and now and then without a reason.
    pub(crate) const NULL: &str = "NullError";

    pub(crate) fn new(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), message: message.into() }
    }

    /// An error that the browser reported without saying what it is.
    pub(crate) fn null(message: &str) -> Self {
        Self::new(Self::NULL, message)
    }

    /// Whether this is the error of that name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

impl From<JsValue> for DomError {
    fn from(value: JsValue) -> Self {
        Self::from(&value)
    }
}

/// Of a `DOMException`, an `Error`, or whatever else was thrown.
impl From<&JsValue> for DomError {
    fn from(value: &JsValue) -> Self {
        if value.is_null() || value.is_undefined() {
            return Self::null("the browser gave no error");
        }
        Self {
            name: text(value, "name").unwrap_or_else(|| "Error".to_owned()),
            message: text(value, "message")
                .or_else(|| value.as_string())
                .unwrap_or_else(|| format!("{value:?}")),
        }
    }
}

fn text(value: &JsValue, property: &str) -> Option<String> {
    // On a primitive `Reflect.get` throws.
    Reflect::get(value, &property.into()).ok().and_then(|value| value.as_string())
}

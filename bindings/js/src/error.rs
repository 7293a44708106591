//! Errors as JavaScript sees them: an `Error` with the class of what went wrong, and whether the same call may succeed later.

use std::error::Error as StdError;

use js_sys::Reflect;
use storex_core::{Error, ErrorKind, describe};
use storex_sync::SyncError;
use wasm_bindgen::{JsCast, JsValue};

/// The result of what JavaScript calls.
pub(crate) type Result<T> = std::result::Result<T, JsValue>;

/// What is known of an error beside its text.
pub(crate) trait Classified: StdError {
    fn class(&self) -> ErrorKind;
    fn may_pass(&self) -> bool;
}

impl Classified for Error {
    fn class(&self) -> ErrorKind {
        self.kind()
    }

    fn may_pass(&self) -> bool {
        self.is_retryable()
    }
}

impl Classified for SyncError {
    fn class(&self) -> ErrorKind {
        self.kind()
    }

    fn may_pass(&self) -> bool {
        self.is_retryable()
    }
}

/// JSON that is none: the JavaScript in front of this crate writes it, so it is the call that is wrong.
impl Classified for serde_json::Error {
    fn class(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn may_pass(&self) -> bool {
        false
    }
}

/// An error as JavaScript gets it.
pub(crate) trait ToJs<T> {
    fn to_js(self) -> Result<T>;
}

impl<T, E: Classified> ToJs<T> for std::result::Result<T, E> {
    fn to_js(self) -> Result<T> {
        self.map_err(|error| thrown(&error))
    }
}

/// The error with its causes in one line, and what programs decide by.
pub(crate) fn thrown(error: &dyn Classified) -> JsValue {
    made(&describe(error), error.class(), error.may_pass())
}

/// As an error of this class, in other words.
pub(crate) fn thrown_as(error: &dyn Classified, text: &str) -> JsValue {
    made(text, error.class(), error.may_pass())
}

/// What an error of JavaScript says.
pub(crate) fn said(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => thrown.as_string().unwrap_or_else(|| format!("{thrown:?}")),
    }
}

/// There is no such thing here.
pub(crate) fn unsupported(text: &str) -> JsValue {
    made(text, ErrorKind::Unsupported, false)
}

/// The call itself is wrong.
pub(crate) fn invalid(text: &str) -> JsValue {
    made(text, ErrorKind::Invalid, false)
}

/// It has come to its end.
pub(crate) fn closed(text: &str) -> JsValue {
    made(text, ErrorKind::Closed, false)
}

fn made(text: &str, kind: ErrorKind, retryable: bool) -> JsValue {
    let error = js_sys::Error::new(text);
    error.set_name("StorexError");
    for (name, value) in [("kind", JsValue::from(word(kind))), ("retryable", retryable.into())] {
        // An object that was made here takes properties.
        let _ = Reflect::set(&error, &name.into(), &value);
    }
    error.into()
}

fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "not-found",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Invalid => "invalid",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Busy => "busy",
        ErrorKind::Closed => "closed",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::ReadOnly => "read-only",
        ErrorKind::Full => "full",
        ErrorKind::Io => "io",
        _ => "other",
    }
}

//! Errors as JavaScript sees them.

use std::error::Error;

use storex_core::describe;
use wasm_bindgen::JsError;

/// The result of what JavaScript calls.
pub(crate) type Result<T> = std::result::Result<T, JsError>;

/// An error that wraps another one says why, too.
pub(crate) trait ToJs<T> {
    fn to_js(self) -> Result<T>;
}

impl<T, E: Error> ToJs<T> for std::result::Result<T, E> {
    fn to_js(self) -> Result<T> {
        self.map_err(|error| JsError::new(&describe(&error)))
    }
}

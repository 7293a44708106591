//! The properties of plain objects, without the cost of `Reflect`, which guards against exceptions that they cannot throw.

use js_sys::Object;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

#[wasm_bindgen]
extern "C" {
    /// An object that came out of the database, or that we have made: no getters, no proxy.
    type Plain;

    #[wasm_bindgen(method, structural, indexing_getter)]
    fn property(this: &Plain, name: &JsValue) -> JsValue;

    #[wasm_bindgen(method, structural, indexing_setter)]
    fn set_property(this: &Plain, name: &JsValue, value: &JsValue);
}

/// A property of an object from the database; undefined where there is none.
pub(crate) fn get(object: &JsValue, name: &JsValue) -> JsValue {
    object.unchecked_ref::<Plain>().property(name)
}

/// Sets a property of such an object. Not for a name that anybody may choose: see [`crate::json::set`].
pub(crate) fn set(object: &Object, name: &JsValue, value: &JsValue) {
    object.unchecked_ref::<Plain>().set_property(name, value);
}

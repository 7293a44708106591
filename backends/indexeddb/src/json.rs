//! JSON as JavaScript objects, and back, without losing a digit.
//!
//! Integers beyond 2^53 become a `BigInt`, floats without a fraction a `Number` object (so that `5.0` and `5` stay apart);
//! everything else is what `JSON.parse` gives. On the way back a `Date`, which JSON does not know, becomes its ISO 8601 text;
//! what JSON has no form for (bytes, maps, files) is refused.

use js_sys::{Array, BigInt, Date, Object, Reflect};
use serde_json::{Map, Number as JsonNumber, Value as Json};
use wasm_bindgen::{JsCast, JsValue};

use crate::property;
use crate::value::{describe, float_to_js, int_to_js, number_object, text_of_js, whole};

/// Deeper nesting is refused, as `serde_json` refuses it: it would exhaust the stack.
const MAX_DEPTH: usize = 128;

/// A JSON value in JavaScript.
pub(crate) fn to_js(json: &Json) -> JsValue {
    with_floats(json, float_to_js)
}

/// A JSON value as other programs know it: `5.0` is the number 5 there.
pub(crate) fn to_plain_js(json: &Json) -> JsValue {
    with_floats(json, JsValue::from_f64)
}

fn with_floats(json: &Json, float: fn(f64) -> JsValue) -> JsValue {
    match json {
        Json::Null => JsValue::NULL,
        Json::Bool(it) => JsValue::from_bool(*it),
        Json::Number(it) => number_to_js(it, float),
        Json::String(it) => JsValue::from_str(it),
        Json::Array(items) => {
            items.iter().map(|item| with_floats(item, float)).collect::<Array>().into()
        }
        Json::Object(map) => {
            let object = Object::new();
            for (name, value) in map {
                set(&object, &JsValue::from_str(name), &with_floats(value, float));
            }
            object.into()
        }
    }
}

/// Sets a property of an object of our own.
pub(crate) fn set(object: &Object, name: &JsValue, value: &JsValue) {
    if name.as_string().as_deref() == Some("__proto__") {
        // Setting this one would exchange the prototype instead.
        define(object, name, value);
    } else {
        property::set(object, name, value);
    }
}

/// Makes a property, whatever its name means elsewhere.
pub(crate) fn define(object: &Object, name: &JsValue, value: &JsValue) {
    let descriptor = Object::new();
    let yes = JsValue::TRUE;
    for (key, value) in
        [("value", value), ("writable", &yes), ("enumerable", &yes), ("configurable", &yes)]
    {
        let _ = Reflect::set(&descriptor, &JsValue::from_str(key), value);
    }
    let _ = Reflect::define_property(object, name, &descriptor);
}

fn number_to_js(number: &JsonNumber, float: fn(f64) -> JsValue) -> JsValue {
    if let Some(int) = number.as_i64() {
        int_to_js(int)
    } else if let Some(int) = number.as_u64() {
        BigInt::from(int).into()
    } else {
        number.as_f64().map_or(JsValue::NULL, float)
    }
}

/// A JavaScript value as JSON, none for null; the error says what is wrong with it.
pub(crate) fn of_js(value: &JsValue) -> Result<Option<Json>, String> {
    if value.is_null() || value.is_undefined() {
        return Ok(None);
    }
    nested(value, MAX_DEPTH).map(Some)
}

fn nested(value: &JsValue, depth: usize) -> Result<Json, String> {
    if let Some(text) = text_of_js(value)? {
        return Ok(Json::String(text));
    }
    if value.is_null() || value.is_undefined() {
        return Ok(Json::Null);
    }
    if let Some(bool) = value.as_bool() {
        return Ok(Json::Bool(bool));
    }
    if let Some(number) = number_of_js(value)? {
        return Ok(Json::Number(number));
    }
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(format!("holds JSON that is nested deeper than {MAX_DEPTH} levels"));
    };
    if let Some(items) = value.dyn_ref::<Array>() {
        return items.iter().map(|item| nested(&item, deeper)).collect();
    }
    if let Some(date) = value.dyn_ref::<Date>() {
        let text = (!date.get_time().is_nan()).then(|| String::from(date.to_iso_string()));
        return Ok(text.map_or(Json::Null, Json::String));
    }
    object_of_js(value, deeper)
}

fn number_of_js(value: &JsValue) -> Result<Option<JsonNumber>, String> {
    let of_float = |float: f64| {
        JsonNumber::from_f64(float)
            .ok_or_else(|| format!("holds {float} inside JSON, which has no such number"))
    };
    if let Some(number) = value.as_f64() {
        // -0 is no integer of JSON.
        return match whole(number).filter(|int| *int != 0 || number.is_sign_positive()) {
            Some(int) => Ok(Some(int.into())),
            None => of_float(number).map(Some),
        };
    }
    if value.is_bigint() {
        let signed = i64::try_from(value.clone()).map(JsonNumber::from);
        let number = signed.or_else(|value| u64::try_from(value).map(JsonNumber::from));
        return number.map(Some).map_err(|_| "holds a BigInt that 64 bits cannot hold".to_owned());
    }
    if let Some(number) = number_object(value) {
        return of_float(number).map(Some);
    }
    Ok(None)
}

fn object_of_js(value: &JsValue, depth: usize) -> Result<Json, String> {
    let refused = || format!("holds {} inside JSON, which has no form for it", describe(value));
    if !is_plain(value) {
        return Err(refused());
    }
    let mut map = Map::new();
    for entry in Object::entries(value.unchecked_ref()).iter() {
        let entry: Array = entry.unchecked_into();
        let name = text_of_js(&entry.get(0))?.ok_or_else(refused)?;
        let value = entry.get(1);
        // As `JSON.stringify` does.
        if !value.is_undefined() {
            map.insert(name, nested(&value, depth)?);
        }
    }
    Ok(Json::Object(map))
}

/// An object without a class of its own: `{}`, or one without a prototype.
pub(crate) fn is_plain(value: &JsValue) -> bool {
    if !value.is_object() {
        return false;
    }
    let prototype = Object::get_prototype_of(value);
    prototype.is_null() || Object::get_prototype_of(&prototype).is_null()
}

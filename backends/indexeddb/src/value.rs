//! Values as JavaScript has them, and back.
//!
//! | field | stored as |
//! | --- | --- |
//! | integer | a number; beyond 2^53 a `BigInt` |
//! | float | a number |
//! | text | a string |
//! | bytes | a `Uint8Array` |
//! | moment | a `Date`; beyond its range (year 275760) a `BigInt` of milliseconds |
//! | boolean, null | themselves |
//! | JSON | objects, arrays and so on; see [`crate::json`] |
//! | dynamic | by the kind of the value; a float without a fraction as a `Number` object, so that 5.0 and 5 stay apart |

use js_sys::{ArrayBuffer, BigInt, Date, JsString, Number, Uint8Array};
use storex_core::{
    Collection, Error, ErrorKind, Field, FieldType, KeyFormat, Name, Result, Timestamp, Value,
};
use wasm_bindgen::{JsCast, JsValue};

use crate::error::BACKEND;
use crate::json;

/// Up to here every integer has a number of its own.
pub(crate) const MAX_SAFE: i64 = (1 << 53) - 1;

/// How far a `Date` reaches, in milliseconds, on both sides.
const MAX_DATE: i64 = 8_640_000_000_000_000;

/// How a field's values look in JavaScript. Worked out once per collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Int,
    Float,
    Text,
    Bytes,
    Bool,
    Moment,
    Json,
    /// The value itself says what it is.
    Own,
}

impl Form {
    pub(crate) fn of(field_type: &FieldType) -> Self {
        match field_type {
            FieldType::AutoPk(format) | FieldType::ForeignKey(format) => match format {
                KeyFormat::Text => Self::Text,
                KeyFormat::Bytes => Self::Bytes,
                KeyFormat::Int => Self::Int,
            },
            FieldType::Text | FieldType::String | FieldType::Url | FieldType::RandomKey => {
                Self::Text
            }
            FieldType::Json => Self::Json,
            FieldType::DateTime | FieldType::Timestamp => Self::Moment,
            FieldType::Boolean => Self::Bool,
            FieldType::Float => Self::Float,
            FieldType::Int => Self::Int,
            FieldType::Blob | FieldType::Binary | FieldType::Media => Self::Bytes,
            _ => Self::Own,
        }
    }

    /// The value in JavaScript. Every checked value has one.
    pub(crate) fn to_js(self, value: &Value) -> JsValue {
        match value {
            Value::Null => JsValue::NULL,
            Value::Bool(it) => JsValue::from_bool(*it),
            Value::Int(it) => int_to_js(*it),
            Value::Float(it) if self == Self::Own => float_to_js(*it),
            Value::Float(it) => JsValue::from_f64(*it),
            Value::Text(it) => JsValue::from_str(it),
            Value::Bytes(it) => Uint8Array::from(it.as_slice()).into(),
            Value::Timestamp(it) => moment_to_js(*it),
            Value::Json(it) => json::to_js(it),
        }
    }

    /// The value as other programs know it: every float is a number, also one without a fraction where nothing but the
    /// value says that it is one. It is read as an integer then.
    pub(crate) fn to_plain_js(self, value: &Value) -> JsValue {
        match value {
            Value::Float(it) => JsValue::from_f64(*it),
            Value::Json(it) => json::to_plain_js(it),
            value => self.to_js(value),
        }
    }

    /// The value of a property; the error says what is wrong with it.
    pub(crate) fn of_js(self, value: &JsValue) -> std::result::Result<Value, String> {
        let read = match self {
            Self::Int => int_of_js(value).map(Value::Int),
            Self::Float => value.as_f64().filter(|it| !it.is_nan()).map(Value::from),
            Self::Text => text_of_js(value)?.map(Value::Text),
            Self::Bytes => bytes_of_js(value).map(Value::Bytes),
            Self::Bool => value.as_bool().map(Value::Bool),
            Self::Moment => moment_of_js(value).map(Value::Timestamp),
            Self::Json => json::of_js(value)?.map(Value::Json),
            Self::Own => own_of_js(value)?,
        };
        match read {
            Some(read) => Ok(read),
            // Asked last: most values are something.
            None if value.is_undefined() || value.is_null() => Ok(Value::Null),
            None => Err(format!("holds {}, which its type does not allow", describe(value))),
        }
    }
}

#[allow(clippy::cast_precision_loss)]
pub(crate) fn int_to_js(int: i64) -> JsValue {
    if (-MAX_SAFE..=MAX_SAFE).contains(&int) {
        JsValue::from_f64(int as f64)
    } else {
        BigInt::from(int).into()
    }
}

/// Where nothing else tells a float from an integer.
#[allow(deprecated)] // The object is what is wanted here, not the number.
pub(crate) fn float_to_js(float: f64) -> JsValue {
    if float.is_finite() && float.fract() == 0.0 {
        // A `Number` object survives the structured clone, and counts as its number everywhere but for `===`.
        Number::new(&JsValue::from_f64(float)).into()
    } else {
        JsValue::from_f64(float)
    }
}

/// The number of a `Number` object. (As a type, js-sys takes `Number` for the number itself.)
pub(crate) fn number_object(value: &JsValue) -> Option<f64> {
    let is_object = value.is_object() && value.is_instance_of::<Number>();
    is_object.then(|| value.unchecked_ref::<Number>().value_of())
}

#[allow(clippy::cast_precision_loss)]
fn moment_to_js(moment: Timestamp) -> JsValue {
    let ms = moment.as_millis();
    if (-MAX_DATE..=MAX_DATE).contains(&ms) {
        Date::new(&JsValue::from_f64(ms as f64)).into()
    } else {
        BigInt::from(ms).into()
    }
}

/// An integer from a number without a fraction, or from a `BigInt`.
pub(crate) fn int_of_js(value: &JsValue) -> Option<i64> {
    if let Some(number) = value.as_f64() {
        return whole(number);
    }
    if value.is_bigint() { i64::try_from(value.clone()).ok() } else { None }
}

/// The integer that a number is, if it is one and none beside it falls on the same number.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn whole(number: f64) -> Option<i64> {
    let int = number as i64;
    (number.fract() == 0.0 && (-MAX_SAFE..=MAX_SAFE).contains(&int)).then_some(int)
}

/// A text; an error for a string that no Unicode text is: its halves of surrogate pairs would be lost.
pub(crate) fn text_of_js(value: &JsValue) -> std::result::Result<Option<String>, String> {
    let Some(text) = value.as_string() else { return Ok(None) };
    // What cannot be converted becomes U+FFFD, so only a text that has one is looked at again.
    if !text.is_ascii()
        && text.contains('\u{fffd}')
        && !value.unchecked_ref::<JsString>().is_valid_utf16()
    {
        return Err(
            "holds a string with half a surrogate pair, which is no Unicode text".to_owned()
        );
    }
    Ok(Some(text))
}

fn bytes_of_js(value: &JsValue) -> Option<Vec<u8>> {
    if let Some(array) = value.dyn_ref::<Uint8Array>() {
        return Some(array.to_vec());
    }
    if let Some(buffer) = value.dyn_ref::<ArrayBuffer>() {
        return Some(Uint8Array::new(buffer).to_vec());
    }
    None
}

#[allow(clippy::cast_possible_truncation)]
fn moment_of_js(value: &JsValue) -> Option<Timestamp> {
    if let Some(date) = value.dyn_ref::<Date>() {
        let ms = date.get_time();
        return (!ms.is_nan()).then_some(Timestamp(ms as i64));
    }
    if value.is_bigint() { i64::try_from(value.clone()).ok().map(Timestamp) } else { None }
}

fn own_of_js(value: &JsValue) -> std::result::Result<Option<Value>, String> {
    if let Some(number) = value.as_f64() {
        let int = whole(number).map(Value::Int);
        return Ok(int.or((!number.is_nan()).then(|| Value::from(number))));
    }
    if let Some(text) = text_of_js(value)? {
        return Ok(Some(Value::Text(text)));
    }
    if value.is_bigint() {
        return Ok(int_of_js(value).map(Value::Int));
    }
    if let Some(number) = number_object(value) {
        return Ok(Some(Value::from(number)));
    }
    Ok(bytes_of_js(value).map(Value::Bytes))
}

/// What a value is, for a message.
pub(crate) fn describe(value: &JsValue) -> String {
    if value.is_null() {
        return "null".to_owned();
    }
    let kind = value.js_typeof().as_string().unwrap_or_default();
    if kind != "object" {
        return format!("a {kind}");
    }
    let constructor = js_sys::Object::get_prototype_of(value).constructor();
    format!("an object ({})", String::from(constructor.name()))
}

/// The error for a stored value that its field does not allow.
pub(crate) fn unreadable(collection: &Collection, at: usize, what: &str) -> Error {
    let field = collection.fields().get(at).map_or("?", |field: &Field| &field.name);
    Error::Backend {
        backend: BACKEND,
        operation: "read",
        collection: Some(Name::clone(collection.name())),
        kind: ErrorKind::Corrupt,
        hint: format!("field `{field}` {what}; it was damaged, or written past storex"),
        source: "the database holds a value of another type".into(),
    }
}

/// A value that is read from a property.
pub(crate) fn read(
    form: Form,
    collection: &Collection,
    at: usize,
    value: &JsValue,
) -> Result<Value> {
    form.of_js(value).map_err(|what| unreadable(collection, at, &what))
}

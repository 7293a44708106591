//! Keys and ranges of IndexedDB's own: numbers, dates, strings, bytes, arrays.
//!
//! Its order of strings is by UTF-16 units, ours by code points. They differ only where, at the first difference, one has
//! a character beyond U+FFFF (whose first unit is D800 to DBFF) and the other one from U+E000 to U+FFFF. So a string
//! without units from D800 on compares the same with every other one, and bounds are widened to the part before the first
//! such unit ([`plain_part`]).

use js_sys::{Array, Date, JsString, Uint8Array};
use storex_core::Value;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::IdbKeyRange;

use crate::raw::DomError;
use crate::value::{Form, MAX_SAFE};

/// A key path of one or several properties.
pub(crate) fn key_path<'n>(names: impl Iterator<Item = &'n str>) -> JsValue {
    let names: Vec<JsValue> = names.map(JsValue::from_str).collect();
    match names.as_slice() {
        [name] => name.clone(),
        names => names.iter().collect::<Array>().into(),
    }
}

/// Whether two key paths are the same.
pub(crate) fn same_path(a: &JsValue, b: &JsValue) -> bool {
    let parts = |path: &JsValue| -> Vec<JsValue> {
        match path.dyn_ref::<js_sys::Array>() {
            Some(parts) => parts.iter().collect(),
            None => vec![path.clone()],
        }
    };
    a.is_array() == b.is_array() && parts(a) == parts(b)
}

/// A binary key.
pub(crate) fn bytes(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

/// The key of these values; `None`: IndexedDB has no such key.
pub(crate) fn key(values: &[Value]) -> Option<JsValue> {
    match values {
        [value] => part(value),
        values => values.iter().map(part).collect::<Option<Array>>().map(JsValue::from),
    }
}

/// One part of a key.
pub(crate) fn part(value: &Value) -> Option<JsValue> {
    match value {
        Value::Text(_) | Value::Bytes(_) => Some(Form::Own.to_js(value)),
        Value::Int(int) => (-MAX_SAFE..=MAX_SAFE).contains(int).then(|| Form::Int.to_js(value)),
        Value::Float(float) => (!float.is_nan()).then(|| JsValue::from_f64(*float)),
        Value::Timestamp(_) => {
            Some(Form::Moment.to_js(value)).filter(wasm_bindgen::JsCast::has_type::<Date>)
        }
        Value::Null | Value::Bool(_) | Value::Json(_) => None,
    }
}

/// The part of a text before its first unit from D800 on; `None`: it has none.
pub(crate) fn plain_part(text: &str) -> Option<&str> {
    if text.is_ascii() {
        return None;
    }
    text.find(|it| it > '\u{d7ff}').map(|at| &text[..at])
}

/// Whether a value is a text that may stand elsewhere among IndexedDB's strings than among ours.
pub(crate) fn is_odd(value: &Value) -> bool {
    value.as_text().is_some_and(|text| plain_part(text).is_some())
}

/// Something greater than every string that begins with the text, and than no string beyond them.
pub(crate) fn after_prefix(text: &str) -> JsValue {
    let mut units: Vec<u16> = text.encode_utf16().collect();
    while let Some(last) = units.pop() {
        if let Some(next) = last.checked_add(1) {
            units.push(next);
            return JsString::from_char_code(&units).into();
        }
    }
    // Bytes come behind all strings. (Not the empty ones, which fake-indexeddb takes for a key that was transferred away;
    // a range may be wider than need be.)
    bytes(&[0])
}

/// One end of a range.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) key: JsValue,
    pub(crate) open: bool,
}

/// A range of keys; open on a side without a bound.
#[derive(Debug, Clone, Default)]
pub(crate) struct Range {
    pub(crate) lower: Option<Bound>,
    pub(crate) upper: Option<Bound>,
}

impl Range {
    /// The range for a request: undefined for everything, `None` where nothing can lie in it.
    pub(crate) fn to_js(&self) -> Result<Option<JsValue>, DomError> {
        let range = match (&self.lower, &self.upper) {
            (None, None) => return Ok(Some(JsValue::UNDEFINED)),
            (Some(lower), None) => IdbKeyRange::lower_bound_with_open(&lower.key, lower.open),
            (None, Some(upper)) => IdbKeyRange::upper_bound_with_open(&upper.key, upper.open),
            (Some(lower), Some(upper)) => {
                let empty = match compare(&lower.key, &upper.key)? {
                    order if order > 0 => true,
                    0 => lower.open || upper.open,
                    _ => false,
                };
                if empty {
                    // IndexedDB throws for such a range.
                    return Ok(None);
                }
                IdbKeyRange::bound_with_lower_open_and_upper_open(
                    &lower.key, &upper.key, lower.open, upper.open,
                )
            }
        };
        Ok(Some(range?.into()))
    }
}

/// IndexedDB's own comparison of keys.
fn compare(a: &JsValue, b: &JsValue) -> Result<i16, DomError> {
    Ok(crate::raw::factory()?.cmp(a, b)?)
}

impl Range {
    /// Begins at the bound, if it does not begin later already.
    pub(crate) fn raise(&mut self, bound: Option<&Bound>) {
        let Some(bound) = bound else { return };
        let later = match &self.lower {
            None => true,
            Some(lower) => match compare(&bound.key, &lower.key) {
                Ok(0) => bound.open,
                Ok(order) => order > 0,
                Err(_) => false,
            },
        };
        if later {
            self.lower = Some(bound.clone());
        }
    }

    /// Ends at the bound, if it does not end earlier already.
    pub(crate) fn sink(&mut self, bound: Option<&Bound>) {
        let Some(bound) = bound else { return };
        let earlier = match &self.upper {
            None => true,
            Some(upper) => match compare(&bound.key, &upper.key) {
                Ok(0) => bound.open,
                Ok(order) => order < 0,
                Err(_) => false,
            },
        };
        if earlier {
            self.upper = Some(bound.clone());
        }
    }
}

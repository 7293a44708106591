//! [`Kinds`]: what the values of a property are, and the type that takes all of them.

use std::collections::BTreeSet;

use js_sys::{Array, ArrayBuffer, Date, Uint8Array};
use storex_core::{Affinity, FieldType};
use wasm_bindgen::{JsCast, JsValue};

use crate::json;
use crate::value::{describe, text_of_js, whole};

/// What was seen of one property, or of the keys.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    kinds: BTreeSet<Kind>,
    /// How many values there are; null is none.
    pub(super) values: u64,
    /// A value that no type takes.
    odd: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Int,
    Float,
    Text,
    Bytes,
    Bool,
    Moment,
    Nested,
}

impl Kinds {
    pub(super) fn see(&mut self, value: &JsValue) {
        if value.is_null() || value.is_undefined() {
            return;
        }
        self.values += 1;
        match kind(value) {
            Ok(kind) => {
                self.kinds.insert(kind);
            }
            Err(what) => self.odd = Some(what),
        }
    }

    /// The type that takes all the values; the error says which it cannot take.
    pub(super) fn field_type(&self) -> Result<FieldType, String> {
        if let Some(what) = &self.odd {
            return Err(what.clone());
        }
        let kinds: Vec<Kind> = self.kinds.iter().copied().collect();
        let plain =
            |kind: &Kind| matches!(kind, Kind::Int | Kind::Float | Kind::Text | Kind::Bytes);
        Ok(match kinds.as_slice() {
            [Kind::Int] => FieldType::Int,
            [Kind::Float] | [Kind::Int, Kind::Float] => FieldType::Float,
            [Kind::Text] => FieldType::String,
            [Kind::Bytes] => FieldType::Binary,
            [Kind::Bool] => FieldType::Boolean,
            [Kind::Moment] => FieldType::DateTime,
            mixed if mixed.iter().all(plain) => FieldType::Dynamic(Affinity::Blob),
            mixed if mixed.contains(&Kind::Bytes) => {
                return Err("holds bytes in some objects and something else in others".to_owned());
            }
            _ => FieldType::Json,
        })
    }
}

fn kind(value: &JsValue) -> Result<Kind, String> {
    if let Some(number) = value.as_f64() {
        return match number {
            number if number.is_nan() => Err("holds NaN".to_owned()),
            number if whole(number).is_some() => Ok(Kind::Int),
            _ => Ok(Kind::Float),
        };
    }
    if text_of_js(value)?.is_some() {
        return Ok(Kind::Text);
    }
    if value.as_bool().is_some() {
        return Ok(Kind::Bool);
    }
    if value.is_instance_of::<Uint8Array>() || value.is_instance_of::<ArrayBuffer>() {
        return Ok(Kind::Bytes);
    }
    if let Some(date) = value.dyn_ref::<Date>() {
        let valid = !date.get_time().is_nan();
        return if valid { Ok(Kind::Moment) } else { Err("holds a date that is none".to_owned()) };
    }
    if Array::is_array(value) || json::is_plain(value) {
        return json::of_js(value).map(|_| Kind::Nested);
    }
    Err(format!("holds {}", describe(value)))
}

//! JSON: values and objects.
//!
//! | field type | in JSON |
//! |---|---|
//! | text, string, url, random key, text keys | a string |
//! | int, float, timestamp, integer keys | a number |
//! | infinite floats | `"Infinity"`, `"-Infinity"` |
//! | datetime | a string by RFC 3339, with milliseconds, in UTC; the milliseconds since 1970 outside the years -9999 to 9999 |
//! | boolean | `true`, `false` |
//! | json | anything |
//! | blob, binary, media | a string in base64 |
//! | byte keys | a UUID with hyphens when they have 16 bytes, else base64 |
//! | a column of an adopted database | null, number, string, `{"$bytes": base64}`, or `{"$float": "Infinity"}` |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, Result};
use crate::record::{Key, Record};
use crate::schema::{Collection, Field, FieldType, KeyFormat};
use crate::value::{Name, Timestamp, Value};

impl Collection {
    /// A field's value, in its stored form, from JSON.
    ///
    /// # Errors
    /// [`Error::InvalidValue`].
    pub fn value_from_json(&self, field: &Field, json: &Json) -> Result<Value> {
        self.to_storage(field, self.seen_from_json(field.seen(), json)?)
    }

    /// A value as the application sees it.
    fn seen_from_json(&self, field: &Field, json: &Json) -> Result<Value> {
        let invalid = |reason: &str| Error::InvalidValue {
            collection: Name::clone(self.name()),
            field: Name::clone(&field.name),
            reason: reason.to_owned(),
        };
        if matches!(field.field_type, FieldType::Json) {
            // A JSON null and no value are one and the same.
            return Ok(if json.is_null() { Value::Null } else { Value::Json(json.clone()) });
        }
        Ok(match (&field.field_type, json) {
            (_, Json::Null) => Value::Null,
            (_, Json::Bool(bool)) => Value::Bool(*bool),
            (_, Json::Number(number)) => match number.as_i64() {
                Some(int) => Value::Int(int),
                None if number.is_u64() => {
                    return Err(invalid("an integer above 2^63 - 1 cannot be stored"));
                }
                None => Value::from(number.as_f64().ok_or_else(|| invalid("is no number"))?),
            },
            (FieldType::DateTime | FieldType::Timestamp, Json::String(text)) => {
                let at: jiff::Timestamp = text.parse().map_err(|_| {
                    invalid("is no moment by RFC 3339, such as 2026-11-20T12:00:00Z")
                })?;
                Value::Timestamp(Timestamp(at.as_millisecond()))
            }
            (FieldType::Blob | FieldType::Binary | FieldType::Media, Json::String(text)) => {
                Value::Bytes(BASE64.decode(text).map_err(|_| invalid("is not base64"))?)
            }
            (
                FieldType::AutoPk(KeyFormat::Bytes) | FieldType::ForeignKey(KeyFormat::Bytes),
                Json::String(text),
            ) => {
                // Only the form with hyphens, which base64 never has: other bytes would be taken for a UUID.
                match uuid::Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Value::Bytes(uuid.into_bytes().to_vec()),
                    _ => Value::Bytes(
                        BASE64.decode(text).map_err(|_| invalid("is neither a UUID nor base64"))?,
                    ),
                }
            }
            (FieldType::Float, Json::String(text)) => Value::Float(
                infinity(text)
                    .ok_or_else(|| invalid("takes a number, \"Infinity\" or \"-Infinity\""))?,
            ),
            (_, Json::String(text)) => Value::Text(text.clone()),
            (FieldType::Dynamic(_), Json::Object(object)) => {
                let only = |name: &str| {
                    object.get(name).and_then(Json::as_str).filter(|_| object.len() == 1)
                };
                let bytes =
                    only("$bytes").and_then(|text| BASE64.decode(text).ok()).map(Value::Bytes);
                let float = only("$float").and_then(infinity).map(Value::Float);
                bytes.or(float).ok_or_else(|| {
                    invalid(
                        "takes no object but {\"$bytes\": base64} and {\"$float\": \"Infinity\"}",
                    )
                })?
            }
            (_, Json::Array(_)) => return Err(invalid("takes no array")),
            (_, Json::Object(_)) => return Err(invalid("takes no object")),
        })
    }

    /// A field's value, from its stored form, as JSON.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] where a [`CustomType`](crate::CustomType) cannot show it.
    pub fn value_to_json(&self, field: &Field, value: &Value) -> Result<Json> {
        Ok(match &field.custom {
            Some(_) => Self::seen_to_json(field.seen(), &self.seen_value(field, value)?),
            None => Self::seen_to_json(field, value),
        })
    }

    fn seen_to_json(field: &Field, value: &Value) -> Json {
        match value {
            Value::Null => Json::Null,
            Value::Bool(bool) => Json::Bool(*bool),
            Value::Int(int) => json!(int),
            Value::Float(float) if float.is_infinite() => {
                let text = if *float > 0.0 { INFINITY } else { MINUS_INFINITY };
                match field.field_type {
                    FieldType::Dynamic(_) => json!({ "$float": text }),
                    _ => json!(text),
                }
            }
            Value::Float(float) => json!(float),
            Value::Text(text) => Json::String(text.clone()),
            Value::Json(json) => json.clone(),
            Value::Timestamp(at) => {
                match (&field.field_type, jiff::Timestamp::from_millisecond(at.0)) {
                    (FieldType::DateTime, Ok(_)) => Json::String(format_moment(*at)),
                    _ => json!(at.0),
                }
            }
            Value::Bytes(bytes) => match field.field_type {
                FieldType::AutoPk(_) | FieldType::ForeignKey(_) => {
                    Json::String(match uuid::Uuid::from_slice(bytes) {
                        Ok(uuid) => uuid.hyphenated().to_string(),
                        Err(_) => BASE64.encode(bytes),
                    })
                }
                FieldType::Dynamic(_) => json!({ "$bytes": BASE64.encode(bytes) }),
                _ => Json::String(BASE64.encode(bytes)),
            },
        }
    }

    /// A record of a JSON object. Fields that are not given have their default.
    ///
    /// # Errors
    /// [`Error::UnknownField`], [`Error::InvalidValue`], [`Error::MissingField`].
    pub fn record_from_json(&self, now: Timestamp, object: &Map<String, Json>) -> Result<Record> {
        let mut record = self.blank_record(now);
        for (name, json) in object {
            let at = self.require(name)?;
            let value = self.value_from_json(&self.fields()[at], json)?;
            record.set(at, value);
        }
        self.fill_absent(&mut record, |at| object.contains_key(&*self.fields()[at].name))?;
        for at in self.must_be_given() {
            if !object.contains_key(&*self.fields()[*at].name) {
                return Err(self.missing(*at));
            }
        }
        Ok(record)
    }

    /// A record, with the fields at these positions, as a JSON object.
    ///
    /// # Errors
    /// As [`Collection::value_to_json`].
    pub fn record_to_json(&self, selected: &[usize], record: &Record) -> Result<Map<String, Json>> {
        selected
            .iter()
            .enumerate()
            .filter_map(|(n, at)| Some((self.fields().get(*at)?, record.get(n))))
            .map(|(field, value)| Ok((field.name.to_string(), self.value_to_json(field, value)?)))
            .collect()
    }

    /// The key in a JSON object.
    ///
    /// # Errors
    /// [`Error::MissingField`], [`Error::InvalidValue`].
    pub fn key_from_json(&self, object: &Map<String, Json>) -> Result<Key> {
        let values = self.primary_key().iter().map(|at| {
            let field = &self.fields()[*at];
            match object.get(&*field.name) {
                None | Some(Json::Null) => Err(Error::MissingField {
                    collection: Name::clone(self.name()),
                    field: Name::clone(&field.name),
                }),
                Some(json) => self.value_from_json(field, json),
            }
        });
        Ok(Key::compound(values.collect::<Result<Vec<_>>>()?))
    }
}

const INFINITY: &str = "Infinity";
const MINUS_INFINITY: &str = "-Infinity";

/// JSON has no number for them, and null would be another value.
fn infinity(text: &str) -> Option<f64> {
    match text {
        INFINITY => Some(f64::INFINITY),
        MINUS_INFINITY => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Whether an object with this key is a value of an adopted column, and no operator.
pub(crate) fn is_value(key: &str) -> bool {
    matches!(key, "$bytes" | "$float")
}

/// RFC 3339 with milliseconds, in UTC; the bare number for moments outside its years.
pub(crate) fn format_moment(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(moment) => format!("{moment:.3}"),
        Err(_) => at.0.to_string(),
    }
}

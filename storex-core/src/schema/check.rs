//! The check of values against their fields: types on the way in, nothing guessed on the way out.

use crate::error::{Error, Result};
use crate::record::Record;
use crate::schema::{Affinity, Collection, Default, Field, FieldType, KeyFormat};
use crate::value::{Name, Timestamp, Value};

impl Collection {
    /// Checks a record before it is created, and fills in defaults for nulls of fields that were not given.
    ///
    /// # Errors
    /// [`Error::InvalidValue`], [`Error::MissingField`].
    pub fn check_record(&self, record: &mut Record) -> Result<()> {
        if record.values().len() != self.fields.len() {
            return Err(Error::invalid(
                &self.name,
                format!(
                    "a record has {} values, the collection {} fields",
                    record.values().len(),
                    self.fields.len()
                ),
            ));
        }
        for (field, value) in self.fields.iter().zip(record.values_mut()) {
            self.check_value(field, value)?;
            if value.is_null() && !field.nullable {
                return Err(Error::MissingField {
                    collection: Name::clone(&self.name),
                    field: Name::clone(&field.name),
                });
            }
        }
        Ok(())
    }

    /// An empty text is what a struct has whose key was not filled in, which [`AutoPk`](crate::AutoPk) then does. Where it does not
    /// run, the first such object would take the place of all. (A key that applications choose may be empty.)
    pub(crate) fn check_key(&self, record: &Record) -> Result<()> {
        let missing = |at: &&usize| {
            matches!(self.fields[**at].field_type, FieldType::AutoPk(_))
                && record.get(**at).as_text() == Some("")
        };
        let Some(at) = self.primary_key.iter().find(missing) else { return Ok(()) };
        let reason = "is the primary key and cannot be an empty text; give the object a key, or add the middleware `AutoPk`";
        Err(self.invalid_value(&self.fields[*at], reason.to_owned()))
    }

    /// The positions of fields that may be null but must be given.
    pub(crate) fn must_be_given(&self) -> &[usize] {
        &self.must_be_given
    }

    pub(crate) fn missing(&self, at: usize) -> Error {
        Error::MissingField {
            collection: Name::clone(&self.name),
            field: Name::clone(&self.fields[at].name),
        }
    }

    /// A record in which every field has its default, for the caller to fill.
    #[must_use]
    pub fn blank_record(&self, now: Timestamp) -> Record {
        let values = self.fields.iter().map(|field| match &field.default {
            None | Some(Default::Null) => Value::Null,
            Some(Default::Value(value)) => value.clone(),
            Some(Default::CurrentTimestamp) => match field.field_type {
                FieldType::DateTime | FieldType::Timestamp => Value::Timestamp(now),
                _ => Value::Text(current_timestamp(now)),
            },
        });
        Record::new(values.collect())
    }

    /// Checks one value of a field, and brings it to the form in which it is stored.
    ///
    /// # Errors
    /// [`Error::InvalidValue`].
    pub fn check_value(&self, field: &Field, value: &mut Value) -> Result<()> {
        match value {
            Value::Float(float) if float.is_nan() => {
                let reason = "NaN cannot be stored; use null or a number".to_owned();
                return Err(self.invalid_value(field, reason));
            }
            Value::Float(float) => *value = Value::from(*float),
            Value::Json(json) if json.is_null() && matches!(field.field_type, FieldType::Json) => {
                *value = Value::Null;
            }
            Value::Json(json) if is_deeper(json, MAX_JSON_DEPTH) => {
                let reason = format!("JSON may be nested {MAX_JSON_DEPTH} levels deep, not more");
                return Err(self.invalid_value(field, reason));
            }
            _ => {}
        }
        match (&field.field_type, &*value) {
            (_, Value::Null) => Ok(()),
            (FieldType::Dynamic(affinity), _) => self.apply_affinity(field, *affinity, value),
            (
                FieldType::AutoPk(KeyFormat::Text) | FieldType::ForeignKey(KeyFormat::Text),
                Value::Text(_),
            )
            | (
                FieldType::AutoPk(KeyFormat::Bytes) | FieldType::ForeignKey(KeyFormat::Bytes),
                Value::Bytes(_),
            )
            | (
                FieldType::AutoPk(KeyFormat::Int) | FieldType::ForeignKey(KeyFormat::Int),
                Value::Int(_),
            )
            | (
                FieldType::Text | FieldType::String | FieldType::Url | FieldType::RandomKey,
                Value::Text(_),
            )
            | (FieldType::Boolean, Value::Bool(_))
            | (FieldType::Float, Value::Float(_))
            | (FieldType::Int, Value::Int(_))
            | (FieldType::DateTime | FieldType::Timestamp, Value::Timestamp(_))
            | (FieldType::Blob | FieldType::Binary | FieldType::Media, Value::Bytes(_))
            | (FieldType::Json, Value::Json(_)) => Ok(()),
            _ => self.convert_value(field, value),
        }
    }

    /// The few conversions that lose nothing: an integer where a float or a moment is wanted, and the text of a UUID where
    /// its bytes are (structs hold it so, and JSON does).
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    fn convert_value(&self, field: &Field, value: &mut Value) -> Result<()> {
        *value = match (&field.field_type, &*value) {
            (FieldType::Float, Value::Int(int))
                if (*int as f64) as i64 == *int && *int != i64::MAX =>
            {
                Value::from(*int as f64)
            }
            (FieldType::DateTime | FieldType::Timestamp, Value::Int(ms)) => {
                Value::Timestamp(Timestamp(*ms))
            }
            // The key of a parent may be a moment; the field that points there holds its number.
            (
                FieldType::AutoPk(KeyFormat::Int) | FieldType::ForeignKey(KeyFormat::Int),
                Value::Timestamp(at),
            ) => Value::Int(at.0),
            (
                FieldType::AutoPk(KeyFormat::Bytes) | FieldType::ForeignKey(KeyFormat::Bytes),
                Value::Text(text),
            ) => match uuid::Uuid::try_parse(text) {
                Ok(uuid) if text.len() == 36 => Value::Bytes(uuid.into_bytes().to_vec()),
                _ => return Err(self.wrong_kind(field, value)),
            },
            _ => return Err(self.wrong_kind(field, value)),
        };
        Ok(())
    }

    fn wrong_kind(&self, field: &Field, value: &Value) -> Error {
        self.invalid_value(
            field,
            format!("takes {}, not {}", describe(&field.field_type), value.kind()),
        )
    }

    fn invalid_value(&self, field: &Field, reason: String) -> Error {
        Error::InvalidValue {
            collection: Name::clone(&self.name),
            field: Name::clone(&field.name),
            reason,
        }
    }

    fn apply_affinity(&self, field: &Field, affinity: Affinity, value: &mut Value) -> Result<()> {
        // What SQLite has no storage class for first takes the form that SQLite programs give it.
        match value {
            Value::Bool(bool) => *value = Value::Int(i64::from(*bool)),
            Value::Timestamp(at) => *value = Value::Int(at.0),
            Value::Json(_) => {
                let reason = "an adopted column takes no JSON value; give its text".to_owned();
                return Err(self.invalid_value(field, reason));
            }
            _ => {}
        }
        if let Some(converted) = affinity.convert(value) {
            *value = converted;
        }
        Ok(())
    }
}

impl Affinity {
    /// What SQLite would store instead of the value, if that is something else.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    fn convert(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Text, Value::Int(int)) => Some(Value::Text(int.to_string())),
            // SQLite would make a text of it too, but another one in each version: so it is made here.
            (Self::Text, Value::Float(float)) => Some(Value::Text(match *float {
                f64::INFINITY => "Inf".to_owned(),
                f64::NEG_INFINITY => "-Inf".to_owned(),
                float => format!("{float:?}"),
            })),
            (Self::Numeric | Self::Integer | Self::Real, Value::Text(text)) => {
                let number = parse_number(text)?;
                Some(self.convert(&number).unwrap_or(number))
            }
            (Self::Real, Value::Int(int)) => Some(Value::from(*int as f64)),
            // A float without a fraction becomes an integer where both are the same number.
            (Self::Numeric | Self::Integer, Value::Float(float)) => {
                let int = *float as i64;
                (int as f64 == *float && int > i64::MIN && int < i64::MAX)
                    .then_some(Value::Int(int))
            }
            _ => None,
        }
    }
}

/// A text that is a well-formed number by SQLite's rules: decimal, with spaces around it, no other letters than `e`.
fn parse_number(text: &str) -> Option<Value> {
    // SQLite reads as far as the first NUL, in this place only.
    let text = text.split('\0').next().unwrap_or(text);
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    if let Ok(int) = text.parse::<i64>() {
        return Some(Value::Int(int));
    }
    let looks_decimal = text.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
    if !looks_decimal {
        return None;
    }
    text.parse::<f64>().ok().map(Value::from)
}

fn describe(field_type: &FieldType) -> &'static str {
    match field_type {
        FieldType::AutoPk(format) | FieldType::ForeignKey(format) => match format {
            KeyFormat::Text => "a key that is a text",
            KeyFormat::Bytes => "a key of bytes",
            KeyFormat::Int => "a key that is an integer",
        },
        FieldType::Text | FieldType::String | FieldType::Url | FieldType::RandomKey => "a text",
        FieldType::Json => "JSON",
        FieldType::DateTime => "a moment",
        FieldType::Timestamp => "a moment (milliseconds)",
        FieldType::Boolean => "true or false",
        FieldType::Float => "a float",
        FieldType::Int => "an integer",
        FieldType::Blob | FieldType::Binary | FieldType::Media => "bytes",
        FieldType::Dynamic(_) => "any value",
    }
}

/// As deep as `serde_json` reads: what is written must be readable again, here and on other devices.
const MAX_JSON_DEPTH: usize = 127;

/// Whether JSON is nested deeper than so many levels of arrays and objects.
fn is_deeper(json: &serde_json::Value, levels: usize) -> bool {
    match json {
        serde_json::Value::Array(items) => {
            levels == 0 || items.iter().any(|item| is_deeper(item, levels - 1))
        }
        serde_json::Value::Object(map) => {
            levels == 0 || map.values().any(|item| is_deeper(item, levels - 1))
        }
        _ => false,
    }
}

/// The text that SQLite's `CURRENT_TIMESTAMP` would give.
fn current_timestamp(now: Timestamp) -> String {
    // `strftime` would do, and weigh more than all other uses of jiff together.
    jiff::Timestamp::from_second(now.0.div_euclid(1000))
        .map(|at| at.to_string().trim_end_matches('Z').replace('T', " "))
        .unwrap_or_default()
}

//! [`Check`]: what a value must be like beyond its type, and [`ObjectCheck`]: what the values of an object must be like
//! together.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::record::Record;
use crate::schema::{Collection, Field, FieldType, KeyFormat};
use crate::serde_face::from_record;
use crate::value::{Name, Value};

/// What a value must be like beyond its type. Null is not asked: whether it is allowed is the field's own affair.
///
/// What the application writes is checked, by creates and by updates, before anything is written. What sync brings is not:
/// it was checked where it was written, and what two devices have written is merged as it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Check {
    /// At least so many characters of a text, bytes, or elements of a JSON array.
    MinLength(usize),
    /// At most so many characters of a text, bytes, or elements of a JSON array.
    MaxLength(usize),
    /// Not less than this, by [`Value::compare`].
    Min(Value),
    /// Not greater than this, by [`Value::compare`].
    Max(Value),
    /// One of these.
    OneOf(Vec<Value>),
    /// Whatever else; see [`Check::custom`].
    Custom(CustomCheck),
}

/// A rule of the application's own.
#[derive(Clone)]
pub struct CustomCheck {
    rule: Name,
    holds: Arc<dyn Fn(&Value) -> bool + Send + Sync>,
}

/// What the values of an object must be like together; see
/// [`Definition::check`](crate::Definition::check).
#[derive(Clone)]
pub struct ObjectCheck {
    rule: Name,
    holds: Arc<dyn Fn(&ObjectView<'_>) -> bool + Send + Sync>,
}

/// An object as a check sees it.
#[derive(Debug, Clone, Copy)]
pub struct ObjectView<'a> {
    collection: &'a Collection,
    record: &'a Record,
    before: Option<&'a Record>,
}

impl<'a> ObjectView<'a> {
    /// A record of a collection.
    #[must_use]
    pub fn new(collection: &'a Collection, record: &'a Record) -> Self {
        Self { collection, record, before: None }
    }

    /// With the object as it was before the step.
    pub(crate) fn with_before(mut self, before: Option<&'a Record>) -> Self {
        self.before = before;
        self
    }

    /// The value of a field, as it is stored; null where there is no such field.
    #[must_use]
    pub fn get(&self, field: &str) -> &'a Value {
        static NULL: Value = Value::Null;
        self.collection.position(field).map_or(&NULL, |at| self.record.get(at))
    }

    /// The object as a struct.
    ///
    /// # Errors
    /// Why it does not fit.
    pub fn object<T: DeserializeOwned>(&self) -> Result<T, String> {
        let all: Vec<usize> = (0..self.collection.fields().len()).collect();
        from_record(self.collection, &all, self.record).map_err(|error| error.to_string())
    }

    /// The object as it was before the step, where that is known: `None` for a new one, and in the checks of a
    /// [`Definition`](crate::Definition).
    #[must_use]
    pub fn before(&self) -> Option<Self> {
        self.before.map(|record| Self { record, before: None, ..*self })
    }
}

impl Check {
    /// A rule of the application's own, in words that complete "the value must be ..", as in `an address with an @`.
    pub fn custom(
        rule: impl Into<Name>,
        holds: impl Fn(&Value) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::Custom(CustomCheck { rule: rule.into(), holds: Arc::new(holds) })
    }

    fn refusal(&self, value: &Value) -> Option<String> {
        let text = match self {
            Self::MinLength(least) => {
                let length = length(value).filter(|length| length < least)?;
                format!("has the length {length} where {least} is the least")
            }
            Self::MaxLength(most) => {
                let length = length(value).filter(|length| length > most)?;
                format!("has the length {length} where {most} is the most")
            }
            Self::Min(least) if value.compare(least).is_lt() => {
                format!("is less than {}", shown(least))
            }
            Self::Max(most) if value.compare(most).is_gt() => {
                format!("is greater than {}", shown(most))
            }
            Self::OneOf(values) if !values.iter().any(|it| it.compare(value).is_eq()) => {
                let values: Vec<String> = values.iter().map(shown).collect();
                format!("must be one of {}", values.join(", "))
            }
            Self::Custom(check) if !(check.holds)(value) => format!("must be {}", check.rule),
            Self::Min(_) | Self::Max(_) | Self::OneOf(_) | Self::Custom(_) => return None,
        };
        Some(text)
    }
}

impl Check {
    /// Brings the bounds to the form in which values of the field are stored.
    ///
    /// # Errors
    /// Why no value of the field could be held against a bound.
    pub(super) fn settle(&mut self, collection: &Collection, field: &Field) -> Result<(), String> {
        let settle = |value: &mut Value| match collection.check_value(field, value) {
            Ok(()) => Ok(()),
            Err(Error::InvalidValue { reason, .. }) => {
                Err(format!("{}: it {reason}", shown(value)))
            }
            Err(error) => Err(error.to_string()),
        };
        match self {
            Self::MinLength(_) | Self::MaxLength(_) if !has_length(&field.field_type) => {
                Err("is a length, and its values have none".to_owned())
            }
            Self::Min(bound) | Self::Max(bound) if bound.is_null() => {
                Err("has null as its bound, which nothing is less or greater than".to_owned())
            }
            Self::Min(bound) | Self::Max(bound) => {
                settle(bound).map_err(|reason| format!("has the bound {reason}"))
            }
            Self::OneOf(values) => values
                .iter_mut()
                .try_for_each(settle)
                .map_err(|reason| format!("allows the value {reason}")),
            Self::MinLength(_) | Self::MaxLength(_) | Self::Custom(_) => Ok(()),
        }
    }
}

/// Whether values of a type have a length, or may have one.
fn has_length(field_type: &FieldType) -> bool {
    match field_type {
        FieldType::AutoPk(format) | FieldType::ForeignKey(format) => *format != KeyFormat::Int,
        FieldType::Text
        | FieldType::String
        | FieldType::Url
        | FieldType::RandomKey
        | FieldType::Json
        | FieldType::Blob
        | FieldType::Binary
        | FieldType::Media
        | FieldType::Dynamic(_) => true,
        FieldType::DateTime
        | FieldType::Timestamp
        | FieldType::Boolean
        | FieldType::Float
        | FieldType::Int => false,
    }
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Text(text) => Some(text.chars().count()),
        Value::Bytes(bytes) => Some(bytes.len()),
        Value::Json(Json::Array(items)) => Some(items.len()),
        _ => None,
    }
}

/// A bound that stands in the schema, not a value of the user's.
fn shown(value: &Value) -> String {
    match value {
        Value::Int(int) => int.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Text(text) => format!("`{text}`"),
        Value::Bool(bool) => bool.to_string(),
        Value::Timestamp(at) => crate::json::format_moment(*at),
        other => other.kind().to_owned(),
    }
}

impl ObjectCheck {
    pub(crate) fn new(
        rule: impl Into<Name>,
        holds: impl Fn(&ObjectView<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { rule: rule.into(), holds: Arc::new(holds) }
    }
}

impl Collection {
    /// Checks a value by the rules of its field.
    ///
    /// # Errors
    /// [`Error::InvalidValue`].
    pub fn check_constraints(&self, field: &Field, value: &Value) -> Result<()> {
        if value.is_null() {
            return Ok(());
        }
        match field.checks.iter().find_map(|check| check.refusal(value)) {
            None => Ok(()),
            Some(reason) => Err(Error::InvalidValue {
                collection: Name::clone(self.name()),
                field: Name::clone(&field.name),
                reason,
            }),
        }
    }

    /// Checks a full record by the rules of its fields and those of the object.
    ///
    /// # Errors
    /// [`Error::InvalidValue`], [`Error::BrokenRule`].
    pub fn check_object(&self, record: &Record) -> Result<()> {
        for (field, value) in self.fields().iter().zip(record.values()) {
            self.check_constraints(field, value)?;
        }
        self.check_rules(record)
    }

    /// Checks a full record by the rules of the object.
    pub(crate) fn check_rules(&self, record: &Record) -> Result<()> {
        let view = ObjectView::new(self, record);
        match self.checks().iter().find(|check| !(check.holds)(&view)) {
            None => Ok(()),
            Some(check) => Err(Error::BrokenRule {
                collection: Name::clone(self.name()),
                key: self.key_of(record).to_string(),
                reason: format!("it must {}", check.rule),
            }),
        }
    }

    /// Whether there is any rule for objects or their fields.
    #[must_use]
    pub fn has_checks(&self) -> bool {
        !self.checks().is_empty() || self.fields().iter().any(|field| !field.checks.is_empty())
    }
}

impl fmt::Debug for CustomCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomCheck").field(&self.rule).finish()
    }
}

/// The same rule by the same function.
impl PartialEq for CustomCheck {
    fn eq(&self, other: &Self) -> bool {
        self.rule == other.rule && Arc::ptr_eq(&self.holds, &other.holds)
    }
}

impl fmt::Debug for ObjectCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectCheck").field(&self.rule).finish()
    }
}

/// The same rule by the same function.
impl PartialEq for ObjectCheck {
    fn eq(&self, other: &Self) -> bool {
        self.rule == other.rule && Arc::ptr_eq(&self.holds, &other.holds)
    }
}

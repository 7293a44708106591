//! [`Changes`]: what an update does to the fields of an object.

use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::schema::{Collection, Field, FieldType};
use crate::value::{Name, Value};

/// What an update does to fields. A field may stand here once.
///
/// ```
/// use storex_core::Changes;
///
/// let changes = Changes::new().set("title", "New").increment("views", 1).append("log", "; renamed");
/// # let _ = changes;
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    list: Vec<(Name, Change)>,
    returning: bool,
}

/// What an update does to one field.
///
/// All but [`Change::Set`] are relative: the result depends on the value before, and what is logged is what was done, not
/// only what came of it. Numbers never leave their range and integers never wrap: the update fails instead.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// The field gets this value.
    Set(Value),
    /// The number grows by this number (null counts as zero).
    Increment(Value),
    /// The number is multiplied by this number (null stays null).
    Multiply(Value),
    /// The field keeps the smaller of its value and this one (null gives way).
    Min(Value),
    /// The field keeps the greater of its value and this one (null gives way).
    Max(Value),
    /// This text is added behind the text (null counts as an empty one).
    Append(String),
    /// A text that begins with `from` begins with `to` instead; any other stays what it is.
    ReplacePrefix {
        /// The beginning that goes.
        from: String,
        /// The beginning that comes.
        to: String,
    },
    /// The elements that the JSON array does not have yet are added behind it (null counts as an empty array).
    AddElements(Vec<Json>),
    /// Every occurrence of these elements is taken out of the JSON array.
    RemoveElements(Vec<Json>),
}

impl Changes {
    /// No change.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a field.
    #[must_use]
    pub fn set(self, field: impl Into<Name>, value: impl Into<Value>) -> Self {
        self.with(field.into(), Change::Set(value.into()))
    }

    /// Sets a field to null.
    #[must_use]
    pub fn unset(self, field: impl Into<Name>) -> Self {
        self.with(field.into(), Change::Set(Value::Null))
    }

    /// Adds to a number.
    #[must_use]
    pub fn increment(self, field: impl Into<Name>, by: impl Into<Value>) -> Self {
        self.with(field.into(), Change::Increment(by.into()))
    }

    /// Multiplies a number.
    #[must_use]
    pub fn multiply(self, field: impl Into<Name>, by: impl Into<Value>) -> Self {
        self.with(field.into(), Change::Multiply(by.into()))
    }

    /// Keeps the smaller value.
    #[must_use]
    pub fn min(self, field: impl Into<Name>, value: impl Into<Value>) -> Self {
        self.with(field.into(), Change::Min(value.into()))
    }

    /// Keeps the greater value.
    #[must_use]
    pub fn max(self, field: impl Into<Name>, value: impl Into<Value>) -> Self {
        self.with(field.into(), Change::Max(value.into()))
    }

    /// Adds a text behind a text.
    #[must_use]
    pub fn append(self, field: impl Into<Name>, text: impl Into<String>) -> Self {
        self.with(field.into(), Change::Append(text.into()))
    }

    /// Replaces the beginning of a text.
    #[must_use]
    pub fn replace_prefix(
        self,
        field: impl Into<Name>,
        from: impl Into<String>,
        to: impl Into<String>,
    ) -> Self {
        self.with(field.into(), Change::ReplacePrefix { from: from.into(), to: to.into() })
    }

    /// Adds elements to a JSON array that does not have them yet.
    #[must_use]
    pub fn add_elements<J: Into<Json>>(
        self,
        field: impl Into<Name>,
        elements: impl IntoIterator<Item = J>,
    ) -> Self {
        let elements = elements.into_iter().map(Into::into).collect();
        self.with(field.into(), Change::AddElements(elements))
    }

    /// Takes elements out of a JSON array.
    #[must_use]
    pub fn remove_elements<J: Into<Json>>(
        self,
        field: impl Into<Name>,
        elements: impl IntoIterator<Item = J>,
    ) -> Self {
        let elements = elements.into_iter().map(Into::into).collect();
        self.with(field.into(), Change::RemoveElements(elements))
    }

    /// Adds a change.
    #[must_use]
    pub fn with(mut self, field: Name, change: Change) -> Self {
        self.list.push((field, change));
        self
    }

    /// These changes and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.list.extend(others.list);
        self.returning |= others.returning;
        self
    }

    /// The outcome of the update tells the whole objects as they are afterwards, not only their keys.
    #[must_use]
    pub fn returning(mut self) -> Self {
        self.returning = true;
        self
    }

    /// Checks what is set by the rules of the fields. Where only the result can tell, the outcome will.
    pub(crate) fn checked(self, collection: &Collection) -> Result<Self> {
        for (name, change) in self.iter() {
            if let Change::Set(value) = change {
                let field = &collection.fields()[collection.require(name)?];
                collection.check_constraints(field, value)?;
            }
        }
        let told = collection.checks().is_empty() && !self.is_relative();
        Ok(if told { self } else { self.returning() })
    }

    /// The changes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Change)> {
        self.list.iter().map(|(name, change)| (name, change))
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a result depends on the value before.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        self.list.iter().any(|(_, change)| !matches!(change, Change::Set(_)))
    }

    /// Whether the outcome tells the objects as they are afterwards: where a result depends on the value before, and where
    /// [`Changes::returning`] asks for them.
    #[must_use]
    pub fn tells_objects(&self) -> bool {
        self.returning || self.is_relative()
    }

    /// Checks fields and values, and brings values to their stored form.
    ///
    /// # Errors
    /// [`Error::UnknownField`], [`Error::InvalidValue`], [`Error::KeyChange`], [`Error::MissingField`] for a required
    /// field set to null.
    pub fn check(&mut self, collection: &Collection) -> Result<()> {
        if self.list.is_empty() {
            return Err(Error::invalid(collection.name(), "the update changes no field"));
        }
        for n in 0..self.list.len() {
            let (earlier, rest) = self.list.split_at_mut(n);
            let Some((name, change)) = rest.first_mut() else { continue };
            let at = collection.require(name)?;
            if collection.is_key(at) {
                return Err(Error::KeyChange {
                    collection: Name::clone(collection.name()),
                    field: Name::clone(name),
                });
            }
            if earlier.iter().any(|(known, _)| known == name) {
                let reason = format!("the update changes field `{name}` twice");
                return Err(Error::invalid(collection.name(), reason));
            }
            check_change(collection, &collection.fields()[at], change)?;
        }
        Ok(())
    }
}

fn check_change(collection: &Collection, field: &Field, change: &mut Change) -> Result<()> {
    let fits = match change {
        Change::Set(value) => {
            collection.check_value(field, value)?;
            if value.is_null() && !field.nullable {
                return Err(Error::MissingField {
                    collection: Name::clone(collection.name()),
                    field: Name::clone(&field.name),
                });
            }
            return Ok(());
        }
        Change::Increment(by) => match (&field.field_type, &*by) {
            (
                FieldType::Int | FieldType::Timestamp | FieldType::DateTime | FieldType::Dynamic(_),
                Value::Int(_),
            ) => true,
            (FieldType::Float, Value::Int(_) | Value::Float(_)) => {
                return collection.check_value(field, by);
            }
            (FieldType::Dynamic(_), Value::Float(by)) => !by.is_nan(),
            _ => false,
        },
        Change::Multiply(by) => match (&field.field_type, &*by) {
            (FieldType::Int | FieldType::Dynamic(_), Value::Int(_)) => true,
            (FieldType::Float, Value::Int(_) | Value::Float(_)) => {
                return collection.check_value(field, by);
            }
            (FieldType::Dynamic(_), Value::Float(by)) => !by.is_nan(),
            _ => false,
        },
        Change::Min(value) | Change::Max(value) => {
            let has_no_order = matches!(
                field.field_type,
                FieldType::Json
                    | FieldType::Boolean
                    | FieldType::AutoPk(_)
                    | FieldType::ForeignKey(_)
            );
            if value.is_null() || has_no_order {
                false
            } else {
                return collection.check_value(field, value);
            }
        }
        Change::Append(_) | Change::ReplacePrefix { .. } => matches!(
            field.field_type,
            FieldType::Text | FieldType::String | FieldType::Url | FieldType::Dynamic(_)
        ),
        Change::AddElements(list) | Change::RemoveElements(list) => {
            if field.field_type == FieldType::Json {
                return collection.check_value(field, &mut Value::Json(Json::Array(list.clone())));
            }
            false
        }
    };
    if fits { Ok(()) } else { Err(refused(collection, field, change)) }
}

/// The change does not fit the field.
fn refused(collection: &Collection, field: &Field, change: &Change) -> Error {
    let reason = match change {
        Change::Set(value) => format!("cannot be set to {}", value.kind()),
        Change::Increment(by) => format!("cannot be incremented by {}", by.kind()),
        Change::Multiply(by) => format!("cannot be multiplied by {}", by.kind()),
        Change::Min(value) | Change::Max(value) => {
            format!("has no smaller or greater of it and {}", value.kind())
        }
        Change::Append(_) | Change::ReplacePrefix { .. } => {
            "holds no text that could be changed".to_owned()
        }
        Change::AddElements(_) | Change::RemoveElements(_) => {
            "holds no JSON, so it has no elements".to_owned()
        }
    };
    Error::InvalidValue {
        collection: Name::clone(collection.name()),
        field: Name::clone(&field.name),
        reason,
    }
}

//! [`Filter`]: which objects an operation is about.

use crate::error::{Error, Result};
use crate::record::Key;
use crate::schema::Collection;
use crate::value::{Name, Value};

/// Which objects an operation is about.
///
/// The logic has two values: a comparison is true or false, never unknown. `Eq` null matches objects whose field is
/// null, `Ne` is the exact opposite of `Eq`, and a range (`Lt`, `Lte`, `Gt`, `Gte`) matches no null on either side.
/// The same filter selects the same objects on every backend.
///
/// ```
/// use storex_core::field;
///
/// let recent = field("created_at").gte(1_700_000_000_000_i64).and(field("title").ne("draft"));
/// # let _ = recent;
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Filter {
    /// Every object.
    All,
    /// The objects with these keys; the quickest way to an object. A key that stands here twice counts once.
    Keys(Vec<Key>),
    /// Objects whose field compares so with the value.
    Compare {
        /// The field.
        field: Name,
        /// How it is compared.
        op: Comparison,
        /// With what.
        value: Value,
    },
    /// Objects whose field equals one of the values.
    In {
        /// The field.
        field: Name,
        /// The values.
        values: Vec<Value>,
    },
    /// Objects whose JSON field is an array with an element that equals the value: a boolean, a number or a text. Numbers
    /// are compared as numbers; elements that are arrays or objects equal nothing.
    Contains {
        /// The field.
        field: Name,
        /// The element.
        value: Value,
    },
    /// Objects that every part matches; no part matches every object.
    And(Vec<Self>),
    /// Objects that some part matches; no part matches no object.
    Or(Vec<Self>),
    /// Objects that the part does not match.
    Not(Box<Self>),
}

/// How a field is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
}

/// A field to build a [`Filter`] from; see [`field`].
#[derive(Debug, Clone)]
pub struct FieldRef(Name);

/// Begins a filter on a field.
pub fn field(name: impl Into<Name>) -> FieldRef {
    FieldRef(name.into())
}

impl FieldRef {
    fn compare(self, op: Comparison, value: impl Into<Value>) -> Filter {
        Filter::Compare { field: self.0, op, value: value.into() }
    }

    /// Equal; `eq(Value::Null)` matches null.
    pub fn eq(self, value: impl Into<Value>) -> Filter {
        self.compare(Comparison::Eq, value)
    }

    /// Not equal; the opposite of [`FieldRef::eq`], so it matches null unless the value is null.
    pub fn ne(self, value: impl Into<Value>) -> Filter {
        self.compare(Comparison::Ne, value)
    }

    /// Less.
    pub fn lt(self, value: impl Into<Value>) -> Filter {
        self.compare(Comparison::Lt, value)
    }

    /// Less or equal.
    pub fn lte(self, value: impl Into<Value>) -> Filter {
        self.compare(Comparison::Lte, value)
    }

    /// Greater.
    pub fn gt(self, value: impl Into<Value>) -> Filter {
        self.compare(Comparison::Gt, value)
    }

    /// Greater or equal.
    pub fn gte(self, value: impl Into<Value>) -> Filter {
        self.compare(Comparison::Gte, value)
    }

    /// Null.
    #[must_use]
    pub fn is_null(self) -> Filter {
        self.compare(Comparison::Eq, Value::Null)
    }

    /// Not null.
    #[must_use]
    pub fn is_not_null(self) -> Filter {
        self.compare(Comparison::Ne, Value::Null)
    }

    /// A JSON array with this element; see [`Filter::Contains`].
    pub fn contains(self, value: impl Into<Value>) -> Filter {
        Filter::Contains { field: self.0, value: value.into() }
    }

    /// Equal to one of the values.
    pub fn is_in<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Filter {
        Filter::In { field: self.0, values: values.into_iter().map(Into::into).collect() }
    }
}

impl Filter {
    /// The one object with this key.
    pub fn key(key: impl Into<Key>) -> Self {
        Self::Keys(vec![key.into()])
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::And(mut parts) => {
                parts.push(other);
                Self::And(parts)
            }
            first => Self::And(vec![first, other]),
        }
    }

    /// One or the other or both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match self {
            Self::Or(mut parts) => {
                parts.push(other);
                Self::Or(parts)
            }
            first => Self::Or(vec![first, other]),
        }
    }

    /// The opposite.
    #[must_use]
    pub fn negate(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// Checks that every field is there and every value of the field's type, and brings values to their stored form.
    ///
    /// # Errors
    /// [`Error::UnknownField`], [`Error::InvalidValue`], [`Error::InvalidOperation`].
    pub fn check(&mut self, collection: &Collection) -> Result<()> {
        match self {
            Self::All => Ok(()),
            Self::Keys(keys) => check_keys(keys, collection),
            Self::Compare { field, value, .. } => check_operand(collection, field, value),
            Self::In { field, values } => {
                values.iter_mut().try_for_each(|value| check_operand(collection, field, value))
            }
            Self::Contains { field, value } => check_element(collection, field, value),
            Self::And(parts) | Self::Or(parts) => {
                parts.iter_mut().try_for_each(|part| part.check(collection))
            }
            Self::Not(part) => part.check(collection),
        }
    }
}

/// A key of the wrong type matches nothing on one backend and something on another, so it is refused.
fn check_keys(keys: &mut Vec<Key>, collection: &Collection) -> Result<()> {
    for key in keys.iter_mut() {
        check_key(key, collection)?;
    }
    // Twice the same key would count, update or delete one object twice.
    let ascending = keys.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending {
        let mut seen = std::collections::HashSet::with_capacity(keys.len());
        keys.retain(|key| seen.insert(key.clone()));
    }
    Ok(())
}

/// Checks one key against the key fields of its collection.
pub(crate) fn check_key(key: &mut Key, collection: &Collection) -> Result<()> {
    let positions = collection.primary_key();
    if key.values().len() != positions.len() {
        let reason =
            format!("a key has {} values, the primary key {}", key.values().len(), positions.len());
        return Err(Error::invalid(collection.name(), reason));
    }
    let mut changed = None;
    for (n, (position, value)) in positions.iter().zip(key.values()).enumerate() {
        let field = &collection.fields()[*position];
        if value.is_null() {
            return Err(Error::MissingField {
                collection: Name::clone(collection.name()),
                field: Name::clone(&field.name),
            });
        }
        let mut checked = value.clone();
        collection.check_value(field, &mut checked)?;
        if checked != *value {
            changed.get_or_insert_with(|| key.values().to_vec())[n] = checked;
        }
    }
    if let Some(values) = changed {
        *key = Key::compound(values);
    }
    Ok(())
}

/// Only JSON has elements, and only those that are no arrays or objects themselves can be looked for.
fn check_element(collection: &Collection, field: &Name, value: &mut Value) -> Result<()> {
    let definition = &collection.fields()[collection.require(field)?];
    if !matches!(definition.field_type, crate::FieldType::Json) {
        let reason = format!("field `{field}` holds no JSON, so it contains no elements");
        return Err(Error::invalid(collection.name(), reason));
    }
    match value {
        Value::Bool(_) | Value::Int(_) | Value::Text(_) => Ok(()),
        Value::Float(float) if !float.is_nan() => {
            *value = Value::from(*float);
            Ok(())
        }
        other => Err(Error::InvalidValue {
            collection: Name::clone(collection.name()),
            field: Name::clone(field),
            reason: format!(
                "cannot contain {}; ask for a boolean, a number or a text",
                other.kind()
            ),
        }),
    }
}

fn check_operand(collection: &Collection, field: &Name, value: &mut Value) -> Result<()> {
    let field = &collection.fields()[collection.require(field)?];
    collection.check_value(field, value)
}

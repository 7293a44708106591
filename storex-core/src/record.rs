//! [`Record`] and [`Key`]: values by position, without a name per object.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use smallvec::SmallVec;

use crate::value::Value;

/// The values of one object in the order of its collection's fields.
///
/// The names stand once, in the [`Collection`](struct@crate::Collection). A record of a query with a projection holds only the
/// selected fields, in the order of the projection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record(Vec<Value>);

impl Record {
    /// A record of these values, in schema order.
    #[must_use]
    pub fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// A record of `len` nulls.
    #[must_use]
    pub fn nulls(len: usize) -> Self {
        Self(vec![Value::Null; len])
    }

    /// The values, in schema order.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.0
    }

    /// The values, to change.
    pub fn values_mut(&mut self) -> &mut Vec<Value> {
        &mut self.0
    }

    /// The value at a position, null where there is none.
    #[must_use]
    pub fn get(&self, position: usize) -> &Value {
        self.0.get(position).unwrap_or(&Value::Null)
    }

    /// Replaces the value at a position; a position outside the record is ignored.
    pub fn set(&mut self, position: usize, value: Value) {
        if let Some(slot) = self.0.get_mut(position) {
            *slot = value;
        }
    }

    /// The values, by value.
    #[must_use]
    pub fn into_values(self) -> Vec<Value> {
        self.0
    }
}

impl From<Vec<Value>> for Record {
    fn from(values: Vec<Value>) -> Self {
        Self(values)
    }
}

/// The primary key of an object: one value, or several for a compound key, in the order of the key's fields.
///
/// Keys are ordered and compared by [`Value::compare`].
#[derive(Clone)]
pub struct Key(SmallVec<[Value; 1]>);

impl Key {
    /// A key of one value.
    #[must_use]
    pub fn single(value: impl Into<Value>) -> Self {
        let mut values = SmallVec::new();
        values.push(value.into());
        Self(values)
    }

    /// A compound key.
    #[must_use]
    pub fn compound(values: impl IntoIterator<Item = Value>) -> Self {
        Self(values.into_iter().collect())
    }

    /// The values, in the order of the key's fields.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.0
    }

    /// The text of a key that is a single text, such as a UUID.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self.0.as_slice() {
            [value] => value.as_text(),
            _ => None,
        }
    }

    /// The integer of a key that is a single integer.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self.0.as_slice() {
            [value] => value.as_int(),
            _ => None,
        }
    }

    /// The value of a key with one value.
    #[must_use]
    pub fn as_single(&self) -> Option<&Value> {
        match self.0.as_slice() {
            [value] => Some(value),
            _ => None,
        }
    }
}

impl<T: Into<Value>> From<T> for Key {
    fn from(value: T) -> Self {
        Self::single(value)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_all(&self.0, &other.0)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for value in &self.0 {
            value.hash_compared(state);
        }
    }
}

/// Compares value by value; a list that ends first is the smaller one.
#[must_use]
pub fn compare_all(a: &[Value], b: &[Value]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
        match x.compare(y) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    a.len().cmp(&b.len())
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, value) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("/")?;
            }
            match value {
                Value::Null => f.write_str("null")?,
                Value::Bool(it) => write!(f, "{it}")?,
                Value::Int(it) => write!(f, "{it}")?,
                Value::Float(it) => write!(f, "{it}")?,
                Value::Text(it) => f.write_str(it)?,
                Value::Bytes(it) => it.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?,
                Value::Timestamp(it) => write!(f, "{}", it.0)?,
                Value::Json(it) => write!(f, "{it}")?,
            }
        }
        Ok(())
    }
}

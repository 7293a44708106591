//! [`Value`]: what a field holds.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The name of a collection, a field or a placeholder: cheap to clone.
pub type Name = Arc<str>;

/// Milliseconds since 1970-01-01 UTC; negative before it.
///
/// With serde it is its number.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }
}

/// What a field holds.
///
/// Values keep their kind: a text that looks like a date stays a text.
///
/// Two values are *equal* (`==`) when they have the same kind and the same content. They are *ordered* for queries and
/// keys by [`Value::compare`], which is the order of SQLite: null, then numbers (booleans count as 0 and 1, timestamps as
/// their milliseconds), then texts by their UTF-8 bytes, then bytes, then JSON by its text.
///
/// A stored float is never NaN (SQLite would store null) and never `-0.0`: [`Value::from`] and the check of a record turn
/// `-0.0` into `0.0`, and the check refuses NaN. A JSON null is stored as null.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A finite or infinite 64-bit float.
    Float(f64),
    /// Unicode text.
    Text(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A moment, to the millisecond.
    Timestamp(Timestamp),
    /// Any JSON value.
    Json(Json),
}

impl Value {
    /// Whether this is [`Value::Null`].
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, if this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if this is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The bytes, if these are some.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The kind's name, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Float(_) => "float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "timestamp",
            Self::Json(_) => "json",
        }
    }

    /// The order that queries and keys use on every backend; see [`Value`].
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self.number(), other.number()) {
            (Some(a), Some(b)) => return a.compare(b),
            (None, None) => {}
            _ => return self.class().cmp(&other.class()),
        }
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Json(a), Self::Json(b)) => a.to_string().cmp(&b.to_string()),
            _ => self.class().cmp(&other.class()),
        }
    }

    fn class(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Timestamp(_) => 1,
            Self::Text(_) => 2,
            Self::Bytes(_) => 3,
            Self::Json(_) => 4,
        }
    }

    fn number(&self) -> Option<Number> {
        match self {
            Self::Bool(bool) => Some(Number::Int(i64::from(*bool))),
            Self::Int(int) => Some(Number::Int(*int)),
            Self::Timestamp(at) => Some(Number::Int(at.0)),
            Self::Float(float) => Some(Number::Float(*float)),
            _ => None,
        }
    }

    /// Feeds a hasher so that values which [`Value::compare`] as equal hash alike.
    pub(crate) fn hash_compared<H: std::hash::Hasher>(&self, state: &mut H) {
        use std::hash::Hash;
        self.class().hash(state);
        match self {
            Self::Null => {}
            Self::Bool(_) | Self::Int(_) | Self::Timestamp(_) | Self::Float(_) => {
                match self.number().map(Number::integral) {
                    Some(Ok(int)) => int.hash(state),
                    Some(Err(bits)) => bits.hash(state),
                    None => {}
                }
            }
            Self::Text(text) => text.hash(state),
            Self::Bytes(bytes) => bytes.hash(state),
            Self::Json(json) => json.to_string().hash(state),
        }
    }
}

#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => compare_floats(a, b),
            (Self::Int(a), Self::Float(b)) => compare_int_float(a, b),
            (Self::Float(a), Self::Int(b)) => compare_int_float(b, a).reverse(),
        }
    }

    /// The integer that this number equals, or the bits of a float that equals none.
    #[allow(clippy::cast_possible_truncation)]
    fn integral(self) -> Result<i64, u64> {
        match self {
            Self::Int(int) => Ok(int),
            Self::Float(float) => {
                let int = float as i64;
                if compare_int_float(int, float) == Ordering::Equal {
                    Ok(int)
                } else if float.is_nan() {
                    Err(f64::NAN.to_bits())
                } else {
                    Err(float.to_bits())
                }
            }
        }
    }
}

/// As numbers, so that the zeros are equal; all NaN are one, above the rest.
fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Exact: no integer is rounded to a float on the way (above 2^53 that would make different numbers equal).
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn compare_int_float(int: i64, float: f64) -> Ordering {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() || float >= TWO_63 {
        return Ordering::Less;
    }
    if float < -TWO_63 {
        return Ordering::Greater;
    }
    let whole = float.trunc();
    int.cmp(&(whole as i64)).then_with(|| 0.0_f64.total_cmp(&(float - whole + 0.0)))
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Json(a), Self::Json(b)) => a == b,
            _ => false,
        }
    }
}

impl From<f64> for Value {
    fn from(float: f64) -> Self {
        // `-0.0 + 0.0` is `0.0`; every other float stays what it is.
        Self::Float(float + 0.0)
    }
}

macro_rules! value_from {
    ($($from:ty => |$it:ident| $to:expr),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from($it: $from) -> Self {
                $to
            }
        }
    )*};
}

value_from! {
    bool => |it| Self::Bool(it),
    i8 => |it| Self::Int(it.into()),
    i16 => |it| Self::Int(it.into()),
    i32 => |it| Self::Int(it.into()),
    i64 => |it| Self::Int(it),
    u8 => |it| Self::Int(it.into()),
    u16 => |it| Self::Int(it.into()),
    u32 => |it| Self::Int(it.into()),
    f32 => |it| Self::from(f64::from(it)),
    &str => |it| Self::Text(it.to_owned()),
    String => |it| Self::Text(it),
    &String => |it| Self::Text(it.clone()),
    &[u8] => |it| Self::Bytes(it.to_vec()),
    Vec<u8> => |it| Self::Bytes(it),
    Timestamp => |it| Self::Timestamp(it),
    Json => |it| Self::Json(it),
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(option: Option<T>) -> Self {
        option.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_compare_exactly_at_the_edges() {
        let big = 9_007_199_254_740_993_i64; // 2^53 + 1 has no float of its own
        assert_eq!(
            Value::Int(big).compare(&Value::from(9_007_199_254_740_992.0)),
            Ordering::Greater
        );
        assert_eq!(Value::Int(i64::MAX).compare(&Value::from(9.3e18)), Ordering::Less);
        assert_eq!(
            Value::Int(i64::MIN).compare(&Value::from(-9.223_372_036_854_776e18)),
            Ordering::Equal
        );
        assert_eq!(Value::Int(1).compare(&Value::from(1.5)), Ordering::Less);
        assert_eq!(Value::Int(-1).compare(&Value::from(-1.5)), Ordering::Greater);
        assert_eq!(Value::Int(1).compare(&Value::from(f64::NEG_INFINITY)), Ordering::Greater);
    }

    #[test]
    fn minus_zero_is_zero() {
        assert_eq!(Value::from(-0.0), Value::from(0.0));
    }

    #[test]
    fn kinds_are_ordered_as_in_sqlite() {
        let ascending = [
            Value::Null,
            Value::Int(7),
            Value::from("a"),
            Value::from("b"),
            Value::from(vec![0u8]),
        ];
        for pair in ascending.windows(2) {
            assert_eq!(pair[0].compare(&pair[1]), Ordering::Less, "{pair:?}");
        }
    }
}

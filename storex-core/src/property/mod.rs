//! [`Property`]: a field of a collection whose name and type the compiler knows.

mod changes;
mod filters;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::marker::PhantomData;

use serde_json::Value as Json;

use crate::filter::{FieldRef, field};
use crate::query::Direction;
use crate::value::{Name, Timestamp, Value};

/// A field of the collection of `T` that holds a `V`. `#[derive(Collection)]` writes one for each field.
///
/// It builds filters, changes and orders. A field that is not there and a value of another type do not compile:
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use storex_core::{Changes, Collection, Filter};
///
/// #[derive(Serialize, Deserialize, Collection)]
/// struct Note {
///     id: String,
///     title: String,
///     stars: i64,
///     body: Option<String>,
///     #[storex(json)]
///     tags: Vec<String>,
/// }
///
/// let filter: Filter = Note::STARS.gte(3).and(Note::TAGS.contains("red")).and(Note::BODY.is_not_null());
/// let changes: Changes = Note::STARS.increment(1).and(Note::TITLE.set("New")).and(Note::BODY.unset());
/// # let _ = (filter, changes);
/// ```
///
/// ```compile_fail,E0277
/// # use serde::{Deserialize, Serialize};
/// # use storex_core::Collection;
/// # #[derive(Serialize, Deserialize, Collection)]
/// # struct Note { id: String, stars: i64 }
/// let filter = Note::STARS.eq("three"); // an integer is no text
/// ```
///
/// ```compile_fail,E0599
/// # use serde::{Deserialize, Serialize};
/// # use storex_core::Collection;
/// # #[derive(Serialize, Deserialize, Collection)]
/// # struct Note { id: String, title: String }
/// let filter = Note::TITEL.eq("x"); // there is no such field
/// ```
///
/// Filters and changes that were built are data as any others: they do not remember `T`.
pub struct Property<T, V> {
    name: &'static str,
    types: PhantomData<fn() -> (T, V)>,
}

impl<T, V> Clone for Property<T, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, V> Copy for Property<T, V> {}

impl<T, V> fmt::Debug for Property<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Property").field(&self.name).finish()
    }
}

/// The type of a [`Property`] whose field keeps a `V` as JSON.
#[derive(Debug)]
pub struct AsJson<V>(PhantomData<fn() -> V>);

/// What can be compared with a field that holds a `V`, and put into it.
///
/// That is a `V` itself when `Value: From<V>`, a `&str` for a text, a byte string for bytes, the value without `Some` for an
/// `Option`, and for a field of JSON a `V` with `serde_json::Value: From<V>`. A type of your own takes part once
/// [`Value`] (or `serde_json::Value`, for JSON) has a `From` of it:
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use storex_core::{Collection, Value};
///
/// #[derive(Serialize, Deserialize)]
/// enum Color {
///     Red,
///     Green,
/// }
///
/// impl From<Color> for Value {
///     fn from(color: Color) -> Self {
///         match color {
///             Color::Red => "Red".into(),
///             Color::Green => "Green".into(),
///         }
///     }
/// }
///
/// #[derive(Serialize, Deserialize, Collection)]
/// struct Car {
///     id: String,
///     #[storex(type = "String")]
///     color: Color,
/// }
/// let filter = Car::COLOR.ne(Color::Red);
/// # let _ = filter;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no value for a field that holds `{V}`",
    label = "a value of another type is wanted here",
    note = "a type of your own is a value once `From` is there for it: `impl From<{Self}> for storex_core::Value`, or for \
            `serde_json::Value` where the field is JSON"
)]
pub trait Operand<V> {
    /// The value as a field holds it.
    fn into_value(self) -> Value;
}

impl<V: Into<Value>> Operand<V> for V {
    fn into_value(self) -> Value {
        self.into()
    }
}

impl<V: Into<Value>> Operand<Option<V>> for V {
    fn into_value(self) -> Value {
        self.into()
    }
}

impl<V: Into<Json>> Operand<AsJson<V>> for V {
    fn into_value(self) -> Value {
        Value::Json(self.into())
    }
}

impl<V: Into<Json>> Operand<Option<AsJson<V>>> for V {
    fn into_value(self) -> Value {
        Value::Json(self.into())
    }
}

impl<V: Into<Json>> Operand<Option<AsJson<V>>> for Option<V> {
    fn into_value(self) -> Value {
        self.map_or(Value::Null, |value| Value::Json(value.into()))
    }
}

/// Borrowed forms of a text and of bytes.
macro_rules! borrowed {
    ($($owned:ty: $borrowed:ty),* $(,)?) => {$(
        impl Operand<$owned> for $borrowed {
            fn into_value(self) -> Value {
                self.into()
            }
        }
        impl Operand<Option<$owned>> for $borrowed {
            fn into_value(self) -> Value {
                self.into()
            }
        }
    )*};
}

borrowed! { String: &str, String: &String, Vec<u8>: &[u8] }

/// A number that can be added to.
#[diagnostic::on_unimplemented(
    message = "a field that holds `{Self}` is no number",
    note = "numbers are `i8` to `i64`, `u8` to `u32`, `f32`, `f64` and `Timestamp` (in milliseconds)"
)]
pub trait Number {
    /// What is added to it: an integer to integers and moments, a float to floats.
    type Step: Into<Value>;
}

macro_rules! numbers {
    ($($number:ty: $step:ty),* $(,)?) => {$(
        impl Number for $number {
            type Step = $step;
        }
    )*};
}

numbers! {
    i8: i64, i16: i64, i32: i64, i64: i64, u8: i64, u16: i64, u32: i64, Timestamp: i64, f32: f64, f64: f64,
}

impl<V: Number> Number for Option<V> {
    type Step = V::Step;
}

/// A JSON array, whose elements can be looked for.
#[diagnostic::on_unimplemented(
    message = "a field that holds `{Self}` has no elements",
    note = "elements are those of a list that is kept as JSON, by `#[storex(json)]`"
)]
pub trait JsonArray {
    /// What its elements are.
    type Element;
}

impl<E> JsonArray for AsJson<Vec<E>> {
    type Element = E;
}

impl<E> JsonArray for AsJson<VecDeque<E>> {
    type Element = E;
}

impl<E> JsonArray for AsJson<BTreeSet<E>> {
    type Element = E;
}

impl<E, S> JsonArray for AsJson<HashSet<E, S>> {
    type Element = E;
}

impl<E, const N: usize> JsonArray for AsJson<[E; N]> {
    type Element = E;
}

/// The elements of any JSON are any values.
impl JsonArray for AsJson<Json> {
    type Element = Value;
}

impl<V: JsonArray> JsonArray for Option<V> {
    type Element = V::Element;
}

/// A text that can be matched and changed.
#[diagnostic::on_unimplemented(
    message = "a field that holds `{Self}` is no text",
    note = "texts are `String` and `Option<String>`"
)]
pub trait TextLike {}

impl TextLike for String {}

impl<V: TextLike> TextLike for Option<V> {}

impl<T, V> Property<T, V> {
    /// A field, by its name in the collection.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// The field's name in the collection.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// A value as this field holds it, for instance for [`FieldOption::Default`](crate::FieldOption::Default).
    pub fn value(self, value: impl Operand<V>) -> Value {
        value.into_value()
    }

    fn field(self) -> FieldRef {
        field(self.name)
    }
}

/// Orders, for [`Query::order`](crate::Query::order) and [`Select::order`](crate::Select::order).
impl<T, V> Property<T, V> {
    /// Smallest first.
    #[must_use]
    pub fn asc(self) -> (Name, Direction) {
        (self.name.into(), Direction::Ascending)
    }

    /// Largest first.
    #[must_use]
    pub fn desc(self) -> (Name, Direction) {
        (self.name.into(), Direction::Descending)
    }
}

/// A property names its field wherever a name is asked for.
impl<T, V> From<Property<T, V>> for Name {
    fn from(property: Property<T, V>) -> Self {
        property.name.into()
    }
}

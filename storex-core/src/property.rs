//! [`Property`]: a field of a collection whose name and type the compiler knows.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde_json::Value as Json;

use crate::batch::{Change, Changes};
use crate::error::{Error, Result};
use crate::filter::{FieldRef, Filter, field};
use crate::query::Direction;
use crate::typed::Object;
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

    fn change(self, change: Change) -> Changes {
        Changes::new().with(self.name.into(), change)
    }
}

/// Filters.
impl<T, V> Property<T, V> {
    /// Equal.
    pub fn eq(self, value: impl Operand<V>) -> Filter {
        self.field().eq(value.into_value())
    }

    /// Not equal; the opposite of [`Property::eq`], so it matches null unless the value is null.
    pub fn ne(self, value: impl Operand<V>) -> Filter {
        self.field().ne(value.into_value())
    }

    /// Less.
    pub fn lt(self, value: impl Operand<V>) -> Filter {
        self.field().lt(value.into_value())
    }

    /// Less or equal.
    pub fn lte(self, value: impl Operand<V>) -> Filter {
        self.field().lte(value.into_value())
    }

    /// Greater.
    pub fn gt(self, value: impl Operand<V>) -> Filter {
        self.field().gt(value.into_value())
    }

    /// Greater or equal.
    pub fn gte(self, value: impl Operand<V>) -> Filter {
        self.field().gte(value.into_value())
    }

    /// Equal to one of the values.
    pub fn is_in<O: Operand<V>>(self, values: impl IntoIterator<Item = O>) -> Filter {
        self.field().is_in(values.into_iter().map(Operand::into_value))
    }

    /// Null.
    #[must_use]
    pub fn is_null(self) -> Filter {
        self.field().is_null()
    }

    /// Not null.
    #[must_use]
    pub fn is_not_null(self) -> Filter {
        self.field().is_not_null()
    }

    /// A JSON array with this element: a boolean, a number or a text; see [`Filter::Contains`].
    pub fn contains(self, element: impl Operand<V::Element>) -> Filter
    where
        V: JsonArray,
    {
        self.field().contains(element.into_value())
    }
}

/// Changes. Several are put together with [`Changes::and`].
impl<T, V> Property<T, V> {
    /// The field gets this value.
    pub fn set(self, value: impl Operand<V>) -> Changes {
        self.change(Change::Set(value.into_value()))
    }

    /// The number grows by this number (null counts as zero); see [`Change::Increment`].
    pub fn increment(self, by: V::Step) -> Changes
    where
        V: Number,
    {
        self.change(Change::Increment(by.into()))
    }
}

/// Changes of fields that may be null.
impl<T, V> Property<T, Option<V>> {
    /// The field becomes null.
    #[must_use]
    pub fn unset(self) -> Changes {
        self.change(Change::Set(Value::Null))
    }
}

/// Changes of fields that keep a struct or an enum of your own as JSON.
impl<T: Object, V: Serialize> Property<T, AsJson<V>> {
    /// The field gets what serde makes of this value. Where `serde_json::Value` has a `From` of it, [`Property::set`] does.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when serde makes no JSON of it.
    pub fn set_json(self, value: &V) -> Result<Changes> {
        self.set_serialized(value)
    }
}

/// The same for fields that may be null.
impl<T: Object, V: Serialize> Property<T, Option<AsJson<V>>> {
    /// The field gets what serde makes of this value.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when serde makes no JSON of it.
    pub fn set_json(self, value: &V) -> Result<Changes> {
        self.set_serialized(value)
    }
}

impl<T: Object, V> Property<T, V> {
    fn set_serialized(self, value: &impl Serialize) -> Result<Changes> {
        let json = serde_json::to_value(value).map_err(|error| Error::InvalidValue {
            collection: T::COLLECTION.into(),
            field: self.name.into(),
            reason: format!("has no form in JSON: {error}"),
        })?;
        Ok(self.change(Change::Set(Value::Json(json))))
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

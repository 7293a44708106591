//! Changes of a [`Property`].

use serde::Serialize;
use serde_json::Value as Json;

use super::{AsJson, JsonArray, Number, Operand, Property, TextLike};
use crate::changes::{Change, Changes};
use crate::error::{Error, Result};
use crate::typed::Object;
use crate::value::Value;

/// Changes. Several are put together with [`Changes::and`].
impl<T, V> Property<T, V> {
    fn change(self, change: Change) -> Changes {
        Changes::new().with(self.name.into(), change)
    }

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

    /// The number is multiplied by this number (null stays null).
    pub fn multiply(self, by: V::Step) -> Changes
    where
        V: Number,
    {
        self.change(Change::Multiply(by.into()))
    }

    /// The field keeps the smaller of its value and this one (null gives way).
    pub fn min(self, value: impl Operand<V>) -> Changes {
        self.change(Change::Min(value.into_value()))
    }

    /// The field keeps the greater of its value and this one (null gives way).
    pub fn max(self, value: impl Operand<V>) -> Changes {
        self.change(Change::Max(value.into_value()))
    }

    /// The elements that the array does not have yet are added behind it (null counts as an empty one).
    pub fn add_elements(self, elements: impl IntoIterator<Item = V::Element>) -> Changes
    where
        V: JsonArray,
        V::Element: Into<Json>,
    {
        Changes::new().add_elements(self.name, elements)
    }

    /// Every occurrence of these elements is taken out of the array.
    pub fn remove_elements(self, elements: impl IntoIterator<Item = V::Element>) -> Changes
    where
        V: JsonArray,
        V::Element: Into<Json>,
    {
        Changes::new().remove_elements(self.name, elements)
    }
}

/// Changes of texts.
impl<T, V: TextLike> Property<T, V> {
    /// This text is added behind the text (null counts as an empty one).
    pub fn append(self, text: impl Into<String>) -> Changes {
        Changes::new().append(self.name, text)
    }

    /// A text that begins with `from` begins with `to` instead; any other stays what it is.
    pub fn replace_prefix(self, from: impl Into<String>, to: impl Into<String>) -> Changes {
        Changes::new().replace_prefix(self.name, from, to)
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

//! Filters of a [`Property`].

use super::{JsonArray, Operand, Property, TextLike};
use crate::filter::Filter;

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

    /// A JSON array of so many elements.
    pub fn has_size(self, size: u64) -> Filter
    where
        V: JsonArray,
    {
        self.field().has_size(size)
    }
}

/// Filters on texts.
impl<T, V: TextLike> Property<T, V> {
    /// A text that begins with this one.
    pub fn starts_with(self, text: impl Into<String>) -> Filter {
        self.field().starts_with(text)
    }

    /// A text in which this one occurs.
    pub fn includes(self, text: impl Into<String>) -> Filter {
        self.field().includes(text)
    }

    /// This text, whatever the case of its letters.
    pub fn eq_ignore_case(self, text: impl Into<String>) -> Filter {
        self.field().eq_ignore_case(text)
    }

    /// A text that begins with this one, whatever the case of its letters.
    pub fn starts_with_ignore_case(self, text: impl Into<String>) -> Filter {
        self.field().starts_with_ignore_case(text)
    }

    /// A text in which this one occurs, whatever the case of its letters.
    pub fn includes_ignore_case(self, text: impl Into<String>) -> Filter {
        self.field().includes_ignore_case(text)
    }

    /// A text with all these words; see [`Filter::Search`].
    pub fn search(self, words: impl Into<String>) -> Filter {
        self.field().search(words)
    }
}

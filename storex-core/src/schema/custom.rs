//! [`CustomType`]: field types of the application's own.

use std::fmt;
use std::sync::Arc;

use crate::changes::{Change, Changes};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::record::Record;
use crate::schema::{Collection, Field, FieldType};
use crate::value::{Name, Value};

/// A field type of the application's own: what it sees is not what is stored. Money as a text outside and as an integer
/// inside, a text that is sealed, a value that is filled in where there is none.
///
/// **The faces convert, records are stored values.** The typed face ([`TypedCollection`](crate::TypedCollection),
/// [`Select`](crate::Select)), the dynamic face ([`DynamicCollection`](crate::DynamicCollection)) and `Collection`'s
/// `*_from_json` and `*_to_json` convert once on the way in and once on the way out: objects, filters and changes.
/// [`Record`], [`Filter`](crate::Filter) and [`Batch`](crate::Batch) given to [`Storage`](crate::Storage) itself, what
/// middleware and observers see, the log and sync hold stored values.
///
/// What follows from that:
/// - A filter compares stored values: for equality the same value has to be stored in the same form each time; ranges and
///   order are those of the stored form.
/// - The faces refuse relative changes, and filters on texts and elements; in a batch they apply to the stored form.
/// - In a filter of the typed face on related objects, the values of those are stored values; in JSON they are seen ones.
/// - A field's default is in its stored form, and taken as it is.
/// - Fields of a primary key have no custom type.
///
/// ```
/// use storex_core::{CustomType, Definition, FieldType, Value};
///
/// /// Whole cents inside, a text such as `12.50` outside.
/// #[derive(Debug)]
/// struct Money;
///
/// impl CustomType for Money {
///     fn name(&self) -> &str {
///         "money"
///     }
///
///     fn stored_as(&self) -> FieldType {
///         FieldType::Int
///     }
///
///     fn seen_as(&self) -> FieldType {
///         FieldType::String
///     }
///
///     fn to_storage(&self, value: Value) -> Result<Value, String> {
///         let Value::Text(text) = value else { return Ok(Value::Null) };
///         text.replace('.', "").parse::<i64>().map(Value::Int).map_err(|_| "is no amount".to_owned())
///     }
///
///     fn from_storage(&self, value: Value) -> Result<Value, String> {
///         let Some(cents) = value.as_int() else { return Ok(Value::Null) };
///         Ok(Value::from(format!("{}.{:02}", cents / 100, cents % 100)))
///     }
/// }
///
/// let item = Definition::new("item").custom_field("price", Money);
/// # let _ = item;
/// ```
pub trait CustomType: fmt::Debug + Send + Sync + 'static {
    /// The type's name, for messages and for the schema's fingerprint.
    fn name(&self) -> &str;

    /// What the database holds.
    fn stored_as(&self) -> FieldType;

    /// What the application sees, and so the form in JSON and serde; by default the same as what is stored.
    fn seen_as(&self) -> FieldType {
        self.stored_as()
    }

    /// The stored form of a value of the application's; called with [`Value::Null`] for a field without a value too. The same
    /// value has the same stored form each time: the function of a [transaction](crate::Storage::transaction) is run again, and
    /// has to ask for the same.
    ///
    /// # Errors
    /// Why the value cannot be stored.
    fn to_storage(&self, value: Value) -> Result<Value, String>;

    /// What the application sees of a stored value; called with [`Value::Null`] too.
    ///
    /// # Errors
    /// Why the stored value cannot be shown.
    #[allow(clippy::wrong_self_convention)] // the other half of `to_storage`
    fn from_storage(&self, value: Value) -> Result<Value, String>;
}

/// The custom type of a [`Field`].
#[derive(Debug, Clone)]
pub struct CustomField {
    custom_type: Arc<dyn CustomType>,
    /// The field as the application sees it.
    seen: Box<Field>,
}

/// Types of one name are the same.
impl PartialEq for dyn CustomType {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// Types of one name are the same.
impl PartialEq for CustomField {
    fn eq(&self, other: &Self) -> bool {
        *self.custom_type == *other.custom_type
    }
}

impl CustomField {
    pub(super) fn new(field: &Field, custom_type: Arc<dyn CustomType>) -> Self {
        let seen = Field { field_type: custom_type.seen_as(), custom: None, ..field.clone() };
        Self { custom_type, seen: Box::new(seen) }
    }

    /// The type.
    #[must_use]
    pub fn custom_type(&self) -> &Arc<dyn CustomType> {
        &self.custom_type
    }
}

impl Field {
    /// The field as the application sees it: the one whose type its JSON and serde forms have.
    pub(crate) fn seen(&self) -> &Self {
        self.custom.as_ref().map_or(self, |custom| &custom.seen)
    }
}

impl Collection {
    /// The stored form of a value that the application gave.
    pub(crate) fn to_storage(&self, field: &Field, mut value: Value) -> Result<Value> {
        let Some(custom) = &field.custom else { return Ok(value) };
        self.check_value(&custom.seen, &mut value)?;
        let mut stored =
            custom.custom_type.to_storage(value).map_err(|reason| self.unfit(field, reason))?;
        self.check_value(field, &mut stored)?;
        Ok(stored)
    }

    /// What the application sees of a stored value.
    pub(crate) fn seen_value(&self, field: &Field, value: &Value) -> Result<Value> {
        let Some(custom) = &field.custom else { return Ok(value.clone()) };
        let mut seen = custom
            .custom_type
            .from_storage(value.clone())
            .map_err(|reason| self.unfit(field, reason))?;
        self.check_value(&custom.seen, &mut seen)?;
        Ok(seen)
    }

    /// Gives fields of custom types that were not given what their type makes of no value.
    pub(crate) fn fill_absent(
        &self,
        record: &mut Record,
        is_given: impl Fn(usize) -> bool,
    ) -> Result<()> {
        if !self.has_custom() {
            return Ok(());
        }
        for (at, field) in self.fields().iter().enumerate() {
            if field.custom.is_some() && record.get(at).is_null() && !is_given(at) {
                record.set(at, self.to_storage(field, Value::Null)?);
            }
        }
        Ok(())
    }

    /// What cannot be done to a field of a custom type by the faces.
    pub(crate) fn refuse_custom(&self, field: &Field, why: &str) -> Result<()> {
        let Some(custom) = &field.custom else { return Ok(()) };
        let name = custom.custom_type.name();
        Err(self.unfit(field, format!("{why}, which is not what its custom type `{name}` shows")))
    }

    /// A filter of the typed face, with stored values.
    pub(crate) fn stored_filter(&self, filter: Filter) -> Result<Filter> {
        if !self.has_custom() {
            return Ok(filter);
        }
        let all = |parts: Vec<Filter>| {
            parts.into_iter().map(|part| self.stored_filter(part)).collect::<Result<Vec<_>>>()
        };
        Ok(match filter {
            Filter::Compare { field, op, value } => {
                let value = self.stored_value(&field, value)?;
                Filter::Compare { field, op, value }
            }
            Filter::In { field, values } => {
                let values = values.into_iter().map(|value| self.stored_value(&field, value));
                let values = values.collect::<Result<_>>()?;
                Filter::In { field, values }
            }
            Filter::Contains { ref field, .. }
            | Filter::Element { ref field, .. }
            | Filter::Size { ref field, .. }
            | Filter::Text { ref field, .. }
            | Filter::Search { ref field, .. } => {
                let definition = &self.fields()[self.require(field)?];
                self.refuse_custom(definition, "the filter looks at what is stored")?;
                filter
            }
            Filter::And(parts) => Filter::And(all(parts)?),
            Filter::Or(parts) => Filter::Or(all(parts)?),
            Filter::Not(part) => Filter::Not(Box::new(self.stored_filter(*part)?)),
            // Related objects have types of their own, which only the dynamic face knows here.
            other @ (Filter::All | Filter::Keys(_) | Filter::Related { .. }) => other,
        })
    }

    /// Changes of the typed face, with stored values.
    pub(crate) fn stored_changes(&self, changes: Changes) -> Result<Changes> {
        if !self.has_custom() {
            return Ok(changes);
        }
        let mut stored = Changes::new();
        for (name, change) in changes.iter() {
            let change = match change {
                Change::Set(value) => Change::Set(self.stored_value(name, value.clone())?),
                relative => {
                    let field = &self.fields()[self.require(name)?];
                    self.refuse_custom(field, "a relative change would change what is stored")?;
                    relative.clone()
                }
            };
            stored = stored.with(Name::clone(name), change);
        }
        Ok(stored)
    }

    fn stored_value(&self, field: &Name, value: Value) -> Result<Value> {
        self.to_storage(&self.fields()[self.require(field)?], value)
    }

    fn unfit(&self, field: &Field, reason: String) -> Error {
        Error::InvalidValue {
            collection: Name::clone(self.name()),
            field: Name::clone(&field.name),
            reason,
        }
    }
}

//! [`Filter`]: which objects an operation is about.

use crate::error::{Error, Result};
use crate::record::Key;
use crate::related::resolve;
use crate::schema::{Collection, FieldType, KeyFormat, Registry};
use crate::search;
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
    /// Objects whose JSON field is an array with an element that meets all conditions.
    Element {
        /// The field.
        field: Name,
        /// What the element is like.
        conditions: Vec<ElementCondition>,
    },
    /// Objects whose JSON field is an array of so many elements.
    Size {
        /// The field.
        field: Name,
        /// How many.
        size: u64,
    },
    /// Objects whose field is a text that matches so.
    Text {
        /// The field.
        field: Name,
        /// How it matches.
        how: TextMatch,
        /// The text it is compared with.
        text: String,
    },
    /// Objects whose field is a text with all these words, in any order; case does not count.
    ///
    /// A word is a run of letters and digits. One with a `*` behind it stands for all words that begin so. With an index on
    /// a field of type [`FieldType::Text`] the words are looked up, without one every object is looked at; the result is
    /// the same.
    Search {
        /// The field.
        field: Name,
        /// The words.
        words: String,
    },
    /// Objects with a related object that the filter matches: the parent, by the relation's alias, or some child, by its
    /// reverse alias.
    Related {
        /// The alias or the reverse alias.
        relation: Name,
        /// What the related object is like.
        filter: Box<Self>,
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

/// How a text matches another.
///
/// Where case does not count, texts are compared by [`fold_case`](crate::fold_case), in every language alike and on every
/// backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextMatch {
    /// It begins with the text. An index is used.
    StartsWith,
    /// The text occurs in it.
    Includes,
    /// It equals the text but for case.
    EqualsIgnoreCase,
    /// It begins with the text but for case.
    StartsWithIgnoreCase,
    /// The text occurs in it but for case.
    IncludesIgnoreCase,
}

/// A condition on an element of a JSON array.
///
/// Booleans, numbers and texts are compared with their like only; null equals null. An element that is an array or an
/// object, or of another kind than the value, meets [`Comparison::Ne`] and nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct ElementCondition {
    /// Where the element is an object: which of its members is compared. `None`: the element itself.
    pub member: Option<Name>,
    /// How it is compared.
    pub op: Comparison,
    /// With what.
    pub value: Value,
}

/// A field to build a [`Filter`] from; see [`field`].
#[derive(Debug, Clone)]
pub struct FieldRef(Name);

/// Objects with a related object that the filter matches; see [`Filter::Related`].
///
/// ```
/// use storex_core::{field, related};
///
/// let mails_of_ann = related("user", field("name").eq("Ann"));
/// let users_with_a_mail = related("emails", storex_core::Filter::All);
/// # let _ = (mails_of_ann, users_with_a_mail);
/// ```
pub fn related(relation: impl Into<Name>, filter: Filter) -> Filter {
    Filter::Related { relation: relation.into(), filter: Box::new(filter) }
}

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

    /// A JSON array of so many elements.
    #[must_use]
    pub fn has_size(self, size: u64) -> Filter {
        Filter::Size { field: self.0, size }
    }

    fn text(self, how: TextMatch, text: impl Into<String>) -> Filter {
        Filter::Text { field: self.0, how, text: text.into() }
    }

    /// A text that begins with this one.
    pub fn starts_with(self, text: impl Into<String>) -> Filter {
        self.text(TextMatch::StartsWith, text)
    }

    /// A text in which this one occurs.
    pub fn includes(self, text: impl Into<String>) -> Filter {
        self.text(TextMatch::Includes, text)
    }

    /// This text, whatever the case of its letters.
    pub fn eq_ignore_case(self, text: impl Into<String>) -> Filter {
        self.text(TextMatch::EqualsIgnoreCase, text)
    }

    /// A text that begins with this one, whatever the case of its letters.
    pub fn starts_with_ignore_case(self, text: impl Into<String>) -> Filter {
        self.text(TextMatch::StartsWithIgnoreCase, text)
    }

    /// A text in which this one occurs, whatever the case of its letters.
    pub fn includes_ignore_case(self, text: impl Into<String>) -> Filter {
        self.text(TextMatch::IncludesIgnoreCase, text)
    }

    /// A text with all these words; see [`Filter::Search`].
    pub fn search(self, words: impl Into<String>) -> Filter {
        Filter::Search { field: self.0, words: words.into() }
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
    pub fn check(&mut self, collection: &Collection, registry: &Registry) -> Result<()> {
        match self {
            Self::And(parts) | Self::Or(parts) => {
                parts.iter_mut().try_for_each(|part| part.check(collection, registry))
            }
            Self::Not(part) => part.check(collection, registry),
            Self::Related { relation, filter } => {
                check_related(relation, filter, collection, registry)
            }
            leaf => leaf.check_leaf(collection),
        }
    }

    /// On its own, so that a deep filter needs little of the stack per level.
    fn check_leaf(&mut self, collection: &Collection) -> Result<()> {
        match self {
            Self::Keys(keys) => check_keys(keys, collection),
            Self::Compare { field, value, .. } => check_operand(collection, field, value),
            Self::In { field, values } => {
                values.iter_mut().try_for_each(|value| check_operand(collection, field, value))
            }
            Self::Contains { field, value } => check_element(collection, field, value),
            Self::Element { field, conditions } => {
                check_array(collection, field)?;
                conditions.iter_mut().try_for_each(|it| check_condition(collection, field, it))
            }
            Self::Size { field, .. } => check_array(collection, field),
            Self::Text { field, .. } => check_text(collection, field),
            Self::Search { field, words } => {
                check_text(collection, field)?;
                if search::Words::new(words).is_empty() {
                    let reason = format!("a search in field `{field}` has no word to look for");
                    return Err(Error::invalid(collection.name(), reason));
                }
                Ok(())
            }
            Self::All | Self::Related { .. } | Self::And(_) | Self::Or(_) | Self::Not(_) => Ok(()),
        }
    }

    /// The first part that is about related objects.
    pub(crate) fn first_related(&mut self) -> Option<&mut Self> {
        match self {
            Self::Related { .. } => Some(self),
            Self::And(parts) | Self::Or(parts) => parts.iter_mut().find_map(Self::first_related),
            Self::Not(part) => part.first_related(),
            _ => None,
        }
    }

    /// Whether some part is about related objects.
    #[must_use]
    pub fn has_related(&self) -> bool {
        match self {
            Self::Related { .. } => true,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::has_related),
            Self::Not(part) => part.has_related(),
            _ => false,
        }
    }

    /// The other collections on which it depends what the filter matches.
    pub fn visit_related(
        &self,
        collection: &Collection,
        registry: &Registry,
        visit: &mut dyn FnMut(&Name),
    ) {
        match self {
            Self::Related { relation, filter } => {
                let Ok(target) = resolve(collection, relation) else { return };
                visit(target.other());
                if let Some(other) = registry.find(target.other()) {
                    filter.visit_related(other, registry, visit);
                }
            }
            Self::And(parts) | Self::Or(parts) => {
                parts.iter().for_each(|part| part.visit_related(collection, registry, visit));
            }
            Self::Not(part) => part.visit_related(collection, registry, visit),
            _ => {}
        }
    }
}

fn check_related(
    relation: &str,
    filter: &mut Filter,
    collection: &Collection,
    registry: &Registry,
) -> Result<()> {
    let target = resolve(collection, relation)?;
    filter.check(registry.collection(target.other())?, registry)
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

fn check_array(collection: &Collection, field: &Name) -> Result<()> {
    let definition = &collection.fields()[collection.require(field)?];
    if !matches!(definition.field_type, FieldType::Json) {
        let reason = format!("field `{field}` holds no JSON, so it contains no elements");
        return Err(Error::invalid(collection.name(), reason));
    }
    Ok(())
}

fn check_text(collection: &Collection, field: &Name) -> Result<()> {
    let definition = &collection.fields()[collection.require(field)?];
    match definition.field_type {
        FieldType::Text
        | FieldType::String
        | FieldType::Url
        | FieldType::RandomKey
        | FieldType::AutoPk(KeyFormat::Text)
        | FieldType::ForeignKey(KeyFormat::Text)
        | FieldType::Dynamic(_) => Ok(()),
        _ => {
            let reason = format!("field `{field}` holds no text that could match a text");
            Err(Error::invalid(collection.name(), reason))
        }
    }
}

fn check_condition(
    collection: &Collection,
    field: &Name,
    condition: &mut ElementCondition,
) -> Result<()> {
    let equality = matches!(condition.op, Comparison::Eq | Comparison::Ne);
    if condition.value.is_null() && equality {
        return Ok(());
    }
    check_element(collection, field, &mut condition.value)
}

/// Only JSON has elements, and only those that are no arrays or objects themselves can be looked for.
fn check_element(collection: &Collection, field: &Name, value: &mut Value) -> Result<()> {
    check_array(collection, field)?;
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

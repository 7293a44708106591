//! [`FieldState`]: what the clock keeps of a field with a strategy, so that the writes of all devices count.
//!
//! Each state is a join semilattice: joining is commutative, associative and idempotent. A write *contributes* to it
//! ([`Contribution`]), which is the join with the small state that the write alone makes. As with a counter, all of it is over a
//! *base*, the field's stamp: a plain write with a later stamp begins a new base and drops what was there. With a strategy from the
//! beginning the base is the beginning of time, so that there is no such write.
//!
//! - greatest, least, joined by a function: the value itself.
//! - set: per element the last addition or removal (LWW-element-set: Shapiro, Preguiça, Baquero, Zawirski, "A comprehensive study
//!   of Convergent and Commutative Replicated Data Types", 2011).
//! - list: the elements by stamp and place, which only become more.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;
use storex_core::{Name, Value, json_element};

use crate::counter::order;
use crate::stamp::Stamp;
use crate::strategy::{Joins, Strategy};

/// What the clock keeps of a field with a [`Strategy`].
#[derive(Debug, Clone, PartialEq)]
pub enum FieldState {
    /// The greatest value.
    Max(Held),
    /// The least value.
    Min(Held),
    /// The values joined by the application's function of this name.
    Custom(Name, Held),
    /// The elements of a set, and those that were in it, ascending by their text.
    Set(Vec<Element>),
    /// The elements of a list, in its order.
    List(Vec<Item>),
}

/// A value, and the last write that has contributed to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// When, and by which device.
    pub at: Stamp,
    /// The value.
    pub value: Value,
}

/// An element of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its JSON, in the one form that equal elements have.
    pub text: String,
    /// When it was added or taken out.
    pub at: Stamp,
    /// Its place among those that were added at once.
    pub place: u32,
    /// Whether it was added.
    pub is_in: bool,
}

/// An element of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// When it was added.
    pub at: Stamp,
    /// Its place among those that were added at once.
    pub place: u32,
    /// The element.
    pub element: Json,
}

/// What one write contributes to a field with a [`Strategy`].
#[derive(Debug, Clone, PartialEq)]
pub enum Contribution {
    /// A value, of which the greatest counts.
    Max(Value),
    /// A value, of which the least counts.
    Min(Value),
    /// A value to be joined by the application's function.
    Custom(Name, Value),
    /// Elements of a set.
    Set {
        /// Those that were added.
        added: Vec<Json>,
        /// Those that were taken out.
        removed: Vec<Json>,
    },
    /// Elements behind a list.
    List(Vec<Json>),
}

/// A contribution as it travels.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// The stamp of the write that has last set the field plainly; [`Stamp::ZERO`] if none has.
    pub base: Stamp,
    /// What the write contributes.
    pub contribution: Contribution,
}

/// The value does not fit the strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoArray;

impl Contribution {
    /// What a write contributes that has left this value in the field. `None`: the field is written plainly, because it has no
    /// strategy, or begins another one.
    pub(crate) fn of(
        strategy: Option<&Strategy>,
        state: Option<&FieldState>,
        after: &Value,
        joins: &Joins,
    ) -> Result<Option<Self>, NoArray> {
        let value = || after.clone();
        Ok(match (strategy, state) {
            (Some(Strategy::Max), None | Some(FieldState::Max(_)))
            | (None, Some(FieldState::Max(_))) => Some(Self::Max(value())),
            (Some(Strategy::Min), None | Some(FieldState::Min(_)))
            | (None, Some(FieldState::Min(_))) => Some(Self::Min(value())),
            (Some(Strategy::Custom(custom)), None) => {
                Some(Self::Custom(Name::clone(custom.name()), value()))
            }
            (Some(Strategy::Custom(custom)), Some(FieldState::Custom(name, _)))
                if custom.name() == name =>
            {
                Some(Self::Custom(Name::clone(name), value()))
            }
            (None, Some(FieldState::Custom(name, _))) if joins.knows(name) => {
                Some(Self::Custom(Name::clone(name), value()))
            }
            (Some(Strategy::Set), None) => Some(set_difference(&[], array(after)?)),
            (Some(Strategy::Set) | None, Some(FieldState::Set(elements))) => {
                Some(set_difference(elements, array(after)?))
            }
            (Some(Strategy::List), None) => Some(list_difference(&[], array(after)?)),
            (Some(Strategy::List) | None, Some(FieldState::List(items))) => {
                Some(list_difference(items, array(after)?))
            }
            _ => None,
        })
    }

    /// The state that this write alone makes.
    #[must_use]
    pub fn state(&self, at: Stamp) -> FieldState {
        let held = |value: &Value| Held { at, value: value.clone() };
        match self {
            Self::Max(value) => FieldState::Max(held(value)),
            Self::Min(value) => FieldState::Min(held(value)),
            Self::Custom(name, value) => FieldState::Custom(Name::clone(name), held(value)),
            Self::Set { added, removed } => {
                let added = (0..).zip(added).map(|(place, it)| (place, it, true));
                let removed = removed.iter().map(|it| (0, it, false));
                let elements = added.chain(removed).map(|(place, element, is_in)| Element {
                    text: text_of(element),
                    at,
                    place,
                    is_in,
                });
                let mut elements: Vec<Element> = elements.collect();
                elements.sort_by(|a, b| a.text.cmp(&b.text).then_with(|| b.cmp_last(a)));
                elements.dedup_by(|b, a| a.text == b.text);
                FieldState::Set(elements)
            }
            Self::List(elements) => {
                let items = (0..).zip(elements);
                let item =
                    |(place, element): (u32, &Json)| Item { at, place, element: element.clone() };
                FieldState::List(items.map(item).collect())
            }
        }
    }

    /// The name of the application's function that joins it.
    pub(crate) fn function(&self) -> Option<&Name> {
        match self {
            Self::Custom(name, _) => Some(name),
            _ => None,
        }
    }
}

impl FieldState {
    /// The value of the field.
    #[must_use]
    pub fn value(&self) -> Value {
        match self {
            Self::Max(held) | Self::Min(held) | Self::Custom(_, held) => held.value.clone(),
            Self::Set(elements) => {
                let mut there: Vec<&Element> = elements.iter().filter(|it| it.is_in).collect();
                there.sort_by_key(|it| (it.at, it.place));
                let parsed = there.into_iter().filter_map(|it| serde_json::from_str(&it.text).ok());
                Value::Json(Json::Array(parsed.collect()))
            }
            Self::List(items) => {
                Value::Json(Json::Array(items.iter().map(|item| item.element.clone()).collect()))
            }
        }
    }

    /// The writes that it consists of.
    pub(crate) fn stamps(&self) -> Vec<Stamp> {
        match self {
            Self::Max(held) | Self::Min(held) | Self::Custom(_, held) => vec![held.at],
            Self::Set(elements) => elements.iter().map(|it| it.at).collect(),
            Self::List(items) => items.iter().map(|it| it.at).collect(),
        }
    }

    /// Puts other stamps in the place of those that are in it.
    pub(crate) fn restamp(&mut self, other: impl Fn(Stamp) -> Stamp) {
        match self {
            Self::Max(held) | Self::Min(held) | Self::Custom(_, held) => held.at = other(held.at),
            Self::Set(elements) => elements.iter_mut().for_each(|it| it.at = other(it.at)),
            Self::List(items) => {
                items.iter_mut().for_each(|it| it.at = other(it.at));
                items.sort_by_key(|it| (it.at, it.place));
            }
        }
    }

    /// The last write that has contributed to it.
    #[must_use]
    pub fn newest(&self) -> Stamp {
        match self {
            Self::Max(held) | Self::Min(held) | Self::Custom(_, held) => held.at,
            Self::Set(elements) => elements.iter().map(|it| it.at).max().unwrap_or_default(),
            Self::List(items) => items.last().map(|it| it.at).unwrap_or_default(),
        }
    }

    /// The name of the application's function that joins it.
    pub(crate) fn function(&self) -> Option<&Name> {
        match self {
            Self::Custom(name, _) => Some(name),
            _ => None,
        }
    }

    /// Takes what is known elsewhere of the same field; whether that was news.
    pub(crate) fn join(&mut self, other: &Self, joins: &Joins) -> bool {
        match (&mut *self, other) {
            (Self::Max(own), Self::Max(other)) => own.keep(other, |a, b| order(a, b).is_lt()),
            (Self::Min(own), Self::Min(other)) => own.keep(other, |a, b| order(a, b).is_gt()),
            (Self::Custom(name, own), Self::Custom(other_name, other)) if name == other_name => {
                own.join(name, other, joins)
            }
            (Self::Set(own), Self::Set(other)) => {
                join_sorted(own, other, |a, b| a.text.cmp(&b.text), |a, b| a.cmp_last(b).is_lt())
            }
            (Self::List(own), Self::List(other)) => {
                join_sorted(own, other, |a, b| (a.at, a.place).cmp(&(b.at, b.place)), |_, _| false)
            }
            // Devices that are configured differently: the same kind counts everywhere.
            (own, other) => {
                let later = own.kind() < other.kind();
                if later {
                    *own = other.clone();
                }
                later
            }
        }
    }

    fn kind(&self) -> (u8, Option<&Name>) {
        match self {
            Self::Max(_) => (1, None),
            Self::Min(_) => (2, None),
            Self::Set(_) => (3, None),
            Self::List(_) => (4, None),
            Self::Custom(name, _) => (5, Some(name)),
        }
    }
}

impl Held {
    /// Keeps one of two values; null gives way.
    fn keep(&mut self, other: &Self, gives_way: impl Fn(&Value, &Value) -> bool) -> bool {
        let takes = match (self.value.is_null(), other.value.is_null()) {
            (_, true) => false,
            (true, false) => true,
            (false, false) => gives_way(&self.value, &other.value),
        };
        if takes {
            self.value = other.value.clone();
        }
        self.note(other) || takes
    }

    fn join(&mut self, name: &Name, other: &Self, joins: &Joins) -> bool {
        let joined = match (self.value.is_null(), other.value.is_null()) {
            (_, true) => None,
            (true, false) => Some(other.value.clone()),
            // Without the function nothing comes here; see `Contribution::function`.
            (false, false) => joins.join(name, &self.value, &other.value),
        };
        let joined = joined.filter(|value| *value != self.value);
        let news = joined.is_some();
        if let Some(value) = joined {
            self.value = value;
        }
        self.note(other) || news
    }

    fn note(&mut self, other: &Self) -> bool {
        let later = other.at > self.at;
        self.at = self.at.max(other.at);
        later
    }
}

impl Element {
    /// Of two writes to one element the greater counts.
    fn cmp_last(&self, other: &Self) -> Ordering {
        (self.at, self.is_in, other.place).cmp(&(other.at, other.is_in, self.place))
    }
}

/// Merges two sorted lists; of two that are the same one is kept. Whether anything of the other one was taken.
fn join_sorted<T: Clone>(
    own: &mut Vec<T>,
    other: &[T],
    order: impl Fn(&T, &T) -> Ordering,
    gives_way: impl Fn(&T, &T) -> bool,
) -> bool {
    let mut news = false;
    for it in other {
        match own.binary_search_by(|known| order(known, it)) {
            Ok(at) => {
                if let Some(known) = own.get_mut(at).filter(|known| gives_way(known, it)) {
                    *known = it.clone();
                    news = true;
                }
            }
            Err(at) => {
                own.insert(at, it.clone());
                news = true;
            }
        }
    }
    news
}

/// The elements of an array; of null none.
fn array(value: &Value) -> Result<&[Json], NoArray> {
    match value {
        Value::Null | Value::Json(Json::Null) => Ok(&[]),
        Value::Json(Json::Array(elements)) => Ok(elements),
        _ => Err(NoArray),
    }
}

/// What makes this array of a set.
fn set_difference(elements: &[Element], after: &[Json]) -> Contribution {
    let mut texts = HashSet::with_capacity(after.len());
    let mut added = Vec::new();
    for element in after {
        let text = text_of(element);
        let known = elements.binary_search_by(|it| it.text.as_str().cmp(&text));
        let is_in = known.ok().and_then(|at| elements.get(at)).is_some_and(|it| it.is_in);
        if texts.insert(text) && !is_in {
            added.push(element.clone());
        }
    }
    let gone = elements.iter().filter(|it| it.is_in && !texts.contains(&it.text));
    let removed = gone.filter_map(|it| serde_json::from_str(&it.text).ok()).collect();
    Contribution::Set { added, removed }
}

/// What is in this array beyond a list.
fn list_difference(items: &[Item], after: &[Json]) -> Contribution {
    let mut known: HashMap<String, usize> = HashMap::new();
    for item in items {
        *known.entry(text_of(&item.element)).or_default() += 1;
    }
    let more = after.iter().filter(|element| match known.get_mut(&text_of(element)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    });
    Contribution::List(more.cloned().collect())
}

/// Equal elements have the same text: numbers are equal when their values are.
fn text_of(element: &Json) -> String {
    #[allow(clippy::cast_possible_truncation)] // it is checked
    let whole = match json_element(element) {
        Some(Value::Float(float)) if float.fract() == 0.0 && float.abs() < 9e15 => {
            Some(float as i64)
        }
        _ => None,
    };
    whole.map_or_else(|| element.to_string(), |int| int.to_string())
}

//! What filters, orders and changes mean, on records in memory. Every backend must give the same results.

use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::filter::{Comparison, ElementCondition, Filter, TextMatch};
use crate::query::{Direction, Query};
use crate::record::Record;
use crate::schema::Collection;
use crate::search;
use crate::value::Value;

impl Filter {
    /// Whether the filter matches a record. Fields that are not there match nothing; [`Filter::check`] refuses them.
    #[must_use]
    pub fn matches(&self, collection: &Collection, record: &Record) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches(collection, record)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(collection, record)),
            Self::Not(part) => !part.matches(collection, record),
            leaf => leaf.leaf_matches(collection, record),
        }
    }

    /// Apart from what calls itself, so that a deep filter takes little of the stack.
    fn leaf_matches(&self, collection: &Collection, record: &Record) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.contains(&collection.key_of(record)),
            Self::Compare { field, op, value } => {
                collection.position(field).is_some_and(|at| op.holds(record.get(at), value))
            }
            Self::In { field, values } => collection.position(field).is_some_and(|at| {
                values.iter().any(|value| Comparison::Eq.holds(record.get(at), value))
            }),
            Self::Contains { field, .. }
            | Self::Element { field, .. }
            | Self::Size { field, .. }
            | Self::Text { field, .. }
            | Self::Search { field, .. } => {
                collection.position(field).is_some_and(|at| self.matches_value(record.get(at)))
            }
            // One object knows nothing of the others: a `BatchRun` has put what is there in its place before.
            Self::Related { .. } | Self::And(_) | Self::Or(_) | Self::Not(_) => false,
        }
    }

    /// Whether a filter on the content of one field ([`Filter::Contains`], [`Filter::Element`], [`Filter::Size`],
    /// [`Filter::Text`], [`Filter::Search`]) matches a value of that field. For a backend that evaluates such a filter where
    /// the value lies; false for any other filter.
    #[must_use]
    pub fn matches_value(&self, own: &Value) -> bool {
        match self {
            Self::Contains { value, .. } => contains(own, value),
            Self::Element { conditions, .. } => elements(own).any(|it| meets(it, conditions)),
            Self::Size { size, .. } => {
                matches!(own, Value::Json(Json::Array(items)) if items.len() as u64 == *size)
            }
            Self::Text { how, text, .. } => own.as_text().is_some_and(|own| how.holds(own, text)),
            Self::Search { words, .. } => {
                own.as_text().is_some_and(|own| search::Words::new(words).are_in(own))
            }
            _ => false,
        }
    }
}

impl TextMatch {
    /// Whether `own` matches `text` so.
    #[must_use]
    pub fn holds(self, own: &str, text: &str) -> bool {
        match self {
            Self::StartsWith => own.starts_with(text),
            Self::Includes => own.contains(text),
            Self::EqualsIgnoreCase => search::fold_case(own) == search::fold_case(text),
            Self::StartsWithIgnoreCase => {
                search::fold_case(own).starts_with(&search::fold_case(text))
            }
            Self::IncludesIgnoreCase => search::fold_case(own).contains(&search::fold_case(text)),
        }
    }
}

/// The elements of a JSON array; none of anything else.
fn elements(value: &Value) -> impl Iterator<Item = &Json> {
    match value {
        Value::Json(Json::Array(items)) => items.iter(),
        _ => [].iter(),
    }
}

/// Whether a value is a JSON array with this element.
fn contains(value: &Value, element: &Value) -> bool {
    elements(value).filter_map(json_element).any(|item| same_value(&item, element))
}

fn same_value(a: &Value, b: &Value) -> bool {
    is_like(a, b) && a.compare(b) == Ordering::Equal
}

/// Whether both are booleans, numbers, texts or nulls.
fn is_like(a: &Value, b: &Value) -> bool {
    let kind = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Float(_) => 2,
        Value::Text(_) => 3,
        _ => 4,
    };
    kind(a) == kind(b)
}

/// Whether an element of a JSON array meets all conditions.
fn meets(element: &Json, conditions: &[ElementCondition]) -> bool {
    conditions.iter().all(|condition| {
        let json = match &condition.member {
            None => Some(element),
            Some(member) => element.get(&**member),
        };
        let value = match json {
            None | Some(Json::Null) => Some(Value::Null),
            Some(json) => json_element(json),
        };
        let like = value.filter(|value| is_like(value, &condition.value));
        match (like, condition.op) {
            (Some(value), op) => op.holds(&value, &condition.value),
            (None, op) => op == Comparison::Ne,
        }
    })
}

/// An element of a JSON array that [`Filter::Contains`] can look for: a boolean, a number (one that no 64-bit signed integer
/// holds is a float), or a text. None for null, arrays and objects.
#[must_use]
pub fn json_element(element: &Json) -> Option<Value> {
    match element {
        Json::Bool(it) => Some(Value::Bool(*it)),
        Json::Number(it) => match it.as_i64() {
            Some(int) => Some(Value::Int(int)),
            None => it.as_f64().map(Value::from),
        },
        Json::String(it) => Some(Value::Text(it.clone())),
        _ => None,
    }
}

impl Comparison {
    /// Whether `left op right` holds.
    #[must_use]
    pub fn holds(self, left: &Value, right: &Value) -> bool {
        let order = left.compare(right);
        match self {
            Self::Eq => return order == Ordering::Equal,
            Self::Ne => return order != Ordering::Equal,
            _ if left.is_null() || right.is_null() => return false,
            _ => {}
        }
        match self {
            Self::Lt => order == Ordering::Less,
            Self::Lte => order != Ordering::Greater,
            Self::Gt => order == Ordering::Greater,
            Self::Gte => order != Ordering::Less,
            Self::Eq | Self::Ne => false,
        }
    }
}

/// Compares two lists of values in the directions of an order.
#[must_use]
pub fn compare_ordered(order: &[(usize, Direction)], a: &[Value], b: &[Value]) -> Ordering {
    for (((_, direction), x), y) in order.iter().zip(a).zip(b) {
        let ordering = match direction {
            Direction::Ascending => x.compare(y),
            Direction::Descending => y.compare(x),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

/// Orders, pages and projects the records that a query's filter has matched.
#[must_use]
pub fn finish_query(
    query: &Query,
    collection: &Collection,
    mut records: Vec<Record>,
) -> Vec<Record> {
    let order = query.full_order(collection);
    let ordered_values =
        |record: &Record| order.iter().map(|(at, _)| record.get(*at).clone()).collect::<Vec<_>>();
    if query.is_ordered() {
        records
            .sort_by_cached_key(|record| Ordered { order: &order, values: ordered_values(record) });
    }
    if let Some(position) = &query.after {
        records.retain(|record| {
            compare_ordered(&order, &ordered_values(record), &position.values) == Ordering::Greater
        });
    }
    let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
    let limit =
        query.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let page = records.into_iter().skip(offset).take(limit);
    if query.select.is_none() {
        return page.collect();
    }
    let selected = query.selected(collection);
    page.map(|record| Record::new(selected.iter().map(|at| record.get(*at).clone()).collect()))
        .collect()
}

struct Ordered<'a> {
    order: &'a [(usize, Direction)],
    values: Vec<Value>,
}

impl PartialEq for Ordered<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Ordered<'_> {}
impl PartialOrd for Ordered<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ordered<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_ordered(self.order, &self.values, &other.values)
    }
}

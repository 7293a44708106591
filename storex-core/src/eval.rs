//! What filters, orders and changes mean, on records in memory. Every backend must give the same results.

use std::cmp::Ordering;

use crate::batch::{Change, Changes};
use crate::error::{Error, Result};
use crate::filter::{Comparison, Filter};
use crate::query::{Direction, Query};
use crate::record::Record;
use crate::schema::Collection;
use crate::value::{Name, Value};

impl Filter {
    /// Whether the filter matches a record. Fields that are not there match nothing; [`Filter::check`] refuses them.
    #[must_use]
    pub fn matches(&self, collection: &Collection, record: &Record) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.contains(&collection.key_of(record)),
            Self::Compare { field, op, value } => {
                collection.position(field).is_some_and(|at| op.holds(record.get(at), value))
            }
            Self::In { field, values } => collection.position(field).is_some_and(|at| {
                values.iter().any(|value| Comparison::Eq.holds(record.get(at), value))
            }),
            Self::Contains { field, value } => {
                collection.position(field).is_some_and(|at| contains(record.get(at), value))
            }
            Self::And(parts) => parts.iter().all(|part| part.matches(collection, record)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(collection, record)),
            Self::Not(part) => !part.matches(collection, record),
        }
    }
}

/// Whether a value is a JSON array with this element.
fn contains(value: &Value, element: &Value) -> bool {
    let Value::Json(serde_json::Value::Array(items)) = value else { return false };
    items.iter().filter_map(json_element).any(|item| {
        let kinds = matches!(item, Value::Bool(_)) == matches!(element, Value::Bool(_));
        kinds && item.compare(element) == Ordering::Equal
    })
}

/// An element of a JSON array that [`Filter::Contains`] can look for: a boolean, a number (one that no 64-bit signed integer
/// holds is a float), or a text. None for null, arrays and objects.
#[must_use]
pub fn json_element(element: &serde_json::Value) -> Option<Value> {
    match element {
        serde_json::Value::Bool(it) => Some(Value::Bool(*it)),
        serde_json::Value::Number(it) => match it.as_i64() {
            Some(int) => Some(Value::Int(int)),
            None => it.as_f64().map(Value::from),
        },
        serde_json::Value::String(it) => Some(Value::Text(it.clone())),
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

/// Applies the changes of an update to a record.
///
/// # Errors
/// [`Error::InvalidValue`] when a number would leave its range.
pub fn apply_changes(
    collection: &Collection,
    changes: &Changes,
    record: &mut Record,
) -> Result<()> {
    for (name, change) in changes.iter() {
        let at = collection.require(name)?;
        let value = match change {
            Change::Set(value) => value.clone(),
            Change::Increment(by) => {
                let mut sum = increment(collection, name, record.get(at), by)?;
                // A sum is stored as any other value: zero and five seconds are a moment, and an adopted column may keep
                // a float as an integer.
                collection.check_value(&collection.fields()[at], &mut sum)?;
                sum
            }
        };
        record.set(at, value);
    }
    Ok(())
}

/// What an increment makes of a value: null counts as zero, integers stay integers and never wrap.
///
/// # Errors
/// [`Error::InvalidValue`] when the sum leaves the range, or one side is no number.
pub fn increment(
    collection: &Collection,
    field: &Name,
    value: &Value,
    by: &Value,
) -> Result<Value> {
    let refuse = |reason: String| {
        Err(Error::InvalidValue {
            collection: Name::clone(collection.name()),
            field: Name::clone(field),
            reason,
        })
    };
    #[allow(clippy::cast_precision_loss)]
    let mut sum = match (value, by) {
        (Value::Null, by) => by.clone(),
        (Value::Int(value), Value::Int(by)) => match value.checked_add(*by) {
            Some(sum) => Value::Int(sum),
            None => return refuse(format!("{value} + {by} leaves the range of a 64-bit integer")),
        },
        (Value::Timestamp(value), Value::Int(by)) => match value.0.checked_add(*by) {
            Some(sum) => Value::Timestamp(crate::Timestamp(sum)),
            None => return refuse(format!("{} + {by} leaves the range of a timestamp", value.0)),
        },
        (Value::Float(value), Value::Float(by)) => Value::from(value + by),
        (Value::Float(value), Value::Int(by)) => Value::from(value + *by as f64),
        (Value::Int(value), Value::Float(by)) => Value::from(*value as f64 + by),
        (value, by) => {
            return refuse(format!("cannot add {} to {}", by.kind(), value.kind()));
        }
    };
    if matches!(sum, Value::Float(float) if float.is_nan()) {
        return refuse("the sum is not a number".to_owned());
    }
    // A timestamp that was null, or an adopted column's affinity: the sum takes the form in which it is stored.
    collection.check_value(&collection.fields()[collection.require(field)?], &mut sum)?;
    Ok(sum)
}

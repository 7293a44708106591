//! What the changes of an update make of an object. Every backend must give the same results.

use serde_json::Value as Json;

use crate::changes::{Change, Changes};
use crate::error::{Error, Result};
use crate::eval::json_element;
use crate::record::Record;
use crate::schema::{Collection, Field};
use crate::value::{Name, Timestamp, Value};

/// Applies the changes of an update to a record. Gives the fields whose relative change changed nothing: a prefix that was not
/// there, a minimum that is greater than the value, an increment by zero. What is [set](Change::Set) is never among them.
///
/// # Errors
/// [`Error::InvalidValue`] when a number would leave its range, or the value is of another kind than the change takes.
pub fn apply_changes(
    collection: &Collection,
    changes: &Changes,
    record: &mut Record,
) -> Result<Vec<Name>> {
    let mut unchanged = Vec::new();
    for (name, change) in changes.iter() {
        let at = collection.require(name)?;
        let field = &collection.fields()[at];
        let Some(mut value) = result_of(collection, field, change, record.get(at))? else {
            unchanged.push(Name::clone(name));
            continue;
        };
        // A result is stored as any other value: zero and five seconds are a moment, and an adopted column may keep a
        // float as an integer.
        collection.check_value(field, &mut value)?;
        if value == *record.get(at) && is_idle(change) {
            unchanged.push(Name::clone(name));
        }
        record.set(at, value);
    }
    Ok(unchanged)
}

/// Whether a change whose result is the value that was there has done nothing. An increment counts on every device, also
/// where a float is too large to grow by it.
fn is_idle(change: &Change) -> bool {
    match change {
        Change::Set(_) => false,
        Change::Increment(by) => by.compare(&Value::Int(0)).is_eq(),
        _ => true,
    }
}

/// What a change makes of a value; `None`: it stays.
fn result_of(
    collection: &Collection,
    field: &Field,
    change: &Change,
    value: &Value,
) -> Result<Option<Value>> {
    let refuse = |reason: String| invalid(collection, field, reason);
    match change {
        Change::Set(value) => Ok(Some(value.clone())),
        Change::Increment(by) => sum(value, by).map(Some).map_err(refuse),
        Change::Multiply(_) if value.is_null() => Ok(None),
        Change::Multiply(by) => product(value, by).map(Some).map_err(refuse),
        Change::Min(other) => {
            Ok((value.is_null() || other.compare(value).is_lt()).then(|| other.clone()))
        }
        Change::Max(other) => {
            Ok((value.is_null() || other.compare(value).is_gt()).then(|| other.clone()))
        }
        Change::Append(text) => match value {
            Value::Null => Ok(Some(Value::Text(text.clone()))),
            Value::Text(before) => Ok(Some(Value::Text(format!("{before}{text}")))),
            other => Err(refuse(format!("cannot append a text to {}", other.kind()))),
        },
        Change::ReplacePrefix { from, to } => {
            let rest = value.as_text().and_then(|text| text.strip_prefix(from.as_str()));
            Ok(rest.map(|rest| Value::Text(format!("{to}{rest}"))))
        }
        Change::AddElements(elements) => {
            let mut items = array(value).map_err(refuse)?;
            for element in elements {
                if !items.iter().any(|item| same(item, element)) {
                    items.push(element.clone());
                }
            }
            Ok(Some(Value::Json(Json::Array(items))))
        }
        Change::RemoveElements(_) if value.is_null() => Ok(None),
        Change::RemoveElements(elements) => {
            let mut items = array(value).map_err(refuse)?;
            items.retain(|item| !elements.iter().any(|element| same(item, element)));
            Ok(Some(Value::Json(Json::Array(items))))
        }
    }
}

/// Numbers are the same when their values are, as 1 and 1.0.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(_), Json::Number(_)) => match (json_element(a), json_element(b)) {
            (Some(a), Some(b)) => a.compare(&b).is_eq(),
            _ => a == b,
        },
        _ => a == b,
    }
}

fn array(value: &Value) -> Result<Vec<Json>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Json(Json::Array(items)) => Ok(items.clone()),
        _ => Err("holds JSON that is no array, so it has no elements".to_owned()),
    }
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
    let field = &collection.fields()[collection.require(field)?];
    let mut sum = sum(value, by).map_err(|reason| invalid(collection, field, reason))?;
    collection.check_value(field, &mut sum)?;
    Ok(sum)
}

#[allow(clippy::cast_precision_loss)]
fn sum(value: &Value, by: &Value) -> Result<Value, String> {
    let sum = match (value, by) {
        (Value::Null, by) => by.clone(),
        (Value::Int(value), Value::Int(by)) => match value.checked_add(*by) {
            Some(sum) => Value::Int(sum),
            None => return Err(format!("{value} + {by} leaves the range of a 64-bit integer")),
        },
        (Value::Timestamp(value), Value::Int(by)) => match value.0.checked_add(*by) {
            Some(sum) => Value::Timestamp(Timestamp(sum)),
            None => return Err(format!("{} + {by} leaves the range of a timestamp", value.0)),
        },
        (Value::Float(value), Value::Float(by)) => Value::from(value + by),
        (Value::Float(value), Value::Int(by)) => Value::from(value + *by as f64),
        (Value::Int(value), Value::Float(by)) => Value::from(*value as f64 + by),
        (value, by) => return Err(format!("cannot add {} to {}", by.kind(), value.kind())),
    };
    if is_nan(&sum) { Err("the sum is not a number".to_owned()) } else { Ok(sum) }
}

#[allow(clippy::cast_precision_loss)]
fn product(value: &Value, by: &Value) -> Result<Value, String> {
    let product = match (value, by) {
        (Value::Int(value), Value::Int(by)) => match value.checked_mul(*by) {
            Some(product) => Value::Int(product),
            None => return Err(format!("{value} * {by} leaves the range of a 64-bit integer")),
        },
        (Value::Float(value), Value::Float(by)) => Value::from(value * by),
        (Value::Float(value), Value::Int(by)) => Value::from(value * *by as f64),
        (Value::Int(value), Value::Float(by)) => Value::from(*value as f64 * by),
        (value, by) => return Err(format!("cannot multiply {} by {}", value.kind(), by.kind())),
    };
    if is_nan(&product) { Err("the product is not a number".to_owned()) } else { Ok(product) }
}

fn is_nan(value: &Value) -> bool {
    matches!(value, Value::Float(float) if float.is_nan())
}

fn invalid(collection: &Collection, field: &Field, reason: String) -> Error {
    Error::InvalidValue {
        collection: Name::clone(collection.name()),
        field: Name::clone(&field.name),
        reason,
    }
}

//! Functions that SQL is given on every connection: what storex's filters and sums mean where SQL's own rules differ.
//!
//! SQLite's JSON knows no difference between `true` and `1`, turns large integers into floats and keeps the first of two
//! members with one name; its `LIKE`, `lower` and `sum` know ASCII and 64 bits only. So the cell is given to core, whose
//! word on filters is the last:
//!
//! - `storex_matches(filter, cell)`: [`Filter::matches_value`]. The filter is a parameter, read once per statement.
//! - `storex_sum(cell)`: the exact sum of integers and floats; a text when no 64-bit integer holds it.

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, ffi};
use serde_json::{Value as Json, json};
use storex_core::{Comparison, ElementCondition, Filter, Name, TextMatch, Value};

/// Makes the functions known.
pub(crate) fn register(conn: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    conn.create_scalar_function("storex_matches", 2, flags, matches)?;
    conn.create_aggregate_function("storex_sum", 1, flags, Sum)
}

fn matches(context: &Context<'_>) -> rusqlite::Result<bool> {
    let filter = context.get_or_create_aux(0, |text| -> Result<Filter, Box<Unreadable>> {
        let filter = text.as_str().ok().and_then(|text| serde_json::from_str(text).ok());
        filter.as_ref().and_then(decode).ok_or_else(|| Box::new(Unreadable))
    })?;
    let is_json =
        matches!(*filter, Filter::Contains { .. } | Filter::Element { .. } | Filter::Size { .. });
    let value = match context.get_raw(1) {
        ValueRef::Null => Value::Null,
        ValueRef::Text(bytes) if is_json => {
            Value::Json(serde_json::from_slice(bytes).map_err(|_| damaged())?)
        }
        ValueRef::Text(bytes) => {
            Value::Text(std::str::from_utf8(bytes).map_err(|_| damaged())?.to_owned())
        }
        _ if is_json => return Err(damaged()),
        // In a column of any type: no text.
        _ => Value::Null,
    };
    Ok(filter.matches_value(&value))
}

/// As when the cell is read: it was damaged, or written past storex.
fn damaged() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), None)
}

/// A parameter that [`encode`] has not made: only somebody else's SQL can bring one.
#[derive(Debug)]
struct Unreadable;

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("storex_matches takes a filter of storex as its first argument")
    }
}

impl std::error::Error for Unreadable {}

const OPERATORS: [Comparison; 6] = [
    Comparison::Eq,
    Comparison::Ne,
    Comparison::Lt,
    Comparison::Lte,
    Comparison::Gt,
    Comparison::Gte,
];

const TEXT_MATCHES: [TextMatch; 5] = [
    TextMatch::StartsWith,
    TextMatch::Includes,
    TextMatch::EqualsIgnoreCase,
    TextMatch::StartsWithIgnoreCase,
    TextMatch::IncludesIgnoreCase,
];

/// A filter on the content of one field as a parameter; `None` for any other.
pub(crate) fn encode(filter: &Filter) -> Option<String> {
    let json = match filter {
        Filter::Contains { value, .. } => json!(["contains", encode_value(value)?]),
        Filter::Size { size, .. } => json!(["size", size]),
        Filter::Element { conditions, .. } => {
            let conditions = conditions.iter().map(|condition| {
                let op = OPERATORS.iter().position(|op| *op == condition.op)?;
                Some(json!([condition.member.as_deref(), op, encode_value(&condition.value)?]))
            });
            json!(["element", conditions.collect::<Option<Vec<Json>>>()?])
        }
        Filter::Text { how, text, .. } => {
            json!(["text", TEXT_MATCHES.iter().position(|known| known == how)?, text])
        }
        Filter::Search { words, .. } => json!(["search", words]),
        _ => return None,
    };
    Some(json.to_string())
}

fn decode(json: &Json) -> Option<Filter> {
    let field = Name::default;
    let filter = match json.get(0)?.as_str()? {
        "contains" => Filter::Contains { field: field(), value: decode_value(json.get(1)?)? },
        "size" => Filter::Size { field: field(), size: json.get(1)?.as_u64()? },
        "element" => {
            let conditions = json.get(1)?.as_array()?.iter().map(|condition| {
                Some(ElementCondition {
                    member: condition.get(0)?.as_str().map(Name::from),
                    op: *OPERATORS.get(index(condition.get(1)?)?)?,
                    value: decode_value(condition.get(2)?)?,
                })
            });
            Filter::Element { field: field(), conditions: conditions.collect::<Option<_>>()? }
        }
        "text" => Filter::Text {
            field: field(),
            how: *TEXT_MATCHES.get(index(json.get(1)?)?)?,
            text: json.get(2)?.as_str()?.to_owned(),
        },
        "search" => Filter::Search { field: field(), words: json.get(1)?.as_str()?.to_owned() },
        _ => return None,
    };
    Some(filter)
}

fn index(json: &Json) -> Option<usize> {
    json.as_u64().and_then(|n| usize::try_from(n).ok())
}

/// Floats go by their bits: JSON knows no infinity.
fn encode_value(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Null => Json::Null,
        Value::Bool(it) => json!(it),
        Value::Int(it) => json!(it),
        Value::Float(it) => json!([it.to_bits()]),
        Value::Text(it) => json!(it),
        _ => return None,
    })
}

fn decode_value(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(it) => Value::Bool(*it),
        Json::Number(it) => Value::Int(it.as_i64()?),
        Json::Array(bits) => Value::Float(f64::from_bits(bits.first()?.as_u64()?)),
        Json::String(it) => Value::Text(it.clone()),
        Json::Object(_) => return None,
    })
}

/// `storex_sum`.
struct Sum;

/// What was added up so far.
#[derive(Default)]
struct Sums {
    integers: i128,
    floats: Option<f64>,
}

impl Aggregate<Sums, SqlValue> for Sum {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Sums> {
        Ok(Sums::default())
    }

    fn step(&self, context: &mut Context<'_>, sums: &mut Sums) -> rusqlite::Result<()> {
        match context.get_raw(0) {
            ValueRef::Integer(int) => sums.integers += i128::from(int),
            ValueRef::Real(float) => sums.floats = Some(sums.floats.unwrap_or(0.0) + float),
            _ => {}
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)]
    fn finalize(&self, _: &mut Context<'_>, sums: Option<Sums>) -> rusqlite::Result<SqlValue> {
        let Sums { integers, floats } = sums.unwrap_or_default();
        Ok(match (floats, i64::try_from(integers)) {
            (Some(floats), _) => SqlValue::Real(floats + integers as f64),
            (None, Ok(sum)) => SqlValue::Integer(sum),
            (None, Err(_)) => SqlValue::Text(integers.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_survive_the_way_through_a_parameter() {
        let condition = |member: Option<&str>, op, value: Value| ElementCondition {
            member: member.map(Name::from),
            op,
            value,
        };
        let field = Name::default;
        let filters = [
            Filter::Contains { field: field(), value: Value::from(f64::NEG_INFINITY) },
            Filter::Contains { field: field(), value: Value::Int(i64::MIN) },
            Filter::Contains { field: field(), value: Value::Bool(true) },
            Filter::Size { field: field(), size: u64::MAX },
            Filter::Element {
                field: field(),
                conditions: vec![
                    condition(None, Comparison::Gte, Value::from(0.1)),
                    condition(Some("a\"\0b"), Comparison::Ne, Value::Null),
                ],
            },
            Filter::Text {
                field: field(),
                how: TextMatch::IncludesIgnoreCase,
                text: "\u{0}\u{10ffff}'".into(),
            },
            Filter::Search { field: field(), words: "a* b".into() },
        ];
        for filter in filters {
            let text = encode(&filter).unwrap();
            assert_eq!(decode(&serde_json::from_str(&text).unwrap()), Some(filter));
        }
    }
}

//! About how many bytes a value takes on its way, without writing it.

use storex_core::Value;

/// About how many bytes a value takes.
pub(crate) fn weight_of(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() + 5,
        Value::Bytes(bytes) => bytes.len() + 5,
        Value::Json(json) => weight_of_json(json),
        _ => 9,
    }
}

/// About how many bytes the values of an object take.
pub(crate) fn weight_of_all(values: &[Value]) -> usize {
    values.iter().map(weight_of).sum()
}

fn weight_of_json(json: &serde_json::Value) -> usize {
    use serde_json::Value;
    match json {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| weight_of_json(item) + 1).sum::<usize>() + 2,
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + weight_of_json(value) + 4).sum::<usize>()
                + 2
        }
        _ => 9,
    }
}

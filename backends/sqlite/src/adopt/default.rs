//! The DEFAULT of a column: what a literal stands for.

use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use storex_core::Value;

/// What a DEFAULT gives.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    Value(Value),
    /// `CURRENT_TIMESTAMP`
    Now,
    /// An expression, which only SQLite can evaluate.
    Expression,
}

/// Reads the text of a DEFAULT as the schema gives it.
///
/// Whether it is a literal is seen here; its value is SQLite's own reading of it.
pub(super) fn meaning(conn: &Connection, text: &str) -> rusqlite::Result<Meaning> {
    let text = strip_parentheses(text.trim());
    if text.eq_ignore_ascii_case("CURRENT_TIMESTAMP") {
        return Ok(Meaning::Now);
    }
    let literal = if is_number(text) || is_string(text) || is_blob(text) || is_constant(text) {
        text.to_owned()
    } else if is_quoted_name(text) {
        // `DEFAULT "draft"` is the text, by an old mercy of SQLite's.
        let inner = text[1..text.len() - 1].replace("\"\"", "\"");
        return Ok(Meaning::Value(Value::Text(inner)));
    } else {
        return Ok(Meaning::Expression);
    };
    let value = conn.query_row(&format!("SELECT {literal}"), [], |row| row.get(0))?;
    Ok(Meaning::Value(match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(int) => Value::Int(int),
        SqlValue::Real(float) => Value::from(float),
        SqlValue::Text(text) => Value::Text(text),
        SqlValue::Blob(bytes) => Value::Bytes(bytes),
    }))
}

/// `(5)` is 5.
fn strip_parentheses(text: &str) -> &str {
    match text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        Some(inner) => strip_parentheses(inner.trim()),
        None => text,
    }
}

fn is_constant(text: &str) -> bool {
    ["NULL", "TRUE", "FALSE"].iter().any(|constant| text.eq_ignore_ascii_case(constant))
}

/// An optional sign and a number as SQL has it.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text).trim_start();
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => {
            digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                && digits.parse::<f64>().is_ok()
        }
    }
}

/// `'it''s'`
fn is_string(text: &str) -> bool {
    is_enclosed(text, '\'')
}

/// `x'0aff'`
fn is_blob(text: &str) -> bool {
    let digits = text.strip_prefix(['x', 'X']).unwrap_or("");
    is_enclosed(digits, '\'')
        && digits[1..digits.len() - 1].bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_quoted_name(text: &str) -> bool {
    is_enclosed(text, '"')
}

/// Between quotes, in which a quote stands twice.
fn is_enclosed(text: &str, quote: char) -> bool {
    let inner = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner.is_some_and(|inner| {
        let doubled = [quote, quote].iter().collect::<String>();
        !inner.replace(&doubled, "").contains(quote)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_have_a_value_and_expressions_do_not() {
        let conn = Connection::open_in_memory().unwrap();
        let of = |text: &str| meaning(&conn, text).unwrap();
        let value = |value: Value| Meaning::Value(value);
        assert_eq!(of("0"), value(Value::Int(0)));
        assert_eq!(of("-1"), value(Value::Int(-1)));
        assert_eq!(of("(- 12.5)"), value(Value::from(-12.5)));
        assert_eq!(of("+.5e1"), value(Value::from(5.0)));
        assert_eq!(of("0x10"), value(Value::Int(16)));
        assert_eq!(of("'it''s'"), value(Value::from("it's")));
        assert_eq!(of("''"), value(Value::from("")));
        assert_eq!(of("\"draft\""), value(Value::from("draft")));
        assert_eq!(of("x'00fF'"), value(Value::from(vec![0, 255])));
        assert_eq!(of("null"), value(Value::Null));
        assert_eq!(of("TRUE"), value(Value::Int(1)));
        assert_eq!(of("current_timestamp"), Meaning::Now);
        for expression in [
            "random()",
            "'a' || 'b'",
            "(1 + 2)",
            "datetime('now')",
            "CURRENT_DATE",
            "'a' 'b",
            "1; DROP TABLE x",
            "(1) + (2)",
        ] {
            assert_eq!(of(expression), Meaning::Expression, "{expression}");
        }
    }
}

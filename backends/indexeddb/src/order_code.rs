//! Bytes that stand in the order of [`Value::compare`]: one order of keys on every backend.
//!
//! IndexedDB orders texts by UTF-16 units where everybody else takes UTF-8 bytes or code points, has no exact integers
//! beyond 2^53, and leaves null and booleans out of an index. Binary keys it compares byte by byte, so a key or an index
//! entry that its own types cannot hold is stored as these bytes. An index entry, which lies in the object too and is read
//! with it, is a string of them ([`entry`]): the browser reads a short string much faster than a typed array.
//!
//! ```text
//!   null    01
//!   number  02 <float, 8 bytes> <rest, 2 bytes>   number = float nearest to it + rest: exact for every i64 and f64
//!   text    03 <UTF-8> 00                         00 inside is written 00 ff
//!   bytes   04 <bytes> 00                         likewise
//!   json    05 <its text> 00                      likewise
//! ```
//!
//! No part begins with `ff`, so everything that begins with the parts `p` lies between `p` and `p ff`. The escape of zero
//! bytes is that of FoundationDB's tuple layer (<https://apple.github.io/foundationdb/data-modeling.html>).

use storex_core::Value;
use wasm_bindgen::JsValue;

/// Greater than everything that a part can begin with.
pub(crate) const AFTER: u8 = 0xff;

const NULL: u8 = 1;
const NUMBER: u8 = 2;
const TEXT: u8 = 3;
const BYTES: u8 = 4;
const JSON: u8 = 5;

/// What is greater than null and not greater than anything else.
pub(crate) const AFTER_NULL: u8 = NULL + 1;

/// The bytes of several values.
pub(crate) fn encode<'v>(values: impl IntoIterator<Item = &'v Value>) -> Vec<u8> {
    let mut code = Vec::with_capacity(48);
    for value in values {
        push(&mut code, value);
    }
    code
}

/// The code of an element of JSON, of which a boolean equals no number.
pub(crate) fn element(value: &Value) -> Vec<u8> {
    match value {
        Value::Bool(it) => encode([&Value::Json((*it).into())]),
        value => encode([value]),
    }
}

/// The digits of [`entry`], ascending in ASCII: strings of them stand in the order of the bytes.
const DIGITS: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// Code as a string in the same order: six bits a digit, the last one filled up with zeros.
pub(crate) fn entry(code: &[u8]) -> JsValue {
    let mut text = String::with_capacity(code.len().div_ceil(3) * 4);
    push_digits(&mut text, code);
    JsValue::from_str(&text)
}

/// Adds the digits of [`entry`] to a text.
pub(crate) fn push_digits(text: &mut String, code: &[u8]) {
    for three in code.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for digit in 0..=three.len() {
            let at = (bits >> (18 - 6 * digit)) & 63;
            text.push(char::from(DIGITS[at as usize]));
        }
    }
}

/// Adds the bytes of one value.
pub(crate) fn push(code: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => code.push(NULL),
        Value::Bool(it) => push_int(code, i64::from(*it)),
        Value::Int(it) => push_int(code, *it),
        Value::Timestamp(it) => push_int(code, it.as_millis()),
        Value::Float(it) => push_number(code, *it, 0),
        Value::Text(it) => push_bytes(code, TEXT, it.as_bytes()),
        Value::Bytes(it) => push_bytes(code, BYTES, it),
        Value::Json(it) => push_bytes(code, JSON, it.to_string().as_bytes()),
    }
}

/// Rounding to the nearest float keeps the order of integers, and the rest tells apart those that fall on one float.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn push_int(code: &mut Vec<u8>, int: i64) {
    let float = int as f64;
    // Within i128 both are exact; they differ by at most 512.
    let rest = i128::from(int) - float as i128;
    push_number(code, float, rest as i16);
}

fn push_number(code: &mut Vec<u8>, float: f64, rest: i16) {
    // -0.0 + 0.0 is 0.0: the zeros are equal.
    let bits = (float + 0.0).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    code.push(NUMBER);
    code.extend_from_slice(&ordered.to_be_bytes());
    code.extend_from_slice(&(rest.cast_unsigned() ^ 0x8000).to_be_bytes());
}

fn push_bytes(code: &mut Vec<u8>, class: u8, bytes: &[u8]) {
    push_open(code, class, bytes);
    code.push(0);
}

/// Adds what the bytes of every text have in common that begins so, and of nothing else.
pub(crate) fn push_beginning(code: &mut Vec<u8>, text: &str) {
    push_open(code, TEXT, text.as_bytes());
}

fn push_open(code: &mut Vec<u8>, class: u8, bytes: &[u8]) {
    code.push(class);
    for byte in bytes {
        code.push(*byte);
        if *byte == 0 {
            code.push(AFTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use storex_core::Timestamp;

    use super::*;

    fn ascending() -> Vec<Value> {
        let mut values = vec![Value::Null];
        values.extend([f64::NEG_INFINITY, -1e300].map(Value::from));
        values.extend([i64::MIN, i64::MIN + 1, -(1 << 53) - 1, -(1 << 53), -2].map(Value::from));
        values.extend([Value::from(-1.5), Value::from(-5e-324), Value::from(0_i64)]);
        values.extend([Value::from(5e-324), Value::Bool(true), Value::from(1.5)]);
        values.push(Value::Timestamp(Timestamp(1_700_000_000_000)));
        values.extend(
            [(1_i64 << 53), (1 << 53) + 1, (1 << 53) + 2, i64::MAX - 1, i64::MAX].map(Value::from),
        );
        values.extend([Value::from(1e300), Value::from(f64::INFINITY)]);
        values.extend(
            ["", "\0", "\0a", "a", "a\0", "a\0b", "aa", "b", "\u{ffff}", "\u{1f600}"]
                .map(Value::from),
        );
        values
            .extend([&[][..], &[0], &[0, 0], &[0, 255], &[1], &[255], &[255, 0]].map(Value::from));
        values.extend([Value::Json(serde_json::json!([])), Value::Json(serde_json::json!({}))]);
        values
    }

    #[wasm_bindgen_test::wasm_bindgen_test]
    fn bytes_stand_in_the_order_of_the_values() {
        let values = ascending();
        for a in &values {
            for b in &values {
                let (x, y) = (encode([a]), encode([b]));
                assert_eq!(x.cmp(&y), a.compare(b), "{a:?} {b:?}");
                for (c, d) in [(a, b), (b, a), (&values[0], &values[9])] {
                    let by_value = a.compare(b).then(c.compare(d));
                    assert_eq!(
                        encode([a, c]).cmp(&encode([b, d])),
                        by_value,
                        "{a:?} {c:?}, {b:?} {d:?}"
                    );
                }
            }
        }
    }

    #[wasm_bindgen_test::wasm_bindgen_test]
    fn entries_stand_in_the_order_of_their_bytes() {
        let mut codes: Vec<Vec<u8>> = ascending().iter().map(|value| encode([value])).collect();
        codes.extend([
            vec![],
            vec![0],
            vec![0, 0],
            vec![0, 0, 0],
            vec![255],
            vec![255, 15],
            vec![255, 0],
        ]);
        for a in &codes {
            for b in &codes {
                let (x, y) = (entry(a).as_string().unwrap(), entry(b).as_string().unwrap());
                assert_eq!(x.cmp(&y), a.cmp(b), "{a:?} {b:?}");
            }
        }
    }

    #[wasm_bindgen_test::wasm_bindgen_test]
    fn texts_that_begin_alike_lie_together() {
        let values = ascending();
        for text in values.iter().filter_map(Value::as_text) {
            let mut low = Vec::new();
            push_beginning(&mut low, text);
            let mut high = low.clone();
            high.push(AFTER);
            for value in &values {
                for code in [encode([value]), encode([value, &Value::from("\u{10ffff}")])] {
                    let begins = value.as_text().is_some_and(|it| it.starts_with(text));
                    assert_eq!((&low..&high).contains(&&code), begins, "{text:?} {value:?}");
                }
            }
        }
    }

    #[wasm_bindgen_test::wasm_bindgen_test]
    fn what_begins_with_the_parts_lies_before_the_end_of_the_parts() {
        for a in &ascending() {
            let mut end = encode([a]);
            end.push(AFTER);
            for b in &ascending() {
                assert_eq!(encode([a, b]).cmp(&end), Ordering::Less, "{a:?} {b:?}");
            }
        }
    }
}

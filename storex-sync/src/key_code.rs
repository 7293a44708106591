//! The binary form of a primary key, under which an object's clock is stored.
//!
//! Keys that a database takes for the same have the same code: an integer and a float of the same value, a number and
//! a timestamp. (A boolean has a code of its own: a field that holds booleans holds no numbers beside them.) A UUID in its
//! usual text form takes 17 bytes.

use storex_core::{Key, Record, Value};

use crate::bytes::{Reader, unzigzag, write_bytes, write_varint, zigzag};
use crate::error::{Result, SyncError};
use crate::hex::digit;

const NULL: u8 = 0;
const INT: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;
const UUID: u8 = 4;
const FLOAT: u8 = 5;
const BOOL: u8 = 6;

/// The code of a key, given by its values in order.
pub(crate) fn encode<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut code = Vec::with_capacity(20);
    encode_to(&mut code, values);
    code
}

/// The same, behind what is there.
pub(crate) fn encode_to<'a>(code: &mut Vec<u8>, values: impl IntoIterator<Item = &'a Value>) {
    for value in values {
        encode_value(code, value);
    }
}

/// The code of a record's key, whose values are at these places.
pub(crate) fn of(record: &Record, key: &[usize]) -> Vec<u8> {
    encode(key.iter().map(|at| record.get(*at)))
}

fn encode_value(code: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null | Value::Json(_) => code.push(NULL),
        Value::Bool(bool) => code.extend([BOOL, u8::from(*bool)]),
        Value::Int(int) => encode_int(code, *int),
        Value::Timestamp(at) => encode_int(code, at.0),
        Value::Float(float) => match as_exact_int(*float) {
            Some(int) => encode_int(code, int),
            None => {
                code.push(FLOAT);
                code.extend(float.to_be_bytes());
            }
        },
        Value::Text(text) => match as_uuid(text) {
            Some(uuid) => {
                code.push(UUID);
                code.extend(uuid);
            }
            None => {
                code.push(TEXT);
                write_bytes(code, text.as_bytes());
            }
        },
        Value::Bytes(bytes) => {
            code.push(BYTES);
            write_bytes(code, bytes);
        }
    }
}

fn encode_int(code: &mut Vec<u8>, int: i64) {
    code.push(INT);
    write_varint(code, zigzag(int));
}

/// The integer that a float equals, if there is one. Within the bounds no cast rounds.
#[allow(clippy::cast_possible_truncation)]
fn as_exact_int(float: f64) -> Option<i64> {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    (float.trunc() == float && (-TWO_63..TWO_63).contains(&float)).then_some(float as i64)
}

/// Only the one usual spelling (lower case, hyphens): every other text must come back as it was.
fn as_uuid(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    if HYPHENS.iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut uuid = [0; 16];
    for (byte, at) in uuid.iter_mut().zip(DIGITS) {
        *byte = digit(text[at])? << 4 | digit(text[at + 1])?;
    }
    Some(uuid)
}

/// Where a UUID has its hyphens, and its bytes.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const DIGITS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// The key of a code.
pub(crate) fn decode(code: &[u8]) -> Result<Key> {
    let what = "the code of a key";
    let mut reader = Reader::new(code, what);
    let mut values = Vec::new();
    while !reader.is_empty() {
        values.push(match reader.byte()? {
            NULL => Value::Null,
            BOOL => Value::Bool(reader.byte()? != 0),
            INT => Value::Int(unzigzag(reader.varint()?)),
            FLOAT => Value::from(f64::from_be_bytes(reader.array()?)),
            UUID => Value::Text(uuid::Uuid::from_bytes(reader.array()?).hyphenated().to_string()),
            TEXT => Value::from(reader.text()?),
            BYTES => Value::from(reader.bytes()?),
            tag => return Err(SyncError::corrupt(what, format!("tag {tag} is not known"))),
        });
    }
    Ok(Key::compound(values))
}

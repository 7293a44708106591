//! Values on their way into SQLite and out of it.
//!
//! Booleans and timestamps are stored as integers, JSON as its text, everything else as SQLite's own storage class. On
//! the way out the field's type decides; nothing is guessed. What does not fit the field's type is damage, or was
//! written past storex, and is reported with its collection and field.

use std::borrow::Cow;
use std::rc::Rc;

use rusqlite::Statement;
use rusqlite::types::{ToSql, ToSqlOutput, Value as SqlValue, ValueRef};
use storex_core::{
    Collection, Error, ErrorKind, Field, FieldType, Key, KeyFormat, Timestamp, Value,
};

use crate::error;

/// A value to bind, without copying texts and bytes on our side.
#[derive(Debug, Clone)]
pub(crate) struct Bound<'a>(pub(crate) &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Bool(it) => ToSqlOutput::Borrowed(ValueRef::Integer(i64::from(*it))),
            Value::Int(it) => ToSqlOutput::Borrowed(ValueRef::Integer(*it)),
            Value::Float(it) => ToSqlOutput::Borrowed(ValueRef::Real(*it)),
            Value::Text(it) => ToSqlOutput::Borrowed(ValueRef::Text(it.as_bytes())),
            Value::Bytes(it) => ToSqlOutput::Borrowed(ValueRef::Blob(it)),
            Value::Timestamp(it) => ToSqlOutput::Borrowed(ValueRef::Integer(it.0)),
            Value::Json(it) => ToSqlOutput::Owned(SqlValue::Text(it.to_string())),
        })
    }
}

/// A parameter of a statement: one value, or a list of any length behind one `rarray(?)`.
#[derive(Debug, Clone)]
pub(crate) enum Param<'a> {
    Value(&'a Value),
    Int(i64),
    Text(Cow<'a, str>),
    List(Rc<Vec<SqlValue>>),
}

/// Binds parameters by position.
pub(crate) fn bind_all(
    statement: &mut Statement<'_>,
    params: &[Param<'_>],
) -> rusqlite::Result<()> {
    for (n, param) in params.iter().enumerate() {
        match param {
            Param::Value(value) => statement.raw_bind_parameter(n + 1, Bound(value))?,
            Param::Int(int) => statement.raw_bind_parameter(n + 1, int)?,
            Param::Text(text) => statement.raw_bind_parameter(n + 1, &**text)?,
            Param::List(list) => statement.raw_bind_parameter(n + 1, list)?,
        }
    }
    Ok(())
}

/// Binds a key's values from parameter `first` on.
pub(crate) fn bind_key(
    statement: &mut Statement<'_>,
    first: usize,
    key: &Key,
) -> rusqlite::Result<()> {
    for (n, value) in key.values().iter().enumerate() {
        statement.raw_bind_parameter(first + n, Bound(value))?;
    }
    Ok(())
}

/// The owned form of a value, for lists.
pub(crate) fn to_owned(value: &Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Bool(it) => SqlValue::Integer(i64::from(*it)),
        Value::Int(it) => SqlValue::Integer(*it),
        Value::Float(it) => SqlValue::Real(*it),
        Value::Text(it) => SqlValue::Text(it.clone()),
        Value::Bytes(it) => SqlValue::Blob(it.clone()),
        Value::Timestamp(it) => SqlValue::Integer(it.0),
        Value::Json(it) => SqlValue::Text(it.to_string()),
    }
}

/// How a column's cells are read. Worked out once per collection, so that reading a cell is one match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Int,
    Float,
    Text,
    Bytes,
    Bool,
    Timestamp,
    Json,
    AsStored,
}

impl Reading {
    pub(crate) fn of(field_type: &FieldType) -> Self {
        match field_type {
            FieldType::AutoPk(format) | FieldType::ForeignKey(format) => match format {
                KeyFormat::Text => Self::Text,
                KeyFormat::Bytes => Self::Bytes,
                KeyFormat::Int => Self::Int,
            },
            FieldType::Text | FieldType::String | FieldType::Url | FieldType::RandomKey => {
                Self::Text
            }
            FieldType::Json => Self::Json,
            FieldType::DateTime | FieldType::Timestamp => Self::Timestamp,
            FieldType::Boolean => Self::Bool,
            FieldType::Float => Self::Float,
            FieldType::Int => Self::Int,
            FieldType::Blob | FieldType::Binary | FieldType::Media => Self::Bytes,
            // A type that is younger than this backend is read as it is stored.
            _ => Self::AsStored,
        }
    }

    /// The value of a cell.
    pub(crate) fn value(
        self,
        collection: &Collection,
        at: usize,
        cell: ValueRef<'_>,
    ) -> Result<Value, Error> {
        let value = match (self, cell) {
            (_, ValueRef::Null) => Value::Null,
            (Self::Int | Self::AsStored, ValueRef::Integer(int)) => Value::Int(int),
            (Self::Text | Self::AsStored, ValueRef::Text(bytes)) => {
                Value::Text(text(collection, at, bytes)?.to_owned())
            }
            (Self::Float | Self::AsStored, ValueRef::Real(float)) => Value::from(float),
            (Self::Bytes | Self::AsStored, ValueRef::Blob(bytes)) => Value::Bytes(bytes.to_vec()),
            (Self::Bool, ValueRef::Integer(int @ (0 | 1))) => Value::Bool(int == 1),
            (Self::Timestamp, ValueRef::Integer(ms)) => Value::Timestamp(Timestamp(ms)),
            // An adopted NUMERIC column stores a float without a fraction as an integer.
            #[allow(clippy::cast_precision_loss)]
            (Self::Float, ValueRef::Integer(int)) => Value::from(int as f64),
            (Self::Json, ValueRef::Text(bytes)) => Value::Json(json(collection, at, bytes)?),
            (_, cell) => return Err(unreadable(collection, at, cell)),
        };
        Ok(value)
    }
}

fn text<'a>(collection: &Collection, at: usize, bytes: &'a [u8]) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes)
        .map_err(|error| corrupt(collection, at, "holds a text that is not UTF-8", Box::new(error)))
}

fn json(collection: &Collection, at: usize, bytes: &[u8]) -> Result<serde_json::Value, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| corrupt(collection, at, "holds a text that is no JSON", Box::new(error)))
}

fn unreadable(collection: &Collection, at: usize, cell: ValueRef<'_>) -> Error {
    let what = match cell {
        ValueRef::Null => "holds null, which its type does not allow",
        ValueRef::Integer(_) => "holds an integer, which its type does not allow",
        ValueRef::Real(_) => "holds a float, which its type does not allow",
        ValueRef::Text(_) => "holds a text, which its type does not allow",
        ValueRef::Blob(_) => "holds bytes, which its type does not allow",
    };
    corrupt(collection, at, what, "the database holds a value of another type".into())
}

fn corrupt(collection: &Collection, at: usize, what: &str, source: storex_core::Source) -> Error {
    let field = collection.fields().get(at).map_or("?", |field: &Field| &field.name);
    Error::Backend {
        backend: error::BACKEND,
        operation: "read",
        collection: Some(collection.name().clone()),
        kind: ErrorKind::Corrupt,
        hint: format!("field `{field}` {what}; it was damaged, or written past storex"),
        source,
    }
}

//! [`FieldType`] and [`Field`]: what a field may hold.

use crate::schema::{Check, CustomField};
use crate::value::{Name, Value};

/// What a field holds, and how it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldType {
    /// The primary key, filled in by [`AutoPk`](crate::AutoPk) when the object brings none.
    AutoPk(KeyFormat),
    /// The key of an object of another collection.
    ForeignKey(KeyFormat),
    /// Long text; an index on it is a full-text index.
    Text,
    /// Text.
    String,
    /// Any JSON value.
    Json,
    /// A moment; in JSON a text by RFC 3339.
    DateTime,
    /// A moment; in JSON a number of milliseconds since 1970.
    Timestamp,
    /// True or false.
    Boolean,
    /// A 64-bit float.
    Float,
    /// A 64-bit signed integer.
    Int,
    /// Bytes that stand for a file; in JSON base64.
    Blob,
    /// Bytes; in JSON base64.
    Binary,
    /// 40 hexadecimal digits, made by [`AutoPk`](crate::AutoPk) when the object brings none.
    RandomKey,
    /// A web address, kept as text.
    Url,
    /// The bytes of a picture, sound or film; in JSON base64.
    Media,
    /// A column of an adopted database, which holds null, integer, float, text or bytes whatever its declared type is.
    /// Values are converted on the way in as SQLite's [`Affinity`] says, so that what is logged is what is stored.
    Dynamic(Affinity),
}

/// The form of a key value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    /// A text, such as a UUID with hyphens.
    Text,
    /// Bytes, such as the 16 bytes of a UUID.
    Bytes,
    /// A 64-bit integer.
    Int,
}

/// SQLite's column affinity (<https://sqlite.org/datatype3.html>, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// Numbers become text.
    Text,
    /// Texts that are numbers become integers or floats.
    Numeric,
    /// As [`Affinity::Numeric`].
    Integer,
    /// As [`Affinity::Numeric`], and integers become floats.
    Real,
    /// Nothing is converted.
    Blob,
}

/// What a field gets when an object is created without it.
#[derive(Debug, Clone, PartialEq)]
pub enum Default {
    /// Null; the field is optional.
    Null,
    /// Always this value.
    Value(Value),
    /// The time of the write: a moment in a field of that type, else SQLite's `CURRENT_TIMESTAMP`, a text such as
    /// `2026-11-20 12:00:00` in UTC.
    CurrentTimestamp,
}

/// A field of a [`Collection`](struct@crate::Collection).
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The name that objects use.
    pub name: Name,
    /// The name of the column or property in the database.
    pub column: Name,
    /// What it holds.
    pub field_type: FieldType,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it gets when an object is created without it; `None`: a value must be given.
    pub default: Option<Default>,
    /// What its values must be like beyond their type.
    pub checks: Vec<Check>,
    /// The application's own type, where it is not just what is stored.
    pub custom: Option<CustomField>,
}

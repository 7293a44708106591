//! [`Resolution`]: what this device has changed because a rule did not hold after the merge.

use storex_core::{Key, Name, Record, Value};

/// What this device has changed because a rule did not hold after the merge: a write of its own, which is sent like any other.
/// Other devices may have made the same one.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// The collection.
    pub collection: Name,
    /// The object that was changed.
    pub key: Key,
    /// What was done to it.
    pub ruling: Ruling,
    /// Why.
    pub cause: Cause,
}

/// What was done to an object.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Ruling {
    /// A field got another value: another name, or null.
    Set {
        /// The field.
        field: Name,
        /// What it was.
        from: Value,
        /// What it is.
        to: Value,
    },
    /// It was deleted.
    Deleted {
        /// What it was.
        object: Record,
    },
    /// It was kept, and created anew for those who have deleted it.
    Revived,
}

/// Why an object was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Another object has the same values of a unique index, and keeps them.
    Unique {
        /// The fields of the index, joined by commas.
        index: String,
        /// The object that keeps the values.
        kept: Key,
    },
    /// It points to an object that was deleted.
    Relation {
        /// The collection of that object.
        parent: Name,
        /// Its key.
        key: Key,
    },
    /// It was updated here or elsewhere, and whoever deleted it had not seen that.
    Updated,
}

//! The journal of conflicts: what was lost when two devices had written at once, so that it can be looked at and put back.
//!
//! It is a collection of this database, `_storex_conflicts`, and is not sent. A row is written in the transaction that merges.
//! Where nothing conflicts it is neither read nor written.

mod decide;
mod list;
mod note;
mod row;
mod undo;

use std::fmt;

use storex_core::{Collection, Definition, FieldType, Key, Name, Record, Timestamp, Value};

pub use self::list::{ConflictJournal, ConflictQuery};
pub(crate) use self::note::note;
use crate::lane::Names;
use crate::stamp::{Device, Stamp};

pub(crate) const CONFLICTS: &str = "_storex_conflicts";

/// Two writes to one object of which neither device had seen the other's.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The collection.
    pub collection: Name,
    /// The object.
    pub key: Key,
    /// The field; `None`: one side deleted the object.
    pub field: Option<Name>,
    /// The device whose write arrived.
    pub device: Device,
    /// Whether the arriving write won.
    pub incoming_won: bool,
    /// What is there now.
    pub won: Version,
    /// What gave way.
    pub lost: Version,
}

/// One side of a [`Conflict`].
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// When it was written, and by which device.
    pub stamp: Stamp,
    /// What was written.
    pub content: Content,
}

/// What one side of a [`Conflict`] has written.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// This value of the field.
    Value(Value),
    /// These fields of the object, as far as they are known here, without its key.
    Object(Vec<(Name, Value)>),
    /// Nothing: it has deleted the object.
    Deleted,
}

impl Content {
    /// The value, if it is one of a field.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Object(_) | Self::Deleted => None,
        }
    }
}

impl Conflict {
    /// Whether something is gone that somebody may want back: not if both have written the same, and not if a delete has
    /// lost.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        self.lost.content != Content::Deleted && self.lost.content != self.won.content
    }
}

/// The name of a conflict in the journal of this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConflictId(pub u64);

impl fmt::Display for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A conflict in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct NotedConflict {
    /// Its name; a later one has the greater.
    pub id: ConflictId,
    /// When it was noted here.
    pub at: Timestamp,
    /// What happened.
    pub conflict: Conflict,
    /// Whether it stays until the application resolves it.
    pub kept: bool,
}

/// What is to become of a conflict in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is for the application to look at, and goes when there are too many.
    Noted,
    /// It stays until the application resolves it.
    Kept,
    /// The application is to be asked about it.
    Asked,
}

pub(crate) fn conflicts_definition(names: &Names) -> Definition {
    Definition::new(names.own(CONFLICTS))
        .reserved()
        .field("number", FieldType::Int)
        .field("noted_at", FieldType::Timestamp)
        .field("standing", FieldType::Int)
        .field("collection", FieldType::String)
        .field("object", FieldType::Binary)
        .field("conflict", FieldType::Binary)
        .primary_key(["number"])
        .index(["collection", "object"])
}

/// All fields behind the key.
pub(crate) fn values_of(collection: &Collection, row: &Record) -> Vec<(Name, Value)> {
    let fields = collection.fields().iter().enumerate();
    let fields = fields.filter(|(at, _)| !collection.is_key(*at));
    fields.map(|(at, field)| (Name::clone(&field.name), row.get(at).clone())).collect()
}

//! [`Error`]: what can go wrong, on which collection and field, and what to do.

use crate::value::{Name, Value};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the cause of an error is kept as a boxed error on all targets: an error must be able to cross threads, and what
/// the browser throws cannot, so backends copy name and message out of it.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error with its causes, in one line.
///
/// ```
/// let refused = std::io::Error::other("the disk is full");
/// let error = storex_core::Error::Backend {
///     backend: "sqlite",
///     operation: "write",
///     collection: None,
///     kind: storex_core::ErrorKind::Full,
///     hint: "make room".to_owned(),
///     source: refused.into(),
/// };
/// assert!(storex_core::describe(&error).ends_with(": the disk is full"));
/// ```
#[must_use]
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What went wrong.
///
/// Every message names the collection, and the field where there is one. [`Error::kind`] sorts errors into classes for
/// programs; [`Error::is_retryable`] tells whether the same call may succeed later without any change to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A schema that cannot be: told when the registry is built.
    #[error("collection `{collection}`{}: {reason}", in_field(.field))]
    Definition {
        /// The collection.
        collection: Name,
        /// The field, where one is at fault.
        field: Option<Name>,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// The registry has no such collection.
    #[error(
        "there is no collection `{collection}` in the registry: register it before the storage is opened"
    )]
    UnknownCollection {
        /// The name that was asked for.
        collection: Name,
    },
    /// The collection has no such field.
    #[error("collection `{collection}` has no field `{field}`")]
    UnknownField {
        /// The collection.
        collection: Name,
        /// The name that was asked for.
        field: Name,
    },
    /// A value that its field does not take.
    #[error("collection `{collection}`, field `{field}`: {reason}")]
    InvalidValue {
        /// The collection.
        collection: Name,
        /// The field.
        field: Name,
        /// What is wrong with the value.
        reason: String,
    },
    /// A required field without a value.
    #[error("collection `{collection}`: required field `{field}` has no value")]
    MissingField {
        /// The collection.
        collection: Name,
        /// The field.
        field: Name,
    },
    /// A query, filter or operation that has no meaning.
    #[error("collection `{collection}`: {reason}")]
    InvalidOperation {
        /// The collection.
        collection: Name,
        /// What is wrong with it.
        reason: String,
    },
    /// An update that would change the primary key.
    #[error(
        "collection `{collection}`: an update cannot change key field `{field}`; delete the object and create another"
    )]
    KeyChange {
        /// The collection.
        collection: Name,
        /// The key field.
        field: Name,
    },
    /// An object with this key exists.
    #[error("collection `{collection}` already has an object with the key {key}")]
    AlreadyExists {
        /// The collection.
        collection: Name,
        /// The key.
        key: String,
    },
    /// A unique index has these values.
    #[error(
        "collection `{collection}` already has an object with the same value of unique index ({index})"
    )]
    UniqueViolation {
        /// The collection.
        collection: Name,
        /// The fields of the index, joined by commas.
        index: String,
        /// The values that are there already, in the order of the fields. They are not in the message, as messages are logged.
        /// Empty where they are not known: an index that is made over objects which are there, or one of an adopted table
        /// that the schema does not know.
        values: Vec<Value>,
    },
    /// A rule of the database itself refused the write (a foreign key, a CHECK, a trigger).
    #[error("collection `{collection}`: the database refused the write: {reason}")]
    ConstraintViolation {
        /// The collection.
        collection: Name,
        /// The database's own words.
        reason: String,
    },
    /// A relation that is kept by a rule; see [`RelationDefinition::on_delete`](crate::RelationDefinition::on_delete).
    #[error("collection `{collection}`, field `{field}`: {reason}")]
    Relation {
        /// The collection that points.
        collection: Name,
        /// The field that points.
        field: Name,
        /// What does not fit.
        reason: String,
    },
    /// A precondition of a batch did not hold; nothing was written.
    #[error("collection `{collection}`: precondition failed: {reason}")]
    Precondition {
        /// The collection.
        collection: Name,
        /// What was expected and what was found.
        reason: String,
    },
    /// A continuation refused; nothing was written.
    #[error("the batch was given up by its own continuation: {reason}")]
    Aborted {
        /// The reason that the continuation gave.
        reason: String,
    },
    /// The database on disk does not fit the registry.
    #[error("collection `{collection}`: the database does not fit the schema: {reason}")]
    SchemaMismatch {
        /// The collection.
        collection: Name,
        /// What differs.
        reason: String,
    },
    /// The database was brought to a newer version of the schema by a newer program, which this one must not write to.
    #[error(
        "{}the database has version {stored} of the schema, this program knows version {known}; load the newer program",
        of_collection(.collection)
    )]
    NewerSchema {
        /// The collection; `None`: the application as a whole.
        collection: Option<Name>,
        /// The version in the database.
        stored: u64,
        /// The newest version that this program knows.
        known: u64,
    },
    /// A migration failed at an object. Nothing is changed.
    #[error(
        "collection `{collection}`: the migration to version {version} failed at the object with the key {key}, nothing was changed: {reason}"
    )]
    Migration {
        /// The collection, by its new name.
        collection: Name,
        /// The version of its definition.
        version: u64,
        /// The object's key.
        key: String,
        /// What was wrong with it.
        reason: Box<Self>,
    },
    /// The backend cannot do this.
    #[error("backend `{backend}` does not support {what}")]
    Unsupported {
        /// The backend's name.
        backend: &'static str,
        /// What was asked of it.
        what: String,
    },
    /// A module that cannot be: told when the storage is opened.
    #[error("module `{module}`: {reason}")]
    Module {
        /// The module.
        module: Name,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// An object that would break a rule of the application; nothing was written.
    #[error("collection `{collection}`: the object with the key {key} breaks a rule: {reason}")]
    BrokenRule {
        /// The collection.
        collection: Name,
        /// The object's key.
        key: String,
        /// What the rule says.
        reason: String,
    },
    /// A write to what may only be read; nothing was written.
    #[error("{what} may only be read")]
    ReadOnly {
        /// The collection, or the storage.
        what: String,
    },
    /// The storage was closed.
    #[error("the storage is closed")]
    Closed,
    /// The storage was suspended.
    #[error("the storage is suspended; `Storage::resume` opens it again")]
    Suspended,
    /// The database failed.
    #[error("backend `{backend}` failed to {operation}{}: {hint}", on_collection(.collection))]
    Backend {
        /// The backend's name.
        backend: &'static str,
        /// What it was doing.
        operation: &'static str,
        /// On which collection, where it was one.
        collection: Option<Name>,
        /// The class of the failure.
        kind: ErrorKind,
        /// What it means and what to do.
        hint: String,
        /// The database's own error.
        #[source]
        source: Source,
    },
}

fn in_field(field: &Option<Name>) -> String {
    field.as_ref().map(|field| format!(", field `{field}`")).unwrap_or_default()
}

fn of_collection(collection: &Option<Name>) -> String {
    collection.as_ref().map(|name| format!("collection `{name}`: ")).unwrap_or_default()
}

fn on_collection(collection: &Option<Name>) -> String {
    collection.as_ref().map(|name| format!(" on collection `{name}`")).unwrap_or_default()
}

/// The classes of errors, for programs that decide by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for does not exist.
    NotFound,
    /// Something else is there already, or changed meanwhile.
    Conflict,
    /// The call itself is wrong.
    Invalid,
    /// The backend cannot do it.
    Unsupported,
    /// Somebody else holds the database; later it may work.
    Busy,
    /// The storage or its connection is closed.
    Closed,
    /// The data on disk is damaged, or is no database.
    Corrupt,
    /// The database may only be read.
    ReadOnly,
    /// No space is left.
    Full,
    /// Reading or writing failed.
    Io,
    /// None of the above.
    Other,
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Definition { .. }
            | Self::UnknownField { .. }
            | Self::InvalidValue { .. }
            | Self::MissingField { .. }
            | Self::InvalidOperation { .. }
            | Self::KeyChange { .. }
            | Self::Module { .. }
            | Self::BrokenRule { .. }
            | Self::SchemaMismatch { .. }
            | Self::NewerSchema { .. } => ErrorKind::Invalid,
            Self::Migration { reason, .. } => reason.kind(),
            Self::UnknownCollection { .. } => ErrorKind::NotFound,
            Self::AlreadyExists { .. }
            | Self::UniqueViolation { .. }
            | Self::ConstraintViolation { .. }
            | Self::Relation { .. }
            | Self::Precondition { .. }
            | Self::Aborted { .. } => ErrorKind::Conflict,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::ReadOnly { .. } => ErrorKind::ReadOnly,
            Self::Suspended => ErrorKind::Busy,
            Self::Closed => ErrorKind::Closed,
            Self::Backend { kind, .. } => *kind,
        }
    }

    /// Whether the same call may succeed later, without any change to it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Busy | ErrorKind::Full | ErrorKind::Io)
    }

    /// An [`Error::InvalidOperation`].
    pub fn invalid(collection: &Name, reason: impl Into<String>) -> Self {
        Self::InvalidOperation { collection: Name::clone(collection), reason: reason.into() }
    }
}

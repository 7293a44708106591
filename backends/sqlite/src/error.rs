//! SQLite's result codes as [`Error`]s that say what to do.

use std::path::Path;

use rusqlite::ffi;
use storex_core::{Error, ErrorKind, Name};

use crate::table::Table;

/// The backend's name in messages.
pub(crate) const BACKEND: &str = "sqlite";

/// An error of SQLite while we were doing `operation`.
pub(crate) fn failed(
    operation: &'static str,
    collection: Option<&Name>,
    source: rusqlite::Error,
) -> Error {
    let (kind, hint) = classify(&source);
    Error::Backend {
        backend: BACKEND,
        operation,
        collection: collection.cloned(),
        kind,
        hint,
        source: Box::new(source),
    }
}

/// An error of SQLite while a database file was opened: its hint names the file.
pub(crate) fn failed_to_open(path: &Path, source: rusqlite::Error) -> Error {
    let (kind, hint) = classify(&source);
    let hint = if path.is_dir() {
        "it is a directory; give the path of a database file".to_owned()
    } else {
        hint
    };
    Error::Backend {
        backend: BACKEND,
        operation: "open the database",
        collection: None,
        kind,
        hint: format!("{}: {hint}", path.display()),
        source: Box::new(source),
    }
}

/// A failure that is not SQLite's own.
pub(crate) fn other(
    operation: &'static str,
    kind: ErrorKind,
    hint: impl Into<String>,
    source: impl Into<storex_core::Source>,
) -> Error {
    Error::Backend {
        backend: BACKEND,
        operation,
        collection: None,
        kind,
        hint: hint.into(),
        source: source.into(),
    }
}

/// The same failure once more: one failed commit fails every batch of its group.
pub(crate) fn again(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            rusqlite::Error::SqliteFailure(*code, message.clone())
        }
        other => rusqlite::Error::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_ERROR),
            Some(other.to_string()),
        ),
    }
}

/// An error of a write to a table: constraints become what core calls them. The values that are there already are left to the
/// caller ([`Table::with_values`]).
pub(crate) fn failed_write(
    operation: &'static str,
    table: &Table,
    key: Option<&dyn Fn() -> String>,
    source: rusqlite::Error,
) -> Error {
    let collection = table.collection.name().clone();
    let rusqlite::Error::SqliteFailure(code, message) = &source else {
        return failed(operation, Some(&collection), source);
    };
    let reason = || message.clone().unwrap_or_else(|| code.to_string());
    match code.extended_code {
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_ROWID => {
            let message = reason();
            match (table.violated(&message), key) {
                (Violated::Key, Some(key)) => Error::AlreadyExists { collection, key: key() },
                (Violated::Key, None) => {
                    let (index, values) = (table.key_label(), Vec::new());
                    Error::UniqueViolation { collection, index, values }
                }
                (Violated::Index { label, .. }, _) => {
                    Error::UniqueViolation { collection, index: label, values: Vec::new() }
                }
            }
        }
        _ if code.extended_code & 0xff == ffi::SQLITE_CONSTRAINT => {
            Error::ConstraintViolation { collection, reason: reason() }
        }
        // A key that is an INTEGER PRIMARY KEY takes integers only, whatever the column's affinity would do.
        ffi::SQLITE_MISMATCH => Error::ConstraintViolation { collection, reason: reason() },
        _ => failed(operation, Some(&collection), source),
    }
}

/// Which rule of uniqueness a write has broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violated {
    Key,
    Index {
        /// Its fields, as they are shown.
        label: String,
        /// Their positions; none where it is not made of fields alone.
        fields: Vec<usize>,
    },
}

/// The class of a failure, and what to do about it.
pub(crate) fn classify(error: &rusqlite::Error) -> (ErrorKind, String) {
    if let rusqlite::Error::Utf8Error(..) = error {
        let hint = "the database is damaged: a text in it is none; restore a backup or sync again from another device";
        return (ErrorKind::Corrupt, hint.to_owned());
    }
    let rusqlite::Error::SqliteFailure(code, _) = error else {
        return (ErrorKind::Other, "an unexpected failure; see the cause".to_owned());
    };
    let (kind, hint) = match code.extended_code & 0xff {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => (
            ErrorKind::Busy,
            "somebody else holds the database; try again, or close the other program",
        ),
        ffi::SQLITE_READONLY => (
            ErrorKind::ReadOnly,
            "the database may only be read; check the permissions of the file and its directory",
        ),
        // The index of the write-ahead log could not be made larger.
        _ if code.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
            (ErrorKind::Full, "no space is left; nothing was written; make room, then try again")
        }
        // The file ends before its last page.
        _ if code.extended_code == ffi::SQLITE_IOERR_SHORT_READ => (
            ErrorKind::Corrupt,
            "the database was cut off; restore a backup or sync again from another device",
        ),
        ffi::SQLITE_IOERR => {
            (ErrorKind::Io, "reading or writing the disk failed; check the disk, then try again")
        }
        ffi::SQLITE_CORRUPT => (
            ErrorKind::Corrupt,
            "the database is damaged; run `integrity_check`, restore a backup or sync again from another device",
        ),
        ffi::SQLITE_NOTADB => {
            (ErrorKind::Corrupt, "the file is no SQLite database; give another path")
        }
        ffi::SQLITE_FULL => {
            (ErrorKind::Full, "no space is left; nothing was written; make room, then try again")
        }
        ffi::SQLITE_CANTOPEN => (
            ErrorKind::Io,
            "the file cannot be opened; check that its directory exists and may be written",
        ),
        ffi::SQLITE_PERM | ffi::SQLITE_AUTH => {
            (ErrorKind::Io, "access was denied; check the file's permissions")
        }
        ffi::SQLITE_NOLFS => {
            (ErrorKind::Full, "the file system takes no larger file; move the database")
        }
        ffi::SQLITE_TOOBIG => (
            ErrorKind::Invalid,
            "a value is larger than SQLite takes (1,000,000,000 bytes); store it in pieces",
        ),
        ffi::SQLITE_NOMEM => {
            (ErrorKind::Other, "out of memory; make the batch or the page smaller")
        }
        ffi::SQLITE_CONSTRAINT => {
            (ErrorKind::Conflict, "a rule of the database refused the write; see the cause")
        }
        ffi::SQLITE_SCHEMA => (ErrorKind::Busy, "the schema was changed meanwhile; try again"),
        _ => (
            ErrorKind::Other,
            "an unexpected failure; see the cause (a table or column that somebody has dropped meanwhile, say)",
        ),
    };
    (kind, hint.to_owned())
}

//! What the browser says, as [`Error`]s that say what to do.

use storex_core::{Error, ErrorKind, Name};

use crate::raw::DomError;

/// The backend's name in messages.
pub(crate) const BACKEND: &str = "indexeddb";

/// A failure of the browser while we were doing `operation`.
pub(crate) fn failed(
    operation: &'static str,
    collection: Option<&Name>,
    source: DomError,
) -> Error {
    let (kind, hint) = classify(&source);
    Error::Backend {
        backend: BACKEND,
        operation,
        collection: collection.cloned(),
        kind,
        hint: hint.to_owned(),
        source: Box::new(source),
    }
}

/// A failure that is not the browser's own.
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

/// Whether the connection is gone, and another may work.
pub(crate) fn is_connection_lost(error: &DomError) -> bool {
    let lost = ["connection", "Connection"].iter().any(|word| error.message.contains(word));
    error.is("InvalidStateError") || error.is(DomError::NULL) || (error.is("UnknownError") && lost)
}

/// The classes after Expensify's census of 3.4 million failed writes (App issues 85252 and 87844).
fn classify(error: &DomError) -> (ErrorKind, &'static str) {
    match error.name.as_str() {
        "QuotaExceededError" => (
            ErrorKind::Full,
            "no space is left for this site: free some on the disk, or have the user allow more",
        ),
        "InvalidStateError" => (
            ErrorKind::Closed,
            "the connection to the database is closed or closing; open the storage again",
        ),
        "VersionError" => (
            ErrorKind::Invalid,
            "the database has a newer version than this program; load the newer program",
        ),
        "NotFoundError" => (
            ErrorKind::Invalid,
            "the database lacks an object store or index; open the storage again",
        ),
        "NotReadableError" | "DataError" => {
            (ErrorKind::Corrupt, "the browser cannot read what it has stored, or refuses a key")
        }
        "DataCloneError" => (ErrorKind::Invalid, "the browser cannot store such a value"),
        "SecurityError" | "NotSupportedError" | "NotAllowedError" => (
            ErrorKind::Unsupported,
            "this page may not store anything: private browsing, blocked cookies, or a sandboxed frame",
        ),
        "TimeoutError" => (ErrorKind::Busy, "the browser gave up waiting; try again"),
        "AbortError" => {
            (ErrorKind::Io, "the browser gave the transaction up; nothing was written; try again")
        }
        // An error without a name or reason tells nothing about the data: nothing is ever thrown away for it.
        DomError::NULL => (
            ErrorKind::Io,
            "the browser gives no reason; the connection may be lost; nothing was written; try again",
        ),
        "UnknownError" => (
            ErrorKind::Io,
            "the browser could not read or write its files; nothing was written; try again, or restart the browser",
        ),
        _ => (ErrorKind::Other, "the browser refused"),
    }
}

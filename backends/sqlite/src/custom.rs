//! The custom operations.

use rusqlite::Connection;
use serde_json::{Value as Json, json};
use storex_core::{CustomOperation, Error, Result};

use crate::error::{self, BACKEND};

/// Their names.
pub(crate) const OPERATIONS: &[&str] = &["integrity_check"];

/// What an operation does with a connection.
pub(crate) fn operation(operation: &CustomOperation) -> Result<fn(&Connection) -> Result<Json>> {
    match &*operation.name {
        "integrity_check" => Ok(integrity_check),
        name => Err(Error::Unsupported {
            backend: BACKEND,
            what: format!("the custom operation `{name}`; it knows {}", OPERATIONS.join(", ")),
        }),
    }
}

/// SQLite's own check of every page, row and index: `{"ok": true, "messages": []}`.
fn integrity_check(conn: &Connection) -> Result<Json> {
    let check = || -> rusqlite::Result<Vec<String>> {
        conn.prepare("PRAGMA integrity_check")?.query_map([], |row| row.get(0))?.collect()
    };
    let mut messages =
        check().map_err(|source| error::failed("check the integrity", None, source))?;
    let ok = messages.len() == 1 && messages.iter().all(|message| message == "ok");
    if ok {
        messages.clear();
    }
    Ok(json!({ "ok": ok, "messages": messages }))
}

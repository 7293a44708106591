//! The custom operations.

use rusqlite::Connection;
use serde_json::{Value as Json, json};
use storex_core::{CustomOperation, Error, Registry, Result};

use crate::error::{self, BACKEND};
use crate::explain;
use crate::overtaken::SchemaWatch;

/// Their names.
pub(crate) const OPERATIONS: &[&str] = &["integrity_check", "explain"];

/// What an operation does with a connection.
pub(crate) type Work = Box<dyn FnOnce(&Connection, &SchemaWatch) -> Result<Json> + Send>;

/// Checks the arguments of an operation.
pub(crate) fn operation(operation: &CustomOperation, registry: &Registry) -> Result<Work> {
    match &*operation.name {
        "integrity_check" => Ok(Box::new(|conn, _| integrity_check(conn))),
        "explain" => {
            let query = explain::query(&operation.arguments, registry)?;
            Ok(Box::new(move |conn, watch| {
                watch.read(conn, |tables| explain::explain(conn, tables, &query))
            }))
        }
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

//! What is written down in the database: its schema, and a migration that is not finished.

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use storex_core::{Error, Result, StoredSchema};

use crate::error;
use crate::schema::inspect::quote;

/// The table: one row per text.
pub(super) const TABLE: &str = "_storex_schema";

const SCHEMA: &str = "schema";
const UNFINISHED: &str = "unfinished";

/// What is written down.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The schema that the database was last brought to; `None` for one that is empty, or older than this table.
    pub(super) schema: Option<StoredSchema>,
    /// A migration that somebody has begun. Until it is finished the schema is the old one.
    pub(super) unfinished: Option<Unfinished>,
}

/// A migration that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfinished {
    /// The schema that it leads to.
    pub(super) target: StoredSchema,
    /// The tables that are written anew.
    pub(super) moved: Vec<Moved>,
}

/// A table that is written anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moved {
    /// The collection, by its old name.
    pub(super) collection: String,
    /// The table's name before.
    pub(super) table: String,
    /// Its name meanwhile.
    pub(super) kept: String,
    /// The new table's name meanwhile.
    pub(super) made: String,
}

#[derive(Serialize, Deserialize)]
struct UnfinishedText {
    target: String,
    moved: Vec<Moved>,
}

/// Reads what is written down.
pub(super) fn read(conn: &Connection) -> Result<Written> {
    let failed = |source| error::failed("read the stored schema", None, source);
    let there = conn
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1",
            [TABLE],
            |_| Ok(()),
        )
        .optional()
        .map_err(failed)?;
    if there.is_none() {
        return Ok(Written::default());
    }
    let text = |name: &str| -> Result<Option<String>> {
        conn.query_row(&format!("SELECT text FROM {TABLE} WHERE name = ?1"), [name], |row| {
            // What is no text is no description either, and is refused as one that was damaged.
            let bytes = row.get_ref(0)?.as_bytes_or_null().ok().flatten().unwrap_or_default();
            Ok(String::from_utf8_lossy(bytes).into_owned())
        })
        .optional()
        .map_err(failed)
    };
    let schema = text(SCHEMA)?.map(|text| StoredSchema::from_text(&text)).transpose()?;
    let unfinished = text(UNFINISHED)?.map(|text| read_unfinished(&text)).transpose()?;
    Ok(Written { schema, unfinished })
}

fn read_unfinished(text: &str) -> Result<Unfinished> {
    let UnfinishedText { target, moved } =
        serde_json::from_str(text).map_err(|error| Error::SchemaMismatch {
            collection: "(all)".into(),
            reason: format!(
                "what the database says of an unfinished migration is damaged: {error}"
            ),
        })?;
    Ok(Unfinished { target: StoredSchema::from_text(&target)?, moved })
}

/// Writes the schema down. Nothing is unfinished then.
pub(super) fn write(conn: &Connection, schema: &StoredSchema) -> Result<()> {
    put(conn, SCHEMA, &schema.to_text())?;
    finish(conn)
}

/// Notes that nothing is unfinished any more.
pub(super) fn finish(conn: &Connection) -> Result<()> {
    conn.execute(&format!("DELETE FROM {TABLE} WHERE name = ?1"), [UNFINISHED])
        .map(drop)
        .map_err(|source| error::failed("write the stored schema", None, source))
}

/// Writes down that a migration from this schema has begun.
pub(super) fn begin(conn: &Connection, from: &StoredSchema, unfinished: &Unfinished) -> Result<()> {
    put(conn, SCHEMA, &from.to_text())?;
    let (target, moved) = (unfinished.target.to_text(), unfinished.moved.clone());
    // Texts and lists of them: nothing here can fail to become JSON.
    let text = serde_json::to_string(&UnfinishedText { target, moved }).unwrap_or_default();
    put(conn, UNFINISHED, &text)
}

fn put(conn: &Connection, name: &str, text: &str) -> Result<()> {
    let write = || -> rusqlite::Result<()> {
        conn.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {} (name TEXT PRIMARY KEY NOT NULL, text TEXT NOT NULL) STRICT, WITHOUT ROWID",
            quote(TABLE)
        ))?;
        conn.execute(&format!("INSERT OR REPLACE INTO {TABLE} VALUES (?1, ?2)"), [name, text])?;
        Ok(())
    };
    write().map_err(|source| error::failed("write the stored schema", None, source))
}

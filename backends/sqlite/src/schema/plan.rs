//! Making the tables that are missing.
//!
//! A table that storex makes is STRICT, so that whatever else writes to it cannot store a value of another type.
//!
//! Which kind of table, as measured (rows of 330 bytes with a UUID as text and one index, batches of 1,000, rows a second):
//!
//! ```text
//!                         keys that ascend (v7)    random keys (v4)
//! rowid table             200,000                  40,000
//! WITHOUT ROWID           190,000                  18,000
//! ```
//!
//! With random keys whole rows and not only keys move when a page splits. So an object's table is a rowid table, and only
//! what is small or has a compound key (storex's own clocks and cursors, link tables) is kept WITHOUT ROWID, which saves
//! the second copy of the key.

use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};
use storex_core::{Collection, Error, FieldType, Index, KeyFormat, Registry, Result};

use crate::error;
use crate::schema::check::{check, mismatch};
use crate::schema::inspect::{self, LiveTable, quote};
use crate::search;
use crate::table::{Table, Tables};

/// Checks the registry against the database, makes the connection the writer's, makes what is missing in one
/// transaction, and gives the tables. Nothing is changed before everything was found to fit.
pub(crate) fn prepare(
    conn: &Connection,
    registry: &Registry,
    make_writer: impl FnOnce() -> Result<()>,
) -> Result<Tables> {
    check_names(registry)?;
    let complete = missing(conn, registry)?.is_empty();
    make_writer()?;
    if !complete {
        make(conn, registry)?;
    }
    search::prepare(conn, registry)?;
    let mut tables = Tables::with_capacity(registry.collections().len());
    for collection in registry.collections() {
        let live = live(conn, collection)?.ok_or_else(|| {
            mismatch(collection, format!("table `{}` is gone again", collection.table()))
        })?;
        tables.insert(collection.name().clone(), Arc::new(Table::new(collection, &live)));
    }
    Ok(tables)
}

fn make(conn: &Connection, registry: &Registry) -> Result<()> {
    let failed = |source| error::failed("make the tables", None, source);
    conn.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    // Another process may have been quicker: look again, now that nobody else can write.
    let made = missing(conn, registry).and_then(|statements| {
        statements.iter().try_for_each(|(collection, sql)| {
            conn.execute_batch(sql).map_err(|source| not_made(collection, source))
        })
    });
    let ended = match made {
        Ok(()) => conn.execute_batch("COMMIT").map_err(failed),
        Err(error) => Err(error),
    };
    if ended.is_err() && !conn.is_autocommit() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    ended
}

fn not_made(collection: &Collection, source: rusqlite::Error) -> Error {
    match &source {
        rusqlite::Error::SqliteFailure(code, message)
            if code.code == ErrorCode::ConstraintViolation =>
        {
            let said = message.as_deref().unwrap_or("the objects that there are break it");
            mismatch(collection, format!("a unique index cannot be made: {said}"))
        }
        _ => error::failed("make the table", Some(collection.name()), source),
    }
}

/// The statements that make what is missing. Changes nothing.
fn missing<'a>(conn: &Connection, registry: &'a Registry) -> Result<Vec<(&'a Collection, String)>> {
    let mut statements = Vec::new();
    for collection in registry.collections() {
        let live = live(conn, collection)?;
        if let Some(live) = &live {
            check(collection, live)?;
        } else if collection.is_adopted() {
            return Err(mismatch(
                collection,
                format!("there is no table `{}`", collection.table()),
            ));
        } else {
            statements.push((&**collection, create_table(collection)));
        }
        if !collection.is_adopted() {
            let indices = collection.indices().iter().filter(|index| is_stored(collection, index));
            statements.extend(
                indices
                    .filter(|index| {
                        !live.as_ref().is_some_and(|live| has_index(live, collection, index))
                    })
                    .map(|index| (&**collection, create_index(collection, index))),
            );
        }
    }
    Ok(statements)
}

fn live(conn: &Connection, collection: &Collection) -> Result<Option<LiveTable>> {
    inspect::table(conn, collection.table())
        .map_err(|source| error::failed("read the schema", Some(collection.name()), source))
}

fn check_names(registry: &Registry) -> Result<()> {
    let kept = |collection: &&Arc<Collection>| {
        collection.table().get(..7).is_some_and(|begin| begin.eq_ignore_ascii_case("sqlite_"))
    };
    match registry.collections().iter().find(kept) {
        Some(collection) => Err(mismatch(
            collection,
            "SQLite keeps names that begin with `sqlite_` for itself; choose another table",
        )),
        None => Ok(()),
    }
}

/// The type that a column of ours is declared with.
pub(crate) fn declared_type(field_type: &FieldType) -> &'static str {
    match field_type {
        FieldType::AutoPk(format) | FieldType::ForeignKey(format) => match format {
            KeyFormat::Text => "TEXT",
            KeyFormat::Bytes => "BLOB",
            KeyFormat::Int => "INTEGER",
        },
        FieldType::Text
        | FieldType::String
        | FieldType::Json
        | FieldType::Url
        | FieldType::RandomKey => "TEXT",
        FieldType::DateTime | FieldType::Timestamp | FieldType::Boolean | FieldType::Int => {
            "INTEGER"
        }
        FieldType::Float => "REAL",
        FieldType::Blob | FieldType::Binary | FieldType::Media => "BLOB",
        // In a STRICT table ANY keeps every value as it is.
        _ => "ANY",
    }
}

fn create_table(collection: &Collection) -> String {
    let key = collection.primary_key();
    let mut parts: Vec<String> = Vec::new();
    for (at, field) in collection.fields().iter().enumerate() {
        let null = if field.nullable { "" } else { " NOT NULL" };
        let primary = if key == [at] { " PRIMARY KEY" } else { "" };
        parts.push(format!(
            "{} {}{primary}{null}",
            quote(&field.column),
            declared_type(&field.field_type)
        ));
    }
    if key.len() > 1 {
        parts.push(format!("PRIMARY KEY ({})", columns(collection, key)));
    }
    // An INTEGER PRIMARY KEY is the rowid itself; there is nothing to save.
    let rowid_key =
        matches!(key, [at] if declared_type(&collection.fields()[*at].field_type) == "INTEGER");
    let without_rowid = key.len() > 1 || (collection.is_reserved() && !rowid_key);
    let options = if without_rowid { "STRICT, WITHOUT ROWID" } else { "STRICT" };
    format!("CREATE TABLE {} (\n  {}\n) {options}", quote(collection.table()), parts.join(",\n  "))
}

fn create_index(collection: &Collection, index: &Index) -> String {
    format!(
        "CREATE {}INDEX {} ON {} ({})",
        if index.unique { "UNIQUE " } else { "" },
        quote(&index_name(collection, index)),
        quote(collection.table()),
        columns(collection, &index.fields)
    )
}

/// The same for the same index, always; no two indices share one.
fn index_name(collection: &Collection, index: &Index) -> String {
    let kind = if index.unique { "unique" } else { "index" };
    let columns: Vec<String> =
        index.fields.iter().map(|at| collection.fields()[*at].column.replace(',', ",,")).collect();
    format!("{}:{kind}:{}", collection.table().replace(':', "::"), columns.join(","))
}

fn columns(collection: &Collection, positions: &[usize]) -> String {
    positions
        .iter()
        .map(|at| quote(&collection.fields()[*at].column))
        .collect::<Vec<_>>()
        .join(", ")
}

/// An index on a long text is a full-text index, which is not SQLite's ordinary one: a copy of all texts, sorted, would
/// help no search. Elements of JSON have no index either.
fn is_stored(collection: &Collection, index: &Index) -> bool {
    let is_text = |at: &usize| collection.fields()[*at].field_type == FieldType::Text;
    let is_long_text = matches!(index.fields.as_slice(), [at] if is_text(at));
    !index.multi_entry && (index.unique || !is_long_text)
}

fn has_index(live: &LiveTable, collection: &Collection, index: &Index) -> bool {
    let name = index_name(collection, index);
    let same = |columns: &[Option<String>]| {
        columns.len() == index.fields.len()
            && columns.iter().zip(&index.fields).all(|(column, at)| {
                column.as_ref().is_some_and(|column| {
                    column.eq_ignore_ascii_case(&collection.fields()[*at].column)
                })
            })
    };
    live.indices.iter().any(|known| {
        known.name.eq_ignore_ascii_case(&name)
            || (known.unique == index.unique && !known.partial && same(&known.columns))
    })
}

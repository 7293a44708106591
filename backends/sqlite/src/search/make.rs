//! Making search indices, and what they are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, params_from_iter};
use storex_core::{Collection, ErrorKind, Registry, Result, word_rules};

use super::{PREFIX, SearchIndex, name, word_column};
use crate::error;
use crate::schema::declared_type;
use crate::schema::inspect::{self, quote};
use crate::table::{Table, Tables};

/// So many keys are drained in one transaction when a database is opened.
const DRAINED_AT_OPEN: usize = 1_000;

/// Makes, changes or removes search indices as the registry has them, and brings all up to date.
pub(crate) fn prepare(conn: &Connection, registry: &Registry) -> Result<()> {
    remove_orphans(conn).map_err(|source| error::failed("remove a search index", None, source))?;
    let own = registry.collections().iter().filter(|collection| !collection.is_adopted());
    for collection in own {
        let wanted = SearchIndex::of(collection);
        let failed =
            |source| error::failed("make the search index", Some(collection.name()), source);
        if !is_made(conn, collection, wanted.as_ref()).map_err(failed)? {
            make(conn, collection, wanted.as_ref()).map_err(failed)?;
        }
    }
    Ok(())
}

/// Removes the indices of tables that are gone, or have another name.
fn remove_orphans(conn: &Connection) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '_storex_search:*:keys'",
    )?;
    let names: Vec<String> =
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for index in names.iter().filter_map(|name| name.strip_suffix(":keys")) {
        let table = index.trim_start_matches(PREFIX).replace("::", ":");
        if inspect::table(conn, &table)?.is_none() {
            conn.execute_batch("SAVEPOINT storex_orphan")?;
            for (kind, part) in PARTS.iter().rev() {
                conn.execute_batch(&format!(
                    "DROP {kind} IF EXISTS {}",
                    quote(&format!("{index}:{part}"))
                ))?;
            }
            conn.execute_batch("RELEASE storex_orphan")?;
        }
    }
    Ok(())
}

/// Brings all search indices up to date. When the database cannot be had now, the rest is left to the next who opens it:
/// until then a search looks at each object that is dirty.
pub(crate) fn catch_up(conn: &Connection, tables: &Tables) -> Result<()> {
    for table in tables.values() {
        let Some(index) = &table.search else { continue };
        let outcome = drain_all(conn, table, index).or_else(|source| {
            if !conn.is_autocommit() {
                let _ = conn.execute_batch("ROLLBACK");
            }
            match error::classify(&source).0 {
                ErrorKind::Busy | ErrorKind::Full => {
                    tracing::warn!(%source, collection = %table.collection.name(), "the search index is not up to date");
                    Ok(())
                }
                _ => Err(source),
            }
        });
        outcome.map_err(|source| {
            error::failed("fill the search index", Some(table.collection.name()), source)
        })?;
    }
    Ok(())
}

fn drain_all(conn: &Connection, table: &Table, index: &SearchIndex) -> rusqlite::Result<()> {
    // At each moment another program may make the index its own, which is not ours to fill then.
    let is_ours = || is_made(conn, &table.collection, Some(index));
    let has_dirty = || {
        let _transaction = conn.unchecked_transaction()?;
        Ok::<_, rusqlite::Error>(is_ours()? && conn.prepare(&index.dirty)?.exists([1])?)
    };
    while has_dirty()? {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        if is_ours()? {
            index.drain(conn, DRAINED_AT_OPEN)?;
        }
        conn.execute_batch("COMMIT")?;
    }
    Ok(())
}

/// The tables as a program may use them that has had the database open for a while, in the transaction that is open: a
/// search index that is not of its own make any more is none for it.
pub(crate) fn usable(conn: &Connection, tables: &Arc<Tables>) -> rusqlite::Result<Arc<Tables>> {
    let mut usable = Arc::clone(tables);
    for (name, table) in tables.iter().filter(|(_, table)| table.search.is_some()) {
        if !is_made(conn, &table.collection, table.search.as_ref())? {
            tracing::warn!(
                collection = %name,
                "another program keeps a search index of its own: searches look at every object until the database is opened again"
            );
            Arc::make_mut(&mut usable).insert(name.clone(), Arc::new(table.without_search()));
        }
    }
    Ok(usable)
}

/// The parts of an index that are on disk, by name: kind and SQL.
fn parts(
    conn: &Connection,
    collection: &Collection,
) -> rusqlite::Result<BTreeMap<String, (String, String)>> {
    let names = PARTS.map(|(_, part)| name(collection, part));
    let mut statement = conn.prepare(
        "SELECT name, type, sql FROM sqlite_schema WHERE name COLLATE NOCASE IN (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    statement
        .query_map(params_from_iter(names), |row| {
            Ok((row.get(0)?, (row.get(1)?, row.get::<_, Option<String>>(2)?.unwrap_or_default())))
        })?
        .collect()
}

fn is_made(
    conn: &Connection,
    collection: &Collection,
    wanted: Option<&SearchIndex>,
) -> rusqlite::Result<bool> {
    let there = parts(conn, collection)?;
    let wanted = wanted.map_or(&[][..], |index| &index.made);
    Ok(there.len() == wanted.len()
        && wanted
            .iter()
            .all(|(_, name, sql)| there.get(name).is_some_and(|(_, known)| known == sql)))
}

/// In one transaction; all objects are dirty then.
fn make(
    conn: &Connection,
    collection: &Collection,
    wanted: Option<&SearchIndex>,
) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let outcome = remake(conn, collection, wanted).and_then(|()| conn.execute_batch("COMMIT"));
    if outcome.is_err() && !conn.is_autocommit() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    outcome
}

fn remake(
    conn: &Connection,
    collection: &Collection,
    wanted: Option<&SearchIndex>,
) -> rusqlite::Result<()> {
    // Another process may have been quicker: look again, now that nobody else can write.
    if is_made(conn, collection, wanted)? {
        return Ok(());
    }
    let there = parts(conn, collection)?;
    for kind in ["trigger", "table"] {
        for (name, _) in there.iter().filter(|(_, (known, _))| known == kind) {
            conn.execute_batch(&format!("DROP {kind} {}", quote(name)))?;
        }
    }
    let Some(wanted) = wanted else { return Ok(()) };
    for (_, _, sql) in &wanted.made {
        conn.execute_batch(sql)?;
    }
    conn.execute_batch(&wanted.fill)
}

/// What an index consists of.
const PARTS: [(&str, &str); 6] = [
    ("table", "keys"),
    ("table", "words"),
    ("table", "dirty"),
    ("trigger", "insert"),
    ("trigger", "update"),
    ("trigger", "delete"),
];

pub(super) fn definitions(
    collection: &Collection,
    fields: &[usize],
) -> Vec<(&'static str, String, String)> {
    let column = |at: &usize| quote(&collection.fields()[*at].column);
    let key = collection.primary_key();
    let types = key.iter().map(|at| declared_type(&collection.fields()[*at].field_type));
    let columns: Vec<String> =
        types.enumerate().map(|(n, of)| format!("k{n} {of} NOT NULL")).collect();
    let columns = columns.join(", ");
    let own: Vec<String> = (0..key.len()).map(|n| format!("k{n}")).collect();
    let own = own.join(", ");
    let rules = word_rules();
    let words: Vec<String> =
        fields.iter().map(|at| quote(&word_column(&collection.fields()[*at].column))).collect();
    let dirty = quote(&name(collection, "dirty"));
    let note = |row: &str| {
        let values: Vec<String> = key.iter().map(|at| format!("{row}.{}", column(at))).collect();
        // Unlike `OR IGNORE`, this holds whatever the statement says that sets off the trigger.
        format!("INSERT INTO {dirty} VALUES ({}) ON CONFLICT DO NOTHING;", values.join(", "))
    };
    let watched: Vec<String> = key.iter().chain(fields).map(column).collect();
    let of_update = format!("UPDATE OF {}", watched.join(", "));
    let trigger = |event: &str, notes: String| {
        format!("AFTER {event} ON {} BEGIN {notes} END", quote(collection.table()))
    };
    PARTS
        .iter()
        .map(|(kind, part)| {
            let body = match *part {
                // With other rules all words are found anew.
                "keys" => format!(
                    "(docid INTEGER PRIMARY KEY /* words {rules} */, {columns}, UNIQUE ({own})) STRICT"
                ),
                "words" => format!(
                    "USING fts5({}, content = '', contentless_delete = 1, tokenize = 'ascii', detail = column)",
                    words.join(", ")
                ),
                "dirty" => format!("({columns}, PRIMARY KEY ({own})) STRICT, WITHOUT ROWID"),
                "insert" => trigger("INSERT", note("new")),
                "update" => trigger(&of_update, format!("{} {}", note("old"), note("new"))),
                _ => trigger("DELETE", note("old")),
            };
            let what = match *part {
                "words" => "VIRTUAL TABLE",
                _ if *kind == "table" => "TABLE",
                _ => "TRIGGER",
            };
            let name = name(collection, part);
            let space = if matches!(*part, "keys" | "dirty") { "" } else { " " };
            let sql = format!("CREATE {what} {}{space}{body}", quote(&name));
            (*kind, name, sql)
        })
        .collect()
}

//! Noticing what other programs do to the schema while we have the database open.
//!
//! Two things matter. A program of a **newer version** migrates the database: columns are read by name, and a migration may
//! give names to other columns, so what we read then looks right and is not; it is refused. A program of the same version
//! with **other search indices** (over other fields, or with the words of another version of Unicode) makes them its own:
//! there is one index of a table, and it is of whoever has opened the database last. We go on without it then: a search
//! looks at the texts themselves, and we leave the index alone, whose triggers note what we write.
//!
//! SQLite counts every change of a schema (`PRAGMA schema_version`), and the count only grows. So it is enough to look at it
//! *behind* a read: where it is what it was when we looked at the schema last, the schema was the same all the while. Where
//! it is not, we look again, and read again, in one transaction. A change that is not storex's (an index that the
//! application has made by hand) does not matter.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use storex_core::{Error, ErrorKind, Registry, Result};

use crate::error;
use crate::schema;
use crate::search;
use crate::table::Tables;

/// What was seen of the schema by all connections of a backend.
#[derive(Debug)]
pub(crate) struct SchemaWatch {
    registry: Arc<Registry>,
    /// As the database was opened.
    opened: Arc<Tables>,
    seen: Mutex<Seen>,
}

/// What was seen last. Another connection may see an older schema still: then it looks again.
#[derive(Debug, Clone)]
struct Seen {
    /// SQLite's count of changes.
    version: i64,
    /// The tables as they may be used at that count.
    tables: Arc<Tables>,
}

impl SchemaWatch {
    /// Over the tables of a database that was just opened.
    pub(crate) fn new(
        conn: &Connection,
        registry: Arc<Registry>,
        tables: Arc<Tables>,
    ) -> Result<Self> {
        // SQLite's count never is -1.
        let seen = Mutex::new(Seen { version: -1, tables: Arc::clone(&tables) });
        let watch = Self { registry, opened: tables, seen };
        let _transaction = conn.unchecked_transaction().map_err(failed)?;
        watch.tables(conn)?;
        Ok(watch)
    }

    /// Whether the database keeps texts as UTF-16.
    pub(crate) fn is_utf16(&self) -> bool {
        self.opened.values().any(|table| table.is_utf16)
    }

    /// Reads with the tables as they may be used. Reads once more where the schema was changed meanwhile, and refuses what
    /// is of a newer version.
    pub(crate) fn read<T>(
        &self,
        conn: &Connection,
        read: impl Fn(&Tables) -> Result<T>,
    ) -> Result<T> {
        let Seen { version, tables } = self.seen();
        let outcome = read(&tables);
        if let Err(error) = &outcome
            && !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Other)
        {
            return outcome;
        }
        // What fails may fail because it does not fit any more.
        match count_of_changes(conn) {
            Ok(now) if now == version => outcome,
            Ok(_) => self.read_anew(conn, read),
            Err(reason) => outcome.and(Err(reason)),
        }
    }

    /// In one transaction, in which nothing can change.
    fn read_anew<T>(&self, conn: &Connection, read: impl Fn(&Tables) -> Result<T>) -> Result<T> {
        let _transaction = conn.unchecked_transaction().map_err(failed)?;
        let tables = self.tables(conn)?;
        read(&tables)
    }

    /// The tables as they may be used in the transaction that is open.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] where a newer program has migrated the database.
    pub(crate) fn tables(&self, conn: &Connection) -> Result<Arc<Tables>> {
        let version = count_of_changes(conn)?;
        let seen = self.seen();
        if seen.version == version {
            return Ok(seen.tables);
        }
        schema::refuse_newer(conn, &self.registry)?;
        let tables = search::usable(conn, &self.opened).map_err(failed)?;
        let seen = Seen { version, tables: Arc::clone(&tables) };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(tables)
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn count_of_changes(conn: &Connection) -> Result<i64> {
    let mut statement = conn.prepare_cached("PRAGMA schema_version").map_err(failed)?;
    statement.query_row([], |row| row.get(0)).map_err(failed)
}

fn failed(source: rusqlite::Error) -> Error {
    error::failed("read the schema", None, source)
}

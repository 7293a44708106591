//! Adoption: an existing database's tables as collections, used in place.
//!
//! ```text
//! shop.db ──adopt──▶ definitions ──▶ Registry ──▶ Storage over SqliteBackend::open("shop.db")
//!                    left out, and why
//!                    notes: triggers, generated columns, defaults that are expressions, ..
//! ```
//!
//! Nothing of theirs is changed: no column, trigger or type. SQLite keeps values of any type in a column, so an ordinary
//! column becomes a [`FieldType::Dynamic`](storex_core::FieldType::Dynamic) field with the column's affinity, and only
//! the columns of STRICT tables become typed fields.

mod actions;
mod copy;
mod default;
mod table;

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use storex_core::{Definition, Registry, Result};

pub use copy::copy_schema;

use crate::error::failed_to_open;
use crate::schema::inspect::{self, Kind, LiveTable};

/// The prefix of storex's own tables.
const RESERVED_PREFIX: &[u8] = b"_storex_";

/// Whether a table or index of this name is storex's own: the name begins with `_storex_`, in small or large letters, which are the same
/// to SQLite.
///
/// ```
/// assert!(storex_sqlite::is_reserved("_Storex_LOG"));
/// assert!(!storex_sqlite::is_reserved("storex_log"));
/// ```
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let begin = name.as_bytes().get(..RESERVED_PREFIX.len());
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(RESERVED_PREFIX))
}

/// What [`adopt`] has found.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Adoption {
    /// A definition for every table that can be a collection, under the table's name.
    pub definitions: Vec<Definition>,
    /// The tables that cannot, and why.
    pub left_out: Vec<LeftOut>,
    /// What to know about the others.
    pub notes: Vec<Note>,
    /// The foreign keys between tables.
    pub foreign_keys: Vec<ForeignKey>,
}

/// A table (or another part of a schema) that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its name.
    pub table: String,
    /// Why, and where there is one, what would help.
    pub reason: String,
}

/// Something to know about an adopted table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// The table; none where it is about the whole database.
    pub table: Option<String>,
    /// The column, trigger, view or index, where it is about one.
    pub subject: Option<String>,
    /// What there is to know.
    pub text: String,
}

/// A foreign key of an adopted table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForeignKey {
    /// The table that points.
    pub table: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// The table that is pointed to.
    pub target: String,
    /// The columns there.
    pub target_columns: Vec<String>,
    /// What happens to the rows that point when the row they point to is deleted.
    pub on_delete: ForeignKeyAction,
    /// What happens to them when its key changes.
    pub on_update: ForeignKeyAction,
}

/// What SQLite does with rows that point to a row which goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignKeyAction {
    /// It refuses, at the end of the statement or transaction.
    NoAction,
    /// It refuses.
    Restrict,
    /// They point to nothing.
    SetNull,
    /// They get the column's default.
    SetDefault,
    /// They go too.
    Cascade,
}

/// Reads the schema of an existing database into definitions of collections. Changes nothing.
///
/// - Key: the primary key, single or compound; a table without one is taken in by a UNIQUE index over NOT NULL columns,
///   if it has one.
/// - Left out: tables without any key, tables with rows whose key is null (SQLite allows that), virtual tables, and
///   tables that need a function or collation which is not there. Views are left alone.
/// - Generated columns are left out of their table's definition; SQLite goes on computing them.
/// - `ON DELETE CASCADE` and `SET NULL` are declared in the definitions, so that what they do is logged.
///
/// # Errors
/// [`Error::Backend`](storex_core::Error::Backend) when the file is not there, cannot be read, or is no database.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("shop.db");
/// # rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT NOT NULL); CREATE TABLE log(line TEXT);",
/// # )?;
/// let adoption = storex_sqlite::adopt(&path)?;
/// assert_eq!(&**adoption.definitions[0].name(), "customer");
/// assert_eq!(adoption.left_out[0].table, "log");
/// # Ok(()) }
/// ```
pub fn adopt(path: impl AsRef<Path>) -> Result<Adoption> {
    let path = path.as_ref();
    let read = || -> rusqlite::Result<Adoption> {
        let conn = open_to_read(path)?;
        // One transaction: a schema that changes meanwhile is seen before or after, not half.
        conn.execute_batch("BEGIN")?;
        let mut adoption = Adoption::default();
        note_encoding(&conn, &mut adoption)?;
        for table in inspect::tables(&conn)? {
            adoption.take(&conn, &table)?;
        }
        actions::declare(&mut adoption);
        Ok(adoption)
    };
    read().map_err(|source| failed_to_open(path, source))
}

/// Opens for reading a database that is there. (Not read-only: that could not open one in write-ahead mode which nobody
/// else has open.)
fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.execute_batch("PRAGMA query_only = ON")?;
    Ok(conn)
}

impl Adoption {
    fn take(&mut self, conn: &Connection, table: &LiveTable) -> rusqlite::Result<()> {
        if is_reserved(&table.name) {
            return Ok(());
        }
        match table.kind {
            Kind::Shadow => {}
            Kind::View => self.note(Some(&table.name), None, "is a view and is left alone"),
            Kind::Virtual => {
                self.leave_out(&table.name, "is a virtual table, whose rows are not SQLite's own")
            }
            Kind::Table => match table::definition(self, conn, table)? {
                Ok(definition) => {
                    match Registry::builder().collection(definition.clone()).build() {
                        Ok(_) => self.definitions.push(definition),
                        // Two columns whose names become one field, say.
                        Err(error) => self.leave_out(&table.name, error.to_string()),
                    }
                }
                Err(reason) => self.leave_out(&table.name, reason),
            },
        }
        Ok(())
    }

    fn leave_out(&mut self, table: &str, reason: impl Into<String>) {
        self.left_out.push(LeftOut { table: table.to_owned(), reason: reason.into() });
    }

    fn note(&mut self, table: Option<&str>, subject: Option<&str>, text: impl Into<String>) {
        self.notes.push(Note {
            table: table.map(str::to_owned),
            subject: subject.map(str::to_owned),
            text: text.into(),
        });
    }
}

fn note_encoding(conn: &Connection, adoption: &mut Adoption) -> rusqlite::Result<()> {
    let encoding: String = conn.query_row("PRAGMA encoding", [], |row| row.get(0))?;
    if encoding != "UTF-8" {
        adoption.note(
            None,
            None,
            format!("the database keeps texts as {encoding}: their order is not the order of storex's other backends"),
        );
    }
    Ok(())
}

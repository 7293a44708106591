//! Connections: how each is set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::vtab::array;
use rusqlite::{Connection, OpenFlags};
use storex_core::{ErrorKind, Result};

use crate::config::{Config, Durability};
use crate::error::{self, failed_to_open};
use crate::functions;

/// Enough for every statement of a large registry; a statement takes a few kilobytes.
const CACHED_STATEMENTS: usize = 512;

/// After a checkpoint the `-wal` file is cut down to this size: one very large batch does not take the space for good.
const WAL_KEPT_BYTES: u32 = 64 << 20;

/// The writer's page cache. SQLite's 2 MB are soon too small for the upper pages of a few indices, and a write by a random
/// key then reads its pages again and again.
const WRITER_CACHE_KIB: u32 = 16 << 10;

/// Opens the file, making it if it is not there, and checks that it is a database that may be written. Changes nothing.
pub(crate) fn open(config: &Config) -> Result<Connection> {
    let path = &config.path;
    let failed = |source| failed_to_open(path, source);
    let conn = connect(path, config.busy_timeout, OpenFlags::SQLITE_OPEN_CREATE).map_err(failed)?;
    // SQLite opens a file that it may not write for reading, and says nothing. Asked before the first read: a database in
    // write-ahead mode cannot even be read then, which SQLite calls a file that cannot be opened.
    if conn.is_readonly("main").map_err(failed)? {
        return Err(failed(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY),
            None,
        )));
    }
    // The first thing that reads the file: here it turns out to be no database, or locked.
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
    Ok(conn)
}

/// Makes a connection the writer's: write-ahead log, durability, foreign keys.
pub(crate) fn make_writer(conn: &Connection, config: &Config) -> Result<()> {
    let failed = |source| failed_to_open(&config.path, source);
    let mode = write_ahead(conn).map_err(failed)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(error::other(
            "open the database",
            ErrorKind::Other,
            format!(
                "{}: this file system does not take a write-ahead log (journal mode `{mode}`); move the database to \
                 a local disk",
                config.path.display()
            ),
            "PRAGMA journal_mode = WAL had no effect",
        ));
    }
    let synchronous = match config.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    conn.execute_batch(&format!(
        "PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON; PRAGMA cache_size = -{WRITER_CACHE_KIB}; \
         PRAGMA journal_size_limit = {WAL_KEPT_BYTES}"
    ))
    .map_err(failed)
}

/// Puts the database into write-ahead mode, which it keeps, and gives the mode that it is in now.
///
/// When several programs open a new database at once, SQLite tells all but one that it is busy, without any patience. So
/// we wait until we could have all of it, which SQLite has patience for, and look again; by then somebody has done it.
fn write_ahead(conn: &Connection) -> rusqlite::Result<String> {
    for _ in 0..20 {
        match conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)) {
            Err(error) if error::classify(&error).0 == ErrorKind::Busy => {
                conn.execute_batch("BEGIN EXCLUSIVE; ROLLBACK")?;
            }
            outcome => return outcome,
        }
    }
    conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
}

/// A connection that only looks; `None`: there is no file. It is the last one to close it that takes the `-wal` file away.
pub(crate) fn open_to_plan(config: &Config) -> Result<Option<Connection>> {
    if matches!(config.path.try_exists(), Ok(false)) {
        return Ok(None);
    }
    open_reader(config).map(Some)
}

/// A connection that reads.
pub(crate) fn open_reader(config: &Config) -> Result<Connection> {
    let failed = |source| failed_to_open(&config.path, source);
    let conn = connect(&config.path, config.busy_timeout, OpenFlags::empty()).map_err(failed)?;
    conn.execute_batch("PRAGMA query_only = ON").map_err(failed)?;
    Ok(conn)
}

/// A connection that copies: SQLite does not do that on one that only reads. The database is not made when it is missing.
pub(crate) fn open_for_backup(config: &Config) -> Result<Connection> {
    connect(&config.path, config.busy_timeout, OpenFlags::empty())
        .map_err(|source| failed_to_open(&config.path, source))
}

fn connect(path: &Path, busy_timeout: Duration, more: OpenFlags) -> rusqlite::Result<Connection> {
    // No URI: a path with `?` or `%` in it is just a path. No mutex: each connection is used by one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(busy_timeout)?;
    conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    array::load_module(&conn)?;
    functions::register(&conn)?;
    Ok(conn)
}

/// Whether the database keeps texts as UTF-16. (One that was made with storex never does.)
pub(crate) fn is_utf16(conn: &Connection) -> Result<bool> {
    let encoding = conn.query_row("PRAGMA encoding", [], |row| row.get::<_, String>(0));
    encoding
        .map(|encoding| encoding != "UTF-8")
        .map_err(|source| error::failed("read the schema", None, source))
}

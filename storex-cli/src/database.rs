//! The file that a command was given: whether it is a database, and opening it with plain SQL.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::{CliError, Result};

/// The first bytes of every SQLite database that is not empty.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// How long to wait for a program that writes to the database.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a database, with [`OpenFlags::SQLITE_OPEN_READ_WRITE`] or what else `flags` says.
pub(crate) fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(PATIENCE)?;
    Ok(conn)
}

/// Opens for reading a database that is there. (Not read-only: that could not open one in write-ahead mode which nobody else has
/// open, and the last one to close it takes the files beside it away, if it may write.)
pub(crate) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.execute_batch("PRAGMA query_only = ON")?;
    Ok(conn)
}

/// Refuses a file that was given.
pub(crate) fn refuse(path: &Path, reason: impl Into<String>) -> CliError {
    CliError::Input { path: path.to_path_buf(), reason: reason.into() }
}

/// Whether the database is in write-ahead mode; refuses what is no database.
pub(crate) fn inspect(path: &Path) -> Result<bool> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => refuse(path, "there is no such file"),
        io::ErrorKind::PermissionDenied => refuse(path, "may not be read by you"),
        _ => refuse(path, format!("cannot be read ({error})")),
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(refuse(path, "is a folder; give the database file in it"));
    }
    if !metadata.is_file() {
        return Err(refuse(path, "is no ordinary file"));
    }
    let mut header = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(20).read_to_end(&mut header).map_err(unreadable)?;
    // SQLite takes an empty file for a database without tables.
    if !header.is_empty() && (header.len() < 20 || !header.starts_with(MAGIC)) {
        return Err(refuse(path, "is not a SQLite database, or is encrypted"));
    }
    Ok(header.get(18..20).is_some_and(|versions| versions.contains(&2)))
}

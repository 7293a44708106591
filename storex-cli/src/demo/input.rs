//! A consistent copy of the database that was given, which is not touched.
//!
//! A database in write-ahead mode cannot even be read without writing beside it: SQLite makes a `-shm` file, and needs a
//! folder that it may write. Where that file is missing nobody has the database open, so its files are copied as they
//! are, and SQLite opens the copy. The same goes for a database that a program left in the middle of a transaction.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{OpenFlags, ffi};

use crate::database::{inspect, open, refuse};
use crate::error::{CliError, Result, With};

/// Copies a database.
///
/// # Errors
/// [`CliError::Input`] when there is none, or it cannot be read; [`CliError::Sqlite`], [`CliError::Io`] when the copy
/// cannot be written.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let wal_mode = inspect(from)?;
    if wal_mode && !beside(from, "-shm").exists() {
        copy_files(from, to, "-wal")?;
    } else {
        match back_up(from, to) {
            // Somebody left it in the middle of a transaction, and it is not ours to roll that back.
            Err(error) if code(&error) == Some(ffi::SQLITE_READONLY_ROLLBACK) => {
                fs::remove_file(to).with("removing", to)?;
                copy_files(from, to, "-journal")?;
            }
            copied => copied.map_err(|source| unreadable(from, &source))?,
        }
    }
    match settle(to).map_err(|source| unreadable(from, &source))? {
        Some(problem) => Err(refuse(from, format!("does not pass SQLite's own check: {problem}"))),
        None => Ok(()),
    }
}

fn code(error: &rusqlite::Error) -> Option<i32> {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => Some(failure.extended_code),
        _ => None,
    }
}

fn unreadable(path: &Path, source: &rusqlite::Error) -> CliError {
    let hint = match code(source).map(|code| code & 0xff) {
        Some(ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED) => {
            "is locked by another program; try again when it is done"
        }
        Some(ffi::SQLITE_CORRUPT) => "is damaged",
        Some(ffi::SQLITE_NOTADB) => "is not a SQLite database, or is encrypted",
        _ => "cannot be copied",
    };
    refuse(path, format!("{hint} ({source})"))
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path: OsString = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn back_up(from: &Path, to: &Path) -> rusqlite::Result<()> {
    let source = open(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let writable = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let mut target = open(to, writable | OpenFlags::SQLITE_OPEN_CREATE)?;
    let backup = Backup::new(&source, &mut target)?;
    // All pages at once: under one lock, so that nobody writes in between.
    let primary = match backup.step(-1)? {
        StepResult::Busy => ffi::SQLITE_BUSY,
        StepResult::Locked => ffi::SQLITE_LOCKED,
        _ => return Ok(()),
    };
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(primary), None))
}

/// What tells whether a file was changed.
type Fingerprint = Option<(u64, Option<SystemTime>)>;

fn fingerprint(path: &Path) -> Fingerprint {
    fs::metadata(path).ok().map(|metadata| (metadata.len(), metadata.modified().ok()))
}

/// Copies the files of a database that nobody has open.
fn copy_files(from: &Path, to: &Path, suffix: &str) -> Result<()> {
    let state = || ["", suffix, "-shm"].map(|suffix| fingerprint(&beside(from, suffix)));
    let before = state();
    copy_file(from, to)?;
    if before[1].is_some() {
        copy_file(&beside(from, suffix), &beside(to, suffix))?;
    }
    if state() != before {
        return Err(refuse(from, "was changed by another program while it was copied; try again"));
    }
    Ok(())
}

/// Content only: the copy of a read-only file can be written.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).with("reading", from)?;
    let mut target = File::create_new(to).with("making", to)?;
    io::copy(&mut source, &mut target).map(|_| ()).with("copying to", to)
}

/// Opens the copy once: recovers what was open, checks it, and takes out what an earlier storex has left (its identity
/// belongs to the original, which may be in use). Gives what is wrong with it.
fn settle(copy: &Path) -> rusqlite::Result<Option<String>> {
    let conn = open(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let checked = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    match checked {
        Ok(said) if said == "ok" => {}
        Ok(said) => return Ok(Some(said.replace('\n', " "))),
        Err(error) if code(&error).is_some_and(|code| code & 0xff != ffi::SQLITE_ERROR) => {
            return Err(error);
        }
        // It needs a function or collation that is not there; adopting it tells which tables do.
        Err(error) => tracing::debug!(%error, "SQLite could not check the database"),
    }
    let own: Vec<String> = conn
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_storex\\_%' ESCAPE '\\'",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for table in own {
        conn.execute_batch(&format!("DROP TABLE {}", super::quote(&table)))?;
    }
    conn.close().map_err(|(_, error)| error)?;
    Ok(None)
}

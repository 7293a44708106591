//! A copy of the database while it is used.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use storex_core::{Error, ErrorKind, Result};

use crate::backend::flush_directory;
use crate::config::Config;
use crate::connection;
use crate::error;

/// What a failed backup was about.
const BACKUP: &str = "back up the database";

/// Copies the database as it is at one moment. The file has its name only once it is whole and on the disk.
pub(crate) fn back_up(config: &Config, to: &Path) -> Result<()> {
    let failed = |source| {
        let hint = format!("{}: the copy cannot be written; nothing was left there", to.display());
        error::other(BACKUP, ErrorKind::Io, hint, source)
    };
    if to.try_exists().map_err(failed)? {
        return Err(is_there(to));
    }
    let conn = connection::open_for_backup(config)?;
    let part = Part::beside(to, &own_name(&conn)?).map_err(failed)?;
    copy(&conn, &part.0)?;
    // SQLite does not wait for the disk here.
    flush(&part.0).map_err(failed)?;
    publish(&part.0, to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => is_there(to),
        _ => failed(error),
    })?;
    flush_directory(to).map_err(failed)
}

fn is_there(to: &Path) -> Error {
    let hint = format!("{} is there already, and stays; give another path", to.display());
    error::other(BACKUP, ErrorKind::Invalid, hint, "the file exists")
}

/// Of several backups to one path each has a name of its own until it is whole.
fn own_name(conn: &Connection) -> Result<String> {
    conn.query_row("SELECT lower(hex(randomblob(8)))", [], |row| row.get(0))
        .map_err(|source| error::failed(BACKUP, None, source))
}

fn copy(conn: &Connection, to: &Path) -> Result<()> {
    let Some(path) = to.to_str() else {
        let hint = format!("{}: give a path that is Unicode", to.display());
        return Err(error::other(BACKUP, ErrorKind::Invalid, hint, "the path is not Unicode"));
    };
    let copied = conn.execute("VACUUM INTO ?1", params![path]);
    copied.map(drop).map_err(|source| error::failed(BACKUP, None, source))
}

/// Windows flushes only what is open for writing.
fn flush(file: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.sync_all()
}

/// Gives the copy its name, unless something has it already.
fn publish(part: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(part, to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            // A file cannot have two names here (FAT): an empty one takes the name first.
            OpenOptions::new().write(true).create_new(true).open(to)?;
            fs::rename(part, to).inspect_err(|_| drop(fs::remove_file(to)))
        }
        linked => linked,
    }
}

/// The copy while it is being made: removed when it is given up, and when it has its name.
struct Part(PathBuf);

impl Part {
    fn beside(to: &Path, own_name: &str) -> io::Result<Self> {
        let mut name = to.as_os_str().to_owned();
        name.push(format!(".{own_name}.part"));
        // SQLite writes into a file that is empty.
        OpenOptions::new().write(true).create_new(true).open(&name)?;
        Ok(Self(name.into()))
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, path = %self.0.display(), "what is left of a backup stays");
        }
    }
}

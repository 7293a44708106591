//! The file that a command was given: whether it is a database.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use crate::error::{CliError, Result};

/// The first bytes of every SQLite database that is not empty.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

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

//! A copy of the database while it is used.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::params;
use storex_core::{ErrorKind, Result};

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
        let hint = format!("{} is there already, and stays; give another path", to.display());
        return Err(error::other(BACKUP, ErrorKind::Invalid, hint, "the file exists"));
    }
    let part = Part::beside(to);
    part.remove().map_err(failed)?;
    copy(config, &part.0)?;
    // SQLite does not wait for the disk here.
    File::open(&part.0).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&part.0, to).and_then(|()| flush_directory(to)).map_err(failed)
}

fn copy(config: &Config, to: &Path) -> Result<()> {
    let failed = |source| error::failed(BACKUP, None, source);
    let Some(path) = to.to_str() else {
        let hint = format!("{}: give a path that is Unicode", to.display());
        return Err(error::other(BACKUP, ErrorKind::Invalid, hint, "the path is not Unicode"));
    };
    let conn = connection::open_for_backup(config)?;
    conn.execute("VACUUM INTO ?1", params![path]).map_err(failed)?;
    Ok(())
}

/// The copy while it is being made: removed when it is given up.
struct Part(PathBuf);

impl Part {
    fn beside(to: &Path) -> Self {
        let mut name = to.as_os_str().to_owned();
        name.push(".part");
        Self(name.into())
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

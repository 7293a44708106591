//! `storex backup`: a copy of a database that somebody else has open.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::database::{inspect, refuse};
use crate::error::{Result, With as _};

/// Copies a SQLite database, as it is at one moment, into a file that is not there yet. Whoever writes to it meanwhile goes on. The copy is on
/// the disk when this returns.
///
/// # Errors
/// [`CliError::Input`](crate::CliError::Input) for what is no database, or a copy that is there already; what SQLite and the operating system
/// say otherwise. Nothing is left behind then.
pub fn back_up(from: &Path, to: &Path) -> Result<()> {
    inspect(from)?;
    if to.exists() {
        return Err(refuse(to, "is there already; give the copy a name of its own"));
    }
    let partial = partial(to);
    // Only one makes it: two backups of one name do not write into each other's.
    OpenOptions::new().write(true).create_new(true).open(&partial).with("making", &partial)?;
    let copied = copy(from, &partial).and_then(|()| keep(&partial, to));
    if copied.is_err() {
        // Why it failed is told; that something is left besides says nothing more.
        let _ = fs::remove_file(&partial);
    }
    copied
}

fn partial(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).with("opening", from)?;
    let mut copy = Connection::open(to).with("opening", to)?;
    let backup = Backup::new(&source, &mut copy).with("copying", from)?;
    // In one step, and so of one moment: in write-ahead mode nobody waits for it.
    while backup.step(-1).with("copying", from)? != StepResult::Done {
        std::hint::spin_loop();
    }
    drop(backup);
    // One file: what was the log of the original is in it.
    copy.pragma_update(None, "journal_mode", "DELETE").with("finishing", to)?;
    copy.close().map_err(|(_, error)| error).with("closing", to)
}

fn keep(partial: &Path, to: &Path) -> Result<()> {
    // Windows flushes only what is open for writing.
    let file = OpenOptions::new().write(true).open(partial);
    file.and_then(|file| file.sync_all()).with("writing", partial)?;
    fs::rename(partial, to).with("naming", to)?;
    let folder = to.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Where folders can be opened, the name is made durable too.
    File::open(folder).and_then(|folder| folder.sync_all()).or_else(|error| match cfg!(unix) {
        true => Err(error).with("writing", folder),
        false => Ok(()),
    })
}

//! A lock that the operating system releases when its holder is gone.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::{Result, SyncError};

/// Locks the file; `None`: somebody else has.
pub(super) fn lock(path: &Path) -> Result<Option<File>> {
    let failed = |error: std::io::Error| SyncError::LockFile {
        path: path.display().to_string(),
        reason: error.to_string(),
    };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

//! [`Reread`]: files that may change while the server runs.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use storex_core::Timestamp;

use crate::error::Result;

/// What files hold, which are read again when one of them was changed. While they cannot be read, what they held before counts, and an error
/// is logged.
pub(crate) struct Reread<T, const N: usize> {
    files: [PathBuf; N],
    read: fn(&[PathBuf; N]) -> Result<T>,
    every: Duration,
    state: Mutex<State<T, N>>,
}

struct State<T, const N: usize> {
    held: T,
    changed: [Option<SystemTime>; N],
    looked: Timestamp,
}

impl<T, const N: usize> fmt::Debug for Reread<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread").field("files", &self.files).finish_non_exhaustive()
    }
}

impl<T: Clone, const N: usize> Reread<T, N> {
    /// Reads them, and looks at them again so often.
    pub(crate) fn open(
        files: [PathBuf; N],
        every: Duration,
        now: Timestamp,
        read: fn(&[PathBuf; N]) -> Result<T>,
    ) -> Result<Self> {
        // In this order: what is changed in between is read again.
        let changed = modified(&files);
        let state = State { held: read(&files)?, changed, looked: now };
        Ok(Self { files, read, every, state: Mutex::new(state) })
    }

    /// What they hold.
    pub(crate) fn current(&self, now: Timestamp) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if u128::from(now.0.abs_diff(state.looked.0)) < self.every.as_millis() {
            return state.held.clone();
        }
        state.looked = now;
        let changed = modified(&self.files);
        if changed != state.changed {
            match (self.read)(&self.files) {
                Ok(held) => {
                    tracing::info!(files = ?self.files, "read again");
                    (state.held, state.changed) = (held, changed);
                }
                // One of several may not have been written yet.
                Err(error) => tracing::error!(%error, files = ?self.files, "what they held counts"),
            }
        }
        state.held.clone()
    }
}

fn modified<const N: usize>(files: &[PathBuf; N]) -> [Option<SystemTime>; N] {
    files.each_ref().map(|file| std::fs::metadata(file).and_then(|it| it.modified()).ok())
}

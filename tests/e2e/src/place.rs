//! [`Place`]: the folder of one run, with the databases of three devices and the shared log.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The databases of one run: device A, which the child works on, B and C, and the log that they share.
#[derive(Debug)]
pub struct Place(TempDir);

impl Place {
    /// A new, empty folder. In memory where the system offers that: a killed process leaves the same behind there as on
    /// a disk, and nobody waits for the disk.
    ///
    /// # Panics
    /// When there is no room for a folder.
    #[must_use]
    pub fn new() -> Self {
        let name = "storex-e2e-";
        let in_memory = Path::new("/dev/shm");
        let folder = tempfile::Builder::new().prefix(name).tempdir_in(in_memory);
        Self(folder.or_else(|_| tempfile::Builder::new().prefix(name).tempdir()).expect("a folder"))
    }

    /// A copy of the databases as they are, `-wal` files included. No process may be writing.
    ///
    /// # Panics
    /// When copying fails.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        for entry in fs::read_dir(self.path()).expect("the folder can be read") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // The `-shm` file is an index of the `-wal` file, which is made again.
            if name.ends_with(".db") || name.ends_with(".db-wal") {
                fs::copy(&path, copy.path().join(name)).expect("a copy");
            }
        }
        copy
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Device A.
    #[must_use]
    pub fn a(&self) -> PathBuf {
        self.file("a.db")
    }

    /// Device B.
    #[must_use]
    pub fn b(&self) -> PathBuf {
        self.file("b.db")
    }

    /// Device C.
    #[must_use]
    pub fn c(&self) -> PathBuf {
        self.file("c.db")
    }

    /// The shared log.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.file("shared.db")
    }
}

impl Drop for Place {
    /// What a test has failed on is kept.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

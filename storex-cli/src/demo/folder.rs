//! [`Folder`]: where the demo's databases are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{CliError, Result, With};

/// Where the demo's databases are: in a folder that stays, or in one that is gone when this value is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

/// What SQLite puts beside a database.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

impl Folder {
    /// A folder of the system's for temporary files.
    ///
    /// # Errors
    /// [`CliError::Io`].
    pub fn temporary() -> Result<Self> {
        let made = tempfile::Builder::new().prefix("storex-demo-").tempdir();
        let temporary = made.with("making a temporary folder in", &std::env::temp_dir())?;
        Ok(Self { path: temporary.path().to_path_buf(), temporary: Some(temporary) })
    }

    /// This folder; it is made when it is not there.
    ///
    /// # Errors
    /// [`CliError::Folder`] when the databases are there already or the path is no folder, [`CliError::Io`].
    pub fn kept(path: &Path) -> Result<Self> {
        let refuse = |reason: String| CliError::Folder { path: path.to_path_buf(), reason };
        match fs::create_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(refuse("is there already and is no folder".to_owned()));
            }
            made => made.with("making the folder", path)?,
        }
        let folder = Self { path: path.to_path_buf(), temporary: None };
        // A link that points nowhere is there too.
        let there = folder.files().into_iter().find(|file| file.symlink_metadata().is_ok());
        match there {
            Some(file) => Err(refuse(format!(
                "{} is there already; give an empty folder",
                file.file_name().unwrap_or_default().display()
            ))),
            None => Ok(folder),
        }
    }

    /// The folder, if it stays.
    #[must_use]
    pub fn stays(&self) -> Option<&Path> {
        self.temporary.is_none().then_some(&*self.path)
    }

    /// Device A's database.
    #[must_use]
    pub fn a(&self) -> PathBuf {
        self.path.join("a.db")
    }

    /// Device B's database.
    #[must_use]
    pub fn b(&self) -> PathBuf {
        self.path.join("b.db")
    }

    /// The shared log.
    #[must_use]
    pub fn shared_log(&self) -> PathBuf {
        self.path.join("shared-log.db")
    }

    /// Removes the folder unless it stays: for a program that ends while the demo is still running in it.
    pub fn remove_if_temporary(&self) {
        if self.temporary.is_some()
            && let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %self.path.display(), "could not be removed");
        }
    }

    /// Removes what was begun.
    pub(crate) fn clear(&self) {
        for file in self.files() {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, file = %file.display(), "could not be removed");
                }
                _ => {}
            }
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let databases = [self.a(), self.b(), self.shared_log()];
        databases
            .iter()
            .flat_map(|database| {
                BESIDE.iter().map(|suffix| {
                    let mut file = database.as_os_str().to_owned();
                    file.push(suffix);
                    PathBuf::from(file)
                })
            })
            .collect()
    }
}

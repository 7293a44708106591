//! [`SqliteStore`]: a server on its own, with everything in one file.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use storex_core::{Runtime, Timestamp};
use storex_sqlite::SqliteBackend;
use storex_sync::{BlobStore, SharedSyncLog};

use super::backend::failed_while;
use super::{BackendStore, DeviceId, DeviceInfo, Store};
use crate::error::{Result, ServerError};
use crate::user::User;

/// The logs, blobs and devices of all users in one SQLite file: for a server on its own. What is acknowledged is on the disk.
///
/// One server has the file at a time: beside it lies a file `<path>-lock`, whose lock the operating system releases as soon as the server is
/// gone, however that came. It must be on a local disk. A server that was killed goes on where it was.
///
/// ```
/// # use std::sync::Arc;
/// use storex_core::{Timestamp, TokioRuntime};
/// use storex_server::{SqliteStore, Store, User};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("server.db");
/// let store = SqliteStore::open(&path, Arc::new(TokioRuntime)).await?;
/// let ada = User::new("ada")?;
/// store.note_device(&ada, [1; 16], Some("Ada's phone"), Timestamp(0)).await?;
/// store.back_up_to(dir.path().join("backup.db")).await?;
/// assert!(SqliteStore::open(&path, Arc::new(TokioRuntime)).await.is_err(), "it is in use");
/// store.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    store: BackendStore,
    backend: Arc<SqliteBackend>,
    /// Held while the store is there.
    _lock: File,
}

impl SqliteStore {
    /// Opens the file, and makes it when it is not there (but not its folder).
    ///
    /// # Errors
    /// [`ServerError::Store`]: another server has it, it is no database of ours, or it cannot be read and written.
    pub async fn open(path: impl Into<PathBuf>, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let path = path.into();
        // By its own name, so that one who comes by a link finds the same lock.
        let path = path.canonicalize().unwrap_or(path);
        let lock = lock(&path)?;
        let backend = SqliteBackend::open(path).map_err(failed_while(OPENING))?;
        let backend = Arc::new(backend);
        let store = BackendStore::open(Arc::clone(&backend), runtime).await?;
        Ok(Self { store, backend, _lock: lock })
    }

    /// The logs and devices without the file.
    #[must_use]
    pub fn store(&self) -> &BackendStore {
        &self.store
    }

    /// Removes everything of a user, as [`BackendStore::remove_user`] does.
    ///
    /// # Errors
    /// [`ServerError::Log`], [`ServerError::Store`]; some of it may be left then: call it again.
    pub async fn remove_user(&self, user: &User) -> Result<()> {
        self.store.remove_user(user).await
    }

    /// Copies everything, as it is at one moment, into a file that is not there yet, while the server goes on. It is on the
    /// disk when this returns, and may be opened in the place of the original.
    ///
    /// # Errors
    /// [`ServerError::Store`]: there is a file of this name already, or the copy cannot be written; nothing is left behind then.
    pub async fn back_up_to(&self, to: impl Into<PathBuf>) -> Result<()> {
        self.backend.back_up_to(to).await.map_err(failed_while("backing up the database"))
    }

    /// Finishes what is being written and closes the file.
    ///
    /// # Errors
    /// [`ServerError::Store`].
    pub async fn close(self) -> Result<()> {
        self.store.close().await
    }
}

/// What a failed opening was about.
const OPENING: &str = "opening the database";

fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let failed = |reason: String| ServerError::Store { during: OPENING, reason, retryable: false };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&name);
    let at = || Path::new(&name).display();
    let file = file.map_err(|error| failed(format!("the lock file {}: {error}", at())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(failed(format!(
            "another server uses {} (it holds the lock on {}): stop it first, or give this one a file of its own; \
             for several servers on one database use PostgreSQL",
            path.display(),
            at()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(format!("the lock file {}: {error}", at()))),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn log(&self, user: &User) -> Result<Arc<dyn SharedSyncLog>> {
        self.store.log(user).await
    }

    async fn blobs(&self, user: &User) -> Result<Arc<dyn BlobStore>> {
        self.store.blobs(user).await
    }

    async fn drop_unfinished_blobs(&self, before: Timestamp) -> Result<u64> {
        self.store.drop_unfinished_blobs(before).await
    }

    async fn devices(&self, user: &User) -> Result<Vec<DeviceInfo>> {
        self.store.devices(user).await
    }

    async fn note_device(
        &self,
        user: &User,
        device: DeviceId,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<DeviceInfo> {
        self.store.note_device(user, device, name, now).await
    }

    async fn revoke(&self, user: &User, device: DeviceId, now: Timestamp) -> Result<()> {
        self.store.revoke(user, device, now).await
    }

    async fn ready(&self) -> Result<()> {
        self.store.ready().await
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

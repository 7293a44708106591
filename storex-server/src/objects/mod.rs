//! [`Objects`]: blobs and the pages of snapshots in an object store, beside any [`Store`].
//!
//! ```text
//! users/<user>/blobs/…                                     as ObjectBlobStore has them
//! users/<user>/snapshots/<maker>-<incarnation>-<number>/<page>
//! ```
//!
//! `<user>` is the SHA-256 of the user's name in hexadecimal digits: whatever a name has in it, no user's objects are under another's.

mod before;
mod blobs;
mod log;
mod store;

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use storex_core::{ErrorKind, Runtime};
use storex_sync::object_store::local::LocalFileSystem;
use storex_sync::object_store::path::Path;
use storex_sync::object_store::prefix::PrefixStore;
use storex_sync::object_store::{Error, ObjectStore};
use storex_sync::{BlobStore, SharedSyncLog, SyncError};

use self::before::BlobsBefore;
use self::blobs::UserBlobs;
use self::log::ObjectPagesLog;
use self::store::BesideObjects;
use crate::error::{Result, ServerError};
use crate::store::Store;
use crate::user::User;

/// An object store that servers keep large things in: blobs, and the pages of snapshots. All servers of a [`Store`] need the same.
///
/// ```
/// # use std::sync::Arc;
/// use storex_server::{Objects, User};
///
/// # fn example(runtime: Arc<dyn storex_core::Runtime>) -> Result<(), storex_server::ServerError> {
/// # let folder = std::env::temp_dir().join("storex-objects-example");
/// let objects = Objects::in_folder(&folder, runtime)?;
/// let blobs = objects.blobs(&User::new("ada@example.org")?);
/// # drop(blobs); Ok(()) }
/// ```
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    runtime: Arc<dyn Runtime>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("store", &self.store).finish()
    }
}

impl Objects {
    /// In a store of objects: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage, as the crate `object_store`
    /// builds them. For a part of a bucket, give a [`PrefixStore`].
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, runtime: Arc<dyn Runtime>) -> Self {
        Self { store, runtime }
    }

    /// In a folder, which is made when it is not there.
    ///
    /// # Errors
    /// [`ServerError::Store`].
    pub fn in_folder(path: impl AsRef<FilePath>, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |reason: String| ServerError::Store {
            during: "opening the folder of the objects",
            reason: format!("{}: {reason}", path.display()),
            retryable: false,
        };
        std::fs::create_dir_all(path).map_err(|error| failed(error.to_string()))?;
        let folder = LocalFileSystem::new_with_prefix(path);
        let folder = folder.map_err(|error| failed(error.to_string()))?;
        Ok(Self::new(Arc::new(folder.with_fsync(true)), runtime))
    }

    /// The blobs of a user.
    #[must_use]
    pub fn blobs(&self, user: &User) -> Arc<dyn BlobStore> {
        Arc::new(UserBlobs::new(self.of(user)))
    }

    fn blobs_beside(&self, user: &User, store: Arc<dyn BlobStore>) -> Arc<dyn BlobStore> {
        Arc::new(BlobsBefore::new(self.blobs(user), store))
    }

    /// The same store, with what is large in objects: blobs, and the pages of snapshots. Which pages there are, and which snapshot is published,
    /// stays in the store.
    ///
    /// Blobs and snapshots that the store has from before are read from there. What nobody has finished of a blob in objects stays.
    #[must_use]
    pub fn beside(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(BesideObjects::new(store, self.clone()))
    }

    fn log(&self, user: &User, log: Arc<dyn SharedSyncLog>) -> Arc<dyn SharedSyncLog> {
        Arc::new(ObjectPagesLog::new(log, self.of(user), Arc::clone(&self.runtime)))
    }

    /// What is a user's, under their prefix.
    fn of(&self, user: &User) -> Arc<dyn ObjectStore> {
        let digest = Sha256::digest(user.as_str().as_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Arc::new(PrefixStore::new(Arc::clone(&self.store), Path::from(format!("users/{name}"))))
    }
}

/// What a failure of the object store is to a device.
fn failed(during: &'static str, error: &Error) -> SyncError {
    match error {
        // The server's credentials, not the device's.
        Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => {
            lasting(during, &error.to_string())
        }
        error => SyncError::Transport { during, reason: error.to_string() },
    }
}

fn lasting(during: &'static str, reason: &str) -> SyncError {
    let message = format!("{during} failed: {reason}");
    SyncError::Elsewhere { kind: ErrorKind::Io, retryable: false, message, source: None }
}

//! [`Store`]: where a server keeps the logs and blobs of its users.

mod backend;
mod blob_rows;
mod blobs;
#[cfg(feature = "postgres")]
mod postgres;
mod rows;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use backend::BackendStore;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use storex_core::Timestamp;
use storex_sync::{BlobStore, SharedSyncLog};
use tokio::sync::broadcast;

use crate::error::Result;
use crate::user::User;

/// What names a device in the directory: that of [`Device`](storex_sync::Device), whatever its incarnation.
pub type DeviceId = [u8; 16];

/// Where a server keeps the logs and blobs of its users, and the directory of their devices.
///
/// Several servers may share one store, if it says so. Every method may be dropped while it waits, and called again.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The log of a user, which is made when it is first asked for. Its `changed` costs nothing while there is no news, and
    /// hears of what other servers of this store have appended.
    ///
    /// # Errors
    /// [`ServerError::Log`](crate::ServerError::Log), [`ServerError::Store`](crate::ServerError::Store).
    async fn log(&self, user: &User) -> Result<Arc<dyn SharedSyncLog>>;

    /// The blobs of a user. What there is of one is known to all servers of this store.
    ///
    /// # Errors
    /// [`ServerError::Log`](crate::ServerError::Log), [`ServerError::Store`](crate::ServerError::Store).
    async fn blobs(&self, user: &User) -> Result<Arc<dyn BlobStore>>;

    /// Drops what is there of blobs, of all users, that are not whole and that nobody has sent anything of since then. Tells how many they
    /// were. This default leaves them.
    ///
    /// # Errors
    /// [`ServerError::Store`](crate::ServerError::Store).
    async fn drop_unfinished_blobs(&self, before: Timestamp) -> Result<u64> {
        let _ = before;
        Ok(0)
    }

    /// The devices of a user, in the order in which they came.
    ///
    /// # Errors
    /// [`ServerError::Store`](crate::ServerError::Store).
    async fn devices(&self, user: &User) -> Result<Vec<DeviceInfo>>;

    /// Notes that a device was here, and what people call it if that is given. Tells what is known of it: one that was revoked
    /// stays so. That it was seen is written once a minute at most.
    ///
    /// # Errors
    /// [`ServerError::Store`](crate::ServerError::Store).
    async fn note_device(
        &self,
        user: &User,
        device: DeviceId,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<DeviceInfo>;

    /// Shuts a device out for good; once more does nothing. One that never came is noted as revoked.
    ///
    /// # Errors
    /// [`ServerError::Store`](crate::ServerError::Store).
    async fn revoke(&self, user: &User, device: DeviceId, now: Timestamp) -> Result<()>;

    /// Devices that are shut out from now on, by whichever server of this store; who lags behind asks
    /// [`note_device`](Self::note_device). `None`, which is what this default gives: only this server does it.
    fn revocations(&self) -> Option<broadcast::Receiver<(User, DeviceId)>> {
        None
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`ServerError::Store`](crate::ServerError::Store).
    async fn ready(&self) -> Result<()>;

    /// Finishes what is being written and closes what is open, when no server uses it any more. This default has nothing to close.
    ///
    /// # Errors
    /// [`ServerError::Store`](crate::ServerError::Store).
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// What a server knows of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Which one.
    pub id: DeviceId,
    /// What people call it; empty: it was not told.
    pub name: String,
    /// When it first came.
    pub registered_at: Timestamp,
    /// When it last came, give or take a minute.
    pub last_seen: Timestamp,
    /// When it was shut out.
    pub revoked_at: Option<Timestamp>,
}

//! [`PostgresStore`]: many servers on one PostgreSQL database.

mod accounts;
mod address;
mod appending;
mod blobs;
mod database;
mod devices;
mod failure;
mod keys;
mod log;
mod members;
mod migrations;
mod news;
mod options;
mod reading;
mod rows;
mod snapshots;
mod tls;

use std::sync::Arc;

use async_trait::async_trait;
use storex_core::{Runtime, Timestamp};
use storex_sync::{BlobStore, SharedSyncLog};
use tokio::sync::{broadcast, watch};

use self::blobs::{PostgresBlobs, drop_unfinished};
use self::database::Database;
use self::log::PostgresLog;
use self::news::Hub;
pub use self::options::PostgresOptions;
use super::{DeviceId, DeviceInfo, Store};
use crate::error::Result;
use crate::user::User;

/// The logs, blobs and devices of all users in a PostgreSQL database (13 or later), which any number of servers may share.
///
/// It makes its tables itself, in a schema `storex`, and brings older ones to the version that it knows. What one server appends, the
/// others hear of at once. When the database is away, everything fails with errors that are
/// [retryable](crate::ServerError::is_retryable), and goes on when it is there again.
///
/// ```no_run
/// use std::sync::Arc;
/// use storex_core::Runtime;
/// use storex_server::{PostgresOptions, PostgresStore, Store, User};
///
/// # async fn example(runtime: Arc<dyn Runtime>) -> Result<(), Box<dyn std::error::Error>> {
/// let options = PostgresOptions::new("postgresql://storex@localhost/storex")?;
/// let store = PostgresStore::open(&options, runtime).await?;
/// let log = store.log(&User::new("ada@example.org")?).await?;
/// # drop(log); Ok(()) }
/// ```
#[derive(Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

/// What the store and its logs work with.
#[derive(Debug)]
struct Shared {
    database: Database,
    hub: Arc<Hub>,
    /// Whoever listens for news stops when it is dropped.
    _open: watch::Sender<()>,
}

impl PostgresStore {
    /// Connects, makes or updates the tables, and begins to listen for news. Dropped before it returns, it may have updated the tables.
    ///
    /// The runtime runs the task that listens, which ends when the store and all of its logs are dropped; it has to be tokio's.
    ///
    /// # Errors
    /// [`ServerError::Store`](crate::ServerError::Store): the database cannot be reached, or not be used; or a newer server has changed
    /// its tables to a version that this one does not know.
    pub async fn open(options: &PostgresOptions, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let tls = options.tls()?;
        let database = Database::new(options, tls.clone(), Arc::clone(&runtime))?;
        {
            let session = database.session("preparing the tables of the database").await?;
            migrations::migrate(&session).await?;
        }
        let hub = Arc::new(Hub::default());
        let (open, closed) = watch::channel(());
        news::start((options.config(), tls), &hub, closed, &runtime).await?;
        let shared = Shared { database, hub, _open: open };
        Ok(Self { shared: Arc::new(shared) })
    }

    async fn account(&self, user: &User, during: &'static str) -> Result<i64> {
        Ok(self.shared.database.account(user, during).await?)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn log(&self, user: &User) -> Result<Arc<dyn SharedSyncLog>> {
        let account = self.account(user, "opening the log of a user").await?;
        Ok(Arc::new(PostgresLog { shared: Arc::clone(&self.shared), account }))
    }

    async fn blobs(&self, user: &User) -> Result<Arc<dyn BlobStore>> {
        let account = self.account(user, "opening the blobs of a user").await?;
        Ok(Arc::new(PostgresBlobs { shared: Arc::clone(&self.shared), account }))
    }

    async fn drop_unfinished_blobs(&self, before: Timestamp) -> Result<u64> {
        Ok(drop_unfinished(&self.shared.database, before).await?)
    }

    async fn devices(&self, user: &User) -> Result<Vec<DeviceInfo>> {
        let during = "listing the devices";
        let account = self.account(user, during).await?;
        Ok(devices::list(&self.shared.database.session(during).await?, account).await?)
    }

    async fn note_device(
        &self,
        user: &User,
        device: DeviceId,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<DeviceInfo> {
        let during = "noting a device";
        let account = self.account(user, during).await?;
        let session = self.shared.database.session(during).await?;
        Ok(devices::note(&session, account, device, name, now).await?)
    }

    async fn revoke(&self, user: &User, device: DeviceId, now: Timestamp) -> Result<()> {
        let during = "revoking a device";
        let account = self.account(user, during).await?;
        let session = self.shared.database.session(during).await?;
        devices::revoke(&session, account, device, now).await?;
        Ok(news::tell_revoked(&session, user, device).await?)
    }

    fn revocations(&self) -> Option<broadcast::Receiver<(User, DeviceId)>> {
        Some(self.shared.hub.revocations.subscribe())
    }

    async fn ready(&self) -> Result<()> {
        let session = self.shared.database.session("asking whether the database is there").await?;
        session.ask("SELECT max(version) FROM storex.version", &[]).await?;
        Ok(())
    }
}

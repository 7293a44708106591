//! [`BackendStore`]: the logs, blobs and devices of all users in one storex database.

use std::sync::Arc;

use async_trait::async_trait;
use storex_core::{
    Backend, Batch, Definition, Error, OnConflict, Registry, Runtime, Step, Storage, Timestamp,
    Trace, describe,
};
use storex_sync::{BackendSharedLogs, BlobStore, SharedSyncLog};

use super::blob_rows;
use super::blobs::{BackendBlobs, drop_unfinished, remove_all};
use super::rows::{self, DEVICES, DeviceRow};
use super::{DeviceId, DeviceInfo, Store};
use crate::error::{Result, ServerError};
use crate::user::User;

/// How old a note that a device was seen may be, in milliseconds.
const FRESH: i64 = 60_000;

/// The logs, blobs and devices of all users in one storex database, in memory for example; a server that keeps them in a file
/// wants a lock and backups beside that, which `SqliteStore` has.
///
/// ```
/// # use std::sync::Arc;
/// use storex_memory::{MemoryBackend, TestRuntime};
/// use storex_server::{BackendStore, Store, User};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = BackendStore::open(MemoryBackend::new(), Arc::new(TestRuntime::new(1))).await?;
/// assert_eq!(store.devices(&User::new("ada")?).await?, []);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct BackendStore {
    storage: Storage,
    logs: BackendSharedLogs,
}

/// What a change of the directory makes of what is known of a device; `None`: it stays.
type Change = Arc<dyn Fn(Option<&DeviceInfo>) -> Option<DeviceInfo> + Send + Sync>;

impl BackendStore {
    /// The collections that it keeps everything in, for a registry of your own.
    #[must_use]
    pub fn collections() -> Vec<Definition> {
        let mut collections = BackendSharedLogs::collections();
        collections.push(rows::definition());
        collections.extend(blob_rows::definitions());
        collections
    }

    /// Opens it in a database of its own.
    ///
    /// # Errors
    /// [`ServerError::Store`]: what the backend refuses with.
    pub async fn open(backend: impl Backend, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let failed = failed_while("opening the database");
        let registry = Registry::builder().collections(Self::collections()).build();
        let registry = registry.map_err(failed)?;
        let storage = Storage::builder(backend, registry, runtime).open().await.map_err(failed)?;
        let logs = BackendSharedLogs::over(&storage)?;
        logs.finish_removals().await?;
        Ok(Self { storage, logs })
    }

    /// The logs, by the names of the users: to list them. What a user who has gone leaves behind is removed by
    /// [`remove_user`](Self::remove_user).
    #[must_use]
    pub fn logs(&self) -> &BackendSharedLogs {
        &self.logs
    }

    /// Removes everything of a user: the log with its snapshot and keys, the blobs, the devices. One of whom nothing is there is passed over.
    ///
    /// First see to it that no token of this user is accepted any more, and that none is connected: a device that comes again makes a new
    /// log, and those that were shut out are not known any more. What `Objects` keeps of the user stays there.
    ///
    /// It is deleted in pieces, so that others write meanwhile. Dropped while it waits, some of it is left; called again, it goes on.
    ///
    /// # Errors
    /// [`ServerError::Log`], [`ServerError::Store`]; some of it may be left then: call it again.
    pub async fn remove_user(&self, user: &User) -> Result<()> {
        let failed = failed_while("removing a user");
        self.logs.remove(user.as_str()).await?;
        remove_all(&self.storage, user).await.map_err(failed)?;
        // Last: until then whoever was shut out stays so.
        loop {
            let found = self.storage.find(rows::find_some(user)).await.map_err(failed)?;
            if found.is_empty() {
                return Ok(());
            }
            let delete = Batch::new().step(rows::delete(&found));
            self.storage.execute(delete).await.map_err(failed)?;
        }
    }

    /// Closes the database.
    ///
    /// # Errors
    /// [`ServerError::Store`].
    pub async fn close(&self) -> Result<()> {
        self.storage.close().await.map_err(failed_while("closing the database"))
    }

    async fn known(&self, user: &User, device: DeviceId) -> storex_core::Result<Option<DeviceRow>> {
        let rows = self.storage.find(rows::find(user, device)).await?;
        rows.first().map(read).transpose()
    }

    /// In one transaction, so that two at once both count.
    async fn change(&self, user: &User, device: DeviceId, to: Change) -> storex_core::Result<()> {
        let look = Batch::new()
            .find(rows::find_last(user))
            .find(rows::find(user, device))
            .touching([DEVICES]);
        let user = user.clone();
        let decide = move |trace: &Trace| {
            let known = trace.found(0).first().map(read).transpose()?;
            let last = trace.found(1).first().map(read).transpose()?;
            let Some(info) = to(known.as_ref().map(|known| &known.info)) else {
                return Ok(Vec::new());
            };
            let next = last.map_or(1, |last| last.came.saturating_add(1));
            let row = DeviceRow { came: known.map_or(next, |known| known.came), info };
            Ok(vec![Step::create_or(DEVICES, vec![row.record(&user)], OnConflict::Replace)])
        };
        self.storage.execute(look.then(decide)).await.map(|_| ())
    }

    async fn note(
        &self,
        user: &User,
        device: DeviceId,
        name: Option<&str>,
        now: Timestamp,
    ) -> storex_core::Result<DeviceInfo> {
        if let Some(known) = self.known(user, device).await? {
            let is_named = name.is_none_or(|name| name == known.info.name);
            if is_named && now.0.saturating_sub(known.info.last_seen.0) < FRESH {
                return Ok(known.info);
            }
        }
        let name = name.map(str::to_owned);
        let noted = move |known: Option<&DeviceInfo>| {
            let mut info = known.cloned().unwrap_or_else(|| came(device, now));
            info.last_seen = info.last_seen.max(now);
            if let Some(name) = &name {
                info.name.clone_from(name);
            }
            Some(info)
        };
        self.change(user, device, Arc::new(noted)).await?;
        let known = self.known(user, device).await?;
        known.map(|known| known.info).ok_or_else(wrong)
    }
}

/// A device that comes for the first time.
fn came(id: DeviceId, now: Timestamp) -> DeviceInfo {
    let name = String::new();
    DeviceInfo { id, name, registered_at: now, last_seen: now, revoked_at: None }
}

fn read(row: &storex_core::Record) -> storex_core::Result<DeviceRow> {
    DeviceRow::read(row).ok_or_else(wrong)
}

fn wrong() -> Error {
    Error::Aborted { reason: "a row of the directory has the wrong types".to_owned() }
}

/// What the database says, as an error of ours.
pub(super) fn failed_while(during: &'static str) -> impl Fn(Error) -> ServerError + Copy {
    move |error| ServerError::Store {
        during,
        retryable: error.is_retryable(),
        reason: describe(&error),
    }
}

#[async_trait]
impl Store for BackendStore {
    async fn log(&self, user: &User) -> Result<Arc<dyn SharedSyncLog>> {
        Ok(Arc::new(self.logs.log(user.as_str())))
    }

    async fn blobs(&self, user: &User) -> Result<Arc<dyn BlobStore>> {
        Ok(Arc::new(BackendBlobs::new(&self.storage, user)))
    }

    async fn drop_unfinished_blobs(&self, before: Timestamp) -> Result<u64> {
        let dropped = drop_unfinished(&self.storage, before).await;
        dropped.map_err(failed_while("dropping blobs that nobody has finished"))
    }

    async fn devices(&self, user: &User) -> Result<Vec<DeviceInfo>> {
        let failed = failed_while("listing the devices");
        let rows = self.storage.find(rows::find_all(user)).await.map_err(failed)?;
        rows.iter().map(|row| read(row).map(|row| row.info).map_err(failed)).collect()
    }

    async fn note_device(
        &self,
        user: &User,
        device: DeviceId,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<DeviceInfo> {
        self.note(user, device, name, now).await.map_err(failed_while("noting a device"))
    }

    async fn revoke(&self, user: &User, device: DeviceId, now: Timestamp) -> Result<()> {
        let revoked = move |known: Option<&DeviceInfo>| {
            let known = known.cloned().unwrap_or_else(|| came(device, now));
            match known.revoked_at {
                Some(_) => None,
                None => Some(DeviceInfo { revoked_at: Some(now), ..known }),
            }
        };
        let changed = self.change(user, device, Arc::new(revoked)).await;
        changed.map_err(failed_while("revoking a device"))
    }

    async fn ready(&self) -> Result<()> {
        let nobody = storex_core::Query::new(DEVICES).limit(1).select(["came"]);
        let asked = self.storage.find(nobody).await;
        asked.map(drop).map_err(failed_while("asking whether the database is there"))
    }

    async fn close(&self) -> Result<()> {
        Self::close(self).await
    }
}

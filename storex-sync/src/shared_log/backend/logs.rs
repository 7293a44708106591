//! [`BackendSharedLogs`]: many shared logs in one database.

use std::sync::Arc;

use storex_core::{
    Backend, Definition, Direction, Error, Filter, Name, Query, Registry, Runtime, Storage, Value,
    field,
};

use super::BackendSharedLog;
use super::removing::removed;
use super::rows::{IDENTITY, collections, wrong};
use crate::error::{During, Result};

/// How many removals are looked for at once.
const LISTED_AT_ONCE: u64 = 100;

/// Many shared logs, each with a name, in one storex database: those of a server's users, say.
///
/// Each is a log of its own. Positions count per log, so a cursor tells nothing of the others, and news of one wake nobody who waits for
/// another ([`changed`](crate::SharedSyncLog::changed)), unless another process has written. Several processes may use one SQLite file at
/// once. Names are compared byte by byte.
///
/// A log is made when a device registers with it, appends to it or reads it for the first time; from then on it keeps its
/// identity.
///
/// ```
/// # use std::sync::Arc;
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// use storex_sync::{BackendSharedLogs, Device, SharedSyncLog};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Arc::new(TestRuntime::new(1));
/// let logs = BackendSharedLogs::open(MemoryBackend::new(), runtime).await?;
/// let phone = Device { id: [1; 16], incarnation: 0 };
/// let (ada, bob) = (logs.log("ada"), logs.log("bob"));
/// assert_ne!(ada.register(phone).await?, bob.register(phone).await?);
/// assert_eq!(logs.names(None, 100).await?, ["ada", "bob"]);
/// # Ok(()) }
/// ```
///
/// With collections of your own beside them, in one database:
///
/// ```
/// # use std::sync::Arc;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// use storex_sync::BackendSharedLogs;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let account = Definition::new("account").field("email", FieldType::String);
/// let registry = Registry::builder()
///     .collection(account)
///     .collections(BackendSharedLogs::collections())
///     .build()?;
/// let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
///     .open()
///     .await?;
/// let logs = BackendSharedLogs::over(&storage)?;
/// # assert_eq!(logs.names(None, 100).await?, [""; 0]);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct BackendSharedLogs {
    storage: Storage,
}

impl BackendSharedLogs {
    /// The collections that the logs are in, for a registry of your own.
    ///
    /// They are of version 1, and their names begin with `shared_`. What is added to them is optional and needs nothing of you: a database of
    /// before gets it when it is opened. (In a SQLite file such a column stands behind the others, the transactions among them, so that
    /// reading sizes ahead takes longer there than in one that is made now.) Any other change comes with a new version, and with migrations
    /// that you are told of.
    #[must_use]
    pub fn collections() -> Vec<Definition> {
        collections()
    }

    /// Opens the logs in a database of their own, and [finishes removals](Self::finish_removals) that were cut short.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage): what the backend refuses with. A database in which storex kept a single log
    /// before there were names is refused with [`Error::SchemaMismatch`], and stays as it is.
    pub async fn open(backend: impl Backend, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let during = "opening the shared logs";
        let registry = Registry::builder().collections(collections()).build().during(during)?;
        let storage = Storage::builder(backend, registry, runtime).open().await.during(during)?;
        let logs = Self { storage };
        logs.finish_removals().await?;
        Ok(logs)
    }

    /// The logs in a storage whose registry has [their collections](Self::collections), beside others. Nothing is read yet: call
    /// [`finish_removals`](Self::finish_removals) once.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage) with [`Error::UnknownCollection`] where one is missing, and with
    /// [`Error::SchemaMismatch`] where it is another one.
    pub fn over(storage: &Storage) -> Result<Self> {
        check(storage.registry()).during("opening the shared logs")?;
        Ok(Self { storage: storage.clone() })
    }

    /// The log of this name. Nothing is read or written yet.
    #[must_use]
    pub fn log(&self, name: impl Into<Name>) -> BackendSharedLog {
        BackendSharedLog { storage: self.storage.clone(), name: name.into() }
    }

    /// The names of the logs that were made, in the order of their bytes: those that follow `after`, up to so many. One that is being removed
    /// is not among them.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn names(&self, after: Option<&str>, limit: u64) -> Result<Vec<String>> {
        let there = removed().negate();
        let filter = match after {
            Some(after) => there.and(field("name").gt(after)),
            None => there,
        };
        self.names_of(filter, limit).await
    }

    async fn names_of(&self, filter: Filter, limit: u64) -> Result<Vec<String>> {
        let query = Query::new(IDENTITY).filter(filter).order_by("name", Direction::Ascending);
        let rows = self.storage.find(query.limit(limit).select(["name"])).await;
        let name = |value: Option<Value>| match value {
            Some(Value::Text(name)) => Ok(name),
            _ => Err(wrong()),
        };
        let rows = rows.during("listing the shared logs")?.into_iter();
        rows.map(|row| name(row.into_values().pop())).collect()
    }

    /// Removes a log with all that is in it. Under its name there may be another one later; who was at this one is told so
    /// ([`SyncError::LogReplaced`](crate::SyncError::LogReplaced)). One that was never made is passed over.
    ///
    /// For everybody it is gone at once; what was in it is deleted in pieces, so that others write meanwhile. Dropped while it waits, the
    /// removal is finished by whoever removes it again, comes to the log of this name, or [opens](Self::open) the logs.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage); it is whole then, or gone and not yet deleted.
    pub async fn remove(&self, name: &str) -> Result<()> {
        self.log(name).remove().await
    }

    /// Deletes what is left of logs whose removal was cut short, in pieces. It looks at the names of all logs, and may be dropped while it waits,
    /// and called again.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn finish_removals(&self) -> Result<()> {
        loop {
            let names = self.names_of(removed(), LISTED_AT_ONCE).await?;
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                self.log(name).finish_removal().await?;
            }
        }
    }

    /// Closes the database.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn close(&self) -> Result<()> {
        self.storage.close().await.during("closing the shared logs")
    }
}

/// Whether the collections of a registry are ours.
fn check(registry: &Registry) -> storex_core::Result<()> {
    let ours = Registry::builder().collections(collections()).build()?;
    for our in ours.collections() {
        let there = registry.collection(our.name())?;
        let fields = |of: &storex_core::Collection| -> Vec<_> {
            of.fields().iter().map(|it| (Name::clone(&it.name), it.field_type.clone())).collect()
        };
        if fields(there) != fields(our) || there.primary_key() != our.primary_key() {
            return Err(Error::SchemaMismatch {
                collection: Name::clone(our.name()),
                reason: "it is not the one of `BackendSharedLogs::collections`".to_owned(),
            });
        }
    }
    Ok(())
}

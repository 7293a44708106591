//! [`ConflictJournal`]: reading the journal, and forgetting.

use storex_core::{Batch, Direction, Filter, Key, Name, Query, Step, Value, field};

use super::row::read;
use super::{CONFLICTS, ConflictId, NotedConflict};
use crate::apply::Replica;
use crate::error::{During, Result};
use crate::key_code;
use crate::lane::Lane;

/// The conflicts that this database has noted: what was lost when two devices had written at once.
///
/// Each device notes what it merges itself; the journal is not sent. What is put back is a write like any other and reaches
/// all devices.
///
/// ```
/// # use std::sync::Arc;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// use serde_json::json;
/// use storex_sync::{ConflictJournal, ConflictQuery, LogId, MemorySharedLog, Sync, SyncLog};
///
/// # async fn device(seed: u64) -> Storage {
/// #     let note = Definition::new("note").field("title", FieldType::String);
/// #     let registry = Registry::builder().collection(note).build().unwrap();
/// #     Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(seed)))
/// #         .middleware(SyncLog::new()).open().await.unwrap()
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (a, b) = (device(1).await, device(2).await); // two storages with a `SyncLog`
/// let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
/// let (sync_a, sync_b) = (Sync::open(&a, log.clone()).await?, Sync::open(&b, log).await?);
/// a.dynamic("note")?.create(json!({"id": "1", "title": "Hello"})).await?;
/// sync_a.sync_once().await?;
/// sync_b.sync_once().await?;
///
/// // Both edit the same field, and neither has seen the other's edit.
/// a.dynamic("note")?.update(&json!({}), &json!({"title": "from A"})).await?;
/// b.dynamic("note")?.update(&json!({}), &json!({"title": "from B"})).await?;
/// sync_a.sync_once().await?;
/// sync_b.sync_once().await?;
///
/// let journal = ConflictJournal::open(&b).await?;
/// let noted = journal.list(&ConflictQuery::new().collection("note")).await?;
/// let (won, lost) = (&noted[0].conflict.won, &noted[0].conflict.lost);
/// assert_ne!(won.content, lost.content);
///
/// journal.undo(noted[0].id).await?;
/// let title = &b.dynamic("note")?.find(&json!({})).await?[0]["title"];
/// assert_eq!(lost.content.value().and_then(|value| value.as_text()), title.as_str());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ConflictJournal {
    pub(super) replica: Replica,
}

/// Which conflicts [`ConflictJournal::list`] gives: at first the newest hundred.
#[derive(Debug, Clone, PartialEq)]
pub struct ConflictQuery {
    pub(crate) collection: Option<Name>,
    pub(crate) key: Option<Key>,
    pub(crate) before: Option<ConflictId>,
    pub(crate) limit: u64,
}

impl Default for ConflictQuery {
    fn default() -> Self {
        Self { collection: None, key: None, before: None, limit: 100 }
    }
}

impl ConflictQuery {
    /// The newest hundred.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those of a collection.
    #[must_use]
    pub fn collection(mut self, collection: impl Into<Name>) -> Self {
        self.collection = Some(collection.into());
        self
    }

    /// Only those of an object.
    #[must_use]
    pub fn object(mut self, collection: impl Into<Name>, key: Key) -> Self {
        self.key = Some(key);
        self.collection(collection)
    }

    /// Only older ones: the next page follows the last conflict of this one.
    #[must_use]
    pub fn before(mut self, conflict: ConflictId) -> Self {
        self.before = Some(conflict);
        self
    }

    /// So many at most.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    fn filter(&self) -> Filter {
        let collection = self.collection.as_ref().map(|name| field("collection").eq(&**name));
        let object = self.key.as_ref().map(|key| key_code::encode(key.values()));
        let object = object.map(|code| field("object").eq(Value::Bytes(code)));
        let before = self.before.map(|before| field("number").lt(number(before)));
        Filter::And([collection, object, before].into_iter().flatten().collect())
    }
}

pub(super) fn number(id: ConflictId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

pub(super) fn key(id: ConflictId) -> Filter {
    Filter::Keys(vec![Key::single(number(id))])
}

impl ConflictJournal {
    /// The journal of a storage that has a [`SyncLog`](crate::SyncLog).
    ///
    /// # Errors
    /// [`SyncError::NoSyncLog`](crate::SyncError::NoSyncLog), [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn open(storage: impl Into<Lane>) -> Result<Self> {
        Ok(Self { replica: Replica::open(storage.into()).await? })
    }

    pub(crate) fn of(replica: Replica) -> Self {
        Self { replica }
    }

    /// Conflicts, the newest first.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage), [`SyncError::Corrupt`](crate::SyncError::Corrupt).
    pub async fn list(&self, which: &ConflictQuery) -> Result<Vec<NotedConflict>> {
        let query = Query::new(CONFLICTS)
            .filter(which.filter())
            .order_by("number", Direction::Descending)
            .limit(which.limit);
        let rows = self.replica.storage.find(query).await.during("reading the conflicts")?;
        rows.iter().map(read).collect()
    }

    /// One of them, if it is there.
    ///
    /// # Errors
    /// As [`ConflictJournal::list`].
    pub async fn get(&self, conflict: ConflictId) -> Result<Option<NotedConflict>> {
        let query = Query::new(CONFLICTS).filter(key(conflict));
        let rows = self.replica.storage.find(query).await.during("reading a conflict")?;
        rows.first().map(read).transpose()
    }

    /// Takes a conflict out of the journal: what has won is right. One that is not there is no error.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn forget(&self, conflict: ConflictId) -> Result<()> {
        self.delete(key(conflict)).await
    }

    /// Takes all conflicts out of the journal.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn forget_all(&self) -> Result<()> {
        self.delete(Filter::All).await
    }

    async fn delete(&self, filter: Filter) -> Result<()> {
        let delete = Step::Delete { collection: CONFLICTS.into(), filter };
        let deleted = self.replica.storage.apply(Batch::new().step(delete)).await;
        deleted.during("forgetting conflicts").map(drop)
    }
}

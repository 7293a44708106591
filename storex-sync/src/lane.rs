//! [`Lane`]: one of the independent streams of a storage.
//!
//! ```text
//!   SyncLog::new().lane("bulk", ["photo"])
//!
//!   note, label ──▶ _storex_log       ──▶ Sync::open(&storage, log)
//!   photo       ──▶ _storex_log_bulk  ──▶ Sync::open(&Lane::named(&storage, "bulk")?, other_log)
//! ```
//!
//! The engine knows nothing of lanes: it works on the reserved collections by their usual names, and everything that it does
//! passes here, where they get the names of the lane.

use std::sync::Arc;

use storex_core::{
    Batch, BatchOutcome, ChangeStream, Collection, ErrorKind, Name, Query, Record, Registry,
    Runtime, Step, Storage, StorageSnapshot, Trace,
};

use crate::before::BEFORE;
use crate::error::{Result, SyncError};
use crate::journal::CONFLICTS;
use crate::log::{CLOCK, LOG};
use crate::meta::META;
use crate::parked::PARKED;
use crate::rejected::REJECTED;

/// The collections of which each lane has its own.
const OWN: [&str; 7] = [META, LOG, CLOCK, BEFORE, PARKED, REJECTED, CONFLICTS];

/// One of the independent streams in which a storage is kept in step: some of its collections, with a log, a place in a shared
/// log, a lock and a status of their own, so that none has to wait for another. Where no lanes are made there is one, and a
/// `&Storage` stands for it.
///
/// A lane is made by [`SyncLog::lane`](crate::SyncLog::lane). Whatever works on a storage in this crate works on a lane.
/// Cheap to clone.
///
/// ```
/// # use std::sync::Arc;
/// # use serde_json::json;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// use storex_sync::{Lane, LogId, MemorySharedLog, Sync, SyncLog};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let note = Definition::new("note").field("id", FieldType::Text).primary_key(["id"]);
/// # let photo = Definition::new("photo").field("id", FieldType::Text).primary_key(["id"]);
/// # let registry = Registry::builder().collections([note, photo]).build()?;
/// let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
///     .middleware(SyncLog::new().lane("bulk", ["photo"]))
///     .open()
///     .await?;
/// storage.dynamic("photo")?.create(json!({"id": "1"})).await?;
///
/// let urgent = Sync::open(&storage, Arc::new(MemorySharedLog::new(LogId([1; 16])))).await?;
/// let bulk = Lane::named(&storage, "bulk")?;
/// let bulk = Sync::open(&bulk, Arc::new(MemorySharedLog::new(LogId([2; 16])))).await?;
/// assert_eq!((urgent.unsent().await?, bulk.unsent().await?), (0, 1));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Lane {
    storage: Storage,
    names: Names,
    /// Where it is read from, if not from what is there now.
    snapshot: Option<Arc<StorageSnapshot>>,
}

impl From<&Storage> for Lane {
    fn from(storage: &Storage) -> Self {
        Self { storage: storage.clone(), names: Names::default(), snapshot: None }
    }
}

impl From<&Self> for Lane {
    fn from(lane: &Self) -> Self {
        lane.clone()
    }
}

impl Lane {
    /// The lane of this name.
    ///
    /// # Errors
    /// [`SyncError::UnknownLane`] when the storage's [`SyncLog`](crate::SyncLog) has none of this name.
    pub fn named(storage: &Storage, name: &str) -> Result<Self> {
        let names = Names::of(name);
        if storage.registry().find(&names.own(META)).is_none() {
            return Err(SyncError::UnknownLane { lane: name.into() });
        }
        Ok(Self { storage: storage.clone(), names, snapshot: None })
    }

    /// Its name; none for the one that is there without being made.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.names.lane()
    }

    /// The storage that it is a lane of.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The other lanes of the storage.
    pub(crate) fn others(&self) -> impl Iterator<Item = Self> {
        let reserved = self.registry().collections().iter().filter(|it| it.is_reserved());
        let all = reserved.filter_map(|it| match it.name().strip_prefix(META)? {
            "" => Some(Names::default()),
            rest => rest.strip_prefix('_').map(Names::of),
        });
        let others = all.filter(|names| names.lane() != self.name());
        others.map(|names| Self { names, snapshot: None, storage: self.storage.clone() })
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        self.storage.registry()
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        self.storage.runtime()
    }

    /// The schema of one of the lane's own collections.
    pub(crate) fn collection(&self, name: &str) -> Result<&Arc<Collection>> {
        self.registry().find(&self.names.own(name)).ok_or(SyncError::NoSyncLog)
    }

    /// Whether a step is about this collection of the lane's own.
    pub(crate) fn is_about(&self, step: &Step, own: &str) -> bool {
        step.collection().is_some_and(|it| *it == self.names.own(own))
    }

    /// A step with the lane's names, for a batch that is about several lanes.
    pub(crate) fn own_step(&self, step: Step) -> Step {
        match self.names.lane() {
            Some(_) => self.names.step(step),
            None => step,
        }
    }

    /// The lane as it is now: all that is found and counted is of this moment. `None`: the database has no snapshots.
    pub(crate) async fn snapshot(&self) -> storex_core::Result<Option<Self>> {
        match self.storage.snapshot().await {
            Ok(snapshot) => Ok(Some(Self { snapshot: Some(Arc::new(snapshot)), ..self.clone() })),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether all that is found is of one moment.
    pub(crate) fn is_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    pub(crate) async fn find(&self, query: Query) -> storex_core::Result<Vec<Record>> {
        let query = self.names.query(query);
        match &self.snapshot {
            Some(snapshot) => snapshot.find(query).await,
            None => self.storage.find(query).await,
        }
    }

    pub(crate) async fn count(&self, query: Query) -> storex_core::Result<u64> {
        let query = self.names.query(query);
        match &self.snapshot {
            Some(snapshot) => snapshot.count(query).await,
            None => self.storage.count(query).await,
        }
    }

    /// See [`Storage::apply`]: past the middleware.
    pub(crate) async fn apply(&self, batch: Batch) -> storex_core::Result<BatchOutcome> {
        self.storage.apply(self.names.batch(batch)).await
    }

    /// See [`Storage::execute`]: a write of this device, which is logged.
    pub(crate) async fn execute(&self, batch: Batch) -> storex_core::Result<BatchOutcome> {
        self.storage.execute(self.names.batch(batch)).await
    }

    pub(crate) async fn flush(&self) -> storex_core::Result<()> {
        self.storage.flush().await
    }

    pub(crate) fn changes(&self) -> ChangeStream {
        self.storage.changes()
    }
}

/// What the reserved collections are called in a lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    lane: Option<Name>,
}

impl Names {
    pub(crate) fn of(lane: &str) -> Self {
        Self { lane: Some(lane.into()) }
    }

    pub(crate) fn lane(&self) -> Option<&str> {
        self.lane.as_deref()
    }

    /// The name of a collection; those that are not a lane's own have the same in each.
    pub(crate) fn own(&self, collection: &str) -> Name {
        match &self.lane {
            Some(lane) if OWN.contains(&collection) => format!("{collection}_{lane}").into(),
            _ => collection.into(),
        }
    }

    fn rename(&self, name: &mut Name) {
        if OWN.contains(&&**name) {
            *name = self.own(name);
        }
    }

    pub(crate) fn query(&self, mut query: Query) -> Query {
        if self.lane.is_some() {
            self.rename(&mut query.collection);
        }
        query
    }

    pub(crate) fn batch(&self, mut batch: Batch) -> Batch {
        if self.lane.is_some() {
            batch.steps = self.steps(std::mem::take(&mut batch.steps));
            batch.touching.iter_mut().for_each(|name| self.rename(name));
        }
        batch
    }

    /// Steps with the lane's names, and those of their continuations too.
    pub(crate) fn steps(&self, steps: Vec<Step>) -> Vec<Step> {
        if self.lane.is_none() {
            return steps;
        }
        steps.into_iter().map(|step| self.step(step)).collect()
    }

    fn step(&self, mut step: Step) -> Step {
        match &mut step {
            Step::Create(create) => self.rename(&mut create.collection),
            Step::Update { collection, .. } | Step::Delete { collection, .. } => {
                self.rename(collection);
            }
            Step::Find(query) | Step::Count(query) | Step::Require { query, .. } => {
                self.rename(&mut query.collection);
            }
            Step::Then(continuation) => {
                let (names, inner) = (self.clone(), continuation.clone());
                return Step::then(move |trace: &Trace| Ok(names.steps(inner.call(trace)?)));
            }
            // A step of a kind that sync does not make.
            _ => {}
        }
        step
    }
}

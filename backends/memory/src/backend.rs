//! [`MemoryBackend`]: collections as ordered maps behind one lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use storex_core::{
    Backend, Batch, BatchOutcome, BatchRun, Capabilities, Changes, Collection, Create, Error,
    Filter, Index, Key, Name, OnConflict, Query, Record, Registry, Result, Snapshot, Step,
    StepOutcome, Value, apply_changes, finish_query,
};

/// Keeps everything in memory. What was written is gone with the value.
///
/// It is the oracle of every other backend: whatever they do differently is their mistake.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    registry: Option<Arc<Registry>>,
    /// A table that a snapshot has too is copied when it is written next.
    tables: HashMap<Name, Arc<Table>>,
    /// Gone when it is closed.
    opened: Arc<()>,
}

#[derive(Debug, Default, Clone)]
struct Table {
    records: BTreeMap<Key, Record>,
    /// Per unique index (its place in the collection's list): who has these values.
    unique: HashMap<usize, BTreeMap<Key, Key>>,
}

/// How to take a change back.
struct Undo {
    collection: Arc<Collection>,
    key: Key,
    before: Option<Record>,
}

/// Takes back what was done when it goes without a commit: after an error, and after a panic of a continuation.
struct Transaction<'a> {
    state: &'a mut State,
    undo: Vec<Undo>,
}

impl Transaction<'_> {
    fn commit(mut self) {
        self.undo.clear();
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        for change in self.undo.drain(..).rev() {
            self.state.put_back(change);
        }
    }
}

impl MemoryBackend {
    /// An empty database.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of everything, as of a file that is copied or restored: what is written to one of the two is not in the other.
    #[must_use]
    pub fn copied(&self) -> Self {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Self { state: Mutex::new(state.copied()) }
    }

    fn lock(&self) -> Result<(MutexGuard<'_, State>, Arc<Registry>)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = state.registry.clone().ok_or(Error::Closed)?;
        Ok((state, registry))
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Backend for MemoryBackend {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().snapshots()
    }

    async fn open(&self, registry: Arc<Registry>) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for collection in registry.collections() {
            state.tables.entry(Name::clone(collection.name())).or_default();
        }
        state.registry = Some(registry);
        Ok(())
    }

    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        if query.filter.has_related() {
            return Ok(self.execute(Batch::new().find(query)).await?.into_found());
        }
        let (state, registry) = self.lock()?;
        state.find(registry.collection(&query.collection)?, &query)
    }

    async fn count(&self, query: Query) -> Result<u64> {
        if query.filter.has_related() {
            return Ok(self.execute(Batch::new().step(Step::Count(query))).await?.into_counted());
        }
        let (state, registry) = self.lock()?;
        Ok(state.find(registry.collection(&query.collection)?, &query)?.len() as u64)
    }

    async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        let (mut state, registry) = self.lock()?;
        let mut run = BatchRun::new(registry, batch);
        let mut transaction = Transaction { state: &mut state, undo: Vec::new() };
        transaction.state.run(&mut run, &mut transaction.undo)?;
        transaction.commit();
        Ok(run.finish())
    }

    async fn flush(&self) -> Result<()> {
        self.lock().map(|_| ())
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        let (state, _) = self.lock()?;
        let opened = Arc::downgrade(&state.opened);
        Ok(Box::new(MemorySnapshot { opened, copy: Self { state: Mutex::new(state.copied()) } }))
    }

    async fn close(&self) -> Result<()> {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
        Ok(())
    }
}

/// What was here at one moment.
#[derive(Debug)]
struct MemorySnapshot {
    opened: Weak<()>,
    copy: MemoryBackend,
}

impl MemorySnapshot {
    fn copy(&self) -> Result<&MemoryBackend> {
        if self.opened.strong_count() == 0 { Err(Error::Closed) } else { Ok(&self.copy) }
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Snapshot for MemorySnapshot {
    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        self.copy()?.find(query).await
    }

    async fn count(&self, query: Query) -> Result<u64> {
        self.copy()?.count(query).await
    }
}

impl State {
    fn copied(&self) -> Self {
        let (registry, tables) = (self.registry.clone(), self.tables.clone());
        Self { registry, tables, opened: Arc::default() }
    }

    fn run(&mut self, run: &mut BatchRun, undo: &mut Vec<Undo>) -> Result<()> {
        let registry = Arc::clone(run.registry());
        while let Some(step) = run.next_step()? {
            let outcome = match step {
                Step::Create(create) => self.create(&registry, create, undo)?,
                Step::Update { collection, filter, changes } => {
                    self.update(registry.collection(collection)?, filter, changes, undo)?
                }
                Step::Delete { collection, filter } => {
                    self.delete(registry.collection(collection)?, filter, undo)?
                }
                Step::Find(query) => {
                    StepOutcome::Found(self.find(registry.collection(&query.collection)?, query)?)
                }
                Step::Count(query) => {
                    let found = self.find(registry.collection(&query.collection)?, query)?;
                    StepOutcome::Counted(found.len() as u64)
                }
                other => {
                    let what = format!("the step {other:?}");
                    return Err(Error::Unsupported { backend: "memory", what });
                }
            };
            run.record(outcome)?;
        }
        Ok(())
    }

    fn table(&mut self, collection: &Collection) -> &mut Table {
        Arc::make_mut(self.tables.entry(Name::clone(collection.name())).or_default())
    }

    fn find(&self, collection: &Arc<Collection>, query: &Query) -> Result<Vec<Record>> {
        let Some(table) = self.tables.get(collection.name()) else { return Ok(Vec::new()) };
        Ok(finish_query(query, collection, table.matching(collection, &query.filter)))
    }

    fn create(
        &mut self,
        registry: &Registry,
        create: &Create,
        undo: &mut Vec<Undo>,
    ) -> Result<StepOutcome> {
        let collection = registry.collection(&create.collection)?;
        let mut skipped = Vec::new();
        for (at, record) in create.records.iter().enumerate() {
            let key = collection.key_of(record);
            let exists = self.table(collection).records.contains_key(&key);
            match create.on_conflict {
                OnConflict::Fail if exists => {
                    return Err(Error::AlreadyExists {
                        collection: Name::clone(collection.name()),
                        key: key.to_string(),
                    });
                }
                OnConflict::Skip if exists => skipped.push(at),
                _ => self.put(collection, key, Some(record.clone()), undo)?,
            }
        }
        Ok(StepOutcome::Created { skipped })
    }

    fn update(
        &mut self,
        collection: &Arc<Collection>,
        filter: &Filter,
        changes: &Changes,
        undo: &mut Vec<Undo>,
    ) -> Result<StepOutcome> {
        let mut keys = Vec::new();
        let mut after = Vec::new();
        let mut unchanged = Vec::new();
        for mut record in self.table(collection).matching(collection, filter) {
            let key = collection.key_of(&record);
            let idle = apply_changes(collection, changes, &mut record)?;
            unchanged.extend(idle.into_iter().map(|field| (keys.len(), field)));
            if changes.tells_objects() {
                after.push(record.clone());
            }
            self.put(collection, key.clone(), Some(record), undo)?;
            keys.push(key);
        }
        Ok(StepOutcome::Updated { keys, records: after, unchanged })
    }

    fn delete(
        &mut self,
        collection: &Arc<Collection>,
        filter: &Filter,
        undo: &mut Vec<Undo>,
    ) -> Result<StepOutcome> {
        let mut keys = Vec::new();
        for record in self.table(collection).matching(collection, filter) {
            let key = collection.key_of(&record);
            self.put(collection, key.clone(), None, undo)?;
            keys.push(key);
        }
        Ok(StepOutcome::Deleted { keys })
    }

    fn put(
        &mut self,
        collection: &Arc<Collection>,
        key: Key,
        record: Option<Record>,
        undo: &mut Vec<Undo>,
    ) -> Result<()> {
        let table = self.table(collection);
        if let Some(record) = &record {
            table.check_unique(collection, &key, record)?;
        }
        let before = table.replace(collection, &key, record);
        undo.push(Undo { collection: Arc::clone(collection), key, before });
        Ok(())
    }

    fn put_back(&mut self, change: Undo) {
        self.table(&change.collection).replace(&change.collection, &change.key, change.before);
    }
}

impl Table {
    /// The records that the filter matches: in the order of the keys for a filter of keys, else by key.
    fn matching(&self, collection: &Collection, filter: &Filter) -> Vec<Record> {
        match filter {
            Filter::Keys(keys) => {
                keys.iter().filter_map(|key| self.records.get(key)).cloned().collect()
            }
            filter => self
                .records
                .values()
                .filter(|record| filter.matches(collection, record))
                .cloned()
                .collect(),
        }
    }

    fn check_unique(&self, collection: &Collection, key: &Key, record: &Record) -> Result<()> {
        for (n, index) in collection.indices().iter().enumerate().filter(|(_, index)| index.unique)
        {
            let Some(values) = indexed(index, record) else { continue };
            let holder = self.unique.get(&n).and_then(|holders| holders.get(&values));
            if holder.is_some_and(|holder| holder != key) {
                return Err(Error::UniqueViolation {
                    collection: Name::clone(collection.name()),
                    index: collection.index_label(index),
                    values: index.fields.iter().map(|at| record.get(*at).clone()).collect(),
                });
            }
        }
        Ok(())
    }

    fn replace(
        &mut self,
        collection: &Collection,
        key: &Key,
        record: Option<Record>,
    ) -> Option<Record> {
        let before = self.records.remove(key);
        for (n, index) in collection.indices().iter().enumerate().filter(|(_, index)| index.unique)
        {
            let holders = self.unique.entry(n).or_default();
            if let Some(values) = before.as_ref().and_then(|before| indexed(index, before)) {
                holders.remove(&values);
            }
            if let Some(values) = record.as_ref().and_then(|record| indexed(index, record)) {
                holders.insert(values, key.clone());
            }
        }
        if let Some(record) = record {
            self.records.insert(key.clone(), record);
        }
        before
    }
}

/// The values that an index compares; none where one of them is null.
fn indexed(index: &Index, record: &Record) -> Option<Key> {
    let values: Vec<Value> = index.fields.iter().map(|at| record.get(*at).clone()).collect();
    if values.iter().any(Value::is_null) { None } else { Some(Key::compound(values)) }
}

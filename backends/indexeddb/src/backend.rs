//! [`IndexedDbBackend`]: the backend as the rest of storex sees it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use async_trait::async_trait;
use storex_core::{
    Aggregation, Backend, Batch, BatchOutcome, BatchRun, Capabilities, ChangeSet, ChangeSink,
    Error, ErrorKind, Plan, Query, Record, Registry, Result, Step, StoredSchema,
};

use crate::aggregate;
use crate::config::{Config, Durability, IndexedDbBuilder};
use crate::connect::{self, Opened, connect};
use crate::counter::Counter;
use crate::error::{self, BACKEND};
use crate::identity::{self, DatabaseId, OWN};
use crate::layout::{self, Store, Stores};
use crate::news::{Audience, News};
use crate::raw::{
    self, Closed, Connection, DatabaseInfo, DeleteError, DomError, Mode, Transaction,
};
use crate::read::Reading;
use crate::schema::{self, Target};
use crate::write::{Writing, unknown_step};

/// Keeps collections in an IndexedDB database of the browser.
///
/// Several tabs and workers may use one database at the same time. Each is told over a `BroadcastChannel` what the others commit, a
/// few milliseconds later ([`Storage::changes`](storex_core::Storage::changes)); where the browser has none, by a count in the database that they
/// have committed something.
///
/// ```no_run
/// # fn main() -> storex_core::Result<()> {
/// use storex_indexeddb::{Durability, IndexedDbBackend};
///
/// let backend = IndexedDbBackend::builder("notes").durability(Durability::Strict).build()?;
/// # let _ = backend; Ok(()) }
/// ```
pub struct IndexedDbBackend {
    config: Config,
    audience: Audience,
    running: RefCell<Option<Rc<Running>>>,
}

/// The databases of this origin, in no order.
///
/// # Errors
/// [`Error::Backend`] where the browser is too old to tell, or nothing may be stored.
pub async fn databases() -> Result<Vec<DatabaseInfo>> {
    raw::databases().await.map_err(|source| error::failed("list the databases", None, source))
}

impl fmt::Debug for IndexedDbBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexedDbBackend").field("name", &self.config.name).finish_non_exhaustive()
    }
}

/// What there is between `open` and `close`.
pub(crate) struct Running {
    config: Config,
    target: Target,
    identity: DatabaseId,
    made: bool,
    /// Whether the storage was closed: no other connection is opened then.
    closed: Cell<bool>,
    connection: RefCell<Rc<Connection>>,
    /// `None`: there is no way to other tabs, or it is closed.
    pub(crate) news: RefCell<Option<News>>,
    pub(crate) counter: Counter,
}

impl IndexedDbBackend {
    /// A backend on the database of this name, with the defaults of [`IndexedDbBackend::builder`]. Nothing happens before
    /// [`Backend::open`].
    ///
    /// # Errors
    /// As [`IndexedDbBuilder::build`].
    pub fn open(name: impl Into<String>) -> Result<Self> {
        Self::builder(name).build()
    }

    /// Begins a backend on the database of this name: relaxed durability, five seconds of patience with other tabs.
    pub fn builder(name: impl Into<String>) -> IndexedDbBuilder {
        IndexedDbBuilder::new(name.into())
    }

    pub(crate) fn with(config: Config) -> Result<Self> {
        if config.name.is_empty() {
            return Err(error::other(
                "open the database",
                ErrorKind::Invalid,
                "its name is empty; give one",
                "no name",
            ));
        }
        Ok(Self { config, audience: Audience::default(), running: RefCell::new(None) })
    }

    /// The database's name.
    #[must_use]
    pub fn database_name(&self) -> &str {
        &self.config.name
    }

    /// Which database this is; `None` while it is closed. It was drawn when the database was made: one that the browser has
    /// evicted comes back with another.
    #[must_use]
    pub fn identity(&self) -> Option<DatabaseId> {
        self.running.borrow().as_ref().map(|running| running.identity)
    }

    /// Whether the database was not there before it was opened this time.
    #[must_use]
    pub fn was_made(&self) -> bool {
        self.running.borrow().as_ref().is_some_and(|running| running.made)
    }

    /// Closes the database and deletes it, **with everything in it**. One that is not there is deleted already.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when other tabs hold it open and do not close it in time; it is deleted when they do.
    pub async fn delete(&self) -> Result<()> {
        self.close().await?;
        let (runtime, timeout) = (Arc::clone(&self.config.runtime), self.config.blocked_timeout);
        let deleted = raw::delete(&self.config.name, async move || runtime.sleep(timeout).await);
        deleted.await.map_err(|error| match error {
            DeleteError::Blocked => error::other(
                "delete the database",
                ErrorKind::Busy,
                format!(
                    "another tab holds `{}` open; it is deleted when that tab is closed",
                    self.config.name
                ),
                "blocked",
            ),
            DeleteError::Failed(source) => error::failed("delete the database", None, source),
        })
    }

    fn target(&self, registry: Arc<Registry>) -> Target {
        let mut fresh = [0; 16];
        self.config.runtime.fill_random(&mut fresh);
        Target { stores: Rc::new(Store::all(&registry)), registry, fresh: DatabaseId(fresh) }
    }

    fn running(&self) -> Result<Rc<Running>> {
        self.running.borrow().clone().ok_or(Error::Closed)
    }
}

#[async_trait(?Send)]
impl Backend for IndexedDbBackend {
    fn name(&self) -> &'static str {
        BACKEND
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().persistent()
    }

    async fn open(&self, registry: Arc<Registry>) -> Result<()> {
        self.close().await?;
        let target = self.target(registry);
        let Opened { connection, identity, made } =
            connect(&self.config, &target, self.config.expected).await?;
        let Config { name, runtime, .. } = &self.config;
        let news = News::open(name, &target.stores, &self.audience, runtime);
        let running = Running {
            config: self.config.clone(),
            target,
            identity,
            made,
            closed: Cell::new(false),
            connection: RefCell::new(Rc::new(connection)),
            counter: Counter::default(),
            news: RefCell::new(news),
        };
        if running.news.borrow().is_none() {
            // Others notice by it that somebody is here who needs it; if it cannot be written now, by the first commit.
            if let Err(error) = running.begin_to_count().await {
                tracing::debug!(%error, "commits are not counted yet");
            }
        }
        *self.running.borrow_mut() = Some(Rc::new(running));
        Ok(())
    }

    async fn plan(&self, registry: Arc<Registry>) -> Result<Plan> {
        let target = self.target(registry);
        let existing = raw::open_existing(&self.config.name).await.map_err(schema::refused)?;
        match existing {
            None => storex_core::plan(&StoredSchema::default(), &target.registry),
            Some(connection) => {
                let plan = schema::look(&connection, &target).await.map(|look| look.plan);
                connection.close();
                plan
            }
        }
    }

    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        if query.filter.has_related() {
            return Ok(self.execute(Batch::new().find(query)).await?.into_found());
        }
        let running = self.running()?;
        let store = layout::store(running.stores(), &query.collection)?;
        let transaction = running.begin(&[&*store.name], Mode::ReadOnly, "read").await?;
        Reading::new(&transaction, &store)?.find(&query).await
    }

    async fn count(&self, query: Query) -> Result<u64> {
        if query.filter.has_related() {
            return Ok(self.execute(Batch::new().step(Step::Count(query))).await?.into_counted());
        }
        let running = self.running()?;
        let store = layout::store(running.stores(), &query.collection)?;
        let transaction = running.begin(&[&*store.name], Mode::ReadOnly, "read").await?;
        Reading::new(&transaction, &store)?.count(&query).await
    }

    async fn aggregate(
        &self,
        aggregation: Aggregation,
        _registry: &Registry,
    ) -> Result<Vec<Record>> {
        let running = self.running()?;
        layout::store(running.stores(), &aggregation.collection)?;
        let run = aggregate::run(&running.target.registry, &aggregation);
        let stores = running.stores_of(&run);
        let names: Vec<&str> = stores.iter().map(|store| &*store.name).collect();
        let transaction = running.begin(&names, Mode::ReadOnly, "aggregate").await?;
        aggregate::aggregate(&transaction, running.stores(), run, aggregation).await
    }

    async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        let running = self.running()?;
        let (mode, origin) = (mode(&batch), batch.origin);
        let mut run = BatchRun::new(Arc::clone(&running.target.registry), batch);
        let stores = running.stores_of(&run);
        if stores.is_empty() {
            return without_transaction(run);
        }
        let mut names: Vec<&str> = stores.iter().map(|store| &*store.name).collect();
        let is_news =
            mode == Mode::ReadWrite && stores.iter().any(|store| !store.collection.is_reserved());
        let counts = is_news && running.counter.counts();
        names.extend(counts.then_some(OWN));
        let transaction = running.begin(&names, mode, "execute a batch").await?;
        tracing::trace!(target: "storex::step", step = "indexeddb.begun");
        let ran = Writing::new(&transaction, running.stores()).run(&mut run).await;
        if let Err(error) = ran {
            let error = real_reason(error, &transaction);
            transaction.abort();
            return Err(error);
        }
        tracing::trace!(target: "storex::step", step = "indexeddb.before_commit");
        let outcome = run.finish();
        let set =
            is_news.then(|| ChangeSet::of(&running.target.registry, origin, &outcome)).flatten();
        let committed = running.commit(transaction, set, counts).await;
        committed.map_err(|source| error::failed("commit a batch", None, source))?;
        Ok(outcome)
    }

    async fn flush(&self) -> Result<()> {
        let running = self.running()?;
        let failed = |source| error::failed("flush", None, source);
        // A strict commit waits for the disk, and the disk has then what was committed before it.
        let transaction =
            running.begin_with(&[OWN], Mode::ReadWrite, Durability::Strict, "flush").await?;
        identity::touch(&transaction.store(OWN).map_err(failed)?).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    async fn data_version(&self) -> Result<Option<u64>> {
        self.running()?.counted_by_others().await.map(Some)
    }

    fn tell_changes(&self, to: ChangeSink) {
        *self.audience.borrow_mut() = Some(to);
    }

    async fn close(&self) -> Result<()> {
        let running = self.running.borrow_mut().take();
        if let Some(running) = running {
            running.closed.set(true);
            let connection = Rc::clone(&running.connection.borrow());
            running.settle(&connection).await;
            connection.close();
            running.news.take();
        }
        Ok(())
    }
}

impl Running {
    fn stores(&self) -> &Stores {
        &self.target.stores
    }

    /// The stores that a batch may touch.
    fn stores_of(&self, run: &BatchRun) -> Vec<Arc<Store>> {
        run.collections().filter_map(|name| self.stores().get(name).map(Arc::clone)).collect()
    }

    /// Begins a transaction of the configured durability.
    pub(crate) async fn begin(
        &self,
        stores: &[&str],
        mode: Mode,
        operation: &'static str,
    ) -> Result<Transaction> {
        self.begin_with(stores, mode, self.config.durability, operation).await
    }

    /// Begins a transaction, over a new connection if the browser has lost the old one.
    async fn begin_with(
        &self,
        stores: &[&str],
        mode: Mode,
        durability: Durability,
        operation: &'static str,
    ) -> Result<Transaction> {
        let durability = match durability {
            Durability::Relaxed => raw::Durability::Relaxed,
            Durability::Strict => raw::Durability::Strict,
        };
        let connection = self.connected().await?;
        let begin = |connection: &Connection| {
            Transaction::begin(connection.database(), stores.iter().copied(), mode, durability)
        };
        match begin(&connection) {
            Err(source) if error::is_connection_lost(&source) => {
                tracing::warn!(%source, "the connection to the database is lost; opening another");
                let connection = self.reconnect().await?;
                begin(&connection).map_err(|source| error::failed(operation, None, source))
            }
            result => result.map_err(|source| error::failed(operation, None, source)),
        }
    }

    /// Waits for the batches that run: a transaction over the same stores comes after them.
    async fn settle(&self, connection: &Connection) {
        let names = self.stores().values().map(|store| &*store.name).chain([OWN]);
        let durability = raw::Durability::Default;
        let after = Transaction::begin(connection.database(), names, Mode::ReadOnly, durability);
        // A connection that is gone has nothing running.
        if let Ok(after) = after {
            let _ = after.commit().await;
        }
    }

    /// The connection, opened anew if the browser has closed it.
    async fn connected(&self) -> Result<Rc<Connection>> {
        let connection = Rc::clone(&self.connection.borrow());
        match connection.why_closed() {
            None => Ok(connection),
            Some(Closed::ByBrowser) => self.reconnect().await,
            Some(Closed::ByUs) => Err(Error::Closed),
            Some(Closed::VersionChange { new_version }) => Err(error::other(
                "use the database",
                ErrorKind::Closed,
                match new_version {
                    Some(_) => {
                        "another tab has upgraded it; load the newer program, or open the storage again"
                    }
                    None => "it was deleted; open the storage again to make a new one",
                },
                "the connection was closed for a change of version",
            )),
        }
    }

    /// Opens the same database once more: an empty one in its place would be taken for lost data.
    async fn reconnect(&self) -> Result<Rc<Connection>> {
        let before = Rc::clone(&self.connection.borrow());
        let taken =
            matches!(before.why_closed(), Some(Closed::ByUs | Closed::VersionChange { .. }));
        if taken || self.closed.get() {
            return Err(Error::Closed);
        }
        let opened = connect::connect(&self.config, &self.target, Some(self.identity)).await?;
        let connection = Rc::new(opened.connection);
        if self.closed.get() {
            // The storage was closed meanwhile; the connection goes with this value.
            return Err(Error::Closed);
        }
        *self.connection.borrow_mut() = Rc::clone(&connection);
        Ok(connection)
    }
}

/// A batch that only reads does not hold up those that write.
fn mode(batch: &Batch) -> Mode {
    let reads = |step: &Step| matches!(step, Step::Find(_) | Step::Count(_) | Step::Require { .. });
    if batch.steps.iter().all(reads) { Mode::ReadOnly } else { Mode::ReadWrite }
}

/// A batch that touches no collection.
fn without_transaction(mut run: BatchRun) -> Result<BatchOutcome> {
    match run.next_step()? {
        None => Ok(run.finish()),
        Some(_) => Err(unknown_step()),
    }
}

/// Why the transaction was given up, where a request only says that it was.
fn real_reason(error: Error, transaction: &Transaction) -> Error {
    match error {
        Error::Backend { backend, operation, collection, kind, hint, source } => {
            let aborted =
                source.downcast_ref::<DomError>().is_some_and(|source| source.is("AbortError"));
            match transaction.failure().filter(|_| aborted) {
                Some(failure) => error::failed(operation, collection.as_ref(), failure),
                None => Error::Backend { backend, operation, collection, kind, hint, source },
            }
        }
        error => error,
    }
}

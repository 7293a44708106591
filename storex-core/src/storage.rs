//! [`Storage`]: what an application holds in its hands.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::aggregate::Aggregation;
use crate::backend::Backend;
use crate::batch::{Batch, Origin};
use crate::change_set::{ChangeSink, Changes, Feed};
use crate::dynamic::DynamicCollection;
use crate::error::Result;
use crate::key_news::KeyNews;
use crate::lifecycle::Lifecycle;
use crate::middleware::{Context, Middleware, Next, OpenContext};
use crate::module::{Extensions, Module, Operations};
use crate::operation::{CustomOperation, Operation, Outcome};
use crate::query::Query;
use crate::record::Record;
use crate::run::BatchOutcome;
use crate::runtime::Runtime;
use crate::schema::{Plan, Registry};
use crate::to_the_end::ToTheEnd;
use crate::typed::{Object, TypedCollection};
use crate::value::{Name, Value};
use crate::watch::Watch;
use serde_json::Value as Json;

/// A database behind its chain of middleware. Cheap to clone; all clones are the same storage.
///
/// ```
/// # use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
/// # let runtime = Arc::new(storex_memory::TestRuntime::new(1));
/// use serde_json::json;
/// use storex_core::{AutoPk, Definition, FieldType, Registry, Storage};
/// use storex_memory::MemoryBackend;
///
/// let registry = Registry::builder()
///     .collection(Definition::new("note").field("title", FieldType::String))
///     .build()?;
/// let storage = Storage::builder(MemoryBackend::new(), registry, runtime)
///     .middleware(AutoPk::new())
///     .open()
///     .await?;
/// let note = storage.dynamic("note")?.create(json!({"title": "Hello"})).await?;
/// assert_eq!(note["id"].as_str().map(str::len), Some(36));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Box<dyn Backend>,
    registry: Arc<Registry>,
    runtime: Arc<dyn Runtime>,
    middleware: Vec<Arc<dyn Middleware>>,
    operations: Operations,
    extensions: Extensions,
    feed: Arc<Feed>,
    watch: Watch,
    lifecycle: Lifecycle,
}

/// A [`Storage`] that goes away when nobody else holds it.
#[derive(Clone)]
pub(crate) struct WeakStorage(Weak<Inner>);

impl WeakStorage {
    pub(crate) fn upgrade(&self) -> Option<Storage> {
        self.0.upgrade().map(|inner| Storage { inner })
    }
}

impl fmt::Debug for WeakStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakStorage")
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("backend", &self.inner.backend.name())
            .field("middleware", &self.inner.middleware)
            .finish_non_exhaustive()
    }
}

/// Puts a [`Storage`] together.
#[derive(Debug)]
pub struct StorageBuilder {
    backend: Box<dyn Backend>,
    registry: Registry,
    runtime: Arc<dyn Runtime>,
    modules: Vec<Module>,
    middleware: Vec<Arc<dyn Middleware>>,
}

impl StorageBuilder {
    /// Adds a middleware further in. The first one added is the outermost: it sees an operation first and its outcome
    /// last.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Adds what a library brings along: collections, their migrations, and operations.
    #[must_use]
    pub fn module(mut self, module: Module) -> Self {
        self.modules.push(module);
        self
    }

    /// What [`StorageBuilder::open`] would change in the database, as a list to read. Changes nothing: no file is made, no
    /// table, no index.
    ///
    /// # Errors
    /// What opening would be refused with, as far as that can be seen without looking at each object.
    pub async fn plan(&self) -> Result<Plan> {
        let mut modules: Vec<Module> = self.modules.clone();
        modules.extend(self.middleware.iter().map(|middleware| middleware.module()));
        self.backend.plan(Arc::new(self.whole_registry(&modules)?)).await
    }

    /// The registry, with what the modules bring along.
    fn whole_registry(&self, modules: &[Module]) -> Result<Registry> {
        let collections = modules.iter().flat_map(Module::definitions);
        let migrations = modules.iter().flat_map(Module::migrations);
        self.registry.with(collections, migrations)
    }

    /// Opens the database, brings it to the schema (see [`Migration`](crate::Migration)), and opens the middleware.
    ///
    /// # Errors
    /// What the backend or a middleware refuses with; the database is then closed again.
    pub async fn open(mut self) -> Result<Storage> {
        let mut modules = std::mem::take(&mut self.modules);
        modules.extend(self.middleware.iter().map(|middleware| middleware.module()));
        let operations = Operations::new(&modules, &*self.backend)?;
        let registry = Arc::new(self.whole_registry(&modules)?);
        self.backend.open(Arc::clone(&registry)).await?;
        let watch = match self.open_middleware(&registry).await {
            Ok(watch) => watch,
            Err(error) => {
                if let Err(closing) = self.backend.close().await {
                    tracing::warn!(error = %closing, "closing after a failed open failed too");
                }
                return Err(error);
            }
        };
        let feed = Arc::new(Feed::new());
        self.backend.tell_changes(ChangeSink::new(&feed));
        Ok(Storage {
            inner: Arc::new(Inner {
                backend: self.backend,
                registry,
                runtime: self.runtime,
                middleware: self.middleware,
                operations,
                extensions: Extensions::of(&modules),
                feed,
                watch,
                lifecycle: Lifecycle::default(),
            }),
        })
    }

    async fn open_middleware(&self, registry: &Arc<Registry>) -> Result<Watch> {
        let cx = OpenContext { backend: &*self.backend, registry, runtime: &self.runtime };
        for middleware in &self.middleware {
            middleware.open(&cx).await?;
        }
        Ok(Watch::new(self.backend.data_version().await?))
    }
}

impl Storage {
    /// Begins a storage over a backend.
    pub fn builder(
        backend: impl Backend,
        registry: Registry,
        runtime: Arc<dyn Runtime>,
    ) -> StorageBuilder {
        StorageBuilder {
            backend: Box::new(backend),
            registry,
            runtime,
            modules: Vec::new(),
            middleware: Vec::new(),
        }
    }

    /// The schema, with the collections that the middleware brought along.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.inner.registry
    }

    /// Time, randomness and tasks.
    #[must_use]
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.inner.runtime
    }

    /// What the backend can do.
    #[must_use]
    pub fn capabilities(&self) -> crate::Capabilities {
        self.backend().capabilities()
    }

    /// The backend's name.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.inner.backend.name()
    }

    /// The typed face of a collection: objects are Rust structs.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`](crate::Error::UnknownCollection).
    pub fn collection<T: Object>(&self) -> Result<TypedCollection<T>> {
        let collection = self.inner.registry.collection(T::COLLECTION)?;
        Ok(TypedCollection::new(self.clone(), Arc::clone(collection)))
    }

    /// The dynamic face of a collection: objects are JSON.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`](crate::Error::UnknownCollection).
    pub fn dynamic(&self, collection: &str) -> Result<DynamicCollection> {
        let collection = self.inner.registry.collection(collection)?;
        Ok(DynamicCollection::new(self.clone(), Arc::clone(collection)))
    }

    /// Sends any operation through the chain.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), what a middleware refuses with, or what the backend fails with.
    pub async fn operation(&self, operation: Operation) -> Result<Outcome> {
        self.check_open()?;
        let inner = &self.inner;
        let mut cx = Context::new(self.clone());
        let outcome = Next::new(&inner.middleware, &*inner.backend).run(&mut cx, operation).await;
        inner.lifecycle.explain(outcome)
    }

    /// Reads objects.
    ///
    /// # Errors
    /// As [`Storage::operation`].
    pub async fn find(&self, query: Query) -> Result<Vec<Record>> {
        self.operation(Operation::Find(query)).await?.into_found()
    }

    /// Counts objects.
    ///
    /// # Errors
    /// As [`Storage::operation`].
    pub async fn count(&self, query: Query) -> Result<u64> {
        self.operation(Operation::Count(query)).await?.into_counted()
    }

    /// What objects come to: counts, least and greatest values, sums, distinct values; see [`Aggregation`].
    ///
    /// # Errors
    /// As [`Storage::operation`]; [`Error::InvalidValue`](crate::Error::InvalidValue) for a sum that leaves its range.
    pub async fn aggregate(&self, aggregation: Aggregation) -> Result<Vec<Record>> {
        self.operation(Operation::Aggregate(aggregation)).await?.into_aggregated()
    }

    /// Executes a batch: all of it or nothing.
    ///
    /// Dropping the future leaves all or nothing: the batch may still be executed, and is told of then
    /// ([`changes`](Self::changes), [`key_news`](Self::key_news)).
    ///
    /// # Errors
    /// As [`Storage::operation`]; nothing was written then.
    pub async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        self.operation(Operation::Execute(batch)).await?.into_executed()
    }

    /// Does what a [`Module`] has registered under this name, or else what the backend has.
    ///
    /// # Errors
    /// As [`Storage::operation`]; [`Error::Unsupported`](crate::Error::Unsupported) for a name that neither knows.
    pub async fn custom(&self, name: impl Into<Name>, arguments: Json) -> Result<Json> {
        let custom = CustomOperation { name: name.into(), arguments };
        self.operation(Operation::Custom(custom)).await?.into_custom()
    }

    /// Executes a batch that another device made: past the middleware, so that nothing is logged again, and announced as
    /// [`Origin::Sync`].
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), or what the backend fails with; nothing was written then.
    pub async fn apply(&self, mut batch: Batch) -> Result<BatchOutcome> {
        self.check_open()?;
        batch.origin = Origin::Sync;
        self.inner.lifecycle.explain(self.commit(batch).await)
    }

    /// Executes a batch and tells of it. Once begun both are done, also if the future is dropped: whoever waits for news learns of every
    /// commit.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<BatchOutcome> {
        let work = self.clone().commit_and_tell(batch);
        ToTheEnd::new(Box::pin(work), &**self.runtime()).await
    }

    async fn commit_and_tell(self, batch: Batch) -> Result<BatchOutcome> {
        let Inner { backend, registry, feed, .. } = &*self.inner;
        let (origin, observers) = (batch.origin, batch.observers.clone());
        let mut outcome = backend.execute(batch).await?;
        feed.changed(registry, origin, &outcome);
        observers.tell(registry, &outcome.take_images()).await;
        Ok(outcome)
    }

    /// What a [`Module`] has left here for its library; see [`Module::extension`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{Module, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
    /// #[derive(Debug, PartialEq)]
    /// struct Colour(&'static str);
    ///
    /// let module = Module::new("paint").extension(Colour("red"));
    /// let registry = Registry::builder().build()?;
    /// let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
    ///     .module(module)
    ///     .open()
    ///     .await?;
    /// assert_eq!(storage.extension::<Colour>(), Some(&Colour("red")));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn extension<T: 'static>(&self) -> Option<&T> {
        self.inner.extensions.get()
    }

    pub(crate) fn operations(&self) -> &Operations {
        &self.inner.operations
    }

    /// The changes from now on, one set per committed batch. Subscribe before you read, and you miss nothing.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::new(&self.inner.feed, self.downgrade())
    }

    /// News, from now on, of the objects of a collection whose key begins with this value: for many who wait, each for objects of
    /// its own in one collection. Subscribe before you read, and you miss nothing.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{Batch, Definition, FieldType, Record, Registry, Storage, Value};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
    /// let message = Definition::new("message")
    ///     .field("room", FieldType::String)
    ///     .field("number", FieldType::Int)
    ///     .primary_key(["room", "number"]);
    /// let registry = Registry::builder().collection(message).build()?;
    /// let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
    ///     .open()
    ///     .await?;
    /// let mut news = storage.key_news("message", "kitchen")?;
    /// let record = Record::new(vec!["kitchen".into(), Value::Int(1)]);
    /// storage.execute(Batch::new().create("message", vec![record])).await?;
    /// assert!(news.next().await.is_some());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownCollection`](crate::Error::UnknownCollection).
    pub fn key_news(&self, collection: &str, beginning: impl Into<Value>) -> Result<KeyNews> {
        let collection = Name::clone(self.inner.registry.collection(collection)?.name());
        Ok(KeyNews::new(&self.inner.feed, self.downgrade(), collection, beginning.into()))
    }

    /// A storage that goes away when nobody else holds it.
    pub(crate) fn downgrade(&self) -> WeakStorage {
        WeakStorage(Arc::downgrade(&self.inner))
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.inner.feed
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.inner.watch
    }

    pub(crate) async fn data_version(&self) -> Result<Option<u64>> {
        self.check_open()?;
        self.inner.lifecycle.explain(self.inner.backend.data_version().await)
    }

    /// Returns when everything executed before is safe from a loss of power.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), or what the backend fails with.
    pub async fn flush(&self) -> Result<()> {
        self.check_open()?;
        self.inner.lifecycle.explain(self.inner.backend.flush().await)
    }

    /// Finishes what is running and lets go of the database and its locks. Every clone is closed; closing twice is
    /// harmless.
    ///
    /// # Errors
    /// What the backend fails with.
    pub async fn close(&self) -> Result<()> {
        if !self.inner.lifecycle.close() {
            return Ok(());
        }
        let closed = self.inner.backend.close().await;
        self.inner.feed.close();
        closed
    }

    fn check_open(&self) -> Result<()> {
        self.inner.lifecycle.check()
    }

    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.inner.lifecycle
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.inner.backend
    }
}

//! [`Storage`]: what an application holds in its hands.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value as Json;
use tokio::sync::broadcast;

use crate::backend::Backend;
use crate::batch::{Batch, Origin};
use crate::change_set::{ChangeSet, Changes, announce};
use crate::dynamic::DynamicCollection;
use crate::error::{Error, Result};
use crate::middleware::{Context, Middleware, Next, OpenContext};
use crate::operation::{CustomOperation, Operation, Outcome};
use crate::query::Query;
use crate::record::Record;
use crate::run::BatchOutcome;
use crate::runtime::Runtime;
use crate::schema::{Plan, Registry};
use crate::typed::{Object, TypedCollection};
use crate::value::Name;

/// How many change sets a slow receiver may fall behind before it is told that it has missed some.
const CHANGES_KEPT: usize = 1024;

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
    changes: broadcast::Sender<ChangeSet>,
    closed: AtomicBool,
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

    /// What [`StorageBuilder::open`] would change in the database, as a list to read. Changes nothing: no file is made, no
    /// table, no index.
    ///
    /// # Errors
    /// What opening would be refused with, as far as that can be seen without looking at each object.
    pub async fn plan(&self) -> Result<Plan> {
        self.backend.plan(Arc::new(self.whole_registry()?)).await
    }

    /// The registry, with what the middleware brings along.
    fn whole_registry(&self) -> Result<Registry> {
        let collections = self.middleware.iter().flat_map(|middleware| middleware.collections());
        let migrations = self.middleware.iter().flat_map(|middleware| middleware.migrations());
        self.registry.with(collections, migrations)
    }

    /// Opens the database, brings it to the schema (see [`Migration`](crate::Migration)), and opens the middleware.
    ///
    /// # Errors
    /// What the backend or a middleware refuses with; the database is then closed again.
    pub async fn open(self) -> Result<Storage> {
        let registry = Arc::new(self.whole_registry()?);
        self.backend.open(Arc::clone(&registry)).await?;
        let cx =
            OpenContext { backend: &*self.backend, registry: &registry, runtime: &self.runtime };
        for middleware in &self.middleware {
            if let Err(error) = middleware.open(&cx).await {
                if let Err(closing) = self.backend.close().await {
                    tracing::warn!(error = %closing, "closing after a failed open failed too");
                }
                return Err(error);
            }
        }
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        Ok(Storage {
            inner: Arc::new(Inner {
                backend: self.backend,
                registry,
                runtime: self.runtime,
                middleware: self.middleware,
                changes,
                closed: AtomicBool::new(false),
            }),
        })
    }
}

impl Storage {
    /// Begins a storage over a backend.
    pub fn builder(
        backend: impl Backend,
        registry: Registry,
        runtime: Arc<dyn Runtime>,
    ) -> StorageBuilder {
        StorageBuilder { backend: Box::new(backend), registry, runtime, middleware: Vec::new() }
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

    /// The backend's name.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.inner.backend.name()
    }

    /// The typed face of a collection: objects are Rust structs.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`].
    pub fn collection<T: Object>(&self) -> Result<TypedCollection<T>> {
        let collection = self.inner.registry.collection(T::COLLECTION)?;
        Ok(TypedCollection::new(self.clone(), Arc::clone(collection)))
    }

    /// The dynamic face of a collection: objects are JSON.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`].
    pub fn dynamic(&self, collection: &str) -> Result<DynamicCollection> {
        let collection = self.inner.registry.collection(collection)?;
        Ok(DynamicCollection::new(self.clone(), Arc::clone(collection)))
    }

    /// Sends any operation through the chain.
    ///
    /// # Errors
    /// [`Error::Closed`], what a middleware refuses with, or what the backend fails with.
    pub async fn operation(&self, operation: Operation) -> Result<Outcome> {
        self.check_open()?;
        let inner = &self.inner;
        let mut cx = Context::new(
            Arc::clone(&inner.registry),
            Arc::clone(&inner.runtime),
            inner.changes.clone(),
        );
        Next::new(&inner.middleware, &*inner.backend).run(&mut cx, operation).await
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

    /// Executes a batch: all of it or nothing.
    ///
    /// Dropping the future leaves all or nothing: the batch may still be executed.
    ///
    /// # Errors
    /// As [`Storage::operation`]; nothing was written then.
    pub async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        self.operation(Operation::Execute(batch)).await?.into_executed()
    }

    /// Does something that only this backend can do.
    ///
    /// # Errors
    /// As [`Storage::operation`]; [`Error::Unsupported`] for a name that the backend does not know.
    pub async fn custom(&self, name: impl Into<Name>, arguments: Json) -> Result<Json> {
        let custom = CustomOperation { name: name.into(), arguments };
        self.operation(Operation::Custom(custom)).await?.into_custom()
    }

    /// Executes a batch that another device made: past the middleware, so that nothing is logged again, and announced as
    /// [`Origin::Sync`].
    ///
    /// # Errors
    /// [`Error::Closed`], or what the backend fails with; nothing was written then.
    pub async fn apply(&self, mut batch: Batch) -> Result<BatchOutcome> {
        self.check_open()?;
        batch.origin = Origin::Sync;
        let outcome = self.inner.backend.execute(batch).await?;
        announce(&self.inner.changes, &self.inner.registry, Origin::Sync, &outcome);
        Ok(outcome)
    }

    /// The changes from now on, one set per committed batch. Subscribe before you read, and you miss nothing.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::new(self.inner.changes.subscribe())
    }

    /// Returns when everything executed before is safe from a loss of power.
    ///
    /// # Errors
    /// [`Error::Closed`], or what the backend fails with.
    pub async fn flush(&self) -> Result<()> {
        self.check_open()?;
        self.inner.backend.flush().await
    }

    /// Finishes what is running and lets go of the database and its locks. Every clone is closed; closing twice is
    /// harmless.
    ///
    /// # Errors
    /// What the backend fails with.
    pub async fn close(&self) -> Result<()> {
        if self.inner.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.inner.backend.close().await
    }

    fn check_open(&self) -> Result<()> {
        if self.inner.closed.load(Ordering::SeqCst) { Err(Error::Closed) } else { Ok(()) }
    }
}

//! [`Harness`]: how a backend joins the suite.

use std::fmt;
use std::sync::Arc;

use storex_core::{
    AutoPk, Backend, MaybeSend, MaybeSync, Middleware, Registry, Result, Runtime, Storage,
};

use crate::runtime::CaseRuntime;

#[cfg(not(target_family = "wasm"))]
type Make<T> = Box<dyn Fn() -> T + Send + Sync>;
#[cfg(target_family = "wasm")]
type Make<T> = Box<dyn Fn() -> T>;

/// One empty database, made for one case.
///
/// ```
/// use storex_conformance::Harness;
/// use storex_memory::MemoryBackend;
///
/// fn harness() -> Harness {
///     Harness::new(MemoryBackend::new)
/// }
/// # let _ = harness();
/// ```
///
/// The function that makes the harness is called once per case: there it makes a folder or chooses a name, and the
/// closure keeps it. The closure gives a backend on *this* database, and is called again when a case opens the
/// database a second time, which it does only after the first backend was closed. A backend in memory gives a new,
/// empty one each time.
///
/// ```no_run
/// # use storex_conformance::Harness;
/// # use storex_memory::MemoryBackend as FileBackend;
/// # fn temporary_folder() -> std::path::PathBuf { std::path::PathBuf::new() }
/// # fn at(_: &std::path::Path) -> FileBackend { FileBackend::new() }
/// fn harness() -> Harness {
///     let folder = temporary_folder(); // for example tempfile::TempDir, removed when the harness is dropped
///     Harness::new(move || at(&folder))
/// }
/// ```
pub struct Harness {
    backend: Make<Arc<dyn Backend>>,
    layers: Vec<Make<Arc<dyn Middleware>>>,
    runtime: Arc<dyn Runtime>,
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

impl Harness {
    /// A harness over the backends that the closure gives; see [`Harness`].
    pub fn new<B: Backend>(backend: impl Fn() -> B + MaybeSend + MaybeSync + 'static) -> Self {
        Self {
            backend: Box::new(move || Arc::new(backend())),
            layers: Vec::new(),
            runtime: Arc::new(CaseRuntime::new(1)),
        }
    }

    /// Adds a middleware to every storage that a case opens, behind the case's own: the suite then shows that the
    /// middleware changes nothing that an application sees.
    #[must_use]
    pub fn middleware<M: Middleware>(
        mut self,
        middleware: impl Fn() -> M + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        self.layers.push(Box::new(move || Arc::new(middleware())));
        self
    }

    /// Another runtime than [`CaseRuntime`], for a middleware that sleeps or spawns.
    #[must_use]
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Arc::new(runtime);
        self
    }

    /// The runtime of the storages that the harness opens, for a case that puts a storage together itself.
    #[must_use]
    pub fn shared_runtime(&self) -> Arc<dyn Runtime> {
        Arc::clone(&self.runtime)
    }

    /// A backend on this database, not opened yet.
    #[must_use]
    pub fn backend(&self) -> Arc<dyn Backend> {
        (self.backend)()
    }

    /// Opens a storage with [`AutoPk`].
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn open(&self, registry: Registry) -> Storage {
        self.open_with(registry, vec![Arc::new(AutoPk::new())]).await
    }

    /// Opens a storage with the case's own middleware, the first one outermost.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn open_with(
        &self,
        registry: Registry,
        middleware: Vec<Arc<dyn Middleware>>,
    ) -> Storage {
        self.try_open(registry, middleware).await.expect("the storage opens")
    }

    /// Opens a storage with the case's own middleware, the first one outermost.
    ///
    /// # Errors
    /// What the backend or a middleware refuses with.
    pub async fn try_open(
        &self,
        registry: Registry,
        middleware: Vec<Arc<dyn Middleware>>,
    ) -> Result<Storage> {
        let mut builder = Storage::builder(self.backend(), registry, Arc::clone(&self.runtime));
        for middleware in middleware {
            builder = builder.middleware(middleware);
        }
        for layer in &self.layers {
            builder = builder.middleware(layer());
        }
        builder.open().await
    }
}

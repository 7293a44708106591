//! [`Middleware`]: what every operation passes through, and those that ship with storex.

mod change_watch;
mod read_only;
mod retry;
mod traced;
mod validate;

pub use change_watch::ChangeWatch;
pub use read_only::ReadOnly;
pub use retry::{RetryBusy, RetryPolicy};
pub use traced::Traced;
pub use validate::Validate;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::maybe::{BoxFuture, MaybeSend, MaybeSync};
use crate::module::Module;
use crate::operation::{Operation, Outcome};
use crate::runtime::Runtime;
use crate::schema::Registry;
use crate::storage::Storage;
use crate::value::Name;

/// Sees every operation on its way down and every outcome on its way up. The first one registered is the outermost.
///
/// It may observe, rewrite, refuse, answer (by not calling `next`), repeat (`next` is `Copy`) or extend an operation. To
/// write something in the same transaction as the operation, add steps to its batch.
///
/// **Order matters.** `AutoPk` before `SyncLog` (`AutoPk` registered first) logs the keys that `AutoPk` made. The other
/// way round `SyncLog` still works, because it logs what was executed; but a middleware that reads the keys of creates
/// on the way down must stand behind `AutoPk`.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait Middleware: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// What it brings along: collections and operations of its own, there before the storage is opened.
    fn module(&self) -> Module {
        Module::default()
    }

    /// Called once, when the storage is open and before the first operation.
    ///
    /// # Errors
    /// Whatever makes it useless; the storage is then closed again.
    async fn open(&self, cx: &OpenContext<'_>) -> Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Handles an operation; `next.run(cx, operation)` goes on with it.
    ///
    /// # Errors
    /// Its own refusal, or what came from below.
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome>;
}

/// A shared middleware is a middleware: keep a clone of the `Arc` to look at what it has seen.
#[deny(clippy::missing_trait_methods)]
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl<M: Middleware + ?Sized> Middleware for Arc<M> {
    fn module(&self) -> Module {
        (**self).module()
    }

    async fn open(&self, cx: &OpenContext<'_>) -> Result<()> {
        (**self).open(cx).await
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        (**self).process(cx, operation, next).await
    }
}

/// What a middleware has at hand when the storage is opened.
#[derive(Debug)]
pub struct OpenContext<'a> {
    /// The database, open; what is done here passes no middleware.
    pub backend: &'a dyn Backend,
    /// The schema.
    pub registry: &'a Arc<Registry>,
    /// Time and randomness.
    pub runtime: &'a Arc<dyn Runtime>,
}

impl OpenContext<'_> {
    /// Refuses names of collections that are not there.
    fn require(&self, collections: impl IntoIterator<Item = Name>) -> Result<()> {
        collections.into_iter().try_for_each(|name| self.registry.collection(&name).map(|_| ()))
    }
}

/// Travels with one operation down the chain: what every middleware may need, and what they tell each other.
pub struct Context {
    storage: Storage,
    notes: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("notes", &self.notes.len()).finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn new(storage: Storage) -> Self {
        Self { storage, notes: HashMap::new() }
    }

    /// The storage: what is done with it passes the whole chain, this middleware too, as an operation of its own.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The schema.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        self.storage.registry()
    }

    /// Time and randomness.
    #[must_use]
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        self.storage.runtime()
    }

    /// Whether a module has registered this custom operation; what it does then passes the chain by itself.
    #[must_use]
    pub fn is_registered(&self, operation: &str) -> bool {
        self.storage.operations().get(operation).is_some()
    }

    /// Leaves a note for the middleware further in; one of each type.
    pub fn insert<T: Send + Sync + 'static>(&mut self, note: T) {
        self.notes.insert(TypeId::of::<T>(), Box::new(note));
    }

    /// A note that a middleware further out has left.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.notes.get(&TypeId::of::<T>()).and_then(|note| note.downcast_ref())
    }
}

/// The rest of the chain.
#[derive(Debug, Clone, Copy)]
#[must_use = "a middleware that drops `next` swallows the operation"]
pub struct Next<'a> {
    rest: &'a [Arc<dyn Middleware>],
    backend: &'a dyn Backend,
}

impl<'a> Next<'a> {
    pub(crate) fn new(rest: &'a [Arc<dyn Middleware>], backend: &'a dyn Backend) -> Self {
        Self { rest, backend }
    }

    /// Goes on with an operation: through the rest of the chain, then to the backend.
    pub fn run(self, cx: &'a mut Context, operation: Operation) -> BoxFuture<'a, Result<Outcome>> {
        Box::pin(async move {
            match self.rest.split_first() {
                Some((first, rest)) => {
                    first.process(cx, operation, Next { rest, backend: self.backend }).await
                }
                None => dispatch(self.backend, cx, operation).await,
            }
        })
    }
}

/// The last step of the chain: checks what was not checked yet and hands the operation to the backend.
async fn dispatch(backend: &dyn Backend, cx: &Context, operation: Operation) -> Result<Outcome> {
    match operation {
        Operation::Find(mut query) => {
            query.check(cx.registry())?;
            backend.find(query).await.map(Outcome::Found)
        }
        Operation::Count(mut query) => {
            query.check(cx.registry())?;
            backend.count(query).await.map(Outcome::Counted)
        }
        Operation::Aggregate(mut aggregation) => {
            aggregation.check(cx.registry())?;
            backend.aggregate(aggregation, cx.registry()).await.map(Outcome::Aggregated)
        }
        // Told here and not further up: what was committed is told, whatever a middleware makes of the outcome.
        Operation::Execute(batch) => cx.storage.commit(batch).await.map(Outcome::Executed),
        Operation::Custom(custom) => {
            if let Some(handler) = cx.storage.operations().get(&custom.name) {
                return handler.call(&cx.storage, custom.arguments).await.map(Outcome::Custom);
            }
            if !backend.capabilities().custom_operations.contains(&&*custom.name) {
                return Err(Error::Unsupported {
                    backend: backend.name(),
                    what: format!("the custom operation `{}`", custom.name),
                });
            }
            backend.custom(custom).await.map(Outcome::Custom)
        }
    }
}

//! [`Middleware`]: what every operation passes through.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use tokio::sync::broadcast;

use crate::backend::Backend;
use crate::change_set::{ChangeSet, announce};
use crate::error::{Error, Result};
use crate::maybe::{BoxFuture, MaybeSend, MaybeSync};
use crate::operation::{Operation, Outcome};
use crate::runtime::Runtime;
use crate::schema::{Definition, Migration, Registry};

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
    /// Collections of its own, added to the registry before the storage is opened.
    fn collections(&self) -> Vec<Definition> {
        Vec::new()
    }

    /// What becomes of the objects in its own collections when their definitions change; see [`Migration`].
    fn migrations(&self) -> Vec<Migration> {
        Vec::new()
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
    fn collections(&self) -> Vec<Definition> {
        (**self).collections()
    }

    fn migrations(&self) -> Vec<Migration> {
        (**self).migrations()
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

/// Travels with one operation down the chain: what every middleware may need, and what they tell each other.
pub struct Context {
    registry: Arc<Registry>,
    runtime: Arc<dyn Runtime>,
    changes: broadcast::Sender<ChangeSet>,
    notes: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("notes", &self.notes.len()).finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn new(
        registry: Arc<Registry>,
        runtime: Arc<dyn Runtime>,
        changes: broadcast::Sender<ChangeSet>,
    ) -> Self {
        Self { registry, runtime, changes, notes: HashMap::new() }
    }

    /// The schema.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Time and randomness.
    #[must_use]
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
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
            query.check(cx.registry.collection(&query.collection)?)?;
            backend.find(query).await.map(Outcome::Found)
        }
        Operation::Count(mut query) => {
            query.check(cx.registry.collection(&query.collection)?)?;
            backend.count(query).await.map(Outcome::Counted)
        }
        Operation::Execute(batch) => {
            let origin = batch.origin;
            let outcome = backend.execute(batch).await?;
            // Here and not further up: what was committed is told, whatever a middleware makes of the outcome.
            announce(&cx.changes, &cx.registry, origin, &outcome);
            Ok(Outcome::Executed(outcome))
        }
        Operation::Custom(custom) => {
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

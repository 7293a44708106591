//! [`ChangeWatch`]: tells what every batch changes, object by object.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::middleware::{Context, Middleware, Next, OpenContext};
use crate::observe::{ObjectImages, Observer, Planned};
use crate::operation::{Operation, Outcome};
use crate::schema::Collection;
use crate::value::Name;

/// Tells an [`Observer`] what every batch changes: before a step, which objects it is about (the observer may refuse); after
/// the commit, each object as it was and as it is.
///
/// Where it stands in the chain does not matter: it sees what is really executed, so keys that `AutoPk` makes, and what
/// continuations and cascades do. What another device did ([`Storage::apply`](crate::Storage::apply)) passes no
/// middleware and is not told. Each step costs one read of its objects before it, and one after it.
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// use serde_json::json;
/// use storex_core::{ChangeWatch, Definition, FieldType, ObjectImages, Registry, Storage};
/// use storex_memory::{MemoryBackend, TestRuntime};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storex_core::Result<()> {
/// let told: Arc<Mutex<Vec<ObjectImages>>> = Arc::default();
/// let tells = Arc::clone(&told);
/// let watch = ChangeWatch::new(move |changes: &[ObjectImages]| {
///     tells.lock().unwrap().extend_from_slice(changes);
/// });
/// let note = Definition::new("note").field("title", FieldType::String).primary_key(["title"]);
/// let registry = Registry::builder().collection(note).build()?;
/// let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
///     .middleware(watch.only(["note"]))
///     .open()
///     .await?;
/// storage.dynamic("note")?.create(json!({"title": "red"})).await?;
/// assert!(told.lock().unwrap()[0].before.is_none());
/// # Ok(()) }
/// ```
pub struct ChangeWatch {
    observer: Arc<dyn Observer>,
    only: BTreeSet<Name>,
}

impl fmt::Debug for ChangeWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeWatch").field("only", &self.only).finish_non_exhaustive()
    }
}

impl ChangeWatch {
    /// Tells what the observer observes: if it does not say otherwise, every collection that is not storex's own.
    #[must_use]
    pub fn new(observer: impl Observer) -> Self {
        Self { observer: Arc::new(observer), only: BTreeSet::new() }
    }

    /// Only these collections. One that the registry does not know is refused when the storage is opened.
    #[must_use]
    pub fn only<N: Into<Name>>(mut self, collections: impl IntoIterator<Item = N>) -> Self {
        self.only.extend(collections.into_iter().map(Into::into));
        let (observer, only) = (self.observer, self.only.clone());
        Self { observer: Arc::new(Only { observer, only }), only: self.only }
    }
}

/// An observer of some collections.
struct Only {
    observer: Arc<dyn Observer>,
    only: BTreeSet<Name>,
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Observer for Only {
    fn observes(&self, collection: &Collection) -> bool {
        self.only.contains(collection.name())
    }

    fn before(&self, planned: &Planned<'_>) -> Result<()> {
        self.observer.before(planned)
    }

    fn after(&self, collection: &Collection, changes: &[ObjectImages]) -> Result<()> {
        self.observer.after(collection, changes)
    }

    async fn committed(&self, changes: &[ObjectImages]) {
        self.observer.committed(changes).await;
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for ChangeWatch {
    async fn open(&self, cx: &OpenContext<'_>) -> Result<()> {
        cx.require(self.only.iter().cloned())
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        next.run(cx, operation.observed_by(&self.observer)).await
    }
}

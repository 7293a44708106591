//! [`ReadOnly`]: refuses every write.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::{Batch, Step};
use crate::error::{Error, Result};
use crate::middleware::{Context, Middleware, Next, OpenContext};
use crate::observe::{Observer, Planned};
use crate::operation::{Operation, Outcome};
use crate::schema::{Collection, Registry};
use crate::value::Name;

/// Refuses every write to all collections, or to those that are named, with [`ErrorKind::ReadOnly`](crate::ErrorKind).
///
/// - Whoever wants to write again opens the storage without it.
/// - A write is refused whatever it would touch, be it nothing. What the steps of a batch say is refused before the batch
///   begins; a write by a continuation or a cascade when it comes, and nothing of the batch is written.
/// - Over all collections it refuses the backend's own custom operations too: nobody knows what they write. What a module
///   has registered may run, since its writes come by here.
/// - What another device did ([`Storage::apply`](crate::Storage::apply)) passes no middleware: a storage that is kept in
///   step by sync alone is a replica that may only be read.
///
/// ```
/// use storex_core::ReadOnly;
///
/// let everything = ReadOnly::new();
/// let archive = ReadOnly::collections(["old_note", "old_picture"]);
/// # let _ = (everything, archive);
/// ```
#[derive(Debug, Clone, Default)]
pub struct ReadOnly {
    guard: Arc<Guard>,
}

/// Which collections may only be read; `None`: all but storex's own.
#[derive(Debug, Default)]
struct Guard(Option<BTreeSet<Name>>);

impl ReadOnly {
    /// Nothing may be written.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These collections may only be read. One that the registry does not know is refused when the storage is opened.
    #[must_use]
    pub fn collections<N: Into<Name>>(collections: impl IntoIterator<Item = N>) -> Self {
        let names = collections.into_iter().map(Into::into).collect();
        Self { guard: Arc::new(Guard(Some(names))) }
    }
}

impl Guard {
    /// Refuses a batch whose own steps write.
    fn check(&self, registry: &Registry, batch: &Batch) -> Result<()> {
        let writes = batch.steps.iter().filter(|step| {
            matches!(step, Step::Create(_) | Step::Update { .. } | Step::Delete { .. })
        });
        let mut collections =
            writes.filter_map(Step::collection).filter_map(|name| registry.find(name));
        match collections.find(|collection| self.observes(collection)) {
            Some(collection) => Err(refused(collection)),
            None => Ok(()),
        }
    }
}

fn refused(collection: &Collection) -> Error {
    Error::ReadOnly { what: format!("collection `{}`", collection.name()) }
}

impl Observer for Guard {
    fn observes(&self, collection: &Collection) -> bool {
        match &self.0 {
            Some(names) => names.contains(collection.name()),
            None => !collection.is_reserved(),
        }
    }

    fn before(&self, planned: &Planned<'_>) -> Result<()> {
        Err(refused(planned.collection))
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for ReadOnly {
    async fn open(&self, cx: &OpenContext<'_>) -> Result<()> {
        cx.require(self.guard.0.iter().flatten().cloned())
    }

    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        match &operation {
            Operation::Execute(batch) => self.guard.check(cx.registry(), batch)?,
            Operation::Custom(custom)
                if self.guard.0.is_none() && !cx.is_registered(&custom.name) =>
            {
                let what = format!("the storage, which therefore refuses `{}`,", custom.name);
                return Err(Error::ReadOnly { what });
            }
            _ => {}
        }
        let guard: Arc<dyn Observer> = Arc::clone(&self.guard) as Arc<dyn Observer>;
        next.run(cx, operation.observed_by(&guard)).await
    }
}

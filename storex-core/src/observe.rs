//! [`Observer`]: sees, object by object, what a batch changes, inside its transaction.
//!
//! For every step that an observer wants, [`BatchRun`](crate::BatchRun) asks the backend for two reads more, which nobody
//! else sees: neither continuations nor the outcome of the batch hold them.
//!
//! ```text
//!   read the objects that the step is about ──▶ before: may refuse
//!   the step
//!   read the objects that it has changed    ──▶ after:  may refuse
//!   …
//!   commit                                  ──▶ committed
//! ```

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::{OnConflict, Step};
use crate::change_set::ChangeKind;
use crate::error::Result;
use crate::filter::Filter;
use crate::maybe::{MaybeSend, MaybeSync};
use crate::query::Query;
use crate::record::{Key, Record};
use crate::run::{Executed, StepOutcome};
use crate::schema::{Collection, Registry};
use crate::value::Name;

/// Sees, object by object, what a batch changes: also what its continuations and cascades change, and exactly the objects
/// that an update or delete by filter touches.
///
/// [`ChangeWatch`](crate::ChangeWatch) brings one to every batch, [`Batch::observed_by`](crate::Batch::observed_by) to a
/// single one. A function of the changes, called after the commit, is an observer.
///
/// What a database does by itself, such as the triggers of an adopted one, is not seen.
///
/// `before` and `after` are called inside the transaction, by the backend: they are synchronous, and they may be called
/// again for the same step when a batch is run a second time after a failure. What must happen once belongs into
/// `committed`.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait Observer: MaybeSend + MaybeSync + 'static {
    /// Whether changes of this collection are observed: by default those of every collection that is not storex's own.
    fn observes(&self, collection: &Collection) -> bool {
        !collection.is_reserved()
    }

    /// A step is about to be executed.
    ///
    /// # Errors
    /// What it refuses the batch with; nothing of the batch is written then.
    fn before(&self, planned: &Planned<'_>) -> Result<()> {
        let _ = planned;
        Ok(())
    }

    /// A step was executed and has changed these objects, all of this collection; the batch is not committed yet.
    ///
    /// # Errors
    /// What it refuses the batch with; nothing of the batch is written then.
    fn after(&self, collection: &Collection, changes: &[ObjectImages]) -> Result<()> {
        let _ = (collection, changes);
        Ok(())
    }

    /// The batch was committed and has changed these objects, in the order in which it did. A batch that was rolled back
    /// or that has changed nothing calls nothing.
    ///
    /// The operation of the caller ends when this has ended. When the caller drops it meanwhile, a batch that has come to the
    /// backend and this go on as a task of the [`Runtime`](crate::Runtime).
    async fn committed(&self, changes: &[ObjectImages]) {
        let _ = changes;
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl<F: Fn(&[ObjectImages]) + MaybeSend + MaybeSync + 'static> Observer for F {
    async fn committed(&self, changes: &[ObjectImages]) {
        self(changes);
    }
}

/// A step that is about to be executed; see [`Observer::before`].
#[derive(Debug, Clone, Copy)]
pub struct Planned<'a> {
    /// The collection.
    pub collection: &'a Collection,
    /// The create, update or delete, checked, with its placeholders filled in.
    pub step: &'a Step,
    /// The objects that an update or delete is about to touch, or that a create is about to replace, as they are now.
    pub before: &'a [Record],
}

/// One object that a step has changed, before and after it. The records hold all fields, as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectImages {
    /// The collection.
    pub collection: Name,
    /// The key.
    pub key: Key,
    /// The object before the step; `None`: there was none.
    pub before: Option<Record>,
    /// The object after the step, read back in the transaction; `None`: it is gone.
    pub after: Option<Record>,
}

impl ObjectImages {
    /// What happened to the object. A create that has replaced an object has updated it.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (None, _) => ChangeKind::Created,
            (Some(_), Some(_)) => ChangeKind::Updated,
            (Some(_), None) => ChangeKind::Deleted,
        }
    }
}

/// The observers of a batch.
#[derive(Clone, Default)]
pub(crate) struct Observers(Vec<Arc<dyn Observer>>);

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} observers", self.0.len())
    }
}

impl Observers {
    pub(crate) fn push(&mut self, observer: Arc<dyn Observer>) {
        self.0.push(observer);
    }

    fn of<'a>(&'a self, collection: &'a Collection) -> impl Iterator<Item = &'a dyn Observer> {
        self.0.iter().map(|observer| &**observer).filter(|observer| observer.observes(collection))
    }

    /// Tells each what was committed of the collections that it observes.
    pub(crate) async fn tell(&self, registry: &Registry, images: &[ObjectImages]) {
        for observer in &self.0 {
            let own = images_for(&**observer, registry, images);
            if !own.is_empty() {
                observer.committed(&own).await;
            }
        }
    }
}

fn images_for<'a>(
    observer: &dyn Observer,
    registry: &Registry,
    images: &'a [ObjectImages],
) -> Cow<'a, [ObjectImages]> {
    let observed = |images: &ObjectImages| {
        registry.find(&images.collection).is_some_and(|collection| observer.observes(collection))
    };
    if images.iter().all(observed) {
        return Cow::Borrowed(images);
    }
    Cow::Owned(images.iter().filter(|images| observed(images)).cloned().collect())
}

/// What a step that the backend executes is for.
#[derive(Debug)]
pub(crate) enum Stage {
    /// It stands in the batch, and nobody observes it.
    Plain,
    /// A read: the objects that this step is about.
    Before(Step),
    /// It stands in the batch; these are the objects that it is about.
    Observed(Vec<Record>),
    /// A read: the objects that a step has changed, by these keys.
    After(Vec<ObjectImages>),
}

/// The observation of one run of a batch.
#[derive(Debug)]
pub(crate) struct Observation {
    observers: Observers,
    images: Vec<ObjectImages>,
}

impl Observation {
    pub(crate) fn new(observers: Observers) -> Self {
        Self { observers, images: Vec::new() }
    }

    /// A step of the batch comes, checked: what is to be executed first.
    pub(crate) fn begin(&self, registry: &Registry, step: Step) -> Result<(Step, Stage)> {
        let collection = step.collection().and_then(|name| registry.find(name));
        let Some(collection) = collection.filter(|it| self.observers.of(it).next().is_some())
        else {
            return Ok((step, Stage::Plain));
        };
        let filter = match &step {
            Step::Update { filter, .. } | Step::Delete { filter, .. } => filter.clone(),
            Step::Create(create) if create.on_conflict == OnConflict::Replace => {
                keys(create.records.iter().map(|record| collection.key_of(record)))
            }
            Step::Create(_) => {
                self.before(collection, &step, &[])?;
                return Ok((step, Stage::Observed(Vec::new())));
            }
            _ => return Ok((step, Stage::Plain)),
        };
        Ok((find(collection, filter), Stage::Before(step)))
    }

    fn before(&self, collection: &Collection, step: &Step, before: &[Record]) -> Result<()> {
        let planned = Planned { collection, step, before };
        self.observers.of(collection).try_for_each(|observer| observer.before(&planned))
    }

    /// The objects that a step is about were read: the step.
    pub(crate) fn read(
        &self,
        registry: &Registry,
        step: Step,
        outcome: StepOutcome,
    ) -> Result<(Step, Stage)> {
        let before = found(outcome);
        if let Some(name) = step.collection() {
            self.before(registry.collection(name)?, &step, &before)?;
        }
        Ok((step, Stage::Observed(before)))
    }

    /// A step was executed: the read of what it has changed, if there is something left to read.
    pub(crate) fn executed(
        &mut self,
        registry: &Registry,
        executed: &Executed,
        before: Vec<Record>,
    ) -> Result<Option<(Step, Stage)>> {
        let Some(name) = executed.step.collection() else { return Ok(None) };
        let collection = registry.collection(name)?;
        let mut before: HashMap<Key, Record> =
            before.into_iter().map(|record| (collection.key_of(&record), record)).collect();
        let mut seen = HashSet::new();
        let touched = executed.keys(collection).into_iter().filter(|key| seen.insert(key.clone()));
        let images: Vec<ObjectImages> = touched
            .map(|key| ObjectImages {
                collection: Name::clone(name),
                before: before.remove(&key),
                after: None,
                key,
            })
            .collect();
        if images.is_empty() || matches!(executed.outcome, StepOutcome::Deleted { .. }) {
            self.after(registry, images)?;
            return Ok(None);
        }
        let keys = keys(images.iter().map(|images| images.key.clone()));
        Ok(Some((find(collection, keys), Stage::After(images))))
    }

    /// What a step has changed was read.
    pub(crate) fn read_back(
        &mut self,
        registry: &Registry,
        mut images: Vec<ObjectImages>,
        outcome: StepOutcome,
    ) -> Result<()> {
        if let Some(first) = images.first() {
            let collection = registry.collection(&first.collection)?;
            let mut after: HashMap<Key, Record> = found(outcome)
                .into_iter()
                .map(|record| (collection.key_of(&record), record))
                .collect();
            for images in &mut images {
                images.after = after.remove(&images.key);
            }
        }
        self.after(registry, images)
    }

    fn after(&mut self, registry: &Registry, images: Vec<ObjectImages>) -> Result<()> {
        let Some(first) = images.first() else { return Ok(()) };
        let collection = registry.collection(&first.collection)?;
        for observer in self.observers.of(collection) {
            observer.after(collection, &images)?;
        }
        self.images.extend(images);
        Ok(())
    }

    pub(crate) fn finish(self) -> Vec<ObjectImages> {
        self.images
    }
}

fn keys(keys: impl Iterator<Item = Key>) -> Filter {
    let mut seen = HashSet::new();
    Filter::Keys(keys.filter(|key| seen.insert(key.clone())).collect())
}

fn find(collection: &Collection, filter: Filter) -> Step {
    Step::Find(Query::new(Name::clone(collection.name())).filter(filter))
}

fn found(outcome: StepOutcome) -> Vec<Record> {
    match outcome {
        StepOutcome::Found(records) => records,
        _ => Vec::new(),
    }
}

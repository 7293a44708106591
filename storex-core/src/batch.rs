//! [`Batch`]: writes as data, all or nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::changes::Changes;
use crate::error::Result;
use crate::filter::Filter;
use crate::maybe::{MaybeSend, MaybeSync};
use crate::observe::{Observer, Observers};
use crate::query::Query;
use crate::record::{Key, Record};
use crate::run::Trace;
use crate::schema::Registry;
use crate::value::Name;

/// Writes (and the reads that they depend on) as data. **A batch is all or nothing.**
///
/// Steps run in order, inside one transaction of the backend. A step may be a *continuation*: a synchronous function
/// from what has been executed so far to further steps, which run at once, in the same transaction. That is how "read,
/// decide, write" and "update by filter, then log exactly the rows that were touched" become atomic on every backend.
/// (In IndexedDB a transaction ends as soon as anything but one of its own requests is awaited, so no asynchronous code
/// may run inside one.) A continuation must be callable again: a batch may be run a second time after a failure.
///
/// The transaction covers exactly the collections that the steps name, and those that a delete brings with it. Collections
/// that only a continuation touches are named with [`Batch::touching`]: IndexedDB has to know them before it begins, and
/// batches that have nothing in common can then run beside each other.
///
/// ```
/// use storex_core::{Batch, Changes, Filter};
///
/// let batch = Batch::new()
///     .update("account", Filter::key("a"), Changes::new().increment("balance", -5))
///     .update("account", Filter::key("b"), Changes::new().increment("balance", 5));
/// # let _ = batch;
/// ```
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Collections that continuations touch beside those that the steps name.
    pub touching: Vec<Name>,
    /// Where the writes come from.
    pub origin: Origin,
    pub(crate) observers: Observers,
}

/// Where a write comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Origin {
    /// The application, on this device.
    #[default]
    Local,
    /// Another device, by sync. Foreign keys of the database are not enforced: the device that made the write has
    /// checked them, and entries may arrive before what they point to.
    Sync,
}

/// One step of a [`Batch`].
#[derive(Clone)]
#[non_exhaustive]
pub enum Step {
    /// Creates objects.
    Create(Create),
    /// Changes every object that the filter matches.
    Update {
        /// The collection.
        collection: Name,
        /// Which objects.
        filter: Filter,
        /// What changes.
        changes: Changes,
    },
    /// Deletes every object that the filter matches.
    Delete {
        /// The collection.
        collection: Name,
        /// Which objects.
        filter: Filter,
    },
    /// Reads objects, for a continuation to see.
    Find(Query),
    /// Counts objects, for a continuation to see.
    Count(Query),
    /// A precondition: unless exactly so many objects match, nothing of the batch is written.
    Require {
        /// Which objects.
        query: Query,
        /// How many there must be.
        count: u64,
    },
    /// A continuation: gives further steps.
    Then(Continuation),
}

/// The objects of a [`Step::Create`].
#[derive(Debug, Clone, PartialEq)]
pub struct Create {
    /// The collection.
    pub collection: Name,
    /// The objects.
    pub records: Vec<Record>,
    /// What happens when an object with the same key exists.
    pub on_conflict: OnConflict,
    /// Names under which later steps may refer to an object of this step, by its position in `records`.
    pub placeholders: Vec<(usize, Name)>,
    /// Fields to fill with the key of an object that an earlier step created under a placeholder.
    pub links: Vec<Link>,
}

/// A field that gets the key of an object created by an earlier step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Which record of the step.
    pub record: usize,
    /// The field.
    pub field: Name,
    /// The placeholder of the earlier object.
    pub placeholder: Name,
}

/// What a create does when an object with the same key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// The batch fails with [`Error::AlreadyExists`](crate::Error::AlreadyExists).
    #[default]
    Fail,
    /// The object that exists stays; the outcome tells which records were left out.
    Skip,
    /// The object that exists gets all values of the record.
    Replace,
}

/// A synchronous function from what has been executed so far to further steps.
#[derive(Clone)]
pub struct Continuation(Arc<dyn ContinuationFn>);

trait ContinuationFn: MaybeSend + MaybeSync {
    fn call(&self, trace: &Trace) -> Result<Vec<Step>>;
}

impl<F> ContinuationFn for F
where
    F: Fn(&Trace) -> Result<Vec<Step>> + MaybeSend + MaybeSync,
{
    fn call(&self, trace: &Trace) -> Result<Vec<Step>> {
        self(trace)
    }
}

impl Continuation {
    /// Wraps a function.
    pub fn new(
        function: impl Fn(&Trace) -> Result<Vec<Step>> + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        Self(Arc::new(function))
    }

    /// Calls the function.
    ///
    /// # Errors
    /// What the function refuses with; the batch then writes nothing.
    pub fn call(&self, trace: &Trace) -> Result<Vec<Step>> {
        self.0.call(trace)
    }
}

impl fmt::Debug for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Continuation")
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(create) => f.debug_tuple("Create").field(create).finish(),
            Self::Update { collection, filter, changes } => f
                .debug_struct("Update")
                .field("collection", collection)
                .field("filter", filter)
                .field("changes", changes)
                .finish(),
            Self::Delete { collection, filter } => f
                .debug_struct("Delete")
                .field("collection", collection)
                .field("filter", filter)
                .finish(),
            Self::Find(query) => f.debug_tuple("Find").field(query).finish(),
            Self::Count(query) => f.debug_tuple("Count").field(query).finish(),
            Self::Require { query, count } => {
                f.debug_struct("Require").field("query", query).field("count", count).finish()
            }
            Self::Then(_) => f.write_str("Then"),
        }
    }
}

impl Step {
    /// A step that creates objects.
    pub fn create(collection: impl Into<Name>, records: Vec<Record>) -> Self {
        Self::create_or(collection, records, OnConflict::Fail)
    }

    /// A step that creates objects, with a rule for keys that exist.
    pub fn create_or(
        collection: impl Into<Name>,
        records: Vec<Record>,
        on_conflict: OnConflict,
    ) -> Self {
        Self::Create(Create {
            collection: collection.into(),
            records,
            on_conflict,
            placeholders: Vec::new(),
            links: Vec::new(),
        })
    }

    /// A continuation.
    pub fn then(
        function: impl Fn(&Trace) -> Result<Vec<Self>> + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        Self::Then(Continuation::new(function))
    }

    /// The collection that the step is about; none for a continuation.
    #[must_use]
    pub fn collection(&self) -> Option<&Name> {
        match self {
            Self::Create(create) => Some(&create.collection),
            Self::Update { collection, .. } | Self::Delete { collection, .. } => Some(collection),
            Self::Find(query) | Self::Count(query) | Self::Require { query, .. } => {
                Some(&query.collection)
            }
            Self::Then(_) => None,
        }
    }
}

impl Step {
    /// Which objects the step is about; none for a create and a continuation.
    #[must_use]
    pub fn filter(&self) -> Option<&Filter> {
        match self {
            Self::Update { filter, .. } | Self::Delete { filter, .. } => Some(filter),
            Self::Find(query) | Self::Count(query) | Self::Require { query, .. } => {
                Some(&query.filter)
            }
            Self::Create(_) | Self::Then(_) => None,
        }
    }

    /// The collection and the filter, to change it.
    pub(crate) fn filter_mut(&mut self) -> Option<(Name, &mut Filter)> {
        match self {
            Self::Update { collection, filter, .. } | Self::Delete { collection, filter } => {
                Some((Name::clone(collection), filter))
            }
            Self::Find(query) | Self::Count(query) | Self::Require { query, .. } => {
                Some((Name::clone(&query.collection), &mut query.filter))
            }
            Self::Create(_) | Self::Then(_) => None,
        }
    }
}

impl Batch {
    /// A batch without steps, from the application.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Adds a create.
    #[must_use]
    pub fn create(self, collection: impl Into<Name>, records: Vec<Record>) -> Self {
        self.step(Step::create(collection, records))
    }

    /// Adds an update.
    #[must_use]
    pub fn update(self, collection: impl Into<Name>, filter: Filter, changes: Changes) -> Self {
        self.step(Step::Update { collection: collection.into(), filter, changes })
    }

    /// Adds a delete.
    #[must_use]
    pub fn delete(self, collection: impl Into<Name>, filter: Filter) -> Self {
        self.step(Step::Delete { collection: collection.into(), filter })
    }

    /// Adds a read whose result a later continuation sees.
    #[must_use]
    pub fn find(self, query: Query) -> Self {
        self.step(Step::Find(query))
    }

    /// Adds a precondition.
    #[must_use]
    pub fn require(self, query: Query, count: u64) -> Self {
        self.step(Step::Require { query, count })
    }

    /// The collections that its transaction covers: those that its steps name and filter by, those that continuations touch, and
    /// those that a delete brings with it.
    #[must_use]
    pub fn collections(&self, registry: &Registry) -> BTreeSet<Name> {
        crate::scope::of(self, registry)
    }

    /// Names collections that continuations touch beside those that the steps name. A continuation that goes beyond is
    /// refused, on every backend.
    #[must_use]
    pub fn touching<N: Into<Name>>(mut self, collections: impl IntoIterator<Item = N>) -> Self {
        self.touching.extend(collections.into_iter().map(Into::into));
        self
    }

    /// Adds an observer: it sees every object that the batch changes. The outcome is the same with it and without.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Adds a continuation.
    #[must_use]
    pub fn then(
        self,
        function: impl Fn(&Trace) -> Result<Vec<Step>> + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        self.step(Step::then(function))
    }
}

impl FromIterator<Step> for Batch {
    fn from_iter<T: IntoIterator<Item = Step>>(steps: T) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }
}

impl From<&Key> for Filter {
    fn from(key: &Key) -> Self {
        Self::Keys(vec![key.clone()])
    }
}

//! [`Transaction`]: what a transaction's function asks its steps of.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::batch::Step;
use crate::changes::Changes;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::nested::Reassembly;
use crate::query::Query;
use crate::record::{Key, Record};
use crate::run::{Executed, StepOutcome, Trace};
use crate::schema::{Collection, Registry};
use crate::typed::Object;
use crate::value::{Name, Timestamp};

use super::{TransactionCollection, TransactionDynamic};

/// A transaction while its function runs; see [`Storage::transaction`](crate::Storage::transaction).
///
/// Its methods, and those of the collections that it gives, are named as those of [`Storage`](crate::Storage) and do the
/// same, inside the transaction. They have the same errors, and one more: a step that has no answer yet gives an error,
/// which the function passes on with `?`.
pub struct Transaction<'a> {
    registry: &'a Registry,
    trace: &'a Trace,
    now: Timestamp,
    scope: &'a BTreeSet<Name>,
    answered: RefCell<Vec<Answered>>,
    next: Cell<usize>,
    stop: RefCell<Option<Stop>>,
}

/// Where in the trace something is.
pub(super) type Positions = SmallVec<[usize; 1]>;

/// Steps that one call of the function asks for.
pub(super) struct Ask {
    pub(super) steps: Vec<Step>,
    reassembly: Option<Arc<Reassembly>>,
}

/// A call that the function will make again in every further run.
pub(super) enum Answered {
    /// With these executed steps.
    By {
        own: Positions,
        reassembly: Option<Arc<Reassembly>>,
        /// What was asked, until the next run has asked for the same: one look at each is enough to find a function that
        /// does not do the same twice.
        asked: Option<Vec<Step>>,
    },
    /// With an error that needed no database.
    Refused,
}

/// Why the function cannot come to its end yet.
pub(super) enum Stop {
    Ask(Ask),
    /// It asked for these collections, which the transaction does not cover.
    Beyond(Vec<Name>),
    /// It asked for something else than in the run before.
    Changed,
}

/// What a call was answered with.
pub(super) struct Answer<'a> {
    executed: SmallVec<[&'a Executed; 1]>,
    pub(super) reassembly: Option<Arc<Reassembly>>,
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("step", &self.next.get()).finish_non_exhaustive()
    }
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        trace: &'a Trace,
        now: Timestamp,
        scope: &'a BTreeSet<Name>,
        answered: Vec<Answered>,
    ) -> Self {
        let (answered, next, stop) = (RefCell::new(answered), Cell::new(0), RefCell::new(None));
        Self { registry, trace, now, scope, answered, next, stop }
    }

    /// The schema.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        self.registry
    }

    /// When the transaction began, by the clock of this device: the moment that new objects get by default.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The typed face of a collection: objects are Rust structs.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`].
    pub fn collection<T: Object>(&self) -> Result<TransactionCollection<'_, T>> {
        Ok(TransactionCollection::new(self, self.registry.collection(T::COLLECTION)?))
    }

    /// The dynamic face of a collection: objects are JSON.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`].
    pub fn dynamic(&self, collection: &str) -> Result<TransactionDynamic<'_>> {
        Ok(TransactionDynamic::new(self, self.registry.collection(collection)?))
    }

    /// Reads objects.
    ///
    /// # Errors
    /// As [`Storage::find`](crate::Storage::find).
    pub fn find(&self, query: Query) -> Result<Vec<Record>> {
        Ok(self.ask(|| Ok(Ask::step(Step::Find(query))))?.found().to_vec())
    }

    /// Counts objects.
    ///
    /// # Errors
    /// As [`Storage::count`](crate::Storage::count).
    pub fn count(&self, query: Query) -> Result<u64> {
        Ok(self.ask(|| Ok(Ask::step(Step::Count(query))))?.counted())
    }

    pub(super) fn create(
        &self,
        collection: &Collection,
        records: impl FnOnce() -> Result<Vec<Record>>,
    ) -> Result<Vec<Key>> {
        let step = || Ok(Ask::step(Step::create(Name::clone(collection.name()), records()?)));
        Ok(self.ask(step)?.keys(collection))
    }

    pub(super) fn update(
        &self,
        collection: &Collection,
        parts: impl FnOnce() -> Result<(Filter, Changes)>,
    ) -> Result<Vec<Key>> {
        let step = || {
            let (filter, changes) = parts()?;
            let collection = Name::clone(collection.name());
            Ok(Ask::step(Step::Update { collection, filter, changes }))
        };
        Ok(self.ask(step)?.keys(collection))
    }

    pub(super) fn delete(
        &self,
        collection: &Collection,
        filter: impl FnOnce() -> Result<Filter>,
    ) -> Result<Vec<Key>> {
        let step = || {
            let collection = Name::clone(collection.name());
            Ok(Ask::step(Step::Delete { collection, filter: filter()? }))
        };
        Ok(self.ask(step)?.keys(collection))
    }

    /// The number of the next call: the same in every run.
    pub(super) fn number(&self) -> usize {
        self.next.get()
    }

    /// Answers a call, or notes what is to be done first. `ask` is made only where it is looked at, as a call is answered
    /// many times.
    pub(super) fn ask(&self, ask: impl FnOnce() -> Result<Ask>) -> Result<Answer<'a>> {
        if self.stop.borrow().is_some() {
            return Err(not_yet());
        }
        let number = self.next.replace(self.next.get() + 1);
        let mut answered = self.answered.borrow_mut();
        match answered.get_mut(number) {
            Some(Answered::By { own, reassembly, asked }) => {
                if let Some(before) = asked.take()
                    && !ask().is_ok_and(|now| are_same(&before, &now.steps))
                {
                    return Err(self.stop(Stop::Changed));
                }
                let executed = own.iter().filter_map(|at| self.trace.executed().get(*at));
                Ok(Answer { executed: executed.collect(), reassembly: reassembly.clone() })
            }
            Some(Answered::Refused) => match ask() {
                Err(error) => Err(error),
                Ok(_) => Err(self.stop(Stop::Changed)),
            },
            None => match ask() {
                Err(error) => {
                    answered.push(Answered::Refused);
                    Err(error)
                }
                Ok(ask) => Err(self.stop(self.begin(ask))),
            },
        }
    }

    fn begin(&self, ask: Ask) -> Stop {
        let mut collections = BTreeSet::new();
        for step in &ask.steps {
            let Some(name) = step.collection() else { continue };
            collections.insert(Name::clone(name));
            if let (Some(collection), Some(filter)) = (self.registry.find(name), step.filter()) {
                filter.visit_related(collection, self.registry, &mut |name| {
                    collections.insert(Name::clone(name));
                });
            }
        }
        let beyond: Vec<Name> =
            collections.into_iter().filter(|name| !self.scope.contains(name)).collect();
        if beyond.is_empty() { Stop::Ask(ask) } else { Stop::Beyond(beyond) }
    }

    fn stop(&self, stop: Stop) -> Error {
        *self.stop.borrow_mut() = Some(stop);
        not_yet()
    }

    /// What the next run has to know, and why there is one.
    pub(super) fn finish(self) -> (Vec<Answered>, Option<Stop>) {
        let (answered, stop) = (self.answered.into_inner(), self.stop.into_inner());
        // One that comes to its end sooner than before did not do the same either.
        let left = stop.is_none() && self.next.get() < answered.len();
        (answered, if left { Some(Stop::Changed) } else { stop })
    }
}

impl Ask {
    fn step(step: Step) -> Self {
        Self { steps: vec![step], reassembly: None }
    }

    pub(super) fn nested(steps: Vec<Step>, reassembly: Reassembly) -> Self {
        Self { steps, reassembly: Some(Arc::new(reassembly)) }
    }
}

impl Answered {
    pub(super) fn by(ask: Ask, own: Positions) -> Self {
        Self::By { own, reassembly: ask.reassembly, asked: Some(ask.steps) }
    }
}

impl<'a> Answer<'a> {
    fn found(&self) -> &'a [Record] {
        match self.executed.first().map(|executed| &executed.outcome) {
            Some(StepOutcome::Found(records)) => records,
            _ => &[],
        }
    }

    fn counted(&self) -> u64 {
        match self.executed.first().map(|executed| &executed.outcome) {
            Some(StepOutcome::Counted(count)) => *count,
            _ => 0,
        }
    }

    fn keys(&self, collection: &Collection) -> Vec<Key> {
        self.executed.iter().flat_map(|executed| executed.keys(collection)).collect()
    }

    /// What the `n`-th step of the call did.
    pub(super) fn executed(&self, n: usize) -> Option<&'a Executed> {
        self.executed.get(n).copied()
    }
}

/// What a call gives whose answer is not there yet. The function leaves with it; nobody sees it but who looks for it.
fn not_yet() -> Error {
    let reason = "the transaction waits for the database: pass this error on with `?`";
    Error::Aborted { reason: reason.to_owned() }
}

fn are_same(a: &[Step], b: &[Step]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
}

fn is_same(a: &Step, b: &Step) -> bool {
    match (a, b) {
        (Step::Create(a), Step::Create(b)) => a == b,
        (
            Step::Update { collection, filter, changes },
            Step::Update { collection: other, filter: other_filter, changes: other_changes },
        ) => collection == other && filter == other_filter && changes == other_changes,
        (
            Step::Delete { collection, filter },
            Step::Delete { collection: other, filter: other_filter },
        ) => collection == other && filter == other_filter,
        (Step::Find(a), Step::Find(b)) | (Step::Count(a), Step::Count(b)) => a == b,
        _ => false,
    }
}

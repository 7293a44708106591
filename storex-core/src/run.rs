//! [`BatchRun`]: drives a batch, step by step; every backend executes its steps through it.
//!
//! The backend opens a transaction, asks for the next step, executes it, tells the outcome, and commits when there is no
//! further step. Checks, placeholders, preconditions and continuations are dealt with here, once, so that a backend
//! knows only five kinds of steps: create, update, delete, find, count.
//!
//! ```text
//! while let Some(step) = run.next_step()? {
//!     let outcome = execute(step)?;   // Create, Update, Delete, Find or Count
//!     run.record(outcome)?;
//! }
//! commit()?; Ok(run.finish())
//! ```

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::batch::{Batch, Create, Link, OnConflict, Origin, Step};
use crate::cascade::{self, Deleting};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::observe::{ObjectImages, Observation, Stage};
use crate::query::Query;
use crate::record::{Key, Record};
use crate::related;
use crate::rules::{Question, Rules};
use crate::schema::{Collection, Registry};
use crate::scope;
use crate::value::Name;

/// What a step did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StepOutcome {
    /// The records of the step were created, except those at these positions, which were there before
    /// ([`OnConflict::Skip`]).
    Created {
        /// Positions of the records that were left out, ascending.
        skipped: Vec<usize>,
    },
    /// These objects were changed.
    Updated {
        /// Their keys.
        keys: Vec<Key>,
        /// Where [`Changes::tells_objects`](crate::Changes::tells_objects): the whole objects as they are now, in the order
        /// of the keys; else empty.
        records: Vec<Record>,
        /// Relative changes that changed nothing (see [`apply_changes`](crate::apply_changes)): the object's place among the
        /// keys, ascending, and the field. They are no writes, and sync does not send them.
        unchanged: Vec<(usize, Name)>,
    },
    /// These objects were deleted.
    Deleted {
        /// Their keys.
        keys: Vec<Key>,
    },
    /// These objects were found.
    Found(Vec<Record>),
    /// So many objects were counted.
    Counted(u64),
}

/// A step that was executed, and what it did.
#[derive(Debug, Clone)]
pub struct Executed {
    /// The step, checked, with its placeholders filled in.
    pub step: Step,
    /// What it did.
    pub outcome: StepOutcome,
    /// Which step of the batch it is or comes from (a continuation's steps have the continuation's number).
    pub origin: usize,
}

/// What has been executed so far: what a continuation sees.
#[derive(Debug, Default)]
pub struct Trace {
    executed: Vec<Executed>,
}

impl Trace {
    /// The executed steps, in order.
    #[must_use]
    pub fn executed(&self) -> &[Executed] {
        &self.executed
    }

    /// The last step that was executed.
    #[must_use]
    pub fn last(&self) -> Option<&Executed> {
        self.executed.last()
    }

    /// The records of the `back`-th last step, if it was a find: 0 is the last step.
    #[must_use]
    pub fn found(&self, back: usize) -> &[Record] {
        let at = self.executed.len().checked_sub(back + 1);
        match at.and_then(|at| self.executed.get(at)).map(|executed| &executed.outcome) {
            Some(StepOutcome::Found(records)) => records,
            _ => &[],
        }
    }
}

/// What a batch did.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    executed: Vec<Executed>,
    placeholders: HashMap<Name, Key>,
    images: Vec<ObjectImages>,
}

impl BatchOutcome {
    /// Everything that was executed, in order.
    #[must_use]
    pub fn executed(&self) -> &[Executed] {
        &self.executed
    }

    /// The same, by value: whoever wants the records need not copy them.
    #[must_use]
    pub fn into_executed(self) -> Vec<Executed> {
        self.executed
    }

    /// What came of the `n`-th step of the batch: one outcome, or several for a continuation.
    pub fn of_step(&self, n: usize) -> impl Iterator<Item = &Executed> {
        self.executed.iter().filter(move |executed| executed.origin == n)
    }

    /// The key of the object that was created under a placeholder.
    #[must_use]
    pub fn key(&self, placeholder: &str) -> Option<&Key> {
        self.placeholders.get(placeholder)
    }

    /// The objects that the last find of the batch has found.
    #[must_use]
    pub fn into_found(self) -> Vec<Record> {
        let found = self.executed.into_iter().rev().find_map(|executed| match executed.outcome {
            StepOutcome::Found(records) => Some(records),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// The number that the last count of the batch has counted.
    #[must_use]
    pub fn into_counted(self) -> u64 {
        let counted = self.executed.into_iter().rev().find_map(|executed| match executed.outcome {
            StepOutcome::Counted(count) => Some(count),
            _ => None,
        });
        counted.unwrap_or_default()
    }

    /// Forgets what came of steps from the `n`-th on: a middleware that adds steps hides them with this.
    pub fn hide_from(&mut self, n: usize) {
        self.executed.retain(|executed| executed.origin < n);
    }

    /// What the observers of the batch are to be told, once.
    pub(crate) fn take_images(&mut self) -> Vec<ObjectImages> {
        std::mem::take(&mut self.images)
    }
}

/// Drives a batch; see the module's description.
#[derive(Debug)]
pub struct BatchRun {
    registry: Arc<Registry>,
    scope: BTreeSet<Name>,
    /// Where the batch comes from: what a delete brings with it has been logged on the device that made it, so a batch of
    /// sync holds it already.
    origin: Origin,
    /// What is still to do, last first.
    queue: Vec<(usize, Task)>,
    deleting: Deleting,
    current: Option<Current>,
    trace: Trace,
    placeholders: HashMap<Name, Key>,
    /// What has to be looked at when everything is done.
    rules: Rules,
    /// Whether the backend itself understands filters on related objects.
    keeps_related: bool,
    observation: Observation,
}

#[derive(Debug)]
enum Task {
    Step(Step),
    /// A step with a filter on related objects, which the step before has found.
    Answered {
        step: Step,
        required: Option<u64>,
    },
    /// A rule of relations, of which the step before has found out how it stands.
    Judge(Question),
    /// A delete whose objects were found by the step before: what points to them comes first.
    Cascade(Name),
    /// A delete for which nothing is left to follow.
    Delete(Name, Vec<Key>),
    /// A step that is checked, and where its observation stands.
    Checked(Step, Stage),
}

#[derive(Debug)]
struct Current {
    origin: usize,
    step: Step,
    /// A precondition: how many objects there must be.
    required: Option<u64>,
    stage: Stage,
}

/// The number of the step that the rules' own questions come from: none of the batch.
const RULES: usize = usize::MAX;

fn found_by(asked: Option<&Executed>) -> &[Record] {
    match asked.map(|executed| &executed.outcome) {
        Some(StepOutcome::Found(records)) => records,
        _ => &[],
    }
}

impl BatchRun {
    /// Begins a batch.
    #[must_use]
    pub fn new(registry: Arc<Registry>, batch: Batch) -> Self {
        let origin = batch.origin;
        let scope = scope::of(&batch, &registry);
        let steps = batch.steps.into_iter().enumerate();
        Self {
            registry,
            scope,
            origin,
            queue: steps.map(|(n, step)| (n, Task::Step(step))).rev().collect(),
            deleting: Deleting::new(),
            current: None,
            trace: Trace::default(),
            placeholders: HashMap::new(),
            rules: Rules::default(),
            keeps_related: false,
            observation: Observation::new(batch.observers),
        }
    }

    /// Leaves filters on related objects ([`Filter::Related`]) to the backend. Without this, the objects at the other end
    /// are looked up by a find of its own, and the backend never sees such a filter.
    #[must_use]
    pub fn keeping_related(mut self) -> Self {
        self.keeps_related = true;
        self
    }

    /// The next step to execute, checked: a create, update, delete, find or count. `None`: commit.
    ///
    /// # Errors
    /// What is wrong with the step, or what a continuation refuses with: roll back.
    pub fn next_step(&mut self) -> Result<Option<&Step>> {
        while let Some((origin, task)) = self.next_task() {
            let (step, required) = match task {
                Task::Step(Step::Then(continuation)) => {
                    let steps = continuation.call(&self.trace)?;
                    self.queue
                        .extend(steps.into_iter().rev().map(|step| (origin, Task::Step(step))));
                    continue;
                }
                Task::Step(Step::Require { query, count }) => (Step::Count(query), Some(count)),
                Task::Step(Step::Delete { collection, filter }) => {
                    (self.begin_delete(origin, collection, filter)?, None)
                }
                Task::Step(step) => (step, None),
                Task::Cascade(collection) => {
                    self.cascade(origin, collection)?;
                    continue;
                }
                Task::Delete(collection, keys) => {
                    // From here on they are gone: the batch may create them again, and delete them again.
                    for key in &keys {
                        self.deleting.remove(&(Name::clone(&collection), key.clone()));
                    }
                    (Step::Delete { collection, filter: Filter::Keys(keys) }, None)
                }
                Task::Answered { step, required } => (self.answered(step)?, required),
                Task::Judge(question) => {
                    let asked = self.trace.executed.pop();
                    question.judge(found_by(asked.as_ref()), &self.registry)?;
                    continue;
                }
                Task::Checked(step, stage) => {
                    let current = Current { origin, step, required: None, stage };
                    return Ok(Some(&self.current.insert(current).step));
                }
            };
            let mut step = self.check(step)?;
            if let Some(question) = self.question(&mut step)? {
                self.queue.push((origin, Task::Answered { step, required }));
                self.queue.push((origin, Task::Step(Step::Find(question))));
                continue;
            }
            let (step, stage) = self.observation.begin(&self.registry, step)?;
            let current = self.current.insert(Current { origin, step, required, stage });
            return Ok(Some(&current.step));
        }
        Ok(None)
    }

    /// What is to be done next: what is left of the batch, and in the end a look at the rules of relations.
    fn next_task(&mut self) -> Option<(usize, Task)> {
        if self.queue.is_empty() {
            for (question, query) in self.rules.questions(&self.registry) {
                self.queue.push((RULES, Task::Judge(question)));
                self.queue.push((RULES, Task::Step(Step::Find(query))));
            }
        }
        self.queue.pop()
    }

    /// What has to be found before the step can be executed: the objects at the other end of a relation.
    fn question(&self, step: &mut Step) -> Result<Option<Query>> {
        if self.keeps_related {
            return Ok(None);
        }
        let Some((collection, filter)) = step.filter_mut() else { return Ok(None) };
        let Some(Filter::Related { relation, filter }) = filter.first_related() else {
            return Ok(None);
        };
        let collection = self.registry.collection(&collection)?;
        related::question(collection, relation, (**filter).clone(), &self.registry).map(Some)
    }

    /// Puts what was found in the place of the filter that asked for it; of the question nothing is left in the trace.
    fn answered(&mut self, mut step: Step) -> Result<Step> {
        let asked = self.trace.executed.pop();
        let found = found_by(asked.as_ref());
        if let Some((collection, filter)) = step.filter_mut()
            && let Some(related) = filter.first_related()
            && let Filter::Related { relation, .. } = &*related
        {
            let collection = self.registry.collection(&collection)?;
            *related = related::answer(collection, relation, found, &self.registry)?;
        }
        Ok(step)
    }

    /// A delete that brings nothing with it stays as it is; else it begins with finding what it is about.
    fn begin_delete(&mut self, origin: usize, collection: Name, filter: Filter) -> Result<Step> {
        let schema = self.registry.collection(&collection)?;
        if self.origin == Origin::Sync || schema.referrers().is_empty() {
            return Ok(Step::Delete { collection, filter });
        }
        scope::check(&self.scope, schema)?;
        scope::check_delete(&self.scope, schema, &self.registry)?;
        let find = cascade::find(schema, filter);
        self.queue.push((origin, Task::Cascade(collection)));
        Ok(find)
    }

    fn cascade(&mut self, origin: usize, collection: Name) -> Result<()> {
        let schema = self.registry.collection(&collection)?;
        self.rules.deleting(schema, self.trace.found(0));
        let (steps, keys) = cascade::follow(schema, self.trace.found(0), &mut self.deleting);
        self.queue.push((origin, Task::Delete(collection, keys)));
        self.queue.extend(steps.into_iter().rev().map(|step| (origin, Task::Step(step))));
        Ok(())
    }

    /// Takes what the step given last did.
    ///
    /// # Errors
    /// [`Error::Precondition`], or what an observer refuses with: roll back.
    pub fn record(&mut self, outcome: StepOutcome) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        if let (Some(required), StepOutcome::Counted(counted), Step::Count(query)) =
            (current.required, &outcome, &current.step)
            && required != *counted
        {
            return Err(Error::Precondition {
                collection: Name::clone(&query.collection),
                reason: format!("{counted} objects match where {required} are required"),
            });
        }
        let next = match current.stage {
            Stage::Before(step) => Some(self.observation.read(&self.registry, step, outcome)?),
            Stage::After(images) => {
                self.observation.read_back(&self.registry, images, outcome)?;
                None
            }
            stage => {
                let executed = Executed { step: current.step, outcome, origin: current.origin };
                if self.origin == Origin::Local {
                    self.check_outcome(&executed)?;
                    self.rules.note(&executed, &self.registry);
                }
                let next = match stage {
                    Stage::Observed(before) => {
                        self.observation.executed(&self.registry, &executed, before)?
                    }
                    _ => None,
                };
                self.trace.executed.push(executed);
                next
            }
        };
        self.queue.extend(next.map(|(step, stage)| (current.origin, Task::Checked(step, stage))));
        Ok(())
    }

    /// What an update has made of the objects must be as the rules say, where only the result can tell.
    fn check_outcome(&self, executed: &Executed) -> Result<()> {
        let StepOutcome::Updated { records, .. } = &executed.outcome else { return Ok(()) };
        let collection = executed.step.collection().and_then(|name| self.registry.find(name));
        match collection {
            Some(collection) if collection.has_checks() => records.iter().try_for_each(|record| {
                if let Step::Update { changes, .. } = &executed.step {
                    for (name, _) in changes.iter() {
                        let at = collection.require(name)?;
                        collection.check_constraints(&collection.fields()[at], record.get(at))?;
                    }
                }
                collection.check_rules(record)
            }),
            _ => Ok(()),
        }
    }

    /// The outcome, once [`BatchRun::next_step`] has given `None`.
    #[must_use]
    pub fn finish(self) -> BatchOutcome {
        BatchOutcome {
            executed: self.trace.executed,
            placeholders: self.placeholders,
            images: self.observation.finish(),
        }
    }

    /// The collections that the batch may touch, by name: a backend that locks collections locks these. One that the
    /// registry does not know may be among them; the step that names it is refused when it comes.
    pub fn collections(&self) -> impl Iterator<Item = &Name> {
        self.scope.iter()
    }

    /// The registry that the batch is checked against.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    fn check(&mut self, step: Step) -> Result<Step> {
        if let Some(collection) = step.collection() {
            let collection = self.registry.collection(collection)?;
            scope::check(&self.scope, collection)?;
            if let Some(filter) = step.filter() {
                scope::check_filter(&self.scope, collection, filter, &self.registry)?;
            }
        }
        Ok(match step {
            Step::Create(create) => Step::Create(self.check_create(create)?),
            Step::Update { collection, mut filter, mut changes } => {
                let schema = self.registry.collection(&collection)?;
                filter.check(schema, &self.registry)?;
                changes.check(schema)?;
                if self.origin == Origin::Local && schema.has_checks() {
                    changes = changes.checked(schema)?;
                }
                Step::Update { collection, filter, changes }
            }
            Step::Delete { collection, mut filter } => {
                filter.check(self.registry.collection(&collection)?, &self.registry)?;
                Step::Delete { collection, filter }
            }
            Step::Find(mut query) => {
                query.check(&self.registry)?;
                Step::Find(query)
            }
            Step::Count(mut query) => {
                query.check(&self.registry)?;
                Step::Count(query)
            }
            other => other,
        })
    }

    fn check_create(&mut self, mut create: Create) -> Result<Create> {
        let registry = Arc::clone(&self.registry);
        let schema = registry.collection(&create.collection)?;
        for link in std::mem::take(&mut create.links) {
            self.fill_link(schema, &mut create.records, &link)?;
        }
        let checks = self.origin == Origin::Local && schema.has_checks();
        for record in &mut create.records {
            schema.check_record(record)?;
            if self.origin == Origin::Local {
                schema.check_key(record)?;
            }
            if checks {
                schema.check_object(record)?;
            }
        }
        for (at, placeholder) in &create.placeholders {
            let Some(record) = create.records.get(*at) else {
                let reason = format!(
                    "placeholder `{placeholder}` stands for record {at}, which the step has not"
                );
                return Err(Error::invalid(&create.collection, reason));
            };
            let known = self.placeholders.insert(Name::clone(placeholder), schema.key_of(record));
            if known.is_some() {
                let reason = format!("placeholder `{placeholder}` is used twice in the batch");
                return Err(Error::invalid(&create.collection, reason));
            }
        }
        Ok(create)
    }

    fn fill_link(&self, schema: &Collection, records: &mut [Record], link: &Link) -> Result<()> {
        let at = schema.require(&link.field)?;
        let Some(key) = self.placeholders.get(&link.placeholder) else {
            let reason = format!(
                "field `{}` refers to placeholder `{}`, which no earlier step has created",
                link.field, link.placeholder
            );
            return Err(Error::invalid(schema.name(), reason));
        };
        let Some(value) = key.as_single() else {
            let reason = format!(
                "field `{}` refers to placeholder `{}`, whose key has several fields",
                link.field, link.placeholder
            );
            return Err(Error::invalid(schema.name(), reason));
        };
        let Some(record) = records.get_mut(link.record) else {
            let reason = format!(
                "field `{}` of record {} is to be linked, which the step has not",
                link.field, link.record
            );
            return Err(Error::invalid(schema.name(), reason));
        };
        record.set(at, value.clone());
        Ok(())
    }
}

impl Executed {
    /// The keys of the objects that the step created, changed or deleted; none for a read.
    #[must_use]
    pub fn keys(&self, collection: &Collection) -> Vec<Key> {
        match (&self.step, &self.outcome) {
            (Step::Create(create), StepOutcome::Created { skipped }) => {
                created(create, skipped).map(|record| collection.key_of(record)).collect()
            }
            (_, StepOutcome::Updated { keys, .. } | StepOutcome::Deleted { keys }) => keys.clone(),
            _ => Vec::new(),
        }
    }
}

/// The records of a create that were not left out.
pub fn created<'a>(create: &'a Create, skipped: &'a [usize]) -> impl Iterator<Item = &'a Record> {
    debug_assert!(skipped.is_empty() || create.on_conflict == OnConflict::Skip);
    let mut left_out = skipped.iter().peekable();
    create.records.iter().enumerate().filter_map(move |(at, record)| {
        if left_out.next_if(|skipped| **skipped == at).is_some() { None } else { Some(record) }
    })
}

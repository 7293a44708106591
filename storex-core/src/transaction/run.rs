//! What runs a transaction's function, again and again: the continuations of its batch.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::Step;
use crate::error::{Error, Result};
use crate::maybe::{MaybeSend, MaybeSync};
use crate::run::{StepOutcome, Trace};
use crate::runtime::Runtime;
use crate::schema::Registry;
use crate::storage::Storage;
use crate::value::{Name, Timestamp};

use super::steps::{Answered, Ask, Positions, Stop, Transaction};

/// How a function came to its end.
pub(super) enum End<R, E> {
    /// With this result: commit.
    Done(R),
    /// With this error: roll back.
    Failed(E),
    /// It asked for these collections, which the transaction does not cover.
    Beyond(Vec<Name>),
}

/// The application's function, and how it ended.
pub(super) struct Function<F, R, E> {
    function: F,
    registry: Arc<Registry>,
    runtime: Arc<dyn Runtime>,
    end: Mutex<Option<End<R, E>>>,
}

/// One run of the batch. A batch may be run again from its beginning, which makes another one.
struct Run {
    scope: Arc<BTreeSet<Name>>,
    now: Timestamp,
    answered: Vec<Answered>,
    /// What the database is working on.
    asked: Option<Asked>,
}

struct Asked {
    ask: Ask,
    /// How many of its steps were given to the database.
    given: usize,
    /// How much was executed before the one given last.
    before: usize,
    own: Positions,
}

impl<F, R, E> Function<F, R, E>
where
    F: Fn(&Transaction<'_>) -> Result<R, E> + MaybeSend + MaybeSync + 'static,
    R: MaybeSend + 'static,
    E: MaybeSend + 'static,
{
    pub(super) fn new(storage: &Storage, function: F) -> Self {
        Self {
            function,
            registry: Arc::clone(storage.registry()),
            runtime: Arc::clone(storage.runtime()),
            end: Mutex::new(None),
        }
    }

    /// How the function ended in the batch that was executed last.
    pub(super) fn take_end(&self) -> Option<End<R, E>> {
        lock(&self.end).take()
    }

    /// What the function asks for first, found out without the database.
    pub(super) fn first_collections(&self) -> BTreeSet<Name> {
        let (trace, nothing) = (Trace::default(), BTreeSet::new());
        let now = self.runtime.now();
        let tx = Transaction::new(&self.registry, &trace, now, &nothing, Vec::new());
        // A result counts inside the transaction only.
        let _ = (self.function)(&tx);
        match tx.finish().1 {
            Some(Stop::Beyond(collections)) => collections.into_iter().collect(),
            _ => BTreeSet::new(),
        }
    }

    /// The continuation with which a batch begins.
    pub(super) fn begin(self: &Arc<Self>, scope: Arc<BTreeSet<Name>>) -> Step {
        let function = Arc::clone(self);
        Step::then(move |trace| {
            *lock(&function.end) = None;
            let (scope, now) = (Arc::clone(&scope), function.runtime.now());
            let run = Arc::new(Mutex::new(Run { scope, now, answered: Vec::new(), asked: None }));
            function.advance(&run, trace)
        })
    }

    /// Takes what was executed, and goes on: with the next step of the ask, else with the function.
    fn advance(self: &Arc<Self>, run: &Arc<Mutex<Run>>, trace: &Trace) -> Result<Vec<Step>> {
        let mut this = lock(run);
        if let Some(asked) = &mut this.asked {
            asked.take_answer(trace)?;
        }
        let next = match this.asked.take() {
            Some(asked) if asked.given < asked.ask.steps.len() => Some(asked),
            Some(Asked { ask, own, .. }) => {
                this.answered.push(Answered::by(ask, own));
                self.call(&mut this, trace)?
            }
            None => self.call(&mut this, trace)?,
        };
        let Some(mut asked) = next else { return Ok(Vec::new()) };
        let Some(step) = asked.ask.steps.get(asked.given).cloned() else { return Ok(Vec::new()) };
        asked.given += 1;
        asked.before = trace.executed().len();
        this.asked = Some(asked);
        let (function, run) = (Arc::clone(self), Arc::clone(run));
        Ok(vec![step, Step::then(move |trace| function.advance(&run, trace))])
    }

    /// Runs the function. `None`: it has come to its end, commit.
    fn call(&self, run: &mut Run, trace: &Trace) -> Result<Option<Asked>> {
        let answered = std::mem::take(&mut run.answered);
        let tx = Transaction::new(&self.registry, trace, run.now, &run.scope, answered);
        let result = (self.function)(&tx);
        let (answered, stop) = tx.finish();
        run.answered = answered;
        let end = match (stop, result) {
            (Some(Stop::Ask(ask)), _) => {
                return Ok(Some(Asked { ask, given: 0, before: 0, own: Positions::new() }));
            }
            (Some(Stop::Changed), _) => {
                let reason = "the function of the transaction asked for something else when it was run again: make identifiers, times and random numbers before the transaction";
                return Err(Error::Aborted { reason: reason.to_owned() });
            }
            (Some(Stop::Beyond(collections)), _) => End::Beyond(collections),
            (None, Ok(result)) => {
                *lock(&self.end) = Some(End::Done(result));
                return Ok(None);
            }
            (None, Err(error)) => End::Failed(error),
        };
        *lock(&self.end) = Some(end);
        Err(Error::Aborted { reason: "the function of the transaction gave it up".to_owned() })
    }
}

impl Asked {
    /// Finds what the step given last has done. What else was executed since comes from a cascade, or from a middleware.
    fn take_answer(&mut self, trace: &Trace) -> Result<()> {
        let Some(step) = self.given.checked_sub(1).and_then(|n| self.ask.steps.get(n)) else {
            return Ok(());
        };
        let since = trace.executed().iter().enumerate().skip(self.before);
        let mut own = since.filter(|(_, executed)| {
            executed.step.collection() == step.collection() && answers(step, &executed.outcome)
        });
        let before = self.own.len();
        match step {
            // Of a collection that points to itself a delete may be several.
            Step::Delete { .. } => self.own.extend(own.map(|(at, _)| at)),
            _ => self.own.extend(own.next_back().map(|(at, _)| at)),
        }
        if self.own.len() == before {
            let reason = "a middleware has taken a step of the transaction away";
            return Err(Error::Aborted { reason: reason.to_owned() });
        }
        Ok(())
    }
}

fn answers(step: &Step, outcome: &StepOutcome) -> bool {
    matches!(
        (step, outcome),
        (Step::Create(_), StepOutcome::Created { .. })
            | (Step::Update { .. }, StepOutcome::Updated { .. })
            | (Step::Delete { .. }, StepOutcome::Deleted { .. })
            | (Step::Find(_), StepOutcome::Found(_))
            | (Step::Count(_), StepOutcome::Counted(_))
    )
}

/// After a panic of the function nothing of its run is used any more.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

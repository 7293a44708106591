//! [`Traced`]: a span of `tracing` around every operation.

use async_trait::async_trait;
use tracing::field::Empty;
use tracing::{Instrument, Level, Span};

use crate::batch::Batch;
use crate::error::{Error, ErrorKind, Result};
use crate::middleware::{Context, Middleware, Next};
use crate::operation::{Operation, Outcome};
use crate::run::StepOutcome;
use crate::value::Name;

/// Puts a span of [`tracing`] around every operation: `storex`, at the level `INFO`, target `storex::operation`.
///
/// | field | what |
/// |---|---|
/// | `operation` | `find`, `count`, `execute` or `custom` |
/// | `collections` | the collections that it names, or the name of the custom operation |
/// | `steps` | the steps of a batch, those of its continuations not among them |
/// | `milliseconds` | how long it took, by the [`Runtime`](crate::Runtime)'s clock |
/// | `rows` | how many objects were found, or created, changed and deleted |
///
/// It ends with an event: `DEBUG` when the operation succeeded or was refused for what it asks (`kind` names the
/// [`ErrorKind`]), `WARN` when the database failed. **Values never occur**, not even in errors.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traced(());

impl Traced {
    /// A span around every operation.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for Traced {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let span = span(&operation);
        let begun = cx.runtime().now();
        let runtime = std::sync::Arc::clone(cx.runtime());
        let result = next.run(cx, operation).instrument(span.clone()).await;
        // The wall clock may have stepped back.
        let milliseconds = runtime.now().0.saturating_sub(begun.0).max(0);
        span.record("milliseconds", milliseconds);
        span.in_scope(|| match &result {
            Ok(outcome) => {
                span.record("rows", rows(outcome));
                tracing::debug!(target: "storex::operation", "done");
            }
            Err(error) => tell(error),
        });
        result
    }
}

fn span(operation: &Operation) -> Span {
    if !tracing::enabled!(target: "storex::operation", Level::INFO) {
        return Span::none();
    }
    let (collections, steps) = match operation {
        Operation::Find(query) | Operation::Count(query) => (query.collection.to_string(), 1),
        Operation::Aggregate(aggregation) => (aggregation.collection.to_string(), 1),
        Operation::Execute(batch) => (collections(batch), batch.steps.len()),
        Operation::Custom(custom) => (custom.name.to_string(), 1),
    };
    tracing::info_span!(
        target: "storex::operation",
        "storex",
        operation = operation.name(),
        collections,
        steps,
        milliseconds = Empty,
        rows = Empty,
    )
}

/// The collections of a batch, each once, in the order of its steps.
fn collections(batch: &Batch) -> String {
    let mut names: Vec<&Name> = Vec::new();
    for name in batch.steps.iter().filter_map(|step| step.collection()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.iter().map(|name| &***name).collect::<Vec<_>>().join(",")
}

fn rows(outcome: &Outcome) -> u64 {
    let rows = match outcome {
        Outcome::Found(records) | Outcome::Aggregated(records) => records.len(),
        Outcome::Counted(_) | Outcome::Custom(_) => 0,
        Outcome::Executed(executed) => {
            let changed = executed.executed().iter().map(|it| match (&it.step, &it.outcome) {
                (crate::Step::Create(create), StepOutcome::Created { skipped }) => {
                    create.records.len() - skipped.len()
                }
                (_, StepOutcome::Updated { keys, .. } | StepOutcome::Deleted { keys }) => {
                    keys.len()
                }
                _ => 0,
            });
            changed.sum()
        }
    };
    rows as u64
}

/// The message of an error may hold keys and values; its kind does not.
fn tell(error: &Error) {
    let kind = error.kind();
    match kind {
        ErrorKind::Busy
        | ErrorKind::Corrupt
        | ErrorKind::Full
        | ErrorKind::Io
        | ErrorKind::Other => {
            tracing::warn!(target: "storex::operation", ?kind, "failed");
        }
        _ => tracing::debug!(target: "storex::operation", ?kind, "refused"),
    }
}

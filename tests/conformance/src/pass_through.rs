//! [`PassThrough`]: a middleware that changes nothing.

use async_trait::async_trait;
use storex_core::{Context, Middleware, Next, Operation, Outcome, Result, Step};

/// Passes everything on, but takes every batch apart and puts it together again, continuations included, as a middleware
/// does that adds something.
///
/// A backend that passes the suite must pass it behind this one too.
#[derive(Debug, Clone, Copy, Default)]
pub struct PassThrough;

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for PassThrough {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let operation = match operation {
            Operation::Execute(mut batch) => {
                batch.steps = batch.steps.into_iter().map(rebuild).collect();
                Operation::Execute(batch)
            }
            other => other,
        };
        next.run(cx, operation).await
    }
}

fn rebuild(step: Step) -> Step {
    match step {
        Step::Then(continuation) => Step::then(move |trace| {
            Ok(continuation.call(trace)?.into_iter().map(rebuild).collect())
        }),
        step => step,
    }
}

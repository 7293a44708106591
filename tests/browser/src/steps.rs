//! The named steps of a batch, as `tracing` events with the target `storex::step`: at one of them the page or worker is called back, and
//! stops there.

use std::cell::RefCell;
use std::fmt;

use async_trait::async_trait;
use js_sys::Function;
use storex_core::{Batch, Context, Middleware, Next, Operation, Outcome, Result};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

thread_local! {
    static AWAITED: RefCell<Option<Awaited>> = const { RefCell::new(None) };
}

/// What is called at which step.
struct Awaited {
    step: String,
    /// How often it is still to be reached.
    left: u32,
    call: Function,
}

/// Calls back, once, when a step is reached for the `times`-th time from now. For as long as the call lasts, all stands still.
#[wasm_bindgen]
pub fn at_step(step: String, times: u32, call: Function) {
    AWAITED.with(|awaited| *awaited.borrow_mut() = Some(Awaited { step, left: times, call }));
    // An error means that it is there from an earlier call.
    let _ = tracing::subscriber::set_global_default(Steps);
}

/// A step of the tests' own.
pub(crate) fn step(step: &'static str) {
    tracing::trace!(target: "storex::step", step);
}

/// A batch with one more step: a continuation that does nothing but be there.
pub(crate) fn mark(batch: Batch, name: &'static str) -> Batch {
    batch.then(move |_| {
        step(name);
        Ok(Vec::new())
    })
}

/// Marks the end of every batch: behind `SyncLog` it is after the log was written, and before the commit.
#[derive(Debug)]
pub(crate) struct MarkEnd;

#[async_trait(?Send)]
impl Middleware for MarkEnd {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let operation = match operation {
            Operation::Execute(batch) => Operation::Execute(mark(batch, "batch.logged")),
            other => other,
        };
        next.run(cx, operation).await
    }
}

/// Listens to the steps.
#[derive(Debug)]
struct Steps;

impl Subscriber for Steps {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "storex::step"
    }

    fn event(&self, event: &Event<'_>) {
        let mut name = StepName(String::new());
        event.record(&mut name);
        let reached = AWAITED
            .with(|awaited| awaited.borrow_mut().take_if(|awaited| awaited.is_reached_by(&name.0)));
        if let Some(Awaited { call, .. }) = reached {
            // A page that fails at it is found by the scenario's patience.
            let _ = call.call0(&JsValue::UNDEFINED);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Awaited {
    fn is_reached_by(&mut self, step: &str) -> bool {
        self.left = self.left.saturating_sub(u32::from(step == self.step));
        self.left == 0
    }
}

struct StepName(String);

impl Visit for StepName {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "step" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

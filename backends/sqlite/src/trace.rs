//! The named steps of a write, for whoever listens to the target `storex::step`: the kill tests end the process at each.

/// Names a step.
pub(crate) fn step(step: &'static str) {
    tracing::trace!(target: "storex::step", step);
}

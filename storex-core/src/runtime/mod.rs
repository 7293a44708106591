//! [`Runtime`]: time, randomness and tasks, injected.

#[cfg(all(feature = "tokio-runtime", not(target_family = "wasm")))]
mod tokio;
#[cfg(all(feature = "web-runtime", target_family = "wasm"))]
mod web;

#[cfg(all(feature = "tokio-runtime", not(target_family = "wasm")))]
pub use tokio::TokioRuntime;
#[cfg(all(feature = "web-runtime", target_family = "wasm"))]
pub use web::WebRuntime;

use std::fmt;
use std::time::Duration;

use crate::maybe::{BoxFuture, MaybeSend, MaybeSync};
use crate::value::Timestamp;

/// Time, randomness and tasks: everything that a simulator must own.
///
/// Nothing in storex reads a clock, draws a random number, sleeps or spawns except through this trait.
pub trait Runtime: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// The wall clock. It may step back; whoever needs an order uses the hybrid logical clock above it.
    fn now(&self) -> Timestamp;
    /// Completes after `duration`. Cancel-safe: dropping the future forgets the timer.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// Runs a task to its end beside the caller.
    fn spawn(&self, task: BoxFuture<'static, ()>);
    /// Fills the buffer with random bytes fit for identifiers, and for keys where devices are paired: outside of tests nobody else may be
    /// able to tell them beforehand.
    fn fill_random(&self, buffer: &mut [u8]);
}

//! [`Runtime`]: time, randomness and tasks, injected.

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
    /// Fills the buffer with random bytes fit for identifiers.
    fn fill_random(&self, buffer: &mut [u8]);
}

/// The [`Runtime`] of native programs: the system's clock and randomness, tokio's timers and tasks.
///
/// `sleep` and `spawn` must be called from within a tokio runtime.
#[cfg(all(feature = "tokio-runtime", not(target_family = "wasm")))]
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioRuntime;

#[cfg(all(feature = "tokio-runtime", not(target_family = "wasm")))]
#[allow(clippy::disallowed_methods)] // this is the runtime that everything else is told to ask
impl Runtime for TokioRuntime {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(match since {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        })
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        if let Err(error) = getrandom::fill(buffer) {
            // Not reachable on a system that booted; identifiers must not be made up without randomness.
            tracing::error!(%error, "the system has no randomness");
            std::process::abort();
        }
    }
}

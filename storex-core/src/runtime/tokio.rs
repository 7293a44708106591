//! [`TokioRuntime`]: the system's clock and randomness, tokio's timers and tasks.

use std::time::Duration;

use super::Runtime;
use crate::maybe::BoxFuture;
use crate::value::Timestamp;

/// The [`Runtime`] of native programs: the system's clock and randomness, tokio's timers and tasks.
///
/// `sleep` and `spawn` must be called from within a tokio runtime; a task that is spawned outside one (by something that is
/// dropped when the runtime is gone) is not run, which is logged.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioRuntime;

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
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(task)),
            Err(error) => tracing::error!(%error, "a task is not run"),
        }
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        if let Err(error) = getrandom::fill(buffer) {
            // Not reachable on a system that booted; identifiers must not be made up without randomness.
            tracing::error!(%error, "the system has no randomness");
            std::process::abort();
        }
    }
}

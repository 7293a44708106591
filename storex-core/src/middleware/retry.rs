//! [`RetryBusy`]: tries again what failed because somebody else held the database.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::{ErrorKind, Result};
use crate::middleware::{Context, Middleware, Next};
use crate::operation::{Operation, Outcome};
use crate::runtime::Runtime;

/// How often and when [`RetryBusy`] tries again.
///
/// The wait before the n-th further attempt is `first` doubled n - 1 times, at most `longest`; of that a random part
/// between the half and the whole, so that those who were turned away together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many attempts there are at most, the first one included.
    pub attempts: u32,
    /// The wait before the second attempt.
    pub first: Duration,
    /// The longest wait before one attempt.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    /// Six attempts within about a second: after 25, 50, 100, 200 and 400 milliseconds.
    fn default() -> Self {
        Self { attempts: 6, first: Duration::from_millis(25), longest: Duration::from_millis(400) }
    }
}

impl RetryPolicy {
    /// The wait after so many attempts that failed, with this much of chance (0 to 255).
    fn wait(&self, failed: u32, chance: u8) -> Duration {
        let doubled = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(doubled).min(self.longest);
        let half = whole / 2;
        half + half * u32::from(chance) / u32::from(u8::MAX)
    }
}

/// Tries again finds, counts and batches that failed with [`ErrorKind::Busy`]: somebody else, another process for
/// instance, held the database. An error means that nothing was written, so nothing happens twice.
///
/// Custom operations are not tried again, because nothing says that they are atomic; what a registered operation does with
/// the storage comes by here by itself. Continuations are called anew in each attempt. Cancel-safe.
///
/// ```
/// use std::time::Duration;
/// use storex_core::{RetryBusy, RetryPolicy};
///
/// let patient = RetryPolicy { attempts: 20, longest: Duration::from_secs(2), ..RetryPolicy::default() };
/// let retry = RetryBusy::new(patient);
/// # let _ = retry;
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct RetryBusy {
    policy: RetryPolicy,
}

impl RetryBusy {
    /// Tries again by this policy.
    #[must_use]
    pub fn new(policy: RetryPolicy) -> Self {
        Self { policy }
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Middleware for RetryBusy {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        let further =
            if matches!(operation, Operation::Custom(_)) { 1 } else { self.policy.attempts };
        for failed in 1..further {
            match next.run(cx, operation.clone()).await {
                Err(error) if error.kind() == ErrorKind::Busy => {
                    let wait = self.policy.wait(failed, chance(cx.runtime().as_ref()));
                    tracing::debug!(
                        operation = operation.name(),
                        failed,
                        ?wait,
                        "the database is busy; trying again"
                    );
                    let sleep = cx.runtime().sleep(wait);
                    sleep.await;
                }
                result => return result,
            }
        }
        next.run(cx, operation).await
    }
}

fn chance(runtime: &dyn Runtime) -> u8 {
    let mut byte = [0];
    runtime.fill_random(&mut byte);
    byte[0]
}

//! [`Backoff`]: how long to wait after failures.

use std::time::Duration;

/// How long to wait after so many failures in a row: `first · factorⁿ`, at most `cap`, of which a random part is left off so
/// that devices that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// How much longer each wait is than the one before; less than 1 counts as 1.
    pub factor: f64,
    /// The longest wait.
    pub cap: Duration,
    /// The greatest part of a wait that is left off: 0 (none) to 0.5 (up to half of it).
    pub jitter: f64,
    /// So many failures in a row that may pass are noise: they are in the status, but no event and no warning tells them.
    pub quiet_attempts: u32,
}

impl Default for Backoff {
    /// 1 s, 2 s, 4 s … 5 min, of which up to half is left off; three attempts are quiet.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(300),
            jitter: 0.5,
            quiet_attempts: 3,
        }
    }
}

impl Backoff {
    /// The wait after the `failures`-th failure in a row, with a random number of your own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use storex_sync::engine::Backoff;
    ///
    /// let backoff = Backoff::default();
    /// assert_eq!(backoff.delay(3, 0), Duration::from_secs(4));
    /// assert!(backoff.delay(3, u64::MAX) >= Duration::from_secs(2));
    /// assert_eq!(backoff.delay(1000, 0), backoff.cap);
    /// ```
    #[must_use]
    pub fn delay(&self, failures: u32, random: u64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let cap = self.cap.as_secs_f64();
        let whole = (self.first.as_secs_f64() * self.factor.max(1.0).powi(exponent)).min(cap);
        self.shorten(whole, random)
    }

    /// The wait when trying again will hardly help.
    pub(crate) fn longest(&self, random: u64) -> Duration {
        self.shorten(self.cap.as_secs_f64(), random)
    }

    fn shorten(&self, seconds: f64, random: u64) -> Duration {
        // 53 bits: what a float holds exactly.
        let part = (random >> 11) as f64 / (1_u64 << 53) as f64;
        let seconds = seconds * (1.0 - part * self.jitter.clamp(0.0, 0.5));
        // No wait at all would try without end.
        Duration::try_from_secs_f64(seconds).unwrap_or(self.cap).max(Duration::from_millis(1))
    }
}

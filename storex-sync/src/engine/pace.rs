//! [`Pace`]: how often to look when nothing fails.

use std::time::Duration;

/// The distance between exchanges: the shortest after one that carried something, twice as long after each idle one, up to
/// the longest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    shortest: Duration,
    longest: Duration,
    now: Duration,
}

impl Pace {
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Self {
        // An interval of nothing would exchange without end.
        let shortest = shortest.max(Duration::from_millis(1));
        Self { shortest, longest: longest.max(shortest), now: shortest }
    }

    pub(crate) fn interval(&self) -> Duration {
        self.now
    }

    /// After an exchange that carried nothing.
    pub(crate) fn slow_down(&mut self) {
        self.now = self.now.saturating_mul(2).min(self.longest);
    }

    /// After one that carried something, and when there is a connection again.
    pub(crate) fn quicken(&mut self) {
        self.now = self.shortest;
    }
}

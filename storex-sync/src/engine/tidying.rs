//! [`Tidying`]: when the shared log is compacted.

use std::time::Duration;

use storex_core::Timestamp;

/// How many times sooner it is tried again after a failure.
const SOONER: u32 = 24;

/// Whether the shared log is being compacted, and when it was.
#[derive(Debug)]
pub(crate) struct Tidying {
    every: Option<Duration>,
    /// When it was last seen to, also when there was nothing to do; remembered over restarts.
    last: Option<Timestamp>,
    /// When it was last begun.
    begun: Option<Timestamp>,
    pub(crate) under_way: bool,
}

impl Tidying {
    pub(crate) fn new(every: Option<Duration>, last: Option<Timestamp>) -> Self {
        Self { every, last, begun: None, under_way: false }
    }

    /// When it was last seen to.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// Whether it is time for it. The clock may jump: any distance counts.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let Some(every) = self.every else { return false };
        let passed =
            |at: Timestamp, wait: Duration| u128::from(at.0.abs_diff(now.0)) >= wait.as_millis();
        let tried = self.begun.is_none_or(|begun| passed(begun, every / SOONER));
        !self.under_way && tried && self.last.is_none_or(|last| passed(last, every))
    }

    /// Whether it was never seen to: a device that has just begun has nothing to tidy.
    pub(crate) fn is_first(&self) -> bool {
        self.last.is_none()
    }

    pub(crate) fn begin(&mut self, now: Timestamp) {
        (self.under_way, self.begun) = (true, Some(now));
    }

    /// It was broken off, and is begun again as soon as it may.
    pub(crate) fn break_off(&mut self) {
        (self.under_way, self.begun) = (false, None);
    }

    pub(crate) fn see_to(&mut self, now: Timestamp) {
        (self.under_way, self.last) = (false, Some(now));
    }

    pub(crate) fn fail(&mut self) {
        self.under_way = false;
    }
}

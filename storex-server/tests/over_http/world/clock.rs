//! [`WrongClock`]: a clock that is off, and goes too fast or too slowly.

use std::time::Duration;

use storex_core::{BoxFuture, Runtime, Timestamp};
use storex_memory::TestRuntime;
use tokio::time::Instant;

/// A clock that is off by so many milliseconds, and of which so many seconds pass in one.
#[derive(Debug)]
pub struct WrongClock {
    right: TestRuntime,
    since: Instant,
    off: i64,
    rate: f64,
}

impl WrongClock {
    pub fn new(seed: u64, off: i64, rate: f64) -> Self {
        Self { right: TestRuntime::new(seed), since: Instant::now(), off, rate }
    }
}

impl Runtime for WrongClock {
    #[allow(clippy::cast_possible_truncation)] // a test does not last so long
    fn now(&self) -> Timestamp {
        let passed = self.since.elapsed().mul_f64(self.rate).as_millis();
        Timestamp(TestRuntime::START.0 + self.off + passed as i64)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.right.sleep(duration.div_f64(self.rate))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.right.spawn(task);
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        self.right.fill_random(buffer);
    }
}

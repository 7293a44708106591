//! [`TestRuntime`]: a virtual clock and seeded randomness.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use storex_core::{BoxFuture, Runtime, Timestamp};

/// A [`Runtime`] for tests: the same seed gives the same run.
///
/// The clock starts at 2026-01-01 and moves with tokio's (so it stands still under `start_paused` until something
/// sleeps), and by [`TestRuntime::advance`] and [`TestRuntime::set`]. Sleeping is tokio's.
#[derive(Debug)]
pub struct TestRuntime {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The wall clock at `since`.
    wall: i64,
    since: tokio::time::Instant,
    random: u64,
}

impl TestRuntime {
    /// 2026-01-01T00:00:00Z.
    pub const START: Timestamp = Timestamp(1_767_225_600_000);

    /// A runtime with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State { wall: Self::START.0, since: tokio::time::Instant::now(), random: seed };
        Self { state: Mutex::new(state) }
    }

    /// Moves the wall clock, forwards or back, without any timer noticing.
    pub fn advance(&self, milliseconds: i64) {
        let now = self.now();
        self.set(Timestamp(now.0.saturating_add(milliseconds)));
    }

    /// Sets the wall clock, without any timer noticing.
    pub fn set(&self, now: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.wall = now.0;
        state.since = tokio::time::Instant::now();
    }
}

impl Runtime for TestRuntime {
    fn now(&self) -> Timestamp {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = i64::try_from(state.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp(state.wall.saturating_add(passed))
    }

    #[allow(clippy::disallowed_methods)] // this is a runtime
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    #[allow(clippy::disallowed_methods)] // this is a runtime
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        #[cfg(not(target_family = "wasm"))]
        tokio::spawn(task);
        #[cfg(target_family = "wasm")]
        tokio::task::spawn_local(task);
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&split_mix(&mut state.random).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

//! [`CaseRuntime`]: the time and randomness of a case.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use storex_core::{BoxFuture, Runtime, Timestamp};

/// A clock that stands still until it is told to move, and seeded randomness: the same case is the same run everywhere,
/// in a browser too.
///
/// Sleeping moves the clock and takes no time, so nothing may run beside a case: what is spawned is dropped. No case needs
/// it, and a middleware that does comes with its own runtime ([`Harness::runtime`](crate::Harness::runtime)).
#[derive(Debug)]
pub struct CaseRuntime {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: i64,
    random: u64,
}

impl CaseRuntime {
    /// 2026-01-01T00:00:00Z.
    pub const START: Timestamp = Timestamp(1_767_225_600_000);

    /// A runtime with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new(State { now: Self::START.0, random: seed }) }
    }

    /// Moves the clock, forwards or back.
    pub fn advance(&self, milliseconds: i64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = state.now.saturating_add(milliseconds);
    }
}

impl Runtime for CaseRuntime {
    fn now(&self) -> Timestamp {
        Timestamp(self.state.lock().unwrap_or_else(PoisonError::into_inner).now)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.advance(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        Box::pin(std::future::ready(()))
    }

    fn spawn(&self, _: BoxFuture<'static, ()>) {}

    fn fill_random(&self, buffer: &mut [u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in buffer.chunks_mut(8) {
            let random = split_mix(&mut state.random).to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

//! [`ManualRuntime`]: a clock that moves when a test says so.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use storex_core::{BoxFuture, Runtime, Timestamp};
use tokio::sync::{Notify, oneshot};

/// A clock that moves when a test says so; real sockets do not move it.
#[derive(Debug)]
pub struct ManualRuntime {
    state: Mutex<State>,
    slept: Notify,
}

#[derive(Debug)]
struct State {
    now: i64,
    sleepers: Vec<Sleeper>,
    random: u64,
}

#[derive(Debug)]
struct Sleeper {
    duration: Duration,
    until: i64,
    wake: oneshot::Sender<()>,
}

impl ManualRuntime {
    pub fn new() -> Self {
        let state = State { now: 1_767_225_600_000, sleepers: Vec::new(), random: 7 };
        Self { state: Mutex::new(state), slept: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Moves the clock, and wakes whoever slept until then.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.now += i64::try_from(by.as_millis()).unwrap();
        let now = state.now;
        let (due, rest) = state.sleepers.drain(..).partition(|it| it.until <= now);
        state.sleepers = rest;
        for Sleeper { wake, .. } in due {
            let _ = wake.send(());
        }
    }

    /// Waits until somebody sleeps for exactly so long, and then lets that time pass.
    pub async fn let_pass(&self, duration: Duration) {
        self.asleep(duration, 1).await;
        self.advance(duration);
    }

    /// Waits until so many sleep for exactly so long.
    pub async fn asleep(&self, duration: Duration, count: usize) {
        loop {
            let slept = self.slept.notified();
            let asleep = {
                let state = self.lock();
                let sleeps = |it: &&Sleeper| it.duration == duration && !it.wake.is_closed();
                state.sleepers.iter().filter(sleeps).count()
            };
            if asleep >= count {
                return;
            }
            slept.await;
        }
    }
}

impl Runtime for ManualRuntime {
    fn now(&self) -> Timestamp {
        Timestamp(self.lock().now)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (wake, woken) = oneshot::channel();
        let mut state = self.lock();
        state.sleepers.retain(|it| !it.wake.is_closed());
        let until = state.now + i64::try_from(duration.as_millis()).unwrap();
        state.sleepers.push(Sleeper { duration, until, wake });
        drop(state);
        self.slept.notify_waiters();
        Box::pin(async move { drop(woken.await) })
    }

    #[allow(clippy::disallowed_methods)] // this is a runtime
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        let mut state = self.lock();
        for byte in buffer {
            state.random = state.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state.random >> 33) as u8;
        }
    }
}

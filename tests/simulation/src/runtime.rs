//! [`SimRuntime`]: the runtime of a process, with the wall clock of its device.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use storex_core::{BoxFuture, Runtime, Timestamp};

use crate::random::Random;
use crate::sim::{Group, Sim, lock};

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000;

/// The wall clock of a device.
#[derive(Debug)]
pub(crate) struct WallClock {
    sim: Arc<Sim>,
    offset: AtomicI64,
    /// It moves in steps of so many milliseconds.
    grain: i64,
}

impl WallClock {
    pub(crate) fn new(sim: &Arc<Sim>, offset: i64, grain: i64) -> Arc<Self> {
        let offset = AtomicI64::new(offset);
        Arc::new(Self { sim: Arc::clone(sim), offset, grain: grain.max(1) })
    }

    pub(crate) fn jump(&self, milliseconds: i64) {
        self.offset.fetch_add(milliseconds, Ordering::SeqCst);
    }

    fn now(&self) -> i64 {
        let passed = i64::try_from(self.sim.now().as_millis()).unwrap_or(i64::MAX);
        let now = START + passed + self.offset.load(Ordering::SeqCst);
        now - now.rem_euclid(self.grain)
    }
}

/// The runtime of a process.
#[derive(Debug)]
pub(crate) struct SimRuntime {
    sim: Arc<Sim>,
    group: Group,
    clock: Arc<WallClock>,
    random: Mutex<Random>,
}

impl SimRuntime {
    pub(crate) fn new(
        sim: &Arc<Sim>,
        group: Group,
        clock: &Arc<WallClock>,
        random: Random,
    ) -> Self {
        let (sim, clock) = (Arc::clone(sim), Arc::clone(clock));
        Self { sim, group, clock, random: Mutex::new(random) }
    }
}

impl Runtime for SimRuntime {
    fn now(&self) -> Timestamp {
        Timestamp(self.clock.now())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.sim.sleep(duration))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.sim.spawn(self.group, task);
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        lock(&self.random).fill(buffer);
    }
}

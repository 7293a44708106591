//! [`Plan`]: what happens in a run from outside, drawn from the seed before it begins.

mod drawer;

use std::time::Duration;

use crate::database::Disk;
use crate::device::Habits;
use crate::network::{Link, Weather};
use crate::profile::Profile;
use crate::random::Random;
use crate::workload::Write;
use drawer::Drawer;

/// What happens from outside.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Write(usize, Write),
    Start(usize),
    Crash(usize),
    LosePower(usize),
    Restart(usize),
    Jump(usize, i64),
    Link(usize, Link),
    Online(usize, bool),
    Weather(Weather),
    SyncNow(usize),
    Pause(usize, bool),
    /// The user does what only a user can.
    Help(usize),
    Trim,
    /// A copy of the first device's database takes the place of the second's.
    Clone(usize, usize),
    /// A device's database is copied, to be put back later.
    BackUp(usize),
    /// The copy is put back.
    Restore(usize),
    /// The shared log is gone, and there is an empty one; whether it has another identity.
    Wipe(bool),
    /// From here on nothing goes wrong any more.
    Heal,
}

/// A run: what it is made of, and what happens in it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) devices: usize,
    pub(crate) habits: Habits,
    pub(crate) clocks: Vec<Clock>,
    pub(crate) disk: Disk,
    /// The databases are SQLite files.
    pub(crate) sqlite: bool,
    /// Power may be lost.
    pub(crate) power: bool,
    /// The shared log is in a storex backend.
    pub(crate) backend_log: bool,
    /// Databases are copied, or put back.
    pub(crate) copied: bool,
    /// The log may be wiped.
    pub(crate) wiped: bool,
    /// In the order of time.
    pub(crate) events: Vec<(Duration, Event)>,
    pub(crate) writes: u64,
}

/// A wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) offset: i64,
    pub(crate) grain: i64,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default)]
struct Troubles {
    network: bool,
    partitions: bool,
    crashes: bool,
    skew: bool,
    disk: bool,
    processes: bool,
    sqlite: bool,
    trim: bool,
    power: bool,
    clones: bool,
    restores: bool,
    wiped: bool,
}

const DAY: u64 = 86_400_000;
/// The grain of a clock that stands still.
const STILL: i64 = 1 << 40;
/// By then all devices have met their log.
const BEGIN: u64 = 20_000;

impl Troubles {
    fn draw(profile: Profile, random: &mut Random) -> Self {
        let mut it = Self::default();
        match profile {
            Profile::All => {
                let mut half = || random.chance(50);
                it.network = half();
                it.partitions = half();
                it.crashes = half();
                it.skew = half();
                it.disk = half();
                it.trim = half();
                it.processes = random.chance(20);
                it.sqlite = random.chance(3);
                // Files keep what was written, and processes share it.
                it.power = !it.processes && !it.sqlite && random.chance(30);
                it.clones = random.chance(20);
                it.restores = random.chance(20);
                // Who is a copy of whom is found out by the log; what is promised where that is gone is little.
                it.wiped = random.chance(25) && !(it.clones || it.restores);
            }
            Profile::Network => it.network = true,
            Profile::Partitions => it.partitions = true,
            Profile::Crashes => (it.crashes, it.disk) = (true, random.chance(50)),
            Profile::Skew => it.skew = true,
            Profile::Disk => it.disk = true,
            Profile::Processes => (it.processes, it.crashes) = (true, random.chance(70)),
            Profile::Sqlite => (it.sqlite, it.crashes, it.network) = (true, true, true),
            Profile::Clones | Profile::Restores | Profile::WipedLog => {
                it.clones = profile == Profile::Clones;
                it.restores = profile == Profile::Restores;
                it.wiped = profile == Profile::WipedLog;
                it.crashes = random.chance(30);
                // With everything at hand there is little that was not sent yet.
                it.network = random.chance(40);
                it.partitions = random.chance(60);
            }
            Profile::Power => (it.power, it.trim) = (true, random.chance(50)),
            Profile::Trim => (it.trim, it.crashes) = (true, random.chance(50)),
        }
        // Whoever is put back below the floor of the log, or comes to another log late, needs an initial sync.
        it.trim &= !(it.clones || it.restores || it.wiped);
        it
    }
}

impl Plan {
    pub(crate) fn draw(seed: u64, profile: Profile, devices: Option<usize>) -> Self {
        let random = &mut Random::of(seed, 1);
        let troubles = Troubles::draw(profile, random);
        // Drawn in any case: the rest of the run is the same when the number is told.
        let drawn = random.index(4) + 2;
        let devices = devices.unwrap_or(drawn);
        let lasts = random.between(60, 400) * 1000;
        // All tell the same time for long: many writes have the same reading.
        let coarse = troubles.skew && random.chance(40);
        // A lease ends by the clock, so it needs one that moves.
        let coarsest = if troubles.processes { 60_000 } else { STILL };
        let grain = if random.chance(50) { 60_000 } else { coarsest };
        let common = Clock { offset: 0, grain };
        let clocks = (0..devices).map(|_| clock(troubles.skew, coarsest, random));
        let clocks = clocks.map(|own| if coarse { common } else { own }).collect();
        let slow = if random.chance(30) { 60 } else { random.between(0, 20) };
        let fails = if troubles.disk { random.between(20, 400) } else { 0 };
        let mut drawer = Drawer { random, devices, lasts, events: Vec::new() };
        let habits = drawer.habits(troubles.processes);
        let writes = drawer.all(troubles);
        let mut events = drawer.events;
        events.sort_by_key(|(at, _)| *at);
        Self {
            devices,
            habits,
            clocks,
            disk: Disk { slow, fails },
            sqlite: troubles.sqlite,
            power: troubles.power,
            copied: troubles.clones || troubles.restores,
            wiped: troubles.wiped,
            backend_log: random.chance(15),
            events,
            writes,
        }
    }
}

fn clock(skew: bool, coarsest: i64, random: &mut Random) -> Clock {
    let grain = match random.below(10) {
        0..6 => 1,
        6 | 7 => 1000,
        8 => 60_000,
        _ => coarsest,
    };
    let offset = match (skew, random.below(3)) {
        (false, _) | (true, 0) => 0,
        (true, 1) => random.either_way(5000),
        (true, _) => random.either_way(DAY),
    };
    Clock { offset, grain: if skew { grain } else { 1 } }
}

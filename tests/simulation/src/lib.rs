//! A seeded simulator of many devices that storex keeps in step.
//!
//! ```text
//!    device 0                 device 1        …        virtual time, one thread, one seed
//!    ┌────────────────────┐   ┌──────────┐
//!    │ application writes │   │          │   processes: started, killed between any two steps, restarted
//!    │ Storage + SyncLog  │   │          │
//!    │ ContinuousSync     │   │          │   the real engine, its driver, and the merge
//!    │ wall clock         │   │          │   off by a day, jumping, coarse
//!    │ database           │   │          │   slow, failing; looked at after each commit
//!    └─────────┬──────────┘   └────┬─────┘
//!              └───── network ─────┘           loses, delays, repeats, reorders, cuts off, one way too
//!                        │
//!                   shared log
//! ```
//!
//! [`simulate`] makes a run. What the application does and what goes wrong is drawn from the seed before it begins; then
//! everything heals, and within a bound of virtual time all devices must be in step and hold exactly what was written. The
//! same seed gives the same run, to the byte of its trace.
//!
//! ```
//! use storex_simulation::{Options, Profile, simulate};
//!
//! let options = Options { profile: Profile::Partitions, ..Options::default() };
//! let run = simulate(7, &options);
//! assert_eq!(run.failure, None);
//! assert_eq!(simulate(7, &options).hash, run.hash);
//! ```

mod database;
mod device;
mod model;
mod network;
mod plan;
mod profile;
mod random;
mod runtime;
mod schema;
mod sim;
mod trace;
mod workload;
mod world;

use serde::Serialize;

pub use profile::{Profile, UnknownProfile};
#[cfg(feature = "deliberate-faults")]
pub use storex_sync::DeliberateFault;

use crate::plan::Plan;
use crate::sim::Sim;
use crate::trace::Trace;
use crate::world::World;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Options {
    /// What goes wrong.
    pub profile: Profile,
    /// How many devices there are; `None`: two to five, by the seed.
    pub devices: Option<usize>,
    /// Whether the trace is kept.
    pub trace: bool,
    /// A mistake that is planted in the engine.
    #[cfg(feature = "deliberate-faults")]
    pub fault: Option<DeliberateFault>,
}

impl Options {
    /// What goes wrong in a profile, with as many devices as the seed says, and without a trace.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            devices: None,
            trace: false,
            #[cfg(feature = "deliberate-faults")]
            fault: None,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new(Profile::All)
    }
}

/// What came of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// What went wrong in it.
    pub profile: &'static str,
    /// How many devices there were.
    pub devices: usize,
    /// How many transactions the applications have written.
    pub writes: u64,
    /// How long it lasted, in virtual seconds.
    pub seconds: f64,
    /// How long it took after everything had healed, in virtual seconds.
    pub settled: Option<f64>,
    /// How many lines its trace has.
    pub lines: u64,
    /// The hash of its trace.
    pub hash: String,
    /// The promise that was broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What has happened, line by line, if it was asked for.
    #[serde(skip)]
    pub trace: Option<String>,
}

impl Run {
    /// The command that makes the same run and prints its trace.
    #[must_use]
    pub fn command(&self) -> String {
        let Self { seed, profile, devices, .. } = self;
        format!("storex simulate --seed {seed} --devices {devices} --profile {profile} --trace")
    }
}

/// Makes the run of a seed.
#[must_use]
pub fn simulate(seed: u64, options: &Options) -> Run {
    let sim = Sim::new(Trace::new(options.trace));
    #[allow(unused_mut)]
    let mut plan = Plan::draw(seed, options.profile, options.devices);
    #[cfg(feature = "deliberate-faults")]
    {
        plan.habits.fault = options.fault;
    }
    let (devices, writes) = (plan.devices, plan.writes);
    let result = World::new(&sim, seed, plan).and_then(|mut world| world.run());
    let seconds = sim.now().as_secs_f64();
    let (settled, failure) = match result {
        Ok(settled) => (Some(settled.as_secs_f64()), None),
        Err(why) => (None, Some(why)),
    };
    if let Some(why) = &failure {
        sim.note("simulator", format_args!("FAILED: {why}"));
    }
    let trace = sim.take_trace();
    sim.end();
    Run {
        seed,
        profile: options.profile.name(),
        devices,
        writes,
        seconds,
        settled,
        lines: trace.lines(),
        hash: format!("{:016x}", trace.hash()),
        failure,
        trace: trace.into_text(),
    }
}

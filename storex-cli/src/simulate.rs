//! `storex simulate`: runs of the simulator, and what is printed of them.

use std::io::{self, Write};

use serde::Serialize;
use storex_simulation::{Options, Run, simulate};

/// Which runs are made.
#[derive(Debug, Clone)]
pub struct Seeds {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// What came of all runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Runs that were made.
    pub runs: u64,
    /// Runs in which a promise was broken.
    pub failed: u64,
    /// Their seeds.
    pub failed_seeds: Vec<u64>,
    /// Transactions that the applications have written.
    pub writes: u64,
    /// Virtual seconds.
    pub seconds: f64,
    /// The longest that a run took to be in step after everything had healed, in virtual seconds.
    pub longest_to_settle: f64,
}

/// Makes the runs and prints them: as text, or as one JSON object per run and one for all.
///
/// # Errors
/// What writing fails with.
pub fn run(
    seeds: &Seeds,
    options: &Options,
    json: bool,
    out: &mut impl Write,
) -> io::Result<Summary> {
    let mut summary = Summary::default();
    for seed in seeds.first..seeds.first.saturating_add(seeds.count) {
        let run = simulate(seed, options);
        if let Some(trace) = &run.trace {
            out.write_all(trace.as_bytes())?;
        }
        match json {
            true => writeln!(out, "{}", serde_json::to_string(&run)?)?,
            false => tell(&run, seeds.count == 1, out)?,
        }
        summary.add(&run);
    }
    match json {
        true => writeln!(out, "{}", serde_json::json!({ "summary": summary }))?,
        false => writeln!(
            out,
            "{} runs, {} writes, {:.0} virtual seconds; at most {:.0} s to be in step; {} failed",
            summary.runs,
            summary.writes,
            summary.seconds,
            summary.longest_to_settle,
            summary.failed
        )?,
    }
    out.flush()?;
    Ok(summary)
}

/// A run that went through is one line, if it is told at all.
fn tell(run: &Run, alone: bool, out: &mut impl Write) -> io::Result<()> {
    let Run { seed, profile, devices, writes, hash, .. } = run;
    match &run.failure {
        Some(why) => {
            writeln!(out, "seed {seed}, profile {profile}, {devices} devices: FAILED: {why}")?;
            writeln!(out, "    {}", run.command())
        }
        None if alone => {
            writeln!(
                out,
                "seed {seed}, profile {profile}, {devices} devices, {writes} writes, trace {hash}"
            )
        }
        None => Ok(()),
    }
}

impl Summary {
    fn add(&mut self, run: &Run) {
        self.runs += 1;
        self.writes += run.writes;
        self.seconds += run.seconds;
        self.longest_to_settle = self.longest_to_settle.max(run.settled.unwrap_or(0.0));
        if run.failure.is_some() {
            self.failed += 1;
            self.failed_seeds.push(run.seed);
        }
    }
}

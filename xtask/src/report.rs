//! The parts of a check: each is timed, none stops the next, and all of them are in the summary.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::run::Result;

enum Outcome {
    Passed,
    Failed(String),
    NotRun(String),
}

struct Part {
    name: String,
    outcome: Outcome,
    took: Duration,
}

/// What has been run so far.
pub(crate) struct Report {
    parts: Vec<Part>,
    /// In CI a part that could not be run has failed: nothing may go unchecked there unnoticed.
    ci: bool,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { parts: Vec::new(), ci: std::env::var_os("CI").is_some_and(|ci| !ci.is_empty()) }
    }

    /// Runs one part. If what it needs is not there (`ready` is an error), it is put down as not run.
    pub(crate) fn part<T>(
        &mut self,
        name: &str,
        ready: &Result<T>,
        work: impl FnOnce(&T) -> Result<()>,
    ) {
        println!("\n=== {name}");
        let start = now();
        let outcome = match ready {
            Err(why) => Outcome::NotRun(why.clone()),
            Ok(there) => match work(there) {
                Ok(()) => Outcome::Passed,
                Err(why) => Outcome::Failed(why),
            },
        };
        let part = Part { name: name.to_owned(), outcome, took: start.elapsed() };
        println!("=== {name}: {} ({})", part.word(), seconds(part.took));
        self.parts.push(part);
    }

    /// Whether the part that was run last passed, for those that need what it made.
    pub(crate) fn last(&self) -> Result<()> {
        let Some(part) = self.parts.last() else { return Ok(()) };
        match &part.outcome {
            Outcome::Passed => Ok(()),
            Outcome::Failed(_) => Err(format!("`{}` failed", part.name)),
            Outcome::NotRun(why) => Err(why.clone()),
        }
    }

    /// Prints the summary, ending with the line by which CI knows the counts.
    pub(crate) fn finish(&self) -> ExitCode {
        println!("\n{}", self.summary());
        if self.counts().failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn summary(&self) -> String {
        let width = self.parts.iter().map(|part| part.name.len()).max().unwrap_or(0);
        let mut lines: Vec<String> = Vec::new();
        for part in &self.parts {
            let (name, word, took) = (&part.name, part.word(), seconds(part.took));
            let line = format!("{name:width$}  {word:7}  {took:>9}  {}", part.reason());
            lines.push(line.trim_end().to_owned());
        }
        let total: Duration = self.parts.iter().map(|part| part.took).sum();
        lines.push(format!("{:width$}  {:7}  {:>9}", "together", "", seconds(total)));
        let Counts { passed, failed, skipped } = self.counts();
        lines.push(match skipped {
            0 => format!("{passed} passed, {failed} failed"),
            _ => format!("{passed} passed, {failed} failed, {skipped} skipped"),
        });
        lines.join("\n")
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for part in &self.parts {
            match part.outcome {
                Outcome::Passed => counts.passed += 1,
                Outcome::NotRun(_) if !self.ci => counts.skipped += 1,
                Outcome::Failed(_) | Outcome::NotRun(_) => counts.failed += 1,
            }
        }
        counts
    }
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Part {
    fn word(&self) -> &'static str {
        match self.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed(_) => "FAILED",
            Outcome::NotRun(_) => "NOT RUN",
        }
    }

    fn reason(&self) -> &str {
        match &self.outcome {
            Outcome::Passed => "",
            Outcome::Failed(why) | Outcome::NotRun(why) => why,
        }
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[expect(clippy::disallowed_methods, reason = "real commands are timed; no simulator runs them")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ci: bool) -> Report {
        let mut report = Report { parts: Vec::new(), ci };
        report.part("good", &Ok(()), |()| Ok(()));
        assert_eq!(report.last(), Ok(()));
        let absent: Result<()> = Err("no tool".to_owned());
        report.part("absent", &absent, |()| panic!("was run"));
        assert_eq!(report.last(), absent);
        report
    }

    #[test]
    fn what_could_not_be_run_is_reported_and_passes_outside_ci() {
        let report = report(false);
        let summary = report.summary();
        assert!(summary.contains("NOT RUN"), "{summary}");
        assert!(summary.contains("no tool"), "{summary}");
        assert_eq!(summary.lines().last(), Some("1 passed, 0 failed, 1 skipped"));
        assert_eq!(report.finish(), ExitCode::SUCCESS);
    }

    #[test]
    fn what_could_not_be_run_fails_in_ci() {
        let report = report(true);
        assert_eq!(report.summary().lines().last(), Some("1 passed, 1 failed"));
        assert_eq!(report.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn a_failure_does_not_stop_the_next_part() {
        let mut report = report(false);
        report.part("bad", &Ok(()), |()| Err("exit status: 101".to_owned()));
        assert_eq!(report.last(), Err("`bad` failed".to_owned()));
        report.part("good again", &Ok(()), |()| Ok(()));
        assert_eq!(report.last(), Ok(()));
        assert_eq!(report.summary().lines().last(), Some("2 passed, 1 failed, 1 skipped"));
        assert_eq!(report.finish(), ExitCode::FAILURE);
    }
}

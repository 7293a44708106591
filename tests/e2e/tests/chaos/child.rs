//! Processes that are killed: each is this program again, with one of the tests that are passed over otherwise.

use std::process::Command;

use storex_e2e::process::Process;

/// What the process is told; without it, it is no child.
const ARGUMENTS: &str = "STOREX_TEST_ARGUMENTS";

/// Starts the process that this test is.
pub(crate) fn start(test: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command.env(ARGUMENTS, serde_json::to_string(arguments).unwrap());
    Process::spawn(command)
}

/// What this process was told, if it is a child.
pub(crate) fn arguments() -> Option<Vec<String>> {
    let told = std::env::var(ARGUMENTS).ok()?;
    // What the test harness has said before is on a line of its own.
    println!();
    Some(serde_json::from_str(&told).unwrap())
}

//! `cargo xtask demo`: the demo of the `storex` command.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::run::{self, Result, Workspace};

/// Cargo's arguments up to the demo's own.
pub(crate) const COMMAND: [&str; 7] =
    ["run", "--package", "storex-cli", "--bin", "storex", "--", "demo"];

pub(crate) fn demo(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    let [run, rest @ ..] = COMMAND;
    let mut demo = workspace.cargo_here([run, "--release"].into_iter().chain(rest.iter().copied()));
    demo.args(args);
    run::hand_over(demo)
}

//! `cargo xtask demo`: the demo of the `storex` command.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::run::{self, Result, Workspace};

/// Whose command it is.
pub(crate) const PACKAGE: &str = "storex-cli";

/// The command.
pub(crate) const PROGRAM: &str = "storex";

pub(crate) fn demo(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    let run = ["run", "--release", "--package", PACKAGE, "--bin", PROGRAM, "--", "demo"];
    let mut demo = workspace.cargo_here(run);
    demo.args(args);
    run::hand_over(demo)
}

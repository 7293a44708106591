//! `cargo xtask bench`: the benchmark suite.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::browser_test;
use crate::run::{self, Result, Workspace};

/// The package of the benchmarks, which the lint looks at and the tests neither build nor run.
pub(crate) const PACKAGE: &str = "storex-benches";

pub(crate) fn bench(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    if let Some((first, rest)) = args.split_first()
        && first == "browser"
    {
        return browser_test::bench(workspace, rest);
    }
    let mut bench =
        workspace.cargo_here(["run", "--release", "--package", PACKAGE, "--bin", "bench", "--"]);
    bench.args(args);
    run::hand_over(bench)
}

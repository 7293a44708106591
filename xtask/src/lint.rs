//! What can be said of the code without running it.

use std::process::ExitCode;

use crate::report::Report;
use crate::run::{self, Workspace};
use crate::{machine_paths, setup, wasm};

/// What nothing but tests switches on by itself.
pub(crate) const FEATURES: [&str; 2] =
    ["--features", "storex-cli/postgres,storex-server/objects,storex-server/postgres"];

/// Those, and what the tests have no use for, as no such store is here: object stores in clouds.
const CHECKED: [&str; 4] =
    [FEATURES[0], FEATURES[1], "--features", "storex-cli/azure,storex-cli/gcs,storex-cli/s3"];

/// `cargo xtask lint`
pub(crate) fn lint(workspace: &Workspace) -> ExitCode {
    let mut report = Report::new();
    parts(workspace, &mut report);
    report.finish()
}

/// The parts of the lint, also the first ones of the tests.
pub(crate) fn parts(workspace: &Workspace, report: &mut Report) {
    let rustfmt = setup::rustfmt(workspace);
    report.part("rustfmt", &rustfmt, |_| run::check(workspace.cargo(["fmt", "--all", "--check"])));

    // Checking the SQLite backend runs its build script, which compiles SQLite.
    let c_compiler = setup::c_compiler(workspace);
    let clippy = setup::clippy(workspace);
    let both = c_compiler.as_ref().and(clippy.as_ref()).map_err(Clone::clone);
    report.part("clippy", &both, |_| {
        let mut clippy = workspace.cargo(["clippy", "--workspace", "--all-targets"]);
        clippy.args(CHECKED).args(["--", "-D", "warnings"]);
        run::check(clippy)
    });

    let there = wasm::standard_library(workspace).map(drop);
    let wasm_clippy = there.clone().and(clippy).and_then(|_| wasm::same_compiler_as_clippy());
    // Clippy compiles the same as a check does, and has more to say: a check alone is for where it cannot.
    if wasm_clippy.is_err() {
        report.part("wasm32 check", &there, |()| run::check(wasm::cargo(workspace, "check", &[])));
    }
    report.part("wasm32 clippy", &wasm_clippy, |_| {
        run::check(wasm::cargo(workspace, "clippy", &["--", "-D", "warnings"]))?;
        let args = ["--all-targets", "--", "-D", "warnings"];
        run::check(wasm::cargo_for(workspace, "clippy", &wasm::BROWSER_ONLY, &args))
    });
    report.part("wasm32 rustdoc", &there, |()| {
        let mut doc = wasm::cargo_for(workspace, "doc", &["storex-indexeddb"], &["--no-deps"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        run::check(doc)
    });

    report.part("rustdoc", &c_compiler, |_| {
        let mut doc = workspace.cargo(["doc", "--workspace", "--no-deps"]);
        doc.args(CHECKED);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        run::check(doc)
    });

    let files = machine_paths::files(workspace);
    report.part("machine paths", &files, |files| machine_paths::check(workspace, files));
}

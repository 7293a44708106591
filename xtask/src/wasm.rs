//! wasm32-unknown-unknown: its standard library, and cargo for it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::run::{self, Result, Workspace};
use crate::setup::Found;

const TARGET: &str = "wasm32-unknown-unknown";

/// The crates that must work in a browser.
const PACKAGES: [&str; 3] = ["storex-core", "storex-sync", "storex-memory"];

/// Has `wasm-toolchain.sh` make sure of the target's standard library.
pub(crate) fn standard_library(workspace: &Workspace) -> Result<Found> {
    let was_there = has_standard_library(workspace);
    let mut script = workspace.command("sh");
    script.args(["xtask/wasm-toolchain.sh", "std"]);
    run::check(script).map_err(|why| format!("no std for {TARGET}: wasm-toolchain.sh: {why}"))?;
    let from = match debian_environment() {
        Some(_) => format!("{TARGET}, of Debian's own compiler"),
        None => TARGET.to_owned(),
    };
    Ok(if was_there { Found::There(from) } else { Found::Installed(from) })
}

fn has_standard_library(workspace: &Workspace) -> bool {
    let mut libdir = workspace.command("rustc");
    libdir.args(["--print", "target-libdir", "--target", TARGET]);
    let Ok(printed) = run::output(libdir) else { return false };
    PathBuf::from(String::from_utf8_lossy(&printed).trim()).is_dir()
}

/// Runs `cargo <subcommand>` for the crates that must work in a browser.
pub(crate) fn cargo(workspace: &Workspace, subcommand: &str, last: &[&str]) -> Command {
    let mut args = vec![subcommand];
    args.extend(PACKAGES.iter().flat_map(|package| ["--package", *package]));
    args.extend(["--target", TARGET]);
    args.extend(last);
    let cargo = workspace.cargo(args);
    match debian_environment() {
        None => cargo,
        Some(environment) => {
            let mut shell = workspace.command("sh");
            shell.args(["-c", r#". "$0" && exec "$@""#]).arg(environment);
            shell.arg(cargo.get_program()).args(cargo.get_args());
            shell
        }
    }
}

/// Clippy is a compiler of its own: it can't use the standard library that belongs to Debian's.
pub(crate) fn same_compiler_as_clippy() -> Result<()> {
    match debian_environment() {
        None => Ok(()),
        Some(_) => Err(format!("only Debian's own compiler has {TARGET}, and clippy is another")),
    }
}

/// The settings that `wasm-toolchain.sh` leaves where only Debian's own compiler has the target.
fn debian_environment() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("WASM_TOOLCHAIN_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("wasm-toolchain")))
        .or_else(|| Some(set("HOME")?.join(".cache/wasm-toolchain")))?;
    Some(cache.join("env")).filter(|file| file.is_file())
}

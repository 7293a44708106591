//! wasm32-unknown-unknown: its standard library, and cargo for it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::run::{self, Result, Workspace};
use crate::setup::Found;

const TARGET: &str = "wasm32-unknown-unknown";

/// The crates that must work in a browser.
const PACKAGES: [&str; 9] = [
    "storex-core",
    "storex-sync",
    "storex-memory",
    "storex-indexeddb",
    "storex-browser",
    "storex-js",
    "storex-size",
    "notes",
    "notes-web",
];

/// Those of them that are for browsers alone: a native build sees nothing of them.
pub(crate) const BROWSER_ONLY: [&str; 4] =
    ["storex-indexeddb", "storex-browser", "storex-js", "notes-web"];

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

/// `cargo <subcommand>` for the crates that must work in a browser.
pub(crate) fn cargo(workspace: &Workspace, subcommand: &str, last: &[&str]) -> Command {
    cargo_for(workspace, subcommand, &PACKAGES, last)
}

/// `cargo <subcommand>` for these packages.
pub(crate) fn cargo_for(
    workspace: &Workspace,
    subcommand: &str,
    packages: &[&str],
    last: &[&str],
) -> Command {
    let mut args = vec![subcommand];
    args.extend(packages.iter().flat_map(|package| ["--package", *package]));
    args.extend(["--target", TARGET]);
    args.extend(last);
    with_its_compiler(workspace, workspace.cargo(args))
}

/// The module that cargo builds of a package with a profile.
pub(crate) fn module(workspace: &Workspace, package: &str, profile: &str) -> Result<PathBuf> {
    let file = format!("{}.wasm", package.replace('-', "_"));
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(target_folder(workspace)?.join(TARGET).join(folder).join(file))
}

/// Where cargo puts what it builds for wasm, which Debian's compiler has elsewhere.
pub(crate) fn target_folder(workspace: &Workspace) -> Result<PathBuf> {
    let cargo = workspace.cargo(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let printed = run::output(with_its_compiler(workspace, cargo))?;
    let printed = String::from_utf8_lossy(&printed);
    let folder = json_text(&printed, "target_directory");
    folder.map(PathBuf::from).ok_or_else(|| "cargo metadata tells no target folder".to_owned())
}

/// The value of a key that occurs once, in JSON without spaces, as cargo prints it.
pub(crate) fn json_text(json: &str, key: &str) -> Option<String> {
    let (_, value) = json.split_once(&format!("\"{key}\":\""))?;
    // The only escapes in a path are those of `\` and `"`; of these only the first is likely.
    value.split_once('"').map(|(text, _)| text.replace(r"\\", r"\"))
}

/// Cargo as it is, or with the compiler that has the target.
fn with_its_compiler(workspace: &Workspace, cargo: Command) -> Command {
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

#[cfg(test)]
mod tests {
    use super::json_text;

    #[test]
    fn the_target_folder_is_found_in_what_cargo_prints() {
        let json = r#"{"packages":[],"target_directory":"C:\\storex\\target","version":1}"#;
        assert_eq!(json_text(json, "target_directory").as_deref(), Some(r"C:\storex\target"));
        assert_eq!(json_text(json, "version"), None);
    }
}

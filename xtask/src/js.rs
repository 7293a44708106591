//! The npm package of `bindings/js`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::run::{self, Result, Workspace};
use crate::{browser, browser_test, node, wasm};

/// The crate behind the package.
pub(crate) const PACKAGE: &str = "storex-js";

/// `cargo xtask js`: builds it, and has npm say what would be published.
pub(crate) fn js(workspace: &Workspace) -> Result<ExitCode> {
    wasm::standard_library(workspace)?;
    browser::wasm_bindgen(workspace)?;
    node::packages(workspace)?;
    let (_, bound) = browser_test::module(workspace, PACKAGE, "wasm-size", "js-bound")?;
    let mut node = workspace.command("node");
    node.arg(script(workspace, "shrink.mjs")).arg(&bound);
    run::check(node)?;
    let package = package(workspace, &bound, "js-package")?;
    let mut npm = workspace.command("npm");
    npm.args(["pack", "--dry-run"]).arg(package);
    run::hand_over(npm)
}

/// Puts it together from a bound module in a folder of this name, and tells where that is.
pub(crate) fn package(workspace: &Workspace, bound: &Path, folder: &str) -> Result<PathBuf> {
    let package = wasm::target_folder(workspace)?.join(folder);
    let mut node = workspace.command("node");
    node.arg(script(workspace, "package.mjs")).arg(bound).arg(&package);
    run::check(node)?;
    Ok(package)
}

fn script(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.root().join(node::JS_FOLDER).join(name)
}

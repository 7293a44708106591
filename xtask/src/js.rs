//! The npm package of `bindings/js`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::run::{self, Result, Workspace};
use crate::{browser, browser_test, node, wasm};

/// The crate behind the package.
const PACKAGE: &str = "storex-js";

/// `cargo xtask js`: builds it, and has npm say what would be published.
pub(crate) fn js(workspace: &Workspace) -> Result<ExitCode> {
    wasm::standard_library(workspace)?;
    browser::wasm_bindgen(workspace)?;
    node::packages(workspace)?;
    let package = package(workspace)?;
    let mut npm = workspace.command("npm");
    npm.args(["pack", "--dry-run"]).arg(package);
    run::hand_over(npm)
}

/// Builds it as users get it, and tells where it is.
pub(crate) fn package(workspace: &Workspace) -> Result<PathBuf> {
    let (_, bound) = browser_test::module(workspace, PACKAGE, "wasm-size", "js-bound")?;
    let package = wasm::target_folder(workspace)?.join("js-package");
    let script = workspace.root().join(node::JS_FOLDER).join("package.mjs");
    let mut node = workspace.command("node");
    node.arg(script).arg(bound).arg(&package);
    run::check(node)?;
    Ok(package)
}

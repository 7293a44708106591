//! The browser that the tests run in, and the driver through which the wasm tests use it.

use std::env;
use std::process::Command;

use crate::run::{self, Result, Workspace};
use crate::setup::{self, Found};

/// As in `tests/browser/browser.mjs` and `wasm-toolchain.sh`.
const BROWSERS: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/// Chromium (or Chrome) and chromedriver; `CHROME` and `CHROMEDRIVER` may name them.
pub(crate) fn chromium(workspace: &Workspace) -> Result<Found> {
    if let Ok(version) = look(workspace) {
        return Ok(Found::There(version));
    }
    let mut script = workspace.command("sh");
    script.args(["xtask/wasm-toolchain.sh", "browser"]);
    // Its own complaint is printed by then; ours is what is missing still.
    let _ = run::check(script);
    let found = look(workspace)
        .map_err(|why| format!("{why}; to install both: apt-get install chromium chromium-driver"));
    found.map(Found::Installed)
}

/// The versions of the two.
fn look(workspace: &Workspace) -> Result<String> {
    let browser = match set("CHROME") {
        Some(named) => setup::version(workspace.command(named))?,
        None => BROWSERS
            .iter()
            .find_map(|name| setup::version(workspace.command(name)).ok())
            .ok_or("there is no Chromium in PATH, and CHROME is not set")?,
    };
    let driver = set("CHROMEDRIVER").unwrap_or_else(|| "chromedriver".to_owned());
    let driver = setup::version(workspace.command(driver))?;
    let driver = driver.split(" (").next().unwrap_or_default();
    let browser = browser.split(" built on ").next().unwrap_or_default();
    Ok(format!("{}, {driver}", browser.trim()))
}

fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Has `wasm-toolchain.sh` install wasm-bindgen-cli, whose version must be that of the crate.
pub(crate) fn wasm_bindgen(workspace: &Workspace) -> Result<Found> {
    let wanted = locked_wasm_bindgen(workspace)?;
    if has_wasm_bindgen(workspace, &wanted) {
        return Ok(Found::There(wanted));
    }
    let mut script = workspace.command("sh");
    script.args(["xtask/wasm-toolchain.sh", "tools"]).env("WASM_BINDGEN_VERSION", &wanted);
    run::check(script).map_err(|why| {
        format!("{why}; to install it: cargo install wasm-bindgen-cli --version ={wanted} --locked")
    })?;
    Ok(Found::Installed(wanted))
}

fn has_wasm_bindgen(workspace: &Workspace, wanted: &str) -> bool {
    let is_wanted = |program: &str| {
        setup::version(workspace.command(program))
            .is_ok_and(|version| version.split_whitespace().nth(1) == Some(wanted))
    };
    is_wanted("wasm-bindgen") && is_wanted("wasm-bindgen-test-runner")
}

fn locked_wasm_bindgen(workspace: &Workspace) -> Result<String> {
    let lock = workspace.root().join("Cargo.lock");
    let text = std::fs::read_to_string(&lock)
        .map_err(|why| format!("cannot read {}: {why}", lock.display()))?;
    locked(&text, "wasm-bindgen").ok_or_else(|| "no wasm-bindgen in Cargo.lock".to_owned())
}

/// The version of a package in a `Cargo.lock`.
fn locked(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut after = lock.lines().skip_while(|line| *line != name);
    let version = after.nth(1)?.strip_prefix("version = \"")?;
    version.strip_suffix('"').map(str::to_owned)
}

/// `wasm-bindgen`, for modules that a page imports as they are.
pub(crate) fn bind(workspace: &Workspace) -> Command {
    let mut bind = workspace.command("wasm-bindgen");
    bind.args(["--target", "web", "--out-dir"]);
    bind
}

#[cfg(test)]
mod tests {
    use super::locked;

    #[test]
    fn the_locked_version_is_that_of_the_whole_name() {
        let lock = "[[package]]\nname = \"wasm-bindgen-test\"\nversion = \"0.3.79\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.129\"\nsource = \"x\"\n";
        assert_eq!(locked(lock, "wasm-bindgen").as_deref(), Some("0.2.129"));
        assert_eq!(locked(lock, "wasm"), None);
    }
}

//! Node.js, and what the tests in a browser take from npm.

use std::fs;
use std::path::PathBuf;

use crate::run::{self, Result, Workspace};
use crate::setup::{self, Found};

/// Puppeteer's oldest, and the first that takes `--import`.
const OLDEST: u32 = 18;

/// Node.js with npm. We only look: which one, and from where, is the person's choice.
pub(crate) fn node(workspace: &Workspace) -> Result<Found> {
    let look = |program| {
        let found = setup::version(workspace.command(program));
        found.map_err(|why| format!("{why}; to install both: apt-get install nodejs npm"))
    };
    let (node, npm) = (look("node")?, look("npm")?);
    match major(&node) {
        Some(major) if major < OLDEST => Err(format!(
            "Node.js {node} is too old: {OLDEST} or newer is needed, see https://nodejs.org"
        )),
        _ => Ok(Found::There(format!("{node}, npm {npm}"))),
    }
}

/// The number in `v20.19.0`, what node prints of itself.
fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

/// The packages that each `package-lock.json` names, exactly.
pub(crate) fn packages(workspace: &Workspace) -> Result<Found> {
    node(workspace)?;
    let mut installed = Vec::new();
    for folder in [FOLDER, JS_FOLDER] {
        if install(workspace, folder)? {
            installed.push(format!("{folder}/node_modules"));
        }
    }
    Ok(match installed.is_empty() {
        true => Found::There(format!("{FOLDER}/node_modules, {JS_FOLDER}/node_modules")),
        false => Found::Installed(installed.join(", ")),
    })
}

/// Whether anything had to be installed in a folder.
fn install(workspace: &Workspace, folder: &str) -> Result<bool> {
    let wanted = workspace.root().join(folder).join("package-lock.json");
    let wanted = fs::read_to_string(&wanted)
        .map_err(|why| format!("cannot read {}: {why}", wanted.display()))?;
    // A copy of the lock file is put beside them last: it is there if all of them are.
    let stamp = workspace.root().join(folder).join("node_modules/.storex-lock.json");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(false);
    }
    let mut npm = workspace.command("npm");
    npm.args(["ci", "--prefix", folder]);
    run::output(npm).map_err(|why| format!("no packages from npm: {why}"))?;
    fs::write(&stamp, wanted).map_err(|why| format!("cannot write {}: {why}", stamp.display()))?;
    Ok(true)
}

/// Where the scripts of the browser are, and the packages that they use.
pub(crate) const FOLDER: &str = "tests/browser";

/// Where the JavaScript face is, and the packages that its tests use.
pub(crate) const JS_FOLDER: &str = "bindings/js";

/// The absolute path of a file among the packages.
pub(crate) fn module(workspace: &Workspace, file: &str) -> PathBuf {
    workspace.root().join(FOLDER).join("node_modules").join(file)
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_version_is_the_first_number() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("v9.0.0-nightly"), Some(9));
        assert_eq!(major("node"), None);
    }
}

//! `cargo xtask notes-web`: builds the notes for the browser, and serves them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::run::{self, Result, Workspace};
use crate::{browser, browser_test, wasm};

/// The package: a library for the browser, and a program that serves it.
pub(crate) const PACKAGE: &str = "notes-web";

/// What is served beside the module.
const PAGES: &str = "examples/notes-web/site";

/// What the service worker reads: the names of all files, and a version.
const BUILD: &str = "build.js";

/// Builds, serves, and prints the link that is to be opened.
pub(crate) fn serve(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    wasm::standard_library(workspace)?;
    browser::wasm_bindgen(workspace)?;
    let site = site(workspace, browser_test::RELEASED)?;
    let mut server =
        workspace.cargo_here(["run", "--quiet", "--package", PACKAGE, "--bin", PACKAGE]);
    server.arg("--").arg("--site").arg(site).args(args);
    run::hand_over(server)
}

/// Builds what is served with a profile, and tells the folder that it is in.
pub(crate) fn site(workspace: &Workspace, profile: &str) -> Result<PathBuf> {
    let folder = wasm::target_folder(workspace)?.join(PACKAGE);
    // Nothing of the last build stays.
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|why| cannot("empty", &folder, &why))?;
    }
    browser_test::module(workspace, PACKAGE, profile, PACKAGE)?;
    let pages = workspace.root().join(PAGES);
    for (page, content) in read(&pages)? {
        let to = folder.join(page);
        fs::write(&to, content).map_err(|why| cannot("write", &to, &why))?;
    }
    let build = folder.join(BUILD);
    fs::write(&build, build_script(&read(&folder)?))
        .map_err(|why| cannot("write", &build, &why))?;
    Ok(folder)
}

/// The script that tells the service worker what to keep: all but itself, which the browser keeps, and types, which are for editors.
fn build_script(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    let kept = files.keys().filter(|name| !name.ends_with(".ts") && *name != "sw.js");
    let kept = kept.map(String::as_str).chain([BUILD]);
    let kept: Vec<String> = kept.map(|name| format!("'{name}'")).collect();
    format!(
        "self.BUILD = {{ version: '{:016x}', files: [{}] }};\n",
        hasher.finish(),
        kept.join(", ")
    )
}

/// The files of a folder and of those in it, by their paths, with slashes.
fn read(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(folder.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|why| cannot("read", &folder, &why))? {
            let path = entry.map_err(|why| cannot("read", &folder, &why))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                let prefix = format!("{prefix}{name}/");
                folders.push((path, prefix));
            } else {
                let content = fs::read(&path).map_err(|why| cannot("read", &path, &why))?;
                files.insert(format!("{prefix}{name}"), content);
            }
        }
    }
    Ok(files)
}

fn cannot(what: &str, path: &Path, why: &std::io::Error) -> String {
    format!("cannot {what} {}: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_another_one_as_soon_as_a_file_is() {
        let site = |style: &str| {
            let files = [("sw.js", "x"), ("style.css", style), ("types.d.ts", "y")];
            build_script(&files.map(|(name, it)| (name.to_owned(), it.into())).into())
        };
        assert!(site("a").ends_with("files: ['style.css', 'build.js'] };\n"), "{}", site("a"));
        assert_eq!(site("a"), site("a"));
        assert_ne!(site("a"), site("b"));
    }
}

//! The programs in `examples/`, one folder each, found rather than listed.

use std::fs;

use crate::run::{Result, Workspace};

/// The package names of the examples that are programs of this machine, in order: not of what they share, and not of pages.
pub(crate) fn packages(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root().join("examples");
    let cannot = |why| format!("cannot read {}: {why}", folder.display());
    let mut packages = Vec::new();
    for entry in fs::read_dir(&folder).map_err(cannot)? {
        let example = entry.map_err(cannot)?.path();
        let path = example.join("Cargo.toml");
        if path.is_file() && example.join("src").join("main.rs").is_file() {
            let manifest = fs::read_to_string(&path)
                .map_err(|why| format!("cannot read {}: {why}", path.display()))?;
            let name = package_name(&manifest);
            packages.push(name.ok_or_else(|| format!("no package name in {}", path.display()))?);
        }
    }
    packages.sort();
    if packages.is_empty() { Err("there are no examples".to_owned()) } else { Ok(packages) }
}

/// The `name` in the `[package]` table of a manifest.
fn package_name(manifest: &str) -> Option<String> {
    let table = manifest.lines().map(str::trim).skip_while(|line| *line != "[package]").skip(1);
    let mut keys = table.take_while(|line| !line.starts_with('['));
    keys.find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "name").then(|| value.split('"').nth(1).map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::package_name;

    #[test]
    fn the_name_is_the_packages_own() {
        let manifest = "[workspace]\n[package]\nversion = \"1.0.0\"\nname = \"quick\" # its name\n\n\
                        [[bin]]\nname = \"other\"\n";
        assert_eq!(package_name(manifest).as_deref(), Some("quick"));
        assert_eq!(package_name("[package]\n[lib]\nname = \"other\"\n"), None);
        assert_eq!(package_name("[lib]\nname = \"other\"\n"), None);
    }
}

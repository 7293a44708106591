//! The programs in `examples/`, one folder each, found rather than listed.

use std::fs;

use crate::run::{Result, Workspace};

/// An example that is a program of this machine.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Example {
    pub(crate) package: String,
    pub(crate) program: String,
}

/// All of them, in order: not what they share, and not pages.
pub(crate) fn found(workspace: &Workspace) -> Result<Vec<Example>> {
    let folder = workspace.root().join("examples");
    let cannot = |why| format!("cannot read {}: {why}", folder.display());
    let mut examples = Vec::new();
    for entry in fs::read_dir(&folder).map_err(cannot)? {
        let example = entry.map_err(cannot)?.path();
        let path = example.join("Cargo.toml");
        if path.is_file() && example.join("src").join("main.rs").is_file() {
            let manifest = fs::read_to_string(&path)
                .map_err(|why| format!("cannot read {}: {why}", path.display()))?;
            let example = named(&manifest);
            examples.push(example.ok_or_else(|| format!("no package name in {}", path.display()))?);
        }
    }
    examples.sort();
    if examples.is_empty() { Err("there are no examples".to_owned()) } else { Ok(examples) }
}

/// The names in a manifest. A program is called as its package, if it has no name of its own.
fn named(manifest: &str) -> Option<Example> {
    let package = name_in(manifest, "[package]")?;
    let program = name_in(manifest, "[[bin]]").unwrap_or_else(|| package.clone());
    Some(Example { package, program })
}

/// The `name` in a table of a manifest.
fn name_in(manifest: &str, table: &str) -> Option<String> {
    let table = manifest.lines().map(str::trim).skip_while(|line| *line != table).skip(1);
    let mut keys = table.take_while(|line| !line.starts_with('['));
    keys.find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "name").then(|| value.split('"').nth(1).map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_program_is_called_as_its_package_or_by_a_name_of_its_own() {
        let names = |manifest| named(manifest).map(|it| (it.package, it.program));
        let both = |package: &str, program: &str| Some((package.to_owned(), program.to_owned()));
        let manifest =
            "[workspace]\n[package]\nversion = \"1.0.0\"\nname = \"quick\" # its name\n\n";
        assert_eq!(names(manifest), both("quick", "quick"));
        let manifest = format!("{manifest}[lib]\nname = \"lib\"\n[[bin]]\nname = \"other\"\n");
        assert_eq!(names(&manifest), both("quick", "other"));
        assert_eq!(names("[package]\n[lib]\nname = \"other\"\n"), None);
        assert_eq!(names("[lib]\nname = \"other\"\n"), None);
    }
}

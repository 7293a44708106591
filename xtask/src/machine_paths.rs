//! No file may name a folder of the machine it was written on: it would be wrong on every other.

use std::path::{Path, PathBuf};

use crate::run::{self, Result, Workspace};

/// Folders of the machines that storex is written on, spelled so that this file does not name them.
const KNOWN: [&str; 2] = [concat!("/", "work/"), concat!("/", "root/")];

/// The files that are committed, or would be by `git add --all`; relative to the root folder.
pub(crate) fn files(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut list = workspace.command("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let names = String::from_utf8(run::output(list)?)
        .map_err(|why| format!("a file's name is not UTF-8: {why}"))?;
    Ok(names.split_terminator('\0').map(PathBuf::from).collect())
}

/// Names every line with such a folder in it.
pub(crate) fn check(workspace: &Workspace, files: &[PathBuf]) -> Result<()> {
    let folders = folders(workspace.root());
    let mut found = 0;
    for file in files {
        if file.file_name().is_some_and(|name| name == "Cargo.lock") {
            continue;
        }
        // What cannot be read as text (deleted since, a folder, an image) names no folder.
        let Ok(text) = std::fs::read_to_string(workspace.root().join(file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(folder) = folders.iter().find(|folder| names(line, folder)) {
                println!("{}:{}: names {folder}", file.display(), number + 1);
                found += 1;
            }
        }
    }
    match found {
        0 => Ok(()),
        _ => Err(format!("{found} line(s) name a folder of this machine")),
    }
}

/// The known folders, the home folder and the workspace itself.
fn folders(root: &Path) -> Vec<String> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let here = home.iter().map(PathBuf::as_path).chain([root]);
    // A folder right under `/` has too common a name to look for.
    let here = here.filter(|folder| folder.components().count() > 2);
    let here = here.map(|folder| format!("{}/", folder.display()));
    KNOWN.map(str::to_owned).into_iter().chain(here).collect()
}

/// Whether the folder occurs as an absolute path, not as the end of a longer one.
fn names(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~})>".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_are_found_and_the_ends_of_other_paths_are_not() {
        let folder = KNOWN[0];
        for found in [format!("{folder}x"), format!("\"{folder}\""), format!("file://{folder}x")] {
            assert!(names(&found, folder), "{found}");
        }
        for fine in [format!("net{folder}"), format!("..{folder}x"), format!("${{TMP}}{folder}x")] {
            assert!(!names(&fine, folder), "{fine}");
        }
        assert!(names(&format!("net{folder} and {folder}"), folder), "the second one counts too");
    }

    #[test]
    fn a_folder_right_under_the_top_is_not_looked_for() {
        let looked_for = folders(Path::new("/app"));
        assert!(!looked_for.contains(&"/app/".to_owned()), "{looked_for:?}");
        let looked_for = folders(Path::new("/builds/storex"));
        assert!(looked_for.contains(&"/builds/storex/".to_owned()), "{looked_for:?}");
    }
}

//! Test binaries for wasm: built once, then run in each context.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{self, Result, Workspace};
use crate::scratch::Scratch;
use crate::wasm;

/// A test binary as cargo built it.
pub(crate) struct Binary {
    pub(crate) package: String,
    file: PathBuf,
    /// The package's folder, where cargo runs its tests.
    folder: PathBuf,
}

/// Builds the tests of all these packages at once, so that they share what they are built of.
pub(crate) fn build(workspace: &Workspace, packages: &[&str]) -> Result<Vec<Binary>> {
    let args = ["--tests", "--no-run", "--message-format=json-render-diagnostics"];
    let mut build = wasm::cargo_for(workspace, "test", packages, &args);
    without_debug_info(&mut build);
    let mut binaries = Vec::new();
    run::lines(build, |line| binaries.extend(binary(line)))?;
    Ok(binaries)
}

/// Nobody debugs them, and what a debugger reads is six sevenths of a module, which the runner reads, binds and serves anew in each context.
pub(crate) fn without_debug_info(build: &mut Command) {
    build.env("CARGO_PROFILE_DEV_DEBUG", "false");
}

/// The test binary that a message of cargo's tells of, if it tells of one.
fn binary(message: &str) -> Option<Binary> {
    let file = PathBuf::from(wasm::json_text(message, "executable")?);
    let manifest = PathBuf::from(wasm::json_text(message, "manifest_path")?);
    let package = package_name(&wasm::json_text(message, "package_id")?)?;
    Some(Binary { package, file, folder: manifest.parent()?.to_path_buf() })
}

/// The name in `path+file:///folder#name@1.0.0`, or `path+file:///name#1.0.0`.
fn package_name(id: &str) -> Option<String> {
    let (source, rest) = id.rsplit_once('#')?;
    let name = match rest.split_once('@') {
        Some((name, _)) => name,
        None => Path::new(source).file_name()?.to_str()?,
    };
    Some(name.to_owned())
}

impl Binary {
    /// The name of the tests that it is built of.
    pub(crate) fn suite(&self) -> &str {
        let file = self.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        file.rsplit_once('-').map_or(file, |(own, _)| own)
    }

    /// Runs it, which is called `name`, and prints all but the tests that passed, whose number is the answer. What the runner must be told
    /// beside the context is in `.cargo/config.toml`, from which we have it already.
    pub(crate) fn run(
        &self,
        workspace: &Workspace,
        name: &str,
        context: (&str, &str),
        skipped: &[&str],
    ) -> Result<u64> {
        // The runner and the browser leave some 16 MB behind with every run.
        let scratch = Scratch::new()?;
        let mut runner = workspace.command("wasm-bindgen-test-runner");
        runner.arg(&self.file).current_dir(&self.folder).env("TMPDIR", scratch.path());
        // The person's own choice of a context would be one too many.
        for other in VARIABLES {
            runner.env_remove(other);
        }
        runner.env(context.0, context.1);
        for test in skipped {
            runner.args(["--skip", test]);
        }
        let mut passed = 0;
        run::lines(runner, |line| {
            passed += passed_tests(line).unwrap_or(0);
            if !line.is_empty() && !line.ends_with(" ... ok") {
                println!("{name}: {line}");
            }
        })?;
        Ok(passed)
    }
}

/// Where the runner looks for its context.
const VARIABLES: [&str; 5] = [
    "WASM_BINDGEN_USE_BROWSER",
    "WASM_BINDGEN_USE_DEDICATED_WORKER",
    "WASM_BINDGEN_USE_SHARED_WORKER",
    "WASM_BINDGEN_USE_SERVICE_WORKER",
    "NODE_ARGS",
];

/// The number in the runner's last line.
fn passed_tests(line: &str) -> Option<u64> {
    let (number, _) = line.strip_prefix("test result: ok. ")?.split_once(" passed")?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_messages_tell_of_binaries_and_of_other_things() {
        let message = r#"{"reason":"compiler-artifact","package_id":"path+file:///s/backends/memory#storex-memory@0.1.0","manifest_path":"/s/backends/memory/Cargo.toml","executable":"/t/a.wasm","fresh":true}"#;
        let found = binary(message).unwrap();
        assert_eq!(found.package, "storex-memory");
        assert_eq!(found.file, Path::new("/t/a.wasm"));
        assert_eq!(found.folder, Path::new("/s/backends/memory"));
        assert!(binary(&message.replace("\"/t/a.wasm\"", "null")).is_none());
        assert!(binary(r#"{"reason":"build-finished","success":true}"#).is_none());
    }

    #[test]
    fn a_package_in_a_folder_of_its_name_is_named_by_the_folder() {
        assert_eq!(
            package_name("path+file:///s/storex-core#0.1.0").as_deref(),
            Some("storex-core")
        );
        assert_eq!(package_name("path+file:///s/a%23b/x#y@0.1.0").as_deref(), Some("y"));
    }

    #[test]
    fn the_passed_tests_are_counted() {
        let line = "test result: ok. 718 passed; 0 failed; 0 ignored; 0 filtered out";
        assert_eq!(passed_tests(line), Some(718));
        assert_eq!(passed_tests("no tests to run!"), None);
    }
}

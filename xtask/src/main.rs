//! `cargo xtask <command>`: prepares a machine and runs storex's checks, demo and benchmarks.
//!
//! CI runs the same commands as a person does, and nothing else knows how a machine is prepared.
//! Only the standard library is used, also by what it shares with tests, so that this crate builds before anything else does.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

mod bench;
mod browser;
mod browser_test;
mod demo;
mod examples;
mod js;
mod lint;
mod machine_paths;
mod node;
mod notes_web;
mod postgres;
mod report;
mod run;
mod schemathesis;
mod scratch;
mod setup;
mod test;
mod wasm;
mod wasm_binary;
mod wasm_test;

use std::ffi::OsString;
use std::process::ExitCode;

use run::{Result, Workspace};

const USAGE: &str = "\
usage: cargo xtask <command>

  setup            install what this machine lacks to build and check storex, the browser included
  demo [args..]    run `storex demo` with these arguments
  lint             formatting, clippy, wasm32, documentation, machine-specific paths
  test [--long]    lint, then every test, documentation example, example, the demo, `openapi`
                   and `browser`
  browser [--long] the tests in a browser: wasm tests, scenarios with real tabs, the size
  notes-web [..]   build the notes for the browser (examples/notes-web) and serve them; --data FOLDER keeps
                   what is written, --help tells the rest
  js               build the npm package of bindings/js into target/js-package
  openapi [--long] the server's OpenAPI document alone: Schemathesis draws requests from it
  bench [args..]   run the benchmark suite with these arguments (--json for a machine);
                   `bench browser` runs the browser's, against Dexie
  postgres <cmd..> run a command with a PostgreSQL for as long as it runs; STOREX_TEST_POSTGRES tells it where
  help             print this

`test --long` sets STOREX_LONG=1, for which some tests run longer and with more seeds.";

fn main() -> ExitCode {
    match dispatch() {
        Ok(code) => code,
        Err(why) => {
            eprintln!("xtask: error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    match command.to_str() {
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        Some("") => {
            eprintln!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
        _ => {}
    }
    let workspace = Workspace::from_env()?;
    match command.to_str() {
        Some("setup") => only_flags(&rest, &[]).and_then(|()| setup::setup(&workspace)),
        Some("demo") => demo::demo(&workspace, &rest),
        Some("lint") => only_flags(&rest, &[]).map(|()| lint::lint(&workspace)),
        Some("test") => {
            only_flags(&rest, &["--long"])?;
            Ok(test::test(&workspace, !rest.is_empty()))
        }
        Some("browser") => {
            only_flags(&rest, &["--long"])?;
            Ok(browser_test::browser(&workspace, !rest.is_empty()))
        }
        Some("js") => only_flags(&rest, &[]).and_then(|()| js::js(&workspace)),
        Some("openapi") => {
            only_flags(&rest, &["--long"])?;
            Ok(schemathesis::openapi(&workspace, !rest.is_empty()))
        }
        Some("notes-web") => notes_web::serve(&workspace, &rest),
        Some("postgres") => postgres::with_postgres(&workspace, &rest),
        Some("bench") => bench::bench(&workspace, &rest),
        _ => Err(format!("no command `{}`; see `cargo xtask help`", command.display())),
    }
}

/// Refuses every argument that is none of `known`.
fn only_flags(args: &[OsString], known: &[&str]) -> Result<()> {
    match args.iter().find(|arg| !known.iter().any(|flag| *arg == *flag)) {
        None => Ok(()),
        Some(arg) => Err(format!("unknown argument `{}`; see `cargo xtask help`", arg.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::only_flags;

    #[test]
    fn unknown_arguments_are_refused_by_name() {
        assert_eq!(only_flags(&["--long".into()], &["--long"]), Ok(()));
        let refused = only_flags(&["--long".into(), "--lnog".into()], &["--long"]).unwrap_err();
        assert!(refused.contains("`--lnog`"), "{refused}");
    }
}

//! `cargo xtask test`: everything that CI asks of a change.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use storex_postgres_cluster::{ADDRESS, Cluster};

use crate::report::Report;
use crate::run::{self, Result, Workspace};
use crate::{bench, browser_test, demo, examples, lint, postgres, schemathesis, setup, wasm};

pub(crate) fn test(workspace: &Workspace, long: bool) -> ExitCode {
    let mut report = Report::new();
    lint::parts(workspace, &mut report);

    // By the command that runs them, so that nothing is built twice.
    let c_compiler = setup::c_compiler(workspace);
    report.part("build", &c_compiler, |_| {
        let mut build = tests(workspace, long);
        build.arg("--no-run");
        run::check(build)
    });
    let built = report.last();
    // One for all tests of it.
    let database = postgres::start(workspace);
    report.part("PostgreSQL", &database, |database| {
        println!("{ADDRESS}='{}'", database.address());
        Ok(())
    });
    report.part("tests", &built, |_| {
        let mut tests = tests(workspace, long);
        tests.arg("--no-fail-fast");
        hand_over(&mut tests, &database);
        run::check(tests)
    });
    drop(database);
    report.part("doc tests", &built, |_| {
        let mut doc_tests = workspace.cargo(["test", "--doc", "--no-fail-fast"]);
        doc_tests.args(TESTED).args(lint::FEATURES);
        set_long(&mut doc_tests, long);
        run::check(doc_tests)
    });
    schemathesis::part(workspace, &mut report, &built, long);
    match examples::found(workspace) {
        Err(why) => report.part::<()>("examples", &Err(why), |()| Ok(())),
        Ok(examples) => {
            let mut folder = PathBuf::new();
            report.part("build examples", &built, |_| {
                // The demo as it is run by hand; then with the features that they name themselves, as for whoever copies them.
                run::check(workspace.cargo(["check", "--package", demo::PACKAGE]))?;
                let mut check = workspace.cargo(["check"]);
                check.args(examples.iter().flat_map(|it| ["--package", &it.package]));
                run::check(check)?;
                folder = programs(workspace, examples.iter().map(|it| it.program.as_str()))?;
                Ok(())
            });
            let built = report.last();
            for examples::Example { package, program } in examples {
                report.part(&format!("example {package}"), &built, |_| {
                    run::check(workspace.command(folder.join(&program)))
                });
            }
        }
    }
    // As it was built for the tests: to optimize everything once more takes longer than all that the demo does.
    report.part("demo", &built, |_| {
        let mut demo = workspace.command(programs(workspace, [demo::PROGRAM])?.join(demo::PROGRAM));
        demo.args(["demo", "--json"]);
        run::check(demo)
    });
    browser_test::parts(workspace, &mut report, long);
    report.finish()
}

/// Everything but the benchmarks, which the lint has looked at.
const TESTED: [&str; 3] = ["--workspace", "--exclude", bench::PACKAGE];

/// Tells the tests where PostgreSQL is. Where it is not, those of it are left out, and the summary says so.
fn hand_over(tests: &mut Command, database: &Result<Cluster>) {
    match database {
        Ok(database) => tests.env(ADDRESS, database.address()),
        Err(_) => tests.args(["--", "--skip", "on_postgres::"]),
    };
}

/// Builds these programs, and tells in which folder they are. A test is among it so that the libraries are those of the tests, with their
/// features: all of them are built already then.
pub(crate) fn programs<'a>(
    workspace: &Workspace,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<PathBuf> {
    let mut build = workspace.cargo(["build", "--test", "serve"]);
    build.args(TESTED).args(lint::FEATURES);
    for name in names {
        build.args(["--bin", name]);
    }
    run::check(build)?;
    Ok(wasm::target_folder(workspace)?.join("debug"))
}

fn tests(workspace: &Workspace, long: bool) -> Command {
    let mut tests = match setup::nextest(workspace) {
        Some(_) => workspace.cargo(["nextest", "run", "--profile", profile(long)]),
        None => workspace.cargo(["test", "--all-targets"]),
    };
    tests.args(TESTED).args(lint::FEATURES);
    set_long(&mut tests, long);
    tests
}

/// How long a test may take before it counts as hanging: a profile of `.config/nextest.toml`.
fn profile(long: bool) -> &'static str {
    if long { "long" } else { "default" }
}

/// The tests that can run longer, with more seeds, read this variable. The normal run draws the same cases each time, so
/// that it tells the same of the same code; the long run looks for new ones.
fn set_long(command: &mut Command, long: bool) {
    if long {
        command.env("STOREX_LONG", "1");
    } else if std::env::var_os(PROPTEST_SEED).is_none() {
        command.env(PROPTEST_SEED, "20261120");
    }
}

/// Where proptest looks for its seed.
const PROPTEST_SEED: &str = "PROPTEST_RNG_SEED";

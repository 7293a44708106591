//! The tests of the crates that work in a browser: in Chromium, in each context that such code runs in.

use crate::report::Report;
use crate::run::{Result, Workspace};
use crate::setup::Found;
use crate::wasm_binary::{self, Binary};
use crate::{browser, node};

/// Where in the browser, and what is tested there.
struct Context {
    part: &'static str,
    /// By this wasm-bindgen-test-runner is told.
    variable: &'static str,
    packages: &'static [&'static str],
    /// Tests that are left out.
    skipped: &'static [&'static str],
    /// Whole suites that are left out.
    suites_skipped: &'static [&'static str],
}

/// The backend's conformance suite once more, behind the middleware that ships: the page runs it, and what that middleware
/// does depends on no context.
const STOCK: &str = "behind_the_stock";

/// Browsers have WebRTC in pages. That it is missing elsewhere is a suite of its own.
const WEB_RTC: &str = "web_rtc";

/// What needs nothing of the browser runs in one context; what does, in all.
const CONTEXTS: [Context; 3] = [
    Context {
        part: "wasm tests in a page",
        variable: "WASM_BINDGEN_USE_BROWSER",
        packages: &["storex-memory", "storex-indexeddb", "storex-browser"],
        skipped: &[],
        suites_skipped: &[],
    },
    Context {
        part: "wasm tests in a dedicated worker",
        variable: "WASM_BINDGEN_USE_DEDICATED_WORKER",
        packages: &["storex-indexeddb", "storex-browser"],
        skipped: &[STOCK],
        suites_skipped: &[WEB_RTC],
    },
    Context {
        part: "wasm tests in a shared worker",
        variable: "WASM_BINDGEN_USE_SHARED_WORKER",
        packages: &["storex-indexeddb", "storex-browser"],
        skipped: &[STOCK],
        // The database is the same in every worker. What a shared worker does otherwise (it outlives its pages) is in the
        // other suites and in the scenarios.
        suites_skipped: &["conformance", WEB_RTC],
    },
];

/// What Node.js runs on an imitation of the browser's database, for those who have no Chromium.
const IN_NODE: [&str; 1] = ["storex-indexeddb"];

/// The suites of it that are run there.
const SUITES_IN_NODE: [&str; 2] = ["conformance", "scripts"];

/// What the imitation does not do: it takes empty bytes for a key that was transferred away.
const SKIPPED_IN_NODE: [&str; 1] = ["bytes_of_every_length"];

/// Builds the tests, if the tools are there, and runs them in one context after another.
pub(crate) fn parts(workspace: &Workspace, report: &mut Report, tools: &Result<Found>) {
    let mut binaries = Vec::new();
    report.part("build wasm tests", tools, |_| {
        binaries = wasm_binary::build(workspace, &packages())?;
        Ok(())
    });
    let built = report.last();

    let chromium = built.clone().and_then(|()| browser::chromium(workspace));
    for Context { part, variable, packages, skipped, suites_skipped } in CONTEXTS {
        report.part(part, &chromium, |_| {
            if !skipped.is_empty() {
                println!("run in a page only: {}", skipped.join(", "));
            }
            if !suites_skipped.is_empty() {
                println!("suites that are left out here: {}", suites_skipped.join(", "));
            }
            let wanted = |it: &&Binary| !suites_skipped.iter().any(|suite| it.is(suite));
            let wanted: Vec<&Binary> = binaries.iter().filter(wanted).collect();
            run_tests(workspace, &wanted, packages, (variable, "1"), skipped)
        });
    }
    let imitation = built.and_then(|()| node::packages(workspace));
    report.part("quick check in Node (fake-indexeddb)", &imitation, |_| {
        let module = node::module(workspace, "fake-indexeddb/auto/index.mjs");
        let import = format!("--import={}", module.display());
        println!("left out, since the imitation does not do it: {}", SKIPPED_IN_NODE.join(", "));
        let wanted = |it: &&Binary| SUITES_IN_NODE.iter().any(|suite| it.is(suite));
        let wanted: Vec<&Binary> = binaries.iter().filter(wanted).collect();
        run_tests(workspace, &wanted, &IN_NODE, ("NODE_ARGS", &import), &SKIPPED_IN_NODE)
    });
}

/// Every package that is tested anywhere, once.
fn packages() -> Vec<&'static str> {
    let all = CONTEXTS.iter().flat_map(|context| context.packages).chain(&IN_NODE);
    let mut packages: Vec<&str> = all.copied().collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Runs all tests of these packages in one context; one that fails does not stop the next.
fn run_tests(
    workspace: &Workspace,
    binaries: &[&Binary],
    packages: &[&str],
    context: (&str, &str),
    skipped: &[&str],
) -> Result<()> {
    let mut wrong = Vec::new();
    for package in packages {
        let (mut passed, wrong_before) = (0, wrong.len());
        for binary in binaries.iter().filter(|binary| binary.package == *package) {
            match binary.run(workspace, context, skipped) {
                Ok(number) => passed += number,
                Err(why) => wrong.push(format!("{package}: {why}")),
            }
        }
        println!("{package}: {passed} passed");
        // Tests that leave themselves out (by a `cfg`, or the runner's configuration) would go unnoticed.
        if passed == 0 && wrong.len() == wrong_before {
            wrong.push(format!("{package}: no test was run"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

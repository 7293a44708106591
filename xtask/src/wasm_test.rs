//! The tests of the crates that work in a browser: in Chromium, in each context that such code runs in.

use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::report::Report;
use crate::run::{Result, Workspace};
use crate::setup::Found;
use crate::wasm_binary::{self, Binary};
use crate::{browser, node};

/// Where in the browser, and what is tested there.
struct Context {
    name: &'static str,
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
        name: "page",
        variable: "WASM_BINDGEN_USE_BROWSER",
        packages: &["storex-memory", "storex-indexeddb", "storex-browser"],
        skipped: &[],
        suites_skipped: &[],
    },
    Context {
        name: "dedicated worker",
        variable: "WASM_BINDGEN_USE_DEDICATED_WORKER",
        packages: &["storex-indexeddb", "storex-browser"],
        skipped: &[STOCK],
        suites_skipped: &[WEB_RTC],
    },
    Context {
        name: "shared worker",
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

/// Builds the tests, if the tools are there, and runs them in all contexts.
pub(crate) fn parts(workspace: &Workspace, report: &mut Report, tools: &Result<Found>) {
    let mut binaries = Vec::new();
    report.part("build wasm tests", tools, |_| {
        binaries = wasm_binary::build(workspace, &packages())?;
        Ok(())
    });
    let built = report.last();

    let chromium = built.clone().and_then(|()| browser::chromium(workspace));
    report.part("wasm tests", &chromium, |_| in_contexts(workspace, &binaries));
    let imitation = built.and_then(|()| node::packages(workspace));
    report.part("quick check in Node (fake-indexeddb)", &imitation, |_| {
        let module = node::module(workspace, "fake-indexeddb/auto/index.mjs");
        let import = format!("--import={}", module.display());
        println!("left out, since the imitation does not do it: {}", SKIPPED_IN_NODE.join(", "));
        for package in IN_NODE {
            let wanted = |it: &&Binary| SUITES_IN_NODE.contains(&it.suite());
            let mut passed = 0;
            for binary in binaries.iter().filter(|it| it.package == package).filter(wanted) {
                let context = ("NODE_ARGS", &*import);
                passed += binary.run(workspace, binary.suite(), context, &SKIPPED_IN_NODE)?;
            }
            some(passed, package, "Node")?;
        }
        Ok(())
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

/// Runs all that is wanted in each context, as many at once as there are cores; what fails does not stop the rest.
fn in_contexts(workspace: &Workspace, binaries: &[Binary]) -> Result<()> {
    for Context { name, skipped, suites_skipped, .. } in &CONTEXTS {
        let left_out = [*suites_skipped, *skipped].concat();
        if !left_out.is_empty() {
            println!("left out in a {name}: {}", left_out.join(", "));
        }
    }
    let wanted = CONTEXTS.iter().flat_map(|context| {
        binaries.iter().filter(|it| context.wants(it)).map(move |binary| (context, binary))
    });
    let (waiting, ended) = (Mutex::new(wanted), Mutex::new(Vec::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((context, binary)) = next() {
                    let name = format!("{} in a {}", binary.suite(), context.name);
                    let variable = (context.variable, "1");
                    let run = binary.run(workspace, &name, variable, context.skipped);
                    let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                    ended.push((context, binary, run));
                }
            });
        }
    });
    outcome(&ended.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Prints how many passed where.
fn outcome(ended: &[(&Context, &Binary, Result<u64>)]) -> Result<()> {
    let mut wrong = Vec::new();
    for context in &CONTEXTS {
        for package in context.packages {
            let (mut passed, wrong_before) = (0, wrong.len());
            let of_both = ended
                .iter()
                .filter(|(at, binary, _)| at.name == context.name && binary.package == *package);
            for (_, _, run) in of_both {
                match run {
                    Ok(number) => passed += number,
                    Err(why) => wrong.push(format!("{package} in a {}: {why}", context.name)),
                }
            }
            if wrong.len() == wrong_before {
                wrong.extend(some(passed, package, context.name).err());
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// Tests that leave themselves out (by a `cfg`, or the runner's configuration) would go unnoticed.
fn some(passed: u64, package: &str, context: &str) -> Result<()> {
    println!("{package}, {context}: {passed} passed");
    if passed == 0 { Err(format!("{package}, {context}: no test was run")) } else { Ok(()) }
}

impl Context {
    fn wants(&self, binary: &Binary) -> bool {
        self.packages.contains(&&*binary.package) && !self.suites_skipped.contains(&binary.suite())
    }
}

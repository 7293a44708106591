//! storex as a page loads it: scenarios with real tabs and workers, and how much there is to load.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use storex_postgres_cluster::ADDRESS;

use crate::report::Report;
use crate::run::{self, Result, Workspace};
use crate::scratch::Scratch;
use crate::{browser, js, node, notes_web, postgres, test, wasm, wasm_binary, wasm_test};

/// The module that the pages of `tests/browser` import as `/pkg/storex_browser.js`.
const SCENARIOS: &str = "storex-browser";

/// What scenarios start of the native side, and the variable that tells them where it is.
const PROGRAMS: [(&str, &str); 5] = [
    // Prints what is in a SQLite database.
    ("storex-e2e-export", "STOREX_EXPORT"),
    // Devices at a server.
    ("storex-e2e-devices", "STOREX_DEVICES"),
    // The server.
    ("storex", "STOREX_PROGRAM"),
    // What serves the notes, and is their server.
    (notes_web::PACKAGE, "STOREX_NOTES_WEB"),
    // The notes in a terminal.
    ("notes", "STOREX_NOTES"),
];

/// The variable that tells scenarios the folder of the notes as they are served.
const NOTES_SITE: &str = "STOREX_NOTES_SITE";

/// The one with a server, which runs on each of its databases.
const WITH_SERVER: &str = "server";

/// As what the scenarios load is built: nobody waits for an optimizer, and what is built for the wasm tests is used once more.
const TESTED: &str = "dev";

/// As users get it.
pub(crate) const RELEASED: &str = "release";

/// What is weighed: the core, the sync and the browser's backend, without an application.
const WEIGHED: &str = "storex-size";

/// The most that storex may add to a page, in KiB after gzip. The target is 350, which is not reached yet; until it is,
/// this keeps what there is from growing. (With the whole core, migrations and custom types it was 507; with the engine of
/// continuous sync 557; with the rules, strategies and hooks of the merge, the conflict journal, snapshots, which bring initial
/// sync along, and new incarnations 722; with rules after an initial sync, local fields and the reread of a log 753; with
/// lanes, scopes, refused writes and the names of older schemas 824; with sessions of the initial sync, going on after a cut,
/// comparing, and markers of scopes 948; with many logs in one database and writes that are told of though they were given up 968; with tokens, blobs and locks of tabs
/// 982; with changes that are told in every tab 989.)
const LIMIT: &str = "995";

/// `cargo xtask browser`
pub(crate) fn browser(workspace: &Workspace, long: bool) -> ExitCode {
    let mut report = Report::new();
    parts(workspace, &mut report, long);
    report.finish()
}

/// The parts of the browser, also the last ones of the tests.
pub(crate) fn parts(workspace: &Workspace, report: &mut Report, long: bool) {
    let tools = wasm::standard_library(workspace).and_then(|_| browser::wasm_bindgen(workspace));
    wasm_test::parts(workspace, report, &tools);

    let tools = tools.and_then(|_| node::packages(workspace));
    let with_chromium = tools.as_ref().map_err(Clone::clone);
    let with_chromium = with_chromium.and_then(|_| browser::chromium(workspace));
    let mut built = None;
    report.part("build for the browser scenarios", &with_chromium, |_| {
        built = Some(Built::new(workspace)?);
        Ok(())
    });
    let built = report.last().and(built.ok_or_else(|| "they are not built".to_owned()));
    report.part("browser scenarios", &built, |built| built.scenarios(workspace, long, &[], None));
    let database = built.as_ref().map_err(Clone::clone).and_then(|_| postgres::start(workspace));
    let both = built.as_ref().map_err(Clone::clone).and_then(|built| {
        database.as_ref().map(|database| (built, database)).map_err(Clone::clone)
    });
    report.part("browser scenarios on PostgreSQL", &both, |(built, database)| {
        built.scenarios(workspace, long, &[WITH_SERVER], Some(database.address()))
    });
    drop(database);
    report.part("wasm size", &tools, |_| size(workspace));
}

/// What scenarios load and start.
struct Built {
    package: PathBuf,
    /// What JavaScript applications load.
    js: PathBuf,
    notes_site: PathBuf,
    programs: PathBuf,
}

impl Built {
    fn new(workspace: &Workspace) -> Result<Self> {
        let (_, package) = module(workspace, SCENARIOS, TESTED, "browser")?;
        let (_, js) = module(workspace, js::PACKAGE, TESTED, "js-tested-bound")?;
        let js = js::package(workspace, &js, "js-tested")?;
        let notes_site = notes_web::site(workspace, TESTED)?;
        let programs = test::programs(workspace, PROGRAMS.map(|(program, _)| program))?;
        Ok(Self { package, js, notes_site, programs })
    }

    /// All of them, or those of these names; `database`: the PostgreSQL that the server is to be on.
    fn scenarios(
        &self,
        workspace: &Workspace,
        long: bool,
        names: &[&str],
        database: Option<&str>,
    ) -> Result<()> {
        // The browser's own temporary folder is here, too.
        let scratch = Scratch::new()?;
        let mut node = workspace.command("node");
        node.arg(script("run.mjs")).arg("--pkg").arg(&self.package).env("TMPDIR", scratch.path());
        node.args(long.then_some("--long")).args(names);
        node.env("STOREX_JS", &self.js).env(NOTES_SITE, &self.notes_site);
        for (program, variable) in PROGRAMS {
            node.env(variable, self.programs.join(program));
        }
        match database {
            Some(address) => node.env(ADDRESS, address),
            None => node.env_remove(ADDRESS),
        };
        run::check(node)
    }
}

/// `cargo xtask bench browser`: against Dexie, in one page.
pub(crate) fn bench(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    browser::wasm_bindgen(workspace)?;
    node::packages(workspace)?;
    browser::chromium(workspace)?;
    let (_, folder) = module(workspace, SCENARIOS, RELEASED, "browser")?;
    let mut node = workspace.command("node");
    node.arg(script("bench.mjs")).arg("--pkg").arg(folder).args(args);
    run::hand_over(node)
}

fn size(workspace: &Workspace) -> Result<()> {
    let (compiled, folder) = module(workspace, WEIGHED, "wasm-size", "wasm-size-bound")?;
    let mut node = workspace.command("node");
    node.arg(script("size.mjs")).args(["--limit", LIMIT]).arg(compiled).arg(folder);
    run::check(node)
}

/// Builds a package and binds it: the module as compiled, and the folder that a page can load it from.
pub(crate) fn module(
    workspace: &Workspace,
    package: &str,
    profile: &str,
    folder: &str,
) -> Result<(PathBuf, PathBuf)> {
    let args = ["--lib", "--profile", profile];
    let mut build = wasm::cargo_for(workspace, "build", &[package], &args);
    wasm_binary::without_debug_info(&mut build);
    run::check(build)?;
    let compiled = wasm::module(workspace, package, profile)?;
    let folder = wasm::target_folder(workspace)?.join(folder);
    let mut bind = browser::bind(workspace);
    bind.arg(&folder).arg(&compiled);
    run::check(bind)?;
    Ok((compiled, folder))
}

fn script(name: &str) -> PathBuf {
    Path::new(node::FOLDER).join(name)
}

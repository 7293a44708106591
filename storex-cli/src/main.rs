//! The `storex` command: reads its arguments, shows how far it has come, prints what came of it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

mod backup_command;
mod console;
mod initial_sync_command;
mod serve_command;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use indicatif::ProgressBar;
use storex_cli::demo::{self, Folder, Observer, Options};
use storex_cli::simulate::{self, Seeds};
use storex_cli::{CliError, describe};
use storex_core::{Runtime as _, TokioRuntime};
use storex_simulation::Profile;
use tokio::sync::oneshot;

use crate::backup_command::Backup;
use crate::console::{INTERRUPTED, fail, style};
use crate::initial_sync_command::InitialSync;
use crate::serve_command::Serve;

/// storex keeps the databases of several devices in step.
#[derive(Debug, Parser)]
#[command(name = "storex", version, arg_required_else_help = true)]
#[command(
    after_help = "STOREX_LOG=debug (or storex_sync=trace, ..) shows on standard error what happens inside."
)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show storex at work on a copy of a SQLite database
    ///
    /// Copies the database as device A's, brings its rows to an empty device B by initial sync, edits both while they are
    /// apart, lets continuous sync bring them back in step, and compares the two databases with plain SQL. The original
    /// is not touched. Exits with 1 if the databases differ.
    Demo(Demo),
    /// Bring a database's rows to another machine, or both machines' rows to each other
    ///
    /// One machine listens and shows a code, the other one connects and has it; with --relay both go to a server instead. What goes over
    /// the network is encrypted with keys that only who has the code can agree on; three wrong codes end it.
    ///
    /// Whatever ends it, both files are good and keep what has arrived; running it again goes on from it. Ctrl-C cancels on
    /// both machines.
    #[command(subcommand)]
    InitialSync(InitialSync),
    /// Run a server: a shared log for everybody's devices, and a relay for initial syncs
    ///
    /// Devices reach it over HTTP and WebSocket with a token each; each user has a log of their own. Everything is kept in one SQLite file,
    /// or in PostgreSQL. It writes what it does to standard error, and stops in order on Ctrl-C or SIGTERM.
    Serve(Box<Serve>),
    /// Copy a server's database into a new file, also while the server runs
    ///
    /// The copy is of one moment, and can be opened in the place of the original.
    Backup(Backup),
    /// Simulate many devices with faults of every kind, in virtual time
    ///
    /// Each seed is a run: the real engine on several devices, whose processes are killed, whose clocks are wrong, whose
    /// network loses, delays and repeats. Then everything heals, and all must be in step, with nothing lost. The same seed
    /// gives the same run. Exits with 1 if a promise was broken.
    Simulate(Simulate),
}

#[derive(Debug, Args)]
struct Simulate {
    /// How many runs to make
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "seed")]
    seeds: u64,
    /// The seed of the first run
    #[arg(long, value_name = "S", default_value_t = 1, conflicts_with = "seed")]
    first_seed: u64,
    /// Make the run of this seed only
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// How many devices there are [default: two to five, by the seed]
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u16).range(2..=100))]
    devices: Option<u16>,
    /// What goes wrong: all, network, partitions, crashes, skew, disk, processes, power, sqlite, trim, clones,
    /// restores, wiped-log
    #[arg(long, value_name = "P", default_value_t = Profile::All)]
    profile: Profile,
    /// Print each run as one JSON object, and one for all of them
    #[arg(long)]
    json: bool,
    /// Print what happens in the run, line by line
    #[arg(long, requires = "seed")]
    trace: bool,
}

#[derive(Debug, Args)]
struct Demo {
    /// The database to show it on; without it, a small built-in sample
    #[arg(long, value_name = "FILE.db")]
    from: Option<PathBuf>,
    /// Leave a.db, b.db and shared-log.db in this folder (made if it is not there)
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Command { action } = Command::parse();
    let serves = matches!(action, Action::Serve(_));
    log_to_stderr(serves.then_some("info"));
    match action {
        Action::Demo(arguments) => console::run(demo(arguments)),
        Action::InitialSync(action) => console::run(initial_sync_command::run(action)),
        Action::Serve(arguments) => console::run(serve_command::run(*arguments)),
        Action::Backup(arguments) => console::run(backup_command::run(arguments)),
        Action::Simulate(arguments) => simulation(&arguments),
    }
}

async fn demo(arguments: Demo) -> ExitCode {
    let folder = match &arguments.keep {
        Some(path) => Folder::kept(path),
        None => Folder::temporary(),
    };
    let folder = match folder {
        Ok(folder) => Arc::new(folder),
        Err(error) => return fail(&describe(&error)),
    };
    let code = demo_in(&folder, arguments).await;
    // Not left to the last owner: the demo may still be running.
    folder.remove_if_temporary();
    code
}

/// The demo runs beside us, so that it can be interrupted wherever it is.
async fn demo_in(folder: &Arc<Folder>, arguments: Demo) -> ExitCode {
    let options = Options { from: arguments.from, ..Options::default() };
    let progress = Arc::new(Progress::new());
    let (done, result) = oneshot::channel();
    let (working_in, observer) = (Arc::clone(folder), Arc::<Progress>::clone(&progress));
    TokioRuntime.spawn(Box::pin(async move {
        let _ = done.send(demo::run(&options, &working_in, observer).await);
    }));
    let outcome = tokio::select! {
        outcome = result => outcome.unwrap_or(Err(CliError::Gone { during: "the demo" })),
        _ = tokio::signal::ctrl_c() => {
            progress.clear();
            eprintln!("storex: interrupted");
            return ExitCode::from(INTERRUPTED);
        }
    };
    progress.clear();
    let report = match outcome {
        Ok(report) => report,
        Err(error) => return fail(&describe(&error)),
    };
    if let Err(why) = console::print(&report, arguments.json) {
        return fail(&why);
    }
    if report.equal {
        return ExitCode::SUCCESS;
    }
    let first = report.differences.first().map_or("", String::as_str);
    fail(&format!("A and B are not as they must be: {first}"))
}

fn simulation(arguments: &Simulate) -> ExitCode {
    let seeds = match arguments.seed {
        Some(seed) => Seeds { first: seed, count: 1 },
        None => Seeds { first: arguments.first_seed, count: arguments.seeds },
    };
    let mut options = storex_simulation::Options::new(arguments.profile);
    options.devices = arguments.devices.map(usize::from);
    options.trace = arguments.trace;
    let mut stdout = std::io::stdout().lock();
    match simulate::run(&seeds, &options, arguments.json, &mut stdout) {
        Ok(summary) if summary.failed == 0 => ExitCode::SUCCESS,
        Ok(summary) => fail(&format!("{} of {} runs failed", summary.failed, summary.runs)),
        // Whoever closed the other end of the pipe wants no more.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&format!("the runs cannot be printed: {error}")),
    }
}

/// When it is asked for; whoever logs anyway says from which level on.
fn log_to_stderr(anyway: Option<&str>) {
    let asked = std::env::var("STOREX_LOG").ok().filter(|filter| !filter.is_empty());
    let Some(filter) = asked.as_deref().or(anyway) else { return };
    match tracing_subscriber::EnvFilter::try_new(filter) {
        Ok(filter) => {
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
        }
        Err(error) => eprintln!("storex: STOREX_LOG is passed over: {error}"),
    }
}

/// How far the demo has come, on a terminal.
#[derive(Debug)]
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new() -> Self {
        Self { bar: console::progress_bar() }
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn phase(&self, what: &'static str) {
        self.bar.unset_length();
        style(&self.bar, "{spinner} {msg}");
        self.bar.set_message(what);
        self.bar.tick();
    }

    fn rows(&self, done: u64, total: u64) {
        // The first time it is told, and whenever there turn out to be more.
        if self.bar.length() != Some(total) {
            style(&self.bar, "{spinner} {msg} {wide_bar} {human_pos}/{human_len} rows");
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
    }
}

//! `notes`: notes in a terminal, kept in step with those of other devices.
#![allow(clippy::print_stderr, reason = "a command line tool prints")]

mod conflicts;
mod device;
mod error;
mod join;
mod output;
mod private;
mod secret;
mod status;
mod watch;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::conflicts::Conflicts;
use crate::device::Device;
use crate::error::{CliError, Result};
use crate::join::{Devices, Init, Login, Pair, Unlock};
use crate::output::Output;
use crate::write::{Edit, Import, New};

/// Ended by the user.
const INTERRUPTED: u8 = 130;

const AFTER_HELP: &str = "\
A note or a device is named by the last characters of its id, as the lists show them.

Secrets are in no arguments, which others on this machine see: a token is in a file (--token-file) or in NOTES_TOKEN, a passphrase is typed, \
piped in, or in NOTES_PASSPHRASE.

Exits with 0 when it is done, 1 when it failed, 2 when its arguments are wrong, 130 after Ctrl-C (`notes watch`: 0).";

/// Notes in a terminal, kept in step with those of your other devices, encrypted end to end.
#[derive(Debug, Parser)]
#[command(name = "notes", version, after_help = AFTER_HELP)]
struct Arguments {
    /// The database; made when something is written [default: notes/notes.db where the system keeps data of programs]
    #[arg(long, global = true, value_name = "FILE.db", env = "NOTES_DATABASE")]
    database: Option<PathBuf>,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all notes: pinned ones first, then those that were edited last
    List,
    /// List the notes with all of these words, or words that begin so
    Search { words: Vec<String> },
    /// Show a note
    Show { id: String },
    /// Write a note
    New(New),
    /// Change a note: what is not given stays
    Edit(Edit),
    /// Write the notes of a JSON list: `[{"title": "Groceries", "body": "Milk"}]`, or what `notes list --json` prints
    Import(Import),
    /// Remove notes, from all devices
    Rm {
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Begin: the first device of an account. Makes the keys, and a passphrase for them
    Init(Init),
    /// Join the account of a device that shows a code (`notes add-device`, or the page)
    Pair(Pair),
    /// Join an account by its passphrase, or enter the new one after it was changed
    Unlock(Unlock),
    /// Go on with another token, when the server does not take the one of before any more
    Login(Login),
    /// Show a code with which another device joins, and send it all notes
    AddDevice,
    /// Send what was written here, and get what others wrote
    Sync,
    /// Stay in step, and print notes as they change, until Ctrl-C
    Watch,
    /// Tell whether all is sent, when this was last in step, and with whom
    Status,
    /// List what was lost where two devices had written at once, and put it back
    Conflicts(Conflicts),
    /// List the devices of the account, or shut one out
    Devices(Devices),
}

fn main() -> ExitCode {
    let Arguments { database, json, command } = Arguments::parse();
    match begin(database, Output { json }, command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the other end of the pipe wants no more.
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(CliError::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("notes: error: {}", output::harmless(&error.describe()));
            ExitCode::FAILURE
        }
    }
}

fn begin(database: Option<PathBuf>, output: Output, command: Option<Command>) -> Result<()> {
    let database = device::path(database)?;
    let Some(mut command) = command else {
        // Whoever only looks gets no file.
        return match database.exists() {
            true => run(database, &output, Command::List),
            false => output.text("There are no notes here yet: `notes new TITLE` writes one, `notes --help` tells the rest."),
        };
    };
    // Before Ctrl-C means anything else than to end at once.
    match &mut command {
        Command::Init(init) => init.ask()?,
        Command::Pair(pair) => pair.ask()?,
        Command::Unlock(unlock) => unlock.ask()?,
        Command::Devices(devices) => devices.ask()?,
        Command::New(new) => new.read()?,
        Command::Edit(edit) => edit.read()?,
        Command::Import(import) => import.read()?,
        _ => {}
    }
    run(database, &output, command)
}

#[tokio::main]
async fn run(database: PathBuf, output: &Output, command: Command) -> Result<()> {
    let device = Device::open(database).await?;
    // That one ends well by it.
    let is_watch = matches!(command, Command::Watch);
    let done = tokio::select! {
        done = act(&device, output, command) => done,
        () = device::interrupted(), if !is_watch => Err(CliError::Interrupted),
    };
    // Closed whatever came of it.
    let closed = device.close().await;
    done.and(closed)
}

async fn act(device: &Device, output: &Output, command: Command) -> Result<()> {
    match command {
        Command::List => write::list(device, output, "").await,
        Command::Search { words } => write::list(device, output, &words.join(" ")).await,
        Command::Show { id } => write::show(device, output, &id).await,
        Command::New(new) => new.run(device, output).await,
        Command::Edit(edit) => edit.run(device, output).await,
        Command::Import(import) => import.run(device, output).await,
        Command::Rm { ids } => write::remove(device, output, &ids).await,
        Command::Init(init) => init.run(device, output).await,
        Command::Pair(pair) => pair.run(device, output).await,
        Command::Unlock(unlock) => unlock.run(device, output).await,
        Command::Login(login) => login.run(device, output).await,
        Command::AddDevice => join::add_device(device, output).await,
        Command::Sync => status::sync(device, output).await,
        Command::Watch => watch::watch(device, output).await,
        Command::Status => status::status(device, output).await,
        Command::Conflicts(conflicts) => conflicts.run(device, output).await,
        Command::Devices(devices) => devices.run(device, output).await,
    }
}

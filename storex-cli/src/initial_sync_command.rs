//! `storex initial-sync`: its arguments, what it shows, how it ends.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgGroup, Args, Subcommand};
use indicatif::ProgressBar;
use storex_cli::initial_sync::{self, DEFAULT_PORT, Direction, Observer, Options, Place, Relay};
use storex_cli::{CliError, describe, for_terminal};
use storex_sync::http::{Room, RoomCode, Token};
use storex_sync::{InitialSyncEvent, PairingCode, Role};
use tokio::sync::{oneshot, watch};

use crate::console::{self, INTERRUPTED, fail, style};

/// How often a code that was mistyped is asked for again.
const QUESTIONS: u32 = 3;

/// What both directions have to say.
const AFTER_HELP: &str = "\
What was changed later through storex stays, field by field, and deletions travel. What other programs write into the file by SQL \
of their own has no time of its own: it may be put back to what the other side has. Of two rows that both are older than storex the \
sender's is taken. storex keeps tables of its own in the file (their names begin with _storex_: when each row was changed, \
and by whom), and puts it into write-ahead mode. Otherwise the sender's rows are not touched, and of the receiver's \
none but those that the sender has too.

Exits with 0 when it is done, 1 when it failed, 2 when its arguments are wrong, 130 when it was cancelled (Ctrl-C), here or there.";

#[derive(Debug, Subcommand)]
pub(crate) enum InitialSync {
    /// Send this database's rows to the other machine
    #[command(after_help = AFTER_HELP)]
    Send(Side),
    /// Receive the other machine's rows into this database
    ///
    /// If the file is not there it is made, with the sender's tables and indices. A file that is there keeps what it has;
    /// if its tables do not fit, it is an error before the first row.
    #[command(after_help = AFTER_HELP)]
    Receive(Side),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("other").args(["connect", "relay"]))]
pub(crate) struct Side {
    /// The SQLite database
    #[arg(value_name = "FILE.db")]
    file: PathBuf,
    /// Wait for the other machine here, and show the code that it needs [default: 0.0.0.0:17839, unless --connect or --relay is given]
    #[arg(long, value_name = "ADDRESS[:PORT]", conflicts_with = "connect")]
    listen: Option<String>,
    /// Connect to the other machine, which waits there (port 17839, unless it says otherwise)
    #[arg(long, value_name = "HOST[:PORT]")]
    connect: Option<String>,
    /// Meet the other machine at a server that both reach, `storex serve` say: without --code a code for the other one is shown, with it
    /// the other one has shown it
    #[arg(long, value_name = "URL", conflicts_with = "listen")]
    relay: Option<String>,
    /// A file with the token by which the server lets this machine in; both need tokens of the same user
    #[arg(long, value_name = "FILE", requires = "relay")]
    token_file: Option<PathBuf>,
    /// The code that the other machine shows; asked for where CODE is left out, and for --connect
    #[arg(long, value_name = "CODE", requires = "other", value_parser = code)]
    code: Option<Option<Code>>,
    /// Over a WebSocket instead of plain TCP; give it on both machines
    #[arg(long, conflicts_with = "relay")]
    websocket: bool,
    /// First one way, then the other; give it on both machines
    #[arg(long)]
    both_ways: bool,
    /// Compare first, and bring only what differs; give it on both machines
    #[arg(long)]
    difference_only: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(action: InitialSync) -> ExitCode {
    match action {
        InitialSync::Send(side) => side.run(Direction::Send).await,
        InitialSync::Receive(side) => side.run(Direction::Receive).await,
    }
}

impl Side {
    async fn run(self, direction: Direction) -> ExitCode {
        let (ask_to_cancel, cancel) = watch::channel(false);
        let work = self.work(direction, cancel);
        tokio::pin!(work);
        tokio::select! {
            code = &mut work => return code,
            _ = tokio::signal::ctrl_c() => {
                let _ = ask_to_cancel.send(true);
            }
        }
        // Whoever is in a hurry asks twice.
        tokio::select! {
            code = work => code,
            _ = tokio::signal::ctrl_c() => ExitCode::from(INTERRUPTED),
        }
    }

    async fn work(&self, direction: Direction, mut cancel: watch::Receiver<bool>) -> ExitCode {
        let place = tokio::select! {
            place = self.place() => place,
            _ = cancel.wait_for(|asked| *asked) => return ended(&CliError::Cancelled),
        };
        let place = match place {
            Ok(place) => place,
            Err(why) => return fail(&why),
        };
        let options = Options {
            file: self.file.clone(),
            direction,
            place,
            websocket: self.websocket,
            both_ways: self.both_ways,
            difference_only: self.difference_only,
        };
        let terminal = Arc::new(Terminal::new(&options, self.token_file.is_some()));
        let outcome = initial_sync::run(&options, Arc::<Terminal>::clone(&terminal), cancel).await;
        terminal.bar.finish_and_clear();
        let report = match outcome {
            Ok(report) => report,
            Err(error) => return ended(&error),
        };
        match console::print(&report, self.json) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => fail(&why),
        }
    }

    async fn place(&self) -> Result<Place, String> {
        let typed = match &self.code {
            Some(Some(code)) => Some(code.clone()),
            Some(None) if self.relay.is_some() => Some(ask(code_in_room).await?),
            Some(None) => Some(ask(code_alone).await?),
            None if self.connect.is_some() => Some(ask(code_alone).await?),
            None => None,
        };
        match (&self.relay, &self.connect, typed) {
            (Some(_), _, None) => Ok(Place::MakeRoom(self.relay()?)),
            (Some(_), _, Some(Code::InRoom(code))) => Ok(Place::JoinRoom(self.relay()?, code)),
            (None, Some(address), Some(Code::Alone(code))) => {
                Ok(Place::Connect(address.clone(), code))
            }
            (None, None, None) => {
                let everywhere = || format!("0.0.0.0:{DEFAULT_PORT}");
                Ok(Place::Listen(self.listen.clone().unwrap_or_else(everywhere)))
            }
            (Some(_), _, Some(Code::Alone(_))) => Err(format!(
                "the number of the room is missing: with --relay a code looks like {EXAMPLE}"
            )),
            (None, ..) => Err("a code with the number of a room is for --relay".to_owned()),
        }
    }

    fn relay(&self) -> Result<Relay, String> {
        let token = match &self.token_file {
            Some(file) => {
                let failed = |why: &str| format!("{}: {why}", file.display());
                let text = std::fs::read_to_string(file).map_err(|it| failed(&it.to_string()))?;
                // Lines `TOKEN USER` with comments between, as the server has them, would be one too.
                let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
                let token = lines.flat_map(str::split_whitespace).next();
                Some(Token::new(token.ok_or_else(|| failed("there is no token in it"))?))
            }
            None => None,
        };
        Ok(Relay { address: self.relay.clone().unwrap_or_default(), token })
    }
}

const EXAMPLE: &str = "4821-7KMD-2XQP";

/// What was typed: a code, or the number of a room and a code.
#[derive(Debug, Clone)]
enum Code {
    Alone(Arc<PairingCode>),
    InRoom(Arc<RoomCode>),
}

fn code(typed: &str) -> storex_sync::Result<Code> {
    // Eight characters are a code alone; fewer are none.
    match typed.chars().filter(|it| it.is_alphanumeric()).count() {
        ..=8 => code_alone(typed),
        _ => code_in_room(typed),
    }
}

fn code_alone(typed: &str) -> storex_sync::Result<Code> {
    typed.parse().map(|code| Code::Alone(Arc::new(code)))
}

fn code_in_room(typed: &str) -> storex_sync::Result<Code> {
    typed.parse().map(|code| Code::InRoom(Arc::new(code)))
}

/// How what was typed is read.
type Read = fn(&str) -> storex_sync::Result<Code>;

/// Asks for the code, on a thread of its own: a terminal cannot be waited for otherwise, and an interruption must not wait.
async fn ask(read: Read) -> Result<Code, String> {
    let (told, answer) = oneshot::channel();
    let asking = std::thread::Builder::new().name("storex-code".to_owned()).spawn(move || {
        // Nobody waiting any more is no error.
        let _ = told.send(ask_now(read));
    });
    asking.map_err(|error| format!("the system gives no threads: {error}"))?;
    answer.await.unwrap_or_else(|_| Err("nothing was typed".to_owned()))
}

fn ask_now(read: Read) -> Result<Code, String> {
    let mut stdin = std::io::stdin().lock();
    let mut problem = String::new();
    for _ in 0..QUESTIONS {
        eprint!("The code that the other machine shows: ");
        let mut line = String::new();
        match stdin.read_line(&mut line) {
            Ok(0) => return Err("no code was typed; give it with --code".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("the code cannot be read: {error}")),
        }
        match read(line.trim()) {
            Ok(code) => return Ok(code),
            Err(error) => problem = describe(&error),
        }
        eprintln!("{problem}");
    }
    Err(problem)
}

/// How a failure ends the program.
fn ended(error: &CliError) -> ExitCode {
    if matches!(error, CliError::Cancelled) {
        eprintln!("storex: {error}");
        return ExitCode::from(INTERRUPTED);
    }
    fail(&describe(error))
}

/// Shows what there is to know, and on a terminal how far it has come.
#[derive(Debug)]
struct Terminal {
    bar: ProgressBar,
    /// What the other machine is to run.
    other: String,
}

impl Terminal {
    fn new(options: &Options, has_token: bool) -> Self {
        let verb = match options.direction {
            Direction::Send => "receive",
            Direction::Receive => "send",
        };
        let name = options.file.file_name().unwrap_or_default().to_string_lossy();
        let mut other = format!("storex initial-sync {verb} {name}");
        for (is_set, option) in [
            (options.websocket, " --websocket"),
            (options.both_ways, " --both-ways"),
            (options.difference_only, " --difference-only"),
        ] {
            if is_set {
                other.push_str(option);
            }
        }
        if let Place::MakeRoom(relay) = &options.place {
            let token = if has_token { " --token-file FILE" } else { "" };
            other.push_str(&format!(" --relay {}{token}", relay.address));
        }
        let bar = console::progress_bar();
        // Until it is known how many rows there are.
        style(&bar, "{msg}");
        Self { bar, other }
    }

    fn tell(&self, line: &str) {
        let line = for_terminal(line);
        self.bar.suspend(|| eprintln!("{line}"));
    }

    fn begin(&self, role: Role, rows: u64) {
        self.bar.reset();
        self.bar.set_length(rows);
        style(
            &self.bar,
            "{spinner} {msg} {wide_bar} {human_pos}/{human_len} rows, {rate} rows/s, {eta} left",
        );
        self.bar.set_message(match role {
            Role::Sender => "sending",
            Role::Receiver => "receiving",
        });
    }
}

impl Observer for Terminal {
    fn listening(&self, at: SocketAddr, code: &PairingCode) {
        // Where it listens everywhere, only its owner knows which of its names the other machine can reach.
        let (host, hint) = if at.ip().is_unspecified() {
            (format!("HOST:{}", at.port()), " (HOST: this machine's name or address)")
        } else {
            (at.to_string(), "")
        };
        self.tell(&format!(
            "code {code}, on the other machine: {} --connect {host} --code {code}{hint}",
            self.other
        ));
    }

    fn room(&self, room: &Room, code: &PairingCode) {
        self.tell(&format!(
            "code {room}-{code}, on the other machine: {} --code {room}-{code}",
            self.other
        ));
    }

    fn refused(&self, left: u32) {
        if left > 0 {
            self.tell(&format!("somebody tried a wrong code; it may be tried {left} times more"));
        }
    }

    fn not_let_in(&self, why: &str) {
        self.tell(&format!("somebody connected and was not let in: {why}"));
    }

    fn connected(&self) {
        self.tell("connected");
    }

    fn event(&self, event: &InitialSyncEvent) {
        match event {
            InitialSyncEvent::Prepared { role, objects, .. } => self.begin(*role, *objects),
            InitialSyncEvent::Progress { done, total, .. } => {
                self.bar.set_length(*total);
                self.bar.set_position(*done);
            }
            InitialSyncEvent::Stalled { waited } => {
                self.tell(&format!("nothing from the other side for {} s", waited.as_secs()));
            }
            _ => {}
        }
    }
}

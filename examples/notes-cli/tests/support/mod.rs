//! A server, and machines on which `notes` runs.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use storex_core::TokioRuntime;
use storex_server::{Server, SqliteStore, Tokens};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Ada's.
pub(crate) const TOKEN: &str = "0123456789abcdef01234567";

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server that runs, and keeps everything in one file.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Serving {
    /// Begins on a free port, or on the one that it had before.
    pub(crate) fn start(database: &Path, at: Option<SocketAddr>) -> Self {
        Self::for_token(TOKEN, database, at)
    }

    /// As `start`, but Ada's token is this one.
    pub(crate) fn for_token(token: &'static str, database: &Path, at: Option<SocketAddr>) -> Self {
        let (database, (stop, stopped)) = (database.to_owned(), oneshot::channel::<()>());
        let (listens, listening) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let store = SqliteStore::open(database, Arc::new(TokioRuntime)).await.unwrap();
                let tokens = Tokens::parse(&format!("{token} ada")).unwrap();
                let at = at.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
                let listener = TcpListener::bind(at).await.unwrap();
                listens.send(listener.local_addr().unwrap()).unwrap();
                let server = Server::new(Arc::new(store), Arc::new(tokens));
                server.serve(listener, async { drop(stopped.await) }).await.unwrap();
            });
        });
        Self { address: listening.recv().unwrap(), stop, thread }
    }

    pub(crate) fn stop(self) {
        drop(self.stop);
        self.thread.join().unwrap();
    }
}

/// What `notes` printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The JSON that it printed; it must have ended well.
    #[track_caller]
    pub(crate) fn json(&self) -> Json {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}", self.stdout))
    }

    /// The message with which it failed.
    #[track_caller]
    pub(crate) fn refused(&self) -> &str {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stderr
            .trim_end()
            .strip_prefix("notes: error: ")
            .unwrap_or_else(|| panic!("{}", self.stderr))
    }
}

/// A machine with notes, and a passphrase that its user knows.
pub(crate) struct Machine {
    pub(crate) database: PathBuf,
    name: &'static str,
    server: String,
    pub(crate) passphrase: &'static str,
    pub(crate) token: &'static str,
}

impl Machine {
    pub(crate) fn new(folder: &Path, name: &'static str, server: SocketAddr) -> Self {
        let database = folder.join(format!("{name}.db"));
        let (server, passphrase) = (format!("http://{server}"), "seven green boats");
        Self { database, name, server, passphrase, token: TOKEN }
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_notes"));
        command
            .args(arguments)
            .args(["--json", "--database"])
            .arg(&self.database)
            .env("NOTES_SERVER", &self.server)
            .env("NOTES_TOKEN", self.token)
            .env("NOTES_DEVICE", self.name)
            .env("NOTES_PASSPHRASE", self.passphrase)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        ran(self.command(arguments).output().unwrap())
    }

    /// Runs it to its end, with nothing in the environment but this on standard input.
    pub(crate) fn run_typing(&self, arguments: &[&str], typed: &str) -> Ran {
        let mut command = self.command(arguments);
        let mut child =
            command.env_remove("NOTES_PASSPHRASE").stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        ran(child.wait_with_output().unwrap())
    }

    /// Starts it.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        let mut child = self.command(arguments).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tells, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                if tells.send(serde_json::from_str(&line.unwrap()).unwrap()).is_err() {
                    return;
                }
            }
        });
        Running { child, told }
    }

    /// The titles of all notes, sorted.
    #[track_caller]
    pub(crate) fn titles(&self) -> Vec<String> {
        let notes = self.run(["list"]).json();
        let titles = notes.as_array().unwrap().iter().map(|it| it["title"].as_str().unwrap());
        let mut titles: Vec<_> = titles.map(str::to_owned).collect();
        titles.sort();
        titles
    }

    /// The id of a new note.
    #[track_caller]
    pub(crate) fn write(&self, title: &str) -> String {
        self.run(["new", title]).json()["id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn sync(&self) -> Json {
        self.run(["sync"]).json()
    }
}

fn ran(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `notes` that runs, and what it tells. Killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    told: mpsc::Receiver<Json>,
}

impl Running {
    /// The next thing that it tells.
    #[track_caller]
    pub(crate) fn next(&self) -> Json {
        self.told.recv_timeout(DEADLINE).unwrap()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> ExitStatus {
        until(|| self.child.try_wait().unwrap())
    }

    /// As Ctrl-C does.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn interrupt(self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.end()
    }

    /// As the system does that has no memory left.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until there is something.
#[track_caller]
pub(crate) fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < DEADLINE, "it takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

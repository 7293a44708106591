//! Child processes, and what they tell.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::ops::Touched;
use crate::place::Place;

/// A line of the file in which a child notes what was acknowledged to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// A write returned `Ok`, and what it touched.
    Written(Vec<Touched>),
    /// An exchange with the shared log returned `Ok`.
    Synced,
    /// The initial sync returned `Ok`.
    Received,
}

/// Where a child notes what was acknowledged to it: on disk before it goes on.
#[derive(Debug)]
pub struct Notes {
    file: File,
    synced: bool,
}

impl Notes {
    /// Begins a file.
    ///
    /// # Errors
    /// The file system's.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
        Ok(Self { file, synced: true })
    }

    /// Does not wait for the disk: for a process whose waiting is made to fail, but that is not killed.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.synced = false;
        self
    }

    /// Notes a line.
    ///
    /// # Errors
    /// The file system's.
    pub fn note(&mut self, told: &Told) -> io::Result<()> {
        let mut line = serde_json::to_vec(told)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        if self.synced { self.file.sync_data() } else { Ok(()) }
    }

    /// Reads a file; a last line that was cut off counts for nothing.
    ///
    /// # Panics
    /// When there is something else in it.
    #[must_use]
    pub fn read(path: &Path) -> Vec<Told> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let told = whole.lines().map(|line| serde_json::from_str(line).expect("a line of ours"));
        told.collect()
    }

    /// The writes among what was told.
    #[must_use]
    pub fn writes(told: &[Told]) -> Vec<Vec<Touched>> {
        let writes = told.iter().filter_map(|told| match told {
            Told::Written(touched) => Some(touched.clone()),
            _ => None,
        });
        writes.collect()
    }

    /// How many logged writes were acknowledged before the last exchange: they must be in the shared log.
    #[must_use]
    pub fn written_before_sync(told: &[Told]) -> u64 {
        let end = told.iter().rposition(|told| *told == Told::Synced).unwrap_or(0);
        Self::writes(&told[..end]).iter().filter(|touched| !touched.is_empty()).count() as u64
    }
}

/// A child process. Dropped while it runs, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    what: String,
}

impl Process {
    /// Starts the program.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        Self::spawn(command)
    }

    /// Starts the command.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let what = format!("{command:?}");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let stdout = child.stdout.take().map(BufReader::new);
        Self { stdin: child.stdin.take(), stdout, child, what }
    }

    /// The next line that the child says; `None` when it says no more.
    ///
    /// # Panics
    /// When the pipe fails.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stdout.as_mut()?.read_line(&mut line).expect("the child's output");
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// What it says, to be listened to elsewhere. Here it is heard no more.
    ///
    /// # Panics
    /// When that was asked for before.
    pub fn take_lines(&mut self) -> impl Iterator<Item = String> + Send + 'static {
        let lines = self.stdout.take().expect("its output, once").lines();
        lines.map(|line| line.expect("the child's output"))
    }

    /// Waits for this line; `false` when the child ends without saying it.
    pub fn wait_for(&mut self, line: &str) -> bool {
        while let Some(said) = self.line() {
            if said == line {
                return true;
            }
        }
        false
    }

    /// Lets a child go on that waits for its input to end.
    pub fn let_go(&mut self) {
        self.stdin = None;
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    /// When that fails.
    pub fn kill(&mut self) {
        self.child.kill().expect("a kill");
    }

    /// Stops it with SIGSTOP, wherever it is.
    ///
    /// # Panics
    /// When that fails.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on that was stopped.
    ///
    /// # Panics
    /// When that fails.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("a signal");
    }

    /// Waits for its end, and tells whether it was killed (`true`) or came to its end (`false`).
    ///
    /// # Panics
    /// When it failed.
    pub fn was_killed(mut self) -> bool {
        let status = self.child.wait().expect("the child's status");
        let killed = is_killed(status);
        assert!(killed || status.success(), "{}: {status}", self.what);
        killed
    }

    /// Waits for its end and tells its exit code.
    ///
    /// # Panics
    /// When it was killed.
    pub fn code(mut self) -> i32 {
        let status = self.child.wait().expect("the child's status");
        status.code().unwrap_or_else(|| panic!("{}: {status}", self.what))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether it was ended by SIGKILL.
#[must_use]
pub fn is_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    // A tracer ends as its tracee does, or with the shell's number for it.
    status.signal() == Some(9) || status.code() == Some(128 + 9)
}

/// The text of a path.
///
/// # Panics
/// When it is not Unicode.
#[must_use]
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a Unicode path")
}

/// The system calls with which SQLite changes files.
pub const CALLS: &str = "pwrite64,fsync,fdatasync,ftruncate,unlink,pread64";

/// Runs the child under strace, which makes its system calls fail or kills it in one, as `inject` says. Only calls on this
/// file are counted. What strace says goes to `strace` in the folder.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn traced(program: &str, args: &[&str], place: &Place, file: &str, inject: &str) -> Process {
    let mut command = Command::new("strace");
    let (said, file) = (place.file("strace"), place.file(file));
    command.args(["-f", "-qq", "-o", text(&said), "-P", text(&file)]);
    if !inject.contains("signal=") {
        // Quicker, as other calls are not stopped at; but then strace sends no signals.
        command.arg("--seccomp-bpf");
    }
    command.args(["-e", &format!("trace={CALLS}"), "-e", &format!("inject={inject}")]);
    command.arg(program).args(args);
    let mut process = Process::spawn(command);
    process.let_go();
    process
}

/// Whether strace has made a call fail.
#[must_use]
pub fn has_failed(place: &Place) -> bool {
    std::fs::read_to_string(place.file("strace")).is_ok_and(|said| said.contains("(INJECTED)"))
}

/// Runs the child to its end and tells whether it was killed.
#[must_use]
pub fn run(program: &str, mode: &str, place: &Place, args: &[&str]) -> bool {
    let mut all = vec![mode, text(place.path())];
    all.extend(args);
    let mut process = Process::start(program, &all);
    process.let_go();
    process.was_killed()
}

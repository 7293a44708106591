//! [`Cluster`]: a PostgreSQL that is running.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::programs::{Programs, output};
use crate::{ADDRESS, Result, unix};

/// Waits until whoever started it is gone, in whatever way: then the pipe is closed. Stops the database and removes its folder.
const GUARD: &str = r#"read -r _; "$0" -D "$1/data" -m immediate -w stop; rm -rf "$1""#;

/// Whether what was committed outlives the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It writes to the disk, as it does where it counts.
    Full,
    /// It leaves that to the operating system: faster.
    ProcessOnly,
}

/// A PostgreSQL in a temporary folder, reached through a socket in it. It is stopped, and the folder removed, when the value is
/// dropped or this process ends, however it ends.
#[derive(Debug)]
pub struct Cluster {
    programs: Programs,
    folder: PathBuf,
    address: String,
    guard: Child,
}

impl Cluster {
    /// Makes one and starts it.
    ///
    /// # Errors
    /// When one of the programs fails.
    pub fn start(programs: &Programs, durability: Durability) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        // A short name: the path of a socket has a hundred bytes at most.
        let name = format!("storex-pg-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let written = |why| format!("cannot write to {}: {why}", folder.display());
        fs::create_dir(&folder).map_err(written)?;
        if let Some(user) = programs.user() {
            unix::give(&folder, user).map_err(written)?;
        }
        let guard = guard(programs, &folder)?;
        let address = format!("host={} user=storex dbname=postgres", folder.display());
        let cluster = Self { programs: programs.clone(), folder, address, guard };
        cluster.init(durability)?;
        cluster.start_again()?;
        Ok(cluster)
    }

    /// Starts it again with TLS, and without anything else: from now on it is reached by TCP at `host=127.0.0.1 port=… user=… dbname=…`. The
    /// certificate and its key are in PEM.
    ///
    /// # Errors
    /// When a file cannot be written, or `pg_ctl` fails.
    pub fn with_tls(mut self, certificate: &str, key: &str) -> Result<Self> {
        self.stop()?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.map_err(|why| format!("no port is free: {why}"))?.port();
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nssl = on\nssl_cert_file = 'cert.pem'\nssl_key_file = 'key.pem'\n"
        );
        let only = "hostssl all all 127.0.0.1/32 trust\n";
        for (name, contents) in [
            ("postgresql.auto.conf", settings.as_str()),
            ("pg_hba.conf", only),
            ("cert.pem", certificate),
            ("key.pem", key),
        ] {
            let file = self.data().join(name);
            let written = fs::write(&file, contents).and_then(|()| unix::keep_secret(&file));
            let given = written.and_then(|()| match self.programs.user() {
                Some(user) => unix::give(&file, user),
                None => Ok(()),
            });
            given.map_err(|why| format!("{}: {why}", file.display()))?;
        }
        self.start_again()?;
        self.address = format!("host=127.0.0.1 port={port} user=storex dbname=postgres");
        Ok(self)
    }

    /// How it is reached: `host=… user=… dbname=…`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Stops it without waiting for those who are connected, as an operator does.
    ///
    /// # Errors
    /// When `pg_ctl` fails.
    pub fn stop(&self) -> Result<()> {
        self.pg_ctl(&["-m", "fast", "stop"])
    }

    /// Starts it after [`stop`](Self::stop) or [`kill`](Self::kill).
    ///
    /// # Errors
    /// When `pg_ctl` fails.
    pub fn start_again(&self) -> Result<()> {
        self.pg_ctl(&["start"])
    }

    /// Kills all of its processes: it has no time to do anything. On Linux only.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&self) -> Result<()> {
        let file = self.data().join("postmaster.pid");
        let lines =
            fs::read_to_string(&file).map_err(|why| format!("{}: {why}", file.display()))?;
        let server = lines.lines().next().unwrap_or_default().trim().to_owned();
        // Stopped first, so that it starts no more of them.
        signal("-STOP", &server)?;
        let mut processes = children(&server);
        processes.push(server);
        for process in &processes {
            // One that has ended meanwhile is as good.
            let _ = signal("-KILL", process);
        }
        while processes.iter().any(|process| is_running(process)) {
            std::thread::yield_now();
        }
        // Where nobody asks for the exit code of a process, its number stays in use, and the next server takes it for this one.
        for file in [file, self.folder.join(".s.PGSQL.5432.lock")] {
            fs::remove_file(&file).map_err(|why| format!("{}: {why}", file.display()))?;
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn init(&self, durability: Durability) -> Result<()> {
        let mut init = self.programs.command("initdb");
        init.args(["-U", "storex", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "-D"]);
        output(init.arg(self.data()))?;
        let mut settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nmax_connections = 200\nshared_buffers = 64MB\n",
            self.folder.display()
        );
        if durability == Durability::ProcessOnly {
            settings.push_str("fsync = off\nfull_page_writes = off\n");
        }
        let file = self.data().join("postgresql.auto.conf");
        fs::write(&file, settings).map_err(|why| format!("{}: {why}", file.display()))
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.programs.command("pg_ctl");
        command.arg("-D").arg(self.data()).arg("-l").arg(self.folder.join("log"));
        let done = output(command.args(["-w", "-s"]).args(arguments));
        done.map(drop).map_err(|why| format!("{why}; its log ends with:\n{}", self.end_of_log()))
    }

    fn end_of_log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A process that outlives us, in a group of its own so that it is not interrupted together with us.
fn guard(programs: &Programs, folder: &Path) -> Result<Child> {
    let mut guard = programs.as_user(Command::new("sh"));
    guard.args(["-c", GUARD]).arg(programs.path("pg_ctl")).arg(folder);
    guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    unix::own_group(&mut guard);
    guard.spawn().map_err(|why| format!("cannot start `sh`: {why}"))
}

fn signal(signal: &str, process: &str) -> Result<()> {
    output(Command::new("kill").args([signal, process])).map(drop)
}

/// The processes whose parent is this one.
fn children(parent: &str) -> Vec<String> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let names = processes.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|process| state(process).is_some_and(|it| it.1 == parent)).collect()
}

fn is_running(process: &str) -> bool {
    state(process).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// The state of a process, and its parent.
fn state(process: &str) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // In front of them is the name in parentheses, which may hold anything.
    let mut behind = stat.rsplit(')').next()?.split_whitespace().map(str::to_owned);
    Some((behind.next()?, behind.next()?))
}

/// The address that was handed over to this process.
#[must_use]
pub fn handed_over() -> Option<String> {
    std::env::var(ADDRESS).ok().filter(|address| !address.is_empty())
}

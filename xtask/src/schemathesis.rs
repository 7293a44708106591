//! The server's OpenAPI document, tried by Schemathesis: a program in Python that draws requests from the document, and looks whether each
//! answer is as the document says.

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::{self, JoinHandle};

use crate::report::Report;
use crate::run::{self, Result, Workspace};
use crate::scratch::Scratch;
use crate::setup::{self, Found};
use crate::wasm;

/// Its configuration, what it cannot draw by itself, and its packages.
const FOLDER: &str = "tests/schemathesis";

/// Debian's package, without which its Python makes no virtual environments.
const PACKAGE: &str = "python3-venv";

const TOKEN: &str = "token-for-schemathesis-0123456789";

/// As many requests as it likes, so that their contents are looked at and not their number.
const CONFIG: &str = r#"{ "limits": { "requests_per_second": 1000000, "burst": 1000000, "blob_requests_per_second": 1000000, "blob_burst": 1000000 }, "relay": { "open": RELAY_OPEN } }"#;

/// The most memory that the server may have had, in KiB: what it allows all bodies together, and as much again.
const MOST_MEMORY: u64 = 512 << 10;

/// Schemathesis, in a virtual environment of ours.
pub(crate) fn schemathesis(workspace: &Workspace) -> Result<Found> {
    let wanted = workspace.root().join(FOLDER).join("requirements.txt");
    let wanted_text = fs::read_to_string(&wanted)
        .map_err(|why| format!("cannot read {}: {why}", wanted.display()))?;
    let folder = environment(workspace)?;
    // A copy of the list is put beside the packages last: it is there if all of them are.
    let stamp = folder.join(".storex-requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted_text)
        // Not one whose Python is gone.
        && let Ok(version) = setup::version(workspace.command(program(&folder, "st")))
    {
        return Ok(Found::There(version));
    }
    make_environment(workspace, &folder)?;
    let mut pip = workspace.command(program(&folder, "python"));
    pip.args(["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement"]).arg(&wanted);
    run::output(pip).map_err(|why| format!("no packages from PyPI: {why}"))?;
    fs::write(&stamp, wanted_text)
        .map_err(|why| format!("cannot write {}: {why}", stamp.display()))?;
    setup::version(workspace.command(program(&folder, "st"))).map(Found::Installed)
}

fn make_environment(workspace: &Workspace, folder: &Path) -> Result<()> {
    let make = || {
        let mut python = workspace.command("python3");
        python.args(["-m", "venv", "--clear"]).arg(folder);
        run::output(python).map(drop)
    };
    make().or_else(|why| {
        let advise = |why| format!("{why}; to install it: apt-get install {PACKAGE}");
        setup::install(workspace, PACKAGE, why).map_err(advise)?;
        make().map_err(advise)
    })
}

fn environment(workspace: &Workspace) -> Result<PathBuf> {
    Ok(wasm::target_folder(workspace)?.join("schemathesis"))
}

fn program(environment: &Path, name: &str) -> PathBuf {
    environment.join("bin").join(name)
}

/// `cargo xtask openapi`
pub(crate) fn openapi(workspace: &Workspace, long: bool) -> ExitCode {
    let mut report = Report::new();
    let c_compiler = setup::c_compiler(workspace);
    report.part("build", &c_compiler, |_| {
        run::check(workspace.cargo(["build", "--package", "storex-cli", "--bin", "storex"]))
    });
    let built = report.last();
    part(workspace, &mut report, &built, long);
    report.finish()
}

/// The part of the tests; `built` says whether the server was.
pub(crate) fn part(workspace: &Workspace, report: &mut Report, built: &Result<()>, long: bool) {
    let ready = built.clone().and_then(|()| schemathesis(workspace));
    report.part("OpenAPI document", &ready, |_| check(workspace, long));
}

/// Tries the document as somebody with a token, and as a stranger at a server whose relay is open to strangers.
fn check(workspace: &Workspace, long: bool) -> Result<()> {
    for (with_token, relay_open) in [(true, false), (false, true)] {
        let scratch = Scratch::new()?;
        let st = program(&environment(workspace)?, "st");
        let server = Serving::start(workspace, scratch.path(), relay_open)?;
        let mut schemathesis = schemathesis_at(workspace, &st, &server.address, long);
        // Where it may leave files.
        schemathesis.current_dir(scratch.path());
        if with_token {
            schemathesis.arg(format!("--header=Authorization: Bearer {TOKEN}"));
        }
        let tried = run::check(schemathesis);
        let ended = server.stop();
        tried.and(ended)?;
    }
    Ok(())
}

fn schemathesis_at(workspace: &Workspace, st: &Path, address: &str, long: bool) -> Command {
    let ours = workspace.root().join(FOLDER);
    let mut schemathesis = workspace.command(st);
    schemathesis.arg("--config-file").arg(ours.join("schemathesis.toml"));
    schemathesis.env("SCHEMATHESIS_HOOKS", ours.join("hooks.py"));
    schemathesis.args(["run", &format!("http://{address}/openapi.json"), "--no-color"]);
    schemathesis.args(["--warnings=off", "--suppress-health-check=all", "--continue-on-failure"]);
    // The normal run draws the same each time; the long one looks for something new.
    schemathesis.args(match long {
        true => ["--max-examples=500"].as_slice(),
        false => ["--max-examples=30", "--seed=20261120"].as_slice(),
    });
    schemathesis
}

/// A server with a new database.
struct Serving {
    child: Child,
    address: String,
    /// What it says until it ends.
    says: JoinHandle<String>,
}

impl Serving {
    fn start(workspace: &Workspace, folder: &Path, relay_open: bool) -> Result<Self> {
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            let written = fs::write(&file, text);
            written.map_err(|why| format!("cannot write {}: {why}", file.display()))?;
            Ok::<_, String>(file)
        };
        let tokens = write("tokens", &format!("{TOKEN} ada\n"))?;
        let config = write("config.json", &CONFIG.replace("RELAY_OPEN", &relay_open.to_string()))?;
        // As the tests were built.
        let program = wasm::target_folder(workspace)?.join("debug").join("storex");
        let mut server = workspace.command(&program);
        server.args(["serve", "--listen", "127.0.0.1:0", "--tokens"]).arg(tokens);
        server.arg("--config").arg(config).arg("--database").arg(folder.join("server.db"));
        server.env("STOREX_LOG", "warn").env_remove("STOREX_POSTGRES");
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child =
            server.spawn().map_err(|why| format!("cannot start {}: {why}", program.display()))?;
        let Some(stderr) = child.stderr.take() else { return Err("no standard error".to_owned()) };
        let mut stderr = BufReader::new(stderr);
        let address = match address(&mut stderr) {
            Ok(address) => address,
            Err(why) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(why);
            }
        };
        // Read as it comes, so that it never waits for us.
        let says = thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        });
        Ok(Self { child, address, says })
    }

    /// Asks it to stop. It has to do so in order, without having panicked, or having taken much memory.
    fn stop(mut self) -> Result<()> {
        let memory = most_memory(self.child.id());
        let mut kill = Command::new("kill");
        kill.args(["-TERM", &self.child.id().to_string()]);
        if let Err(why) = run::output(kill) {
            let _ = self.child.kill();
            return Err(format!("the server was gone: {why}"));
        }
        let status = self.child.wait().map_err(|why| format!("the server: {why}"))?;
        let said = self.says.join().map_err(|_| "what the server says cannot be read")?;
        if !status.success() {
            return Err(format!("the server: {status}; it said:\n{said}"));
        }
        if let Some(line) = said.lines().find(|line| is_bad(line)) {
            return Err(format!("the server said: {line}"));
        }
        match memory {
            Some(most) if most > MOST_MEMORY => {
                Err(format!("the server has taken {} MiB of memory", most >> 10))
            }
            Some(most) => {
                println!("the server has taken {} MiB of memory at most", most >> 10);
                Ok(())
            }
            None => {
                println!("how much memory the server has taken is not known on this system");
                Ok(())
            }
        }
    }
}

/// Where the server is, from the first line that says so.
fn address(stderr: &mut impl BufRead) -> Result<String> {
    let mut before = String::new();
    for line in stderr.lines() {
        let line = line.map_err(|why| format!("the server's output broke off: {why}"))?;
        if let Some((_, address)) = line.split_once("serving at http://") {
            return Ok(address.trim().to_owned());
        }
        before.push_str(&line);
        before.push('\n');
    }
    Err(format!("the server did not begin:\n{before}"))
}

/// A panic, which ends one request and not the server, or what it takes for a failure of its own.
fn is_bad(line: &str) -> bool {
    line.contains("panicked at") || line.contains("ERROR")
}

/// The most memory that a process has had so far, in KiB. `None`: the system does not tell it, or not in this way.
fn most_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| {
        let (_, number) = line.split_once("VmHWM:")?;
        number.trim().trim_end_matches("kB").trim_end().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::{address, is_bad};

    #[test]
    fn the_address_is_found_or_what_was_said_in_its_place() {
        let said = "a warning\nstorex: serving at http://127.0.0.1:4321\nmore\n";
        assert_eq!(address(&mut said.as_bytes()).as_deref(), Ok("127.0.0.1:4321"));
        let refused = address(&mut "error: the tokens cannot be read\n".as_bytes()).unwrap_err();
        assert!(refused.contains("the tokens cannot be read"), "{refused}");
    }

    #[test]
    fn panics_and_failures_are_bad_and_refusals_are_not() {
        assert!(is_bad("thread 'tokio-runtime-worker' panicked at storex-server/src/lib.rs:1:1:"));
        assert!(is_bad("2026-11-30T16:00:00Z ERROR storex_server: a log failed"));
        assert!(!is_bad("2026-11-30T16:00:00Z  WARN storex_server: a connection was not accepted"));
    }
}

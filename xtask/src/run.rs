//! Child processes: which cargo, in which folder, and what to say when one fails.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// The error is a sentence for the person at the terminal.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// Where storex's workspace is, and the cargo that started us.
pub(crate) struct Workspace {
    root: PathBuf,
    cargo: OsString,
}

impl Workspace {
    /// Reads both from what `cargo run` sets for us.
    pub(crate) fn from_env() -> Result<Self> {
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let root = manifest_dir.as_deref().and_then(Path::parent);
        let root = root.ok_or("no CARGO_MANIFEST_DIR: start this as `cargo xtask`")?.to_path_buf();
        Ok(Self { root, cargo: env::var_os("CARGO").unwrap_or_else(|| "cargo".into()) })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A program that runs in the workspace's root folder.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = without_our_package(Command::new(program));
        command.current_dir(&self.root);
        command
    }

    /// Cargo in the workspace's root folder.
    pub(crate) fn cargo<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.command(&self.cargo);
        command.args(args);
        command
    }

    /// Cargo in the folder that the person is in, where their arguments' relative paths belong.
    pub(crate) fn cargo_here<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = without_our_package(Command::new(&self.cargo));
        command.args(args);
        command
    }
}

/// Leaves out what `cargo run` tells us of this package. Build scripts look at variables of these names (`ring`'s does), so with them everything
/// that is behind such a script would be built anew whenever a person's own cargo and one of ours take turns.
fn without_our_package(mut command: Command) -> Command {
    let ours = env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    });
    ours.for_each(|name| {
        command.env_remove(name);
    });
    command
}

/// Runs a check, shown to the person, without standard input. An exit code other than 0 is an error.
pub(crate) fn check(mut command: Command) -> Result<()> {
    println!("$ {}", shown(&command));
    let status =
        command.stdin(Stdio::null()).status().map_err(|why| cannot_start(&command, &why))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", program(&command))) }
}

/// Runs a check whose standard output is read as it comes, line by line.
pub(crate) fn lines(mut command: Command, mut each: impl FnMut(&str)) -> Result<()> {
    println!("$ {}", shown(&command));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|why| cannot_start(&command, &why))?;
    let broken = |why| format!("{}: its output broke off: {why}", program(&command));
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).map_err(broken)? > 0 {
            each(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    let status = child.wait().map_err(broken)?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", program(&command))) }
}

/// Runs a program in our place: its input, output and exit code are ours.
pub(crate) fn hand_over(mut command: Command) -> Result<ExitCode> {
    let status = command.status().map_err(|why| cannot_start(&command, &why))?;
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => Err(format!("`{}`: {status}", shown(&command))),
    }
}

/// What a program prints on standard output; its last complaint when it fails.
pub(crate) fn output(mut command: Command) -> Result<Vec<u8>> {
    let done = command.stdin(Stdio::null()).output().map_err(|why| cannot_start(&command, &why))?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    let complaint = String::from_utf8_lossy(&done.stderr);
    let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map_or_else(|| done.status.to_string(), str::to_owned);
    Err(format!("`{}`: {last}", shown(&command)))
}

fn cannot_start(command: &Command, why: &std::io::Error) -> String {
    format!("cannot start `{}`: {why}", shown(command))
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.display(), quoted(value?))))
        .collect();
    words.push(program(command));
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

/// The program's name without its folder.
fn program(command: &Command) -> String {
    let path = Path::new(command.get_program());
    quoted(path.file_stem().unwrap_or(path.as_os_str()))
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{word}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("some/where/cargo");
        command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--no-deps"]);
        assert_eq!(shown(&command), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let refused = check(Command::new("no-such-program-of-storex")).unwrap_err();
        assert!(refused.contains("cannot start `no-such-program-of-storex`"), "{refused}");
    }

    #[test]
    fn lines_are_read_and_the_exit_code_is_looked_at() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg("--version");
        let mut read = Vec::new();
        assert_eq!(lines(cargo, |line| read.push(line.to_owned())), Ok(()));
        assert!(read.len() == 1 && read[0].starts_with("cargo "), "{read:?}");

        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg("no-such-command-of-storex");
        let refused = lines(cargo, |line| panic!("printed {line}"));
        assert_eq!(refused, Err("cargo: exit status: 101".to_owned()));
    }

    #[test]
    fn an_exit_code_other_than_zero_is_an_error() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg("no-such-command-of-storex");
        assert_eq!(check(cargo), Err("cargo: exit status: 101".to_owned()));
    }
}

//! [`Programs`]: the programs of a PostgreSQL that is installed, and as whom they run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::unix::{self, User};

/// Whom PostgreSQL may run as where we are root, which it refuses: the user that packages make for it, or nobody.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// `initdb` and `pg_ctl`, and the user that they run as.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
    /// `None`: ours.
    user: Option<User>,
    version: String,
}

impl Programs {
    /// Looks in `PATH`, and where Debian keeps them; the newest version counts.
    ///
    /// # Errors
    /// When there are none, or none that can be run. On systems other than Unix it does not look.
    pub fn find() -> Result<Self> {
        if cfg!(not(unix)) {
            return Err("the tests start a PostgreSQL of their own on Unix only".to_owned());
        }
        let user = match number(Command::new("id").arg("-u"))? {
            0 => Some(unprivileged()?),
            _ => None,
        };
        let mut tried = Err("no initdb and pg_ctl of PostgreSQL are there".to_owned());
        for folder in folders().into_iter().filter(|it| it.join("initdb").exists()) {
            let mut programs = Self { folder, user, version: String::new() };
            match output(programs.command("pg_ctl").arg("--version")) {
                Ok(version) => {
                    programs.version = version.trim().to_owned();
                    return Ok(programs);
                }
                Err(why) => tried = Err(why),
            }
        }
        tried
    }

    /// What `pg_ctl` says of its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn user(&self) -> Option<User> {
        self.user
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// One of the programs.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.as_user(Command::new(self.path(program)))
    }

    /// A command that runs as the same user.
    pub(crate) fn as_user(&self, mut command: Command) -> Command {
        if let Some(user) = self.user {
            unix::run_as(&mut command, user);
        }
        // Ours may be one that this user cannot enter.
        command.current_dir("/");
        command
    }
}

/// Where the programs may be.
fn folders() -> Vec<PathBuf> {
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    let version = |folder: &PathBuf| -> u32 {
        let name = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        name.and_then(|name| name.parse().ok()).unwrap_or(0)
    };
    debian.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.into_iter().chain(std::env::split_paths(&path)).collect()
}

fn unprivileged() -> Result<User> {
    let mut tried = Err("there is no user that PostgreSQL may run as".to_owned());
    for name in USERS {
        let user = number(Command::new("id").args(["-u", name]));
        tried = user.and_then(|user| {
            Ok(User { user, group: number(Command::new("id").args(["-g", name]))? })
        });
        if tried.is_ok() {
            break;
        }
    }
    tried
}

fn number(command: &mut Command) -> Result<u32> {
    let printed = output(command)?;
    printed.trim().parse().map_err(|_| format!("`id` printed `{printed}`"))
}

/// What a program prints; what it complains of when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = Path::new(command.get_program()).display().to_string();
    let done = command.stdin(Stdio::null()).output();
    let done = done.map_err(|why| format!("cannot start `{program}`: {why}"))?;
    if !done.status.success() {
        let complaint = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(format!("`{program}`: {}: {complaint}", done.status));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

//! Disks that are full, or may only be read.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system of its own, in memory. It is unmounted when it is dropped.
#[derive(Debug)]
pub struct Disk(TempDir);

impl Disk {
    /// Mounts one of this size (such as `1m`).
    ///
    /// # Errors
    /// Why it cannot be mounted; it takes root on Linux.
    pub fn mount(size: &str) -> Result<Self, String> {
        let dir = tempfile::Builder::new().prefix("storex-e2e-disk-").tempdir();
        let dir = dir.map_err(|error| error.to_string())?;
        let options = format!("size={size},nr_inodes=1k");
        run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], dir.path())?;
        Ok(Self(dir))
    }

    /// From now on it can only be read.
    ///
    /// # Panics
    /// When something is still open for writing.
    pub fn make_read_only(&self) {
        run("mount", &["-o", "remount,ro"], self.path()).expect("a remount");
    }

    /// It can be written again.
    ///
    /// # Panics
    /// When it cannot.
    pub fn make_writable(&self) {
        run("mount", &["-o", "remount,rw"], self.path()).expect("a remount");
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file on it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Fills it up, but for so many bytes. Removing the file that this makes frees the space again.
    ///
    /// # Panics
    /// When that fails.
    pub fn fill_but(&self, left: u64) -> PathBuf {
        let path = self.file("ballast");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).expect("a file");
        while file.write_all(&[7; 4096]).is_ok() {}
        let size = file.metadata().expect("a size").len().saturating_sub(left);
        File::options().write(true).open(&path).and_then(|it| it.set_len(size)).expect("less");
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: after a failed test something may still be open.
        let _ = run("umount", &["-l"], self.path());
    }
}

fn run(program: &str, args: &[&str], path: &Path) -> Result<(), String> {
    let what = format!("{program} {}", args.join(" "));
    let output = Command::new(program).args(args).arg(path).output();
    let output = output.map_err(|error| format!("`{what}`: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("`{what}`: {}", said.trim())) }
}

/// Says that a test, or a part of one, has not run here, and why.
#[allow(clippy::print_stderr)] // what was not tested must be seen
pub fn not_run(what: &str, why: &str) {
    eprintln!("NOT RUN: {what}: {why}");
}

/// Whether the program is there.
#[must_use]
pub fn has_program(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
}

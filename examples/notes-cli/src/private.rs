//! Files and folders for nobody else to read.

use std::fs::{DirBuilder, OpenOptions};

/// To make a folder with, for nobody else to read.
#[cfg(unix)]
pub(crate) fn folder() -> DirBuilder {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut folder = DirBuilder::new();
    folder.mode(0o700);
    folder
}

/// To make a file with, for nobody else to read.
#[cfg(unix)]
pub(crate) fn file() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = OpenOptions::new();
    file.mode(0o600);
    file
}

/// As the system has it.
#[cfg(not(unix))]
pub(crate) fn folder() -> DirBuilder {
    DirBuilder::new()
}

/// As the system has it.
#[cfg(not(unix))]
pub(crate) fn file() -> OpenOptions {
    OpenOptions::new()
}

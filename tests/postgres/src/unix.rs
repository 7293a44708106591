//! What only Unix has. Elsewhere no PostgreSQL is looked for, and nothing of this is called.

use std::io;
use std::path::Path;
use std::process::Command;

/// Numbers of a user and its group.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(unix), expect(dead_code, reason = "see above"))]
pub(crate) struct User {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

#[cfg(unix)]
pub(crate) fn run_as(command: &mut Command, User { user, group }: User) {
    use std::os::unix::process::CommandExt;
    command.uid(user).gid(group);
}

#[cfg(not(unix))]
pub(crate) fn run_as(_: &mut Command, _: User) {}

/// So that it is not interrupted together with us.
#[cfg(unix)]
pub(crate) fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
pub(crate) fn own_group(_: &mut Command) {}

#[cfg(unix)]
pub(crate) fn give(folder: &Path, User { user, group }: User) -> io::Result<()> {
    std::os::unix::fs::chown(folder, Some(user), Some(group))
}

#[cfg(not(unix))]
pub(crate) fn give(_: &Path, _: User) -> io::Result<()> {
    Ok(())
}

/// Only its owner may read it.
#[cfg(unix)]
pub(crate) fn keep_secret(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
pub(crate) fn keep_secret(_: &Path) -> io::Result<()> {
    Ok(())
}

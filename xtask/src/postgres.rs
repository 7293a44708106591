//! A PostgreSQL for the tests, and for whoever tries something by hand.

use std::ffi::OsString;
use std::process::ExitCode;

use storex_postgres_cluster::{ADDRESS, Cluster, Durability, Programs};

use crate::run::{self, Result, Workspace};
use crate::setup::{self, Found};

/// Debian's package; the one it stands for is of the version that Debian has.
const PACKAGE: &str = "postgresql";

/// A PostgreSQL of any version.
pub(crate) fn postgres(workspace: &Workspace) -> Result<Found> {
    programs(workspace).map(|(programs, installed)| {
        let version = programs.version().to_owned();
        if installed { Found::Installed(version) } else { Found::There(version) }
    })
}

/// Its programs, and whether they were installed just now.
fn programs(workspace: &Workspace) -> Result<(Programs, bool)> {
    match Programs::find() {
        Ok(programs) => Ok((programs, false)),
        Err(why) => {
            let advise = |why| format!("{why}; to install it: apt-get install {PACKAGE}");
            setup::install(workspace, PACKAGE, why).map_err(advise)?;
            Ok((Programs::find().map_err(advise)?, true))
        }
    }
}

/// One that is running, until it is dropped.
pub(crate) fn start(workspace: &Workspace) -> Result<Cluster> {
    let (programs, _) = programs(workspace)?;
    Cluster::start(&programs, Durability::ProcessOnly)
}

/// `cargo xtask postgres <command..>`: runs a command with the address of one in its environment.
pub(crate) fn with_postgres(workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    let Some((program, args)) = args.split_first() else {
        return Err("which command? `cargo xtask postgres cargo nextest run -p storex-server --features postgres`, for example".to_owned());
    };
    let cluster = start(workspace)?;
    println!("{ADDRESS}='{}'", cluster.address());
    let mut command = workspace.command(program);
    command.args(args).env(ADDRESS, cluster.address());
    run::hand_over(command)
}

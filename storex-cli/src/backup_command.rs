//! `storex backup`: its arguments, how it ends.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use storex_cli::{backup, describe};

use crate::console::fail;

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The server's database
    #[arg(value_name = "FILE.db")]
    from: PathBuf,
    /// The copy, which must not be there yet
    #[arg(value_name = "COPY.db")]
    to: PathBuf,
}

pub(crate) async fn run(Backup { from, to }: Backup) -> ExitCode {
    match backup::back_up(&from, &to).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&describe(&error)),
    }
}

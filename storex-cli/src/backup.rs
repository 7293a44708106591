//! `storex backup`: a copy of a database that somebody else has open.

use std::path::Path;

use storex_sqlite::SqliteBackend;

use crate::database::inspect;
use crate::error::{During as _, Result};

/// Copies a SQLite database, as it is at one moment, into a file that is not there yet. Whoever writes to it meanwhile goes on. The copy is on
/// the disk when this returns.
///
/// # Errors
/// [`CliError::Input`](crate::CliError::Input) for what is no database, [`CliError::Storage`](crate::CliError::Storage) when a file of this name
/// is there already (it stays as it is), or the copy cannot be written. Nothing is left behind then.
pub async fn back_up(from: &Path, to: &Path) -> Result<()> {
    inspect(from)?;
    let database = SqliteBackend::open(from).during("opening the database")?;
    database.back_up_to(to).await.during("the backup")
}

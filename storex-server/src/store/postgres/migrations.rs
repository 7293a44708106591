//! The tables, made and changed by the server itself.

use super::database::{Result, Session};
use super::failure::Failure;

/// Each makes the next version of the one before it. What is here stays as it is.
const MIGRATIONS: [&str; 2] =
    [include_str!("migrations/0001.sql"), include_str!("migrations/0002.sql")];

const DURING: &str = "preparing the tables of the database";

/// Brings the database to the newest version. Several servers may start at once: one does it, the others wait and find it done.
pub(super) async fn migrate(session: &Session<'_>) -> Result<()> {
    let guard = session.guard();
    // A migration may take long, and so may waiting for one. The number of the lock is "storex" in ASCII.
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(126943923168632)";
    session.execute(begin).await?;
    let version = version(session).await?;
    let newest = MIGRATIONS.len();
    if version > newest {
        let reason = format!(
            "its tables are of version {version}, made by a newer server, and this one knows them up to {newest}: run the newer server"
        );
        return Err(Failure::lasting(DURING, reason));
    }
    for (number, migration) in (1..).zip(MIGRATIONS).skip(version) {
        tracing::info!(version = number, "the tables of the database are brought to a new version");
        session.execute(migration).await?;
        let note = format!("INSERT INTO storex.version (version) VALUES ({number})");
        session.execute(&note).await?;
    }
    guard.commit().await?;
    Ok(())
}

/// The version of the tables; 0: there are none.
async fn version(session: &Session<'_>) -> Result<usize> {
    let there = "SELECT to_regclass('storex.version') IS NOT NULL";
    if !flag(session, &session.ask(there, &[]).await?)? {
        // Not `IF NOT EXISTS` alone: that asks for the right to make schemas even where there is nothing to make.
        let make = "CREATE SCHEMA IF NOT EXISTS storex; CREATE TABLE storex.version (version bigint PRIMARY KEY, since timestamptz NOT NULL DEFAULT now())";
        session.execute(make).await?;
    }
    let rows = session.ask("SELECT coalesce(max(version), 0) FROM storex.version", &[]).await?;
    let row = rows.first().ok_or_else(|| session.wrong())?;
    let version: i64 = row.try_get(0).map_err(|error| session.failure(&error))?;
    usize::try_from(version).map_err(|_| session.wrong())
}

fn flag(session: &Session<'_>, rows: &[tokio_postgres::Row]) -> Result<bool> {
    let row = rows.first().ok_or_else(|| session.wrong())?;
    row.try_get(0).map_err(|error| session.failure(&error))
}

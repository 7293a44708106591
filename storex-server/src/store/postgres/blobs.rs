//! [`PostgresBlobs`]: the blobs of a user.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join5;
use storex_core::Timestamp;
use storex_sync::{BlobRef, BlobStore, SyncError};
use tokio_postgres::types::ToSql;

use super::Shared;
use super::database::{Database, Result, Session};
use super::rows::{Columns, int};

const LOOKING: &str = "looking for a blob";
const WRITING: &str = "writing a blob";
const READING: &str = "reading a chunk of a blob";
const DELETING: &str = "deleting a blob";
const DROPPING: &str = "dropping blobs that nobody has finished";

/// Whether it was finished, and how many of its chunks are there from the front: those whose number is their place.
const STATE: &str = "SELECT
    coalesce((SELECT whole FROM storex.blob WHERE account = $1 AND name = $2), false),
    (SELECT count(*) FILTER (WHERE number = place) FROM (
        SELECT number, row_number() OVER (ORDER BY number) - 1 AS place
        FROM storex.blob_chunk WHERE account = $1 AND name = $2
    ) AS chunk)";

/// The row of the blob comes first: whoever deletes it meanwhile has it locked, and the chunk with it.
const PUT: &str = "WITH blob AS (
        INSERT INTO storex.blob (account, name, whole, touched)
        SELECT id, $2::text, false, $3::bigint FROM storex.account WHERE id = $1
        ON CONFLICT (account, name) DO UPDATE SET touched = excluded.touched
        RETURNING account, name
    )
    INSERT INTO storex.blob_chunk (account, name, number, bytes)
    SELECT account, name, $4::bigint, $5::bytea FROM blob
    ON CONFLICT (account, name, number) DO UPDATE SET bytes = excluded.bytes
    RETURNING number";

/// Whoever deletes it meanwhile has its row locked: what is to be found whole is looked for behind that.
const FINISH: &str = "WITH held AS MATERIALIZED (
        SELECT FROM storex.blob WHERE account = $1 AND name = $2 FOR NO KEY UPDATE
    )
    INSERT INTO storex.blob (account, name, whole, touched)
    SELECT id, $2::text, true, $3::bigint FROM storex.account
    WHERE id = $1 AND $4::bigint = (
        SELECT count(*) FROM storex.blob_chunk WHERE account = $1 AND name = $2
    ) AND ($4::bigint = 0 OR EXISTS (SELECT FROM held))
    ON CONFLICT (account, name) DO UPDATE SET whole = true
    RETURNING whole";

const CHUNK: &str =
    "SELECT bytes FROM storex.blob_chunk WHERE account = $1 AND name = $2 AND number = $3";

const DELETE: &str = "DELETE FROM storex.blob WHERE account = $1 AND name = $2";

const DELETE_UNFINISHED: &str = "DELETE FROM storex.blob
    WHERE account = $1 AND name = $2 AND NOT whole AND touched < $3";

/// In a statement of its own, which sees what was put until the row was locked. Not of a blob whose row stays.
const DELETE_CHUNKS: &str = "DELETE FROM storex.blob_chunk
    WHERE account = $1 AND name = $2 AND NOT EXISTS (
        SELECT FROM storex.blob WHERE account = $1 AND name = $2
    )";

const UNFINISHED: &str =
    "SELECT account, name FROM storex.blob WHERE NOT whole AND touched < $1 LIMIT 100";

/// The blobs of a user. Each of its statements names the user.
#[derive(Debug)]
pub(super) struct PostgresBlobs {
    pub(super) shared: Arc<Shared>,
    pub(super) account: i64,
}

impl PostgresBlobs {
    async fn session(&self, during: &'static str) -> Result<Session<'_>> {
        self.shared.database.session(during).await
    }

    fn now(&self) -> i64 {
        self.shared.database.runtime.now().0
    }

    /// Whether it was finished, and how many chunks are there.
    async fn state(&self, blob: &BlobRef) -> Result<(bool, u64)> {
        let session = self.session(LOOKING).await?;
        let rows = session.ask(STATE, &[&self.account, &blob.to_string()]).await?;
        let row = rows.first().ok_or_else(|| session.wrong())?;
        let columns = Columns { session: &session, row };
        Ok((columns.get(0)?, columns.uint(1)?))
    }
}

/// Deletes a blob and then its chunks, in one transaction and one round trip.
async fn delete(
    session: &Session<'_>,
    row: &'static str,
    of_row: &[&(dyn ToSql + Sync)],
) -> Result<()> {
    let [row, chunks] = session.prepare([row, DELETE_CHUNKS]).await?;
    let guard = session.guard();
    // However many chunks there are.
    let (begun, patient, row, chunks, committed) = join5(
        session.begin(),
        session.execute("SET LOCAL statement_timeout = 0"),
        session.query(&row, of_row),
        session.query(&chunks, of_row.get(..2).unwrap_or_default()),
        guard.commit(),
    )
    .await;
    begun?;
    patient?;
    row?;
    chunks?;
    committed
}

/// Deletes the blobs of all users that nobody has finished; tells how many.
pub(super) async fn drop_unfinished(database: &Database, before: Timestamp) -> Result<u64> {
    let session = database.session(DROPPING).await?;
    let mut dropped = 0;
    loop {
        let rows = session.ask(UNFINISHED, &[&before.0]).await?;
        for row in &rows {
            let columns = Columns { session: &session, row };
            let (account, name): (i64, &str) = (columns.get(0)?, columns.get(1)?);
            delete(&session, DELETE_UNFINISHED, &[&account, &name, &before.0]).await?;
        }
        dropped += rows.len() as u64;
        if rows.is_empty() {
            return Ok(dropped);
        }
    }
}

#[async_trait]
impl BlobStore for PostgresBlobs {
    async fn has(&self, blob: &BlobRef) -> Result<bool, SyncError> {
        Ok(self.state(blob).await? == (true, blob.chunks()))
    }

    async fn sent(&self, blob: &BlobRef) -> Result<u64, SyncError> {
        Ok(self.state(blob).await?.1)
    }

    async fn put_chunk(
        &self,
        blob: &BlobRef,
        number: u64,
        bytes: Vec<u8>,
    ) -> Result<(), SyncError> {
        let session = self.session(WRITING).await?;
        let (name, now, number) = (blob.to_string(), self.now(), int(number));
        let values: [&(dyn ToSql + Sync); 5] = [&self.account, &name, &now, &number, &bytes];
        let put = session.ask(PUT, &values).await?;
        put.first().ok_or_else(|| session.gone())?;
        Ok(())
    }

    async fn finish(&self, blob: &BlobRef) -> Result<(), SyncError> {
        let session = self.session(WRITING).await?;
        let (name, now, chunks) = (blob.to_string(), self.now(), int(blob.chunks()));
        let values: [&(dyn ToSql + Sync); 4] = [&self.account, &name, &now, &chunks];
        let finished = session.ask(FINISH, &values).await?;
        finished.first().map(|_| ()).ok_or(SyncError::BlobMissing { blob: *blob })
    }

    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>, SyncError> {
        let session = self.session(READING).await?;
        let values: [&(dyn ToSql + Sync); 3] = [&self.account, &blob.to_string(), &int(number)];
        let rows = session.ask(CHUNK, &values).await?;
        let row = rows.first().ok_or(SyncError::BlobMissing { blob: *blob })?;
        Ok(Columns { session: &session, row }.get(0)?)
    }

    async fn remove(&self, blob: &BlobRef) -> Result<(), SyncError> {
        let session = self.session(DELETING).await?;
        Ok(delete(&session, DELETE, &[&self.account, &blob.to_string()]).await?)
    }
}

//! [`Local`]: the blobs in the device's own database.

use std::sync::Arc;

use storex_core::{
    Batch, BatchOutcome, Error, Filter, MaybeSend, MaybeSync, OnConflict, Query, Runtime, Step,
    Storage, Timestamp, Value,
};

use super::reference::{BlobHasher, BlobRef};
use super::rows::{
    BLOB, BlobRow, CHUNK, Contents, LOOSE, Loose, abandon, chunk_key, chunk_record, only,
    receiving, set_here, to_clear, wrong,
};
use crate::error::{During, Result, SyncError};
use crate::failure::Failure;

/// Contents that are being written may rest for an hour: then their writer is taken to be gone.
const REST: i64 = 60 * 60 * 1000;
/// How many chunks are deleted at once.
const CLEARED_AT_ONCE: usize = 64;

/// The blobs in the device's own database.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub(super) storage: Storage,
}

impl Local {
    pub(super) fn runtime(&self) -> &Arc<dyn Runtime> {
        self.storage.runtime()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.runtime().now()
    }

    /// A number for contents that are to be written.
    pub(super) fn new_contents(&self) -> Contents {
        let mut contents = [0; 16];
        self.runtime().fill_random(&mut contents);
        Contents(contents)
    }

    pub(super) async fn row(&self, blob: &BlobRef) -> Result<Option<BlobRow>> {
        Ok(self.rows(Query::new(BLOB).filter(only(blob))).await?.pop())
    }

    pub(super) async fn rows(&self, query: Query) -> Result<Vec<BlobRow>> {
        let rows = self.storage.find(query).await.during("reading what is known of blobs")?;
        rows.iter().map(BlobRow::read).collect()
    }

    /// Changes what is known of a blob, in one transaction with looking at it: the function gives the steps.
    pub(super) async fn change(
        &self,
        blob: &BlobRef,
        decide: impl Fn(Option<BlobRow>) -> Vec<Step> + MaybeSend + MaybeSync + 'static,
    ) -> Result<()> {
        self.change_if(Batch::new(), blob, decide).await.map(|_| ())
    }

    /// The same, unless a precondition of the batch is not met; tells whether it was.
    async fn change_if(
        &self,
        batch: Batch,
        blob: &BlobRef,
        decide: impl Fn(Option<BlobRow>) -> Vec<Step> + MaybeSend + MaybeSync + 'static,
    ) -> Result<bool> {
        let failure = Failure::default();
        let kept = failure.clone();
        let batch =
            batch.find(Query::new(BLOB).filter(only(blob))).touching([LOOSE]).then(move |trace| {
                let row = trace.found(0).first().map(BlobRow::read).transpose();
                Ok(decide(kept.keep(row)?))
            });
        let during = "writing what is known of a blob";
        is_met(failure.or(self.storage.apply(batch).await, during))
    }

    /// Adds a chunk to contents that belong to no blob yet. `false`: they were cleared away.
    pub(super) async fn write_chunk(&self, loose: Loose, bytes: Vec<u8>) -> Result<bool> {
        let chunk = chunk_record(loose.contents, loose.chunks, bytes);
        let chunks = loose.chunks + 1;
        let batch = Batch::new()
            .step(loose.require())
            .step(Step::create_or(CHUNK, vec![chunk], OnConflict::Replace))
            .step(Loose { chunks, touched: self.now(), ..loose }.write());
        is_met(self.storage.apply(batch).await.during("writing a chunk of a blob"))
    }

    /// Makes contents those of a blob, which is then to be sent. `false`: they were cleared away.
    ///
    /// They take the place of those that are here already: they were just hashed, and the others may have gone bad since. That the
    /// store has them is asked anew too: they may have been removed there.
    pub(super) async fn adopt(&self, loose: Loose, blob: BlobRef) -> Result<bool> {
        let now = self.now();
        let precondition = Batch::new().step(loose.require());
        self.change_if(precondition, &blob, move |row| {
            let former = row.map(|row| row.loosen());
            let written = BlobRow::written(blob, loose.contents, now).write();
            former.into_iter().chain([loose.delete(), written]).collect()
        })
        .await
    }

    /// Adds a chunk that was received. `false`: others have changed something meanwhile.
    pub(super) async fn receive_chunk(
        &self,
        blob: &BlobRef,
        contents: Contents,
        number: u64,
        bytes: Vec<u8>,
    ) -> Result<bool> {
        let chunk = chunk_record(contents, number, bytes);
        let batch = Batch::new()
            .step(Step::Require { query: receiving(blob, contents, number), count: 1 })
            .step(Step::create_or(CHUNK, vec![chunk], OnConflict::Replace))
            .step(set_here(blob, number + 1));
        is_met(self.storage.apply(batch).await.during("writing a chunk of a blob"))
    }

    pub(super) async fn chunk(&self, contents: Contents, number: u64) -> Result<Option<Vec<u8>>> {
        let query = Query::new(CHUNK)
            .filter(Filter::Keys(vec![chunk_key(contents, number)]))
            .select(["bytes"]);
        let mut rows = self.storage.find(query).await.during("reading a chunk of a blob")?;
        let Some(value) = rows.pop().and_then(|row| row.into_values().pop()) else {
            return Ok(None);
        };
        match value {
            Value::Bytes(bytes) => Ok(Some(bytes)),
            _ => Err(wrong()),
        }
    }

    /// Whether these contents are what the name says. Of a blob of any size a chunk is in memory at a time.
    pub(super) async fn is(&self, contents: Contents, blob: &BlobRef) -> Result<bool> {
        let mut hasher = BlobHasher::default();
        for number in 0..blob.chunks() {
            match self.chunk(contents, number).await? {
                Some(bytes) if bytes.len() as u64 == blob.chunk_length(number) => {
                    hasher.update(&bytes);
                }
                _ => return Ok(false),
            }
        }
        Ok(hasher.finish() == *blob)
    }

    /// Clears away what belongs to no blob and is written by nobody.
    pub(super) async fn clear(&self) -> Result<()> {
        let during = "clearing away what is left of blobs";
        let abandoned = Batch::new().step(abandon(self.now(), REST));
        self.storage.apply(abandoned).await.during(during)?;
        loop {
            let rows = self.storage.find(to_clear()).await.during(during)?;
            let Some(loose) = rows.first().map(Loose::read).transpose()? else { return Ok(()) };
            for first in (0..loose.chunks).step_by(CLEARED_AT_ONCE) {
                let chunks = (first..loose.chunks).take(CLEARED_AT_ONCE);
                let keys = chunks.map(|number| chunk_key(loose.contents, number)).collect();
                let some = Batch::new().delete(CHUNK, Filter::Keys(keys));
                self.storage.apply(some).await.during(during)?;
            }
            self.storage.apply(Batch::new().step(loose.delete())).await.during(during)?;
        }
    }
}

/// Whether the precondition of a batch was met.
fn is_met(applied: Result<BatchOutcome>) -> Result<bool> {
    match applied {
        Ok(_) => Ok(true),
        Err(SyncError::Storage { source: Error::Precondition { .. }, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

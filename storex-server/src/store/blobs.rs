//! [`BackendBlobs`]: the blobs of a user in a storex database.

use async_trait::async_trait;
use storex_core::{Batch, Error, Filter, Step, Storage, Timestamp, Value};
use storex_sync::{BlobRef, BlobStore, SyncError};

use super::blob_rows::{BlobKey, find, of_user, unfinished};
use crate::user::User;

type Result<T, E = SyncError> = std::result::Result<T, E>;

const LOOKING: &str = "looking for a blob";
const WRITING: &str = "writing a blob";
const DELETING: &str = "deleting a blob";

/// How many chunks are deleted at once: nobody else writes meanwhile.
const DELETED_AT_ONCE: usize = 64;

/// The blobs of a user. Each of its queries names the user.
#[derive(Debug)]
pub(super) struct BackendBlobs {
    storage: Storage,
    user: User,
}

impl BackendBlobs {
    pub(super) fn new(storage: &Storage, user: &User) -> Self {
        Self { storage: storage.clone(), user: user.clone() }
    }

    fn key(&self, blob: &BlobRef) -> BlobKey {
        BlobKey::new(&self.user, blob)
    }

    fn now(&self) -> Timestamp {
        self.storage.runtime().now()
    }
}

fn failed(during: &'static str) -> impl Fn(Error) -> SyncError + Copy {
    move |source| SyncError::Storage { during, source }
}

fn wrong() -> SyncError {
    let reason = "a row has the wrong types".to_owned();
    SyncError::Corrupt { what: "what is known of a blob", reason }
}

fn of_steps(steps: impl IntoIterator<Item = Step>) -> Batch {
    steps.into_iter().fold(Batch::new(), Batch::step)
}

/// Executes a batch; `false`: its precondition is not met.
async fn is_met(storage: &Storage, batch: Batch) -> storex_core::Result<bool> {
    match storage.execute(batch).await {
        Ok(_) => Ok(true),
        Err(Error::Precondition { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn numbers(storage: &Storage, key: &BlobKey) -> storex_core::Result<Vec<u64>> {
    let rows = storage.find(key.find_numbers()).await?;
    let number = |row: &storex_core::Record| u64::try_from(row.get(0).as_int()?).ok();
    Ok(rows.iter().filter_map(number).collect())
}

/// Deletes a blob in steps, if it is among these. When it is broken off, [`drop_unfinished`] goes on; when somebody sends it again
/// meanwhile, it is theirs. Tells whether it was deleted.
async fn delete(storage: &Storage, key: &BlobKey, among: Filter) -> storex_core::Result<bool> {
    storage.execute(of_steps([key.give_up(among)])).await?;
    for some in numbers(storage, key).await?.chunks(DELETED_AT_ONCE) {
        if !is_met(storage, of_steps([key.is_given_up(), key.delete_chunks(some)])).await? {
            return Ok(false);
        }
    }
    let [is_empty, deleted] = key.delete();
    is_met(storage, of_steps([key.is_given_up(), is_empty, deleted])).await
}

/// Deletes the blobs that nobody has finished; tells how many.
pub(super) async fn drop_unfinished(
    storage: &Storage,
    before: Timestamp,
) -> storex_core::Result<u64> {
    delete_all(storage, unfinished(before)).await
}

/// Deletes the blobs of a user. When it is broken off, there are fewer the next time.
pub(super) async fn remove_all(storage: &Storage, user: &User) -> storex_core::Result<()> {
    delete_all(storage, of_user(user)).await.map(drop)
}

/// Deletes these, until there are none.
async fn delete_all(storage: &Storage, among: Filter) -> storex_core::Result<u64> {
    let mut deleted = 0;
    loop {
        let rows = storage.find(find(among.clone())).await?;
        let keys: Vec<BlobKey> = rows.iter().filter_map(BlobKey::read).collect();
        for key in &keys {
            let is_deleted = delete(storage, key, among.clone()).await?;
            deleted += u64::from(is_deleted);
        }
        if keys.is_empty() {
            return Ok(deleted);
        }
    }
}

#[async_trait]
impl BlobStore for BackendBlobs {
    async fn has(&self, blob: &BlobRef) -> Result<bool> {
        let key = self.key(blob);
        let rows = self.storage.find(key.find()).await.map_err(failed(LOOKING))?;
        let is_marked = rows.first().is_some_and(|row| matches!(row.get(0), Value::Bool(true)));
        Ok(is_marked && self.sent(blob).await? == blob.chunks())
    }

    async fn sent(&self, blob: &BlobRef) -> Result<u64> {
        let (key, failed) = (self.key(blob), failed(LOOKING));
        // No chunk has a number that the blob does not have.
        let count = self.storage.count(key.chunks()).await.map_err(failed)?;
        if count == blob.chunks() {
            return Ok(count);
        }
        let numbers = numbers(&self.storage, &key).await.map_err(failed)?;
        let from_the_front = (0..).zip(numbers).take_while(|(expected, number)| expected == number);
        Ok(from_the_front.count() as u64)
    }

    async fn put_chunk(&self, blob: &BlobRef, number: u64, bytes: Vec<u8>) -> Result<()> {
        let key = self.key(blob);
        let batch = of_steps(key.touch(self.now())).step(key.write_chunk(number, bytes));
        self.storage.execute(batch).await.map(drop).map_err(failed(WRITING))
    }

    async fn finish(&self, blob: &BlobRef) -> Result<()> {
        let whole = of_steps(self.key(blob).finish(blob.chunks(), self.now()));
        match is_met(&self.storage, whole).await.map_err(failed(WRITING))? {
            true => Ok(()),
            false => Err(SyncError::BlobMissing { blob: *blob }),
        }
    }

    async fn chunk(&self, blob: &BlobRef, number: u64) -> Result<Vec<u8>> {
        let found = self.storage.find(self.key(blob).find_chunk(number)).await;
        let mut rows = found.map_err(failed("reading a chunk of a blob"))?;
        let row = rows.pop().ok_or(SyncError::BlobMissing { blob: *blob })?;
        match row.into_values().pop() {
            Some(Value::Bytes(bytes)) => Ok(bytes),
            _ => Err(wrong()),
        }
    }

    async fn remove(&self, blob: &BlobRef) -> Result<()> {
        delete(&self.storage, &self.key(blob), Filter::All)
            .await
            .map(drop)
            .map_err(failed(DELETING))
    }
}

//! Snapshots in an encrypted log: each page is encrypted under its name.
//!
//! How many pages there are is not in it, as nobody knows that when the first is written: the stream that the pages hold tells its own end.

use async_trait::async_trait;

use super::envelope::{Subject, seal};
use super::log::EncryptedSharedLog;
use crate::error::{Result, SyncError};
use crate::shared_log::{Snapshot, SnapshotId, Snapshots, Usage};

impl EncryptedSharedLog {
    fn inner(&self) -> Result<&dyn Snapshots> {
        self.log.snapshots().ok_or(SyncError::NoSnapshots)
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Snapshots for EncryptedSharedLog {
    async fn put_page(&self, id: SnapshotId, page: u64, bytes: &[u8]) -> Result<()> {
        self.leave_keys().await?;
        let ring = self.key_ring();
        let sealed = seal(&ring.current().key, Subject::Page { snapshot: id, page }, bytes)?;
        self.inner()?.put_page(id, page, &sealed).await
    }

    async fn publish(&self, snapshot: &Snapshot) -> Result<bool> {
        self.inner()?.publish(snapshot).await
    }

    async fn published(&self) -> Result<Option<Snapshot>> {
        self.inner()?.published().await
    }

    async fn page(&self, id: SnapshotId, page: u64) -> Result<Option<Vec<u8>>> {
        match self.inner()?.page(id, page).await? {
            Some(bytes) => {
                let opened = self.open_one(Subject::Page { snapshot: id, page }, &bytes).await?;
                Ok(Some(opened))
            }
            None => Ok(None),
        }
    }

    async fn usage(&self) -> Result<Usage> {
        self.inner()?.usage().await
    }
}

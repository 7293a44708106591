//! The snapshot of a log in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemorySharedLog, State};
use crate::error::Result;
use crate::log_rules::known_to_all;
use crate::shared_log::{Snapshot, SnapshotId, Snapshots, Usage};

#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) published: Option<Snapshot>,
    /// Of the one that is published, and of those that are being made.
    pages: BTreeMap<(SnapshotId, u64), Vec<u8>>,
}

impl Kept {
    fn is_published(&self, id: SnapshotId) -> bool {
        self.published.as_ref().is_some_and(|published| published.id == id)
    }

    fn put(&mut self, id: SnapshotId, page: u64, bytes: &[u8]) {
        if self.is_published(id) {
            return;
        }
        if page == 0 {
            let published = self.published.as_ref().map(|published| published.id);
            self.pages.retain(|(known, _), _| {
                known.maker != id.maker || *known == id || Some(*known) == published
            });
        }
        self.pages.insert((id, page), bytes.to_vec());
    }

    fn drop_pages(&mut self, id: SnapshotId) {
        self.pages.retain(|(known, _), _| *known != id);
    }

    fn is_whole(&self, snapshot: &Snapshot) -> bool {
        (0..snapshot.pages).all(|page| self.pages.contains_key(&(snapshot.id, page)))
    }
}

impl State {
    /// The position behind which nothing is dropped.
    pub(super) fn snapshot_position(&self) -> Result<u64> {
        let published = self.snapshots.published.as_ref();
        published.map_or(Ok(u64::MAX), |published| published.place.position())
    }

    fn publish(&mut self, snapshot: &Snapshot) -> Result<bool> {
        let position = snapshot.place.position()?;
        if self.snapshots.is_published(snapshot.id) {
            return Ok(true);
        }
        let earlier = match &self.snapshots.published {
            Some(published) => published.place.position()? <= position,
            None => true,
        };
        let follows = self.authors.values().all(|author| author.floor <= position);
        if !earlier || !follows || !self.snapshots.is_whole(snapshot) {
            self.snapshots.drop_pages(snapshot.id);
            return Ok(false);
        }
        if let Some(former) = self.snapshots.published.replace(snapshot.clone()) {
            self.snapshots.drop_pages(former.id);
        }
        Ok(true)
    }

    fn usage(&self) -> Usage {
        let members: Vec<_> = self.members.iter().map(|(device, at)| (*device, *at)).collect();
        let droppable = self.transactions.iter().filter(|(position, transaction)| {
            let last = self.authors.get(&transaction.device).map_or(0, |author| author.last);
            **position <= known_to_all(&members, transaction.device) && transaction.sequence < last
        });
        Usage {
            transactions: self.transactions.len() as u64,
            droppable: droppable.count() as u64,
            lacks_beginning: self.snapshots.published.is_none()
                && self.authors.values().any(|author| author.floor > 0),
        }
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Snapshots for MemorySharedLog {
    async fn put_page(&self, id: SnapshotId, page: u64, bytes: &[u8]) -> Result<()> {
        self.lock().snapshots.put(id, page, bytes);
        Ok(())
    }

    async fn publish(&self, snapshot: &Snapshot) -> Result<bool> {
        self.lock().publish(snapshot)
    }

    async fn published(&self) -> Result<Option<Snapshot>> {
        Ok(self.lock().snapshots.published.clone())
    }

    async fn page(&self, id: SnapshotId, page: u64) -> Result<Option<Vec<u8>>> {
        Ok(self.lock().snapshots.pages.get(&(id, page)).cloned())
    }

    async fn usage(&self) -> Result<Usage> {
        Ok(self.lock().usage())
    }
}

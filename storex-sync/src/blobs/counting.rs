//! Keeps the [`BlobStatus`] up to date.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use super::reference::BlobRef;
use super::{BlobStatus, Inner, status};
use crate::error::describe;

impl Inner {
    /// Something else is to be done than before.
    pub(super) async fn changed(&self) {
        self.count().await;
        self.nudge.notify_one();
    }

    /// Brings the status up to date.
    pub(super) async fn count(&self) {
        let _turn = self.counting.lock().await;
        match status::read_status(&self.local).await {
            Ok(counted) => self.publish(|status| *status = counted),
            Err(error) => tracing::debug!(error = %describe(&error), "blobs cannot be counted"),
        }
    }

    /// So many bytes of a transfer have come through.
    pub(super) fn progress(&self, blob: &BlobRef, sends: bool, bytes: u64) {
        self.under_way().insert(*blob, (sends, bytes));
        self.publish(|_| {});
    }

    /// So many chunks of a transfer have come through.
    pub(super) fn reached(&self, blob: &BlobRef, chunks: u64) {
        let mut all = self.furthest.lock().unwrap_or_else(PoisonError::into_inner);
        let furthest = all.entry(*blob).or_default();
        *furthest = chunks.max(*furthest);
    }

    /// How many chunks have come through at most. Not how many did the last time: what comes through again and again, and is
    /// dropped each time, is no progress.
    pub(super) fn furthest(&self, blob: &BlobRef) -> u64 {
        let all = self.furthest.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(blob).copied().unwrap_or(0)
    }

    /// Forgets how far it came.
    pub(super) fn arrived(&self, blob: &BlobRef) {
        self.furthest.lock().unwrap_or_else(PoisonError::into_inner).remove(blob);
    }

    /// The transfer is not under way any more.
    pub(super) fn rest(&self, blob: &BlobRef) {
        self.under_way().remove(blob);
    }

    pub(super) fn publish(&self, change: impl FnOnce(&mut BlobStatus)) {
        self.status.send_if_modified(|status| {
            let before = *status;
            change(status);
            let done = |sends| {
                let under_way = self.under_way();
                under_way.values().filter(|it| it.0 == sends).map(|it| it.1).sum()
            };
            (status.to_send.done, status.to_receive.done) = (done(true), done(false));
            *status != before
        });
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<BlobRef, (bool, u64)>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

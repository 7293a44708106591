//! Appends that are repeated after the key was rotated: what the log has of them was encrypted with an earlier key.

use std::collections::BTreeMap;

use super::envelope::Subject;
use super::log::{EncryptedSharedLog, seal_all};
use super::ring::KeyRing;
use crate::error::{Result, SyncError};
use crate::shared_log::{Cursor, SealedTransaction};
use crate::stamp::Device;

/// The bytes of a page that is read back.
const PAGE: usize = 1 << 20;

impl EncryptedSharedLog {
    /// Appends transactions of which the log says that it has some in other bytes. What it has is read back, opened and compared, so nothing
    /// is encrypted with an earlier key: the log says what it likes, and whoever was left out has those keys.
    ///
    /// `place` is where the device reads, if that is known: what it has sent and got no answer for is behind it.
    pub(super) async fn append_again(
        &self,
        ring: &KeyRing,
        transactions: &[SealedTransaction],
        place: Option<&Cursor>,
        forked: SyncError,
    ) -> Result<()> {
        for place in self.places(place).await? {
            let there = self.read_back(transactions, place).await?;
            match known(transactions, &there)? {
                0 => {}
                known => return self.append_behind(ring, transactions, known).await,
            }
        }
        Err(forked)
    }

    async fn append_behind(
        &self,
        ring: &KeyRing,
        transactions: &[SealedTransaction],
        known: usize,
    ) -> Result<()> {
        match transactions.get(known..) {
            None | Some([]) => Ok(()),
            Some(fresh) => self.log.append(&seal_all(ring, fresh)?).await,
        }
    }

    /// Where to read from, the shortest way first: a log that was trimmed gives nothing to whoever begins in front of what is gone.
    async fn places(&self, place: Option<&Cursor>) -> Result<Vec<Cursor>> {
        let mut places: Vec<_> = place.cloned().into_iter().collect();
        if let Some(snapshots) = self.log.snapshots() {
            places.extend(snapshots.published().await?.map(|it| it.place));
        }
        places.push(Cursor::default());
        Ok(places)
    }

    /// What the log gives of these transactions behind a place, opened, by number.
    async fn read_back(
        &self,
        transactions: &[SealedTransaction],
        mut place: Cursor,
    ) -> Result<BTreeMap<u64, Vec<u8>>> {
        let mut there = BTreeMap::new();
        let (Some(first), Some(last)) = (transactions.first(), transactions.last()) else {
            return Ok(there);
        };
        loop {
            let page = match self.log.read(Device::NOBODY, &place, PAGE).await {
                Err(SyncError::BelowFloor { .. } | SyncError::LogReplaced) => return Ok(there),
                page => page?,
            };
            let is_last = !page.more || page.transactions.is_empty();
            for one in page.transactions.into_iter().filter(|it| it.device == first.device) {
                if (first.sequence..=last.sequence).contains(&one.sequence) {
                    let opened = self.open_one(Subject::of(&one), &one.payload).await?;
                    there.insert(one.sequence, opened);
                }
            }
            if is_last || there.contains_key(&last.sequence) {
                return Ok(there);
            }
            place = page.cursor;
        }
    }
}

/// How many transactions, from the first on, the log has: those that it cannot give, as they were trimmed, count with one behind them that
/// is the same.
fn known(transactions: &[SealedTransaction], there: &BTreeMap<u64, Vec<u8>>) -> Result<usize> {
    let (mut known, mut doubtful) = (0, None);
    for (n, SealedTransaction { device, sequence, payload }) in (1..).zip(transactions) {
        match there.get(sequence) {
            Some(held) if held == payload => (known, doubtful) = (n, None),
            Some(_) => {
                let sequence = doubtful.unwrap_or(*sequence);
                return Err(SyncError::Forked { device: *device, sequence });
            }
            None => doubtful = doubtful.or(Some(*sequence)),
        }
    }
    Ok(known)
}

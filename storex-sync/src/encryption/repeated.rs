//! Appends that are repeated after the key was rotated: what the log has of them was encrypted with an earlier key.

use super::envelope::{Subject, seal};
use super::log::{EncryptedSharedLog, seal_all};
use super::ring::{Generation, KeyRing};
use crate::error::{Result, SyncError};
use crate::shared_log::SealedTransaction;

/// No device writes as many.
const BEYOND: u64 = i64::MAX.cast_unsigned();

impl EncryptedSharedLog {
    /// Appends transactions of which the log has some in other bytes than those of the current key. Earlier keys are tried for what the log
    /// has already, and for nothing else: with these no transaction gets into the log that is not there.
    pub(super) async fn append_again(
        &self,
        ring: &KeyRing,
        transactions: &[SealedTransaction],
        forked: SyncError,
    ) -> Result<()> {
        let former = ring.former();
        let Some(first) = transactions.first().filter(|_| !former.is_empty()) else {
            return Err(forked);
        };
        let last = self.last_in_log(ring, first).await?;
        let known = transactions.iter().take_while(|it| it.sequence <= last).count();
        let (known, fresh) = transactions.split_at(known);
        self.recognize(ring, &former, known).await?;
        match fresh {
            [] => Ok(()),
            fresh => self.log.append(&seal_all(ring, fresh)?).await,
        }
    }

    /// The number of the last transaction that the log has had of a device: it tells of one that cannot be the next.
    async fn last_in_log(&self, ring: &KeyRing, of: &SealedTransaction) -> Result<u64> {
        let probe = SealedTransaction { sequence: BEYOND, payload: Vec::new(), ..*of };
        match self.log.append(&seal_all(ring, &[probe])?).await {
            Err(SyncError::Gap { expected, .. }) => Ok(expected.saturating_sub(1)),
            Err(error) => Err(error),
            Ok(()) => {
                let reason = "it has taken a transaction behind a gap".to_owned();
                Err(SyncError::Protocol { during: "appending to the shared log", reason })
            }
        }
    }

    /// Whether the log has these, with whatever key of ours: as a rule one key for all.
    async fn recognize(
        &self,
        ring: &KeyRing,
        former: &[Generation],
        known: &[SealedTransaction],
    ) -> Result<()> {
        for generation in former {
            if self.is_there(generation, known).await? {
                return Ok(());
            }
        }
        // One by one, as the log does: those that were trimmed cannot be compared, and count with one behind them that can.
        let mut doubtful = None;
        for transaction in known {
            let mut found = false;
            for generation in std::iter::once(ring.current()).chain(former) {
                found =
                    found || self.is_there(generation, std::slice::from_ref(transaction)).await?;
            }
            doubtful = if found { None } else { doubtful.or(Some(transaction)) };
        }
        doubtful.map_or(Ok(()), |it| {
            Err(SyncError::Forked { device: it.device, sequence: it.sequence })
        })
    }

    async fn is_there(&self, key: &Generation, known: &[SealedTransaction]) -> Result<bool> {
        let sealed = known.iter().map(|it| {
            let payload = seal(&key.key, Subject::of(it), &it.payload)?;
            Ok(SealedTransaction { payload, ..*it })
        });
        match self.log.append(&sealed.collect::<Result<Vec<_>>>()?).await {
            Ok(()) => Ok(true),
            Err(SyncError::Forked { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

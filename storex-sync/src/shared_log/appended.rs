//! What the transactions of an append are to the log: known, new, or not to be.

use crate::error::{Result, SyncError};
use crate::shared_log::SealedTransaction;
use crate::stamp::Device;

/// The device of an append; `None` when there is nothing to append.
pub(super) fn author(transactions: &[SealedTransaction]) -> Result<Option<Device>> {
    let device = transactions.first().map(|first| first.device);
    if transactions.iter().any(|transaction| Some(transaction.device) != device) {
        let reason = "one append holds transactions of several devices".to_owned();
        return Err(SyncError::Protocol { during: "appending to the shared log", reason });
    }
    Ok(device)
}

/// Those of the transactions that the log does not have.
///
/// `last` is the number of the last transaction that it has had of the device; `held` gives the payload of one that it
/// still holds.
pub(super) fn fresh<'a, 'b>(
    transactions: &'a [SealedTransaction],
    last: u64,
    held: impl Fn(u64) -> Option<&'b [u8]>,
) -> Result<&'a [SealedTransaction]> {
    let first = transactions.first().map_or(1, |first| first.sequence);
    // The first one since those that were compared and are the same: from there on they may be others.
    let (mut known, mut doubtful) = (0, None);
    for (expected, transaction) in (first.clamp(1, last.saturating_add(1))..).zip(transactions) {
        let SealedTransaction { device, sequence, payload } = transaction;
        if *sequence != expected {
            return Err(SyncError::Gap { device: *device, expected, found: *sequence });
        }
        if *sequence > last {
            continue;
        }
        known += 1;
        let device = *device;
        match held(*sequence) {
            Some(there) if there == payload.as_slice() => doubtful = None,
            Some(_) => {
                let sequence = doubtful.unwrap_or(*sequence);
                return Err(SyncError::Forked { device, sequence });
            }
            None => doubtful = doubtful.or(Some(*sequence)),
        }
    }
    let (before, fresh) = transactions.split_at(known);
    match (before.last(), doubtful) {
        (Some(end), Some(sequence)) => Err(SyncError::Forked { device: end.device, sequence }),
        _ => Ok(fresh),
    }
}

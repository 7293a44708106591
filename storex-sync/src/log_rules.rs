//! The rules of a [`SharedSyncLog`](crate::SharedSyncLog) that numbers what it holds, for those who write one on a database of their own.
//!
//! Such a log gives each transaction a *position*: 1, 2, 3 … in the order in which they become visible to readers. (Draw it under a
//! lock, or in the transaction that appends: a reader must never pass a position that is committed later.) A cursor is the position of
//! the last transaction in front of it, [`Cursor::at`]. The rules are pure: the log finds, they decide, the log writes.
//!
//! | Method of the log | Rule |
//! |---|---|
//! | [`append`](crate::SharedSyncLog::append) | [`author`], [`fresh`] |
//! | [`read`](crate::SharedSyncLog::read) | [`Cursor::position`], [`check_floor`]; a position that the log never came to is [`SyncError::LogReplaced`] |
//! | [`acknowledge`](crate::SharedSyncLog::acknowledge) | [`Cursor::position`] |
//! | [`changed`](crate::SharedSyncLog::changed) | [`check_floor`]: a reader below it has news, and so has one behind a position that the log never came to |
//! | [`trim`](crate::SharedSyncLog::trim), [`usage`](crate::Snapshots::usage) | [`known_to_all`] |
//!
//! ```
//! use storex_sync::{Device, SealedTransaction, SyncError, log_rules};
//!
//! /// The rows of a database, by position.
//! struct Rows(Vec<SealedTransaction>);
//!
//! impl Rows {
//!     fn append(&mut self, transactions: &[SealedTransaction]) -> Result<(), SyncError> {
//!         let Some(device) = log_rules::author(transactions)? else { return Ok(()) };
//!         let of_device = |row: &&SealedTransaction| row.device == device;
//!         let last = self.0.iter().rfind(of_device).map_or(0, |row| row.sequence);
//!         let held = |sequence| {
//!             let row = self.0.iter().filter(of_device).find(|row| row.sequence == sequence);
//!             row.map(|row| row.payload.as_slice())
//!         };
//!         let fresh = log_rules::fresh(transactions, last, held)?;
//!         self.0.extend_from_slice(fresh);
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), SyncError> {
//! let device = Device { id: [1; 16], incarnation: 0 };
//! let written = |sequence| SealedTransaction { device, sequence, payload: vec![7; 3] };
//! let mut rows = Rows(Vec::new());
//! rows.append(&[written(1), written(2)])?;
//! rows.append(&[written(2), written(3)])?; // the second one comes again
//! assert_eq!(rows.0.len(), 3);
//! assert!(matches!(rows.append(&[written(5)]), Err(SyncError::Gap { expected: 4, .. })));
//! # Ok(()) }
//! ```

use crate::error::{Result, SyncError};
use crate::shared_log::{Cursor, SealedTransaction};
use crate::stamp::Device;

impl Cursor {
    /// The place behind this position, in a log that numbers what it holds (see [`log_rules`](crate::log_rules)).
    #[must_use]
    pub fn at(position: u64) -> Self {
        Self(position.to_be_bytes().to_vec())
    }

    /// The position behind which it is, in a log that numbers what it holds; 0: the beginning.
    ///
    /// # Errors
    /// [`SyncError::Corrupt`] when it is of another kind of log.
    pub fn position(&self) -> Result<u64> {
        let wrong = || SyncError::corrupt("a cursor", "it is of another kind of log");
        match self.0.as_slice() {
            [] => Ok(0),
            bytes => bytes.try_into().map(u64::from_be_bytes).map_err(|_| wrong()),
        }
    }
}

/// The device of an append; `None` when there is nothing to append.
///
/// # Errors
/// [`SyncError::Protocol`] for transactions of several devices.
pub fn author(transactions: &[SealedTransaction]) -> Result<Option<Device>> {
    let device = transactions.first().map(|first| first.device);
    if transactions.iter().any(|transaction| Some(transaction.device) != device) {
        let reason = "one append holds transactions of several devices".to_owned();
        return Err(SyncError::Protocol { during: "appending to the shared log", reason });
    }
    Ok(device)
}

/// Those of the transactions of an append that the log does not have; they follow one another, and what the log has had.
///
/// `last` is the number of the last transaction that the log has had of this device, trimmed or not (0: none); `held` gives
/// the payload of one that it still holds.
///
/// # Errors
/// [`SyncError::Gap`] when a number is left out; [`SyncError::Forked`] when another transaction is there under the same number,
/// or nobody can tell: then nothing may be appended.
pub fn fresh<'a, 'b>(
    transactions: &'a [SealedTransaction],
    last: u64,
    held: impl Fn(u64) -> Option<&'b [u8]>,
) -> Result<&'a [SealedTransaction]> {
    let is_same = |it: &SealedTransaction| held(it.sequence).map(|there| there == it.payload);
    fresh_by(transactions, last, is_same)
}

/// Those at the beginning of an append that the log has had already: what has to be compared, when its last one of this device is
/// `last`. They follow one another, however large the numbers behind a hole are.
#[must_use]
pub fn repeated(transactions: &[SealedTransaction], last: u64) -> &[SealedTransaction] {
    let first = transactions.first().map_or(1, |first| first.sequence);
    let follows = |(it, expected): &(&SealedTransaction, u64)| it.sequence == *expected;
    let known = transactions.iter().zip(first..=last).take_while(follows).count();
    transactions.split_at(known).0
}

/// As [`fresh`], for a log that compares where the transactions are: `is_same` tells whether what it still holds under the number of
/// this one is the same transaction; `None`: it holds none. It is asked for those that are [`repeated`].
///
/// # Errors
/// As [`fresh`].
pub fn fresh_by(
    transactions: &[SealedTransaction],
    last: u64,
    is_same: impl Fn(&SealedTransaction) -> Option<bool>,
) -> Result<&[SealedTransaction]> {
    let first = transactions.first().map_or(1, |first| first.sequence);
    // The first one since those that were compared and are the same: from there on they may be others.
    let (mut known, mut doubtful) = (0, None);
    for (expected, transaction) in (first.clamp(1, last.saturating_add(1))..).zip(transactions) {
        let SealedTransaction { device, sequence, .. } = transaction;
        if *sequence != expected {
            return Err(SyncError::Gap { device: *device, expected, found: *sequence });
        }
        if *sequence > last {
            continue;
        }
        known += 1;
        let device = *device;
        match is_same(transaction) {
            Some(true) => doubtful = None,
            Some(false) => {
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

/// Up to which position all members know what a device wrote; `members` tells what each has acknowledged.
///
/// While there is no member it is 0, and for what the only member wrote it is [`u64::MAX`]. A trim drops the transactions of the device
/// up to there, but never its last one, nor what follows the place of the snapshot that is published.
#[must_use]
pub fn known_to_all(members: &[(Device, u64)], author: Device) -> u64 {
    let others = members.iter().filter(|(device, _)| *device != author);
    match others.map(|(_, acknowledged)| *acknowledged).min() {
        Some(least) => least,
        None if members.is_empty() => 0,
        None => u64::MAX,
    }
}

/// Refuses a reader that has missed what was trimmed; `floors` tells the last position that was trimmed of each device.
///
/// # Errors
/// [`SyncError::BelowFloor`].
pub fn check_floor(
    floors: impl IntoIterator<Item = (Device, u64)>,
    reader: Device,
    position: u64,
) -> Result<()> {
    match floors.into_iter().any(|(author, floor)| author != reader && floor > position) {
        true => Err(SyncError::BelowFloor { reader }),
        false => Ok(()),
    }
}

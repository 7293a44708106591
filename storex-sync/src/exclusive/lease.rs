//! The row `holder` of `_storex_meta`: who may sync this database, until when, and the fencing token.
//!
//! A lease as by Gray and Cheriton (1989), with a fencing token as by Kleppmann (2016): the token is checked in the
//! transactions that it protects.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storex_core::{Batch, MaybeSend, MaybeSync, Record, Runtime, Step, Timestamp};

use crate::bytes::{Reader, write_varint};
use crate::error::{During, Result, SyncError, abort};
use crate::lane::Lane;
use crate::meta::{META, meta_query, meta_row, read_meta, write_meta};

/// The name of the row.
pub(crate) const HOLDER: &str = "holder";

/// How long a lease lasts, and how often its holder renews it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long after the last renewal another may take over. All programs on one database should agree on it.
    pub lasts: Duration,
    /// How often it is renewed: a small part of `lasts`, so that a busy database does not cost the lease.
    pub renewed: Duration,
}

impl Default for LeaseTimes {
    /// Five seconds, renewed every second.
    fn default() -> Self {
        Self { lasts: Duration::from_secs(5), renewed: Duration::from_secs(1) }
    }
}

impl LeaseTimes {
    fn milliseconds(self) -> u64 {
        u64::try_from(self.lasts.as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

/// Who holds: drawn for each instance, so that two never have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HolderId([u8; 16]);

impl HolderId {
    const NOBODY: Self = Self([0; 16]);

    pub(super) fn draw(runtime: &dyn Runtime) -> Self {
        let mut id = [0; 16];
        runtime.fill_random(&mut id);
        Self(id)
    }
}

/// What a transaction of the holder's checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) holder: HolderId,
    pub(crate) token: u64,
}

impl Fence {
    /// That of whoever takes this row.
    fn next(row: Option<Row>, holder: HolderId) -> Self {
        Self { holder, token: row.map_or(1, |row| row.fence.token.saturating_add(1)) }
    }

    /// Whether the row among these is still this holder's.
    pub(crate) fn check(self, rows: &[Record]) -> Result<()> {
        match Row::among(rows)? {
            Some(row) if row.fence == self => Ok(()),
            _ => Err(SyncError::LeaseLost),
        }
    }
}

/// The row's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    fence: Fence,
    /// When the lease ends; 0: it was released, or is held by other means than a lease.
    ends: i64,
    /// How long it lasts, in milliseconds.
    lasts: u64,
}

impl Row {
    fn among(rows: &[Record]) -> Result<Option<Self>> {
        meta_row(rows, HOLDER).map(Self::decode).transpose()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "the row of who syncs");
        let holder = HolderId(reader.array()?);
        let fence = Fence { holder, token: reader.varint()? };
        Ok(Self { fence, ends: i64::from_be_bytes(reader.array()?), lasts: reader.varint()? })
    }

    fn encode(self) -> Vec<u8> {
        let mut out = self.fence.holder.0.to_vec();
        write_varint(&mut out, self.fence.token);
        out.extend(self.ends.to_be_bytes());
        write_varint(&mut out, self.lasts);
        out
    }

    fn write(self) -> Vec<Step> {
        vec![write_meta(vec![(HOLDER, self.encode())])]
    }

    /// Whether somebody else may take it. One that claims to last longer than it can was written before the wall clock
    /// was set back: nobody can tell when it ends, and the token keeps its holder from doing harm.
    fn is_free(&self, now: Timestamp) -> bool {
        let left = self.ends.saturating_sub(now.0);
        left <= 0 || left.unsigned_abs() > self.lasts
    }

    fn leased(fence: Fence, times: LeaseTimes, now: Timestamp) -> Self {
        let lasts = times.milliseconds();
        let ends = now.0.saturating_add(i64::try_from(lasts).unwrap_or(i64::MAX));
        Self { fence, ends, lasts }
    }
}

/// The token as it is now; 0: nobody has held it yet.
pub(super) async fn token(storage: &Lane) -> Result<u64> {
    storage.collection(META)?;
    let rows = storage.find(meta_query(&[HOLDER])).await.during("reading who syncs")?;
    Ok(Row::among(&rows)?.map_or(0, |row| row.fence.token))
}

/// Takes the row for a time; `None`: somebody else has it.
pub(super) async fn take(
    storage: &Lane,
    holder: HolderId,
    times: LeaseTimes,
) -> Result<Option<Fence>> {
    let runtime = Arc::clone(storage.runtime());
    decide(storage, move |row| {
        // Drawn inside the transaction: waiting for the database takes nothing from the lease.
        let now = runtime.now();
        match row {
            // Our own is one whose guard is gone, and whose release is still under way.
            Some(row) if !row.is_free(now) && row.fence.holder != holder => (None, None),
            row => {
                let fence = Fence::next(row, holder);
                (Some(fence), Some(Row::leased(fence, times, now)))
            }
        }
    })
    .await
}

/// Takes the row, for as long as something else protects it: whoever else has it does not any more.
#[cfg(any(not(target_family = "wasm"), feature = "web"))]
pub(super) async fn take_protected(storage: &Lane, holder: HolderId) -> Result<Fence> {
    decide(storage, move |row| {
        let fence = Fence::next(row, holder);
        (fence, Some(Row { fence, ends: 0, lasts: 0 }))
    })
    .await
}

/// Makes the lease last from now on. `false`: it is another's by now.
pub(super) async fn renew(storage: &Lane, fence: Fence, times: LeaseTimes) -> Result<bool> {
    let runtime = Arc::clone(storage.runtime());
    decide(storage, move |row| match row {
        Some(row) if row.fence == fence => (true, Some(Row::leased(fence, times, runtime.now()))),
        _ => (false, None),
    })
    .await
}

/// Lets others have it at once.
pub(super) async fn release(storage: &Lane, fence: Fence) -> Result<()> {
    decide(storage, move |row| match row {
        Some(row) if row.fence == fence => {
            // A renewal that is under way does not find it any more.
            let fence = Fence { holder: HolderId::NOBODY, ..fence };
            ((), Some(Row { fence, ends: 0, ..row }))
        }
        _ => ((), None),
    })
    .await
}

/// Reads the row and decides in one transaction: what to answer, and what to write.
async fn decide<T: Copy + MaybeSend + 'static>(
    storage: &Lane,
    decide: impl Fn(Option<Row>) -> (T, Option<Row>) + MaybeSend + MaybeSync + 'static,
) -> Result<T> {
    let answer = Arc::new(Mutex::new(None));
    let batch = {
        let answer = Arc::clone(&answer);
        Batch::new().step(read_meta(&[HOLDER])).then(move |trace| {
            let row = Row::among(trace.found(0)).map_err(|error| abort(&error))?;
            let (answered, write) = decide(row);
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answered);
            Ok(write.map_or_else(Vec::new, Row::write))
        })
    };
    storage.apply(batch).await.during("deciding who syncs")?;
    let answered = *answer.lock().unwrap_or_else(PoisonError::into_inner);
    answered.ok_or_else(|| SyncError::corrupt("the row of who syncs", "nothing was decided"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ends: i64, lasts: u64) -> Row {
        Row { fence: Fence { holder: HolderId([7; 16]), token: 300 }, ends, lasts }
    }

    #[test]
    fn the_row_survives_its_bytes() {
        for row in [row(0, 0), row(i64::MAX, u64::MAX), row(-5, 5000)] {
            assert_eq!(Row::decode(&row.encode()).unwrap(), row);
        }
        let whole = row(9, 5).encode();
        for end in 0..whole.len() {
            assert!(Row::decode(&whole[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn a_lease_ends_in_its_very_millisecond() {
        let now = Timestamp(10_000);
        assert!(row(10_000, 5000).is_free(now));
        assert!(!row(10_001, 5000).is_free(now));
        assert!(!row(15_000, 5000).is_free(now));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_make_a_lease_last() {
        assert!(row(15_001, 5000).is_free(Timestamp(10_000)));
        assert!(row(i64::MAX, 5000).is_free(Timestamp(i64::MIN)));
    }
}

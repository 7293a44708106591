//! Applying what other devices wrote: one transaction per page, with rows, clocks and cursor.

mod ahead;
mod bound;
mod fold;
mod former_names;
mod held;
mod image;
mod links;
mod noted;
mod orphans;
mod own;
mod page;
mod refill;
mod reject;
mod resolve;
mod retry;
mod revive;
mod row;
mod ruling;
mod scoped;
mod settle;
mod split;
mod told;
mod writing;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use storex_core::{Batch, ErrorKind, Name, Step, Timestamp};

pub(crate) use self::ahead::Decoded;
use self::bound::Bound;
pub(crate) use self::orphans::{ORPHANS, WITHHELD};
use self::page::{How, Page};
pub(crate) use self::reject::PutAside;
pub use self::reject::Refused;
use self::resolve::{IncomingTransaction, Refusal};
pub use self::ruling::{Cause, Resolution, Ruling};
use crate::error::{During, Result, SyncError};
use crate::exclusive::{Fence, Guard, HOLDER};
use crate::failure::Failure;
use crate::journal::Conflict;
use crate::lane::Lane;
use crate::log::CLOCK;
use crate::merging::Merging;
use crate::meta::{DEVICES, Devices, HEAD, Head, meta_query, read_meta};
use crate::numbers::{AllNumbers, catalogue_query, read_numbers};
use crate::parked::WaitsFor;
use crate::place::Move;
use crate::quarantine::MOST_PARKED;
use crate::rules::Rules;
use crate::scope::{BACKFILL, DOUBTS, SCOPES};
use crate::shared_log::SealedTransaction;
use crate::stamp::Hlc;

/// What applying a page of transactions has done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    /// Transactions that were applied now.
    pub transactions: u64,
    /// Their entries.
    pub entries: u64,
    /// Transactions that could not be applied and were parked. One that could be applied later in the same exchange, when
    /// what it waited for had come, is counted among the applied ones too.
    pub parked: u64,
    /// Writes of which neither had seen the other.
    pub conflicts: Vec<Conflict>,
    /// What was changed here, and is sent to all, because what several devices have written breaks a rule together.
    pub resolutions: Vec<Resolution>,
    /// Objects that this device has told anew, because another one has moved them to another scope and had not seen all of them; see
    /// [`SyncLog::scoped`](crate::SyncLog::scoped).
    pub restated: u64,
}

impl Applied {
    pub(crate) fn add(&mut self, other: Self) {
        self.transactions += other.transactions;
        self.entries += other.entries;
        self.parked += other.parked;
        self.conflicts.extend(other.conflicts);
        self.resolutions.extend(other.resolutions);
        self.restated += other.restated;
    }
}

/// A storage with a sync log, and the numbers of its collections.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub(crate) storage: Lane,
    pub(crate) numbers: Arc<AllNumbers>,
    /// How far another device's clock may be ahead.
    pub(crate) skew: Duration,
    pub(crate) rules: Arc<Rules>,
    pub(crate) merging: Arc<Merging>,
    pub(crate) most_parked: u64,
    /// Whether what is overwritten before it is sent is sent without its values.
    pub(crate) reduces: bool,
    /// Where several programs share the database: that this one may sync it.
    guard: Option<Guard>,
    /// A mistake that was planted.
    #[cfg(feature = "deliberate-faults")]
    pub(crate) fault: Option<crate::deliberate::DeliberateFault>,
}

/// Older than this program: 2026-01-01. A computer whose clock says so does not know the time (it has lost its battery, say),
/// and is no judge of others.
const PLAUSIBLE: Timestamp = Timestamp(1_767_225_600_000);

/// Devices whose clocks are a day off either way are still kept in step, and then some.
const SKEW: Duration = Duration::from_secs(7 * 24 * 3600);

impl Replica {
    pub(crate) async fn open(storage: Lane) -> Result<Self> {
        storage.collection(CLOCK)?;
        let merging = Merging::of(storage.storage());
        let rows = storage.find(catalogue_query());
        let numbers = read_numbers(rows, storage.registry(), &merging.scopes).await?;
        let rules = Arc::new(Rules::read(&storage, &numbers).await?);
        let numbers = Arc::new(numbers);
        Ok(Self {
            storage,
            numbers,
            rules,
            merging,
            most_parked: MOST_PARKED,
            reduces: true,
            skew: SKEW,
            guard: None,
            #[cfg(feature = "deliberate-faults")]
            fault: None,
        })
    }

    /// Whatever it writes is refused when another program has taken over by then.
    pub(crate) fn guarded(&self, guard: Option<&Guard>) -> Self {
        Self { guard: guard.cloned(), ..self.clone() }
    }

    /// A reading that is later than this one is not believed; `None` where the clock is no judge.
    pub(crate) fn farthest(&self) -> Option<Hlc> {
        let now = self.storage.runtime().now();
        let skew = i64::try_from(self.skew.as_millis()).unwrap_or(i64::MAX);
        (now >= PLAUSIBLE).then(|| Hlc::ZERO.next(Timestamp(now.0.saturating_add(skew))))
    }

    pub(crate) fn fence(&self) -> Option<Fence> {
        self.guard.as_ref().and_then(Guard::fence)
    }

    /// Executes steps of sync's own; refused when another program has taken over.
    pub(crate) async fn write(&self, steps: Vec<Step>, during: &'static str) -> Result<()> {
        let Some(fence) = self.fence() else {
            let batch = steps.into_iter().fold(Batch::new(), Batch::step);
            return self.storage.apply(batch).await.during(during).map(drop);
        };
        let failure = Failure::default();
        let batch = {
            let failure = failure.clone();
            let touched: Vec<Name> = steps.iter().filter_map(Step::collection).cloned().collect();
            Batch::new().step(read_meta(&[HOLDER])).touching(touched).then(move |trace| {
                failure.keep(fence.check(trace.found(0)))?;
                Ok(steps.clone())
            })
        };
        failure.or(self.storage.apply(batch).await, during).map(drop)
    }

    /// This replica as it is now, to be read from; where the database has no snapshots, as it is whenever it is read.
    pub(crate) async fn at_this_moment(&self) -> Result<Self> {
        let snapshot = self.storage.snapshot().await.during("taking a snapshot")?;
        Ok(Self { storage: snapshot.unwrap_or_else(|| self.storage.clone()), ..self.clone() })
    }

    /// This device, and where it stands.
    pub(crate) async fn head(&self) -> Result<(Head, Devices)> {
        let rows = self.storage.find(meta_query(&[HEAD, DEVICES])).await;
        let rows = rows.during("reading the head of the log")?;
        Ok((Head::among(&rows)?, Devices::among(&rows)?))
    }

    /// Applies transactions in their order, and notes the place behind them.
    ///
    /// Transactions that were applied before are passed over. What breaks a rule of the schema together with what is here is
    /// changed (see [`settle`]), or parked, as what the schema or the database refuses; the others are not held up by it.
    pub(crate) async fn apply(
        &self,
        sealed: Vec<SealedTransaction>,
        ahead: Option<Decoded>,
        cursor: Option<Move>,
    ) -> Result<Applied> {
        self.apply_claimed(&sealed).await?;
        let incoming: Arc<[IncomingTransaction]> = self.incoming(sealed, ahead).collect();
        for how in [How::Together, How::Settled] {
            match self.apply_page(Arc::clone(&incoming), cursor.clone(), how).await {
                Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => {
                    tracing::debug!(error = %source, ?how, "a page was refused");
                }
                result => return self.decided(result?).await,
            }
        }
        let applied = self.apply_singly(incoming, cursor).await?;
        self.decided(applied).await
    }

    /// Where there were conflicts, the application is asked about them.
    async fn decided(&self, applied: Applied) -> Result<Applied> {
        if !applied.conflicts.is_empty() {
            self.decide().await?;
        }
        Ok(applied)
    }

    async fn apply_singly(
        &self,
        incoming: Arc<[IncomingTransaction]>,
        cursor: Option<Move>,
    ) -> Result<Applied> {
        let mut applied = Applied::default();
        for one in &*incoming {
            match self.apply_page([one.clone()].into(), None, How::Settled).await {
                Ok(done) => applied.add(done),
                Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => {
                    // What is in its way may go; a value that no rule allows stays what it is.
                    let waits_for = match source.kind() {
                        ErrorKind::Conflict => WaitsFor::Change,
                        _ => WaitsFor::Update,
                    };
                    let refused = Some(Refusal { reason: source.to_string(), waits_for });
                    let refused = IncomingTransaction { refused, ..one.clone() };
                    applied.add(self.apply_page([refused].into(), None, How::Settled).await?);
                }
                Err(error) => return Err(error),
            }
        }
        applied.add(self.apply_page([].into(), cursor, How::Together).await?);
        Ok(applied)
    }

    async fn apply_page(
        &self,
        incoming: Arc<[IncomingTransaction]>,
        cursor: Option<Move>,
        how: How,
    ) -> Result<Applied> {
        let fence = self.fence();
        let meta: &[&str] = match fence {
            Some(_) => &[HEAD, DEVICES, SCOPES, BACKFILL, DOUBTS, HOLDER],
            None => &[HEAD, DEVICES, SCOPES, BACKFILL, DOUBTS],
        };
        let bound = Bound { now: self.storage.runtime().now(), skew: self.skew };
        let page = Arc::new(Page::new(self, incoming, cursor, how, bound, fence));
        let batch = {
            let page = Arc::clone(&page);
            Batch::new()
                .step(read_meta(meta))
                .touching(page.collections())
                .then(move |trace| Arc::clone(&page).read(trace))
        };
        let executed = self.storage.apply(batch).await;
        page.failure.or(executed, "applying transactions of other devices")?;
        let applied =
            std::mem::take(&mut *page.applied.lock().unwrap_or_else(PoisonError::into_inner));
        let conflicts = &mut *page.conflicts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Applied { conflicts: std::mem::take(conflicts), ..applied })
    }
}

/// Whether the same write would be refused again, however often it is tried.
pub(crate) fn is_about_data(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Conflict | ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Unsupported
    )
}

//! [`Sync::compact`]: keeps a shared log small, with a snapshot in place of what it drops; and beginning with that snapshot.

use crate::apply::Replica;
use crate::error::{During, Result, SyncError};
use crate::initial::{InitialSync, InitialSyncReport};
use crate::place::read_place;
use crate::scope::Holding;
use crate::shared_log::{Cursor, Member, Snapshot, SnapshotId, Snapshots, Trimmed};
use crate::snapshot::{Playing, Recording};
use crate::stamp::Device;
use crate::sync::Sync;

/// When a shared log is compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// How many transactions that all members have must have gathered for a snapshot to be worth its making. Without this
    /// 1,000.
    pub least: u64,
    /// A member that is further behind than so many transactions is dismissed once there is a snapshot, so that a device
    /// that will never come back does not keep the log growing. If it does come back, it takes the snapshot and is a member
    /// again. `None`: every member is waited for. Without this 100,000.
    pub most_behind: Option<u64>,
}

impl Default for Compaction {
    fn default() -> Self {
        Self { least: 1000, most_behind: Some(100_000) }
    }
}

/// What a compaction has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// The snapshot that was made. `None`: it was not worth it, or another device has just made one.
    pub snapshot: Option<Snapshot>,
    /// How many transactions the log has dropped.
    pub trimmed: u64,
    /// The members that were too far behind.
    pub dismissed: Vec<Device>,
}

impl Sync {
    /// Compacts the shared log: makes an exchange, puts a snapshot of this database into the log if that is worth it
    /// ([`Compaction`]), and drops what all members have and the snapshot covers. A device that comes later takes the
    /// snapshot and what follows it, and needs no other device.
    ///
    /// [`ContinuousSync`](crate::ContinuousSync) does so by itself. Several devices may at once: the snapshot that is
    /// furthest on stays. Memory is needed for a page of objects and a request ([`Limits`](crate::Limits)).
    ///
    /// Cancel-safe: a snapshot that was not finished is seen by nobody, and dropped when this device makes its next.
    ///
    /// # Errors
    /// [`SyncError::NoSnapshots`], [`SyncError::HoldsLess`], and those of [`sync_once`](Self::sync_once). Nothing is lost by it.
    pub async fn compact(&self) -> Result<Compacted> {
        self.snapshots()?;
        self.sync_once().await?;
        self.compact_in_step().await
    }

    /// Compacts after an exchange that went through: the snapshot is of the place where it ended.
    pub(crate) async fn compact_in_step(&self) -> Result<Compacted> {
        let mut compacted = Compacted::default();
        let snapshots = self.snapshots()?;
        if self.replica.merging.hooks.is_some() || self.replica.numbers.has_local() {
            // What the application keeps back or changes before it is sent would be in the snapshot as it is here, and what is local
            // here would be missing, although others exchange it.
            tracing::debug!(
                "no snapshot is made where hooks say what is sent, or fields are local"
            );
            return Ok(compacted);
        }
        let held = Holding::read(&self.replica).await?;
        if !held.lacks.nothing() {
            tracing::debug!("no snapshot is made by a device that does not hold everything");
            return Ok(compacted);
        }
        let looking = "looking at what the shared log holds";
        let mut usage = self.in_time(looking, snapshots.usage()).await?;
        let is_covered = self.in_time(looking, snapshots.published()).await?.is_some();
        if is_covered && usage.droppable >= self.compaction.least {
            // What is in front of the snapshot that there is needs no other.
            compacted.trimmed += self.trim_shared().await?;
            usage = self.in_time(looking, snapshots.usage()).await?;
        }
        let lagging = self.lagging(usage.transactions).await?;
        let is_worth_it = usage.droppable >= self.compaction.least || usage.lacks_beginning;
        if !is_worth_it && lagging.is_empty() {
            return Ok(compacted);
        }
        compacted.snapshot = self.make_snapshot(snapshots, &held).await?;
        if compacted.snapshot.is_none() {
            return Ok(compacted);
        }
        tracing::trace!(target: "storex::step", step = "compact.after_publish");
        for device in lagging {
            if self.in_time("dismissing a device", self.log.dismiss(device)).await? {
                compacted.dismissed.push(device);
            }
        }
        compacted.trimmed += self.trim_shared().await?;
        tracing::debug!(trimmed = compacted.trimmed, "the shared log was compacted");
        Ok(compacted)
    }

    /// Whether the shared log has a snapshot.
    pub(crate) async fn has_snapshot(&self) -> Result<bool> {
        let Some(snapshots) = self.log.snapshots() else { return Ok(false) };
        let published = snapshots.published();
        let looking = "looking for a snapshot in the shared log";
        Ok(self.in_time(looking, published).await?.is_some())
    }

    async fn trim_shared(&self) -> Result<u64> {
        let Trimmed { transactions } =
            self.in_time("trimming the shared log", self.log.trim()).await?;
        tracing::trace!(target: "storex::step", step = "compact.after_trim");
        Ok(transactions)
    }

    /// The members that are not waited for.
    async fn lagging(&self, transactions: u64) -> Result<Vec<Device>> {
        let most = self.compaction.most_behind.filter(|most| transactions > *most);
        let Some(most) = most else { return Ok(Vec::new()) };
        let members = self.in_time("listing the members", self.log.members()).await?;
        let lagging = members.into_iter().filter(|member| member.behind > most);
        Ok(lagging.map(|Member { device, .. }| device).collect())
    }

    /// Records an initial sync, and publishes it. `None`: another device has made a later one meanwhile.
    async fn make_snapshot(
        &self,
        snapshots: &dyn Snapshots,
        held: &Holding,
    ) -> Result<Option<Snapshot>> {
        let storage = &self.replica.storage;
        let mut number = [0; 8];
        storage.runtime().fill_random(&mut number);
        let id = SnapshotId { maker: self.device().await?, number: u64::from_be_bytes(number) };
        // Before what is recorded, which may hold more than what is in front of the place, and never less.
        let place = read_place(storage).await?.map(|place| place.cursor);
        let Some(place) = place.filter(|place| *place != Cursor::default()) else {
            return Ok(None);
        };
        let mut recording = Recording::new(self.clone(), id, self.limits.bytes);
        InitialSync::of(self.replica.clone()).record(&mut recording).await?;
        let pages = recording.finish().await?;
        // Nobody may hear of a write that a loss of power could still take back.
        storage.flush().await.during("making the database durable")?;
        // What was chosen meanwhile may have taken rows out that are in front of the place.
        held.check(&self.replica).await?;
        let snapshot = Snapshot { id, pages, place };
        let published = snapshots.publish(&snapshot);
        let is_published = self.in_time("publishing a snapshot", published).await?;
        Ok(Some(snapshot).filter(|_| is_published))
    }

    /// Takes the shared log's snapshot: what is in it merges with what is here, and its place is ours.
    pub(crate) async fn restore(
        &self,
        replica: &Replica,
        reader: Device,
    ) -> Result<InitialSyncReport> {
        let below = || SyncError::BelowFloor { reader };
        let snapshots = self.log.snapshots().ok_or_else(below)?;
        let log = read_place(&replica.storage).await?.ok_or_else(below)?.log;
        let mut tried = None;
        loop {
            let looking = "looking for a snapshot in the shared log";
            let snapshot = self.in_time(looking, snapshots.published()).await?;
            // Of one that is gone there may be a later one by now.
            let snapshot = snapshot.filter(|snapshot| tried != Some(snapshot.id));
            let snapshot = snapshot.ok_or_else(below)?;
            tried = Some(snapshot.id);
            let mut playing = Playing::new(self.clone(), snapshot, log);
            let received = InitialSync::of(replica.clone()).play(&mut playing).await;
            match (received, playing.lost()) {
                (Ok(report), _) => return Ok(report),
                (Err(_), Some(reason)) => {
                    tracing::warn!(reason, "the shared log's snapshot is of no use");
                }
                (Err(error), None) => return Err(error),
            }
        }
    }

    pub(crate) fn snapshots(&self) -> Result<&dyn Snapshots> {
        self.log.snapshots().ok_or(SyncError::NoSnapshots)
    }
}

//! [`Snapshots`]: what a shared log keeps in place of what it has dropped.

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync};

use super::Cursor;
use crate::error::Result;
use crate::stamp::Device;

/// The part of a log that keeps a *snapshot*: everything in front of a place, so that a device which lacks something that was
/// dropped takes the snapshot and reads on from its place.
///
/// What is in it is opaque to the log: numbered pages of bytes, which a device puts one by one and then publishes. Nobody
/// sees a snapshot before it is published whole. A log keeps one; a later one takes the place of an earlier one.
///
/// While there is one, [`trim`](super::SharedSyncLog::trim) drops nothing that follows its place: snapshot and tail together
/// are everything.
///
/// Every method may be dropped while it waits, and called again, as those of [`SharedSyncLog`](super::SharedSyncLog).
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait Snapshots: MaybeSend + MaybeSync {
    /// Keeps a page of a snapshot that is to be published; pages count from 0. The same page again changes nothing, and
    /// neither does a page of the snapshot that is published.
    ///
    /// A device makes one snapshot at a time: with the first page, those of another that it has begun and never published
    /// are dropped.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport), [`SyncError::Storage`](crate::SyncError::Storage).
    async fn put_page(&self, id: SnapshotId, page: u64, bytes: &[u8]) -> Result<()>;

    /// Makes a snapshot the log's, and drops the earlier ones. Tells whether it is the log's now; publishing it again tells
    /// the same.
    ///
    /// It is not when the log has a later one, when pages of it are missing, or when something that follows its place was
    /// dropped meanwhile. Its pages are dropped then.
    ///
    /// # Errors
    /// [`SyncError::Corrupt`](crate::SyncError::Corrupt) for a place of another kind of log; and those of
    /// [`put_page`](Self::put_page).
    async fn publish(&self, snapshot: &Snapshot) -> Result<bool>;

    /// The snapshot with which a device can begin; `None` when there is none, or none that is whole.
    ///
    /// # Errors
    /// See [`put_page`](Self::put_page).
    async fn published(&self) -> Result<Option<Snapshot>>;

    /// A page of a snapshot; `None` when it is gone: look for a later snapshot. It may have been damaged on its way, so
    /// whoever has written it puts a checksum in.
    ///
    /// # Errors
    /// See [`put_page`](Self::put_page).
    async fn page(&self, id: SnapshotId, page: u64) -> Result<Option<Vec<u8>>>;

    /// What the log holds, and whether a snapshot would be of use.
    ///
    /// # Errors
    /// See [`put_page`](Self::put_page).
    async fn usage(&self) -> Result<Usage>;
}

/// The name of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId {
    /// The device that makes it.
    pub maker: Device,
    /// Drawn by the maker, at random.
    pub number: u64,
}

/// A snapshot that is published, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// How many pages it has.
    pub pages: u64,
    /// Everything in front of this place is in it.
    pub place: Cursor,
}

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Transactions that it holds.
    pub transactions: u64,
    /// How many of them all members have: behind a new snapshot they could be dropped.
    pub droppable: u64,
    /// Whether it has dropped something that is in no snapshot: a new device cannot begin with what the log holds.
    pub lacks_beginning: bool,
}

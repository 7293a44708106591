//! [`SharedSyncLog`]: where the devices of one user meet.

mod backend;
mod keys;
mod memory;
#[cfg(all(feature = "object-store", not(target_family = "wasm")))]
mod objects;
mod request;
mod snapshots;

pub use backend::{BackendSharedLog, BackendSharedLogs};
pub use keys::{SEALED_KEY_LIMIT, SealedKeyName, SealedKeys};
pub use memory::MemorySharedLog;
#[cfg(all(feature = "object-store", not(target_family = "wasm")))]
pub use objects::ObjectSharedLog;
pub use request::LogRequest;
pub use snapshots::{Snapshot, SnapshotId, Snapshots, Usage};

use std::fmt;

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync};

use crate::error::Result;
use crate::stamp::Device;
use crate::writes::WriteId;

/// The log that all devices of one user write to and read from.
///
/// The **log** orders transactions, not the clocks of the devices: a cursor is a place in that order, so a device whose
/// clock is wrong misses nothing. The order may differ from reader to reader, but each device's transactions come in their
/// own.
///
/// **A log is a delivery buffer.** Its *members* are the devices that registered; [`trim`](Self::trim) drops what all of
/// them have. A device that comes to a log which has dropped something it lacks is told so
/// ([`SyncError::BelowFloor`](crate::SyncError::BelowFloor)) and gets it from the log's snapshot
/// ([`snapshots`](Self::snapshots)), or by initial sync from another device.
///
/// Every method may be dropped while it waits, and called again: what it was to do has then happened whole or not at all,
/// and doing it twice is doing it once. All may fail with [`SyncError::Transport`](crate::SyncError::Transport) or
/// [`SyncError::Storage`](crate::SyncError::Storage); nothing is lost by it. None has a time-out of its own.
///
/// An implementation of your own is tested by `shared_log_conformance!` of the crate `storex-conformance`.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait SharedSyncLog: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// Makes a device a member and tells the log's identity. A device that is one already stays as it is.
    ///
    /// # Errors
    /// See above.
    async fn register(&self, device: Device) -> Result<LogId>;

    /// Appends transactions of one device, in ascending order of their numbers, all or none. They are durable when it
    /// returns, as far as the log is.
    ///
    /// Idempotent: a transaction that is there already, with the same bytes, is passed over. Those of them that were
    /// trimmed cannot be compared, and are passed over when they come together with one that can be.
    ///
    /// # Errors
    /// [`SyncError::Forked`](crate::SyncError::Forked) when another transaction is there under the same number, or nobody
    /// can tell; [`SyncError::Gap`](crate::SyncError::Gap) when a number is left out;
    /// [`SyncError::Rejected`](crate::SyncError::Rejected) for one that the log refuses for good (never an empty one: see
    /// [`Transaction::entries`](crate::Transaction::entries));
    /// [`SyncError::Protocol`](crate::SyncError::Protocol) for transactions of several devices. Nothing was appended then.
    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()>;

    /// Reads what follows the cursor, in the log's order, without the reader's own transactions. It changes nothing, so the reader need
    /// not be a member; [`Device::NOBODY`] has written nothing, and reads everything.
    ///
    /// A page ends at `limit` bytes of payload, but holds at least one transaction when there is one. Everything in front
    /// of the page's cursor is in this page or in those before it. What cannot be given now holds up its own device at most, and
    /// is told ([`Page::missing`]).
    ///
    /// # Errors
    /// [`SyncError::BelowFloor`](crate::SyncError::BelowFloor) when a transaction of another device that follows the cursor
    /// was trimmed; [`SyncError::LogReplaced`](crate::SyncError::LogReplaced) when the log can tell that it never was
    /// where the cursor is; [`SyncError::Corrupt`](crate::SyncError::Corrupt) for a cursor of another kind of log.
    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page>;

    /// Notes that a device has durably applied everything in front of the cursor, and makes it a member if it is none. An
    /// older place than the one that is noted changes nothing.
    ///
    /// # Errors
    /// [`SyncError::Corrupt`](crate::SyncError::Corrupt) for a cursor of another kind of log.
    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()>;

    /// Acknowledges, appends and reads, in this order and as far as it is asked for. Gives the page, if one is asked for; `limit` is
    /// that of [`read`](Self::read). This is what devices call.
    ///
    /// This default does one after the other. A log that is reached over a network makes one request of it.
    ///
    /// Dropped while it waits, it has done some of its parts, and each of them whole or not at all.
    ///
    /// # Errors
    /// Those of its parts, each of which means what it means there. What is in front of the part that has failed was done, and what is
    /// behind it was not: [`SyncError::BelowFloor`](crate::SyncError::BelowFloor) says that the transactions were appended, and after
    /// [`SyncError::Forked`](crate::SyncError::Forked) or [`SyncError::Gap`](crate::SyncError::Gap) nothing was read. Where the answer is
    /// lost, nobody knows how much was done.
    async fn exchange(&self, request: &LogRequest, limit: usize) -> Result<Option<Page>> {
        let LogRequest { device, acknowledge, append, read } = request;
        if let Some(cursor) = acknowledge {
            self.acknowledge(*device, cursor).await?;
        }
        if !append.is_empty() {
            self.append(append).await?;
        }
        match read {
            Some(after) => Ok(Some(self.read(*device, after, limit).await?)),
            None => Ok(None),
        }
    }

    /// Returns when something for this reader may follow the cursor; at once when something does. It may return without
    /// news, so read and wait again.
    ///
    /// A log that has no way to tell never returns, which is what this default does: whoever waits also has a timer.
    ///
    /// # Errors
    /// [`SyncError::Corrupt`](crate::SyncError::Corrupt) for a cursor of another kind of log,
    /// [`SyncError::Closed`](crate::SyncError::Closed) when the log was closed.
    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        let _ = (reader, after);
        std::future::pending().await
    }

    /// The members, and how far each of them is, in ascending order.
    ///
    /// # Errors
    /// See above.
    async fn members(&self) -> Result<Vec<Member>>;

    /// Makes a device that will not come back no longer a member, so that it does not hold back trimming; what it wrote
    /// stays. If it does come back, it registers or acknowledges and is a member again.
    ///
    /// Tells whether it was a member. `false`: it never was, or is gone already (also with a log that was removed and made anew), and
    /// nothing was changed. Of two who dismiss it at once, both may be told that it was one.
    ///
    /// # Errors
    /// See above.
    async fn dismiss(&self, device: Device) -> Result<bool>;

    /// Gives the log another identity, if this is still the one it has: because it does not hold what it held. Everybody
    /// learns of it that way and sends again what it knows. Tells the identity that it has now.
    ///
    /// # Errors
    /// See above.
    async fn reidentify(&self, known: LogId) -> Result<LogId>;

    /// Drops transactions that all members have acknowledged. What a device wrote counts as known to it. The log
    /// remembers how far it has dropped.
    ///
    /// It keeps what a member has not acknowledged, of each device at least its last transaction (so that one which is
    /// appended again can be told from another under the same number), everything while there is no member, and what follows
    /// the place of the snapshot when there is one.
    ///
    /// # Errors
    /// See above; what was dropped before stays dropped.
    async fn trim(&self) -> Result<Trimmed>;

    /// The part of the log that keeps a snapshot. `None`, which is what this default gives: it keeps none, so whoever lacks
    /// something that was dropped needs an initial sync from another device.
    fn snapshots(&self) -> Option<&dyn Snapshots> {
        None
    }

    /// The part of the log that keeps sealed keys. `None`, which is what this default gives: it keeps none, so whoever encrypts what is in
    /// it gets the keys another way.
    fn keys(&self) -> Option<&dyn SealedKeys> {
        None
    }
}

/// The identity of a log: another one means that the log was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(pub [u8; 16]);

/// A place in a log; only the log that gave it knows what it means. Empty: the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Cursor(pub Vec<u8>);

/// What encrypted bytes begin with. In MessagePack this byte is never used, so nothing else that is put into a log begins with it.
pub(crate) const ENCRYPTED: u8 = 0xc1;

/// A transaction as a log sees it: bytes with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedTransaction {
    /// The device that wrote it.
    pub device: Device,
    /// Its number: dense per device, from 1.
    pub sequence: u64,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// What a read gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The log that it comes from.
    pub log: LogId,
    /// Transactions of other devices, in the log's order.
    pub transactions: Vec<SealedTransaction>,
    /// Where the next read begins.
    pub cursor: Cursor,
    /// Whether something follows already.
    pub more: bool,
    /// The number of the last transaction of the reader's own that the log has had, trimmed or not; 0: none. More than the
    /// reader has written says that it was cloned or restored.
    pub own: u64,
    /// What the log knows to be there and cannot give now: of each device the first. The cursor is in front of it, so it comes
    /// once it can be given. Empty where `more` says that something follows, and in a log in which nothing arrives in parts.
    pub missing: Vec<MissingWrite>,
}

/// A transaction that a log knows to be there and cannot give now: it has not arrived (whole) while later ones have, or it is
/// damaged. What its device has written behind it waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingWrite {
    /// Its name.
    pub write: WriteId,
    /// What is known of it, for people: which file is damaged, say.
    pub reason: String,
}

/// A device that a log keeps transactions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The device.
    pub device: Device,
    /// How many transactions of others the log holds that it has not acknowledged.
    pub behind: u64,
}

/// What a trim did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// How many transactions it dropped.
    pub transactions: u64,
}

//! [`SyncError`]: what can go wrong between devices.

use std::sync::Arc;
use std::time::Duration;

pub(crate) use storex_core::describe;
use storex_core::{Error, ErrorKind, Name, Source};

use crate::blobs::BlobRef;
use crate::shared_log::SealedKeyName;
use crate::stamp::Device;

/// The result of this crate's functions.
pub type Result<T, E = SyncError> = std::result::Result<T, E>;

/// What went wrong between devices. No error loses anything: what was not sent stays in the log, what was not applied
/// comes again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The device's own storage failed.
    #[error("the storage failed while {during}")]
    Storage {
        /// What was going on.
        during: &'static str,
        /// The storage's error.
        #[source]
        source: Error,
    },
    /// The storage has no sync log.
    #[error("the storage has no sync log: add the `SyncLog` middleware before it is opened")]
    NoSyncLog,
    /// The transport or the shared log failed.
    #[error("{during} failed: {reason}")]
    Transport {
        /// What was going on.
        during: &'static str,
        /// What the transport says.
        reason: String,
    },
    /// No direct connection to the other device comes about, and it knows that too. What the two were signalling over goes on: use that.
    #[error(
        "there is no direct connection to the other device: {reason}; go on over the channel that it was signalled over"
    )]
    NotDirect {
        /// What was in the way, here or there.
        reason: String,
    },
    /// The other side closed the channel before the exchange was complete.
    #[error("the other side closed the channel while {during}")]
    Closed {
        /// What was going on.
        during: &'static str,
    },
    /// Somebody sent what the protocol does not allow.
    #[error("the other side broke the protocol while {during}: {reason}")]
    Protocol {
        /// What was going on.
        during: &'static str,
        /// What it sent.
        reason: String,
    },
    /// A frame is larger than the channel takes. It was not sent; the channel goes on.
    #[error(
        "a frame of {bytes} bytes is larger than the channel takes ({limit} bytes): set a greater limit on both ends, or send smaller pages"
    )]
    FrameTooLarge {
        /// Its bytes.
        bytes: u64,
        /// The most that a frame may have.
        limit: u64,
    },
    /// A request to a server has a larger body than the server, or something in front of it, takes. Nothing was done. Transactions and
    /// pages of snapshots are sent in smaller parts by themselves.
    #[error(
        "a request of {bytes} bytes is larger than the server, or something in front of it, takes{}",
        at_most(*limit)
    )]
    BodyTooLarge {
        /// The bytes of the body, before it was compressed.
        bytes: u64,
        /// The most that it may have, where whoever has refused it says so. It may count compressed bytes.
        limit: Option<u64>,
    },
    /// The other side gave up, and says why.
    #[error("the other side gave up: {reason}")]
    Remote {
        /// The class of its error.
        kind: ErrorKind,
        /// Its reason.
        reason: String,
    },
    /// The initial sync was cancelled, here or on the other side ([`InitialSyncControl::cancel`](crate::InitialSyncControl::cancel)).
    #[error(
        "the initial sync was cancelled; what had arrived stays, and another one goes on from it"
    )]
    Cancelled,
    /// Bytes that are no transaction, clock or frame of ours.
    #[error("{what} cannot be read: {reason}")]
    Corrupt {
        /// What the bytes should have been.
        what: &'static str,
        /// Where they went wrong.
        reason: String,
    },
    /// A transaction of a device is missing between what is known and what arrived.
    #[error("transaction {found} of device {device} arrived where {expected} was expected")]
    Gap {
        /// The device that wrote it.
        device: Device,
        /// The number that would be next.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The shared log holds another transaction under this number: this database is a copy or an old backup of one that
    /// has gone on. Nothing was sent.
    #[error(
        "the shared log holds another transaction {sequence} of device {device}: this database was cloned or restored"
    )]
    Forked {
        /// The device.
        device: Device,
        /// The transaction's number.
        sequence: u64,
    },
    /// The shared log is not the one that this device synced with before.
    #[error("the shared log is another one than before: it was replaced or wiped")]
    LogReplaced,
    /// Another program syncs this database, and had not finished in time.
    #[error("another program syncs this database: it may be tried again later")]
    HeldElsewhere,
    /// Another program has taken over the syncing of this database from this one. Nothing was written.
    #[error(
        "another program has taken over the syncing of this database: acquire it again before syncing"
    )]
    LeaseLost,
    /// The file whose lock says who syncs cannot be used.
    #[error("the lock file {path} cannot be used: {reason}")]
    LockFile {
        /// Where it is.
        path: String,
        /// What the operating system says.
        reason: String,
    },
    /// The Web Lock that says who syncs cannot be asked for.
    #[error("the Web Lock {name} cannot be used: {reason}")]
    WebLock {
        /// Its name.
        name: String,
        /// What the browser says.
        reason: String,
    },
    /// The shared log no longer holds what this device lacks: everybody else had it, and it was trimmed. An exchange that is
    /// told so takes the log's snapshot and goes on; where there is none, or none of use, it fails with this. What was written
    /// here can still be sent.
    #[error(
        "device {reader} lacks transactions that the shared log no longer holds, and the log has no snapshot of use: run an initial sync from a device that is in step, which also hands over the place in the log to go on from"
    )]
    BelowFloor {
        /// The device that asked.
        reader: Device,
    },
    /// What this device holds was chosen anew ([`Sync::subscribe`](crate::Sync::subscribe)) while it told everything to another device, or
    /// put it into a snapshot; so that was perhaps not everything. Nothing is taken for complete; once more, it goes through.
    #[error("this device let go of what it does not hold any more while it was telling everything")]
    HoldsLess,
    /// The shared log keeps no snapshots.
    #[error(
        "the shared log keeps no snapshots, so a device that comes later would miss what is dropped: trim it with `SharedSyncLog::trim` if initial syncs are to bring that"
    )]
    NoSnapshots,
    /// The shared log, or the other side of an initial sync, did not answer in time.
    #[error("{during} was not answered within {} s", .after.as_secs_f64())]
    Timeout {
        /// What was going on.
        during: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The shared log asks for fewer requests.
    #[error("the shared log takes no more requests for {} s", .retry_after.as_secs_f64())]
    RateLimited {
        /// How long it wants to be left alone.
        retry_after: Duration,
    },
    /// The shared log does not know who asks, or not any more.
    #[error(
        "the shared log refuses this device: {reason}; log in, and call `ContinuousSync::logged_in`"
    )]
    Unauthorized {
        /// What it says.
        reason: String,
    },
    /// There is no connection, as far as the application has said.
    #[error("there is no connection; the exchange is made when there is one")]
    Offline,
    /// The sync log of this storage makes no such lane.
    #[error("there is no lane `{lane}`; make it with `SyncLog::lane` where the storage is opened")]
    UnknownLane {
        /// The name that was asked for.
        lane: Name,
    },
    /// The lock is not of the lane that is kept in step.
    #[error(
        "the lock is of the lane `{lock}` and sync of the lane `{lane}`: make both of the same `Lane`"
    )]
    LockOfAnotherLane {
        /// The lane that the lock is of; empty: the one without a name.
        lock: String,
        /// The lane that is kept in step.
        lane: String,
    },
    /// A lane comes to the shared log of another lane of this database, in which it would find nothing that it keeps in step. Nothing
    /// was sent.
    #[error(
        "the shared log is the one of the lane `{lane}` of this database: each lane needs a log of its own"
    )]
    LogOfAnotherLane {
        /// The lane that the log is of; empty: the one without a name.
        lane: String,
    },
    /// Sync of this database was paused.
    #[error("sync is paused; `ContinuousSync::resume` goes on with it")]
    Paused,
    /// Continuous sync was stopped.
    #[error("continuous sync was stopped")]
    Stopped,
    /// The shared log refuses a transaction for good, and says why: trying again does not help. Nothing of the request was appended. The
    /// exchange puts it aside ([`rejected`](crate::rejected())) and goes on; whoever waits for the write is told so.
    #[error("the shared log refuses transaction {sequence} of device {device}: {reason}")]
    Rejected {
        /// The device that wrote it.
        device: Device,
        /// Its number.
        sequence: u64,
        /// What the log says.
        reason: String,
        /// Whether its size is why, so that its parts may be taken one by one.
        is_too_large: bool,
    },
    /// This database knows no such write.
    #[error("transaction {sequence} of device {device} is not known to this database")]
    UnknownWrite {
        /// The device that is said to have made it.
        device: Device,
        /// Its number.
        sequence: u64,
    },
    /// So many transactions of other devices wait that no more are received.
    #[error(
        "{most} transactions of other devices are parked, and no more may be: see `storex_sync::parked` for the reasons, and retry or discard them"
    )]
    ParkingFull {
        /// How many may be parked.
        most: u64,
    },
    /// Something would be lost by signing out ([`Sync::sign_out`](crate::Sync::sign_out)). Nothing was changed.
    #[error(
        "{transactions} transactions of this device are not in the shared log, and {unlogged} objects were never logged: send them (for the objects `Sync::send_state`), or sign out with `sign_out_discarding`"
    )]
    Unsent {
        /// How many transactions could not be sent.
        transactions: u64,
        /// How many objects are older than sync; see [`Sync::unlogged`](crate::Sync::unlogged).
        unlogged: u64,
    },
    /// What was lost in a conflict cannot be put back. Nothing was changed.
    #[error("conflict {conflict} cannot be undone: {reason}")]
    CannotUndo {
        /// Its number in the journal.
        conflict: u64,
        /// Why not.
        reason: String,
    },
    /// The place where sync runs cannot be reached any more ([`RemoteSync`](crate::RemoteSync)). What was asked of it may have been
    /// done or not.
    #[error("the connection to the place where sync runs is lost: {reason}; connect again")]
    Disconnected {
        /// What happened to it.
        reason: String,
    },
    /// Sync of a tab (`TabSync`) could be started in no place that there is for it.
    #[error("sync could not be started anywhere: {reason}")]
    NotStarted {
        /// What went wrong, for each place.
        reason: String,
    },
    /// What went wrong in the place where sync runs ([`RemoteSync`](crate::RemoteSync)), where it cannot be rebuilt here with all that it
    /// held. Its class, its message and the messages of its causes are as they were; see [`SyncError::storage_error`].
    #[error("{message}")]
    Elsewhere {
        /// Its class.
        kind: ErrorKind,
        /// Whether trying again later may help without anybody doing something.
        retryable: bool,
        /// Its message.
        message: String,
        /// Its cause, if it had one.
        #[source]
        source: Option<Source>,
    },
    /// The two devices are not paired: their codes differ, one of them does not know the other, or something was changed on the
    /// way between them. Nothing was told to the other side.
    #[error("the other device was not let in, or does not let this one in: {reason}")]
    PairingRefused {
        /// What was found, and on which side.
        reason: String,
    },
    /// The pairing code lets nobody in any more: a new one has to be shown.
    #[error("the pairing code is not valid any more: {reason}; show a new one")]
    PairingCodeSpent {
        /// What became of it.
        reason: String,
    },
    /// What was typed is no pairing code. Nothing was sent.
    #[error("this is no pairing code: {reason}")]
    InvalidPairingCode {
        /// What is wrong with it.
        reason: String,
    },
    /// The shared log keeps no sealed keys ([`SharedSyncLog::keys`](crate::SharedSyncLog::keys)).
    #[error(
        "the shared log keeps no keys: make the first key on one device, and hand it over to the others by pairing"
    )]
    KeepsNoKeys,
    /// The shared log holds no key that was sealed by a passphrase: nothing in it is encrypted yet, or the keys are only handed over from
    /// device to device.
    #[error(
        "the shared log holds no key that a passphrase opens: make the first key (`EncryptedSharedLog::create`), or have another device hand over its keys"
    )]
    NoKeys,
    /// The shared log holds keys already, so no first one is made.
    #[error("the shared log is encrypted already: open it with the passphrase")]
    HasKeys,
    /// The passphrase opens none of the keys in the shared log. Nothing was sent.
    #[error("the passphrase is not the one that the shared log was encrypted with")]
    WrongPassphrase,
    /// The passphrase opens a key that is in the shared log. Whoever knows it would be able to read what comes after, too.
    #[error(
        "this passphrase was in use before: whoever is to be left out knows it; choose another"
    )]
    FormerPassphrase,
    /// Something in the shared log is encrypted with a key that this device does not have. Nothing of it was applied; it is read once the
    /// key is here.
    #[error(
        "{what} is encrypted with a key that this device does not have: the keys were changed; enter the new passphrase (`EncryptedSharedLog::unlock`), or have another device hand over its keys"
    )]
    UnknownKey {
        /// What it is, with its device and number.
        what: String,
    },
    /// Several keys have come after the one that this device uses, and neither's maker knew the other: two devices have rotated at once, or
    /// one that was left out has put in a key of its own. Nothing is sent until it is known which one counts.
    #[error(
        "the keys were changed in two ways at once, and nobody can tell which one counts: enter the new passphrase (`EncryptedSharedLog::unlock`), have another device hand over its keys (`learn`), or change them again (`rotate`)"
    )]
    RivalKeys,
    /// Something in the shared log or the blob store was not encrypted by a device that has its key: it is damaged, was forged, or was put
    /// there without encryption. Nothing of it was applied, or kept.
    #[error("{what} cannot be decrypted: {reason}")]
    NotAuthentic {
        /// What it is, with its device and number.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is another sealed key of this name in the shared log.
    #[error("the shared log holds another sealed key under the name {name}")]
    KeyExists {
        /// The name.
        name: SealedKeyName,
    },
    /// The storage has no collections for blobs.
    #[error("the storage keeps no blobs: add `Blobs::module` before it is opened")]
    NoBlobs,
    /// The blob store does not have this blob: the device that made it has not sent it yet, or it was removed.
    #[error("the blob store does not have {blob}, or not yet all of it")]
    BlobMissing {
        /// The blob.
        blob: BlobRef,
    },
    /// The blob is here only, as it was not sent yet. Nothing was deleted.
    #[error("{blob} was not sent yet, so there is no other copy of it")]
    BlobNotSent {
        /// The blob.
        blob: BlobRef,
    },
    /// So many blobs are here only, as they were not sent ([`Blobs::forget_all`](crate::Blobs::forget_all)). Nothing was deleted.
    #[error(
        "{blobs} blobs were not sent, and would be lost: send them with `Blobs::sync_once`, or forget them with `forget_all_discarding`"
    )]
    BlobsNotSent {
        /// How many, those that were given up among them.
        blobs: u64,
    },
    /// The writing of a blob was given up in the middle, or rested so long that what was written was cleared away.
    #[error("the writing of a blob was interrupted: begin it again")]
    BlobInterrupted,
    /// The exchange, or transfer of a blob, that somebody waited for failed; see [`SyncError::cause`].
    #[error(transparent)]
    Joined(Arc<Self>),
}

impl SyncError {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage { source, .. } => source.kind(),
            Self::NoSyncLog
            | Self::NoBlobs
            | Self::FrameTooLarge { .. }
            | Self::BodyTooLarge { .. }
            | Self::InvalidPairingCode { .. }
            | Self::UnknownLane { .. }
            | Self::LockOfAnotherLane { .. }
            | Self::LogOfAnotherLane { .. } => ErrorKind::Invalid,
            Self::NoSnapshots | Self::KeepsNoKeys => ErrorKind::Unsupported,
            Self::WrongPassphrase | Self::FormerPassphrase => ErrorKind::Invalid,
            Self::NotAuthentic { .. } => ErrorKind::Corrupt,
            Self::HasKeys | Self::RivalKeys | Self::KeyExists { .. } => ErrorKind::Conflict,
            Self::Transport { .. }
            | Self::NotDirect { .. }
            | Self::LockFile { .. }
            | Self::WebLock { .. } => ErrorKind::Io,
            Self::HeldElsewhere | Self::LeaseLost => ErrorKind::Busy,
            Self::Closed { .. } => ErrorKind::Closed,
            Self::Protocol { .. } => ErrorKind::Other,
            Self::Remote { kind, .. } => *kind,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Gap { .. }
            | Self::Forked { .. }
            | Self::LogReplaced
            | Self::CannotUndo { .. }
            | Self::HoldsLess
            | Self::BlobNotSent { .. }
            | Self::BlobsNotSent { .. }
            | Self::BlobInterrupted
            | Self::Unsent { .. }
            | Self::BelowFloor { .. } => ErrorKind::Conflict,
            Self::Timeout { .. } => ErrorKind::Io,
            Self::RateLimited { .. } | Self::Offline | Self::Paused => ErrorKind::Busy,
            Self::Unauthorized { .. }
            | Self::NotStarted { .. }
            | Self::PairingRefused { .. }
            | Self::PairingCodeSpent { .. } => ErrorKind::Other,
            Self::Stopped | Self::Cancelled | Self::Disconnected { .. } => ErrorKind::Closed,
            Self::Elsewhere { kind, .. } => *kind,
            Self::Rejected { .. } => ErrorKind::Other,
            Self::UnknownWrite { .. }
            | Self::BlobMissing { .. }
            | Self::NoKeys
            | Self::UnknownKey { .. } => ErrorKind::NotFound,
            Self::ParkingFull { .. } => ErrorKind::Full,
            Self::Joined(error) => error.kind(),
        }
    }

    /// Whether trying again later may help without anybody doing something.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Storage { source, .. } => source.is_retryable(),
            Self::Transport { .. }
            | Self::Closed { .. }
            | Self::HeldElsewhere
            | Self::Gap { .. }
            | Self::HoldsLess
            | Self::Timeout { .. }
            | Self::RateLimited { .. }
            | Self::Offline
            | Self::BlobMissing { .. }
            | Self::BlobNotSent { .. }
            | Self::Disconnected { .. } => true,
            Self::Remote { kind, .. } => {
                use ErrorKind::{Busy, Closed, Conflict, Full, Io};
                matches!(kind, Busy | Closed | Conflict | Full | Io)
            }
            Self::Elsewhere { retryable, .. } => *retryable,
            Self::Joined(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// The error itself, where several share one.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::Joined(error) => error.cause(),
            error => error,
        }
    }

    /// The error of the storage that sync works on, if it is that which failed, here or in the place where sync runs. Not of
    /// a failure of the database itself that happened there: of that there is class and message.
    ///
    /// ```
    /// use storex_core::Error;
    /// use storex_sync::SyncError;
    ///
    /// let error = SyncError::Storage { during: "undoing a conflict", source: Error::Closed };
    /// assert!(matches!(error.storage_error(), Some(Error::Closed)));
    /// ```
    #[must_use]
    pub fn storage_error(&self) -> Option<&Error> {
        match self.cause() {
            Self::Storage { source, .. } => Some(source),
            Self::Elsewhere { source: Some(source), .. } => source.downcast_ref(),
            _ => None,
        }
    }

    pub(crate) fn corrupt(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Corrupt { what, reason: reason.into() }
    }
}

/// What follows the number of bytes of something that is too large.
pub(crate) fn at_most(limit: Option<u64>) -> String {
    limit.map(|limit| format!(" ({limit} bytes)")).unwrap_or_default()
}

/// Says what was going on when the storage failed.
pub(crate) trait During<T> {
    fn during(self, during: &'static str) -> Result<T>;
}

impl<T> During<T> for storex_core::Result<T> {
    fn during(self, during: &'static str) -> Result<T> {
        self.map_err(|source| SyncError::Storage { during, source })
    }
}

/// Inside a continuation only the storage's error may travel: gives the batch up, with the reason.
pub(crate) fn abort(error: &SyncError) -> Error {
    Error::Aborted { reason: describe(error) }
}

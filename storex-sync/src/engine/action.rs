//! [`Action`] and [`Outcome`]: the steps of an exchange, as data.

use crate::apply::{Applied, Refused};
use crate::initial::InitialSyncReport;
use crate::place::{Move, Place};
use crate::rejected::Rejected;
use crate::renewal::Renewal;
use crate::scope::Rescoped;
use crate::shared_log::{LogId, LogRequest, MissingWrite, Page, SealedTransaction};
use crate::stamp::Device;

/// One step of an exchange. Between any two of them the program may be killed: the next exchange begins anew, what was sent
/// is passed over by the log, and what was received and not committed is received again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read who this device is and where it is in the shared log: [`Outcome::Place`].
    ReadPlace,
    /// Make the device known to the shared log: [`Outcome::Registered`].
    Register(Device),
    /// Note where this device is in the shared log, the first time: [`Outcome::PlaceSaved`].
    SavePlace(Place),
    /// Read the first transactions of this device that are to be sent: [`Outcome::Outbox`].
    ReadOutbox(Device),
    /// Make everything that was written so far safe from a loss of power: [`Outcome::Durable`].
    Flush,
    /// Ask the shared log for this: [`Outcome::Exchanged`].
    Exchange(LogRequest),
    /// Drop from this device's log what the shared log has, up to this number: [`Outcome::Trimmed`].
    Trim(Device, u64),
    /// Apply transactions, and note the place behind them, in one transaction: [`Outcome::Applied`].
    Apply(Vec<SealedTransaction>, Move),
    /// Take the shared log's snapshot: [`Outcome::Restored`].
    Restore(Device),
    /// Give the log another identity, because it does not hold what it held: [`Outcome::Registered`].
    Reidentify(LogId),
    /// Begin a new incarnation of the device: [`Outcome::Renewed`].
    Renew(Device, Renewal),
    /// Put aside what the shared log refuses for good, and take it back: [`Outcome::PutAside`].
    PutAside(Refused),
    /// Log the next page of the state, where it is to be sent again: [`Outcome::StateLogged`].
    LogState,
    /// Try again what is parked: [`Outcome::Retried`].
    RetryParked(Retry),
    /// Bring what scopes that were added hold, and let go of what this device is not to hold, unless the shared log knows of something
    /// that it cannot give now: [`Outcome::Rescoped`].
    Rescope {
        /// What the shared log could not give in this exchange.
        missing: Vec<MissingWrite>,
    },
}

/// Which parked transactions are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// All: the program may be another one than before.
    All,
    /// Those that wait for other data, or for their time.
    WaitingForChange,
}

/// What came of an [`Action`].
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Of [`Action::ReadPlace`].
    Place {
        /// This device.
        device: Device,
        /// The number behind the last transaction that it has sent for certain.
        sent_to: u64,
        /// Where it is in the shared log, if it was ever in touch with one.
        place: Option<Place>,
        /// Whether no exchange went through yet since sync was opened.
        first: bool,
        /// Whether this device has stamped writes far ahead of what its clock says now.
        ahead: bool,
        /// Whether the log may not have been told of the place.
        untold: bool,
        /// Whether this device holds some scopes only, or has to bring some or to let go of some.
        scoped: bool,
    },
    /// Of [`Action::Register`] and [`Action::Reidentify`]: the log's identity.
    Registered(LogId),
    /// Of [`Action::SavePlace`].
    PlaceSaved,
    /// Of [`Action::ReadOutbox`].
    Outbox(Outbox),
    /// Of [`Action::Flush`].
    Durable,
    /// Of [`Action::Exchange`]: what follows the place, if that was asked for.
    Exchanged(Option<Page>),
    /// Of [`Action::Exchange`]: the log holds another transaction of this device under this number, or more of them than it was
    /// given. Nothing was appended or read.
    Forked(u64),
    /// Of [`Action::Exchange`]: the log refuses this transaction for good. Nothing was appended or read.
    Refused(Refused),
    /// Of [`Action::PutAside`]: what was put aside.
    PutAside(Vec<Rejected>),
    /// Of [`Action::Exchange`]: the log is another one than before, or does not hold what it held.
    LogReplaced,
    /// Of [`Action::Renew`]: the new incarnation; `None` when there was no reason any more. Of [`Action::ReadOutbox`] and
    /// [`Action::Trim`]: another program has begun it meanwhile.
    Renewed(Option<Device>),
    /// Of [`Action::LogState`].
    StateLogged,
    /// Of [`Action::Trim`].
    Trimmed,
    /// Of [`Action::Exchange`]: what follows the place is gone, and the place was given up. Nothing was read.
    BelowFloor,
    /// Of [`Action::Restore`]: the place is the snapshot's now.
    Restored(InitialSyncReport),
    /// Of [`Action::Apply`].
    Applied(Applied),
    /// Of [`Action::Apply`]: nothing was applied, because something is missing in front of the page.
    Missed {
        /// Whose transaction.
        device: Device,
        /// Its number.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// Of [`Action::RetryParked`].
    Retried(Applied),
    /// Of [`Action::Rescope`].
    Rescoped(Rescoped),
}

/// The first transactions that are to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbox {
    /// In ascending order, as many as a request carries.
    pub transactions: Vec<SealedTransaction>,
    /// Their entries.
    pub entries: u64,
    /// Whether more may follow.
    pub more: bool,
    /// The number of the next transaction that is written, or less. With no transactions to be sent, the log has all before it.
    pub next: u64,
    /// Whether some of the state is still to be logged.
    pub state: bool,
}

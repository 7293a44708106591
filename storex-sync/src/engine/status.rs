//! [`SyncStatus`]: what continuous sync is doing, and [`SyncEvent`]: what has happened.

use std::sync::Arc;

use storex_core::Timestamp;

use crate::compact::Compacted;
use crate::error::SyncError;
use crate::report::SyncReport;
use crate::shared_log::MissingWrite;

/// What continuous sync is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncStatus {
    /// What it is doing now.
    pub phase: Phase,
    /// Whether everything that was written here is in the shared log, and everything that the shared log held when it was
    /// last read is here (or parked). Not while there is no connection, after a failure, before the first exchange, or while
    /// something is `missing`.
    pub in_step: bool,
    /// Exchanges that went through since the start.
    pub rounds: u64,
    /// Exchanges that failed since the last one that went through.
    pub failures: u32,
    /// Transactions that are still to be sent, as of the last look.
    pub unsent: u64,
    /// Transactions of others that wait for something, as of the last look.
    pub parked: u64,
    /// When the last exchange went through; remembered over restarts (exactly to a minute while there is nothing to do). With
    /// something `missing` it has not brought everything.
    pub last_success: Option<Timestamp>,
    /// Why the last exchange failed; `None` when it went through. Remembered over restarts.
    pub last_error: Option<String>,
    /// When it failed.
    pub last_error_at: Option<Timestamp>,
    /// When the next exchange is made, if nothing makes one earlier; by the wall clock.
    pub next_attempt: Option<Timestamp>,
    /// How far the exchange has come that is under way; `None` between exchanges.
    pub progress: Option<ExchangeProgress>,
    /// Own transactions that the shared log has refused for good, as of the last look; see [`rejected`](crate::rejected()).
    pub rejected: u64,
    /// What the shared log knows of and could not give at the last reading, of each device the first transaction: a file that has
    /// not arrived (whole) or is damaged, say. It is looked for in each exchange. Remembered over restarts.
    pub missing: Vec<MissingWrite>,
    /// Since when something has been missing, without a break.
    pub missing_since: Option<Timestamp>,
}

/// How far an exchange has come. Its numbers only grow while it lasts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExchangeProgress {
    /// Transactions that the shared log has taken.
    pub sent: u64,
    /// Transactions that are sent in all, as far as is known: those that were written before it began, or more.
    pub to_send: u64,
    /// Transactions of others that were applied or parked. How many there are in all a shared log does not tell.
    pub received: u64,
}

/// What continuous sync is doing now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting for the next exchange.
    #[default]
    Waiting,
    /// Sending what was written here.
    Sending,
    /// Receiving and applying what others wrote.
    Receiving,
    /// Waiting for a connection.
    Offline,
    /// Paused, until somebody resumes it.
    Paused,
    /// Waiting for a login.
    NeedsLogin,
    /// Waiting after a failure, or because the shared log has asked for it.
    BackingOff {
        /// When it is tried again, by the wall clock.
        until: Timestamp,
    },
    /// Another program syncs this database ([`Exclusive`](crate::Exclusive)); this one takes over when that one is gone. Or this one sleeps
    /// ([`ContinuousSyncBuilder::awake`](crate::ContinuousSyncBuilder::awake)), so that another may sync it.
    StandingBy,
    /// It was stopped.
    Stopped,
    /// Sync runs in another place, which cannot be reached any more ([`RemoteSync`](crate::RemoteSync)): what it is doing is not
    /// known here. The rest of the status is what was last known.
    Disconnected,
}

/// What has happened. Told to everybody who listens; one that is slow or gone disturbs nobody.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SyncEvent {
    /// An exchange went through. Its conflicts are in the report.
    Exchanged(Arc<SyncReport>),
    /// The shared log was compacted, after an exchange.
    Compacted(Arc<Compacted>),
    /// An exchange failed. Not told of the first failures in a row that may pass ([`Backoff`](super::Backoff)).
    Failed {
        /// Why.
        error: Arc<SyncError>,
        /// How many have failed in a row.
        attempts: u32,
    },
}

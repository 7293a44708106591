//! [`Limits`] of requests and the [`SyncReport`] of an exchange.

use crate::apply::Applied;
use crate::initial::InitialSyncReport;
use crate::rejected::Rejected;
use crate::scope::Backfill;
use crate::shared_log::MissingWrite;
use crate::stamp::Device;

/// How much one request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of payload per request; one transaction is sent even if it is larger.
    pub bytes: usize,
    /// Transactions per request.
    pub transactions: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 20, transactions: 1000 }
    }
}

/// What one exchange has done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SyncReport {
    /// Transactions sent.
    pub sent_transactions: u64,
    /// Their entries.
    pub sent_entries: u64,
    /// What was received.
    pub received: Applied,
    /// Who this device is now, when it began a new incarnation: the database had been cloned or restored, or the shared log
    /// was another one than before.
    pub incarnation: Option<Device>,
    /// What the shared log's snapshot held, where this device lacked what the log had dropped.
    pub restored: Option<InitialSyncReport>,
    /// Transactions that the shared log has refused for good; they are kept, see [`rejected`](crate::rejected()).
    pub rejected: Vec<Rejected>,
    /// Where objects of scopes that were added were still to be brought ([`Sync::subscribe`](crate::Sync::subscribe)): whether they are
    /// here now.
    pub backfill: Option<Backfill>,
    /// What the shared log knows of and could not give: of each device the first transaction. It comes when it is there. Empty:
    /// everything that the shared log held is here (or parked), where the exchange was to receive.
    pub missing: Vec<MissingWrite>,
}

impl SyncReport {
    /// Whether anything was sent or received.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sent_transactions == 0
            && self.received.transactions == 0
            && self.received.parked == 0
            && self.incarnation.is_none()
            && self.restored.is_none()
            && self.rejected.is_empty()
            && self.backfill != Some(Backfill::Complete)
    }
}

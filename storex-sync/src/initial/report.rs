//! [`InitialSyncReport`]: what an initial sync has done.

use storex_core::Name;

/// What an initial sync has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitialSyncReport {
    /// Objects per collection, in the order of the schema.
    pub objects: Vec<(Name, u64)>,
    /// Deleted objects that were told about.
    pub tombstones: u64,
    /// Objects that were newer on the receiver and stayed. Zero on the sender.
    pub kept: u64,
    /// Objects that were parked: they break a rule of the schema together with what is here, the application refuses them, or this
    /// program does not know them ([`Missing::Park`](crate::Missing::Park)). The rules of the merge may have let them in since. Zero on the
    /// sender.
    pub parked: u64,
}

impl InitialSyncReport {
    /// All objects.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.objects.iter().map(|(_, count)| count).sum()
    }
}

/// What an initial sync [both ways](crate::InitialSync::both_ways) has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BothWaysReport {
    /// What was sent.
    pub sent: InitialSyncReport,
    /// What was received.
    pub received: InitialSyncReport,
}

//! What pairing tells while it goes on.

use storex_core::{MaybeSend, MaybeSync};
use storex_sync::{InitialSync, InitialSyncEvent};

use crate::error::Result;
use crate::notes::Notes;

/// What pairing tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PairingEvent {
    /// This is to be typed on the other device (`4821-7KMD-2XQP`). Told again, with another room, when somebody else was in the first.
    Code(String),
    /// Somebody came, and was not let in; why.
    Refused(String),
    /// The other device is there, and the keys are with both.
    Paired,
    /// So many notes are through, of so many.
    Progress {
        /// Notes that are through.
        done: u64,
        /// Notes in all.
        total: u64,
    },
}

/// Whoever is told.
pub(crate) trait Tell: Fn(PairingEvent) + MaybeSend + MaybeSync + 'static {}
impl<F: Fn(PairingEvent) + MaybeSend + MaybeSync + 'static> Tell for F {}

impl Notes {
    /// An initial sync that tells how far it is.
    pub(crate) async fn initial_sync(&self, tell: impl Tell) -> Result<InitialSync> {
        let sync = InitialSync::open(self.storage()).await?;
        Ok(sync.on_event(move |event| {
            if let InitialSyncEvent::Progress { done, total, .. } = event {
                tell(PairingEvent::Progress { done: *done, total: *total });
            }
        }))
    }
}

//! Scopes: a device holds some objects of a collection, and the others do not concern it.
//!
//! ```text
//!   SyncLog::scoped("note", "notebook")           the field that says where an object belongs: the same on all devices
//!   Sync::subscribe("note", Scope::only([..]))    what this device holds: a row of `_storex_meta`, read by whatever applies
//!
//!   arrives, and is not here:   created outside ─▶ passed over      changed ─▶ passed over, or parked until its author's past is here
//!                               moved in ─▶ created: the transaction that moves an object has all of it
//!   is here:                    moved out ─▶ merged, and swept at the end of an exchange, when nothing of it is to be sent
//!   scope added ─▶ backfill: the log (or its snapshot) is read again     scope dropped ─▶ swept
//! ```
//!
//! **Why a device has all of what it holds.** What it passed over before an object was moved in, the mover has sent with the move, as far
//! as it had seen it. What it had not seen, somebody else has: whoever applies a move finds out, and tells the object anew
//! ([`Applied::restated`](crate::Applied::restated)); so does the mover itself when it hears of a write that had not seen its move.
//! That an object was deleted is noted in any case.
//!
//! What goes leaves a [`Marker`], so that own increments are not forgotten, and nobody who is behind brings it back as it was.
//!
//! What it says it has seen is no proof, as it may have passed over some of it: the whole object is compared with what is here.
//!
//! What was passed over although something of its author's past was not heard is noted as [`Doubts`]; see there.
//!
//! Decision 26 says more, and what is not done yet.

mod backfill;
mod doubts;
mod fields;
mod holding;
mod leaving;
mod marker;
mod moved;
mod subscribe;
mod subscriptions;
mod unshared;

pub(crate) use backfill::{BACKFILL, Pending, is_filled};
pub(crate) use doubts::{DOUBTS, Doubts, has_heard};
pub(crate) use fields::ScopeFields;
pub(crate) use holding::{Holding, SWEPT};
use leaving::Going;
pub(crate) use leaving::{LEAVING, leave};
pub(crate) use marker::{Marker, is_marker};
pub(crate) use moved::Moved;
pub use subscribe::{Backfill, Scope};
pub(crate) use subscriptions::{SCOPES, Subscriptions};

use storex_core::Record;

use crate::apply::{Applied, Replica};
use crate::error::Result;
use crate::meta::{Numbers, meta_row};
use crate::shared_log::MissingWrite;
use crate::sync::Sync;

/// What came of bringing the rows in line with what this device holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rescoped {
    /// What the rules of the merge have changed meanwhile.
    pub applied: Applied,
    /// Where something was to be brought: whether it is here now.
    pub backfill: Option<Backfill>,
    /// Whether the state is to be sent before anything goes, because what is here may be in no log.
    pub hands_over: bool,
}

impl Sync {
    /// Brings what scopes that were added hold, and lets go of what this device is not to hold.
    /// `missing`: what the shared log could not give in this exchange.
    pub(crate) async fn rescope(
        &self,
        replica: &Replica,
        missing: &[MissingWrite],
    ) -> Result<Rescoped> {
        let mut rescoped = self.fill(replica).await?;
        let going = replica.going().await?;
        if going == Going::BehindTheState {
            rescoped.hands_over = replica.hand_over().await?;
        }
        // What is handed over goes behind it.
        if going == Going::Nothing || rescoped.hands_over {
            return Ok(rescoped);
        }
        if self.gives_back(replica, missing).await? {
            replica.let_go().await?;
        } else {
            tracing::warn!(
                "nothing goes, as the shared log could not give it back: it has dropped its beginning, or lacks something"
            );
        }
        Ok(rescoped)
    }
}

/// The rows of which one is there where this device holds a part, or has to bring some or to let go of some.
pub(crate) const SCOPED: [&str; 3] = [SCOPES, BACKFILL, LEAVING];

impl Replica {
    /// Whether an exchange has to look at what this device is to hold: one of the rows [`SCOPED`] is there.
    pub(crate) fn is_scoped(&self, meta: &[Record]) -> bool {
        !self.merging.scopes.is_empty() && SCOPED.iter().any(|it| meta_row(meta, it).is_some())
    }

    /// What of scopes that were added is still to be brought.
    pub(crate) async fn pending(&self) -> Result<Option<Pending>> {
        match self.merging.scopes.is_empty() {
            true => Ok(None),
            false => Pending::read(&self.storage).await,
        }
    }
}

/// Of which collections a device lacks objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lacks {
    pub(crate) subscriptions: Subscriptions,
    /// Whether something is still to be brought.
    pub(crate) fills: bool,
    /// What may still come that makes it read the log again.
    pub(crate) doubts: Doubts,
}

impl Lacks {
    pub(crate) fn among(meta: &[Record]) -> Result<Self> {
        let fills = meta_row(meta, BACKFILL).is_some();
        let doubts = Doubts::among(meta)?;
        Ok(Self { subscriptions: Subscriptions::among(meta)?, fills, doubts })
    }

    pub(crate) fn nothing(&self) -> bool {
        !self.is_unsure() && self.subscriptions.are_whole()
    }

    /// Whether some of a collection may be missing.
    pub(crate) fn some_of(&self, numbers: &Numbers) -> bool {
        numbers.scope.is_some()
            && (self.is_unsure() || self.subscriptions.is_part(numbers.collection))
    }

    pub(crate) fn is_unsure(&self) -> bool {
        self.fills || !self.doubts.is_empty()
    }
}

//! What is here may be in no log: an initial sync has brought it from a device that was not in touch with this one's log.
//!
//! Such objects do not go before the log has them: the state is sent first, once. It costs as much as what is held, and only where something
//! is to go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use storex_core::{Batch, Filter, Step};

use crate::apply::Replica;
use crate::error::Result;
use crate::exclusive::HOLDER;
use crate::failure::Failure;
use crate::meta::{META, fresh_mark, meta_row, read_meta, write_meta};
use crate::place::Place;
use crate::state::{PROGRESS, Progress};

/// The row that is there when it may be so.
pub(crate) const UNSHARED: &str = "unshared";

impl Replica {
    /// The row that says so behind an initial sync; `None`: the sender was in touch with the log of this device, or there are no scopes.
    pub(crate) fn unshared(
        &self,
        own: Option<&Place>,
        sender: Option<&Place>,
    ) -> Option<(&'static str, Vec<u8>)> {
        let is_same = sender.is_some_and(|sender| own.is_none_or(|own| own.log == sender.log));
        let is_needed = !is_same && !self.merging.scopes.is_empty();
        is_needed.then(|| (UNSHARED, fresh_mark(&**self.storage.runtime())))
    }

    /// Begins to send the state if something is here that may be in no log; whether it has.
    pub(super) async fn hand_over(&self) -> Result<bool> {
        let (fence, failure) = (self.fence(), Failure::default());
        let (kept, begins) = (failure.clone(), Arc::new(AtomicBool::new(false)));
        let begun = Arc::clone(&begins);
        let batch =
            Batch::new().step(read_meta(&[UNSHARED, PROGRESS, HOLDER])).then(move |trace| {
                let meta = trace.found(0);
                kept.keep(fence.map_or(Ok(()), |fence| fence.check(meta)))?;
                let is_due = meta_row(meta, UNSHARED).is_some();
                begins.store(is_due, Ordering::Relaxed);
                if !is_due {
                    return Ok(Vec::new());
                }
                // One that is under way begins anew: it may be past what has come.
                let state = kept.keep(Progress::again(meta_row(meta, PROGRESS), None))?;
                let filter = Filter::key(UNSHARED);
                let done = Step::Delete { collection: META.into(), filter };
                Ok(vec![write_meta(vec![(PROGRESS, state.encode())]), done])
            });
        let executed = self.storage.apply(batch).await;
        failure.or(executed, "sending what may be in no log before it goes")?;
        Ok(begun.load(Ordering::Relaxed))
    }
}

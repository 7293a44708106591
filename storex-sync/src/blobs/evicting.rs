//! [`Blobs::evict`](super::Blobs::evict): deletes what the store has too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Inner;
use super::reference::BlobRef;
use super::rows::{BlobRow, State};
use crate::error::{Result, SyncError};

pub(super) async fn evict(inner: &Inner, blob: &BlobRef) -> Result<()> {
    let Some(known) = inner.local.row(blob).await?.filter(|row| row.whole) else { return Ok(()) };
    // That it was sent once says nothing: another device may have removed it.
    let is_in_store = known.state == State::Kept && inner.is_in_store(blob).await?;
    let (is_refused, contents) = (Arc::new(AtomicBool::new(false)), known.contents);
    let (refused, now) = (Arc::clone(&is_refused), inner.local.now());
    let evicted = move |row: Option<BlobRow>| {
        let whole = row.filter(|row| row.whole);
        // What was written anew meanwhile was not asked for.
        let kept = |row: &BlobRow| row.state == State::Kept && row.contents == contents;
        let may_go = is_in_store && whole.as_ref().is_some_and(kept);
        refused.store(whole.is_some() && !may_go, Ordering::Relaxed);
        match whole {
            Some(row) if may_go => vec![row.loosen(), row.delete()],
            Some(row) if kept(&row) => vec![row.unsent(now).write()],
            _ => Vec::new(),
        }
    };
    inner.local.change(blob, evicted).await?;
    if is_refused.load(Ordering::Relaxed) {
        inner.changed().await;
        return Err(SyncError::BlobNotSent { blob: *blob });
    }
    inner.local.clear().await
}

//! [`Guard`]: that this instance may sync, for as long as any of its clones lives.

#[cfg(not(target_family = "wasm"))]
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use storex_core::{Runtime, Timestamp};
use tokio::sync::watch;

use super::lease::{self, Fence, LeaseTimes};
#[cfg(all(target_family = "wasm", feature = "web"))]
use super::web_lock::{Ended, WebLock};
use crate::error::Result;
use crate::lane::Lane;

/// Holds what [`Exclusive`](super::Exclusive) gave. Clones hold it together; it is released with the last one.
///
/// Dropping the last one releases a lease in a task of its own; [`Guard::release`] waits until it is done.
#[derive(Debug, Clone)]
pub struct Guard {
    held: Arc<Held>,
}

/// One holding.
#[derive(Debug)]
pub(super) struct Held {
    fence: Option<Fence>,
    means: Means,
    dirty: AtomicBool,
    lost: watch::Sender<bool>,
}

#[derive(Debug)]
enum Means {
    SingleProcess,
    Lease(Lane),
    /// Closing the file releases the lock.
    #[cfg(not(target_family = "wasm"))]
    File(#[allow(dead_code)] File),
    /// Dropping it releases it, and the browser says when that is done.
    #[cfg(all(target_family = "wasm", feature = "web"))]
    WebLock(WebLock, Ended),
}

impl Guard {
    pub(super) fn of(held: Arc<Held>) -> Self {
        Self { held }
    }

    /// The fencing token: grows whenever it changes hands. `None` in a program that has the database to itself.
    #[must_use]
    pub fn token(&self) -> Option<u64> {
        self.held.token()
    }

    /// Whether somebody else has held it since this instance did (or was made): what is kept in memory of the database
    /// is to be read again. Stays so until [`Guard::clear_dirty`].
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.held.dirty.load(Ordering::SeqCst)
    }

    /// Says that what was kept in memory was read again.
    pub fn clear_dirty(&self) {
        self.held.dirty.store(false, Ordering::SeqCst);
    }

    /// Whether another has taken over.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.held.is_lost()
    }

    /// Completes when another has taken over. Cancel-safe.
    pub async fn lost(&self) {
        let mut lost = self.held.lost.subscribe();
        // The sender lives as long as this guard.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// Gives this guard up; if it was the last one, others can have it when this returns.
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage): a lease ends by itself then.
    pub async fn release(self) -> Result<()> {
        match Arc::into_inner(self.held) {
            Some(held) => held.release().await,
            None => Ok(()),
        }
    }

    pub(crate) fn fence(&self) -> Option<Fence> {
        self.held.fence
    }
}

impl Held {
    fn new(fence: Option<Fence>, means: Means) -> Self {
        Self { fence, means, dirty: AtomicBool::new(false), lost: watch::Sender::new(false) }
    }

    pub(super) fn single_process() -> Arc<Self> {
        Arc::new(Self::new(None, Means::SingleProcess))
    }

    #[cfg(not(target_family = "wasm"))]
    pub(super) fn file(fence: Fence, file: File) -> Arc<Self> {
        Arc::new(Self::new(Some(fence), Means::File(file)))
    }

    /// A lock of the browser's, which another may steal.
    #[cfg(all(target_family = "wasm", feature = "web"))]
    pub(super) fn web_lock(
        runtime: &dyn Runtime,
        fence: Fence,
        lock: WebLock,
        ended: Ended,
    ) -> Arc<Self> {
        let held = Arc::new(Self::new(Some(fence), Means::WebLock(lock, ended.clone())));
        let weak = Arc::downgrade(&held);
        runtime.spawn(Box::pin(async move {
            if ended.was_stolen().await {
                lose(&weak);
            }
        }));
        held
    }

    /// A lease, which is renewed for as long as it is held.
    pub(super) fn lease(storage: &Lane, fence: Fence, times: LeaseTimes) -> Arc<Self> {
        let held = Arc::new(Self::new(Some(fence), Means::Lease(storage.clone())));
        let runtime = Arc::clone(storage.runtime());
        let task = renew(Arc::downgrade(&held), storage.clone(), fence, times);
        runtime.spawn(Box::pin(task));
        held
    }

    pub(super) fn token(&self) -> Option<u64> {
        self.fence.map(|fence| fence.token)
    }

    pub(super) fn mark_dirty(&self) {
        self.dirty.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    fn lose(&self) {
        tracing::warn!(token = ?self.token(), "another has taken over; this instance syncs no more");
        self.lost.send_replace(true);
    }

    async fn release(mut self) -> Result<()> {
        match (std::mem::replace(&mut self.means, Means::SingleProcess), self.fence) {
            (Means::Lease(storage), Some(fence)) if !self.is_lost() => {
                lease::release(&storage, fence).await
            }
            #[cfg(all(target_family = "wasm", feature = "web"))]
            (Means::WebLock(lock, ended), _) => {
                drop(lock);
                ended.was_stolen().await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (Means::Lease(storage), Some(fence)) = (&self.means, self.fence) else { return };
        if self.is_lost() {
            return;
        }
        let (storage, runtime) = (storage.clone(), Arc::clone(storage.runtime()));
        runtime.spawn(Box::pin(async move {
            // A page that is being frozen runs no timer any more. A transaction that it began now would stay open, and hold up all others.
            storage.runtime().sleep(Duration::ZERO).await;
            if let Err(error) = lease::release(&storage, fence).await {
                tracing::debug!(%error, "a lease could not be released; it ends by itself");
            }
        }));
    }
}

/// Renews a lease until nobody holds it any more. One that cannot be renewed (the database is busy, say) is lost when it
/// has ended, not before.
async fn renew(held: Weak<Held>, storage: Lane, fence: Fence, times: LeaseTimes) {
    let runtime = Arc::clone(storage.runtime());
    let mut ends = end(&*runtime, times);
    loop {
        runtime.sleep(times.renewed).await;
        if held.strong_count() == 0 {
            return;
        }
        // From before it is written: what the row says is later, never earlier.
        let next = end(&*runtime, times);
        match lease::renew(&storage, fence, times).await {
            Ok(true) => ends = next,
            Ok(false) => return lose(&held),
            Err(error) if runtime.now() < ends => {
                tracing::debug!(%error, "a lease could not be renewed yet");
            }
            Err(_) => return lose(&held),
        }
    }
}

/// Tells whoever still holds it.
fn lose(held: &Weak<Held>) {
    if let Some(held) = held.upgrade() {
        held.lose();
    }
}

fn end(runtime: &dyn Runtime, times: LeaseTimes) -> Timestamp {
    let lasts = i64::try_from(times.lasts.as_millis()).unwrap_or(i64::MAX);
    Timestamp(runtime.now().0.saturating_add(lasts))
}

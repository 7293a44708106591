//! [`TabSync`]: the sync of a database, as one of its tabs uses it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use storex_core::{Runtime, Value};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::SyncPlace;
use super::keeper::{Connect, Current, Keeper, Poke};
use crate::apply::Applied;
use crate::compact::Compacted;
use crate::continuous::SyncEvents;
use crate::digest::Digest;
use crate::engine::status::{SyncEvent, SyncStatus};
use crate::error::{Result, SyncError};
use crate::handle::SyncHandle;
use crate::journal::{ConflictId, ConflictQuery, NotedConflict};
use crate::parked::Parked;
use crate::proxy::{Audience, RemoteSync, decode};
use crate::recovery::Recovery;
use crate::rejected::Rejected;
use crate::report::SyncReport;
use crate::stamp::Device;
use crate::writes::{WriteId, WriteState};

/// How long a call waits for a connection that was lost.
const CALL_PATIENCE: Duration = Duration::from_secs(30);

/// The sync of a database, as one of its tabs uses it, wherever it runs: a [`SyncHandle`] that goes on when the worker behind it is
/// lost. Its clones are one and the same.
///
/// ```text
///    a tab                    another tab                the SharedWorker of the database
///    TabSync ────╮            TabSync ────╮              serve_tabs ─▶ SyncHost ─▶ ContinuousSync ─▶ SharedSyncLog
///                ╰────────────────────────┴── MessagePorts ──▶ ╯
/// ```
///
/// When the worker is lost (it hangs, or the browser ends it), status and events go on with the next one. What was asked and not
/// answered ends with [`SyncError::Disconnected`], which is retryable; what is asked from then on waits up to half a minute for the
/// next one. Meanwhile the status says [`Phase::Disconnected`](crate::Phase::Disconnected).
///
/// [`stop`](SyncHandle::stop) ends the use of it by this tab. Dropping the last clone does that too, and lets go of the worker. The sync
/// ends with the last tab that uses it.
///
/// ```
/// # #[cfg(all(target_family = "wasm", feature = "web"))]
/// # async fn example(
/// #     start: impl AsyncFn() -> Result<storex_sync::ContinuousSync, storex_core::Source> + Clone + 'static,
/// #     runtime: std::sync::Arc<dyn storex_core::Runtime>,
/// # ) -> storex_sync::Result<()> {
/// use storex_sync::{SyncHandle, TabSync};
///
/// let sync = TabSync::builder("notes", runtime)
///     .version("1.4.2")              // of the application
///     .worker("./sync-worker.js")    // a module script that calls `serve_tabs`
///     .here(move || { let start = start.clone(); async move { start().await } }) // where there are no workers
///     .connect()
///     .await?;
/// let mut status = sync.status();
/// status.wait_for(|status| status.in_step).await.ok();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TabSync {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Arc<dyn Runtime>,
    status: watch::Receiver<SyncStatus>,
    events: broadcast::Receiver<SyncEvent>,
    /// The keeper ends when it is dropped.
    current: watch::Receiver<Current>,
    audience: Audience,
    /// To the tab that syncs, while the engine of this one stands by.
    pokes: mpsc::UnboundedSender<Poke>,
}

impl fmt::Debug for TabSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TabSync").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl TabSync {
    /// Connects, and stays connected.
    pub(super) async fn keep(mut connect: impl Connect, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let audience = Audience::default();
        let (status, events) = audience.listen().ok_or(SyncError::Stopped)?;
        let connection = connect.connect(&audience).await?;
        let (sender, current) = watch::channel(Current { connection, lost: None });
        let keeper = Keeper {
            connect,
            runtime: Arc::clone(&runtime),
            audience: audience.clone(),
            current: sender,
        };
        let (pokes, poked) = mpsc::unbounded_channel();
        runtime.spawn(Box::pin(keeper.run(poked)));
        Ok(Self { inner: Arc::new(Inner { runtime, status, events, current, audience, pokes }) })
    }

    /// Where sync runs for this tab, or ran last.
    #[must_use]
    pub fn place(&self) -> SyncPlace {
        self.inner.current.borrow().connection.place
    }

    /// The connection, when there is one again.
    async fn remote(&self) -> Result<Arc<RemoteSync>> {
        let mut current = self.inner.current.clone();
        tokio::select! {
            biased;
            found = current.wait_for(|current| self.is_usable(current)) => {
                if let Ok(found) = found {
                    return Ok(Arc::clone(&found.connection.sync));
                }
            }
            () = self.inner.runtime.sleep(CALL_PATIENCE) => {}
        }
        let lost = self.inner.current.borrow().lost.clone();
        Err(SyncError::Disconnected {
            reason: lost.unwrap_or_else(|| "its task is gone".to_owned()),
        })
    }

    /// Has the tab do it whose engine syncs; `None` where it cannot be asked, or does not answer.
    async fn sync_elsewhere(&self) -> Option<Option<Result<SyncReport>>> {
        let (poke, answer) = oneshot::channel();
        self.inner.pokes.send(poke).ok()?;
        let answer = tokio::select! {
            biased;
            answer = answer => answer.ok()?,
            () = self.inner.runtime.sleep(CALL_PATIENCE) => return None,
        };
        let report: Result<Option<SyncReport>> = decode(&answer).ok()?;
        Some(report.transpose())
    }

    /// What has ended is not followed by another one: it says itself what becomes of a call.
    fn is_usable(&self, current: &Current) -> bool {
        self.inner.audience.has_ended() || !current.connection.sync.is_lost()
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SyncHandle for TabSync {
    fn status(&self) -> watch::Receiver<SyncStatus> {
        self.inner.status.clone()
    }

    fn events(&self) -> SyncEvents {
        SyncEvents(self.inner.events.resubscribe())
    }

    async fn sync_now(&self) -> Option<Result<SyncReport>> {
        let report = match self.remote().await {
            Ok(sync) => sync.sync_now().await?,
            Err(error) => return Some(Err(error)),
        };
        match report {
            Err(error) if matches!(error.recovery(), Recovery::StandBy) => {
                self.sync_elsewhere().await.unwrap_or(Some(Err(error)))
            }
            report => Some(report),
        }
    }

    async fn await_synced(&self, write: WriteId) -> Result<()> {
        self.remote().await?.await_synced(write).await
    }

    async fn pause(&self) -> Result<()> {
        self.remote().await?.pause().await
    }

    async fn resume(&self) -> Result<()> {
        self.remote().await?.resume().await
    }

    fn logged_in(&self) {
        // When the connection is lost, it is as good as lost: the sync that is started next asks anew.
        self.inner.current.borrow().connection.sync.logged_in();
    }

    async fn stop(&self) {
        let current = self.inner.current.borrow().clone();
        if self.is_usable(&current) {
            current.connection.sync.stop().await;
        }
        // Also when it cannot be reached, or is lost meanwhile: it is not looked for again.
        self.inner.audience.stop();
    }

    async fn device(&self) -> Result<Device> {
        self.remote().await?.device().await
    }

    async fn unsent(&self) -> Result<u64> {
        self.remote().await?.unsent().await
    }

    async fn last_write(&self) -> Result<Option<WriteId>> {
        self.remote().await?.last_write().await
    }

    async fn write_state(&self, write: WriteId) -> Result<WriteState> {
        self.remote().await?.write_state(write).await
    }

    async fn parked(&self) -> Result<Vec<Parked>> {
        self.remote().await?.parked().await
    }

    async fn retry_parked(&self) -> Result<Applied> {
        self.remote().await?.retry_parked().await
    }

    async fn retry(&self, write: WriteId) -> Result<Applied> {
        self.remote().await?.retry(write).await
    }

    async fn discard(&self, write: WriteId) -> Result<Parked> {
        self.remote().await?.discard(write).await
    }

    async fn rejected(&self) -> Result<Vec<Rejected>> {
        self.remote().await?.rejected().await
    }

    async fn retry_rejected(&self, write: WriteId) -> Result<()> {
        self.remote().await?.retry_rejected(write).await
    }

    async fn discard_rejected(&self, write: WriteId) -> Result<Rejected> {
        self.remote().await?.discard_rejected(write).await
    }

    async fn conflicts(&self, which: &ConflictQuery) -> Result<Vec<NotedConflict>> {
        self.remote().await?.conflicts(which).await
    }

    async fn undo_conflict(&self, conflict: ConflictId) -> Result<()> {
        self.remote().await?.undo_conflict(conflict).await
    }

    async fn replace_conflict(&self, conflict: ConflictId, value: Value) -> Result<()> {
        self.remote().await?.replace_conflict(conflict, value).await
    }

    async fn forget_conflict(&self, conflict: ConflictId) -> Result<()> {
        self.remote().await?.forget_conflict(conflict).await
    }

    async fn digest(&self) -> Result<Digest> {
        self.remote().await?.digest().await
    }

    async fn compact(&self) -> Result<Compacted> {
        self.remote().await?.compact().await
    }

    async fn send_state(&self) -> Result<()> {
        self.remote().await?.send_state().await
    }
}

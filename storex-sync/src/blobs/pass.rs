//! [`Blobs::sync_once`] and [`Blobs::run`]: transfers whatever waits, so many at once.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use storex_core::{BoxFuture, Filter, Timestamp, field};

use super::flights::Ended;
use super::reference::BlobRef;
use super::rows::{State, in_order};
use super::{BlobReport, Blobs, Inner};
use crate::error::{Result, SyncError, describe};
use crate::recovery::Recovery;

impl Blobs {
    /// Sends and receives every blob that waits and is due, those to be sent first, at most so many at once as
    /// [`parallel`](crate::BlobsBuilder::parallel) says. Each is tried once. A blob that fails keeps no other from its turn: it is
    /// noted with it, and it is tried by a later call, in growing distance and not without end; see
    /// [`dead`](Self::dead).
    ///
    /// Dropping the future gives the transfers up that nobody else waits for; what has come through of them stays.
    ///
    /// # Errors
    /// [`SyncError::Storage`], and as [`SyncError::Joined`] what says that the store can be reached for no blob. No further transfer
    /// was begun then, and it counts against none.
    pub async fn sync_once(&self) -> Result<BlobReport> {
        let inner = &self.inner;
        inner.local.clear().await?;
        let (now, mut report, mut halted) = (inner.local.now(), BlobReport::default(), None);
        let mut running = Running::default();
        loop {
            while halted.is_none() && running.0.len() < inner.settings.parallel {
                let Some((blob, state)) = inner.next_due(now, running.blobs()).await? else {
                    break;
                };
                running.0.push((blob, state, Box::pin(Arc::clone(inner).fly(blob))));
            }
            match running.next().await {
                None => break,
                Some((_, Ended::Failed(_))) => report.failed += 1,
                Some((_, Ended::Halted(error))) => halted = Some(error),
                Some((state, Ended::Done)) if state.sends() => report.sent += 1,
                Some((_, Ended::Done)) => report.received += 1,
            }
        }
        inner.count().await;
        halted.map_or(Ok(report), |error| Err(SyncError::Joined(error)))
    }

    /// Sends and receives whatever waits, now and whenever something is to be done, until the storage is closed. To stop it, drop
    /// the future; run it anew to go on: nothing is lost. While there is no connection better do not run it.
    ///
    /// While the store cannot be reached it tries again with growing distance, and that counts against no blob.
    pub async fn run(&self) {
        let mut failures = 0_u32;
        loop {
            let wait = match self.sync_once().await {
                Ok(_) => {
                    failures = 0;
                    self.inner.until_due().await
                }
                Err(error) => Err(error),
            };
            match wait {
                Ok(wait) => {
                    tokio::select! {
                        () = self.inner.nudge.notified() => {}
                        () = self.inner.local.runtime().sleep(wait) => {}
                    }
                }
                Err(error) if error.recovery() == Recovery::Nothing => return,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    tracing::debug!(error = %describe(&error), failures, "blobs are not transferred");
                    let wait = self.inner.pause(failures, error.recovery());
                    self.inner.local.runtime().sleep(wait).await;
                }
            }
        }
    }
}

impl Inner {
    /// The next blob that is due and not under way.
    async fn next_due(
        &self,
        now: Timestamp,
        under_way: BTreeSet<BlobRef>,
    ) -> Result<Option<(BlobRef, State)>> {
        for state in [State::ToSend, State::ToReceive] {
            let due = in_order(state).filter(self.is_due(now));
            // One more than may be in the way.
            let rows = self.local.rows(due.limit(under_way.len() as u64 + 1)).await?;
            if let Some(row) = rows.iter().find(|row| !under_way.contains(&row.blob)) {
                return Ok(Some((row.blob, state)));
            }
        }
        Ok(None)
    }

    /// Those that are due, and those of which the clock was set back since they were put off.
    fn is_due(&self, now: Timestamp) -> Filter {
        let cap = i64::try_from(self.settings.backoff.cap.as_millis()).unwrap_or(i64::MAX);
        field("due").lte(now.0).or(field("due").gt(now.0.saturating_add(cap)))
    }

    /// How long nothing will be due; at most the longest wait after failures, since another program may write blobs too.
    async fn until_due(&self) -> Result<Duration> {
        let mut wait = self.settings.backoff.cap;
        for state in [State::ToSend, State::ToReceive] {
            if let Some(row) = self.local.rows(in_order(state).limit(1)).await?.first() {
                let left = row.due.0.saturating_sub(self.local.now().0);
                wait = wait.min(Duration::from_millis(u64::try_from(left).unwrap_or(0)));
            }
        }
        // No wait at all would try without end.
        Ok(wait.max(Duration::from_millis(1)))
    }

    fn pause(&self, failures: u32, recovery: Recovery) -> Duration {
        let mut random = [0; 8];
        self.local.runtime().fill_random(&mut random);
        let pause = self.settings.backoff.delay(failures, u64::from_le_bytes(random));
        match recovery {
            Recovery::Wait(least) => pause.max(least),
            _ => pause,
        }
    }
}

/// The transfers that a call waits for.
#[derive(Default)]
struct Running(Vec<(BlobRef, State, BoxFuture<'static, Ended>)>);

impl Running {
    fn blobs(&self) -> BTreeSet<BlobRef> {
        self.0.iter().map(|(blob, ..)| *blob).collect()
    }

    /// The next that ends; `None` when there are none.
    async fn next(&mut self) -> Option<(State, Ended)> {
        if self.0.is_empty() {
            return None;
        }
        let (at, ended) = poll_fn(|cx| {
            let mut all = self.0.iter_mut().enumerate();
            let ready = all.find_map(|(at, (.., flight))| match flight.as_mut().poll(cx) {
                Poll::Ready(ended) => Some((at, ended)),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        let (_, state, _) = self.0.swap_remove(at);
        Some((state, ended))
    }
}

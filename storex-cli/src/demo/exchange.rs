//! Initial sync from A to B, and continuous sync of both with a shared log until they are in step.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use storex_core::{Runtime, Storage};
use storex_sqlite::SqliteBackend;
use storex_sync::{
    BackendSharedLog, ContinuousSync, Cursor, Device, InitialSync, InitialSyncReport, LogId,
    LogRequest, Member, MemoryChannel, Page, SealedTransaction, SharedSyncLog, Snapshots, Sync,
    SyncStatus, Transaction, Trimmed, parked,
};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use super::Observer;
use super::report::{ContinuousFigures, Exchanged, InitialFigures, Sides};
use crate::error::{CliError, During, Result, describe};

/// When nothing is exchanged for so long and the devices are not in step, something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// Brings A's rows to B, each side in a task of its own.
pub(crate) async fn initial(
    devices: Sides<&Storage>,
    observer: &Arc<dyn Observer>,
) -> Result<InitialFigures> {
    let (mut here, mut there) = MemoryChannel::pair();
    let telling = Arc::clone(observer);
    let sender = InitialSync::open(devices.a).await.during("preparing the initial sync on A")?;
    let receiver = InitialSync::open(devices.b).await.during("preparing the initial sync on B")?;
    let receiver =
        receiver.on_progress(move |progress| telling.rows(progress.done, progress.total));
    let begin = Instant::now();
    let sent = beside(move || async move { sender.send(&mut here).await });
    let received = beside(move || async move { receiver.receive(&mut there).await });
    let (sent, received) = tokio::join!(sent, received);
    let gone = CliError::Gone { during: "the initial sync" };
    let (Some(sent), Some(received)) = (sent, received) else { return Err(gone) };
    let received = match (sent, received) {
        (Ok(_), Ok(received)) => received,
        // When one side gives up the other one says no more than that.
        (
            Err(error),
            Err(storex_sync::SyncError::Remote { .. } | storex_sync::SyncError::Closed { .. }),
        )
        | (Err(error), Ok(_)) => return Err(error).during("the initial sync, on A,"),
        (_, Err(error)) => return Err(error).during("the initial sync, on B,"),
    };
    Ok(figures(&received, begin.elapsed()))
}

#[allow(clippy::cast_precision_loss, reason = "a speed in a report")]
fn figures(report: &InitialSyncReport, elapsed: Duration) -> InitialFigures {
    let (rows, seconds) = (report.total(), elapsed.as_secs_f64());
    let rows_per_second = if seconds > 0.0 { rows as f64 / seconds } else { 0.0 };
    InitialFigures { rows, seconds, rows_per_second }
}

/// Runs beside the caller; `None` when it did not come to its end.
///
/// On a thread of its own: the future of an initial sync cannot be handed from thread to thread, so it cannot be spawned.
async fn beside<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (done, result) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let thread = std::thread::Builder::new().name("storex-initial-sync".to_owned());
    let started = thread.spawn(move || {
        // Nobody waiting any more is no error.
        let _ = done.send(runtime.block_on(work()));
    });
    started.ok()?;
    result.await.ok()
}

/// A device's way to the shared log, which counts what goes over it.
#[derive(Debug)]
struct Counted {
    log: BackendSharedLog,
    sent: Count,
    received: Count,
}

#[derive(Debug, Default)]
struct Count {
    transactions: AtomicU64,
    entries: AtomicU64,
}

impl Count {
    fn add(&self, transactions: &[SealedTransaction]) {
        let entries = transactions.iter().map(|sealed| {
            Transaction::decode(&sealed.payload).map_or(0, |transaction| transaction.entries.len())
        });
        self.entries.fetch_add(entries.sum::<usize>() as u64, Ordering::Relaxed);
        self.transactions.fetch_add(transactions.len() as u64, Ordering::Relaxed);
    }

    fn total(&self) -> Exchanged {
        Exchanged {
            transactions: self.transactions.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
        }
    }
}

#[async_trait]
impl SharedSyncLog for Counted {
    async fn register(&self, device: Device) -> storex_sync::Result<LogId> {
        self.log.register(device).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> storex_sync::Result<()> {
        self.log.append(transactions).await?;
        self.sent.add(transactions);
        Ok(())
    }

    async fn read(
        &self,
        reader: Device,
        after: &Cursor,
        limit: usize,
    ) -> storex_sync::Result<Page> {
        let page = self.log.read(reader, after, limit).await?;
        self.received.add(&page.transactions);
        Ok(page)
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> storex_sync::Result<()> {
        self.log.acknowledge(reader, cursor).await
    }

    async fn exchange(
        &self,
        request: &LogRequest,
        limit: usize,
    ) -> storex_sync::Result<Option<Page>> {
        let page = self.log.exchange(request, limit).await?;
        self.sent.add(&request.append);
        self.received.add(page.as_ref().map_or(&[], |page| &page.transactions));
        Ok(page)
    }

    async fn changed(&self, reader: Device, after: &Cursor) -> storex_sync::Result<()> {
        self.log.changed(reader, after).await
    }

    async fn members(&self) -> storex_sync::Result<Vec<Member>> {
        self.log.members().await
    }

    async fn dismiss(&self, device: Device) -> storex_sync::Result<bool> {
        self.log.dismiss(device).await
    }

    async fn reidentify(
        &self,
        known: storex_sync::LogId,
    ) -> storex_sync::Result<storex_sync::LogId> {
        self.log.reidentify(known).await
    }

    async fn trim(&self) -> storex_sync::Result<Trimmed> {
        self.log.trim().await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        self.log.snapshots()
    }
}

/// A device while it is kept in step.
struct Running {
    storage: Storage,
    log: Arc<Counted>,
    sync: Sync,
    continuous: ContinuousSync,
    status: watch::Receiver<SyncStatus>,
}

impl Running {
    async fn start(
        storage: &Storage,
        shared_log: &Path,
        runtime: &Arc<dyn Runtime>,
        interval: Duration,
    ) -> Result<Self> {
        let during = "opening the shared log";
        let backend = SqliteBackend::open(shared_log).during(during)?;
        let log = BackendSharedLog::open(backend, Arc::clone(runtime)).await.during(during)?;
        let log = Arc::new(Counted { log, sent: Count::default(), received: Count::default() });
        let joined: Arc<dyn SharedSyncLog> = Arc::<Counted>::clone(&log);
        let sync = Sync::open(storage, joined).await.during("joining the shared log")?;
        let continuous = ContinuousSync::start(sync.clone(), interval);
        let status = continuous.status();
        Ok(Self { storage: storage.clone(), log, sync, continuous, status })
    }

    fn rounds(&self) -> u64 {
        self.status.borrow().rounds
    }

    /// Waits until an exchange went through that began after this call.
    async fn round(&mut self) {
        // The one that is going on now may be over the next moment; the one behind it counts.
        let enough = self.rounds() + 2;
        let went_through = self.status.wait_for(|status| status.rounds >= enough);
        // A status that is told no more, or not in time: the caller looks at what was achieved.
        let _ = timeout(PATIENCE, went_through).await;
    }

    async fn unsent(&self) -> Result<u64> {
        self.sync.unsent().await.during("counting what is to be sent")
    }

    async fn stop(self) -> Result<()> {
        self.continuous.stop().await;
        self.log.log.close().await.during("closing the shared log")
    }

    async fn parked(&self, name: &str) -> Result<Vec<String>> {
        let parked = parked(&self.storage).await.during("reading what is parked")?;
        let told = parked.into_iter().map(|it| {
            format!(
                "{name} could not apply transaction {} of device {}: {}",
                it.sequence, it.device, it.reason
            )
        });
        Ok(told.collect())
    }

    fn last_error(&self) -> Option<String> {
        self.status.borrow().last_error.clone()
    }
}

/// Keeps both devices in step on a timer until there is nothing left to exchange. Gives the figures, and what could not
/// be applied.
pub(crate) async fn until_in_step(
    devices: Sides<&Storage>,
    shared_log: &Path,
    runtime: &Arc<dyn Runtime>,
    interval: Duration,
) -> Result<(ContinuousFigures, Vec<String>)> {
    let begin = Instant::now();
    let mut a = Running::start(devices.a, shared_log, runtime, interval).await?;
    let mut b = Running::start(devices.b, shared_log, runtime, interval).await?;
    let last_change = wait(&mut a, &mut b).await;
    let rounds = Sides { a: a.rounds(), b: b.rounds() };
    let mut problems = a.parked("A").await?;
    problems.extend(b.parked("B").await?);
    let (a_to_b, b_to_a) = (a.log.sent.total(), b.log.sent.total());
    for (name, sent, received) in
        [("A", a_to_b, b.log.received.total()), ("B", b_to_a, a.log.received.total())]
    {
        if sent != received {
            problems
                .push(format!("of what {name} sent ({sent}) the other side received {received}"));
        }
    }
    // Stopped and closed whatever came of it.
    let stopped = (a.stop().await, b.stop().await);
    let figures = ContinuousFigures {
        interval_ms: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
        seconds: last_change?.duration_since(begin).as_secs_f64(),
        rounds,
        a_to_b,
        b_to_a,
    };
    stopped.0?;
    stopped.1?;
    Ok((figures, problems))
}

/// In step: nothing is left to send, and a whole exchange of each side had nothing to carry. Tells when the last one was
/// seen that had.
async fn wait(a: &mut Running, b: &mut Running) -> Result<Instant> {
    let traffic = |a: &Running, b: &Running| {
        [&a.log.sent, &a.log.received, &b.log.sent, &b.log.received].map(Count::total)
    };
    let mut last_change = Instant::now();
    loop {
        let before = traffic(a, b);
        let rounds = (a.rounds(), b.rounds());
        tokio::join!(a.round(), b.round());
        let quiet = traffic(a, b) == before;
        if !quiet {
            last_change = Instant::now();
        }
        let unsent = (a.unsent().await?, b.unsent().await?);
        let exchanged = a.rounds() >= rounds.0 + 2 && b.rounds() >= rounds.1 + 2;
        if quiet && exchanged && unsent == (0, 0) {
            return Ok(last_change);
        }
        if last_change.elapsed() > PATIENCE {
            let mut reason =
                format!("{} transactions of A and {} of B are not sent", unsent.0, unsent.1);
            for (name, error) in [("A", a.last_error()), ("B", b.last_error())] {
                if let Some(error) = error {
                    reason.push_str(&format!("; the last exchange of {name} failed: {error}"));
                }
            }
            return Err(CliError::NotInStep { seconds: PATIENCE.as_secs(), reason });
        }
    }
}

/// Closes a storage; a second error is only logged.
pub(crate) async fn close(storage: &Storage) -> Result<()> {
    let closed = storage.close().await.during("closing a database");
    if let Err(error) = &closed {
        tracing::warn!(error = %describe(error), "closing failed");
    }
    closed
}

//! [`RemoteSync`]: a sync that runs in another place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use storex_core::{Runtime, Value};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::audience::Audience;
use super::code::{Wire, decode, encode};
use super::message::{Hello, Message, Request, ToClient, VERSION};
use super::pump::{Command, Pace, Pump};
use crate::apply::Applied;
use crate::channel::Channel;
use crate::compact::Compacted;
use crate::continuous::SyncEvents;
use crate::deadline::in_time;
use crate::digest::Digest;
use crate::engine::status::{SyncEvent, SyncStatus};
use crate::error::{Result, SyncError, describe};
use crate::handle::SyncHandle;
use crate::journal::{ConflictId, ConflictQuery, NotedConflict};
use crate::parked::Parked;
use crate::rejected::Rejected;
use crate::report::SyncReport;
use crate::stamp::Device;
use crate::writes::{WriteId, WriteState};

const GREETING: &str = "greeting the place where sync runs";

/// A sync that runs in another place, where a [`SyncHost`](crate::SyncHost) lets it be used: a [`SyncHandle`] like
/// [`ContinuousSync`](crate::ContinuousSync).
///
/// When the connection is lost (the channel ends or breaks, or the other side gives no sign of life for 20 seconds), whoever
/// waits for something learns of it at once with [`SyncError::Disconnected`], as does whoever asks for something from then on; the
/// status says [`Phase::Disconnected`](crate::Phase::Disconnected), and is the last. Connect again, over another channel, to go on.
///
/// [`stop`](SyncHandle::stop), and dropping the value, end the use of it by this client: its status says
/// [`Phase::Stopped`](crate::Phase::Stopped), and the other clients go on. What needs no running sync can be asked after a `stop` too.
///
/// A future that is dropped is given up where sync runs, with the exception of `stop`. At most 1000 calls of a client may be under way
/// at once; one more fails, retryably, with [`SyncError::Elsewhere`] of the class [`ErrorKind::Busy`](storex_core::ErrorKind::Busy).
///
/// Only `stop` is a matter of one client: what it resumes, logs in, discards, undoes or compacts is so for all clients of the host.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use storex_core::{Definition, FieldType, Registry, Runtime, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// # use storex_sync::{ContinuousSync, LogId, MemorySharedLog, Sync, SyncLog};
/// use storex_sync::{MemoryChannel, Phase, RemoteSync, SyncError, SyncHandle, SyncHost};
///
/// // In a browser: `MessagePortChannel::new(port)`, of a port whose other end is posted to the worker.
/// async fn connect(host: &SyncHost, runtime: Arc<dyn Runtime>) -> storex_sync::Result<RemoteSync> {
///     let (here, there) = MemoryChannel::pair();
///     host.serve(there);
///     RemoteSync::connect(here, runtime).await
/// }
///
/// # async fn start(storage: &Storage, log: &Arc<MemorySharedLog>) -> storex_sync::Result<SyncHost> {
/// #     let sync = Sync::open(storage, log.clone()).await?;
/// #     Ok(SyncHost::new(ContinuousSync::start(sync, Duration::from_secs(60))))
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let note = Definition::new("note").field("title", FieldType::String);
/// # let registry = Registry::builder().collection(note).build()?;
/// # let runtime = Arc::new(TestRuntime::new(1));
/// # let storage = Storage::builder(MemoryBackend::new(), registry, runtime.clone())
/// #     .middleware(SyncLog::new()).open().await?;
/// # let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
/// let worker = start(&storage, &log).await?;
/// let sync = connect(&worker, runtime.clone()).await?;
/// assert_eq!(sync.unsent().await?, 0);
///
/// drop(worker); // it crashes
/// let error = sync.unsent().await.expect_err("nobody answers");
/// assert!(matches!(error, SyncError::Disconnected { .. }));
/// assert_eq!(sync.status().borrow().phase, Phase::Disconnected);
///
/// let worker = start(&storage, &log).await?;
/// let sync = connect(&worker, runtime).await?;
/// assert_eq!(sync.unsent().await?, 0);
/// # worker.stop().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RemoteSync {
    commands: mpsc::UnboundedSender<Command>,
    status: watch::Receiver<SyncStatus>,
    events: broadcast::Receiver<SyncEvent>,
    lost: Arc<OnceLock<String>>,
    last: AtomicU64,
}

impl RemoteSync {
    /// Connects to the host at the other end of a channel. The status is known when it returns, and no event is missed that
    /// happens after that. Cancel-safe: the channel is dropped.
    ///
    /// The channel must take four frames of any size that the other side has not received yet; those of this crate take eight. One
    /// that makes the client wait to send for 20 seconds counts as lost.
    ///
    /// # Errors
    /// [`SyncError::Timeout`] when nobody answers, [`SyncError::Protocol`] when the other side speaks another version or
    /// something else, [`SyncError::Closed`], and those of the channel.
    pub async fn connect(channel: impl Channel, runtime: Arc<dyn Runtime>) -> Result<Self> {
        Self::connect_for(&Audience::default(), channel, runtime, Pace::default()).await
    }

    /// As `connect`, for those who are told already; at another pace.
    pub(crate) async fn connect_for(
        audience: &Audience,
        channel: impl Channel,
        runtime: Arc<dyn Runtime>,
        pace: Pace,
    ) -> Result<Self> {
        let mut channel: Box<dyn Channel> = Box::new(channel);
        let now = in_time(&*runtime, pace.patience, GREETING, greet(&mut *channel)).await?;
        audience.status(now);
        let (status, events) = audience.listen().ok_or(SyncError::Stopped)?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let lost = Arc::new(OnceLock::new());
        let (audience, known) = (audience.clone(), Arc::clone(&lost));
        let pump = Pump::new(channel, Arc::clone(&runtime), receiver, audience, pace, known);
        runtime.spawn(Box::pin(pump.run()));
        Ok(Self { commands, status, events, lost, last: AtomicU64::new(0) })
    }

    /// Completes when the connection is lost, or was closed after a `stop` that nobody waits for. Cancel-safe.
    #[cfg(any(test, all(target_family = "wasm", feature = "web")))]
    pub(crate) async fn until_lost(&self) -> String {
        self.commands.closed().await;
        self.why_lost()
    }

    /// Whether the connection is lost.
    #[cfg(any(test, all(target_family = "wasm", feature = "web")))]
    pub(crate) fn is_lost(&self) -> bool {
        self.commands.is_closed()
    }

    async fn call<T: Wire>(&self, request: Request) -> Result<T> {
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let asked = self.commands.send(Command::Ask { id, request, answer });
        asked.map_err(|_| self.lost())?;
        let mut waiting = Waiting { id, commands: Some(&self.commands) };
        let answer = answered.await;
        waiting.commands = None;
        decode::<Result<T>>(&answer.map_err(|_| self.lost())?)?
    }

    fn lost(&self) -> SyncError {
        SyncError::Disconnected { reason: self.why_lost() }
    }

    fn why_lost(&self) -> String {
        self.lost.get().cloned().unwrap_or_else(|| "its task is gone".to_owned())
    }
}

async fn greet(channel: &mut dyn Channel) -> Result<SyncStatus> {
    channel.send(encode(&Hello { version: VERSION })).await?;
    let closed = SyncError::Closed { during: GREETING };
    let frame = channel.recv().await?.ok_or(closed)?;
    let wrong = |reason| SyncError::Protocol { during: GREETING, reason };
    match ToClient::read_message(&frame)? {
        Some(ToClient::Welcome { version: VERSION, status }) => {
            // Of a later version, perhaps. It is not in step then.
            Ok(decode(&status.0).unwrap_or_else(|error| {
                tracing::debug!(error = %describe(&error), "the first status cannot be read");
                SyncStatus::default()
            }))
        }
        Some(ToClient::Welcome { version, .. }) => {
            Err(wrong(format!("it speaks version {version}, and this program version {VERSION}")))
        }
        Some(ToClient::Refused { reason }) => Err(wrong(reason)),
        _ => Err(wrong("it does not greet".to_owned())),
    }
}

/// Gives a request up when its future is dropped.
struct Waiting<'a> {
    id: u64,
    /// `None` when it has come to its end.
    commands: Option<&'a mpsc::UnboundedSender<Command>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(commands) = self.commands {
            // When the pump is gone, so is the request.
            let _ = commands.send(Command::GiveUp { id: self.id });
        }
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SyncHandle for RemoteSync {
    fn status(&self) -> watch::Receiver<SyncStatus> {
        self.status.clone()
    }

    fn events(&self) -> SyncEvents {
        SyncEvents(self.events.resubscribe())
    }

    async fn sync_now(&self) -> Option<Result<SyncReport>> {
        self.call::<Option<SyncReport>>(Request::SyncNow {}).await.transpose()
    }

    async fn await_synced(&self, write: WriteId) -> Result<()> {
        self.call(Request::AwaitSynced { write }).await
    }

    async fn pause(&self) -> Result<()> {
        self.call(Request::Pause {}).await
    }

    async fn resume(&self) -> Result<()> {
        self.call(Request::Resume {}).await
    }

    fn logged_in(&self) {
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        // Nobody waits for the answer; and when the connection is lost, the status tells.
        let (answer, _) = oneshot::channel();
        let _ = self.commands.send(Command::Ask { id, request: Request::LoggedIn {}, answer });
    }

    async fn stop(&self) {
        // When the connection is lost, it has ended for this client.
        let _ = self.call::<()>(Request::Stop {}).await;
    }

    async fn device(&self) -> Result<Device> {
        self.call(Request::Device {}).await
    }

    async fn unsent(&self) -> Result<u64> {
        self.call(Request::Unsent {}).await
    }

    async fn last_write(&self) -> Result<Option<WriteId>> {
        self.call(Request::LastWrite {}).await
    }

    async fn write_state(&self, write: WriteId) -> Result<WriteState> {
        self.call(Request::WriteState { write }).await
    }

    async fn parked(&self) -> Result<Vec<Parked>> {
        self.call(Request::Parked {}).await
    }

    async fn retry_parked(&self) -> Result<Applied> {
        self.call(Request::RetryParked {}).await
    }

    async fn retry(&self, write: WriteId) -> Result<Applied> {
        self.call(Request::Retry { write }).await
    }

    async fn discard(&self, write: WriteId) -> Result<Parked> {
        self.call(Request::Discard { write }).await
    }

    async fn rejected(&self) -> Result<Vec<Rejected>> {
        self.call(Request::Rejected {}).await
    }

    async fn retry_rejected(&self, write: WriteId) -> Result<()> {
        self.call(Request::RetryRejected { write }).await
    }

    async fn discard_rejected(&self, write: WriteId) -> Result<Rejected> {
        self.call(Request::DiscardRejected { write }).await
    }

    async fn conflicts(&self, which: &ConflictQuery) -> Result<Vec<NotedConflict>> {
        self.call(Request::Conflicts { which: which.clone() }).await
    }

    async fn undo_conflict(&self, conflict: ConflictId) -> Result<()> {
        self.call(Request::UndoConflict { conflict }).await
    }

    async fn replace_conflict(&self, conflict: ConflictId, value: Value) -> Result<()> {
        self.call(Request::ReplaceConflict { conflict, value }).await
    }

    async fn forget_conflict(&self, conflict: ConflictId) -> Result<()> {
        self.call(Request::ForgetConflict { conflict }).await
    }

    async fn digest(&self) -> Result<Digest> {
        self.call(Request::Digest {}).await
    }

    async fn compact(&self) -> Result<Compacted> {
        self.call(Request::Compact {}).await
    }

    async fn send_state(&self) -> Result<()> {
        self.call(Request::SendState {}).await
    }
}

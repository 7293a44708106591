//! [`SyncHost`]: lets others use the sync that runs here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;

use super::client::Client;
use crate::channel::Channel;
use crate::continuous::ContinuousSync;

/// Lets any number of clients use the sync that runs here, each over a [`Channel`] of its own: in a worker of a browser, in a
/// process that serves others, in another thread. A client is a [`RemoteSync`](crate::RemoteSync).
///
/// All clients use one sync: what one of them pauses is paused for all. [`stop`](crate::SyncHandle::stop) of a client, or its end, is
/// a matter of that client alone: a tab that is closed does not stop the sync of the others. When the sync itself ends is for
/// the host to say: with [`stop`](Self::stop), when the host is dropped, or, if it was made with
/// [`until_unused`](Self::until_unused), when the last client has gone.
///
/// A client that does not read what it is told holds up nobody: of the status it is told the newest, of the events it
/// misses the oldest, and what it has asked for is done. What it asks is cut short when it goes. One that sends bytes that
/// mean nothing is let go.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// # use storex_sync::{ContinuousSync, LogId, MemorySharedLog, Sync, SyncLog};
/// use storex_sync::{MemoryChannel, RemoteSync, SyncHandle, SyncHost};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let note = Definition::new("note").field("title", FieldType::String);
/// # let registry = Registry::builder().collection(note).build()?;
/// # let runtime = Arc::new(TestRuntime::new(1));
/// # let storage = Storage::builder(MemoryBackend::new(), registry, runtime.clone())
/// #     .middleware(SyncLog::new()).open().await?;
/// # let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
/// let host = SyncHost::new(ContinuousSync::start(Sync::open(&storage, log).await?, Duration::from_secs(60)));
/// let (here, there) = MemoryChannel::pair();
/// host.serve(there);
///
/// let sync = RemoteSync::connect(here, runtime).await?;
/// sync.sync_now().await.ok_or("it was stopped")??;
/// assert!(sync.status().borrow().in_step);
/// host.stop().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SyncHost {
    shared: Arc<Shared>,
    /// Dropped with the host, which ends its clients.
    _open: watch::Sender<()>,
    closed: watch::Receiver<()>,
}

/// What the host and its clients have together.
pub(super) struct Shared {
    pub(super) sync: ContinuousSync,
    clients: AtomicUsize,
    /// Whether there ever was one that was greeted.
    had_client: AtomicBool,
    ends: Ends,
}

/// When sync ends by itself.
#[derive(Debug, PartialEq, Eq)]
enum Ends {
    Never,
    WithLastClient,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("sync", &self.sync).finish_non_exhaustive()
    }
}

impl SyncHost {
    /// A host whose sync runs until it is told to stop.
    #[must_use]
    pub fn new(sync: ContinuousSync) -> Self {
        Self::with(sync, Ends::Never)
    }

    /// A host whose sync ends when its last client has stopped or gone (not before there was one; who is refused, or gone before it was
    /// greeted, is none). A client that comes later
    /// finds it stopped.
    ///
    /// A client is gone when its channel has ended. Where nothing tells of a client's end (a tab that crashed) it counts as being
    /// there; the worker ends with the last tab then.
    #[must_use]
    pub fn until_unused(sync: ContinuousSync) -> Self {
        Self::with(sync, Ends::WithLastClient)
    }

    fn with(sync: ContinuousSync, ends: Ends) -> Self {
        let (open, closed) = watch::channel(());
        let (clients, had_client) = (AtomicUsize::new(0), AtomicBool::new(false));
        let shared = Shared { sync, clients, had_client, ends };
        Self { shared: Arc::new(shared), _open: open, closed }
    }

    /// The sync, for use where it runs.
    #[must_use]
    pub fn sync(&self) -> &ContinuousSync {
        &self.shared.sync
    }

    /// How many clients use it now: they are connected, and have not stopped.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.shared.clients.load(Ordering::SeqCst)
    }

    /// Serves a client until it goes, as a task on the runtime of the storage, and returns at once. The client is told all
    /// that happens from this call on.
    pub fn serve(&self, channel: impl Channel) {
        let client = Client::new(Arc::clone(&self.shared), Box::new(channel), self.closed.clone());
        self.shared.sync.sync().replica.storage.runtime().spawn(Box::pin(client.run()));
    }

    /// Stops the sync, for all clients, and waits for the exchange that is running. Clients learn that it was stopped, and can
    /// still ask what needs no running sync (what has become of a write, say), until the host is dropped.
    pub async fn stop(&self) {
        self.shared.sync.stop().await;
    }

    /// Whether it has ended, or ends, since nobody is left for whom it runs: a client that comes now would find it stopped.
    #[cfg(any(test, all(target_family = "wasm", feature = "web")))]
    pub(crate) fn is_over(&self) -> bool {
        self.shared.is_over() || self.shared.sync.status().has_changed().is_err()
    }

    /// Returns when the sync has ended, for whatever reason. Cancel-safe.
    pub async fn ended(&self) {
        let mut status = self.shared.sync.status();
        while status.changed().await.is_ok() {}
    }
}

impl Shared {
    pub(super) fn enter(&self) {
        self.clients.fetch_add(1, Ordering::SeqCst);
    }

    /// One of the clients can be served.
    pub(super) fn greeted(&self) {
        self.had_client.store(true, Ordering::SeqCst);
    }

    /// Whether that ends the sync.
    pub(super) fn leave(&self) -> bool {
        let was_last = self.clients.fetch_sub(1, Ordering::SeqCst) == 1;
        was_last && self.is_over()
    }

    /// Whether nobody is left for whom it runs.
    pub(super) fn is_over(&self) -> bool {
        self.ends == Ends::WithLastClient
            && self.had_client.load(Ordering::SeqCst)
            && self.clients.load(Ordering::SeqCst) == 0
    }
}

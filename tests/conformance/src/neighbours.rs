//! [`WithNeighbours`]: a shared log whose neighbours are busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures_util::future::join;
use storex_sync::{
    Cursor, Device, LogId, LogRequest, Member, Page, Result, SealedTransaction, SharedSyncLog,
    Snapshot, SnapshotId, Snapshots, SyncError, Trimmed, Usage,
};

use crate::shared_log::{device, transaction};

/// A shared log that has others in the same place, such as a server's: beside everything that is asked of it, one of them is written,
/// read, trimmed and given another identity, by the devices that the cases use. Whatever passes the suite alone has to
/// pass it like this.
///
/// ```
/// use std::sync::Arc;
/// use storex_conformance::{CaseRuntime, WithNeighbours, shared_log::LogHarness, shared_log_conformance};
/// use storex_memory::MemoryBackend;
/// use storex_sync::{BackendSharedLogs, SharedSyncLog};
///
/// fn among_others() -> LogHarness {
///     LogHarness::in_memory(|n| Box::pin(async move {
///         let runtime = Arc::new(CaseRuntime::new(n));
///         let logs = BackendSharedLogs::open(MemoryBackend::new(), runtime).await.unwrap();
///         let log = |name: &str| Arc::new(logs.log(name)) as Arc<dyn SharedSyncLog>;
///         Arc::new(WithNeighbours::new(log("ada"), ["ad", "ada2"].map(log))) as Arc<dyn SharedSyncLog>
///     }))
/// }
///
/// shared_log_conformance!(among_others);
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct WithNeighbours {
    log: Arc<dyn SharedSyncLog>,
    neighbours: Vec<Arc<dyn SharedSyncLog>>,
    turns: AtomicU32,
}

impl WithNeighbours {
    /// This log, among these.
    pub fn new(
        log: Arc<dyn SharedSyncLog>,
        neighbours: impl IntoIterator<Item = Arc<dyn SharedSyncLog>>,
    ) -> Self {
        let neighbours: Vec<_> = neighbours.into_iter().collect();
        assert!(!neighbours.is_empty(), "a log without neighbours");
        Self { log, neighbours, turns: AtomicU32::new(1) }
    }

    /// Does what is asked, while a neighbour is busy.
    async fn amid_noise<T>(&self, asked: impl Future<Output = T>) -> T {
        let turn = self.turns.fetch_add(1, Ordering::SeqCst);
        let neighbour = &self.neighbours[turn as usize % self.neighbours.len()];
        join(asked, make_noise(&**neighbour, turn)).await.0
    }

    fn kept(&self) -> Result<&dyn Snapshots> {
        self.log.snapshots().ok_or(SyncError::NoSnapshots)
    }
}

/// A turn of everything that a log can be asked.
async fn make_noise(log: &dyn SharedSyncLog, turn: u32) {
    let writer = Device { incarnation: turn, ..device(1) };
    let id = log.register(device(2)).await.expect("a registration");
    log.append(&[transaction(device(1), 1)]).await.expect("an append");
    log.append(&[transaction(writer, 1), transaction(writer, 2)]).await.expect("an append");
    if let Some(snapshots) = log.snapshots() {
        let id = SnapshotId { maker: device(1), number: u64::from(turn) };
        snapshots.put_page(id, 0, b"a page of a neighbour").await.expect("a page");
        let snapshot = Snapshot { id, pages: 1, place: Cursor::default() };
        snapshots.publish(&snapshot).await.expect("an answer");
        snapshots.published().await.expect("an answer");
    }
    match log.read(device(2), &Cursor::default(), 1 << 20).await {
        Ok(page) => log.acknowledge(device(2), &page.cursor).await.expect("an acknowledgement"),
        Err(error) => assert!(matches!(error, SyncError::BelowFloor { .. }), "{error}"),
    }
    log.trim().await.expect("a trim");
    log.reidentify(id).await.expect("an identity");
    log.dismiss(device(2)).await.expect("a dismissal");
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SharedSyncLog for WithNeighbours {
    async fn register(&self, device: Device) -> Result<LogId> {
        self.amid_noise(self.log.register(device)).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        self.amid_noise(self.log.append(transactions)).await
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        self.amid_noise(self.log.read(reader, after, limit)).await
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        self.amid_noise(self.log.acknowledge(reader, cursor)).await
    }

    async fn exchange(&self, request: &LogRequest, limit: usize) -> Result<Option<Page>> {
        self.amid_noise(self.log.exchange(request, limit)).await
    }

    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        self.amid_noise(self.log.changed(reader, after)).await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.amid_noise(self.log.members()).await
    }

    async fn dismiss(&self, device: Device) -> Result<()> {
        self.amid_noise(self.log.dismiss(device)).await
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        self.amid_noise(self.log.reidentify(known)).await
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.amid_noise(self.log.trim()).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        self.log.snapshots().map(|_| self as &dyn Snapshots)
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Snapshots for WithNeighbours {
    async fn put_page(&self, id: SnapshotId, page: u64, bytes: &[u8]) -> Result<()> {
        self.amid_noise(self.kept()?.put_page(id, page, bytes)).await
    }

    async fn publish(&self, snapshot: &Snapshot) -> Result<bool> {
        self.amid_noise(self.kept()?.publish(snapshot)).await
    }

    async fn published(&self) -> Result<Option<Snapshot>> {
        self.amid_noise(self.kept()?.published()).await
    }

    async fn page(&self, id: SnapshotId, page: u64) -> Result<Option<Vec<u8>>> {
        self.amid_noise(self.kept()?.page(id, page)).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.amid_noise(self.kept()?.usage()).await
    }
}

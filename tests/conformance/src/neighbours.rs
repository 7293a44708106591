//! [`WithNeighbours`]: a shared log whose neighbours are busy.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::join;
use storex_sync::{
    Cursor, Device, LogId, LogRequest, Member, Page, Result, SealedKeyName, SealedKeys,
    SealedTransaction, SharedSyncLog, Snapshot, SnapshotId, Snapshots, SyncError, Trimmed, Usage,
};

use crate::shared_log::{device, transaction, transactions};

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
    /// `None`: it is busy.
    neighbours: Vec<Mutex<Option<Neighbour>>>,
    turns: AtomicUsize,
}

/// Each value writes to its neighbours as other devices, since some may be there already.
static VALUES: AtomicU32 = AtomicU32::new(1);

impl WithNeighbours {
    /// This log, among these.
    pub fn new(
        log: Arc<dyn SharedSyncLog>,
        neighbours: impl IntoIterator<Item = Arc<dyn SharedSyncLog>>,
    ) -> Self {
        let incarnation = VALUES.fetch_add(1, Ordering::SeqCst);
        let neighbour = |log| Mutex::new(Some(Neighbour::new(log, incarnation)));
        let neighbours: Vec<_> = neighbours.into_iter().map(neighbour).collect();
        assert!(!neighbours.is_empty(), "a log without neighbours");
        Self { log, neighbours, turns: AtomicUsize::new(0) }
    }

    /// Does what is asked, while a neighbour is busy.
    async fn amid_noise<T>(&self, asked: impl Future<Output = T>) -> T {
        let turn = self.turns.fetch_add(1, Ordering::SeqCst);
        let noise = async {
            // One that is busy already makes noise enough.
            if let Some(mut busy) = Busy::take(&self.neighbours[turn % self.neighbours.len()]) {
                busy.neighbour().make_noise().await;
            }
        };
        join(asked, noise).await.0
    }

    fn kept_keys(&self) -> Result<&dyn SealedKeys> {
        self.log.keys().ok_or(SyncError::KeepsNoKeys)
    }

    fn kept(&self) -> Result<&dyn Snapshots> {
        self.log.snapshots().ok_or(SyncError::NoSnapshots)
    }
}

/// A neighbour while it is busy; it goes back when that ends, be it because it was given up.
struct Busy<'a> {
    place: &'a Mutex<Option<Neighbour>>,
    neighbour: Option<Neighbour>,
}

impl<'a> Busy<'a> {
    fn take(place: &'a Mutex<Option<Neighbour>>) -> Option<Self> {
        let neighbour = place.lock().unwrap_or_else(PoisonError::into_inner).take();
        neighbour.map(|neighbour| Self { place, neighbour: Some(neighbour) })
    }

    fn neighbour(&mut self) -> &mut Neighbour {
        self.neighbour.as_mut().expect("it is here until the drop")
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = self.neighbour.take();
    }
}

#[derive(Debug)]
struct Neighbour {
    log: Arc<dyn SharedSyncLog>,
    writer: Device,
    /// The number of its next transaction.
    next: u64,
    reader: Device,
    /// Up to where it has read.
    place: Cursor,
}

impl Neighbour {
    fn new(log: Arc<dyn SharedSyncLog>, incarnation: u32) -> Self {
        let writer = Device { incarnation, ..device(1) };
        let reader = Device { incarnation, ..device(2) };
        Self { log, writer, next: 1, reader, place: Cursor::default() }
    }

    /// A turn of everything that a log can be asked. It may be given up anywhere, and taken again.
    async fn make_noise(&mut self) {
        let Self { log, writer, reader, .. } = &*self;
        let (log, writer, reader) = (Arc::clone(log), *writer, *reader);
        let id = log.register(reader).await.expect("a registration");
        log.append(&[transaction(device(1), 1)]).await.expect("an append");
        log.append(&transactions(writer, self.next..=self.next + 1)).await.expect("an append");
        self.next += 1;
        if let Some(snapshots) = log.snapshots() {
            let id = SnapshotId { maker: writer, number: self.next };
            snapshots.put_page(id, 0, b"a page of a neighbour").await.expect("a page");
            let snapshot = Snapshot { id, pages: 1, place: self.place.clone() };
            snapshots.publish(&snapshot).await.expect("an answer");
            snapshots.published().await.expect("an answer");
        }
        if let Some(keys) = log.keys() {
            keys.put(SealedKeyName([1; 16]), b"a key of a neighbour").await.expect("an item");
        }
        match log.read(reader, &self.place, 1 << 20).await {
            Ok(page) => {
                self.place = page.cursor;
                log.acknowledge(reader, &self.place).await.expect("an acknowledgement");
            }
            Err(error) => assert!(matches!(error, SyncError::BelowFloor { .. }), "{error}"),
        }
        log.trim().await.expect("a trim");
        log.reidentify(id).await.expect("an identity");
        log.dismiss(reader).await.expect("a dismissal");
    }
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

    async fn dismiss(&self, device: Device) -> Result<bool> {
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

    fn keys(&self) -> Option<&dyn SealedKeys> {
        self.log.keys().map(|_| self as &dyn SealedKeys)
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SealedKeys for WithNeighbours {
    async fn names(&self) -> Result<Vec<SealedKeyName>> {
        self.amid_noise(self.kept_keys()?.names()).await
    }

    async fn get(&self, name: SealedKeyName) -> Result<Option<Vec<u8>>> {
        self.amid_noise(self.kept_keys()?.get(name)).await
    }

    async fn put(&self, name: SealedKeyName, bytes: &[u8]) -> Result<()> {
        self.amid_noise(self.kept_keys()?.put(name, bytes)).await
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

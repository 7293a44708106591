//! [`Sync`]: one exchange with a shared log.

use std::sync::Arc;

use storex_core::{Batch, Direction, Filter, Query, Storage, Value, field};

use crate::apply::{Applied, Replica};
use crate::error::{During, Result, SyncError};
use crate::log::LOG;
use crate::meta::{META, meta_row};
use crate::pack::{Packer, Unpacker};
use crate::parked::{WaitsFor, parked, waiting};
use crate::shared_log::{Cursor, LogId, Page, SealedTransaction, SharedSyncLog};
use crate::stamp::Device;

/// How much one request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of payload per request; one transaction is sent even if it is larger.
    pub bytes: usize,
    /// Transactions per request.
    pub transactions: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 20, transactions: 1000 }
    }
}

/// What one exchange has done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SyncReport {
    /// Transactions sent.
    pub sent_transactions: u64,
    /// Their entries.
    pub sent_entries: u64,
    /// What was received.
    pub received: Applied,
}

impl SyncReport {
    /// Whether anything was sent or received.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sent_transactions == 0 && self.received.transactions == 0 && self.received.parked == 0
    }
}

/// Keeps a storage in step with a shared log, one exchange at a time.
///
/// ```
/// # use std::sync::Arc;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// use serde_json::json;
/// use storex_sync::{LogId, MemorySharedLog, Sync, SyncLog};
///
/// # async fn device(seed: u64) -> Storage {
/// #     let note = Definition::new("note").field("title", FieldType::String);
/// #     let registry = Registry::builder().collection(note).build().unwrap();
/// #     Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(seed)))
/// #         .middleware(SyncLog::new()).open().await.unwrap()
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (a, b) = (device(1).await, device(2).await); // two storages with a `SyncLog`
/// let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
/// a.dynamic("note")?.create(json!({"id": "1", "title": "Hello"})).await?;
///
/// Sync::open(&a, log.clone()).await?.sync_once().await?;
/// let report = Sync::open(&b, log).await?.sync_once().await?;
/// assert_eq!(report.received.entries, 1);
/// assert_eq!(b.dynamic("note")?.count(&json!({"title": "Hello"})).await?, 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Sync {
    replica: Replica,
    log: Arc<dyn SharedSyncLog>,
    limits: Limits,
    /// One exchange at a time.
    running: Arc<tokio::sync::Mutex<Begun>>,
}

/// Whether an exchange has gone through since this sync was opened: the log knows this device, and is the right one; what
/// waited for an update of the program was tried.
#[derive(Debug, Default)]
struct Begun(bool);

/// The name of the row of `_storex_meta` that keeps where we are in the shared log.
const CURSOR: &str = "cursor";

/// Where we are in the shared log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) log: LogId,
    pub(crate) cursor: Cursor,
}

impl Place {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(2);
        packer.bin(&self.log.0);
        packer.bin(&self.cursor.0);
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let what = "the place in the shared log";
        let mut unpacker = Unpacker::new(bytes, what);
        unpacker.tuple(2)?;
        let id =
            unpacker.bin()?.try_into().map_err(|_| SyncError::corrupt(what, "the id is cut"))?;
        Ok(Self { log: LogId(id), cursor: Cursor(unpacker.bin()?.to_vec()) })
    }

    pub(crate) fn row(&self) -> (String, Vec<u8>) {
        (CURSOR.to_owned(), self.encode())
    }
}

/// Where a storage is in its shared log; `None` before its first exchange.
pub(crate) async fn read_place(storage: &Storage) -> Result<Option<Place>> {
    let query = Query::new(META).filter(Filter::key(CURSOR));
    let rows = storage.find(query).await.during("reading the place in the shared log")?;
    meta_row(&rows, CURSOR).map(Place::decode).transpose()
}

impl Sync {
    /// Joins a storage that has a [`SyncLog`](crate::SyncLog) to a shared log. Nothing is exchanged yet.
    ///
    /// # Errors
    /// [`SyncError::NoSyncLog`], [`SyncError::Storage`].
    pub async fn open(storage: &Storage, log: Arc<dyn SharedSyncLog>) -> Result<Self> {
        let replica = Replica::open(storage).await?;
        Ok(Self { replica, log, limits: Limits::default(), running: Arc::default() })
    }

    /// With other limits per request.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// This device.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn device(&self) -> Result<Device> {
        let (head, devices) = self.replica.head().await?;
        devices.device(head.me).ok_or(SyncError::NoSyncLog)
    }

    /// How many transactions are still to be sent.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn unsent(&self) -> Result<u64> {
        self.replica.storage.count(Query::new(LOG)).await.during("counting what is to be sent")
    }

    /// Sends what was written here and applies what others wrote, until both are through. With nothing to do it costs one
    /// request (and one more the first time). A second call waits for the first.
    ///
    /// What is parked is tried again when something has arrived that it may have waited for.
    ///
    /// Cancel-safe: what was sent and not noted yet is sent again and passed over by the log; what was received and not
    /// committed is received again.
    ///
    /// # Errors
    /// [`SyncError`]; what was done before stays done.
    pub async fn sync_once(&self) -> Result<SyncReport> {
        let mut begun = self.running.lock().await;
        let device = self.device().await?;
        let mut report = SyncReport::default();
        let known = read_place(&self.replica.storage).await?;
        let mut place = match known {
            Some(place) if begun.0 => place,
            known => self.join(device, known).await?,
        };
        self.send(device, &mut report).await?;
        self.receive(device, &mut place, &mut report).await?;
        let storage = &self.replica.storage;
        let retry = match begun.0 {
            false => parked(storage).await?,
            true if report.received.transactions > 0 => waiting(storage, WaitsFor::Change).await?,
            true => Vec::new(),
        };
        report.received.add(self.replica.retry_parked(retry).await?);
        begun.0 = true;
        Ok(report)
    }

    /// Makes this device known to the log. One that got its place by initial sync is not known to it yet.
    async fn join(&self, device: Device, known: Option<Place>) -> Result<Place> {
        let log = self.log.register(device).await?;
        match known {
            Some(place) if place.log == log => Ok(place),
            Some(_) => Err(SyncError::LogReplaced),
            None => {
                // Noted before anything is sent: what one log has got must not be sought in another.
                let place = Place { log, cursor: Cursor::default() };
                self.replica.apply(Vec::new(), Some(place.row())).await?;
                Ok(place)
            }
        }
    }

    /// What followed our place is gone: an initial sync is to give us another.
    async fn lose_place(&self, place: &mut Place) -> Result<()> {
        place.cursor = Cursor::default();
        self.replica.apply(Vec::new(), Some(place.row())).await.map(|_| ())
    }

    /// Tries what is parked again; what can be applied now is no longer parked.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn retry_parked(&self) -> Result<Applied> {
        let _one_at_a_time = self.running.lock().await;
        self.replica.retry_parked(parked(&self.replica.storage).await?).await
    }

    async fn send(&self, device: Device, report: &mut SyncReport) -> Result<()> {
        let storage = &self.replica.storage;
        loop {
            let query = Query::new(LOG)
                .order_by("sequence", Direction::Ascending)
                .limit(self.limits.transactions.max(1));
            let rows = storage.find(query).await.during("reading the log")?;
            let mut batch = Vec::new();
            let (mut bytes, mut entries, mut last) = (0, 0, 0);
            for row in &rows {
                let (Some(sequence), Some(payload)) = (row.get(0).as_int(), row.get(1).as_bytes())
                else {
                    return Err(SyncError::corrupt("the log", "a row has the wrong types"));
                };
                if !batch.is_empty() && bytes + payload.len() > self.limits.bytes {
                    break;
                }
                bytes += payload.len();
                entries += row.get(2).as_int().and_then(|int| u64::try_from(int).ok()).unwrap_or(0);
                last = sequence;
                let sequence = u64::try_from(sequence).unwrap_or(0);
                batch.push(SealedTransaction { device, sequence, payload: payload.to_vec() });
            }
            if batch.is_empty() {
                return Ok(());
            }
            // Nobody may hear of a write that a loss of power could still take back.
            storage.flush().await.during("making the log durable")?;
            tracing::trace!(target: "storex::step", step = "sync.before_append");
            self.log.append(&batch).await?;
            tracing::trace!(target: "storex::step", step = "sync.after_append");
            let sent = field("sequence").lte(Value::Int(last));
            let trim = Batch::new().delete(LOG, sent);
            storage.apply(trim).await.during("trimming the log")?;
            tracing::trace!(target: "storex::step", step = "sync.after_trim");
            report.sent_transactions += batch.len() as u64;
            report.sent_entries += entries;
            if batch.len() == rows.len() && (rows.len() as u64) < self.limits.transactions {
                return Ok(());
            }
        }
    }

    async fn receive(
        &self,
        device: Device,
        place: &mut Place,
        report: &mut SyncReport,
    ) -> Result<()> {
        loop {
            let page = match self.log.read(device, &place.cursor, self.limits.bytes).await {
                Err(error @ SyncError::BelowFloor { .. }) => {
                    self.lose_place(place).await?;
                    return Err(error);
                }
                page => page?,
            };
            let Page { log, transactions, cursor, more } = page;
            if log != place.log {
                return Err(SyncError::LogReplaced);
            }
            let arrived = !transactions.is_empty();
            if more && !arrived && cursor == place.cursor {
                let reason = "it says that more follows, and gives nothing".to_owned();
                return Err(SyncError::Protocol { during: "reading the shared log", reason });
            }
            if cursor != place.cursor || arrived {
                place.cursor = cursor;
                tracing::trace!(target: "storex::step", step = "sync.before_apply");
                let applied = self.replica.apply(transactions, Some(place.row())).await?;
                tracing::trace!(target: "storex::step", step = "sync.after_apply");
                report.received.add(applied);
            }
            if arrived {
                // Only what cannot be lost any more may be acknowledged.
                self.replica.storage.flush().await.during("making what arrived durable")?;
                self.log.acknowledge(device, &place.cursor).await?;
                tracing::trace!(target: "storex::step", step = "sync.after_acknowledge");
            }
            if !more {
                return Ok(());
            }
        }
    }
}

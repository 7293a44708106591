//! [`WriteId`] and [`WriteState`]: what has become of a write.

use std::fmt;

use storex_core::{Filter, Key, Query, Value};

use crate::error::{During, Result, SyncError};
use crate::log::LOG;
use crate::meta::{META, meta_query, meta_row};
use crate::parked::{PARKED, parked_key};
use crate::rejected::REJECTED;
use crate::renewal::{FORMER, Formers, Since};
use crate::stamp::Device;
use crate::state::PROGRESS;
use crate::sync::Sync;

/// The name of a write (of all of a transaction): the device that made it, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId {
    /// The device.
    pub device: Device,
    /// Dense per device, from 1.
    pub sequence: u64,
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.sequence)
    }
}

/// What has become of a write. It only moves downwards in this list, but that what is parked may be applied or discarded, and what
/// was refused may be discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WriteState {
    /// This database knows no such write.
    Unknown,
    /// It was made here and is still to be sent.
    Waiting,
    /// It was made here, and the shared log has it.
    Sent,
    /// It was made by another device, and waits here for something; see [`parked`](crate::parked()).
    Parked,
    /// It was made by another device, and is applied here.
    Applied,
    /// It was made here, and the shared log refuses it for good; see [`rejected`](crate::rejected()).
    Rejected,
}

impl Sync {
    /// The last write that was made on this database and is to be sent, by whatever process; `None` before the first.
    ///
    /// Transactions are sent in their order: once it is sent, so is everything before it.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn last_write(&self) -> Result<Option<WriteId>> {
        let (head, devices) = self.replica.head().await?;
        let device = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        let sequence = head.next.saturating_sub(1);
        if sequence > 0 {
            return Ok(Some(WriteId { device, sequence }));
        }
        // A new incarnation that has written nothing yet.
        let formers = self.formers().await?;
        let last = formers.last().filter(|former| former.last > 0);
        Ok(last.map(|former| WriteId { device: former.device, sequence: former.last }))
    }

    async fn formers(&self) -> Result<Formers> {
        let rows = self.replica.storage.find(meta_query(&[FORMER])).await;
        let rows = rows.during("reading former incarnations")?;
        Ok(meta_row(&rows, FORMER).map(Formers::decode).transpose()?.unwrap_or_default())
    }

    /// What has become of a write of a former incarnation; or who made it, by the name that it has now.
    async fn former_state(&self, write: WriteId) -> Result<Result<WriteState, WriteId>> {
        let formers = self.formers().await?;
        let mut write = write;
        while let Some(former) = formers.find(write.device) {
            if write.sequence == 0 || write.sequence > former.last {
                return Ok(Ok(WriteState::Unknown));
            }
            if write.sequence <= former.sent {
                return Ok(Ok(WriteState::Sent));
            }
            match former.since {
                Since::Number(first) => {
                    let sequence = write.sequence.saturating_sub(first).saturating_add(1);
                    write = WriteId { device: former.now, sequence };
                }
                Since::State => return self.state_sent().await.map(Ok),
            }
        }
        Ok(Err(write))
    }

    /// Whether everything of the state is in the shared log.
    async fn state_sent(&self) -> Result<WriteState> {
        // The row first: a page that is logged between the two is still in the log then.
        let begun = self.is_there(META, Key::single(PROGRESS)).await?;
        let query = Query::new(LOG);
        let waits = self.replica.storage.count(query).await.during("looking for a write")? > 0;
        Ok(if begun || waits { WriteState::Waiting } else { WriteState::Sent })
    }

    /// What has become of a write.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{Definition, FieldType, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # use storex_sync::{LogId, MemorySharedLog, Sync, SyncLog};
    /// use serde_json::json;
    /// use storex_sync::WriteState;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let note = Definition::new("note").field("title", FieldType::String);
    /// # let registry = Registry::builder().collection(note).build()?;
    /// # let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
    /// #     .middleware(SyncLog::new()).open().await?;
    /// # let sync = Sync::open(&storage, Arc::new(MemorySharedLog::new(LogId([7; 16])))).await?;
    /// storage.dynamic("note")?.create(json!({"id": "1", "title": "Hello"})).await?;
    /// let write = sync.last_write().await?.ok_or("nothing was written")?;
    /// assert_eq!(sync.write_state(write).await?, WriteState::Waiting);
    /// sync.sync_once().await?;
    /// assert_eq!(sync.write_state(write).await?, WriteState::Sent);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn write_state(&self, write: WriteId) -> Result<WriteState> {
        if self.is_there(REJECTED, parked_key(write.device, write.sequence)).await? {
            return Ok(WriteState::Rejected);
        }
        let WriteId { device, sequence } = match self.former_state(write).await? {
            Ok(state) => return Ok(state),
            Err(write) => write,
        };
        let number = i64::try_from(sequence).unwrap_or(i64::MAX);
        // The log first: a write that is sent between the two readings must not seem unknown.
        let waits = self.is_there(LOG, Key::single(number)).await?;
        let (head, devices) = self.replica.head().await?;
        if devices.device(head.me) == Some(device) {
            let known = sequence > 0 && sequence < head.next;
            return Ok(match (known, waits) {
                (false, _) => WriteState::Unknown,
                (true, true) => WriteState::Waiting,
                (true, false) => WriteState::Sent,
            });
        }
        let id = Value::Bytes(device.id.to_vec());
        let incarnation = Value::Int(device.incarnation.into());
        if self.is_there(PARKED, Key::compound([id, incarnation, Value::Int(number)])).await? {
            return Ok(WriteState::Parked);
        }
        let applied = devices.find(device).is_some_and(|known| known.sequence >= sequence);
        Ok(if applied && sequence > 0 { WriteState::Applied } else { WriteState::Unknown })
    }

    async fn is_there(&self, collection: &'static str, key: Key) -> Result<bool> {
        let query = Query::new(collection).filter(Filter::Keys(vec![key]));
        let count = self.replica.storage.count(query).await;
        Ok(count.during("looking for a write")? > 0)
    }
}

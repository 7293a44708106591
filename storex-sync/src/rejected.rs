//! What the shared log has refused for good: it is kept aside with the reason, and the application may retry or discard it.

use storex_core::{
    Batch, Change, Changes, Definition, Error, FieldType, Filter, Key, Name, OnConflict, Query,
    Record, Step, StepOutcome, Value,
};

use crate::error::{During, Result, SyncError};
use crate::failure::Failure;
use crate::lane::{Lane, Names};
use crate::parked::{parked_key, parked_name};
use crate::relative::Relative;
use crate::stamp::Device;
use crate::sync::Sync;
use crate::transaction::{Entry, EntryKind, EntryValue, Shape, Transaction};
use crate::writes::WriteId;

const DURING: &str = "writing again what was refused";

pub(crate) const REJECTED: &str = "_storex_rejected";

/// A transaction of this device that the shared log has refused for good. Nobody else has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its name.
    pub write: WriteId,
    /// Why it was refused.
    pub reason: String,
    /// Whether it was taken back here too: the objects are as if it had never been written.
    pub is_reverted: bool,
    /// Its bytes; see [`Transaction::decode`].
    pub payload: Vec<u8>,
}

pub(crate) fn rejected_definition(names: &Names) -> Definition {
    Definition::new(names.own(REJECTED))
        .reserved()
        .field("device", FieldType::Binary)
        .field("incarnation", FieldType::Int)
        .field("sequence", FieldType::Int)
        .field("reason", FieldType::String)
        .field("reverted", FieldType::Boolean)
        .field("transaction", FieldType::Binary)
        .primary_key(["device", "incarnation", "sequence"])
}

impl Rejected {
    pub(crate) fn record(&self) -> Record {
        let WriteId { device: Device { id, incarnation }, sequence } = self.write;
        Record::new(vec![
            Value::Bytes(id.to_vec()),
            Value::Int(i64::from(incarnation)),
            Value::Int(i64::try_from(sequence).unwrap_or(i64::MAX)),
            Value::Text(self.reason.clone()),
            Value::Bool(self.is_reverted),
            Value::Bytes(self.payload.clone()),
        ])
    }

    fn from_record(record: &Record) -> Result<Self> {
        let (device, sequence) = parked_name(record)?;
        Ok(Self {
            write: WriteId { device, sequence },
            reason: record.get(3).as_text().unwrap_or_default().to_owned(),
            is_reverted: record.get(4) == &Value::Bool(true),
            payload: record.get(5).as_bytes().unwrap_or_default().to_vec(),
        })
    }
}

/// The transactions of this device that the shared log has refused for good, in the order in which they were written.
///
/// ```
/// # use std::sync::Arc;
/// # use storex_core::{Definition, FieldType, Registry, Storage};
/// # use storex_memory::{MemoryBackend, TestRuntime};
/// # use storex_sync::{LogId, MemorySharedLog, Sync};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let registry = Registry::builder().collection(Definition::new("note").field("title", FieldType::String)).build()?;
/// # let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
/// use storex_sync::SyncLog;
///
/// let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
///     .middleware(SyncLog::new().reversible()) // keeps what was before each write, until it is sent
///     .open().await?;
/// let sync = Sync::open(&storage, log).await?;
/// for rejected in storex_sync::rejected(&storage).await? {
///     println!("{} was refused: {}", rejected.write, rejected.reason);
///     sync.retry_rejected(rejected.write).await?; // writes it again; or `discard_rejected`
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`SyncError::Storage`].
pub async fn rejected(storage: impl Into<Lane>) -> Result<Vec<Rejected>> {
    find(&storage.into(), Query::new(REJECTED)).await
}

async fn find(storage: &Lane, query: Query) -> Result<Vec<Rejected>> {
    let rows = storage.find(query).await.during("reading what was refused")?;
    let mut rejected = rows.iter().map(Rejected::from_record).collect::<Result<Vec<_>>>()?;
    rejected.sort_by_key(|rejected| rejected.write);
    Ok(rejected)
}

impl Sync {
    /// Writes what was refused once more: as a new write, with a new name, over what the objects are by now. It is no longer listed
    /// then. For when the cause is mended.
    ///
    /// # Errors
    /// [`SyncError::UnknownWrite`] when it is not listed; [`SyncError::Storage`] when it cannot be written: an object that it changes is
    /// not there, say, or an increment was not taken back here. Nothing was written then, and it stays listed.
    pub async fn retry_rejected(&self, write: WriteId) -> Result<()> {
        let rejected = self.rejected_one(write).await?;
        let transaction = Transaction::decode(&rejected.payload)?;
        let steps = transaction.entries.iter().map(|entry| {
            again(&self.replica.storage, &transaction.shapes, entry, rejected.is_reverted)
        });
        let steps = steps.collect::<Result<Vec<_>>>()?;
        let failure = Failure::default();
        let mut batch = Batch::new();
        for step in steps.into_iter().flatten() {
            let failure = failure.clone();
            batch = batch.step(step).then(move |trace| {
                let missed = match trace.last().map(|last| &last.outcome) {
                    Some(StepOutcome::Updated { keys, .. }) => keys.is_empty(),
                    _ => false,
                };
                let reason = "an object that it changes is not there".to_owned();
                let refused = Error::Aborted { reason };
                failure.keep(match missed {
                    true => Err(SyncError::Storage { during: DURING, source: refused }),
                    false => Ok(Vec::new()),
                })
            });
        }
        let batch = batch.step(forget(write));
        failure.or(self.replica.storage.execute(batch).await, DURING)?;
        Ok(())
    }

    /// Forgets what was refused. Gives it back, so that the application can keep it.
    ///
    /// # Errors
    /// [`SyncError::UnknownWrite`] when it is not listed, [`SyncError::Storage`].
    pub async fn discard_rejected(&self, write: WriteId) -> Result<Rejected> {
        let rejected = self.rejected_one(write).await?;
        self.replica.write(vec![forget(write)], "discarding what was refused").await?;
        tracing::info!(%write, reason = rejected.reason, "what was refused was discarded");
        Ok(rejected)
    }

    /// What whoever waits for it is told.
    pub(crate) async fn rejection(&self, write: WriteId) -> Result<SyncError> {
        let WriteId { device, sequence } = write;
        let reason = self.rejected_one(write).await?.reason;
        Ok(SyncError::Rejected { device, sequence, reason })
    }

    pub(crate) async fn rejected_one(&self, write: WriteId) -> Result<Rejected> {
        let WriteId { device, sequence } = write;
        let query = Query::new(REJECTED).filter(Filter::Keys(vec![parked_key(device, sequence)]));
        let found = find(&self.replica.storage, query).await?;
        found.into_iter().next().ok_or(SyncError::UnknownWrite { device, sequence })
    }
}

fn forget(WriteId { device, sequence }: WriteId) -> Step {
    let filter = Filter::Keys(vec![parked_key(device, sequence)]);
    Step::Delete { collection: REJECTED.into(), filter }
}

/// What writes an entry again.
fn again(
    storage: &Lane,
    shapes: &[Shape],
    entry: &Entry,
    is_reverted: bool,
) -> Result<Option<Step>> {
    let Some(shape) = shapes.get(entry.shape).filter(|_| !entry.is_taken_out()) else {
        return Ok(None);
    };
    let collection = Name::clone(&shape.collection);
    let named = || shape.fields.iter().zip(&entry.values);
    let key = Key::compound(named().take(shape.key_len).map(|(_, it)| it.value().clone()));
    let filter = Filter::Keys(vec![key]);
    Ok(Some(match entry.kind {
        EntryKind::Create => {
            let schema = storage.registry().collection(&collection).during(DURING)?;
            let mut record = schema.blank_record(storage.runtime().now());
            for (name, value) in named() {
                if let Some(at) = schema.position(name) {
                    record.set(at, value.value().clone());
                }
            }
            // What was not taken back is there.
            let there = if is_reverted { OnConflict::Fail } else { OnConflict::Replace };
            Step::create_or(collection, vec![record], there)
        }
        EntryKind::Update
            if !is_reverted && entry.values.iter().any(|it| it.counted().is_some()) =>
        {
            let reason = "it is part of what this device adds next".to_owned();
            let source = Error::Precondition { collection, reason };
            return Err(SyncError::Storage { during: DURING, source });
        }
        EntryKind::Update => {
            let changes =
                named().skip(shape.key_len).fold(Changes::new(), |changes, (name, it)| {
                    let name = Name::clone(name);
                    match it {
                        EntryValue::Set(value) => changes.set(name, value.clone()),
                        EntryValue::Changed { change, to } => match change {
                            Relative::Increment { by, .. } => changes.increment(name, by.clone()),
                            Relative::AddElements(elements) => {
                                changes.with(name, Change::AddElements(elements.clone()))
                            }
                            Relative::RemoveElements(elements) => {
                                changes.with(name, Change::RemoveElements(elements.clone()))
                            }
                            _ => changes.set(name, to.clone()),
                        },
                    }
                });
            Step::Update { collection, filter, changes }
        }
        EntryKind::Delete => Step::Delete { collection, filter },
    }))
}

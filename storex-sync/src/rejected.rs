//! What the shared log has refused for good: it is kept aside with the reason, and the application may retry or discard it.

use std::sync::Arc;

use storex_core::{
    Batch, Change, Changes, Collection, Definition, Error, FieldType, Filter, Key, Name,
    OnConflict, Query, Record, Step, StepOutcome, Value,
};

use crate::apply::Replica;
use crate::error::{During, Result, SyncError};
use crate::failure::Failure;
use crate::field_state::Contribution;
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
        let registry = self.replica.storage.registry();
        let transaction = Transaction::decode_own(&rejected.payload, registry)?;
        let mut steps = Vec::new();
        for entry in &transaction.entries {
            let replica = &self.replica;
            steps.extend(again(replica, &transaction.shapes, entry, rejected.is_reverted)?);
        }
        let failure = Failure::default();
        let mut batch = taken(write, &failure);
        for step in steps {
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
        failure.or(self.replica.storage.execute(batch).await, DURING)?;
        Ok(())
    }

    /// Forgets what was refused. Gives it back, so that the application can keep it.
    ///
    /// # Errors
    /// [`SyncError::UnknownWrite`] when it is not listed, [`SyncError::Storage`].
    pub async fn discard_rejected(&self, write: WriteId) -> Result<Rejected> {
        let rejected = self.rejected_one(write).await?;
        let failure = Failure::default();
        let discarded = self.replica.storage.apply(taken(write, &failure)).await;
        failure.or(discarded, "discarding what was refused")?;
        tracing::info!(%write, reason = rejected.reason, "what was refused was discarded");
        Ok(rejected)
    }

    /// What whoever waits for it is told.
    pub(crate) async fn rejection(&self, write: WriteId) -> Result<SyncError> {
        let WriteId { device, sequence } = write;
        let reason = self.rejected_one(write).await?.reason;
        Ok(SyncError::Rejected { device, sequence, reason, is_too_large: false })
    }

    pub(crate) async fn rejected_one(&self, write: WriteId) -> Result<Rejected> {
        let WriteId { device, sequence } = write;
        let query = Query::new(REJECTED).filter(Filter::Keys(vec![parked_key(device, sequence)]));
        let found = find(&self.replica.storage, query).await?;
        found.into_iter().next().ok_or(SyncError::UnknownWrite { device, sequence })
    }
}

/// Takes it off the list, first of all: of two who do so at once, one finds it gone.
fn taken(write: WriteId, failure: &Failure) -> Batch {
    let WriteId { device, sequence } = write;
    let filter = Filter::Keys(vec![parked_key(device, sequence)]);
    let failure = failure.clone();
    Batch::new().step(Step::Delete { collection: REJECTED.into(), filter }).then(move |trace| {
        let was_there = match trace.last().map(|last| &last.outcome) {
            Some(StepOutcome::Deleted { keys }) => !keys.is_empty(),
            _ => false,
        };
        failure.keep(match was_there {
            true => Ok(Vec::new()),
            false => Err(SyncError::UnknownWrite { device, sequence }),
        })
    })
}

/// What writes an entry again.
fn again(
    replica: &Replica,
    shapes: &[Shape],
    entry: &Entry,
    is_reverted: bool,
) -> Result<Vec<Step>> {
    let storage = &replica.storage;
    let Some(shape) = shapes.get(entry.shape).filter(|_| !entry.is_taken_out()) else {
        return Ok(Vec::new());
    };
    let collection = Name::clone(&shape.collection);
    let named = || shape.fields.iter().zip(&entry.values);
    let key = Key::compound(named().take(shape.key_len).map(|(_, it)| it.value().clone()));
    let filter = Filter::Keys(vec![key]);
    Ok(match entry.kind {
        EntryKind::Create => {
            let schema = storage.registry().collection(&collection).during(DURING)?;
            let mut record = schema.blank_record(storage.runtime().now());
            for (name, value) in named() {
                if let Some(at) = schema.position(name) {
                    record.set(at, value.value().clone());
                }
            }
            match (entry.is_brought_back(), is_reverted) {
                // It was told with what it had, and nothing was written to it.
                (true, _) => vec![Step::create_or(collection, vec![record], OnConflict::Skip)],
                (false, true) => vec![Step::create_or(collection, vec![record], OnConflict::Fail)],
                // What was not taken back is there.
                (false, false) => replace(replica, schema, record),
            }
        }
        EntryKind::Update
            if !is_reverted && entry.values.iter().any(|it| it.counted().is_some()) =>
        {
            let reason = "it is part of what this device adds next".to_owned();
            let source = Error::Precondition { collection, reason };
            return Err(SyncError::Storage { during: DURING, source });
        }
        EntryKind::Update => {
            // A field is changed once by a step.
            let (mut first, mut second) = (Changes::new(), Changes::new());
            for (name, value) in named().skip(shape.key_len) {
                let (change, another) = changes_of(value, is_reverted);
                first = first.with(Name::clone(name), change);
                if let Some(another) = another {
                    second = second.with(Name::clone(name), another);
                }
            }
            let all = [first, second].into_iter().filter(|it| !it.is_empty());
            let update = |changes| {
                let (collection, filter) = (Name::clone(&collection), filter.clone());
                Step::Update { collection, filter, changes }
            };
            all.map(update).collect()
        }
        EntryKind::Delete => vec![Step::Delete { collection, filter }],
    })
}

/// What writes an object over the one that is there, which keeps its local fields.
fn replace(replica: &Replica, schema: &Collection, record: Record) -> Vec<Step> {
    let name = Name::clone(schema.name());
    let numbers = replica.numbers.get(&name).filter(|numbers| !numbers.local.is_empty());
    let Some(numbers) = numbers.map(Arc::clone) else {
        return vec![Step::create_or(name, vec![record], OnConflict::Replace)];
    };
    let key = Filter::Keys(vec![schema.key_of(&record)]);
    let find = Step::Find(Query::new(Name::clone(&name)).filter(key));
    let write = Step::then(move |trace| {
        let mut record = record.clone();
        numbers.keep_local(trace.found(0).first(), Some(&mut record));
        Ok(vec![Step::create_or(Name::clone(&name), vec![record], OnConflict::Replace)])
    });
    vec![find, write]
}

/// What changes a field again. What depends on the value before does so on that of now; unless it was not taken back, and so is in it.
fn changes_of(value: &EntryValue, is_reverted: bool) -> (Change, Option<Change>) {
    let EntryValue::Changed { change, to } = value else {
        return (Change::Set(value.value().clone()), None);
    };
    let change = match &**change {
        Relative::Min(bound) => Change::Min(bound.clone()),
        Relative::Max(bound) => Change::Max(bound.clone()),
        Relative::AddElements(elements) => Change::AddElements(elements.clone()),
        Relative::RemoveElements(elements) => Change::RemoveElements(elements.clone()),
        Relative::Joined(joined) => return contributed(&joined.contribution),
        Relative::Increment { by, .. } if is_reverted => Change::Increment(by.clone()),
        Relative::Multiply(by) if is_reverted => Change::Multiply(by.clone()),
        Relative::Append(text) if is_reverted => Change::Append(text.clone()),
        Relative::ReplacePrefix { from, to } if is_reverted => {
            Change::ReplacePrefix { from: from.clone(), to: to.clone() }
        }
        _ => Change::Set(to.clone()),
    };
    (change, None)
}

/// What contributes this to a field with a strategy.
fn contributed(contribution: &Contribution) -> (Change, Option<Change>) {
    match contribution {
        // The strategy makes of it what it makes of every write.
        Contribution::Max(value) | Contribution::Min(value) | Contribution::Custom(_, value) => {
            (Change::Set(value.clone()), None)
        }
        Contribution::Set { added, removed } if added.is_empty() => {
            (Change::RemoveElements(removed.clone()), None)
        }
        Contribution::Set { added, removed } => {
            let removed = Some(removed.clone()).filter(|it| !it.is_empty());
            (Change::AddElements(added.clone()), removed.map(Change::RemoveElements))
        }
        Contribution::List(elements) => (Change::AddElements(elements.clone()), None),
    }
}

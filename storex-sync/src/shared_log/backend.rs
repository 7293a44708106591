//! [`BackendSharedLog`]: a shared log in any storex backend.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use storex_core::{
    Backend, Batch, Definition, Direction, Error, FieldType, Filter, Key, OnConflict, Query,
    Record, Registry, Runtime, Step, Storage, Value, field,
};

use super::{Cursor, LogId, Page, SealedTransaction, SharedSyncLog};
use crate::error::{During, Result, SyncError, abort};
use crate::stamp::Device;

const TRANSACTIONS: &str = "shared_transaction";
const DEVICES: &str = "shared_device";
const IDENTITY: &str = "shared_log";

/// How many rows a read looks at in one query.
const ROWS_PER_QUERY: u64 = 64;

/// A shared log in a database of its own: a SQLite file on a shared disk or behind a server, or anything else that storex
/// has a backend for. Several processes may use one file at once.
///
/// The position of a transaction is drawn inside the transaction that appends it, so no reader can pass one that is not
/// committed yet.
#[derive(Debug)]
pub struct BackendSharedLog {
    storage: Storage,
    id: LogId,
}

impl BackendSharedLog {
    /// Opens the log in a database, and makes it when it is not there.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn open(backend: impl Backend, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let during = "opening the shared log";
        let mut id = [0; 16];
        runtime.fill_random(&mut id);
        let registry = registry().during(during)?;
        let storage = Storage::builder(backend, registry, runtime).open().await.during(during)?;
        let row = Record::new(vec![Value::from("log"), Value::Bytes(id.to_vec())]);
        let identity = Query::new(IDENTITY).filter(Filter::key("log"));
        let batch = Batch::new()
            .step(Step::create_or(IDENTITY, vec![row], OnConflict::Skip))
            .find(identity.clone());
        storage.execute(batch).await.during(during)?;
        let rows = storage.find(identity).await.during(during)?;
        let id =
            rows.first().and_then(|row| row.get(1).as_bytes()).and_then(|id| id.try_into().ok());
        let id = id.ok_or_else(|| SyncError::corrupt("the shared log", "it has no identity"))?;
        Ok(Self { storage, id: LogId(id) })
    }

    /// Closes the database.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn close(&self) -> Result<()> {
        self.storage.close().await.during("closing the shared log")
    }
}

fn registry() -> storex_core::Result<Registry> {
    Registry::builder()
        .collection(
            Definition::new(TRANSACTIONS)
                .field("position", FieldType::Int)
                .field("device", FieldType::Binary)
                .field("incarnation", FieldType::Int)
                .field("sequence", FieldType::Int)
                .field("transaction", FieldType::Binary)
                .primary_key(["position"])
                .unique(["device", "incarnation", "sequence"]),
        )
        .collection(
            Definition::new(DEVICES)
                .field("device", FieldType::Binary)
                .field("incarnation", FieldType::Int)
                .field("last_sequence", FieldType::Int)
                .field("acknowledged", FieldType::Int)
                .primary_key(["device", "incarnation"]),
        )
        .collection(
            Definition::new(IDENTITY)
                .field("name", FieldType::String)
                .field("id", FieldType::Binary)
                .primary_key(["name"]),
        )
        .build()
}

fn device_key(device: Device) -> Key {
    Key::compound([Value::Bytes(device.id.to_vec()), Value::Int(i64::from(device.incarnation))])
}

fn int(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn uint(value: &Value) -> Result<u64> {
    let wrong = || SyncError::corrupt("the shared log", "a number is missing");
    value.as_int().and_then(|int| u64::try_from(int).ok()).ok_or_else(wrong)
}

fn unsealed(row: &Record) -> Result<SealedTransaction> {
    let wrong = || SyncError::corrupt("the shared log", "a row has the wrong types");
    let id = row.get(1).as_bytes().and_then(|id| id.try_into().ok()).ok_or_else(wrong)?;
    let incarnation = u32::try_from(uint(row.get(2))?).map_err(|_| wrong())?;
    Ok(SealedTransaction {
        device: Device { id, incarnation },
        sequence: uint(row.get(3))?,
        payload: row.get(4).as_bytes().ok_or_else(wrong)?.to_vec(),
    })
}

/// The highest position: one look at the end of the primary key.
fn last_position() -> Query {
    Query::new(TRANSACTIONS)
        .order_by("position", Direction::Descending)
        .limit(1)
        .select(["position"])
}

/// Rows to append, decided inside the transaction.
fn append_steps(
    transactions: &[SealedTransaction],
    device: Device,
    last: Option<&Record>,
    tail: Option<&Record>,
) -> Result<Vec<Step>> {
    let stored = last.map_or(Ok(0), |row| uint(row.get(2)))?;
    let acknowledged = last.map_or(Value::Int(0), |row| row.get(3).clone());
    let mut position = tail.map_or(Ok(0), |row| uint(row.get(0)))?;
    let mut next = stored + 1;
    let mut rows = Vec::new();
    for transaction in transactions.iter().filter(|it| it.sequence > stored) {
        if transaction.sequence != next {
            return Err(SyncError::Gap { device, expected: next, found: transaction.sequence });
        }
        next += 1;
        position += 1;
        rows.push(Record::new(vec![
            int(position),
            Value::Bytes(device.id.to_vec()),
            Value::Int(i64::from(device.incarnation)),
            int(transaction.sequence),
            Value::Bytes(transaction.payload.clone()),
        ]));
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let row = Record::new(vec![
        Value::Bytes(device.id.to_vec()),
        Value::Int(i64::from(device.incarnation)),
        int(next - 1),
        acknowledged,
    ]);
    Ok(vec![
        Step::create(TRANSACTIONS, rows),
        Step::create_or(DEVICES, vec![row], OnConflict::Replace),
    ])
}

/// What is there already must be the same, byte for byte.
fn check_known(transactions: &[SealedTransaction], device: Device, known: &[Record]) -> Result<()> {
    for row in known {
        let there = unsealed(row)?;
        if !transactions.contains(&there) {
            return Err(SyncError::Forked { device, sequence: there.sequence });
        }
    }
    Ok(())
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SharedSyncLog for BackendSharedLog {
    async fn register(&self, device: Device) -> Result<LogId> {
        let row = Record::new(vec![
            Value::Bytes(device.id.to_vec()),
            Value::Int(i64::from(device.incarnation)),
            Value::Int(0),
            Value::Int(0),
        ]);
        let batch = Batch::new().step(Step::create_or(DEVICES, vec![row], OnConflict::Skip));
        self.storage.execute(batch).await.during("registering the device")?;
        Ok(self.id)
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        let (Some(first), Some(end)) = (transactions.first(), transactions.last()) else {
            return Ok(());
        };
        let device = first.device;
        if transactions.iter().any(|transaction| transaction.device != device) {
            let reason = "one append holds transactions of several devices".to_owned();
            return Err(SyncError::Protocol { during: "appending to the shared log", reason });
        }
        let known = field("device")
            .eq(device.id.as_slice())
            .and(field("incarnation").eq(device.incarnation))
            .and(field("sequence").gte(int(first.sequence)))
            .and(field("sequence").lte(int(end.sequence)));
        let transactions: Arc<[SealedTransaction]> = transactions.into();
        let failure: Arc<Mutex<Option<SyncError>>> = Arc::default();
        let failed = Arc::clone(&failure);
        let batch = Batch::new()
            .find(Query::new(TRANSACTIONS).filter(known))
            .find(Query::new(DEVICES).filter(Filter::Keys(vec![device_key(device)])))
            .find(last_position())
            .then(move |trace| {
                let steps = check_known(&transactions, device, trace.found(2)).and_then(|()| {
                    append_steps(
                        &transactions,
                        device,
                        trace.found(1).first(),
                        trace.found(0).first(),
                    )
                });
                steps.map_err(|error| {
                    let refusal = abort(&error);
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    refusal
                })
            });
        let executed = self.storage.execute(batch).await;
        match (executed, failure.lock().unwrap_or_else(PoisonError::into_inner).take()) {
            (Err(Error::Aborted { .. }), Some(error)) => Err(error),
            (executed, _) => executed.map(|_| ()).during("appending to the shared log"),
        }
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        let mut position = after.position()?;
        let mut transactions: Vec<SealedTransaction> = Vec::new();
        let mut bytes = 0;
        loop {
            let query = Query::new(TRANSACTIONS)
                .filter(field("position").gt(int(position)))
                .order_by("position", Direction::Ascending)
                .limit(ROWS_PER_QUERY);
            let rows = self.storage.find(query).await.during("reading the shared log")?;
            for row in &rows {
                let transaction = unsealed(row)?;
                if transaction.device != reader {
                    if !transactions.is_empty() && bytes + transaction.payload.len() > limit {
                        let cursor = Cursor::at(position);
                        return Ok(Page { log: self.id, transactions, cursor, more: true });
                    }
                    bytes += transaction.payload.len();
                    transactions.push(transaction);
                }
                position = uint(row.get(0))?;
            }
            if (rows.len() as u64) < ROWS_PER_QUERY {
                let cursor = Cursor::at(position);
                return Ok(Page { log: self.id, transactions, cursor, more: false });
            }
        }
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        let position = cursor.position()?;
        let filter =
            Filter::Keys(vec![device_key(reader)]).and(field("acknowledged").lt(int(position)));
        let changes = storex_core::Changes::new().set("acknowledged", int(position));
        let batch = Batch::new().update(DEVICES, filter, changes);
        self.storage.execute(batch).await.during("acknowledging").map(|_| ())
    }
}

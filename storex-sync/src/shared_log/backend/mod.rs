//! [`BackendSharedLog`]: a shared log in any storex backend.

mod keys;
mod members;
mod rows;
mod snapshots;

use std::sync::Arc;

use async_trait::async_trait;
use storex_core::{
    Backend, Batch, BatchOutcome, Direction, Filter, MaybeSend, MaybeSync, OnConflict, Query,
    Record, Runtime, Step, Storage, Trace, Value, field,
};

use super::position::check_floor;
use super::{
    Cursor, LogId, Member, Page, SealedKeys, SealedTransaction, SharedSyncLog, Snapshots, Trimmed,
    appended,
};
use crate::error::{During, Result, SyncError};
use crate::failure::Failure;
use crate::stamp::Device;
use rows::{
    DEVICES, DeviceRow, IDENTITY, TRANSACTIONS, for_reader, int, last_position, read_transaction,
    registry, transaction_record, uint, written_by,
};

/// The name of the row that says who the log is.
const LOG: &str = "log";

/// How many rows the first query of a read asks for: nobody knows yet how large they are.
const FIRST_ROWS: u64 = 4;

/// How many rows a query of a read asks for at most: they may be larger than those before.
const MOST_ROWS: u64 = 64;

/// What a read finds.
struct Rows {
    transactions: Vec<SealedTransaction>,
    /// Of the last of them.
    position: u64,
    /// Whether something follows it.
    more: bool,
}

/// A shared log in a database of its own: a SQLite file on a shared disk or behind a server, or anything else that storex
/// has a backend for. Several processes may use one file at once.
///
/// The position of a transaction is drawn inside the transaction that appends it, so no reader can pass one that is not
/// committed yet.
#[derive(Debug)]
pub struct BackendSharedLog {
    storage: Storage,
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
        let make = Step::create_or(IDENTITY, vec![identity(LogId(id))], OnConflict::Skip);
        storage.execute(Batch::new().step(make)).await.during(during)?;
        let log = Self { storage };
        log.id(during).await?;
        Ok(log)
    }

    /// Another process may give it another at any time.
    async fn id(&self, during: &'static str) -> Result<LogId> {
        let query = Query::new(IDENTITY).filter(Filter::key(LOG));
        identity_among(&self.storage.find(query).await.during(during)?)
    }

    /// Closes the database.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn close(&self) -> Result<()> {
        self.storage.close().await.during("closing the shared log")
    }

    /// Executes a batch, then what is decided from what it has found, in one transaction. An error of the decision is the
    /// error; nothing is written then.
    async fn execute_then(
        &self,
        look: Batch,
        during: &'static str,
        decide: impl Fn(&Trace) -> Result<Vec<Step>> + MaybeSend + MaybeSync + 'static,
    ) -> Result<BatchOutcome> {
        let failure = Failure::default();
        let kept = failure.clone();
        let batch = look.then(move |trace| kept.keep(decide(trace)));
        failure.or(self.storage.execute(batch).await, during)
    }

    /// The position of the last transaction.
    async fn end(&self) -> Result<u64> {
        let last = self.storage.find(last_position()).await.during("reading the shared log")?;
        last.first().map_or(Ok(0), |row| uint(row.get(0)))
    }

    /// Transactions of others behind a position, up to so many bytes. A query asks for as many as fit if they are as large as those
    /// before: the database reads each of them whole.
    async fn rows_for(&self, reader: Device, mut position: u64, limit: usize) -> Result<Rows> {
        let (mut transactions, mut bytes, mut count) = (Vec::new(), 0, FIRST_ROWS);
        loop {
            let query = Query::new(TRANSACTIONS)
                .filter(for_reader(reader, position))
                .order_by("position", Direction::Ascending)
                .limit(count);
            let rows = self.storage.find(query).await.during("reading the shared log")?;
            let is_end = (rows.len() as u64) < count;
            for row in rows {
                let (at, transaction) = (uint(row.get(0))?, read_transaction(row)?);
                if !transactions.is_empty() && bytes + transaction.payload.len() > limit {
                    return Ok(Rows { transactions, position, more: true });
                }
                bytes += transaction.payload.len();
                transactions.push(transaction);
                position = at;
            }
            if is_end {
                return Ok(Rows { transactions, position, more: false });
            }
            let left = limit.saturating_sub(bytes);
            let fit = left.saturating_mul(transactions.len()) / bytes.max(1);
            count = (fit as u64).clamp(1, MOST_ROWS);
        }
    }

    /// Refuses a reader that has missed what was trimmed; tells the number of its own last transaction.
    async fn check_place(&self, reader: Device, position: u64) -> Result<u64> {
        let above = field("floor").gt(int(position));
        let query = Query::new(DEVICES).filter(above.or(DeviceRow::only(reader)));
        let rows = self.storage.find(query).await.during("reading the shared log's floor")?;
        let rows = rows.iter().map(DeviceRow::read).collect::<Result<Vec<_>>>()?;
        check_floor(rows.iter().map(|row| (row.device, row.floor)), reader, position)?;
        let own = rows.iter().find(|row| row.device == reader);
        Ok(own.map_or(0, |row| row.last_sequence))
    }
}

fn identity(id: LogId) -> Record {
    Record::new(vec![Value::from(LOG), Value::Bytes(id.0.to_vec())])
}

fn identity_among(rows: &[Record]) -> Result<LogId> {
    let id = rows.first().and_then(|row| row.get(1).as_bytes()).and_then(|id| id.try_into().ok());
    id.map(LogId).ok_or_else(|| SyncError::corrupt("the shared log", "it has no identity"))
}

/// Rows to append, decided inside the transaction.
fn append_steps(trace: &Trace, transactions: &[SealedTransaction]) -> Result<Vec<Step>> {
    let Some(device) = appended::author(transactions)? else { return Ok(Vec::new()) };
    let known = trace.found(1).first().map_or(Ok(DeviceRow::new(device)), DeviceRow::read)?;
    let held = trace.found(2).iter().cloned().map(read_transaction).collect::<Result<Vec<_>>>()?;
    let held = |sequence| {
        let there = held.iter().find(|it| it.sequence == sequence);
        there.map(|it| it.payload.as_slice())
    };
    let fresh = appended::fresh(transactions, known.last_sequence, held)?;
    let Some(last) = fresh.last() else { return Ok(Vec::new()) };
    let end = trace.found(0).first().map_or(Ok(0), |row| uint(row.get(0)))?;
    let rows = (end + 1..).zip(fresh).map(|(at, one)| transaction_record(at, one)).collect();
    let device = DeviceRow { last_sequence: last.sequence, ..known };
    Ok(vec![
        Step::create(TRANSACTIONS, rows),
        Step::create_or(DEVICES, vec![device.record()], OnConflict::Replace),
    ])
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SharedSyncLog for BackendSharedLog {
    async fn register(&self, device: Device) -> Result<LogId> {
        let during = "registering the device";
        self.admit(device, 0, during).await?;
        self.id(during).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        let (Some(device), Some(first), Some(end)) =
            (appended::author(transactions)?, transactions.first(), transactions.last())
        else {
            return Ok(());
        };
        let known = written_by(device)
            .and(field("sequence").gte(int(first.sequence)))
            .and(field("sequence").lte(int(end.sequence)));
        let look = Batch::new()
            .find(Query::new(TRANSACTIONS).filter(known))
            .find(DeviceRow::find(device))
            .find(last_position());
        let transactions: Arc<[SealedTransaction]> = transactions.into();
        let decide = move |trace: &Trace| append_steps(trace, &transactions);
        self.execute_then(look, "appending to the shared log", decide).await.map(|_| ())
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        let position = after.position()?;
        // Before the rows: what is in front of it and not among them is the reader's own.
        let end = self.end().await?;
        if position > end {
            // A database that was put back to an older state has not come to where the reader was.
            return Err(SyncError::LogReplaced);
        }
        let Rows { transactions, position: last, more } = match position == end {
            true => Rows { transactions: Vec::new(), position, more: false },
            false => self.rows_for(reader, position, limit).await?,
        };
        let place = if more { last } else { last.max(end) };
        // After the rows: what is trimmed between the two would be missing without a word.
        let own = self.check_place(reader, position).await?;
        // Last: a log that was put back meanwhile is noticed.
        let log = self.id("reading the shared log").await?;
        let (cursor, missing) = (Cursor::at(place), Vec::new());
        Ok(Page { log, transactions, cursor, more, own, missing })
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        self.admit(reader, cursor.position()?, "acknowledging").await
    }

    /// Of other processes as well, if the backend can tell that they have written
    /// ([`Storage::changes`](storex_core::Storage::changes)).
    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        let during = "waiting for news";
        let position = after.position()?;
        // Before the look, so that nothing falls between the two.
        let mut changes = self.storage.changes();
        loop {
            if let Err(SyncError::BelowFloor { .. }) = self.check_place(reader, position).await {
                return Ok(());
            }
            let first = Query::new(TRANSACTIONS)
                .filter(for_reader(reader, position))
                .order_by("position", Direction::Ascending)
                .limit(1)
                .select(["position"]);
            if !self.storage.find(first).await.during(during)?.is_empty() {
                return Ok(());
            }
            changes.next().await.ok_or(SyncError::Closed { during })?;
        }
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.list_members().await
    }

    async fn dismiss(&self, device: Device) -> Result<()> {
        self.expel(device).await
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        let during = "giving the shared log another identity";
        let mut id = [0; 16];
        self.storage.runtime().fill_random(&mut id);
        let look = Batch::new().find(Query::new(IDENTITY).filter(Filter::key(LOG)));
        let decide = move |trace: &Trace| {
            let other = vec![identity(LogId(id))];
            Ok(match identity_among(trace.found(0))? == known {
                true => vec![Step::create_or(IDENTITY, other, OnConflict::Replace)],
                false => Vec::new(),
            })
        };
        self.execute_then(look, during, decide).await?;
        self.id(during).await
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.drop_what_all_know().await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }

    fn keys(&self) -> Option<&dyn SealedKeys> {
        Some(self)
    }
}

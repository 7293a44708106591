//! [`BackendSharedLog`]: a shared log in any storex backend, alone or as one of many.

mod ahead;
mod appending;
mod keys;
mod logs;
mod members;
mod removing;
mod rows;
mod snapshots;

use std::sync::Arc;

use async_trait::async_trait;
use storex_core::{
    Backend, Batch, BatchOutcome, Direction, Filter, MaybeSend, MaybeSync, Name, OnConflict, Query,
    Record, Runtime, Step, Storage, Trace, Value, field,
};

pub use logs::BackendSharedLogs;

use super::{
    Cursor, LogId, LogRequest, Member, Page, SealedKeys, SealedTransaction, SharedSyncLog,
    Snapshots, Trimmed,
};
use crate::error::{During, Result, SyncError};
use crate::failure::Failure;
use crate::log_rules::check_floor;
use crate::stamp::Device;
use ahead::{AHEAD, fitting};
use removing::is_removed;
use rows::{
    DeviceRow, IDENTITY, TRANSACTIONS, for_reader, int, last_position, position_of,
    read_transaction, size, sized_by, uint,
};

/// How many transactions a page has at most, whatever their size.
const MOST_TRANSACTIONS: usize = 16 * AHEAD;

/// The name of a log that is alone in its database.
const ALONE: &str = "log";

const READING: &str = "reading the shared log";

/// What a read finds.
struct Rows {
    transactions: Vec<SealedTransaction>,
    /// Of the last of them.
    position: u64,
    /// Whether something follows it.
    more: bool,
}

/// A shared log in a storex database: a SQLite file on a shared disk or behind a server, or anything else that storex has a backend for.
/// It has the database to itself, or is one of [many](BackendSharedLogs). Several processes may use one file at once.
///
/// The position of a transaction is drawn inside the transaction that appends it, so no reader can pass one that is not
/// committed yet.
#[derive(Debug, Clone)]
pub struct BackendSharedLog {
    storage: Storage,
    name: Name,
}

impl BackendSharedLog {
    /// Opens the log in a database of its own, and makes it when it is not there: the log `log` of a [`BackendSharedLogs`].
    ///
    /// # Errors
    /// As [`BackendSharedLogs::open`].
    pub async fn open(backend: impl Backend, runtime: Arc<dyn Runtime>) -> Result<Self> {
        let log = BackendSharedLogs::open(backend, runtime).await?.log(ALONE);
        log.id("opening the shared log").await?;
        Ok(log)
    }

    /// Its name in the database.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who the log is; it is made when it is not there. Another process may give it another identity at any time.
    async fn id(&self, during: &'static str) -> Result<LogId> {
        if let Some(id) = self.known_id(during).await? {
            return Ok(id);
        }
        self.finish_removal().await?;
        let make = Batch::new().step(make(&self.name, &**self.storage.runtime()));
        self.storage.execute(make).await.during(during)?;
        let id = self.known_id(during).await?;
        id.ok_or_else(|| SyncError::corrupt("the shared log", "it has no identity"))
    }

    async fn known_id(&self, during: &'static str) -> Result<Option<LogId>> {
        identity_among(&self.storage.find(self.find_identity()).await.during(during)?)
    }

    fn find_identity(&self) -> Query {
        Query::new(IDENTITY).filter(Filter::key(&*self.name))
    }

    /// Closes the database, with all logs that are in it.
    ///
    /// # Errors
    /// [`SyncError::Storage`].
    pub async fn close(&self) -> Result<()> {
        self.storage.close().await.during("closing the shared log")
    }

    /// Does something again that has found the log being removed, which is finished first.
    async fn in_a_log<T, F: Future<Output = Result<T>>>(&self, work: impl Fn() -> F) -> Result<T> {
        loop {
            match work().await {
                Err(SyncError::LogReplaced) => self.finish_removal().await?,
                result => return result,
            }
        }
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
        let last = self.storage.find(last_position(&self.name)).await.during(READING)?;
        last.first().map_or(Ok(0), |row| uint(row.get(0)))
    }

    /// Transactions of others behind a position, up to so many bytes. None is loaded that does not fit, but the first.
    async fn rows_for(&self, reader: Device, mut position: u64, limit: usize) -> Result<Rows> {
        let (mut transactions, mut bytes) = (Vec::new(), 0);
        loop {
            let rows = Query::new(TRANSACTIONS)
                .filter(for_reader(&self.name, reader, position))
                .order_by("position", Direction::Ascending)
                .limit(AHEAD as u64);
            let ahead = self.storage.find(sized_by("position", rows)).await.during(READING)?;
            let ahead = ahead.iter().map(size).collect::<Result<Vec<_>>>()?;
            let sizes = ahead.iter().map(|(_, size)| *size);
            let room = limit.checked_sub(bytes).filter(|_| transactions.len() < MOST_TRANSACTIONS);
            let count = fitting(sizes, room, transactions.is_empty());
            let Some((last, _)) = ahead[..count].last() else {
                return Ok(Rows { transactions, position, more: !ahead.is_empty() });
            };
            let wanted =
                for_reader(&self.name, reader, position).and(field("position").lte(int(*last)));
            let rows =
                Query::new(TRANSACTIONS).filter(wanted).order_by("position", Direction::Ascending);
            for row in self.storage.find(rows).await.during(READING)? {
                let (at, transaction) = (position_of(&row)?, read_transaction(row)?);
                if !transactions.is_empty() && bytes + transaction.payload.len() > limit {
                    return Ok(Rows { transactions, position, more: true });
                }
                bytes += transaction.payload.len();
                transactions.push(transaction);
                position = at;
            }
            // Also when some were trimmed meanwhile.
            position = position.max(*last);
            match ahead.get(count) {
                Some((_, Some(_))) => return Ok(Rows { transactions, position, more: true }),
                None if count < AHEAD => {
                    return Ok(Rows { transactions, position, more: false });
                }
                _ => {}
            }
        }
    }

    /// `None`: there is no log, or what is left of one that is being removed.
    async fn read_once(&self, reader: Device, position: u64, limit: usize) -> Result<Option<Page>> {
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
        let Some(log) = self.known_id(READING).await? else { return Ok(None) };
        let (cursor, missing) = (Cursor::at(place), Vec::new());
        Ok(Some(Page { log, transactions, cursor, more, own, missing }))
    }

    /// Refuses a reader that has missed what was trimmed; tells the number of its own last transaction.
    async fn check_place(&self, reader: Device, position: u64) -> Result<u64> {
        let query = DeviceRow::find_all(&self.name);
        let rows = self.storage.find(query).await.during("reading the shared log's floor")?;
        let rows = rows.iter().map(DeviceRow::read).collect::<Result<Vec<_>>>()?;
        check_floor(rows.iter().map(|row| (row.device, row.floor)), reader, position)?;
        let own = rows.iter().find(|row| row.device == reader);
        Ok(own.map_or(0, |row| row.last_sequence))
    }
}

/// Gives a log an identity, unless it has one.
fn make(log: &str, runtime: &dyn Runtime) -> Step {
    Step::create_or(IDENTITY, vec![new_identity(log, runtime)], OnConflict::Skip)
}

fn new_identity(log: &str, runtime: &dyn Runtime) -> Record {
    let mut id = [0; 16];
    runtime.fill_random(&mut id);
    Record::new(vec![Value::from(log), Value::Bytes(id.to_vec())])
}

/// `None`: the log was never made, or is being removed.
fn identity_among(rows: &[Record]) -> Result<Option<LogId>> {
    let Some(row) = rows.first().filter(|_| !is_removed(rows)) else { return Ok(None) };
    let id = row.get(1).as_bytes().and_then(|id| id.try_into().ok()).map(LogId);
    id.map(Some).ok_or_else(|| SyncError::corrupt("the shared log", "its identity is none"))
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
        self.append_all(transactions, None).await
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        let position = after.position()?;
        loop {
            if let Some(page) = self.read_once(reader, position, limit).await? {
                return Ok(page);
            }
            self.id(READING).await?;
        }
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        self.admit(reader, cursor.position()?, "acknowledging").await
    }

    async fn exchange(&self, request: &LogRequest, limit: usize) -> Result<Option<Page>> {
        let LogRequest { device, acknowledge, append, read } = request;
        match acknowledge {
            None => self.append(append).await?,
            Some(cursor) if append.is_empty() => self.acknowledge(*device, cursor).await?,
            Some(cursor) => {
                self.acknowledge_and_append(*device, cursor.position()?, append).await?;
            }
        }
        match read {
            Some(after) => Ok(Some(self.read(*device, after, limit).await?)),
            None => Ok(None),
        }
    }

    /// Of other processes as well, if the backend can tell that they have written
    /// ([`Storage::changes`](storex_core::Storage::changes)). What is written to other logs of the database wakes nobody here.
    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        let during = "waiting for news";
        let position = after.position()?;
        // Before the look, so that nothing falls between the two.
        let mut news = self.storage.key_news(TRANSACTIONS, &*self.name).during(during)?;
        loop {
            if let Err(SyncError::BelowFloor { .. }) = self.check_place(reader, position).await {
                return Ok(());
            }
            let first = Query::new(TRANSACTIONS)
                .filter(for_reader(&self.name, reader, position))
                .order_by("position", Direction::Ascending)
                .limit(1)
                .select(["position"]);
            if !self.storage.find(first).await.during(during)?.is_empty() {
                return Ok(());
            }
            // A log that was removed, or put back, has not come to where the reader was: reading tells so.
            if position > self.end().await? {
                return Ok(());
            }
            news.next().await.ok_or(SyncError::Closed { during })?;
        }
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.list_members().await
    }

    async fn dismiss(&self, device: Device) -> Result<bool> {
        self.expel(device).await
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        let during = "giving the shared log another identity";
        let look = Batch::new().find(self.find_identity());
        let (log, runtime) = (Name::clone(&self.name), Arc::clone(self.storage.runtime()));
        let decide = move |trace: &Trace| {
            let other = || vec![new_identity(&log, &*runtime)];
            Ok(match identity_among(trace.found(0))? {
                Some(id) if id == known => {
                    vec![Step::create_or(IDENTITY, other(), OnConflict::Replace)]
                }
                _ => Vec::new(),
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

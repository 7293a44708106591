//! Reading what follows a place.

use futures_util::future::join3;
use storex_sync::{Cursor, Device, LogId, Page, SealedTransaction, SyncError, log_rules};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::database::Session;
use super::rows::{Columns, DeviceValues, int};

/// How many transactions a page has at most, whatever their size.
const MOST_ROWS: usize = 1_000;

const END: &str = "SELECT position FROM storex.account WHERE id = $1";

/// As many as fit, and the one behind them without its payload. The payloads' lengths are known without reading them.
const ROWS: &str = "SELECT position, device, incarnation, sequence,
        CASE WHEN total <= $5 OR number = 1 THEN payload END
    FROM (
        SELECT position, device, incarnation, sequence, payload,
            sum(octet_length(payload)) OVER behind AS total, row_number() OVER behind AS number
        FROM storex.transaction
        WHERE account = $1 AND position > $2 AND NOT (device = $3 AND incarnation = $4)
        WINDOW behind AS (ORDER BY position ROWS UNBOUNDED PRECEDING)
        ORDER BY position LIMIT $6
    ) AS numbered
    WHERE number <= 2 OR total - octet_length(payload) <= $5
    ORDER BY position";

/// The log's identity; what was dropped behind the place; what the log had of the reader.
const PLACE: &str =
    "SELECT account.log, known.device, known.incarnation, known.last_sequence, known.floor
    FROM storex.account AS account
    LEFT JOIN storex.log_device AS known ON known.account = $1
        AND (known.floor > $2 OR (known.device = $3 AND known.incarnation = $4))
    WHERE account.id = $1";

/// Something of others behind the place, or something of theirs that was dropped there, or a log that never was there.
const NEWS: &str = "SELECT EXISTS (
        SELECT FROM storex.transaction
        WHERE account = $1 AND position > $2 AND NOT (device = $3 AND incarnation = $4)
    ) OR EXISTS (
        SELECT FROM storex.log_device
        WHERE account = $1 AND floor > $2 AND NOT (device = $3 AND incarnation = $4)
    ) OR EXISTS (SELECT FROM storex.account WHERE id = $1 AND position < $2)";

/// A read: whose log, for whom, behind which position.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) account: i64,
    pub(super) reader: Device,
    pub(super) position: u64,
    pub(super) limit: usize,
}

/// The statements of a read, prepared.
pub(super) struct ReadStatements([Statement; 3]);

impl ReadStatements {
    pub(super) async fn prepare(session: &Session<'_>) -> Result<Self, SyncError> {
        Ok(Self(session.prepare([END, ROWS, PLACE]).await?))
    }

    /// One round trip. Each statement sees what is committed when it begins: the end before the rows, so that what is in front of it and
    /// not among them is the reader's own; the floors after the rows, since what is trimmed between the two would be missing without a
    /// word.
    pub(super) async fn read(&self, session: &Session<'_>, it: Reading) -> Result<Page, SyncError> {
        let Self([end, rows, place]) = self;
        let Reading { account, reader, position, limit } = it;
        let DeviceValues { id, incarnation } = DeviceValues::of(&reader);
        let after = int(position);
        let most_bytes = i64::try_from(limit).unwrap_or(i64::MAX);
        let most_rows = int(MOST_ROWS as u64 + 1);
        let of_end: [&(dyn ToSql + Sync); 1] = [&account];
        let of_rows: [&(dyn ToSql + Sync); 6] =
            [&account, &after, &id, &incarnation, &most_bytes, &most_rows];
        let of_place: [&(dyn ToSql + Sync); 4] = [&account, &after, &id, &incarnation];
        let (end, rows, place) = join3(
            session.query(end, &of_end),
            session.query(rows, &of_rows),
            session.query(place, &of_place),
        )
        .await;
        let (end, rows, place) = (end?, rows?, place?);
        let row = end.first().ok_or_else(|| session.gone())?;
        let end = Columns { session, row }.uint(0)?;
        if position > end {
            // A database that was put back to an older state has not come to where the reader was.
            return Err(SyncError::LogReplaced);
        }
        let found = Found::read(session, &rows, it)?;
        let Place { log, own } = Place::read(session, &place, it)?;
        let at = if found.more { found.position } else { found.position.max(end) };
        let (cursor, missing) = (Cursor::at(at), Vec::new());
        let Found { transactions, more, .. } = found;
        Ok(Page { log, transactions, cursor, more, own, missing })
    }
}

struct Found {
    transactions: Vec<SealedTransaction>,
    /// Of the last of them.
    position: u64,
    more: bool,
}

impl Found {
    fn read(session: &Session<'_>, rows: &[Row], it: Reading) -> Result<Self, SyncError> {
        let mut found = Self {
            transactions: Vec::with_capacity(rows.len()),
            position: it.position,
            more: false,
        };
        for row in rows {
            let columns = Columns { session, row };
            let payload = columns.get::<Option<Vec<u8>>>(4)?;
            let Some(payload) = payload.filter(|_| found.transactions.len() < MOST_ROWS) else {
                found.more = true;
                break;
            };
            found.position = columns.uint(0)?;
            let (device, sequence) = (columns.device(1)?, columns.uint(3)?);
            found.transactions.push(SealedTransaction { device, sequence, payload });
        }
        Ok(found)
    }
}

struct Place {
    log: LogId,
    /// The number of the reader's last transaction.
    own: u64,
}

impl Place {
    /// Refuses a reader that has missed what was dropped.
    fn read(session: &Session<'_>, rows: &[Row], it: Reading) -> Result<Self, SyncError> {
        let row = rows.first().ok_or_else(|| session.gone())?;
        let log = Columns { session, row }.log(0)?;
        let (mut floors, mut own) = (Vec::new(), 0);
        for row in rows {
            let columns = Columns { session, row };
            if columns.get::<Option<&[u8]>>(1)?.is_none() {
                continue;
            }
            let device = columns.device(1)?;
            if device == it.reader {
                own = columns.uint(3)?;
            }
            floors.push((device, columns.uint(4)?));
        }
        log_rules::check_floor(floors, it.reader, it.position)?;
        Ok(Self { log, own })
    }
}

/// Whether a reader has news behind a position.
pub(super) async fn has_news(session: &Session<'_>, it: Reading) -> Result<bool, SyncError> {
    let DeviceValues { id, incarnation } = DeviceValues::of(&it.reader);
    let after = int(it.position);
    let rows = session.ask(NEWS, &[&it.account, &after, &id, &incarnation]).await?;
    let row = rows.first().ok_or_else(|| session.wrong())?;
    Ok(Columns { session, row }.get(0)?)
}

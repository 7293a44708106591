//! Appending, and what is asked together with it.

use std::collections::HashMap;

use futures_util::future::join4;
use storex_sync::{Device, Page, SealedTransaction, SyncError, log_rules};
use tokio_postgres::types::ToSql;

use super::database::{Result, Session};
use super::members::{ADMIT, LOCK};
use super::news;
use super::reading::{ReadStatements, Reading};
use super::rows::{Columns, DeviceValues, int, values_of};

const AUTHOR: &str = "SELECT last_sequence FROM storex.log_device
    WHERE account = $1 AND device = $2 AND incarnation = $3";

/// Whether what is held is what comes again: it may be much more than what has come, and is compared where it is.
const SAME: &str = "SELECT held.sequence, held.payload = sent.payload
    FROM unnest($4::bigint[], $5::bytea[]) AS sent (sequence, payload)
    JOIN storex.transaction AS held ON held.account = $1 AND held.device = $2
        AND held.incarnation = $3 AND held.sequence = sent.sequence";

const APPEND: &str = "WITH appended AS (
        INSERT INTO storex.transaction (account, position, device, incarnation, sequence, payload)
        SELECT $1, $4::bigint + number, $2, $3, sequence, payload
        FROM unnest($5::bigint[], $6::bytea[]) WITH ORDINALITY AS one (sequence, payload, number)
    ), author AS (
        INSERT INTO storex.log_device (account, device, incarnation, last_sequence) VALUES ($1, $2, $3, $7)
        ON CONFLICT (account, device, incarnation) DO UPDATE SET last_sequence = excluded.last_sequence
    )
    UPDATE storex.account SET position = $8 WHERE id = $1";

/// What a device has written, and up to where it has what others wrote.
#[derive(Clone, Copy)]
pub(super) struct Append<'a> {
    pub(super) account: i64,
    pub(super) device: Device,
    /// Who acknowledges, and up to which position.
    pub(super) acknowledged: Option<(Device, u64)>,
    /// One at least, all of them of the device.
    pub(super) transactions: &'a [SealedTransaction],
}

/// What the log had when it was locked.
struct Known {
    /// The position of its last transaction.
    position: u64,
    /// The number of the device's last transaction.
    last: u64,
}

/// Acknowledges, appends and reads: two round trips, and one more when something comes again. What is acknowledged stays so when the transactions are refused.
///
/// The positions are drawn under the lock of the user's row, which is held until they are committed. So none becomes visible before a
/// lower one, and no reader passes one that is not visible yet.
pub(super) async fn append(
    session: &Session<'_>,
    it: Append<'_>,
    read: Option<Reading>,
) -> Result<Option<Page>, SyncError> {
    let [append] = session.prepare([APPEND]).await?;
    let read = match read {
        Some(reading) => Some((ReadStatements::prepare(session).await?, reading)),
        None => None,
    };
    let guard = session.guard();
    let known = lock(session, it).await?;
    let repeated = log_rules::repeated(it.transactions, known.last);
    let same = match repeated.is_empty() {
        true => HashMap::new(),
        false => compare(session, it, repeated).await?,
    };
    let is_same = |it: &SealedTransaction| same.get(&it.sequence).copied();
    let fresh = match log_rules::fresh_by(it.transactions, known.last, is_same) {
        Ok(fresh) => fresh,
        Err(refused) => {
            guard.commit().await?;
            return Err(refused);
        }
    };
    let id = DeviceValues::of(&it.device);
    let (numbers, payloads) = values_of(fresh);
    let (before, last) = (int(known.position), numbers.last().copied());
    let position = int(known.position.saturating_add(fresh.len() as u64));
    let values: [&(dyn ToSql + Sync); 8] =
        [&it.account, &id.id, &id.incarnation, &before, &numbers, &payloads, &last, &position];
    let write = async {
        match last {
            Some(_) => session.query(&append, &values).await.map(drop),
            None => Ok(()),
        }
    };
    let tell = async {
        match last {
            Some(_) => session.execute(&news::tell(it.account)).await,
            None => Ok(()),
        }
    };
    let read = async {
        match &read {
            Some((statements, reading)) => statements.read(session, *reading).await.map(Some),
            None => Ok(None),
        }
    };
    let (written, committed, told, page) = join4(write, guard.commit(), tell, read).await;
    written?;
    committed?;
    if let Err(failure) = told {
        // It is appended all the same; whoever waits has a timer too.
        tracing::warn!(?failure, "others are not told of what was appended");
    }
    page
}

/// Whether what the log still holds under the numbers of these transactions is the same: one round trip.
async fn compare(
    session: &Session<'_>,
    it: Append<'_>,
    repeated: &[SealedTransaction],
) -> Result<HashMap<u64, bool>> {
    let DeviceValues { id, incarnation } = DeviceValues::of(&it.device);
    let (numbers, payloads) = values_of(repeated);
    let rows = session.ask(SAME, &[&it.account, &id, &incarnation, &numbers, &payloads]).await?;
    let pair = |row| {
        let columns = Columns { session, row };
        Ok((columns.uint(0)?, columns.get(1)?))
    };
    rows.iter().map(pair).collect()
}

/// Begins the transaction, locks the log, and looks at what it has: one round trip.
async fn lock(session: &Session<'_>, it: Append<'_>) -> Result<Known, SyncError> {
    let [lock, admit, author] = session.prepare([LOCK, ADMIT, AUTHOR]).await?;
    let Append { account, acknowledged, .. } = it;
    let DeviceValues { id, incarnation } = DeviceValues::of(&it.device);
    let (reader, place) = acknowledged.unwrap_or((it.device, 0));
    let (reader, place) = (DeviceValues::of(&reader), int(place));
    let of_account: [&(dyn ToSql + Sync); 1] = [&account];
    let of_admit: [&(dyn ToSql + Sync); 4] = [&account, &reader.id, &reader.incarnation, &place];
    let of_author: [&(dyn ToSql + Sync); 3] = [&account, &id, &incarnation];
    let acknowledge = async {
        match acknowledged {
            Some(_) => session.query(&admit, &of_admit).await.map(drop),
            None => Ok(()),
        }
    };
    let (begun, position, acknowledged, author) = join4(
        session.begin(),
        session.query(&lock, &of_account),
        acknowledge,
        session.query(&author, &of_author),
    )
    .await;
    begun?;
    let (position, author) = (position?, author?);
    acknowledged?;
    let column = |row| Columns { session, row }.uint(0);
    Ok(Known {
        position: column(position.first().ok_or_else(|| session.gone())?)?,
        last: author.first().map_or(Ok(0), column)?,
    })
}

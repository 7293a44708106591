//! Who the transactions are kept for, and what need not be kept.

use futures_util::future::{join, join5};
use storex_sync::{Cursor, Device, LogId, Member, SyncError, Trimmed, log_rules};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::database::{Result, Session};
use super::rows::{Columns, DeviceValues, int};

/// Whatever changes a log, and depends on what it holds, holds this lock until it is committed.
pub(super) const LOCK: &str = "SELECT position FROM storex.account WHERE id = $1 FOR NO KEY UPDATE";

/// Makes a device a member that has acknowledged this position at least. Most of the time it is one: then nothing is written or locked.
/// With the lock, so that nobody becomes a member while it is decided what all members have. No row: there is no such user.
pub(super) const ADMIT: &str = "WITH account AS MATERIALIZED (
        SELECT id FROM storex.account
        WHERE id = $1 AND NOT EXISTS (
            SELECT FROM storex.log_device
            WHERE account = $1 AND device = $2 AND incarnation = $3 AND member AND acknowledged >= $4
        )
        FOR NO KEY UPDATE
    ), admitted AS (
        INSERT INTO storex.log_device AS known (account, device, incarnation, member, acknowledged)
        SELECT id, $2, $3, true, $4 FROM account
        ON CONFLICT (account, device, incarnation) DO UPDATE SET
            member = true, acknowledged = greatest(known.acknowledged, excluded.acknowledged)
    )
    SELECT id FROM storex.account WHERE id = $1";

const IDENTITY: &str = "SELECT log FROM storex.account WHERE id = $1";

const REIDENTIFY: &str = "UPDATE storex.account SET log = $3 WHERE id = $1 AND log = $2";

/// No row: there is no such user.
const DISMISS: &str = "WITH dismissed AS (
        UPDATE storex.log_device SET member = false
        WHERE account = $1 AND device = $2 AND incarnation = $3 AND member
        RETURNING account
    )
    SELECT EXISTS (SELECT FROM dismissed) FROM storex.account WHERE id = $1";

const MEMBERS: &str = "SELECT device, incarnation, (
        SELECT count(*) FROM storex.transaction AS one
        WHERE one.account = $1 AND one.position > known.acknowledged
            AND NOT (one.device = known.device AND one.incarnation = known.incarnation)
    )
    FROM storex.log_device AS known WHERE account = $1 AND member ORDER BY device, incarnation";

const DEVICES: &str = "SELECT device, incarnation, last_sequence, acknowledged, member, floor
    FROM storex.log_device WHERE account = $1";

const SNAPSHOT_PLACE: &str = "SELECT place FROM storex.snapshot WHERE account = $1";

/// The transaction with which a stretch of them ends.
const STRETCH: &str = "SELECT position FROM storex.transaction WHERE account = $1 AND position > $2
    ORDER BY position OFFSET 4999 LIMIT 1";

/// Drops what all members have of a stretch, and notes up to where.
const DROP: &str = "WITH dropped AS (
        DELETE FROM storex.transaction AS one
        USING unnest($4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[])
            AS author (device, incarnation, known, last)
        WHERE one.account = $1 AND one.position > $2 AND one.position <= $3
            AND one.device = author.device AND one.incarnation = author.incarnation
            AND one.position <= author.known AND one.sequence < author.last
        RETURNING one.device, one.incarnation, one.position
    ), floors AS (
        SELECT device, incarnation, max(position) AS floor FROM dropped GROUP BY device, incarnation
    ), noted AS (
        UPDATE storex.log_device AS known SET floor = greatest(known.floor, floors.floor) FROM floors
        WHERE known.account = $1 AND known.device = floors.device
            AND known.incarnation = floors.incarnation
    )
    SELECT count(*) FROM dropped";

/// How many there are, and how many of them all members have.
const COUNT: &str = "SELECT count(*), count(author.last)
    FROM storex.transaction AS one
    LEFT JOIN unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[])
        AS author (device, incarnation, known, last)
        ON one.device = author.device AND one.incarnation = author.incarnation
            AND one.position <= author.known AND one.sequence < author.last
    WHERE one.account = $1";

/// Makes a device a member, and tells the identity of the log.
pub(super) async fn register(
    session: &Session<'_>,
    account: i64,
    device: Device,
) -> Result<LogId, SyncError> {
    let [identity] = session.prepare([IDENTITY]).await?;
    let of_identity: [&(dyn ToSql + Sync); 1] = [&account];
    let (admitted, rows) =
        join(admit(session, account, device, 0), session.query(&identity, &of_identity)).await;
    admitted?;
    identity_among(session, &rows?)
}

pub(super) async fn admit(
    session: &Session<'_>,
    account: i64,
    device: Device,
    position: u64,
) -> Result<()> {
    let DeviceValues { id, incarnation } = DeviceValues::of(&device);
    let rows = session.ask(ADMIT, &[&account, &id, &incarnation, &int(position)]).await?;
    rows.first().map(drop).ok_or_else(|| session.gone())
}

/// Tells whether it was a member.
pub(super) async fn dismiss(session: &Session<'_>, account: i64, device: Device) -> Result<bool> {
    let DeviceValues { id, incarnation } = DeviceValues::of(&device);
    let rows = session.ask(DISMISS, &[&account, &id, &incarnation]).await?;
    let row = rows.first().ok_or_else(|| session.gone())?;
    Columns { session, row }.get(0)
}

pub(super) async fn list(session: &Session<'_>, account: i64) -> Result<Vec<Member>, SyncError> {
    let rows = session.ask(MEMBERS, &[&account]).await?;
    let member = |row| {
        let columns = Columns { session, row };
        Ok(Member { device: columns.device(0)?, behind: columns.uint(2)? })
    };
    rows.iter().map(member).collect()
}

/// Gives the log another identity if it has this one; tells which it has now.
pub(super) async fn reidentify(
    session: &Session<'_>,
    account: i64,
    known: LogId,
    other: LogId,
) -> Result<LogId, SyncError> {
    let (known, other) = (known.0.as_slice(), other.0.as_slice());
    session.ask(REIDENTIFY, &[&account, &known, &other]).await?;
    identity_among(session, &session.ask(IDENTITY, &[&account]).await?)
}

fn identity_among(session: &Session<'_>, rows: &[Row]) -> Result<LogId, SyncError> {
    let row = rows.first().ok_or_else(|| session.gone())?;
    Ok(Columns { session, row }.log(0)?)
}

/// Drops what all members have, in stretches: each is a transaction, so that nobody waits for long.
pub(super) async fn trim(session: &Session<'_>, account: i64) -> Result<Trimmed, SyncError> {
    let (mut transactions, mut after) = (0, Some(0));
    while let Some(position) = after {
        let (dropped, next) = trim_stretch(session, account, position).await?;
        transactions += dropped;
        after = next;
    }
    Ok(Trimmed { transactions })
}

/// Tells how many were dropped, and where the next stretch begins.
async fn trim_stretch(
    session: &Session<'_>,
    account: i64,
    after: u64,
) -> Result<(u64, Option<u64>), SyncError> {
    let statements = session.prepare([LOCK, STRETCH, SNAPSHOT_PLACE, DEVICES, DROP]).await?;
    let [lock, stretch, place, devices, drop_known] = statements;
    let after = int(after);
    let of_stretch: [&(dyn ToSql + Sync); 2] = [&account, &after];
    let guard = session.guard();
    let (begun, locked, stretch, place, devices) = join5(
        session.begin(),
        session.query(&lock, &of_stretch[..1]),
        session.query(&stretch, &of_stretch),
        session.query(&place, &of_stretch[..1]),
        session.query(&devices, &of_stretch[..1]),
    )
    .await;
    begun?;
    locked?.first().ok_or_else(|| session.gone())?;
    let stretch = stretch?;
    let end = stretch.first().map(|row| Columns { session, row }.uint(0)).transpose()?;
    let devices = LogDevice::read_all(session, &devices?)?;
    let authors = Authors::of(&devices, snapshot_position(session, &place?)?);
    let last = int(end.unwrap_or(u64::MAX));
    let Authors { ids, incarnations, known, last_sequences } = &authors;
    let values: [&(dyn ToSql + Sync); 7] =
        [&account, &after, &last, ids, incarnations, known, last_sequences];
    let (dropped, committed) = join(session.query(&drop_known, &values), guard.commit()).await;
    let dropped = dropped?;
    committed?;
    let row = dropped.first().ok_or_else(|| session.wrong())?;
    let goes_on = known.iter().any(|known| *known > last);
    Ok((Columns { session, row }.uint(0)?, end.filter(|_| goes_on)))
}

/// What a log holds: all, and what all members have of it. And whether something was dropped.
pub(super) struct Held {
    pub(super) transactions: u64,
    pub(super) droppable: u64,
    pub(super) has_floor: bool,
    pub(super) has_snapshot: bool,
}

pub(super) async fn held(session: &Session<'_>, account: i64) -> Result<Held, SyncError> {
    let [place, devices, count] = session.prepare([SNAPSHOT_PLACE, DEVICES, COUNT]).await?;
    let of_account: [&(dyn ToSql + Sync); 1] = [&account];
    let (place, devices) =
        join(session.query(&place, &of_account), session.query(&devices, &of_account)).await;
    let devices = LogDevice::read_all(session, &devices?)?;
    let Authors { ids, incarnations, known, last_sequences } = Authors::of(&devices, u64::MAX);
    let values: [&(dyn ToSql + Sync); 5] = [&account, &ids, &incarnations, &known, &last_sequences];
    let rows = session.query(&count, &values).await?;
    let row = rows.first().ok_or_else(|| session.wrong())?;
    let columns = Columns { session, row };
    Ok(Held {
        transactions: columns.uint(0)?,
        droppable: columns.uint(1)?,
        has_floor: devices.iter().any(|device| device.floor > 0),
        has_snapshot: !place?.is_empty(),
    })
}

/// The position behind which nothing is dropped.
fn snapshot_position(session: &Session<'_>, rows: &[Row]) -> Result<u64, SyncError> {
    match rows.first() {
        Some(row) => Cursor(Columns { session, row }.get(0)?).position(),
        None => Ok(u64::MAX),
    }
}

/// What the log knows of a device.
struct LogDevice {
    device: Device,
    last_sequence: u64,
    acknowledged: u64,
    member: bool,
    floor: u64,
}

impl LogDevice {
    fn read_all(session: &Session<'_>, rows: &[Row]) -> Result<Vec<Self>> {
        let one = |row| {
            let columns = Columns { session, row };
            Ok(Self {
                device: columns.device(0)?,
                last_sequence: columns.uint(2)?,
                acknowledged: columns.uint(3)?,
                member: columns.get(4)?,
                floor: columns.uint(5)?,
            })
        };
        rows.iter().map(one).collect()
    }
}

/// Up to where all members have what each device wrote, as values of a statement.
struct Authors<'a> {
    ids: Vec<&'a [u8]>,
    incarnations: Vec<i64>,
    known: Vec<i64>,
    last_sequences: Vec<i64>,
}

impl<'a> Authors<'a> {
    fn of(devices: &'a [LogDevice], most: u64) -> Self {
        let members = devices.iter().filter(|it| it.member);
        let members: Vec<_> = members.map(|it| (it.device, it.acknowledged)).collect();
        let known = |it: &LogDevice| int(log_rules::known_to_all(&members, it.device).min(most));
        Self {
            ids: devices.iter().map(|it| it.device.id.as_slice()).collect(),
            incarnations: devices.iter().map(|it| i64::from(it.device.incarnation)).collect(),
            known: devices.iter().map(known).collect(),
            last_sequences: devices.iter().map(|it| int(it.last_sequence)).collect(),
        }
    }
}

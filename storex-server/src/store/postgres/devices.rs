//! The directory of a user's devices.

use storex_core::Timestamp;
use tokio_postgres::Row;

use super::database::{Result, Session};
use super::rows::Columns;
use crate::store::{DeviceId, DeviceInfo};

/// How old a note that a device was seen may be, in milliseconds.
const FRESH: i64 = 60_000;

const LIST: &str = "SELECT id, name, registered_at, last_seen, revoked_at FROM storex.device
    WHERE account = $1 ORDER BY came, id";

const ONE: &str = "SELECT id, name, registered_at, last_seen, revoked_at FROM storex.device
    WHERE account = $1 AND id = $2";

const NOTE: &str = "INSERT INTO storex.device AS known (account, id, came, name, registered_at, last_seen)
    SELECT id, $2, (SELECT coalesce(max(came), 0) + 1 FROM storex.device WHERE account = $1), coalesce($3, ''), $4, $4
    FROM storex.account WHERE id = $1
    ON CONFLICT (account, id) DO UPDATE SET
        name = coalesce($3, known.name), last_seen = greatest(known.last_seen, excluded.last_seen)
    RETURNING id, name, registered_at, last_seen, revoked_at";

const REVOKE: &str = "WITH revoked AS (
        INSERT INTO storex.device AS known (account, id, came, name, registered_at, last_seen, revoked_at)
        SELECT id, $2, (SELECT coalesce(max(came), 0) + 1 FROM storex.device WHERE account = $1), '', $3, $3, $3
        FROM storex.account WHERE id = $1
        ON CONFLICT (account, id) DO UPDATE SET revoked_at = excluded.revoked_at WHERE known.revoked_at IS NULL
    )
    SELECT id FROM storex.account WHERE id = $1";

pub(super) async fn list(session: &Session<'_>, account: i64) -> Result<Vec<DeviceInfo>> {
    let rows = session.ask(LIST, &[&account]).await?;
    rows.iter().map(|row| read(session, row)).collect()
}

pub(super) async fn note(
    session: &Session<'_>,
    account: i64,
    device: DeviceId,
    name: Option<&str>,
    now: Timestamp,
) -> Result<DeviceInfo> {
    // The one character that a text of PostgreSQL's cannot hold.
    let name = name.map(|name| name.replace('\0', ""));
    let id = device.as_slice();
    if let Some(row) = session.ask(ONE, &[&account, &id]).await?.first() {
        let known = read(session, row)?;
        let is_named = name.as_ref().is_none_or(|name| *name == known.name);
        if is_named && now.0.saturating_sub(known.last_seen.0) < FRESH {
            return Ok(known);
        }
    }
    let rows = session.ask(NOTE, &[&account, &id, &name, &now.0]).await?;
    read(session, rows.first().ok_or_else(|| session.gone())?)
}

pub(super) async fn revoke(
    session: &Session<'_>,
    account: i64,
    device: DeviceId,
    now: Timestamp,
) -> Result<()> {
    let rows = session.ask(REVOKE, &[&account, &device.as_slice(), &now.0]).await?;
    rows.first().map(drop).ok_or_else(|| session.gone())
}

fn read(session: &Session<'_>, row: &Row) -> Result<DeviceInfo> {
    let columns = Columns { session, row };
    Ok(DeviceInfo {
        id: columns.device_id(0)?,
        name: columns.get(1)?,
        registered_at: Timestamp(columns.get(2)?),
        last_seen: Timestamp(columns.get(3)?),
        revoked_at: columns.get::<Option<i64>>(4)?.map(Timestamp),
    })
}

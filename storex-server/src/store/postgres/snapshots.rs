//! The snapshot of a log.

use async_trait::async_trait;
use futures_util::future::{join3, join4, join5};
use storex_sync::{Cursor, Snapshot, SnapshotId, Snapshots, SyncError, Usage};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::database::{Result, Session};
use super::log::PostgresLog;
use super::members::{self, Held, LOCK};
use super::rows::{Columns, DeviceValues, int};

const WRITING: &str = "writing a snapshot into the shared log";
const READING: &str = "reading the shared log's snapshot";

const PUBLISHED: &str = "SELECT maker, incarnation, number, pages, place FROM storex.snapshot
    WHERE account = $1";

/// The pages that a maker has begun to put and never published.
const DROP_BEGUN: &str = "DELETE FROM storex.snapshot_page AS page
    WHERE account = $1 AND maker = $2 AND incarnation = $3 AND number <> $4 AND NOT EXISTS (
        SELECT FROM storex.snapshot AS published
        WHERE published.account = $1 AND published.maker = page.maker
            AND published.incarnation = page.incarnation AND published.number = page.number
    )";

const PUT: &str =
    "INSERT INTO storex.snapshot_page (account, maker, incarnation, number, page, bytes)
    SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (
        SELECT FROM storex.snapshot
        WHERE account = $1 AND maker = $2 AND incarnation = $3 AND number = $4
    )
    ON CONFLICT (account, maker, incarnation, number, page) DO UPDATE SET bytes = excluded.bytes";

const PAGE: &str = "SELECT bytes FROM storex.snapshot_page
    WHERE account = $1 AND maker = $2 AND incarnation = $3 AND number = $4 AND page = $5";

const DROP: &str = "DELETE FROM storex.snapshot_page
    WHERE account = $1 AND maker = $2 AND incarnation = $3 AND number = $4";

/// How many of its pages are there, and whether something behind its place was dropped.
const COMPLETE: &str = "SELECT (
        SELECT count(*) FROM storex.snapshot_page
        WHERE account = $1 AND maker = $2 AND incarnation = $3 AND number = $4 AND page < $5
    ), EXISTS (SELECT FROM storex.log_device WHERE account = $1 AND floor > $6)";

const PUBLISH: &str =
    "INSERT INTO storex.snapshot (account, maker, incarnation, number, pages, place)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (account) DO UPDATE SET maker = excluded.maker, incarnation = excluded.incarnation,
        number = excluded.number, pages = excluded.pages, place = excluded.place";

#[async_trait]
impl Snapshots for PostgresLog {
    /// With the log's lock, so that the snapshot is not published meanwhile.
    async fn put_page(&self, id: SnapshotId, page: u64, bytes: &[u8]) -> Result<(), SyncError> {
        let session = self.session(WRITING).await?;
        let [lock, drop_begun, put] = session.prepare([LOCK, DROP_BEGUN, PUT]).await?;
        let number = id.number.to_be_bytes();
        let (maker, number) = (DeviceValues::of(&id.maker), number.as_slice());
        let is_first = page == 0;
        let page = int(page);
        let values: [&(dyn ToSql + Sync); 6] =
            [&self.account, &maker.id, &maker.incarnation, &number, &page, &bytes];
        let guard = session.guard();
        let drop_begun = async {
            match is_first {
                true => session.query(&drop_begun, &values[..4]).await.map(drop),
                false => Ok(()),
            }
        };
        let (begun, locked, dropped, put, committed) = join5(
            session.begin(),
            session.query(&lock, &values[..1]),
            drop_begun,
            session.query(&put, &values),
            guard.commit(),
        )
        .await;
        begun?;
        locked?.first().ok_or_else(|| session.gone())?;
        dropped?;
        put?;
        committed?;
        Ok(())
    }

    async fn publish(&self, snapshot: &Snapshot) -> Result<bool, SyncError> {
        let place = snapshot.place.position()?;
        let session = self.session(WRITING).await?;
        let [lock, published, complete] = session.prepare([LOCK, PUBLISHED, COMPLETE]).await?;
        let [publish, drop_pages] = session.prepare([PUBLISH, DROP]).await?;
        let number = snapshot.id.number.to_be_bytes();
        let (maker, number) = (DeviceValues::of(&snapshot.id.maker), number.as_slice());
        let (pages, position) = (int(snapshot.pages), int(place));
        let values: [&(dyn ToSql + Sync); 6] =
            [&self.account, &maker.id, &maker.incarnation, &number, &pages, &position];
        let guard = session.guard();
        let (begun, locked, published, complete) = join4(
            session.begin(),
            session.query(&lock, &values[..1]),
            session.query(&published, &values[..1]),
            session.query(&complete, &values),
        )
        .await;
        begun?;
        locked?.first().ok_or_else(|| session.gone())?;
        let former = published_among(&session, &published?)?;
        if former.as_ref().is_some_and(|former| former.id == snapshot.id) {
            return Ok(true);
        }
        let complete = complete?;
        let row = complete.first().ok_or_else(|| session.wrong())?;
        let columns = Columns { session: &session, row };
        let is_whole = columns.uint(0)? == snapshot.pages && !columns.get::<bool>(1)?;
        let is_later = match &former {
            Some(former) => former.place.position()? <= place,
            None => true,
        };
        let becomes_published = is_whole && is_later;
        let given_up = if becomes_published { former.map(|it| it.id) } else { Some(snapshot.id) };
        let place = snapshot.place.0.as_slice();
        let of_publish: [&(dyn ToSql + Sync); 6] =
            [&self.account, &maker.id, &maker.incarnation, &number, &pages, &place];
        let publishing = async {
            match becomes_published {
                true => session.query(&publish, &of_publish).await.map(drop),
                false => Ok(()),
            }
        };
        let dropping = async {
            let Some(SnapshotId { maker, number }) = given_up else { return Ok(()) };
            let number = number.to_be_bytes();
            let (maker, number) = (DeviceValues::of(&maker), number.as_slice());
            let values: [&(dyn ToSql + Sync); 4] =
                [&self.account, &maker.id, &maker.incarnation, &number];
            session.query(&drop_pages, &values).await.map(drop)
        };
        let (published, dropped, committed) = join3(publishing, dropping, guard.commit()).await;
        published?;
        dropped?;
        committed?;
        Ok(becomes_published)
    }

    async fn published(&self) -> Result<Option<Snapshot>, SyncError> {
        let session = self.session(READING).await?;
        let rows = session.ask(PUBLISHED, &[&self.account]).await?;
        Ok(published_among(&session, &rows)?)
    }

    async fn page(&self, id: SnapshotId, page: u64) -> Result<Option<Vec<u8>>, SyncError> {
        let session = self.session(READING).await?;
        let number = id.number.to_be_bytes();
        let (maker, number) = (DeviceValues::of(&id.maker), number.as_slice());
        let values: [&(dyn ToSql + Sync); 5] =
            [&self.account, &maker.id, &maker.incarnation, &number, &int(page)];
        let rows = session.ask(PAGE, &values).await?;
        let bytes = rows.first().map(|row| Columns { session: &session, row }.get(0));
        Ok(bytes.transpose()?)
    }

    async fn usage(&self) -> Result<Usage, SyncError> {
        let session = self.session("looking at what the shared log holds").await?;
        let held = members::held(&session, self.account).await?;
        let Held { transactions, droppable, has_floor, has_snapshot } = held;
        Ok(Usage { transactions, droppable, lacks_beginning: has_floor && !has_snapshot })
    }
}

fn published_among(session: &Session<'_>, rows: &[Row]) -> Result<Option<Snapshot>> {
    let Some(row) = rows.first() else { return Ok(None) };
    let columns = Columns { session, row };
    let (id, pages) = (columns.snapshot(0)?, columns.uint(3)?);
    Ok(Some(Snapshot { id, pages, place: Cursor(columns.get(4)?) }))
}

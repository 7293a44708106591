//! The snapshot of a log in a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use storex_core::{
    Batch, Filter, Key, MaybeSend, MaybeSync, Name, OnConflict, Query, Record, Step, Trace, Value,
    field,
};

use super::BackendSharedLog;
use super::members::{droppable, members_among};
use super::removing::check_not_removed;
use super::rows::{
    DEVICES, DeviceRow, SNAPSHOT, SNAPSHOT_PAGES, TRANSACTIONS, device, int, of_log, uint, wrong,
};
use crate::error::{During, Result};
use crate::shared_log::{Cursor, Snapshot, SnapshotId, Snapshots, Usage};

const WRITING: &str = "writing a snapshot into the shared log";
const READING: &str = "reading the shared log's snapshot";

/// The row of the snapshot that a log has published.
pub(super) fn find_published(log: &str) -> Query {
    Query::new(SNAPSHOT).filter(Filter::key(log))
}

/// The snapshot that is published, among the rows that were found.
pub(super) fn published_among(rows: &[Record]) -> Result<Option<Snapshot>> {
    let Some(row) = rows.first() else { return Ok(None) };
    let number = row.get(3).as_bytes().and_then(|it| it.try_into().ok()).ok_or_else(wrong)?;
    Ok(Some(Snapshot {
        id: SnapshotId {
            maker: device(row.get(1), row.get(2))?,
            number: u64::from_be_bytes(number),
        },
        pages: uint(row.get(4))?,
        place: Cursor(row.get(5).as_bytes().ok_or_else(wrong)?.to_vec()),
    }))
}

/// The position behind which nothing is dropped.
pub(super) fn position_among(rows: &[Record]) -> Result<u64> {
    published_among(rows)?.map_or(Ok(u64::MAX), |published| published.place.position())
}

fn record(log: &str, Snapshot { id, pages, place }: &Snapshot) -> Record {
    let mut values = vec![Value::from(log)];
    values.extend(id_values(*id));
    values.extend([int(*pages), Value::Bytes(place.0.clone())]);
    Record::new(values)
}

fn id_values(SnapshotId { maker, number }: SnapshotId) -> [Value; 3] {
    [
        Value::Bytes(maker.id.to_vec()),
        Value::Int(i64::from(maker.incarnation)),
        Value::Bytes(number.to_be_bytes().to_vec()),
    ]
}

/// The pages of the snapshots of a maker.
fn made_by(log: &str, SnapshotId { maker, .. }: SnapshotId) -> Filter {
    let maker =
        field("maker").eq(maker.id.as_slice()).and(field("incarnation").eq(maker.incarnation));
    of_log(log).and(maker)
}

fn number(id: SnapshotId) -> Value {
    Value::Bytes(id.number.to_be_bytes().to_vec())
}

fn pages_of(log: &str, id: SnapshotId) -> Filter {
    made_by(log, id).and(field("number").eq(number(id)))
}

fn drop_pages(filter: Filter) -> Step {
    Step::Delete { collection: SNAPSHOT_PAGES.into(), filter }
}

/// The steps that keep a page.
fn put_steps(
    trace: &Trace,
    log: &str,
    id: SnapshotId,
    page: u64,
    bytes: &[u8],
) -> Result<Vec<Step>> {
    check_not_removed(trace.found(1))?;
    let published = published_among(trace.found(0))?.map(|published| published.id);
    if published == Some(id) {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    if page == 0 {
        let mut abandoned = made_by(log, id).and(field("number").ne(number(id)));
        if let Some(published) = published.filter(|published| published.maker == id.maker) {
            abandoned = abandoned.and(field("number").ne(number(published)));
        }
        steps.push(drop_pages(abandoned));
    }
    let mut values = vec![Value::from(log)];
    values.extend(id_values(id));
    values.extend([int(page), Value::Bytes(bytes.to_vec())]);
    steps.push(Step::create_or(SNAPSHOT_PAGES, vec![Record::new(values)], OnConflict::Replace));
    Ok(steps)
}

/// The steps that publish a snapshot or give it up, and which of the two.
fn publish_steps(trace: &Trace, log: &str, snapshot: &Snapshot) -> Result<(Vec<Step>, bool)> {
    let position = snapshot.place.position()?;
    check_not_removed(trace.found(3))?;
    let published = published_among(trace.found(2))?;
    if published.as_ref().is_some_and(|published| published.id == snapshot.id) {
        return Ok((Vec::new(), true));
    }
    let earlier = match &published {
        Some(published) => published.place.position()? <= position,
        None => true,
    };
    let follows = trace.found(1).is_empty();
    let whole = trace.found(0).len() as u64 == snapshot.pages;
    if !earlier || !follows || !whole {
        return Ok((vec![drop_pages(pages_of(log, snapshot.id))], false));
    }
    let mut steps =
        vec![Step::create_or(SNAPSHOT, vec![record(log, snapshot)], OnConflict::Replace)];
    steps.extend(published.map(|former| drop_pages(pages_of(log, former.id))));
    Ok((steps, true))
}

impl BackendSharedLog {
    async fn publish_once(&self, snapshot: &Snapshot) -> Result<bool> {
        let position = snapshot.place.position()?;
        let pages = pages_of(&self.name, snapshot.id).and(field("page").lt(int(snapshot.pages)));
        let above = of_log(&self.name).and(field("floor").gt(int(position)));
        let look = Batch::new()
            .find(self.find_identity())
            .find(find_published(&self.name))
            .find(Query::new(DEVICES).filter(above).limit(1))
            .find(Query::new(SNAPSHOT_PAGES).filter(pages).select(["page"]));
        let is_published = Arc::new(AtomicBool::new(false));
        let log = Name::clone(&self.name);
        let decide = deciding(log, snapshot.clone(), Arc::clone(&is_published));
        self.execute_then(look, WRITING, decide).await?;
        Ok(is_published.load(Ordering::SeqCst))
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Snapshots for BackendSharedLog {
    async fn put_page(&self, id: SnapshotId, page: u64, bytes: &[u8]) -> Result<()> {
        let bytes: Arc<[u8]> = bytes.into();
        let put = async || {
            let look = Batch::new()
                .find(self.find_identity())
                .find(find_published(&self.name))
                .touching([SNAPSHOT_PAGES]);
            let (log, bytes) = (Name::clone(&self.name), Arc::clone(&bytes));
            let decide = move |trace: &Trace| put_steps(trace, &log, id, page, &bytes);
            self.execute_then(look, WRITING, decide).await.map(drop)
        };
        self.in_a_log(put).await
    }

    async fn publish(&self, snapshot: &Snapshot) -> Result<bool> {
        self.in_a_log(|| self.publish_once(snapshot)).await
    }

    async fn published(&self) -> Result<Option<Snapshot>> {
        published_among(&self.storage.find(find_published(&self.name)).await.during(READING)?)
    }

    async fn page(&self, id: SnapshotId, page: u64) -> Result<Option<Vec<u8>>> {
        let [maker, incarnation, number] = id_values(id);
        let log = Value::from(&*self.name);
        let key = Key::compound([log, maker, incarnation, number, int(page)]);
        let query = Query::new(SNAPSHOT_PAGES).filter(Filter::Keys(vec![key]));
        let rows = self.storage.find(query).await.during(READING)?;
        let bytes = rows.first().map(|row| row.get(5).as_bytes().ok_or_else(wrong));
        Ok(bytes.transpose()?.map(<[u8]>::to_vec))
    }

    async fn usage(&self) -> Result<Usage> {
        let during = "looking at what the shared log holds";
        let published = self.published().await?;
        let rows = self.storage.find(DeviceRow::find_all(&self.name)).await.during(during)?;
        let rows = rows.iter().map(DeviceRow::read).collect::<Result<Vec<_>>>()?;
        let members = members_among(&rows);
        let all = Query::new(TRANSACTIONS).filter(of_log(&self.name));
        let mut usage = Usage {
            transactions: self.storage.count(all).await.during(during)?,
            lacks_beginning: published.is_none() && rows.iter().any(|row| row.floor > 0),
            ..Usage::default()
        };
        for row in &rows {
            let filter = droppable(&self.name, row, &members, u64::MAX);
            let query = Query::new(TRANSACTIONS).filter(filter);
            usage.droppable += self.storage.count(query).await.during(during)?;
        }
        Ok(usage)
    }
}

/// Publishes inside the transaction, and tells outside of it what became of it.
fn deciding(
    log: Name,
    snapshot: Snapshot,
    is_published: Arc<AtomicBool>,
) -> impl Fn(&Trace) -> Result<Vec<Step>> + MaybeSend + MaybeSync + 'static {
    move |trace| {
        let (steps, published) = publish_steps(trace, &log, &snapshot)?;
        is_published.store(published, Ordering::SeqCst);
        Ok(steps)
    }
}

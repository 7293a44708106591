//! The sending side.

use std::sync::Arc;

use storex_core::{Batch, Collection, Filter, Position, Query, Step, StepOutcome, Value};

use super::frame::{CollectionHello, Frame, Hello, Rows, Tombstones};
use super::{InitialSync, InitialSyncReport, WINDOW};
use crate::channel::Channel;
use crate::clock_rows::clock_key;
use crate::error::{During, Result, SyncError};
use crate::key_code;
use crate::log::CLOCK;
use crate::meta::{DEVICES, Devices, Numbers, read_meta};
use crate::parked::{PARKED, Parked};
use crate::place::read_place;
use crate::scope::Holding;
use crate::tombstones::Deleted;

/// Parked transactions of a page: few, because each may be large.
const PARKED_PAGE: u64 = 16;

/// The values of a row, and its packed clock.
type RowWithClock = (Vec<Value>, Vec<u8>);

struct Sender<'a> {
    sync: &'a InitialSync,
    channel: &'a mut dyn Channel,
    report: InitialSyncReport,
    /// What this device held at the beginning.
    held: Holding,
    done: u64,
    total: u64,
    /// Pages under way.
    pending: usize,
}

pub(crate) async fn run(
    sync: &InitialSync,
    channel: &mut dyn Channel,
) -> Result<InitialSyncReport> {
    let storage = &sync.replica.storage;
    let collections: Vec<(Arc<Collection>, Arc<Numbers>)> = storage
        .registry()
        .collections()
        .iter()
        .filter_map(|it| Some((Arc::clone(it), Arc::clone(sync.replica.numbers.get(it.name())?))))
        .collect();
    let (hello, held) = hello(sync, &collections).await?;
    let total = hello.collections.iter().map(|collection| collection.count).sum();
    let during = "greeting the receiver";
    channel.send(Frame::Hello(hello).encode()).await?;
    match Frame::receive(channel, during).await? {
        Frame::Accept => {}
        other => return Err(other.unexpected(during)),
    }
    let report = InitialSyncReport::default();
    let mut sender = Sender { sync, channel, report, held, done: 0, total, pending: 0 };
    // Before the rows: what is applied here while they are sent is in the rows then.
    sender.send_parked().await?;
    // Before the rows too: what deleted objects occupied (a unique value) is free for them then.
    for (place, (_, numbers)) in collections.iter().enumerate() {
        sender.send_tombstones(place, numbers).await?;
    }
    for (place, (collection, numbers)) in collections.iter().enumerate() {
        sender.send_rows(place, collection, numbers).await?;
    }
    sender.finish().await
}

async fn hello(
    sync: &InitialSync,
    all: &[(Arc<Collection>, Arc<Numbers>)],
) -> Result<(Hello, Holding)> {
    let storage = &sync.replica.storage;
    // Place and devices come first: what is written from here on is in later pages, or follows in the log.
    let place = read_place(storage).await?;
    let (head, mut devices) = sync.replica.head().await?;
    let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
    devices.advance(me, head.next - 1, head.hlc);
    // A receiver may tell others of what it got from us; it must not be lost here then.
    storage.flush().await.during("making the database durable")?;
    let held = Holding::read(&sync.replica).await?;
    let (mut collections, mut local) = (Vec::new(), Vec::new());
    for (collection, numbers) in all {
        // Of what is held in part less is known than others exchange, as of what is local.
        let part = numbers.scope.filter(|_| held.lacks.some_of(numbers));
        let kept = numbers.local.iter().copied().chain(part);
        let kept = kept.filter_map(|at| collection.fields().get(at));
        local.extend(kept.map(|it| (Arc::clone(collection.name()), Arc::clone(&it.name))));
        let query = Query::new(Arc::clone(collection.name()));
        let count = storage.count(query).await.during("counting objects")?;
        collections.push(CollectionHello {
            name: Arc::clone(collection.name()),
            fields: numbers.synced().map(|at| Arc::clone(&collection.fields()[at].name)).collect(),
            numbers: numbers.synced().map(|at| numbers.fields[at]).collect(),
            count,
        });
    }
    let schema = storage.registry().fingerprint();
    Ok((Hello { schema, devices, place, collections, local }, held))
}

impl Sender<'_> {
    async fn send_rows(
        &mut self,
        place: usize,
        collection: &Arc<Collection>,
        numbers: &Arc<Numbers>,
    ) -> Result<()> {
        let mut after = None;
        let mut sent = 0;
        loop {
            let (devices, rows, next) = self.read_rows(collection, numbers, after).await?;
            let count = rows.len() as u64;
            if count > 0 {
                self.send_page(Frame::Rows(Rows { collection: place, devices, rows })).await?;
                sent += count;
                self.done += count;
                // Objects that were created meanwhile come on top.
                self.total = self.total.max(self.done);
                self.sync.tell(collection.name(), self.done, self.total);
            }
            match next {
                Some(position) => after = Some(position),
                None => break,
            }
        }
        self.report.objects.push((Arc::clone(collection.name()), sent));
        Ok(())
    }

    /// A page of rows with their clocks, read in one transaction: a row that is older than its clock would hide a write
    /// from the receiver for ever.
    async fn read_rows(
        &self,
        collection: &Arc<Collection>,
        numbers: &Arc<Numbers>,
        after: Option<Position>,
    ) -> Result<(Devices, Vec<RowWithClock>, Option<Position>)> {
        let mut query = Query::new(Arc::clone(collection.name())).limit(self.sync.page);
        query.after = after;
        let find = query.clone();
        let (schema, number) = (Arc::clone(collection), numbers.collection);
        let begun = Batch::new().step(read_meta(&[DEVICES])).find(query).touching([CLOCK]);
        let batch = begun.then(move |trace| {
            let keys = trace.found(0).iter().map(|record| {
                let key = schema.primary_key().iter().map(|at| record.get(*at));
                clock_key(number, key_code::encode(key))
            });
            Ok(vec![Step::Find(Query::new(CLOCK).filter(Filter::Keys(keys.collect())))])
        });
        let outcome = self.sync.replica.storage.apply(batch).await.during("reading a page")?;
        let mut found = outcome.executed().iter().filter_map(|executed| match &executed.outcome {
            StepOutcome::Found(records) => Some(records),
            _ => None,
        });
        let (Some(meta), Some(records), Some(clocks)) = (found.next(), found.next(), found.next())
        else {
            return Err(SyncError::NoSyncLog);
        };
        let full = records.len() as u64 == self.sync.page;
        let next = records.last().filter(|_| full).map(|last| find.position_of(collection, last));
        // Clocks come in the order of the keys; rows older than sync have none.
        let mut clocks = clocks.iter().peekable();
        let rows = records.iter().map(|record| {
            let code = key_code::encode(collection.primary_key().iter().map(|at| record.get(*at)));
            let clock = clocks.next_if(|row| row.get(1).as_bytes() == Some(&code));
            let clock = clock.and_then(|row| row.get(2).as_bytes()).unwrap_or_default();
            let values = numbers.synced().map(|at| record.get(at).clone());
            (values.collect(), clock.to_vec())
        });
        Ok((Devices::among(meta)?, rows.collect(), next))
    }

    /// Clocks of objects that are deleted.
    async fn send_tombstones(&mut self, place: usize, numbers: &Arc<Numbers>) -> Result<()> {
        let replica = &self.sync.replica;
        let mut tombstones = crate::tombstones::Tombstones::of(replica, numbers, self.sync.page)?;
        while let Some(Deleted { devices, objects, .. }) = tombstones.next(replica).await? {
            self.report.tombstones += objects.len() as u64;
            let frame = Frame::Tombstones(Tombstones { collection: place, devices, objects });
            self.send_page(frame).await?;
        }
        Ok(())
    }

    /// What is parked here counts as followed in the table of devices, so the receiver would never ask for it: it is
    /// parked there too, and tried at the end.
    async fn send_parked(&mut self) -> Result<()> {
        let storage = &self.sync.replica.storage;
        let collection = Arc::clone(storage.collection(PARKED)?);
        let mut query = Query::new(PARKED).limit(PARKED_PAGE);
        loop {
            let rows = storage.find(query.clone()).await.during("reading what is parked")?;
            let full = rows.len() as u64 == PARKED_PAGE;
            let next = rows.last().filter(|_| full).map(|it| query.position_of(&collection, it));
            if !rows.is_empty() {
                let parked = rows.iter().map(Parked::from_record).collect::<Result<_>>()?;
                self.send_page(Frame::Parked(parked)).await?;
            }
            match next {
                Some(position) => query.after = Some(position),
                None => return Ok(()),
            }
        }
    }

    async fn send_page(&mut self, frame: Frame) -> Result<()> {
        while self.pending >= WINDOW {
            self.await_answer().await?;
        }
        self.channel.send(frame.encode()).await?;
        tracing::trace!(target: "storex::step", step = "initial.after_send");
        self.pending += 1;
        Ok(())
    }

    async fn await_answer(&mut self) -> Result<()> {
        let during = "waiting for the receiver to commit a page";
        match Frame::receive(self.channel, during).await? {
            Frame::Received => {
                self.pending -= 1;
                Ok(())
            }
            other => Err(other.unexpected(during)),
        }
    }

    async fn finish(mut self) -> Result<InitialSyncReport> {
        while self.pending > 0 {
            self.await_answer().await?;
        }
        // With the end the receiver takes for here what the hello says, and a log is trimmed to a snapshot.
        self.held.check(&self.sync.replica).await?;
        let during = "waiting for the receiver to finish";
        self.channel.send(Frame::Finish.encode()).await?;
        match Frame::receive(self.channel, during).await? {
            Frame::Finished => Ok(self.report),
            other => Err(other.unexpected(during)),
        }
    }
}

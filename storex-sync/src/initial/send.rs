//! The sending side of a leg.

use std::sync::Arc;

use storex_core::{Name, Query, Record, Value};

use super::difference::Share;
use super::event::{Count, InitialSyncEvent, Role};
use super::frame::{Frame, Rows, Tombstones};
use super::hooks::PassingObject;
use super::line::{Heard, Line};
use super::offer::{Offer, Offered, Takes};
use super::pages::{Clocked, PAGE_BYTES, Pages, Reach, weight};
use super::unclaimed::Unclaimed;
use super::{InitialSync, InitialSyncReport, difference};
use crate::error::{During, Result};
use crate::meta::Devices;
use crate::parked::{PARKED, Parked, WaitsFor};
use crate::tombstones::Deleted;

/// Parked transactions of a page: few, because each may be large.
const PARKED_PAGE: u64 = 16;

pub(super) struct Sender<'a, 'c> {
    pub(super) sync: &'a InitialSync,
    pub(super) line: &'a mut Line<'c>,
    report: InitialSyncReport,
    count: Count<'a>,
    /// Pages under way, and the most that may be.
    pending: usize,
    window: usize,
}

/// Sends everything, or what differs; the other side takes so many pages unanswered.
pub(super) async fn run(
    sync: &InitialSync,
    line: &mut Line<'_>,
    window: usize,
    compares: bool,
) -> Result<InitialSyncReport> {
    let (hello, mut offer) = Offer::make(sync).await?;
    let counts = hello.collections.iter().map(|collection| collection.count);
    let count = Count::begin(&sync.observers, Role::Sender, counts);
    let during = "waiting for the receiver to accept";
    line.send(&Frame::Hello(hello)).await?;
    let accept = match line.receive(during).await? {
        Frame::Accept(accept) => accept,
        other => return Err(other.unexpected(during)),
    };
    let receiver_lacks = offer.accepted(&accept)?;
    if !receiver_lacks.is_empty() {
        let sender_lacks = Vec::new();
        sync.observers.tell(&InitialSyncEvent::SchemasDiffer { receiver_lacks, sender_lacks });
    }
    let mut share = Share::default();
    let mut report = InitialSyncReport::default();
    if compares {
        let compared;
        (share, compared) = difference::ask(&sync.replica, &offer.held, line).await?;
        report.compared = Some(compared);
    }
    let window = window.min(sync.window);
    let mut sender = Sender { sync, line, report, count, pending: 0, window };
    // Before the rows: what is applied here while they are sent is in the rows then.
    sender.send_parked().await?;
    // Before the rows too: what deleted objects occupied (a unique value) is free for them then.
    for offered in offer.taken() {
        sender.send_tombstones(offered, &share).await?;
    }
    for offered in offer.taken() {
        sender.send_rows(offered, &share).await?;
    }
    sender.finish(&offer).await
}

impl Sender<'_, '_> {
    /// Sends the objects of a collection that have a share in it.
    async fn send_rows(&mut self, offered: &Offered, share: &Share) -> Result<()> {
        let mut sent = 0;
        for reach in share.rows(&offered.collection)? {
            sent += self.send_reach(offered, reach).await?;
        }
        self.report.objects.push((Name::clone(offered.collection.name()), sent));
        Ok(())
    }

    /// Sends objects of a collection; tells how many. While a page is sent the next one is read.
    async fn send_reach(&mut self, offered: &Offered, reach: Reach) -> Result<u64> {
        let replica = &self.sync.replica;
        let mut sent = 0;
        let mut pages = Pages::new(&offered.collection, &offered.numbers, reach, self.sync.page);
        let mut page = pages.next(replica).await?;
        while let Some((devices, rows)) = page {
            let (next, passed) =
                tokio::join!(pages.next(replica), self.send_some(offered, &devices, rows));
            sent += passed?;
            page = next?;
        }
        Ok(sent)
    }

    /// Sends these objects; tells how many have passed.
    async fn send_some(
        &mut self,
        offered: &Offered,
        devices: &Devices,
        rows: Vec<Clocked>,
    ) -> Result<u64> {
        let name = offered.collection.name();
        let (mut sent, read) = (0, rows.len() as u64);
        let passed = self.show(offered, rows).await?;
        let kept_back = read - passed.len() as u64;
        for rows in portions(passed) {
            let count = rows.len() as u64;
            self.send_page(&offered.page(devices.clone(), rows)?).await?;
            sent += count;
            self.count.add(name, count);
        }
        if kept_back > 0 {
            let collection = offered.place;
            self.send_page(&Frame::KeptBack { collection, count: kept_back }).await?;
            self.count.add(name, kept_back);
        }
        Ok(sent)
    }

    /// Shows objects to the application; those that pass are left.
    async fn show(&self, offered: &Offered, rows: Vec<Clocked>) -> Result<Vec<Clocked>> {
        let Some(hooks) = &self.sync.hooks else { return Ok(rows) };
        let during = "asking the application about what is sent";
        let mut passed = Vec::with_capacity(rows.len());
        for (mut record, clock) in rows {
            let mut object = PassingObject::new(&offered.collection, &mut record);
            let verdict = hooks.before_send(&mut object).await;
            if object.judged(during, verdict)? {
                passed.push((record, clock));
            }
        }
        Ok(passed)
    }

    /// Clocks of objects that are deleted.
    async fn send_tombstones(&mut self, offered: &Offered, share: &Share) -> Result<()> {
        let all = crate::tombstones::Tombstones::of(
            &self.sync.replica,
            &offered.numbers,
            self.sync.page,
        )?;
        for tombstones in share.tombstones(&offered.collection, &offered.numbers, &all) {
            self.send_those(offered, tombstones).await?;
        }
        Ok(())
    }

    async fn send_those(
        &mut self,
        offered: &Offered,
        mut tombstones: crate::tombstones::Tombstones,
    ) -> Result<()> {
        let replica = &self.sync.replica;
        while let Some(Deleted { devices, objects, .. }) = tombstones.next(replica).await? {
            self.report.tombstones += objects.len() as u64;
            let collection = offered.place;
            let frame = match offered.takes {
                Takes::Parked => {
                    let deleted = Unclaimed { deleted: objects, devices, living: Vec::new() };
                    offered.parked(deleted)?
                }
                _ => Frame::Tombstones(Tombstones { collection, devices, objects }),
            };
            self.send_page(&frame).await?;
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
                self.send_page(&Frame::Parked(parked)).await?;
            }
            match next {
                Some(position) => query.after = Some(position),
                None => return Ok(()),
            }
        }
    }

    /// Sends a page when the receiver has room for it, and nobody pauses.
    async fn send_page(&mut self, frame: &Frame) -> Result<()> {
        self.await_answers(self.window).await?;
        self.line.send(frame).await?;
        tracing::trace!(target: "storex::step", step = "initial.after_send");
        self.pending += 1;
        Ok(())
    }

    /// Waits until fewer pages than so many are under way, and nobody pauses.
    async fn await_answers(&mut self, most: usize) -> Result<()> {
        let during = "waiting for the receiver to commit a page";
        while let Some(frame) = self.line.arrived().await? {
            self.answered(&frame, during)?;
        }
        while self.pending >= most || self.line.is_paused() {
            if let Heard::Frame(frame) = self.line.hear(during).await? {
                self.answered(&frame, during)?;
            }
        }
        Ok(())
    }

    fn answered(&mut self, frame: &Frame, during: &'static str) -> Result<()> {
        match (frame, self.pending.checked_sub(1)) {
            (Frame::Received, Some(pending)) => {
                self.pending = pending;
                Ok(())
            }
            (other, _) => Err(other.unexpected(during)),
        }
    }

    async fn finish(mut self, offer: &Offer) -> Result<InitialSyncReport> {
        self.await_answers(1).await?;
        // With the end the receiver takes for here what the hello says, and a log is trimmed to a snapshot.
        offer.held.check(&self.sync.replica).await?;
        let during = "waiting for the receiver to finish";
        self.line.send(&Frame::Finish).await?;
        match self.line.receive(during).await? {
            Frame::Finished => {
                self.count.end();
                Ok(self.report)
            }
            other => Err(other.unexpected(during)),
        }
    }
}

impl Offered {
    /// The frame with these objects.
    fn page(&self, devices: Devices, rows: Vec<Clocked>) -> Result<Frame> {
        let of = |rows: Vec<Clocked>, places: &[usize]| -> Vec<(Vec<Value>, Vec<u8>)> {
            rows.into_iter().map(|(record, clock)| (values(record, places), clock)).collect()
        };
        if self.takes == Takes::Parked {
            let living = of(rows, &self.key_first());
            return self.parked(Unclaimed { living, devices, deleted: Vec::new() });
        }
        let rows = of(rows, &self.fields);
        Ok(Frame::Rows(Rows { collection: self.place, devices, rows }))
    }

    /// The frame with objects that the receiver parks.
    fn parked(&self, objects: Unclaimed) -> Result<Frame> {
        let name = self.collection.name();
        let sealed = objects.sealed(&self.collection, &self.numbers, &self.key_first())?;
        Ok(Frame::Parked(vec![Parked {
            device: sealed.device,
            sequence: sealed.sequence,
            waits_for: WaitsFor::Update,
            reason: format!("this program does not know collection `{name}` as the sender has it"),
            payload: sealed.payload,
        }]))
    }
}

fn values(mut record: Record, places: &[usize]) -> Vec<Value> {
    let all = record.values_mut();
    let taken = places.iter().map(|at| all.get_mut(*at).map(std::mem::take));
    taken.map(Option::unwrap_or_default).collect()
}

/// Rows in pages of bounded size, of one row at least.
fn portions(rows: Vec<Clocked>) -> Vec<Vec<Clocked>> {
    let (mut portions, mut bytes) = (Vec::<Vec<Clocked>>::new(), 0);
    for row in rows {
        let more = weight(&row);
        bytes += more;
        match portions.last_mut() {
            Some(portion) if bytes <= PAGE_BYTES => portion.push(row),
            _ => {
                portions.push(vec![row]);
                bytes = more;
            }
        }
    }
    portions
}

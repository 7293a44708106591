//! The sending side of a leg.

use std::sync::Arc;

use storex_core::{Name, Position, Query, Record, Value};

use super::difference::Share;
use super::event::{Count, InitialSyncEvent, Role};
use super::frame::{self, Frame, Rows};
use super::hooks::PassingObject;
use super::line::{Heard, Line};
use super::offer::{Offer, Offered, Takes};
use super::pages::{Clocked, PAGE_BYTES, Pages, Reach, weight};
use super::resume::Resumed;
use super::session::Agreed;
use super::unclaimed::Unclaimed;
use super::{InitialSync, InitialSyncReport, WINDOW, difference};
use crate::apply::Replica;
use crate::error::{During, Result};
use crate::meta::Devices;
use crate::parked::{PARKED, Parked, WaitsFor};
use crate::tombstones::{Deleted, Tombstones};

/// Parked transactions of a page: few, because each may be large.
const PARKED_PAGE: u64 = 16;

pub(super) struct Sender<'a, 'c> {
    pub(super) sync: &'a InitialSync,
    pub(super) line: &'a mut Line<'c>,
    /// What is sent.
    pub(super) source: Replica,
    report: InitialSyncReport,
    pub(super) count: Count<'a>,
    /// How many numbered pages were sent; `None`: they are not numbered.
    numbered: Option<u64>,
    /// Pages under way, and the most that may be.
    pending: usize,
    window: usize,
}

/// Sends everything, or what differs; `None`: to a recording.
pub(super) async fn run(
    sync: &InitialSync,
    line: &mut Line<'_>,
    agreed: Option<&Agreed>,
) -> Result<InitialSyncReport> {
    let compares = agreed.is_some_and(Agreed::compares);
    // What is compared is read in transactions of their own, and so is what differs.
    let source = match compares {
        true => sync.replica.clone(),
        false => sync.replica.at_this_moment().await?,
    };
    let (hello, mut offer) = Offer::make(sync, &source).await?;
    let counts = hello.collections.iter().map(|collection| collection.count);
    let count = Count::begin(&sync.observers, Role::Sender, counts);
    let during = "waiting for the receiver to accept";
    line.send(&Frame::Hello(hello.clone())).await?;
    let accept = match line.receive(during).await? {
        Frame::Accept(accept) => accept,
        other => return Err(other.unexpected(during)),
    };
    let receiver_lacks = offer.accepted(&accept)?;
    if !receiver_lacks.is_empty() {
        let sender_lacks = Vec::new();
        sync.observers.tell(&InitialSyncEvent::SchemasDiffer { receiver_lacks, sender_lacks });
    }
    let window = agreed.map_or(WINDOW, |agreed| agreed.window).min(sync.window);
    let objects = offer.collections.iter().map(|it| (Name::clone(it.collection.name()), 0));
    let report = InitialSyncReport { objects: objects.collect(), ..InitialSyncReport::default() };
    let mut sender =
        Sender { sync, line, source, report, count, numbered: None, pending: 0, window };
    let mut resumed = None;
    let mut share = Share::default();
    if let Some(agreed) = agreed.filter(|agreed| agreed.resumes()) {
        sender.numbered = Some(0);
        resumed = sender.resume(&hello, &offer, agreed.other, &accept.resume).await?;
    } else {
        sender.count.start(0);
    }
    if compares {
        let compared;
        (share, compared) = difference::ask(&sync.replica, &offer.held, sender.line).await?;
        sender.report.compared = Some(compared);
    }
    sender.send_all(&offer, resumed.as_ref(), &share).await?;
    sender.finish(&offer).await
}

impl Sender<'_, '_> {
    async fn send_all(
        &mut self,
        offer: &Offer,
        resumed: Option<&Resumed>,
        share: &Share,
    ) -> Result<()> {
        // Before the rows: what is applied here while they are sent is in the rows then.
        self.send_parked().await?;
        if let Some(resumed) = resumed {
            self.catch_up(offer, resumed).await?;
        }
        // Before the rows too: what deleted objects occupied (a unique value) is free for them then.
        for offered in offer.taken() {
            let after = resumed.map_or(Some(Vec::new()), |it| it.tombstones(offered.place));
            let Some(after) = after else { continue };
            let all = Tombstones::of(&self.source, &offered.numbers, self.sync.page)?;
            let after = after.first().and_then(Value::as_bytes);
            let all = all.between(offered.numbers.collection, after, None);
            for tombstones in share.tombstones(&offered.collection, &offered.numbers, &all) {
                self.send_tombstones(offered, tombstones).await?;
            }
        }
        for offered in offer.taken() {
            let after = resumed.map_or(Some(Vec::new()), |it| it.rows(offered.place));
            let Some(after) = after else { continue };
            let after = (!after.is_empty()).then_some(Position { values: after });
            for reach in share.rows(&offered.collection, after)? {
                self.send_rows(offered, reach).await?;
            }
        }
        Ok(())
    }

    /// Sends objects of a collection. While a page is sent the next one is read.
    pub(super) async fn send_rows(&mut self, offered: &Offered, reach: Reach) -> Result<()> {
        let source = self.source.clone();
        let mut sent = 0;
        let mut pages = Pages::new(&offered.collection, &offered.numbers, reach, self.sync.page);
        let mut page = pages.next(&source).await?;
        while let Some((devices, rows)) = page {
            let (next, passed) =
                tokio::join!(pages.next(&source), self.send_some(offered, &devices, rows));
            sent += passed?;
            page = next?;
        }
        if let Some((_, objects)) = self.report.objects.get_mut(offered.place) {
            *objects += sent;
        }
        Ok(())
    }

    /// Sends these objects; tells how many have passed.
    async fn send_some(
        &mut self,
        offered: &Offered,
        devices: &Devices,
        rows: Vec<Clocked>,
    ) -> Result<u64> {
        let (passed, kept_back) = self.show(offered, rows).await?;
        let (mut sent, mut told) = (0, 0);
        for rows in portions(passed) {
            sent += rows.len();
            // Told first: once the rows are there it is known that not all were sent. What stands behind them is not told yet: whoever
            // goes on behind them is shown it again.
            let before = kept_back.partition_point(|at| *at < sent);
            self.keep_back(offered, before - told).await?;
            told = before;
            let count = rows.len() as u64;
            self.send_page(offered.page(devices.clone(), rows)?).await?;
            self.count.add(offered.collection.name(), count);
        }
        self.keep_back(offered, kept_back.len() - told).await?;
        Ok(sent as u64)
    }

    /// Tells that so many objects are kept back.
    async fn keep_back(&mut self, offered: &Offered, objects: usize) -> Result<()> {
        if objects > 0 {
            let (collection, count) = (offered.place, objects as u64);
            self.send_page(Frame::KeptBack { collection, count }).await?;
            self.count.add(offered.collection.name(), count);
        }
        Ok(())
    }

    /// Shows objects to the application. Those that pass are left; of each that is kept back it is told how many that pass stand before it.
    async fn show(
        &self,
        offered: &Offered,
        rows: Vec<Clocked>,
    ) -> Result<(Vec<Clocked>, Vec<usize>)> {
        let Some(hooks) = &self.sync.hooks else { return Ok((rows, Vec::new())) };
        let during = "asking the application about what is sent";
        let (mut passed, mut kept_back) = (Vec::with_capacity(rows.len()), Vec::new());
        for (mut record, clock) in rows {
            let mut object = PassingObject::new(&offered.collection, &mut record);
            let verdict = hooks.before_send(&mut object).await;
            if object.judged(during, verdict)? {
                passed.push((record, clock));
            } else {
                kept_back.push(passed.len());
            }
        }
        Ok((passed, kept_back))
    }

    /// Sends clocks of objects that are deleted.
    async fn send_tombstones(
        &mut self,
        offered: &Offered,
        mut tombstones: Tombstones,
    ) -> Result<()> {
        loop {
            // Mostly little of much is deleted.
            let next = self.line.alive(tombstones.next(&self.source)).await?;
            let Some(Deleted { devices, objects, .. }) = next else { return Ok(()) };
            self.send_deleted(offered, devices, objects).await?;
        }
    }

    /// Sends clocks of objects that are deleted.
    pub(super) async fn send_deleted(
        &mut self,
        offered: &Offered,
        devices: Devices,
        objects: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<()> {
        self.report.tombstones += objects.len() as u64;
        let collection = offered.place;
        let frame = match offered.takes {
            Takes::Parked => {
                let deleted = Unclaimed { deleted: objects, devices, living: Vec::new() };
                offered.parked(deleted)?
            }
            _ => Frame::Tombstones(frame::Tombstones { collection, devices, objects, number: 0 }),
        };
        self.send_page(frame).await
    }

    /// What is parked here counts as followed in the table of devices, so the receiver would never ask for it: it is
    /// parked there too, and tried at the end.
    async fn send_parked(&mut self) -> Result<()> {
        let collection = Arc::clone(self.source.storage.collection(PARKED)?);
        let mut query = Query::new(PARKED).limit(PARKED_PAGE);
        loop {
            let rows =
                self.source.storage.find(query.clone()).await.during("reading what is parked")?;
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

    /// Sends a page when the receiver has room for it, and nobody pauses.
    pub(super) async fn send_page(&mut self, mut frame: Frame) -> Result<()> {
        self.await_answers(self.window).await?;
        if let (
            Some(pages),
            Frame::Rows(Rows { number, .. }) | Frame::Tombstones(frame::Tombstones { number, .. }),
        ) = (&mut self.numbered, &mut frame)
        {
            *pages += 1;
            *number = *pages;
        }
        self.line.send(&frame).await?;
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
        let frame = Vec::new();
        Ok(Frame::Rows(Rows { collection: self.place, devices, rows, number: 0, frame }))
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
    if places.len() == all.len() && places.iter().enumerate().all(|(n, at)| n == *at) {
        return record.into_values();
    }
    let taken = places.iter().map(|at| all.get_mut(*at).map(std::mem::take));
    taken.map(Option::unwrap_or_default).collect()
}

/// Rows in pages of bounded size, of one row at least.
fn portions(mut rows: Vec<Clocked>) -> Vec<Vec<Clocked>> {
    let (mut ends, mut bytes) = (Vec::new(), 0);
    for (n, row) in rows.iter().enumerate() {
        let more = weight(row);
        bytes += more;
        if bytes > PAGE_BYTES && n > 0 {
            ends.push(n);
            bytes = more;
        }
    }
    // Mostly there is one page, which stays where it is.
    let mut portions: Vec<Vec<Clocked>> = Vec::with_capacity(ends.len() + 1);
    for end in ends.into_iter().rev() {
        portions.push(rows.split_off(end));
    }
    portions.extend(Some(rows).filter(|rows| !rows.is_empty()));
    portions.reverse();
    portions
}

//! The sender goes on: it sends what was written since in the part that is there.

use storex_core::{Collection, Key, Position, Record, Value};

use super::super::frame::{Frame, Hello};
use super::super::offer::{Offer, Offered, Takes};
use super::super::pages::Reach;
use super::super::send::Sender;
use super::ticket::ticket;
use super::{Cut, Phase, Token};
use crate::apply::Replica;
use crate::clock::Clock;
use crate::clock_rows::{clocks_of, columns};
use crate::error::{During, Result};
use crate::key_code;
use crate::log::CLOCK;
use crate::meta::Devices;
use crate::scope::is_marker;
use crate::stamp::{Device, Hlc, Stamp};
use crate::state::OLDEST;

/// What a sender goes on from.
#[derive(Debug)]
pub(in super::super) struct Resumed {
    phase: Phase,
    /// The place in the hello of the collection that is under way.
    place: usize,
    after: Vec<Value>,
    since: Since,
}

/// From one moment of this device to another.
#[derive(Debug)]
struct Since {
    then: Devices,
    now: Devices,
    /// What the receiver has, wherever it has it from.
    there: Devices,
}

impl Since {
    /// Whether all that a clock tells of was here before.
    fn knows(&self, clock: &Clock) -> bool {
        clock.newest().hlc > Hlc::ZERO && clock.stamps().all(|stamp| self.knew(stamp))
    }

    fn knew(&self, stamp: Stamp) -> bool {
        if stamp.hlc != OLDEST {
            return self.then.has_applied(stamp) || self.there.has_applied(stamp);
        }
        // What is older than sync is sent late, and says nothing of when: it was here if its device has written nothing since.
        let sequence = |devices: &Devices| devices.find(stamp.device).map(|known| known.sequence);
        sequence(&self.then) == sequence(&self.now)
    }

    /// Whether the receiver has all that it has written itself, as far as it is known here: one that was put back has not, although it
    /// may have written later things since. One that claims nothing is sent its own too.
    fn is_all_of(&self, receiver: Device) -> bool {
        let sequence = |devices: &Devices| devices.find(receiver).map(|known| known.sequence);
        sequence(&self.there).is_none_or(|there| sequence(&self.now) <= Some(there))
    }

    /// Whether this device has gone on since: one that was put back has not.
    fn goes_on(&self) -> bool {
        self.then.iter().all(|then| {
            self.now
                .find(then.device)
                .is_some_and(|now| now.sequence >= then.sequence && now.hlc >= then.hlc)
        })
    }
}

impl Resumed {
    /// Where to go on by a token; `None`: it does not fit.
    fn from(cut: Cut, hello: &Hello, offer: &Offer) -> Option<Self> {
        let Cut { token: Token { devices, position, .. }, has } = cut;
        let since = Since { then: devices, now: hello.devices.clone(), there: has };
        let place = match position.phase {
            Phase::Through => hello.collections.len(),
            _ => hello.collections.iter().position(|it| it.name == position.collection)?,
        };
        let offered = offer.collections.get(place);
        let is_place = offered.is_none_or(|offered| match position.phase {
            Phase::Rows => is_key(&offered.collection, &position.after),
            _ => matches!(position.after.as_slice(), [Value::Bytes(_)]),
        });
        let fits = since.goes_on() && is_place;
        let (phase, after) = (position.phase, position.after);
        fits.then_some(Self { phase, place, after, since })
    }

    /// Where the tombstones of a collection go on; `None`: they are there.
    pub(in super::super) fn tombstones(&self, place: usize) -> Option<Vec<Value>> {
        self.behind(Phase::Tombstones, place)
    }

    /// Where the rows of a collection go on; `None`: they are there.
    pub(in super::super) fn rows(&self, place: usize) -> Option<Vec<Value>> {
        self.behind(Phase::Rows, place)
    }

    fn behind(&self, phase: Phase, place: usize) -> Option<Vec<Value>> {
        match (self.phase.cmp(&phase), self.place.cmp(&place)) {
            (std::cmp::Ordering::Less, _)
            | (std::cmp::Ordering::Equal, std::cmp::Ordering::Less) => Some(Vec::new()),
            (std::cmp::Ordering::Equal, std::cmp::Ordering::Equal) => Some(self.after.clone()),
            _ => None,
        }
    }

    /// Whether some of a collection is there.
    fn has(&self, phase: Phase, place: usize) -> bool {
        self.phase > phase || (self.phase == phase && place <= self.place)
    }
}

/// Whether these are the values of a key in the form in which they are stored here: in another one they have another place in the order.
fn is_key(collection: &Collection, values: &[Value]) -> bool {
    let fields = collection.primary_key().iter().filter_map(|at| collection.fields().get(*at));
    let is_stored = |(field, value): (_, &Value)| {
        let mut checked = value.clone();
        collection.check_value(field, &mut checked).is_ok() && checked == *value
    };
    values.len() == collection.primary_key().len() && fields.zip(values).all(is_stored)
}

/// What was written to a collection since.
#[derive(Debug)]
struct Written {
    deleted: Vec<(Vec<u8>, Vec<u8>)>,
    living: Vec<Key>,
    /// The table to which the clocks refer.
    devices: Devices,
}

impl Sender<'_, '_> {
    /// Tells the receiver of the ticket, and whether what it has told fits.
    pub(in super::super) async fn resume(
        &mut self,
        hello: &Hello,
        offer: &Offer,
        receiver: Device,
        told: &[u8],
    ) -> Result<Option<Resumed>> {
        let ticket = ticket(&self.source, hello).await?;
        let cut = Some(told).filter(|told| !told.is_empty());
        // One that cannot be read is of another program.
        let cut = cut.and_then(|told| Cut::decode(told).ok());
        let cut = cut.filter(|cut| cut.token.ticket == ticket);
        let done = cut.as_ref().map_or(0, |cut| cut.token.done);
        let resumed = cut.and_then(|cut| Resumed::from(cut, hello, offer));
        let resumed = resumed.filter(|it| it.since.is_all_of(receiver));
        let resumes = resumed.is_some();
        self.line.send(&Frame::Resumable { ticket, resumes }).await?;
        self.count.start(if resumes { done } else { 0 });
        Ok(resumed)
    }

    /// Sends what was written since in the part that is there.
    pub(in super::super) async fn catch_up(
        &mut self,
        offer: &Offer,
        resumed: &Resumed,
    ) -> Result<()> {
        self.count.is_catching_up = true;
        // What deleted objects occupied is free then for the rows.
        for offered in offer.collections.iter().filter(|it| it.takes == Takes::Rows) {
            if resumed.has(Phase::Tombstones, offered.place) {
                self.catch_up_with(offered, resumed, Phase::Tombstones).await?;
            }
        }
        for offered in offer.collections.iter().filter(|it| it.takes == Takes::Rows) {
            if resumed.has(Phase::Rows, offered.place) {
                self.catch_up_with(offered, resumed, Phase::Rows).await?;
            }
        }
        self.count.is_catching_up = false;
        self.line.send(&Frame::CaughtUp).await
    }

    async fn catch_up_with(
        &mut self,
        offered: &Offered,
        resumed: &Resumed,
        phase: Phase,
    ) -> Result<()> {
        let mut reading = Some(None);
        while let Some(after) = reading {
            let page = self.sync.page;
            let written = find_written(&self.source, offered, resumed, phase, after, page);
            // Mostly little of much was written since.
            let (written, next) = self.line.alive(written).await?;
            reading = next.map(Some);
            if !written.deleted.is_empty() {
                self.send_deleted(offered, written.devices.clone(), written.deleted).await?;
            }
            if !written.living.is_empty() {
                self.send_rows(offered, Reach::Keys(written.living)).await?;
            }
        }
        Ok(())
    }
}

/// Looks on for what was written, page by page of clocks, until there is some; and where to go on.
async fn find_written(
    source: &Replica,
    offered: &Offered,
    resumed: &Resumed,
    phase: Phase,
    after: Option<Position>,
    page: u64,
) -> Result<(Written, Option<Position>)> {
    let clocks = source.storage.collection(CLOCK)?;
    let mut query = clocks_of(offered.numbers.collection).limit(page);
    query.after = after;
    loop {
        let rows = source.storage.find(query.clone()).await;
        let rows = rows.during("looking for what was written since")?;
        let written = written_among(source, resumed, phase, &rows).await?;
        let last = rows.last().filter(|_| rows.len() as u64 == page);
        let next = last.map(|last| query.position_of(clocks, last));
        if next.is_none() || !(written.deleted.is_empty() && written.living.is_empty()) {
            return Ok((written, next));
        }
        query.after = next;
    }
}

/// What of these clocks tells of something that was written since.
async fn written_among(
    source: &Replica,
    resumed: &Resumed,
    phase: Phase,
    rows: &[Record],
) -> Result<Written> {
    // Read after the clocks: the table only grows, so every device in them is in it.
    let (_, devices) = source.head().await?;
    let mut written = Written { deleted: Vec::new(), living: Vec::new(), devices };
    for row in rows {
        let (_, code, packed) = columns(row)?;
        if is_marker(packed) {
            continue;
        }
        let clock = Clock::decode(packed, &written.devices)?;
        match (resumed.since.knows(&clock), clock.is_alive(), phase) {
            (false, true, Phase::Rows) => written.living.push(key_code::decode(code)?),
            (false, false, Phase::Tombstones) => {
                written.deleted.push((code.to_vec(), packed.to_vec()));
            }
            _ => {}
        }
    }
    Ok(written)
}

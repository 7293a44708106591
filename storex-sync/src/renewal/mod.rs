//! A new incarnation: what a database does that was cloned or restored, or whose shared log is another one.
//!
//! ```text
//! the log holds what this database never wrote          ──▶  Forked: what is unsent is the new incarnation's;
//! (another transaction under a number, or more of them)       what the former one wrote elsewhere arrives as another device's
//! the log is another one, or has lost what it had       ──▶  Replaced: a new incarnation, whose is what no log was given; the
//!                                                             log from its beginning, and the whole state is sent again
//! the clock was far ahead when something was written    ──▶  Ahead: a new incarnation, and the whole state is sent again, with
//!                                                             what was far ahead dated anew
//! ```
//!
//! Each is one transaction on the own database, so a kill leaves it before or after.

mod former;
mod restamp;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{
    Batch, Direction, Filter, OnConflict, Query, Record, Registry, Step, Timestamp, Trace,
};

use crate::apply::Replica;
use crate::before::{BEFORE, forget_all};
use crate::clock_rows::{
    ClockRows, clock_key, clock_record, clocks_at, read_clock_rows, sort_clock_records,
};
use crate::error::{Result, SyncError};
use crate::exclusive::{Fence, HOLDER};
use crate::failure::Failure;
use crate::initial::resume::begin_anew;
use crate::key_code;
use crate::log::{CLOCK, LOG, log_row};
use crate::meta::{DEVICES, Devices, HEAD, Head, OFFERED, meta_row, read_meta, write_meta};
use crate::numbers::AllNumbers;
use crate::outbox::offered;
use crate::place::{CURSOR, Place};
use crate::shared_log::{Cursor, LogId};
use crate::stamp::{Device, Hlc, Stamp};
use crate::state::{self, PROGRESS, Progress};
use crate::transaction::{EntryValue, Transaction};
use former::Former;
pub(crate) use former::{FORMER, Formers, Since};
use restamp::{Fields, Moved, ObjectId};

const DURING: &str = "beginning a new incarnation";

/// How many incarnations may be passed over in another log: so unlikely it is that two choose the same, and so often it can
/// be done.
const STRIDE: u32 = 1 << 16;

/// Why a device begins a new incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// The shared log holds another transaction of this device under this number: the database is a copy of one that has
    /// gone on, or an older state of it.
    Forked {
        /// The number.
        at: u64,
    },
    /// The shared log holds this many transactions of this device, and the database has not written as many.
    Behind {
        /// The number of the last.
        last: u64,
    },
    /// The shared log is another one than before, or does not hold what it held.
    Replaced {
        /// What it is called now.
        log: LogId,
    },
    /// The clock was far ahead when this device wrote something, and is not any more. Others wait with these writes until
    /// their time comes, and with everything that the device writes after them.
    Ahead,
}

/// A renewal on its way into the database. Its functions are continuations: they may be called again.
#[derive(Debug)]
struct Renewing {
    /// Who it was when the reason was found.
    device: Device,
    renewal: Renewal,
    registry: Arc<Registry>,
    numbers: Arc<AllNumbers>,
    now: Timestamp,
    /// A number that was drawn.
    drawn: u32,
    /// A reading that is later is not believed; none where the clock is no judge.
    farthest: Option<Hlc>,
    fence: Option<Fence>,
    failure: Failure,
    renewed: Mutex<Option<Device>>,
}

impl Replica {
    /// Begins a new incarnation; `None`: there is no reason any more, because another process has done so, or has sent what
    /// the log holds.
    pub(crate) async fn renew(&self, device: Device, renewal: Renewal) -> Result<Option<Device>> {
        let mut drawn = [0; 4];
        self.storage.runtime().fill_random(&mut drawn);
        let renewing = Arc::new(Renewing {
            device,
            renewal,
            registry: Arc::clone(self.storage.registry()),
            numbers: Arc::clone(&self.numbers),
            now: self.storage.runtime().now(),
            drawn: u32::from_be_bytes(drawn),
            farthest: self.farthest(),
            fence: self.fence(),
            failure: Failure::default(),
            renewed: Mutex::default(),
        });
        let look = Query::new(LOG).order_by("sequence", Direction::Ascending);
        let decide = Arc::clone(&renewing);
        let batch = Batch::new()
            .step(read_meta(&[HEAD, DEVICES, FORMER, OFFERED, PROGRESS, HOLDER]))
            .find(look)
            .touching([CLOCK, BEFORE])
            .then(move |trace| decide.failure.keep(Arc::clone(&decide).begin(trace)));
        let executed = self.storage.apply(batch).await;
        renewing.failure.or(executed, DURING)?;
        Ok(renewing.renewed.lock().unwrap_or_else(PoisonError::into_inner).take())
    }
}

/// Where the database stands before it.
#[derive(Debug, Clone)]
struct Before {
    head: Head,
    devices: Devices,
    formers: Formers,
    new: Device,
    /// The state from its beginning.
    state: Progress,
    /// Up to where the application was asked about what is sent.
    asked: i64,
}

impl Before {
    /// `passes`: so many incarnations are passed over.
    fn read(meta: &[Record], passes: u32, farthest: Option<Hlc>) -> Result<Self> {
        let (head, devices) = (Head::among(meta)?, Devices::among(meta)?);
        let formers = meta_row(meta, FORMER).map(Formers::decode).transpose()?.unwrap_or_default();
        let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        // Copies of this database may have begun new incarnations, and their writes may have arrived here.
        let known = devices.iter().filter(|known| known.device.id == me.id);
        let last = known.map(|known| known.device.incarnation).max().unwrap_or_default();
        let next = last.max(me.incarnation).checked_add(1);
        let incarnation = next.and_then(|next| next.checked_add(passes));
        let incarnation = incarnation
            .ok_or_else(|| SyncError::corrupt("the device", "it has had too many incarnations"))?;
        let state = Progress::again(meta_row(meta, PROGRESS), farthest)?;
        let asked = offered(meta);
        Ok(Self { head, devices, formers, new: Device { incarnation, ..me }, state, asked })
    }

    /// The rows of `_storex_meta` behind it: the former incarnation was followed up to this number and reading.
    fn rows(
        mut self,
        sent: u64,
        seen: Hlc,
        next: u64,
        since: Since,
    ) -> Vec<(&'static str, Vec<u8>)> {
        let Some(device) = self.devices.device(self.head.me) else { return Vec::new() };
        let last = self.head.next.saturating_sub(1);
        self.formers.push(Former { device, sent, last, now: self.new, since });
        self.devices.advance(device, sent, seen);
        let head = Head { me: self.devices.number(self.new), next, hlc: self.head.hlc };
        vec![
            (HEAD, head.encode()),
            (DEVICES, self.devices.encode()),
            (FORMER, self.formers.encode()),
            // Under its numbers nothing was.
            (OFFERED, 0_i64.to_be_bytes().to_vec()),
        ]
    }

    /// Of these, how many are as the application wants them to be sent: it is not asked about them again.
    fn asked_of(&self, transactions: &[Transaction]) -> (&'static str, Vec<u8>) {
        let sequence = |it: &Transaction| i64::try_from(it.header.sequence).unwrap_or(i64::MAX);
        let asked = transactions.iter().filter(|it| sequence(it) <= self.asked).count();
        (OFFERED, i64::try_from(asked).unwrap_or(i64::MAX).to_be_bytes().to_vec())
    }
}

impl Renewing {
    fn begin(self: Arc<Self>, trace: &Trace) -> Result<Vec<Step>> {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let (meta, log) = (trace.found(1), trace.found(0));
        if let Some(fence) = self.fence {
            fence.check(meta)?;
        }
        // A database that was put back does not know who it was meanwhile, in a log that is gone, and others do: they would
        // take what it writes for what they have. In one and the same log this is noticed, as a fork.
        let passes = if self.is_replaced() { self.drawn % STRIDE } else { 0 };
        let before = Before::read(meta, passes, self.farthest)?;
        if before.devices.device(before.head.me) != Some(self.device) {
            return Ok(Vec::new());
        }
        let mut steps = match self.renewal {
            Renewal::Behind { last } if before.head.next > last => Ok(Vec::new()),
            Renewal::Behind { .. } => {
                // What was sent was sent before the log was read; what is here now was written since.
                let at = log.first().and_then(sequence_of).unwrap_or(before.head.next);
                self.fork(before, at, log)
            }
            Renewal::Forked { at } => self.fork(before, at, log),
            Renewal::Replaced { .. } => {
                // Nobody can tell any more whether this is a copy; if it is, its original has the same numbers, and perhaps
                // the same stamps. What the former log was given, and perhaps others have got from it, keeps its name.
                let given = u64::try_from(offered(meta)).unwrap_or(0);
                self.fork(before, given.saturating_add(1), log)
            }
            Renewal::Ahead => Ok(self.ahead(before, log.to_vec())),
        }?;
        if !steps.is_empty() {
            // Who it was when an initial sync was cut.
            steps.push(begin_anew());
        }
        Ok(steps)
    }

    fn is_replaced(&self) -> bool {
        matches!(self.renewal, Renewal::Replaced { .. })
    }

    /// What is in the log and was not sent is in the state that is sent again.
    fn state_again(
        &self,
        before: Before,
        log: &[Record],
        progress: Progress,
    ) -> Vec<(&'static str, Vec<u8>)> {
        let first = log.first().and_then(sequence_of).unwrap_or(before.head.next);
        self.note(before.new);
        let seen = before.head.hlc;
        let mut rows = before.rows(first.saturating_sub(1), seen, 1, Since::State);
        rows.push((PROGRESS, progress.encode()));
        rows
    }

    fn ahead(self: Arc<Self>, before: Before, log: Vec<Record>) -> Vec<Step> {
        let Some(farthest) = self.farthest else { return Vec::new() };
        let others = before.devices.iter().filter(|known| known.device.id != self.device.id);
        let last = others.map(|known| known.hlc).max().unwrap_or(Hlc::ZERO);
        // If others too are far ahead of the clock, then it is the clock that is behind.
        if before.head.hlc <= farthest || last > farthest {
            return Vec::new();
        }
        let next = Step::then(move |trace| {
            let kept = ClockRows::read(trace.found(0), &before.devices);
            let ClockRows { clocks, markers } = self.failure.keep(kept)?;
            // What others believe stays as it is, and what comes now is later than it.
            let stamps = clocks.values().flat_map(|clock| clock.stamps().map(|stamp| stamp.hlc));
            let believed = stamps.filter(|hlc| *hlc <= farthest).max().unwrap_or(Hlc::ZERO);
            let mut before = before.clone();
            before.head.hlc = believed.max(last).next(self.now);
            let progress = Progress::dating_anew(self.device, farthest);
            // What this device has said of them is believed by nobody, and is not told anew.
            let is_ahead = |it: Stamp| it.device.id == self.device.id && it.hlc > farthest;
            let void = markers.into_iter().filter(|(_, it)| it.stamps().any(is_ahead));
            let void = void.map(|((number, code), _)| clock_key(number, code)).collect();
            let unmark = Step::Delete { collection: CLOCK.into(), filter: Filter::Keys(void) };
            let meta = write_meta(self.state_again(before, &log, progress));
            Ok(vec![drop_log(), forget_all(), unmark, meta])
        });
        vec![Step::Find(Query::new(CLOCK)), next]
    }

    /// What was written since is the new incarnation's: in another log as a part of the state.
    fn fork(self: Arc<Self>, before: Before, at: u64, log: &[Record]) -> Result<Vec<Step>> {
        let unsent = log.iter().filter(|row| sequence_of(row).is_some_and(|it| it >= at));
        let mut transactions = Vec::new();
        let mut states = false;
        for row in unsent {
            let payload = row.get(1).as_bytes().unwrap_or_default();
            if state::is_state(payload) {
                states = true;
            } else {
                // Clocks have the names of today.
                let mut transaction = Transaction::decode(payload)?;
                transaction.rename(&self.registry);
                transactions.push(transaction);
            }
        }
        let object = |transaction: &Transaction, n: usize| self.object(transaction, n);
        let moved = Moved::new(self.device, before.new, &transactions, object);
        let moved = if self.is_replaced() { moved.in_another_log() } else { moved };
        let mut objects: Vec<ObjectId> = transactions
            .iter()
            .flat_map(|it| (0..it.entries.len()).filter_map(move |n| Some(object(it, n)?.0)))
            .collect();
        objects.sort();
        objects.dedup();
        let keys = objects.iter().map(|(number, code)| clock_key(*number, code.clone())).collect();
        let first = log.first().and_then(sequence_of).unwrap_or(before.head.next);
        let sent = if self.is_replaced() { first } else { at }.saturating_sub(1);
        let next = Step::then(move |trace| {
            let clocks = trace.found(0);
            let steps = self.moved(before.clone(), sent, &transactions, &moved, clocks, states);
            self.failure.keep(steps)
        });
        Ok(vec![Step::Find(clocks_at(keys)), next])
    }

    fn moved(
        &self,
        before: Before,
        sent: u64,
        transactions: &[Transaction],
        moved: &Moved,
        clocks: &[Record],
        states: bool,
    ) -> Result<Vec<Step>> {
        let mut before = before;
        // The new incarnation needs its number before clocks can name it.
        before.devices.number(before.new);
        let mut records = Vec::new();
        for ((number, code), mut clock) in read_clock_rows(clocks, &before.devices)? {
            let object = (number, code);
            moved.clock(&object, &mut clock);
            let clock = clock.encode(&mut before.devices);
            records.push(clock_record(object.0, object.1, clock));
        }
        sort_clock_records(&mut records);
        self.note(before.new);
        // What stands in the place of a page of the state has no reading.
        let first = transactions.iter().map(|it| it.header.hlc).find(|it| *it > Hlc::ZERO);
        let first = first.map(|it| Hlc(it.0.saturating_sub(1)));
        let seen = first.unwrap_or(before.head.hlc);
        // Numbers are others then.
        let mut steps = vec![drop_log(), forget_all()];
        if !records.is_empty() {
            steps.push(Step::create_or(CLOCK, records, OnConflict::Replace));
        }
        let state = before.state.encode();
        let mut meta = match self.is_replaced() {
            true => before.rows(sent, seen, 1, Since::State),
            false => {
                let since = Since::Number(sent.saturating_add(1));
                let asked = before.asked_of(transactions);
                let mut rows = before.rows(sent, seen, transactions.len() as u64 + 1, since);
                rows.retain(|(name, _)| *name != OFFERED);
                rows.push(asked);
                rows
            }
        };
        if let Renewal::Replaced { log } = self.renewal {
            let place = Place { log, cursor: Cursor::default() };
            meta.push((CURSOR, place.encode()));
        } else if !transactions.is_empty() {
            steps.push(Step::create(LOG, self.log(transactions, moved)));
        }
        if states || self.is_replaced() {
            // From the beginning: what was sent of it went out under the former name.
            meta.push((PROGRESS, state));
        }
        steps.push(write_meta(meta));
        Ok(steps)
    }

    /// The rows of the new incarnation's log.
    fn log(&self, transactions: &[Transaction], moved: &Moved) -> Vec<Record> {
        let mut rows = Vec::new();
        for (sequence, transaction) in (1..).zip(transactions) {
            let mut transaction = transaction.clone();
            moved.transaction(&mut transaction, sequence, |it, n| self.object(it, n));
            rows.push(log_row(sequence, transaction.encode(), transaction.entries.len()));
        }
        rows
    }

    fn note(&self, device: Device) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(device);
    }

    /// The object that an entry is about, and the numbers of the entry's fields behind the key.
    fn object(&self, transaction: &Transaction, n: usize) -> Option<(ObjectId, Fields)> {
        let entry = transaction.entries.get(n)?;
        let shape = transaction.shapes.get(entry.shape)?;
        let collection = self.registry.find(&shape.collection)?;
        let numbers = self.numbers.get(&shape.collection)?;
        let number = |name| numbers.fields.get(collection.position(name)?).copied();
        let fields = shape.fields.iter().skip(shape.key_len).map(|name| number(name)).collect();
        let key = entry.values.iter().take(shape.key_len).map(EntryValue::value);
        Some(((numbers.collection, key_code::encode(key)), fields))
    }
}

fn drop_log() -> Step {
    Step::Delete { collection: LOG.into(), filter: Filter::All }
}

fn sequence_of(row: &Record) -> Option<u64> {
    row.get(0).as_int().and_then(|int| u64::try_from(int).ok())
}

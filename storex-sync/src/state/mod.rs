//! The state, sent again: objects with their clocks, page by page, through the own log.
//!
//! What a log has lost cannot be sent a second time as it was: the own log is trimmed behind what was sent. But the state
//! is the truth, and it merges as an initial sync does: by stamp, field by field, however often it comes. So a page of it is
//! logged as one transaction of this device, and everything else goes its way as ever: numbers, retries, parking.
//!
//! A page is read and logged in one transaction; where it ends is noted in the row `state` of `_storex_meta`. So it goes on
//! there after a restart, and the log never holds more of it than one page.

mod page;
mod progress;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use storex_core::{
    Batch, Collection, Filter, OnConflict, Position, Query, Record, Registry, Step, Trace, Value,
};

use crate::apply::Replica;
use crate::clock::Clock;
use crate::clock_rows::{
    ClockRows, clock_key, clock_record, clocks_at, clocks_of, deleted_of, sort_clock_records,
};
use crate::error::{Result, SyncError};
use crate::exclusive::{Fence, HOLDER};
use crate::failure::Failure;
use crate::key_code;
use crate::log::{CLOCK, LOG, log_row};
use crate::meta::{DEVICES, Devices, HEAD, Head, META, Numbers, meta_row, read_meta, write_meta};
use crate::numbers::AllNumbers;
use crate::scope::{BACKFILL, DOUBTS, Lacks, Marker, SCOPES};
use crate::stamp::{Device, Hlc, Stamp};
use crate::transaction::{Header, Shape};
use crate::weight::weight_of_all;
pub(crate) use page::{StatePage, is_state};
pub(crate) use progress::{PROGRESS, Progress};
use progress::{Part, Redated};

const DURING: &str = "logging the state";

/// How many objects a page looks at.
const OBJECTS: u64 = 500;

/// The reading of what is older than sync, once it is sent: later than nothing at all, and earlier than everything else.
pub(crate) const OLDEST: Hlc = Hlc(1);

impl Replica {
    /// From now on the whole state is to be sent again, with what is older than sync.
    pub(crate) async fn begin_state(&self) -> Result<()> {
        let row = (PROGRESS, Progress::with_older().encode());
        self.write(vec![write_meta(vec![row])], DURING).await
    }

    /// Logs the next page of the state, of so many bytes, if one is to be sent.
    pub(crate) async fn log_state(&self, limit: usize) -> Result<()> {
        let logging = Arc::new(Logging {
            registry: Arc::clone(self.storage.registry()),
            numbers: Arc::clone(&self.numbers),
            fence: self.fence(),
            failure: Failure::default(),
            limit,
        });
        let collections =
            logging.collections().map(|(collection, _)| Arc::clone(collection.name()));
        let collections: Vec<_> = collections.collect();
        let decide = Arc::clone(&logging);
        let batch = Batch::new()
            .step(read_meta(&[HEAD, DEVICES, PROGRESS, HOLDER, SCOPES, BACKFILL, DOUBTS]))
            .touching([CLOCK, LOG, META])
            .touching(collections)
            .then(move |trace| decide.failure.keep(Arc::clone(&decide).begin(trace)));
        let executed = self.storage.apply(batch).await;
        logging.failure.or(executed, DURING).map(drop)
    }
}

/// A page of the state on its way into the log. Its functions are continuations: they may be called again.
#[derive(Debug)]
struct Logging {
    registry: Arc<Registry>,
    numbers: Arc<AllNumbers>,
    fence: Option<Fence>,
    failure: Failure,
    limit: usize,
}

/// Where the device stands when the page begins.
#[derive(Debug, Clone)]
struct Begun {
    head: Head,
    devices: Devices,
    me: Device,
    progress: Progress,
    collection: Arc<Collection>,
    numbers: Arc<Numbers>,
    schema: u64,
}

impl Logging {
    fn collections(&self) -> impl Iterator<Item = (&Arc<Collection>, &Arc<Numbers>)> {
        let all = self.registry.collections().iter();
        all.filter_map(|it| Some((it, self.numbers.get(it.name())?)))
    }

    fn begin(self: Arc<Self>, trace: &Trace) -> Result<Vec<Step>> {
        let meta = trace.found(0);
        if let Some(fence) = self.fence {
            fence.check(meta)?;
        }
        let Some(progress) = meta_row(meta, PROGRESS).map(Progress::decode).transpose()? else {
            return Ok(Vec::new());
        };
        let (head, devices) = (Head::among(meta)?, Devices::among(meta)?);
        let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        let mut progress = progress;
        if progress.is_beginning() && progress.redated.is_none() {
            // Whoever has the state of a device that does not hold everything has not seen what that has.
            if Lacks::among(meta)?.nothing() {
                progress.seen = devices.seen_by(me);
                progress.seen.push((me, head.hlc));
            }
        }
        let found = self.collections().find(|(it, _)| **it.name() == *progress.collection);
        let Some((collection, numbers)) = found.or_else(|| {
            // It is the beginning, or the collection is gone: what was sent is sent again.
            progress = progress.at(progress.part, String::new());
            self.collections().next()
        }) else {
            return Ok(vec![end()]);
        };
        let (collection, numbers) = (Arc::clone(collection), Arc::clone(numbers));
        let after = (!progress.after.is_empty()).then(|| progress.after.clone());
        let after = after.map(|values| Position { values });
        let schema = self.registry.version().0;
        let begun = Begun { head, devices, me, progress, collection, numbers, schema };
        Ok(match begun.progress.part {
            Part::Deleted => self.find_deleted(begun, after),
            Part::Living => self.find_living(begun, after),
        })
    }

    fn find_deleted(self: Arc<Self>, begun: Begun, after: Option<Position>) -> Vec<Step> {
        let query = Query { after, ..clocks_of(begun.numbers.collection).limit(OBJECTS) };
        let next = Step::then(move |trace| {
            self.failure.keep(self.log_deleted(begun.clone(), trace.found(0)))
        });
        vec![Step::Find(query), next]
    }

    fn find_living(self: Arc<Self>, begun: Begun, after: Option<Position>) -> Vec<Step> {
        let name = Arc::clone(begun.collection.name());
        let query = Query { after, ..Query::new(name).limit(OBJECTS) };
        let find_clocks = Step::then(move |trace| {
            let rows = trace.found(0);
            let number = begun.numbers.collection;
            let keys = rows
                .iter()
                .map(|row| clock_key(number, key_code::of(row, begun.collection.primary_key())));
            let keys = keys.collect();
            let (this, begun) = (Arc::clone(&self), begun.clone());
            let log = Step::then(move |trace| {
                let (rows, clocks) = (trace.found(1), trace.found(0));
                this.failure.keep(this.log_living(begun.clone(), rows, clocks))
            });
            Ok(vec![Step::Find(clocks_at(keys)), log])
        });
        vec![Step::Find(query), find_clocks]
    }

    fn log_deleted(&self, mut begun: Begun, rows: &[Record]) -> Result<Vec<Step>> {
        let mut page = begun.page();
        let mut stamped = Vec::new();
        for row in rows {
            let Some((code, mut clock)) = deleted_of(row, &begun.devices)? else { continue };
            let redated = begun.redate(&mut clock);
            let clock = clock.encode(&mut begun.devices);
            if redated {
                stamped.push(clock_record(begun.numbers.collection, code.to_vec(), clock.clone()));
            }
            page.deleted.push((code.to_vec(), clock));
        }
        let last = rows.last().map(|row| row.values().iter().take(2).cloned().collect());
        let through = (rows.len() as u64) < OBJECTS;
        Ok(self.log(begun, page, last, through, stamped))
    }

    fn log_living(
        &self,
        mut begun: Begun,
        rows: &[Record],
        clocks: &[Record],
    ) -> Result<Vec<Step>> {
        let ClockRows { mut clocks, markers } = ClockRows::read(clocks, &begun.devices)?;
        let mut page = begun.page();
        let (mut bytes, mut last, mut stamped) = (0, None, Vec::new());
        let mut through = (rows.len() as u64) < OBJECTS;
        let places: Vec<usize> = begun.places().collect();
        for row in rows {
            let size = weight_of_all(row.values());
            if last.is_some() && bytes + size > self.limit {
                through = false;
                break;
            }
            bytes += size;
            let object =
                (begun.numbers.collection, key_code::of(row, begun.collection.primary_key()));
            // One that has a tombstone was created again without a log. One that has a marker is there elsewhere: it is in its life.
            let marked = markers.get(&object).map_or(1, Marker::life);
            let (known, life) = match clocks.remove(&object) {
                Some(clock) if !clock.is_alive() => (None, clock.life + 1),
                known => (known, marked),
            };
            if known.is_none() && !begun.progress.older {
                last = Some(begun.collection.key_of(row).values().to_vec());
                continue;
            }
            let older = known.is_none();
            let oldest = Stamp { hlc: OLDEST, device: begun.me };
            let mut clock = known.unwrap_or_else(|| Clock::created(life, oldest));
            let redated = begun.redate(&mut clock);
            let clock = clock.encode(&mut begun.devices);
            if older || redated {
                stamped.push(clock_record(object.0, object.1, clock.clone()));
            }
            let values = places.iter().map(|at| row.get(*at).clone()).collect();
            page.living.push((values, clock));
            last = Some(begun.collection.key_of(row).values().to_vec());
        }
        page.devices = begun.devices.clone();
        Ok(self.log(begun, page, last, through, stamped))
    }

    /// Logs the page, and notes how far it has come.
    fn log(
        &self,
        begun: Begun,
        mut page: StatePage,
        last: Option<Vec<Value>>,
        through: bool,
        mut stamped: Vec<Record>,
    ) -> Vec<Step> {
        let Begun { mut head, progress, collection, .. } = begun;
        let mut steps = Vec::new();
        let mut meta = Vec::new();
        let next = match last.filter(|_| !through) {
            Some(after) => {
                let collection = collection.name().to_string();
                Some(Progress { collection, after, ..progress.clone() })
            }
            None => self.behind(&collection, &progress),
        };
        if next.is_none() {
            page.header.seen.clone_from(&progress.seen);
        }
        let entries = page.living.len() + page.deleted.len();
        if entries > 0 || !page.header.seen.is_empty() {
            page.header.hlc = head.hlc;
            steps.push(Step::create(LOG, vec![log_row(head.next, page.encode(), entries)]));
            head.next += 1;
            meta.push((HEAD, head.encode()));
        }
        if !stamped.is_empty() {
            sort_clock_records(&mut stamped);
            steps.push(Step::create_or(CLOCK, stamped, OnConflict::Replace));
        }
        match next {
            Some(progress) => meta.push((PROGRESS, progress.encode())),
            None => steps.push(end()),
        }
        if !meta.is_empty() {
            steps.push(write_meta(meta));
        }
        steps
    }

    /// What follows a collection that is through.
    fn behind(&self, collection: &Collection, progress: &Progress) -> Option<Progress> {
        let mut names = self.collections().map(|(it, _)| it.name().to_string());
        let next = names.by_ref().skip_while(|name| **name != **collection.name()).nth(1);
        match (next, progress.part) {
            (Some(collection), part) => Some(progress.at(part, collection)),
            (None, Part::Deleted) => Some(progress.at(Part::Living, String::new())),
            (None, Part::Living) => None,
        }
    }
}

impl Begun {
    /// The positions of the fields as they are sent: the key's first.
    fn places(&self) -> impl Iterator<Item = usize> {
        let collection = &self.collection;
        let others = self.numbers.synced().filter(|at| !collection.is_key(*at));
        collection.primary_key().iter().copied().chain(others)
    }

    /// Gives what was written far ahead the next readings, in their order; whether there was any.
    fn redate(&mut self, clock: &mut Clock) -> bool {
        let Some(Redated { device, farthest }) = self.progress.redated else { return false };
        let is_ahead = |stamp: &Stamp| stamp.device.id == device.id && stamp.hlc > farthest;
        let mut ahead: Vec<Stamp> = clock.stamps().filter(is_ahead).collect();
        ahead.sort_unstable();
        ahead.dedup();
        let (first, me) = (self.head.hlc, self.me);
        clock.restamp(|stamp| match ahead.binary_search(&stamp) {
            Ok(at) => Stamp { hlc: first.plus(at as u64 + 1), device: me },
            Err(_) => stamp,
        });
        self.head.hlc = first.plus(ahead.len() as u64);
        !ahead.is_empty()
    }

    /// A page with nothing in it yet.
    fn page(&self) -> StatePage {
        let fields = self.collection.fields();
        let names = self.places().filter_map(|at| Some(Arc::clone(&fields.get(at)?.name)));
        let shape = Shape {
            collection: Arc::clone(self.collection.name()),
            key_len: self.collection.primary_key().len(),
            fields: names.collect(),
        };
        let numbers = self.places().filter_map(|at| self.numbers.fields.get(at).copied());
        let header = Header {
            device: self.me,
            sequence: self.head.next,
            hlc: self.head.hlc,
            schema: self.schema,
            ..Header::default()
        };
        let devices = self.devices.clone();
        let numbers = numbers.collect();
        StatePage { header, shape, numbers, devices, living: Vec::new(), deleted: Vec::new() }
    }
}

/// The state is sent, as far as there is any.
fn end() -> Step {
    Step::Delete { collection: META.into(), filter: Filter::key(PROGRESS) }
}

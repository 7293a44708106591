//! Letting go of objects that this device is not to hold.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{
    Batch, Collection, Filter, Name, OnConflict, Position, Query, Record, Registry, Runtime, Step,
    Trace, Value, field,
};

use super::holding::SWEPT;
use super::marker::Marker;
use super::subscriptions::{SCOPES, Subscriptions};
use super::unshared::UNSHARED;
use crate::apply::Replica;
use crate::clock_rows::{clock_key, clock_record, clocks_at, read_clock_rows, sort_clock_records};
use crate::error::{During, Result, SyncError};
use crate::exclusive::{Fence, HOLDER};
use crate::failure::Failure;
use crate::key_code;
use crate::log::{CLOCK, LOG};
use crate::meta::{
    DEVICES, Devices, HEAD, Head, META, Numbers, fresh_mark, meta_query, meta_row, read_meta,
    write_meta,
};
use crate::place::{Place, read_place};
use crate::shared_log::{Cursor, MissingWrite};
use crate::stamp::Device;
use crate::state::{PROGRESS, StatePage, is_state};
use crate::sync::Sync;
use crate::transaction::{EntryValue, Transaction};

/// The row that is there when objects may have to go; its value is drawn anew whenever one more may have to.
pub(crate) const LEAVING: &str = "leaving";

const DURING: &str = "letting go of what this device does not hold";

/// How many objects are looked at in one transaction.
const OBJECTS: u64 = 500;

/// With more transactions than that to be sent, nothing goes: they have to be looked at.
const MOST_UNSENT: u64 = 1000;

/// The row that says that objects may have to go.
pub(crate) fn leave(runtime: &dyn Runtime) -> (&'static str, Vec<u8>) {
    (LEAVING, fresh_mark(runtime))
}

/// Whether objects may have to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Going {
    /// None.
    Nothing,
    /// When the state is sent: they may be in no log.
    BehindTheState,
    /// Now.
    Now,
}

/// One page of a collection on its way out. Its functions are continuations: they may be called again.
#[derive(Debug)]
struct Sweep {
    registry: Arc<Registry>,
    collection: Arc<Collection>,
    numbers: Arc<Numbers>,
    after: Option<Position>,
    /// Says that something has gone.
    mark: Vec<u8>,
    fence: Option<Fence>,
    failure: Failure,
    swept: Mutex<Swept>,
}

/// How far it has come.
#[derive(Debug, Clone, Default)]
struct Swept {
    next: Option<Position>,
    /// Whether something has to stay for now.
    stays: bool,
}

impl Sync {
    /// Whether objects may still be here that are of scopes which this device does not hold. They go at the end of an exchange, but for
    /// - those to which something was written that is still to be sent,
    /// - all of them while the shared log could not give them back: it has dropped its beginning, and has no snapshot, or something of it
    ///   is [missing](crate::Page::missing). Others may not have them either. [`Sync::compact`](crate::Sync::compact) on a device that holds everything puts that right.
    ///
    /// Cancel-safe: it only reads.
    ///
    /// ```
    /// # async fn example(sync: &storex_sync::Sync) -> storex_sync::Result<()> {
    /// sync.subscribe("note", storex_sync::Scope::only(["home"])).await?;
    /// sync.sync_once().await?;
    /// if sync.is_letting_go().await? {
    ///     // Some notes of other notebooks are still here.
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn is_letting_go(&self) -> Result<bool> {
        Ok(self.replica.going().await? != Going::Nothing)
    }

    /// Whether the shared log has everything that it was ever given, or a snapshot of it: what goes from here can come back from there.
    /// `missing`: what it knows of and could not give just now. What has gone would come back without that.
    pub(super) async fn gives_back(
        &self,
        replica: &Replica,
        missing: &[MissingWrite],
    ) -> Result<bool> {
        if !missing.is_empty() {
            return Ok(false);
        }
        let Some(Place { log, .. }) = read_place(&replica.storage).await? else {
            return Ok(false);
        };
        // One transaction tells.
        let beginning = Cursor::default();
        let read = self.log.read(Device::NOBODY, &beginning, 1);
        match self.in_time("looking at the beginning of the shared log", read).await {
            Err(SyncError::BelowFloor { .. }) => self.has_snapshot().await,
            page => page.map(|page| page.log == log && page.missing.is_empty()),
        }
    }
}

impl Replica {
    /// Whether objects may have to go.
    pub(super) async fn going(&self) -> Result<Going> {
        let rows = self.storage.find(meta_query(&[LEAVING, UNSHARED])).await.during(DURING)?;
        let is_there = |name| meta_row(&rows, name).is_some();
        Ok(match (is_there(LEAVING), is_there(UNSHARED)) {
            (false, _) => Going::Nothing,
            (true, true) => Going::BehindTheState,
            (true, false) => Going::Now,
        })
    }

    /// Takes objects out of this database, and only out of this one, that are of scopes which it does not hold, unless something that was
    /// written to them is still to be sent.
    pub(super) async fn let_go(&self) -> Result<()> {
        let rows = self.storage.find(meta_query(&[SCOPES, LEAVING])).await.during(DURING)?;
        let Some(mark) = meta_row(&rows, LEAVING) else { return Ok(()) };
        let held = Subscriptions::among(&rows)?;
        let mut stays = false;
        for collection in self.storage.registry().collections() {
            let Some(numbers) = self.numbers.get(collection.name()) else { continue };
            if numbers.scope.is_none() || !held.is_part(numbers.collection) {
                continue;
            }
            let mut after = None;
            loop {
                let swept = self.sweep(collection, numbers, after).await?;
                stays |= swept.stays;
                match swept.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        if stays {
            return Ok(());
        }
        // Unless one more is to go by now.
        let same = field("name").eq(LEAVING);
        let same = same.and(field("value").eq(Value::Bytes(mark.to_vec())));
        self.write(vec![Step::Delete { collection: META.into(), filter: same }], DURING).await
    }

    async fn sweep(
        &self,
        collection: &Arc<Collection>,
        numbers: &Arc<Numbers>,
        after: Option<Position>,
    ) -> Result<Swept> {
        let sweep = Arc::new(Sweep {
            collection: Arc::clone(collection),
            numbers: Arc::clone(numbers),
            after,
            registry: Arc::clone(self.storage.registry()),
            mark: fresh_mark(&**self.storage.runtime()),
            fence: self.fence(),
            failure: Failure::default(),
            swept: Mutex::default(),
        });
        let this = Arc::clone(&sweep);
        let batch = Batch::new()
            .step(read_meta(&[SCOPES, PROGRESS, UNSHARED, HOLDER, HEAD, DEVICES]))
            .find(Query::new(LOG).limit(MOST_UNSENT))
            .find(sweep.query())
            .touching([CLOCK])
            .then(move |trace| this.failure.keep(Arc::clone(&this).look(trace)));
        sweep.failure.or(self.storage.apply(batch).await, DURING)?;
        let swept = sweep.swept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(swept)
    }
}

impl Sweep {
    fn query(&self) -> Query {
        let query = Query::new(Arc::clone(self.collection.name())).limit(OBJECTS);
        Query { after: self.after.clone(), ..query }
    }

    /// Looks for what is outside, and asks for its clocks: what has none is older than sync, and was never sent.
    fn look(self: Arc<Self>, trace: &Trace) -> Result<Vec<Step>> {
        let (meta, unsent, rows) = (trace.found(2), trace.found(1), trace.found(0));
        if let Some(fence) = self.fence {
            fence.check(meta)?;
        }
        let held = Subscriptions::among(meta)?;
        let mut swept = Swept::default();
        if rows.len() as u64 == OBJECTS {
            swept.next = rows.last().map(|last| self.query().position_of(&self.collection, last));
        }
        let outside: Vec<&Record> =
            rows.iter().filter(|row| held.exclude(&self.numbers, row)).collect();
        // A state that is being sent, or is to be, may not have come to them.
        let is_state_due = [PROGRESS, UNSHARED].iter().any(|it| meta_row(meta, it).is_some());
        let waits = is_state_due || unsent.len() as u64 == MOST_UNSENT;
        swept.stays = waits && !outside.is_empty();
        let mut going = HashMap::new();
        if !outside.is_empty() && !waits {
            let written = self.written(unsent)?;
            for row in outside {
                let code = key_code::of(row, self.collection.primary_key());
                if written.contains(&code) {
                    swept.stays = true;
                } else {
                    going.insert(code, row.clone());
                }
            }
        }
        *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = swept;
        if going.is_empty() {
            return Ok(Vec::new());
        }
        let number = self.numbers.collection;
        let clocks = going.keys().map(|code| clock_key(number, code.clone())).collect();
        let find = Step::Find(clocks_at(clocks));
        let (head, devices) = (Head::among(meta)?, Devices::among(meta)?);
        let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        let go = Step::then(move |trace| {
            let steps = self.go(&going, trace.found(0), me, devices.clone());
            self.failure.keep(steps)
        });
        Ok(vec![find, go])
    }

    /// Takes them out, and leaves a marker of each in the place of its clock.
    fn go(
        &self,
        going: &HashMap<Vec<u8>, Record>,
        clocks: &[Record],
        me: Device,
        mut devices: Devices,
    ) -> Result<Vec<Step>> {
        let number = self.numbers.collection;
        let (mut keys, mut markers, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for ((_, code), clock) in read_clock_rows(clocks, &devices)? {
            let Some(row) = going.get(&code) else { continue };
            keys.push(self.collection.key_of(row));
            match Marker::of(&clock, row, &self.numbers, me) {
                Some(it) => markers.push(clock_record(number, code, it.encode(&mut devices))),
                None => others.push(clock_key(number, code)),
            }
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        keys.sort();
        sort_clock_records(&mut markers);
        let delete = |collection: &Name, keys| Step::Delete {
            collection: Name::clone(collection),
            filter: Filter::Keys(keys),
        };
        let mut steps = vec![delete(self.collection.name(), keys)];
        if !markers.is_empty() {
            steps.push(Step::create_or(CLOCK, markers, OnConflict::Replace));
        }
        if !others.is_empty() {
            steps.push(delete(&CLOCK.into(), others));
        }
        steps.push(write_meta(vec![(SWEPT, self.mark.clone())]));
        Ok(steps)
    }

    /// The objects of the collection to which something was written that is still to be sent.
    fn written(&self, unsent: &[Record]) -> Result<HashSet<Vec<u8>>> {
        let mut written = HashSet::new();
        for payload in unsent.iter().filter_map(|row| row.get(1).as_bytes()) {
            let transaction = match is_state(payload) {
                true => StatePage::decode_own(payload, &self.registry)?.transaction()?,
                false => Transaction::decode_own(payload, &self.registry)?,
            };
            for entry in &transaction.entries {
                let shape = transaction.shapes.get(entry.shape);
                let shape = shape.filter(|it| it.collection == *self.collection.name());
                if let Some(shape) = shape {
                    let key = entry.values.iter().take(shape.key_len).map(EntryValue::value);
                    written.insert(key_code::encode(key));
                }
            }
        }
        Ok(written)
    }
}

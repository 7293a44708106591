//! [`Page`]: transactions on their way into the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{
    Changes, Collection, Error, Filter, Key, Name, OnConflict, Query, Record, Registry, Runtime,
    Step, Trace, Value,
};

use super::bound::Bound;
use super::held::{Held, row_steps};
use super::noted::{Clashes, Meeting};
use super::own::OwnWrites;
use super::resolve::{IncomingTransaction, Refusal};
use super::revive::{brought_back, had_seen_all};
use super::row::{Object, Row, Work};
use super::settle::Settlement;
use super::{Applied, Replica};
use crate::clock::{Clock, LAST_LIFE};
use crate::error::{Result, SyncError};
use crate::exclusive::Fence;
use crate::failure::Failure;
use crate::hooks::WrittenAs;
use crate::journal::{CONFLICTS, Conflict, note};
use crate::key_code;
use crate::log::{
    AllNumbers, CLOCK, LOG, clock_key, clock_record, read_clock_rows, sort_clock_records,
};
use crate::merge::{
    Action, FieldConflict, Incoming, Merged, merge, merge_object, object_conflicts,
};
use crate::merging::Merging;
use crate::meta::{DEVICES, Devices, HEAD, Head, write_meta};
use crate::parked::{
    PARKED, Parked, WaitsFor, find_parked_of, forget_ahead, park_up_to, parked_key, parked_name,
};
use crate::place::Move;
use crate::rules::Rules;
use crate::shared_log::SealedTransaction;
use crate::stamp::{Device, Hlc, Stamp};
use crate::transaction::{Entry, EntryKind, EntryValue, Header};

/// How transactions are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// A page at once: each object is written once, with what all of them make of it. It is given up when that breaks a rule.
    Together,
    /// A page at once, with a look at everything that its rules are about: what breaks one is changed, see
    /// [`super::settle`].
    Settled,
    /// As [`How::Settled`], with what was parked before: all of it or nothing.
    Again,
    /// As [`How::Again`], with objects of an initial sync, and no rule is judged: the others are still to come.
    Arriving,
}

/// A page of transactions on its way into the database. Its functions are continuations: they may be called again.
#[derive(Debug)]
pub(super) struct Page {
    incoming: Vec<IncomingTransaction>,
    cursor: Option<Move>,
    how: How,
    bound: Bound,
    fence: Option<Fence>,
    pub(super) rules: Arc<Rules>,
    merging: Arc<Merging>,
    pub(super) numbers: Arc<AllNumbers>,
    pub(super) registry: Arc<Registry>,
    runtime: Arc<dyn Runtime>,
    most_parked: u64,
    pub(super) objects: Vec<Object>,
    /// Per transaction and entry: which object.
    object_of: Vec<Vec<usize>>,
    /// Of whom something is parked that is not tried now.
    owing: Mutex<BTreeSet<Device>>,
    pub(super) applied: Mutex<Applied>,
    pub(super) conflicts: Mutex<Vec<Conflict>>,
    pub(super) failure: Failure,
    #[cfg(feature = "deliberate-faults")]
    fault: Option<crate::deliberate::DeliberateFault>,
}

/// What came of folding a page into its objects, beside these.
#[derive(Debug, Clone)]
pub(super) struct Folded {
    me: Device,
    head: Head,
    pub(super) devices: Devices,
    applied: Applied,
    parked: Vec<Parked>,
    taken: Vec<(Device, u64)>,
    /// Devices of which a later incarnation tells anew what they wrote far ahead.
    redated: BTreeSet<Device>,
}

impl Page {
    pub(super) fn new(
        replica: &Replica,
        incoming: Vec<IncomingTransaction>,
        cursor: Option<Move>,
        how: How,
        bound: Bound,
        fence: Option<Fence>,
    ) -> Self {
        let mut objects: Vec<Object> = Vec::new();
        let mut known: HashMap<(i64, Vec<u8>), usize> = HashMap::new();
        let mut object_of = Vec::new();
        for one in &incoming {
            let mut places = Vec::new();
            if one.refused.is_none() {
                for entry in &one.transaction.entries {
                    if entry.is_taken_out() {
                        places.push(usize::MAX);
                        continue;
                    }
                    let shape = &one.shapes[entry.shape];
                    let key_len = shape.collection.primary_key().len();
                    let values = entry.values.iter().take(key_len).map(EntryValue::value);
                    let code = key_code::encode(values.clone());
                    let number = shape.numbers.collection;
                    let at = *known.entry((number, code)).or_insert_with_key(|(_, code)| {
                        objects.push(Object {
                            collection: Arc::clone(&shape.collection),
                            number,
                            key: Key::compound(values.cloned()),
                            code: code.clone(),
                        });
                        objects.len() - 1
                    });
                    places.push(at);
                }
            }
            object_of.push(places);
        }
        let (owing, applied, conflicts) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (merging, failure) = (Arc::clone(&replica.merging), Failure::default());
        let (rules, numbers) = (Arc::clone(&replica.rules), Arc::clone(&replica.numbers));
        let registry = Arc::clone(replica.storage.registry());
        let runtime = Arc::clone(replica.storage.runtime());
        Self {
            incoming,
            cursor,
            how,
            bound,
            fence,
            rules,
            merging,
            numbers,
            registry,
            runtime,
            most_parked: replica.most_parked,
            objects,
            object_of,
            owing,
            applied,
            conflicts,
            failure,
            #[cfg(feature = "deliberate-faults")]
            fault: replica.fault,
        }
    }

    /// Whether what arrives came before, or otherwise than through the log.
    fn is_again(&self) -> bool {
        matches!(self.how, How::Again | How::Arriving)
    }

    /// The collections that the page may touch.
    pub(super) fn collections(&self) -> BTreeSet<Name> {
        let own = self.objects.iter().map(|object| Name::clone(object.collection.name()));
        let mut all = self.rules.reach(own.collect());
        all.extend([CLOCK.into(), PARKED.into(), CONFLICTS.into()]);
        if self.how != How::Together {
            all.insert(LOG.into());
        }
        all
    }

    /// Reads the clocks of everything the page is about, if this program may still sync.
    pub(super) fn read(self: Arc<Self>, trace: &Trace) -> storex_core::Result<Vec<Step>> {
        let meta = trace.found(0).to_vec();
        if let Some(fence) = self.fence {
            self.failure.keep(fence.check(&meta))?;
        }
        let keys = self
            .objects
            .iter()
            .map(|object| clock_key(object.number, object.code.clone()))
            .collect();
        let handing_over = self.incoming.iter().filter(|one| !one.handed_over.is_empty());
        let authors: BTreeSet<Device> = handing_over.map(|one| one.sealed.device).collect();
        let most = self.incoming.len() as u64 + 1;
        let mut steps: Vec<Step> = authors.iter().map(|it| find_parked_of(*it, most)).collect();
        steps.push(Step::Find(Query::new(CLOCK).filter(Filter::Keys(keys))));
        steps.push(Step::then(move |trace| {
            self.note_owing((1..=authors.len()).flat_map(|n| trace.found(n)));
            self.failure.keep(Arc::clone(&self).read_rows(&meta, trace))
        }));
        Ok(steps)
    }

    /// Notes of whom something is parked that is not tried now: whoever sends a state, and has something of it parked here, is not
    /// seen as far as its last page tells.
    fn note_owing<'a>(&self, parked: impl Iterator<Item = &'a Record>) {
        let tried = |device: Device, sequence| {
            self.incoming
                .iter()
                .any(|it| (it.sealed.device, it.sealed.sequence) == (device, sequence))
        };
        let parked = parked.filter_map(|row| parked_name(row).ok());
        let owing = parked.filter(|(device, sequence)| !tried(*device, *sequence));
        let owing = owing.map(|(device, _)| device).collect();
        *self.owing.lock().unwrap_or_else(PoisonError::into_inner) = owing;
    }

    /// Finds out which objects without a clock are there: rows older than sync.
    fn read_rows(self: Arc<Self>, meta: &[Record], trace: &Trace) -> Result<Vec<Step>> {
        let head = Head::among(meta)?;
        let devices = Devices::among(meta)?;
        let mut clocks = read_clock_rows(trace.found(0), &devices)?;
        let works: Vec<Work> = self
            .objects
            .iter()
            .map(|object| {
                let clock = clocks.remove(&(object.number, object.code.clone()));
                Work { clock, ..Work::default() }
            })
            .collect();
        let unknown = self.updated_without_clock(&works);
        let wanted: Vec<usize> = match self.how {
            How::Together => unknown.iter().copied().collect(),
            How::Settled | How::Again | How::Arriving => (0..self.objects.len()).collect(),
        };
        if wanted.is_empty() {
            return self.fold(head, devices, works, Vec::new());
        }
        let mut keys: BTreeMap<Name, (Arc<Collection>, Vec<Key>)> = BTreeMap::new();
        for object in wanted.iter().map(|at| &self.objects[*at]) {
            let (_, keys) = keys
                .entry(Name::clone(object.collection.name()))
                .or_insert_with(|| (Arc::clone(&object.collection), Vec::new()));
            keys.push(object.key.clone());
        }
        let mut steps = Vec::new();
        let finds = keys.len();
        let mut collections = Vec::new();
        for (name, (collection, keys)) in keys {
            let mut query = Query::new(name).filter(Filter::Keys(keys));
            if self.how == How::Together {
                let fields = collection.primary_key().iter();
                query = query.select(fields.map(|at| Name::clone(&collection.fields()[*at].name)));
            }
            steps.push(Step::Find(query));
            collections.push(collection);
        }
        steps.push(Step::then(move |trace| {
            let mut there: HashMap<(Name, Key), Record> = HashMap::new();
            for (n, collection) in collections.iter().enumerate() {
                for record in trace.found(finds - 1 - n) {
                    let key = match self.how {
                        How::Together => Key::compound(record.values().to_vec()),
                        How::Settled | How::Again | How::Arriving => collection.key_of(record),
                    };
                    there.insert((Name::clone(collection.name()), key), record.clone());
                }
            }
            let row_of = |object: &Object| {
                there.remove(&(Name::clone(object.collection.name()), object.key.clone()))
            };
            let rows: Vec<Option<Record>> = self.objects.iter().map(row_of).collect();
            let mut works = works.clone();
            for at in unknown.iter().filter(|at| rows[**at].is_some()) {
                works[*at].clock = Some(Clock::unstamped());
            }
            self.failure.keep(Arc::clone(&self).fold(head, devices.clone(), works, rows))
        }));
        Ok(steps)
    }

    /// The objects that are taken for there, and have no clock.
    fn updated_without_clock(&self, works: &[Work]) -> BTreeSet<usize> {
        let mut unknown = BTreeSet::new();
        for (one, places) in self.incoming.iter().zip(&self.object_of) {
            for (entry, at) in one.transaction.entries.iter().zip(places) {
                let old = entry.kind == EntryKind::Update || one.clocks.is_some();
                if old && works.get(*at).is_some_and(|work| work.clock.is_none()) {
                    unknown.insert(*at);
                }
            }
        }
        unknown
    }

    /// Folds the transactions into the objects, and gives what is to be written.
    fn fold(
        self: Arc<Self>,
        mut head: Head,
        mut devices: Devices,
        mut works: Vec<Work>,
        rows: Vec<Option<Record>>,
    ) -> Result<Vec<Step>> {
        let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        let mut applied = Applied::default();
        let mut clashes = Clashes::default();
        let mut parked: Vec<Parked> = Vec::new();
        let owing = self.owing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut redated = BTreeSet::new();
        let mut taken = Vec::new();
        let known = head.hlc;
        #[cfg(feature = "deliberate-faults")]
        let mut again = Vec::new();
        for (one, places) in self.incoming.iter().zip(&self.object_of) {
            let SealedTransaction { device, sequence, .. } = one.sealed;
            if device == me {
                // A log does not give us back what is ours; whatever it is, it is here already.
                continue;
            }
            if !self.is_again() {
                let known = devices.find(device).map_or(0, |known| known.sequence);
                if sequence <= known {
                    #[cfg(feature = "deliberate-faults")]
                    again.extend(self.again(one, places));
                    continue;
                }
                let gap = sequence != known + 1;
                #[cfg(feature = "deliberate-faults")]
                let gap =
                    gap && self.fault != Some(crate::deliberate::DeliberateFault::GapPassedOver);
                if gap {
                    return Err(SyncError::Gap { device, expected: known + 1, found: sequence });
                }
            }
            let count = one.transaction.entries.len() as u64;
            let (mut last, mut seen) = (Hlc::ZERO, Hlc::ZERO);
            let refused = one
                .refused
                .clone()
                .or_else(|| self.bound.refusal(one, known))
                .or_else(|| missing(one, places, &works));
            match refused {
                // They stay parked as they were.
                Some(_) if self.is_again() => return Ok(Vec::new()),
                Some(Refusal { reason, waits_for }) => {
                    let payload = one.sealed.payload.clone();
                    parked.push(Parked { device, sequence, waits_for, reason, payload });
                    applied.parked += 1;
                }
                None => {
                    let we_had_seen = |it: Stamp| it.device == me || devices.has_applied(it);
                    self.fold_transaction(one, places, &mut works, &mut clashes, we_had_seen)?;
                    applied.transactions += 1;
                    applied.entries += count;
                    taken.push((device, sequence));
                    if one.clocks.is_some() && device.incarnation > 0 {
                        redated.insert(device);
                    }
                    last = one.last_reading();
                    // Of a state, its last page tells what is here then.
                    seen = if one.clocks.is_some() { Hlc::ZERO } else { last };
                    let owes =
                        owing.contains(&device) || parked.iter().any(|it| it.device == device);
                    let others = one.handed_over.iter().filter(|(it, _)| *it != me && !owes);
                    others.for_each(|(device, hlc)| devices.advance(*device, 0, *hlc));
                }
            }
            if device != Device::NOBODY || !self.is_again() {
                devices.advance(device, sequence, seen);
            }
            head.hlc = head.hlc.max(last);
        }
        for (object, work) in self.objects.iter().zip(&works) {
            self.ask(object, &work.row)?;
        }
        let folded = Folded { me, head, devices, applied, parked, taken, redated };
        let this = Arc::clone(&self);
        let steps = match self.how {
            How::Together => {
                let devices = folded.devices.clone();
                let steps = self.write(folded, &works);
                #[cfg(feature = "deliberate-faults")]
                let steps = steps.into_iter().chain(again).collect();
                self.unless_links_break(&works, &devices, steps)
            }
            How::Settled | How::Again | How::Arriving => self.begin_settlement(folded, works, rows),
        }?;
        Ok(if clashes.is_empty() { steps } else { this.noting(clashes, me, steps) })
    }

    /// Asks the application whether an object may be written.
    fn ask(&self, object: &Object, row: &Row) -> Result<()> {
        if self.merging.hooks.is_none() {
            return Ok(());
        }
        let name = |at: &usize| object.collection.fields().get(*at).map(|field| &field.name);
        let change = match row {
            Row::Keep => return Ok(()),
            Row::Put(record) => WrittenAs::Whole(record),
            Row::Delete => WrittenAs::Deleted,
            Row::Set(values) => {
                let fields = values.iter().filter_map(|(at, value)| Some((name(at)?, value)));
                WrittenAs::Fields(fields.collect())
            }
        };
        self.merging.may_write(&object.collection, &object.key, change)
    }

    /// Reads what gives way before it is overwritten, and notes it in the journal.
    fn noting(self: Arc<Self>, mut clashes: Clashes, me: Device, steps: Vec<Step>) -> Vec<Step> {
        let mut all = clashes.finds(&self.objects);
        all.push(Step::then(move |trace| {
            let conflicts = clashes.conflicts(&self.objects, trace);
            let losses = conflicts.iter().filter(|it| it.is_loss()).cloned();
            let losses = losses.map(|it| (self.merging.standing(&it, me), it));
            let losses = losses.map(|(standing, it)| (it, standing)).collect();
            *self.conflicts.lock().unwrap_or_else(PoisonError::into_inner) = conflicts;
            let mut all = steps.clone();
            all.extend(note(losses, self.merging.journal, self.bound.now));
            Ok(all)
        }));
        all
    }

    /// What is to be written when no rule is broken.
    fn write(self: &Arc<Self>, mut folded: Folded, works: &[Work]) -> Vec<Step> {
        let mut steps = self.write_rows(works);
        let changed = self.objects.iter().zip(works).filter(|(_, work)| work.clock_changed);
        let clocks = changed.filter_map(|(object, work)| Some((object, work.clock.as_ref()?)));
        steps.extend(write_clocks(clocks, &mut folded.devices));
        steps.extend(self.conclude(folded));
        steps
    }

    fn begin_settlement(
        self: Arc<Self>,
        folded: Folded,
        works: Vec<Work>,
        rows: Vec<Option<Record>>,
    ) -> Result<Vec<Step>> {
        let header = Header {
            device: folded.me,
            sequence: folded.head.next,
            hlc: folded.head.hlc.next(self.runtime.now()),
            seen: folded.devices.seen_by(folded.me),
            schema: self.registry.fingerprint(),
        };
        // What an initial sync has brought was not judged when it was merged.
        let anew = self.incoming.iter().any(|one| one.sealed.device == Device::NOBODY);
        let is_judged = self.how != How::Arriving;
        let staying: Vec<usize> =
            works.iter().enumerate().filter(|(_, work)| work.stays).map(|(at, _)| at).collect();
        let objects = self.objects.iter().cloned().zip(works).zip(rows);
        let held = objects.map(|((object, work), before)| {
            let mut after = work.row.over(before.as_ref());
            if let Some(numbers) = self.numbers.get(object.collection.name()) {
                numbers.keep_local(before.as_ref(), after.as_mut());
            }
            let Work { clock, clock_changed, .. } = work;
            Held {
                object,
                clock,
                clock_changed,
                before,
                after,
                fresh: is_judged && (clock_changed || anew),
            }
        });
        let mut settlement = Settlement::new(held.collect(), OwnWrites::new(header), folded);
        staying.into_iter().for_each(|at| settlement.bring_back(at, &self.numbers));
        self.settle(settlement)
    }

    /// What is to be written now that all rules are kept.
    pub(super) fn finish(self: &Arc<Self>, settlement: Settlement) -> Vec<Step> {
        let Settlement { held, own, resolutions, mut folded, .. } = settlement;
        let mut steps = row_steps(&held, &self.rules);
        let changed = held.iter().filter(|one| one.clock_changed);
        let clocks = changed.filter_map(|one| Some((&one.object, one.clock.as_ref()?)));
        steps.extend(write_clocks(clocks, &mut folded.devices));
        if !own.is_empty() {
            steps.push(own.step());
            folded.head.next += 1;
            folded.head.hlc = own.last().hlc;
            folded.applied.resolutions = resolutions;
        }
        steps.extend(self.conclude(folded));
        steps
    }

    /// What is parked and is no longer, and the small rows.
    fn conclude(self: &Arc<Self>, folded: Folded) -> Vec<Step> {
        let Folded { head, devices, applied, parked, taken, redated, .. } = folded;
        let mut steps = Vec::new();
        if self.is_again() {
            steps.push(unpark(taken.into_iter()));
        }
        steps.extend(redated.into_iter().map(forget_ahead));
        if !parked.is_empty() {
            steps.extend(park_up_to(self.most_parked, parked, &self.failure));
        }
        let mut meta = Vec::new();
        if applied != Applied::default() {
            meta.push((HEAD, head.encode()));
        }
        if devices.is_changed() {
            meta.push((DEVICES, devices.encode()));
        }
        steps.extend(self.cursor.as_ref().map(Move::write));
        if !meta.is_empty() {
            steps.push(write_meta(meta));
        }
        *self.applied.lock().unwrap_or_else(PoisonError::into_inner) = applied;
        steps
    }

    /// Folds a transaction into the objects.
    fn fold_transaction(
        &self,
        one: &IncomingTransaction,
        places: &[usize],
        works: &mut [Work],
        clashes: &mut Clashes,
        we_had_seen: impl Fn(Stamp) -> bool,
    ) -> Result<()> {
        let transaction = &one.transaction;
        for (n, (entry, at)) in transaction.entries.iter().zip(places).enumerate() {
            let (Some(shape), Some(work)) = (one.shapes.get(entry.shape), works.get_mut(*at))
            else {
                continue; // it was taken out
            };
            let stamp = transaction.stamp(n);
            #[cfg(feature = "deliberate-faults")]
            let stamp = self.fault.map_or(stamp, |it| it.stamp(stamp, work.clock.as_ref(), entry));
            let joins = &self.merging.joins;
            let update_wins = self.rules.update_wins(shape.collection.name());
            // A page of a state has the objects' clocks, and so has an object that is brought back.
            let with_clock = one.clocks.as_ref().and_then(|clocks| clocks.get(n).cloned());
            let with_clock = with_clock.or_else(|| brought_back(shape, entry, stamp, joins));
            let is_whole = with_clock.is_some();
            let arriving = one.clocks.as_ref().and_then(|clocks| clocks.get(n));
            let had_seen = |stamp| transaction.had_seen(stamp);
            let stays = update_wins && self.outlives(work, one, entry)?;
            let merged = if stays && entry.kind == EntryKind::Delete {
                let conflict = FieldConflict { field: None, incoming_won: false };
                Merged { action: Action::Keep, clock: None, conflicts: vec![conflict] }
            } else if let Some(clock) = with_clock {
                let own = work.clock.as_ref();
                let merged = merge_object(own, &clock, &shape.fields, &shape.others, joins);
                // Of an object that is brought back nothing is lost, nor where updates win.
                let conflicts = own.zip(arriving.filter(|_| !update_wins)).map(|(own, clock)| {
                    object_conflicts(own, clock, &shape.fields, &we_had_seen, had_seen)
                });
                Merged { conflicts: conflicts.unwrap_or_default(), ..merged }
            } else {
                let own = work.clock.as_ref();
                let incoming = Incoming {
                    kind: entry.kind,
                    life: entry.life,
                    stamp,
                    fields: &shape.fields,
                    counted: &shape.counted(entry),
                    joined: &shape.joined(entry),
                    joins,
                };
                merge(own, incoming, had_seen)
            };
            if !merged.conflicts.is_empty() {
                let (own, row, object) = (work.clock.as_ref(), &work.row, *at);
                let stamp = transaction.stamp(n);
                let meeting = Meeting { object, shape, entry, stamp, arriving, own, row };
                clashes.extend(meeting.clashes(&merged));
            }
            work.row.act(&merged, shape, entry);
            // What is older than sync here and where it came from stays without a clock.
            if let Some(mut clock) = merged.clock.filter(|clock| *clock != Clock::unstamped()) {
                if entry.kind == EntryKind::Create && !is_whole {
                    shape.settle(&merged.action, &mut clock);
                }
                work.clock = Some(clock);
                work.clock_changed = true;
            }
        }
        Ok(())
    }

    /// Whether an object stays where updates win, because whoever ends its life had not seen all of it; it is in the next life
    /// then, and is brought back.
    fn outlives(&self, work: &mut Work, one: &IncomingTransaction, entry: &Entry) -> Result<bool> {
        let shape = &one.shapes[entry.shape];
        let Some(clock) = &mut work.clock else { return Ok(false) };
        // An update of a greater life waits for its create.
        let ends = entry.kind != EntryKind::Update && entry.life > clock.life;
        let had_seen = |stamp| one.transaction.had_seen(stamp);
        let key = shape.collection.primary_key();
        // A life that nobody has lived is not answered with the next one, which the others would refuse.
        let ends = ends && entry.life < LAST_LIFE;
        if !ends || !clock.is_alive() || had_seen_all(clock, key, &shape.numbers, had_seen) {
            return Ok(false);
        }
        if self.how == How::Together {
            let reason = "an object was updated without its deletion having been seen".to_owned();
            let source =
                Error::Precondition { collection: Name::clone(shape.collection.name()), reason };
            return Err(SyncError::Storage {
                during: "applying transactions of other devices",
                source,
            });
        }
        clock.life = entry.life | 1;
        (work.clock_changed, work.stays) = (true, true);
        Ok(true)
    }

    /// What a planted mistake does with a transaction that was applied before.
    #[cfg(feature = "deliberate-faults")]
    fn again(&self, one: &IncomingTransaction, places: &[usize]) -> Vec<Step> {
        let (Some(fault), transaction) = (self.fault, &one.transaction) else { return Vec::new() };
        let entries = transaction.entries.iter().zip(places);
        let steps = entries.filter_map(|(entry, at)| {
            let (object, shape) = (&self.objects[*at], &transaction.shapes[entry.shape]);
            let key = Filter::Keys(vec![object.key.clone()]);
            fault.again(object.collection.name(), &shape.fields, key, entry)
        });
        steps.collect()
    }

    /// Deletes first, so that what they free (a unique value) is free; then updates, then whole rows.
    fn write_rows(&self, works: &[Work]) -> Vec<Step> {
        let mut deletes: BTreeMap<Name, Vec<Key>> = BTreeMap::new();
        let mut puts: BTreeMap<Name, (&Arc<Collection>, Vec<Record>)> = BTreeMap::new();
        let mut updates = Vec::new();
        for (object, work) in self.objects.iter().zip(works) {
            let name = || Name::clone(object.collection.name());
            match &work.row {
                Row::Keep => {}
                Row::Delete => deletes.entry(name()).or_default().push(object.key.clone()),
                Row::Put(record) => {
                    let (_, records) =
                        puts.entry(name()).or_insert_with(|| (&object.collection, Vec::new()));
                    records.push(record.clone());
                }
                Row::Set(values) => updates.push(update(object, values)),
            }
        }
        let deletes = deletes
            .into_iter()
            .map(|(collection, keys)| Step::Delete { collection, filter: Filter::Keys(keys) });
        let puts = puts.into_iter().flat_map(|(name, (collection, records))| {
            match self.numbers.get(&name) {
                Some(numbers) => numbers.put(collection, records),
                None => vec![Step::create_or(name, records, OnConflict::Replace)],
            }
        });
        deletes.chain(updates).chain(puts).collect()
    }
}

/// The step that sets some fields of an object.
fn update(object: &Object, values: &BTreeMap<usize, Value>) -> Step {
    let changes = values.iter().fold(Changes::new(), |changes, (at, value)| {
        changes.set(Name::clone(&object.collection.fields()[*at].name), value.clone())
    });
    Step::Update {
        collection: Name::clone(object.collection.name()),
        filter: Filter::Keys(vec![object.key.clone()]),
        changes,
    }
}

fn write_clocks<'a>(
    clocks: impl Iterator<Item = (&'a Object, &'a Clock)>,
    devices: &mut Devices,
) -> Option<Step> {
    let record = |(object, clock): (&Object, &Clock)| {
        clock_record(object.number, object.code.clone(), clock.encode(devices))
    };
    let mut records: Vec<Record> = clocks.map(record).collect();
    sort_clock_records(&mut records);
    (!records.is_empty()).then(|| Step::create_or(CLOCK, records, OnConflict::Replace))
}

/// Why a transaction cannot be applied: an object that it changes is not here. Looked up before the first of its entries
/// is applied, so that it is applied whole or parked whole.
fn missing(one: &IncomingTransaction, places: &[usize], works: &[Work]) -> Option<Refusal> {
    let mut life_of: HashMap<usize, u32> = HashMap::new();
    let mut ends: HashMap<usize, u32> = HashMap::new();
    for (entry, at) in one.transaction.entries.iter().zip(places) {
        let life = ends.entry(*at).or_default();
        *life = entry.life.max(*life);
    }
    for (entry, at) in one.transaction.entries.iter().zip(places) {
        let Some(work) = works.get(*at) else { continue }; // it was taken out
        let stored = work.clock.as_ref().map_or(0, |clock| clock.life);
        let life = life_of.get(at).copied().unwrap_or(stored);
        // What the same transaction deletes may be gone everywhere: a state that is sent again does not tell of it then.
        let counts = ends.get(at) == Some(&entry.life);
        if entry.kind == EntryKind::Update && entry.life > life && counts {
            let shape = &one.shapes[entry.shape];
            let key = Key::compound(
                entry
                    .values
                    .iter()
                    .take(shape.collection.primary_key().len())
                    .map(|value| value.value().clone()),
            );
            let reason = format!(
                "object {key} of collection `{}` is not here, although it was there where it was changed: \
                 its creation is still to come, or this device needs an initial sync",
                shape.collection.name()
            );
            return Some(Refusal { reason, waits_for: WaitsFor::Change });
        }
        life_of.insert(*at, life.max(entry.life));
    }
    None
}

fn unpark(transactions: impl Iterator<Item = (Device, u64)>) -> Step {
    let keys = transactions.map(|(device, sequence)| parked_key(device, sequence)).collect();
    Step::Delete { collection: PARKED.into(), filter: Filter::Keys(keys) }
}

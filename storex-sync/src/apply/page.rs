//! [`Page`]: transactions on their way into the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{Collection, Filter, Key, Name, OnConflict, Query, Record, Step, Trace, Value};

use super::bound::Bound;
use super::resolve::{IncomingTransaction, Refusal};
use super::row::{Object, Row, Work};
use super::{Applied, Conflict};
use crate::clock::Clock;
use crate::error::{Result, SyncError};
use crate::exclusive::Fence;
use crate::failure::Failure;
use crate::key_code;
use crate::log::{CLOCK, clock_key, clock_record, read_clock_rows, sort_clock_records};
use crate::merge::{Incoming, merge, merge_object};
use crate::meta::{DEVICES, Devices, HEAD, Head, write_meta};
use crate::parked::{PARKED, Parked, WaitsFor, forget_ahead, park};
use crate::place::Move;
use crate::shared_log::SealedTransaction;
use crate::stamp::{Device, Hlc};
use crate::transaction::{EntryKind, EntryValue};

/// How transactions are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// A page at once: each object is written once, with what all of them make of it.
    Together,
    /// One, write by write in its own order: what its author could do in that order can be done here (two objects that
    /// exchange a unique value, say).
    InOrder,
    /// As [`How::InOrder`], one that was parked before.
    Again,
}

/// A page of transactions on its way into the database. Its functions are continuations: they may be called again.
#[derive(Debug)]
pub(super) struct Page {
    incoming: Vec<IncomingTransaction>,
    cursor: Option<Move>,
    how: How,
    bound: Bound,
    fence: Option<Fence>,
    objects: Vec<Object>,
    /// Per transaction and entry: which object.
    object_of: Vec<Vec<usize>>,
    pub(super) applied: Mutex<Applied>,
    pub(super) failure: Failure,
}

impl Page {
    pub(super) fn new(
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
        let (applied, failure) = (Mutex::default(), Failure::default());
        Self { incoming, cursor, how, bound, fence, objects, object_of, applied, failure }
    }

    /// The collections of the objects that the page is about.
    pub(super) fn collections(&self) -> BTreeSet<Name> {
        self.objects.iter().map(|object| Name::clone(object.collection.name())).collect()
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
        let next =
            Step::then(move |trace| self.failure.keep(Arc::clone(&self).read_rows(&meta, trace)));
        Ok(vec![Step::Find(Query::new(CLOCK).filter(Filter::Keys(keys))), next])
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
        let mut unknown: BTreeMap<Name, (Arc<Collection>, Vec<Key>)> = BTreeMap::new();
        for (one, places) in self.incoming.iter().zip(&self.object_of) {
            for (entry, at) in one.transaction.entries.iter().zip(places) {
                let old = entry.kind == EntryKind::Update || one.clocks.is_some();
                if old && works[*at].clock.is_none() {
                    let object = &self.objects[*at];
                    let (_, keys) = unknown
                        .entry(Name::clone(object.collection.name()))
                        .or_insert_with(|| (Arc::clone(&object.collection), Vec::new()));
                    keys.push(object.key.clone());
                }
            }
        }
        if unknown.is_empty() {
            return self.fold(head, devices, works);
        }
        let mut steps = Vec::new();
        let finds = unknown.len();
        let mut collections = Vec::new();
        for (name, (collection, keys)) in unknown {
            let fields = collection.primary_key().iter();
            let fields: Vec<Name> =
                fields.map(|at| Name::clone(&collection.fields()[*at].name)).collect();
            steps.push(Step::Find(Query::new(name).filter(Filter::Keys(keys)).select(fields)));
            collections.push(collection);
        }
        steps.push(Step::then(move |trace| {
            let mut works = works.clone();
            let mut there: HashMap<(Name, Key), ()> = HashMap::new();
            for (n, collection) in collections.iter().enumerate() {
                for record in trace.found(finds - 1 - n) {
                    let key = Key::compound(record.values().to_vec());
                    there.insert((Name::clone(collection.name()), key), ());
                }
            }
            for (object, work) in self.objects.iter().zip(&mut works) {
                let object = (Name::clone(object.collection.name()), object.key.clone());
                if work.clock.is_none() && there.contains_key(&object) {
                    work.clock = Some(Clock::unstamped());
                }
            }
            self.failure.keep(self.fold(head, devices.clone(), works))
        }));
        Ok(steps)
    }

    /// Folds the transactions into the objects, and gives what is to be written.
    fn fold(
        &self,
        mut head: Head,
        mut devices: Devices,
        mut works: Vec<Work>,
    ) -> Result<Vec<Step>> {
        let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        let mut applied = Applied::default();
        let mut parked = Vec::new();
        let mut redated = BTreeSet::new();
        let mut taken = Vec::new();
        let mut steps = Vec::new();
        let known = head.hlc;
        for (one, places) in self.incoming.iter().zip(&self.object_of) {
            let SealedTransaction { device, sequence, .. } = one.sealed;
            if device == me {
                // A log does not give us back what is ours; whatever it is, it is here already.
                continue;
            }
            if self.how != How::Again {
                let known = devices.find(device).map_or(0, |known| known.sequence);
                if sequence <= known {
                    continue;
                }
                if sequence != known + 1 {
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
                Some(Refusal { reason, waits_for }) => {
                    let payload = one.sealed.payload.clone();
                    parked.push(Parked { device, sequence, waits_for, reason, payload });
                    applied.parked += 1;
                }
                None => {
                    steps.extend(self.fold_transaction(one, places, &mut works, &mut applied));
                    applied.transactions += 1;
                    applied.entries += count;
                    taken.push((device, sequence));
                    if one.clocks.is_some() && device.incarnation > 0 {
                        redated.insert(device);
                    }
                    last = one.last_reading();
                    // A page of a state does not tell how many of its author's writes are here.
                    seen = if one.clocks.is_some() { Hlc::ZERO } else { last };
                }
            }
            devices.advance(device, sequence, seen);
            head.hlc = head.hlc.max(last);
        }
        if self.how == How::Again {
            if taken.is_empty() {
                // It is parked as it was.
                return Ok(Vec::new());
            }
            steps.push(unpark(taken.into_iter()));
        }
        steps.extend(self.write_rows(&mut works));
        steps.extend(self.write_clocks(&works, &mut devices));
        steps.extend(redated.into_iter().map(forget_ahead));
        if !parked.is_empty() {
            steps.push(park(parked));
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
        Ok(steps)
    }

    /// Folds a transaction into the objects; gives its writes one by one, unless they are written together in the end.
    fn fold_transaction(
        &self,
        one: &IncomingTransaction,
        places: &[usize],
        works: &mut [Work],
        applied: &mut Applied,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        let transaction = &one.transaction;
        for (n, (entry, at)) in transaction.entries.iter().zip(places).enumerate() {
            let shape = &one.shapes[entry.shape];
            let work = &mut works[*at];
            let incoming = Incoming {
                kind: entry.kind,
                life: entry.life,
                stamp: transaction.stamp(n),
                fields: &shape.fields,
                counted: &shape.counted(entry),
            };
            let merged = match one.clocks.as_ref().and_then(|clocks| clocks.get(n)) {
                Some(clock) => {
                    merge_object(work.clock.as_ref(), clock, &shape.fields, &shape.others)
                }
                None => merge(work.clock.as_ref(), incoming, |it| transaction.had_seen(it)),
            };
            work.row.act(&merged, shape, entry);
            if self.how != How::Together {
                steps.extend(std::mem::take(&mut work.row).step(&self.objects[*at]));
            }
            if let Some(mut clock) = merged.clock {
                if entry.kind == EntryKind::Create && one.clocks.is_none() {
                    shape.settle(&merged.action, &mut clock);
                }
                work.clock = Some(clock);
                work.clock_changed = true;
            }
            for conflict in merged.conflicts {
                let object = &self.objects[*at];
                let field = conflict.field.and_then(|number| {
                    let place = shape.fields.iter().position(|field| *field == number)?;
                    let field = object.collection.fields().get(*shape.values.get(place)?)?;
                    Some(Name::clone(&field.name))
                });
                applied.conflicts.push(Conflict {
                    collection: Name::clone(object.collection.name()),
                    key: object.key.clone(),
                    field,
                    device: transaction.header.device,
                    incoming_won: conflict.incoming_won,
                });
            }
        }
        steps
    }

    /// Deletes first, so that what they free (a unique value) is free; then updates, then whole rows.
    fn write_rows(&self, works: &mut [Work]) -> Vec<Step> {
        let mut deletes: BTreeMap<Name, Vec<Key>> = BTreeMap::new();
        let mut puts: BTreeMap<Name, Vec<Record>> = BTreeMap::new();
        let mut updates = Vec::new();
        for (object, work) in self.objects.iter().zip(works) {
            let name = || Name::clone(object.collection.name());
            match std::mem::take(&mut work.row) {
                Row::Keep => {}
                Row::Delete => deletes.entry(name()).or_default().push(object.key.clone()),
                Row::Put(record) => puts.entry(name()).or_default().push(record),
                row @ Row::Set(_) => updates.extend(row.step(object)),
            }
        }
        let deletes = deletes
            .into_iter()
            .map(|(collection, keys)| Step::Delete { collection, filter: Filter::Keys(keys) });
        let puts = puts
            .into_iter()
            .map(|(collection, records)| Step::create_or(collection, records, OnConflict::Replace));
        deletes.chain(updates).chain(puts).collect()
    }

    fn write_clocks(&self, works: &[Work], devices: &mut Devices) -> Option<Step> {
        let changed = self.objects.iter().zip(works).filter(|(_, work)| work.clock_changed);
        let mut records: Vec<Record> = changed
            .filter_map(|(object, work)| {
                let clock = work.clock.as_ref()?.encode(devices);
                Some(clock_record(object.number, object.code.clone(), clock))
            })
            .collect();
        sort_clock_records(&mut records);
        (!records.is_empty()).then(|| Step::create_or(CLOCK, records, OnConflict::Replace))
    }
}

/// Why a transaction cannot be applied: an object that it changes is not here. Looked up before the first of its entries
/// is applied, so that it is applied whole or parked whole.
fn missing(one: &IncomingTransaction, places: &[usize], works: &[Work]) -> Option<Refusal> {
    let mut life_of: HashMap<usize, u32> = HashMap::new();
    for (entry, at) in one.transaction.entries.iter().zip(places) {
        let stored = works[*at].clock.as_ref().map_or(0, |clock| clock.life);
        let life = life_of.get(at).copied().unwrap_or(stored);
        if entry.kind == EntryKind::Update && entry.life > life {
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
    let keys = transactions
        .map(|(device, sequence)| {
            Key::compound([
                Value::Bytes(device.id.to_vec()),
                Value::Int(i64::from(device.incarnation)),
                Value::Int(i64::try_from(sequence).unwrap_or(i64::MAX)),
            ])
        })
        .collect();
    Step::Delete { collection: PARKED.into(), filter: Filter::Keys(keys) }
}

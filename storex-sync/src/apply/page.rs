//! [`Page`]: transactions on their way into the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{Collection, Filter, Key, Name, Query, Record, Registry, Runtime, Step, Trace};

use super::bound::Bound;
use super::image::Kept;
use super::resolve::IncomingTransaction;
use super::row::{Object, Work};
use super::scoped::Coming;
use super::{Applied, Replica};
use crate::before::{BEFORE, before_from};
use crate::clock::Clock;
use crate::clock_rows::{ClockRows, clock_key, clocks_at};
use crate::error::Result;
use crate::exclusive::Fence;
use crate::failure::Failure;
use crate::journal::{CONFLICTS, Conflict};
use crate::key_code;
use crate::log::{CLOCK, LOG};
use crate::merging::Merging;
use crate::meta::{Devices, Head};
use crate::numbers::AllNumbers;
use crate::parked::{PARKED, Parked, parked_name, parked_of};
use crate::place::Move;
use crate::rules::Rules;
use crate::scope::{Doubts, Lacks, Marker};
use crate::stamp::Device;
use crate::transaction::{EntryKind, EntryValue};

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
    /// A page at once, of what was seen before: it tells objects of scopes that were added. No rule is judged on the way.
    Refill,
    /// As [`How::Refill`], of what comes for the first time, as somebody has only said that it was seen. If it brings an object, the log
    /// is read again: what others wrote to the object may have come before it, and was passed over.
    Claimed,
}

impl How {
    /// Whether what arrives counts as seen.
    pub(super) fn is_old(self) -> bool {
        matches!(self, Self::Refill | Self::Claimed)
    }
}

/// A page of transactions on its way into the database. Its functions are continuations: they may be called again.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) incoming: Arc<[IncomingTransaction]>,
    pub(super) cursor: Option<Move>,
    pub(super) how: How,
    pub(super) bound: Bound,
    pub(super) fence: Option<Fence>,
    pub(super) rules: Arc<Rules>,
    pub(super) merging: Arc<Merging>,
    pub(super) numbers: Arc<AllNumbers>,
    pub(super) registry: Arc<Registry>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) most_parked: u64,
    pub(super) objects: Vec<Object>,
    /// Per transaction and entry: which object.
    pub(super) object_of: Vec<Vec<usize>>,
    /// Of whom something is parked that is not tried now.
    pub(super) owing: Mutex<BTreeSet<Device>>,
    /// What this device holds.
    pub(super) held: Mutex<Lacks>,
    /// What is parked and not tried now may create.
    pub(super) coming: Mutex<Coming>,
    pub(super) applied: Mutex<Applied>,
    pub(super) conflicts: Mutex<Vec<Conflict>>,
    /// What was before own writes to the objects.
    pub(super) kept: Mutex<Vec<Kept>>,
    pub(super) failure: Failure,
    #[cfg(feature = "deliberate-faults")]
    pub(super) fault: Option<crate::deliberate::DeliberateFault>,
}

/// What came of folding a page into its objects, beside these.
#[derive(Debug, Clone)]
pub(super) struct Folded {
    pub(super) me: Device,
    pub(super) head: Head,
    pub(super) devices: Devices,
    pub(super) applied: Applied,
    pub(super) parked: Vec<Parked>,
    pub(super) taken: Vec<(Device, u64)>,
    /// Devices of which a later incarnation tells anew what they wrote far ahead.
    pub(super) redated: BTreeSet<Device>,
    /// What is known now of objects that have gone, by place.
    pub(super) markers: Vec<(usize, Marker)>,
    /// Whether objects have come to scopes that are not held here.
    pub(super) leaves: bool,
    /// What is in doubt now, if that is another than before.
    pub(super) doubts: Option<Doubts>,
    /// Whether something has come that makes it read the log again.
    pub(super) refills: bool,
    /// Whether objects have come that are older than sync: no clock says when.
    pub(super) is_undated: bool,
}

impl Page {
    pub(super) fn new(
        replica: &Replica,
        incoming: Arc<[IncomingTransaction]>,
        cursor: Option<Move>,
        how: How,
        bound: Bound,
        fence: Option<Fence>,
    ) -> Self {
        let mut objects: Vec<Object> = Vec::new();
        let mut known: HashMap<(i64, Vec<u8>), usize> = HashMap::new();
        let mut object_of = Vec::new();
        for one in &*incoming {
            let mut places = Vec::with_capacity(one.transaction.entries.len());
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
                    let at = *known.entry((number, code)).or_insert_with(|| {
                        objects.push(Object {
                            collection: Arc::clone(&shape.collection),
                            number,
                            key: Key::compound(values.cloned()),
                            code: Vec::new(),
                        });
                        objects.len() - 1
                    });
                    places.push(at);
                }
            }
            object_of.push(places);
        }
        known.into_iter().for_each(|((_, code), at)| objects[at].code = code);
        let (owing, applied, conflicts) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (held, coming) = (Mutex::default(), Mutex::default());
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
            held,
            coming,
            applied,
            conflicts,
            kept: Mutex::default(),
            failure,
            #[cfg(feature = "deliberate-faults")]
            fault: replica.fault,
        }
    }

    /// Whether what arrives came before, or otherwise than through the log.
    pub(super) fn is_again(&self) -> bool {
        matches!(self.how, How::Again | How::Arriving)
    }

    /// The collections that the page may touch.
    pub(super) fn collections(&self) -> BTreeSet<Name> {
        let own = self.objects.iter().map(|object| Name::clone(object.collection.name()));
        let mut all = self.rules.reach(own.collect());
        all.extend([CLOCK, PARKED, CONFLICTS, BEFORE].map(Name::from));
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
        let is_part = self.note_held(&meta)?;
        let handing_over = self.incoming.iter().filter(|one| !one.handed_over.is_empty());
        let authors: BTreeSet<Device> = handing_over.map(|one| one.sealed.device).collect();
        let most = self.incoming.len() as u64 + 1;
        let keeps = self.merging.reversible;
        let mut steps: Vec<Step> = keeps.then(|| Step::Find(before_from(0))).into_iter().collect();
        steps.extend(is_part.then(|| Step::Find(Coming::query())));
        steps.extend(authors.iter().map(|it| Step::Find(parked_of(*it, most))));
        steps.push(Step::Find(clocks_at(keys)));
        steps.push(Step::then(move |trace| {
            let behind = authors.len() + 1;
            self.note_owing((1..behind).flat_map(|n| trace.found(n)));
            if is_part {
                self.note_coming(trace.found(behind));
            }
            if keeps {
                let devices = self.failure.keep(Devices::among(&meta))?;
                let images = trace.found(behind + usize::from(is_part));
                self.failure.keep(self.keep_images(images, &devices))?;
            }
            self.failure.keep(Arc::clone(&self).read_rows(&meta, trace))
        }));
        Ok(steps)
    }

    /// Notes of whom something is parked that is not tried now: whoever sends a state, and has something of it parked here, is not
    /// seen as far as its last page tells.
    fn note_owing<'a>(&self, parked: impl Iterator<Item = &'a Record>) {
        let parked = parked.filter_map(|row| parked_name(row).ok());
        let owing = parked.filter(|name| !self.tries(*name));
        let owing = owing.map(|(device, _)| device).collect();
        *self.owing.lock().unwrap_or_else(PoisonError::into_inner) = owing;
    }

    /// Whether a transaction is among those that are applied now.
    pub(super) fn tries(&self, name: (Device, u64)) -> bool {
        self.incoming.iter().any(|it| (it.sealed.device, it.sealed.sequence) == name)
    }

    /// Finds out which objects without a clock are there: rows older than sync.
    fn read_rows(self: Arc<Self>, meta: &[Record], trace: &Trace) -> Result<Vec<Step>> {
        let head = Head::among(meta)?;
        let devices = Devices::among(meta)?;
        let ClockRows { mut clocks, mut markers } = ClockRows::read(trace.found(0), &devices)?;
        let works: Vec<Work> = self
            .objects
            .iter()
            .map(|object| {
                // Most of what arrives is new.
                let any = !clocks.is_empty() || !markers.is_empty();
                let key = any.then(|| (object.number, object.code.clone()));
                let clock = key.as_ref().and_then(|key| clocks.remove(key));
                let marker = key.and_then(|key| markers.remove(&key));
                Work { clock, marker, ..Work::default() }
            })
            .collect();
        let unknown = self.updated_without_clock(&works);
        let wanted: Vec<usize> = match self.how {
            How::Together => unknown.iter().copied().collect(),
            _ => (0..self.objects.len()).collect(),
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
                        _ => collection.key_of(record),
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
}

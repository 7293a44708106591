//! Applying what other devices wrote: one transaction per page, with rows, clocks and cursor.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{
    Batch, Changes, Collection, ErrorKind, Filter, Key, Name, OnConflict, Query, Record, Step,
    Storage, Trace, Value,
};

use crate::clock::Clock;
use crate::counter::{Counted, Counter, Sum};
use crate::error::{During, Result, SyncError, abort};
use crate::key_code;
use crate::log::{
    AllNumbers, CLOCK, catalogue_query, clock_key, clock_record, read_clock_rows, read_numbers,
    sort_clock_records,
};
use crate::merge::{Action, Incoming, Merged, merge};
use crate::meta::{DEVICES, Devices, HEAD, Head, Numbers, read_meta, write_meta};
use crate::parked::{PARKED, Parked, WaitsFor, park};
use crate::shared_log::SealedTransaction;
use crate::stamp::{Device, Hlc, Stamp};
use crate::transaction::{Entry, EntryKind, EntryValue, Transaction};

/// What applying a page of transactions has done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    /// Transactions that were applied now.
    pub transactions: u64,
    /// Their entries.
    pub entries: u64,
    /// Transactions that could not be applied and were parked. One that could be applied later in the same exchange, when
    /// what it waited for had come, is counted among the applied ones too.
    pub parked: u64,
    /// Writes of which neither had seen the other.
    pub conflicts: Vec<Conflict>,
}

/// Two writes to one object of which neither device had seen the other's.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The collection.
    pub collection: Name,
    /// The object.
    pub key: Key,
    /// The field; `None`: one side deleted the object.
    pub field: Option<Name>,
    /// The device whose write arrived.
    pub device: Device,
    /// Whether the arriving write won.
    pub incoming_won: bool,
}

impl Applied {
    pub(crate) fn add(&mut self, other: Self) {
        self.transactions += other.transactions;
        self.entries += other.entries;
        self.parked += other.parked;
        self.conflicts.extend(other.conflicts);
    }
}

/// A storage with a sync log, and the numbers of its collections.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub(crate) storage: Storage,
    pub(crate) numbers: Arc<AllNumbers>,
}

impl Replica {
    pub(crate) async fn open(storage: &Storage) -> Result<Self> {
        if storage.registry().find(CLOCK).is_none() {
            return Err(SyncError::NoSyncLog);
        }
        let numbers = read_numbers(storage.find(catalogue_query()), storage.registry()).await?;
        Ok(Self { storage: storage.clone(), numbers: Arc::new(numbers) })
    }

    /// This device, and where it stands.
    pub(crate) async fn head(&self) -> Result<(Head, Devices)> {
        let keys = vec![Key::single(HEAD), Key::single(DEVICES)];
        let query = Query::new(crate::meta::META).filter(Filter::Keys(keys));
        let rows = self.storage.find(query).await.during("reading the head of the log")?;
        Ok((Head::among(&rows)?, Devices::among(&rows)?))
    }

    /// Applies transactions in their order, and writes a row of `_storex_meta` (the cursor) with them.
    ///
    /// Transactions that were applied before are passed over. One that the schema or a rule of the database refuses is
    /// parked; the others are not held up by it.
    pub(crate) async fn apply(
        &self,
        sealed: Vec<SealedTransaction>,
        cursor: Option<(String, Vec<u8>)>,
    ) -> Result<Applied> {
        let incoming: Vec<IncomingTransaction> =
            sealed.into_iter().map(|sealed| self.resolve(sealed)).collect();
        match self.apply_page(incoming.clone(), cursor.clone(), How::Together).await {
            Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => {
                tracing::debug!(error = %source, "a page was refused; applying it one by one");
                self.apply_singly(incoming, cursor).await
            }
            result => result,
        }
    }

    /// Tries parked transactions again; those that can be applied now are no longer parked. One may wait for another, so
    /// it goes on as long as it helps.
    pub(crate) async fn retry_parked(&self, parked: Vec<Parked>) -> Result<Applied> {
        let mut applied = Applied::default();
        let mut waiting: Vec<IncomingTransaction> = parked
            .into_iter()
            .map(|parked| {
                let Parked { device, sequence, payload, .. } = parked;
                self.resolve(SealedTransaction { device, sequence, payload })
            })
            .filter(|incoming| incoming.refused.is_none())
            .collect();
        loop {
            let mut still = Vec::new();
            let before = waiting.len();
            for incoming in waiting {
                match self.apply_page(vec![incoming.clone()], None, How::Again).await {
                    Ok(one) if one.transactions > 0 => applied.add(one),
                    Ok(_) => still.push(incoming),
                    Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => {
                        still.push(incoming);
                    }
                    Err(error) => return Err(error),
                }
            }
            if still.len() == before {
                return Ok(applied);
            }
            waiting = still;
        }
    }

    async fn apply_singly(
        &self,
        incoming: Vec<IncomingTransaction>,
        cursor: Option<(String, Vec<u8>)>,
    ) -> Result<Applied> {
        let mut applied = Applied::default();
        for mut one in incoming {
            match self.apply_page(vec![one.clone()], None, How::InOrder).await {
                Ok(done) => applied.add(done),
                Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => {
                    // What is in its way may go; a value that no rule allows stays what it is.
                    let waits_for = match source.kind() {
                        ErrorKind::Conflict => WaitsFor::Change,
                        _ => WaitsFor::Update,
                    };
                    one.refused = Some(Refusal { reason: source.to_string(), waits_for });
                    applied.add(self.apply_page(vec![one], None, How::InOrder).await?);
                }
                Err(error) => return Err(error),
            }
        }
        applied.add(self.apply_page(Vec::new(), cursor, How::Together).await?);
        Ok(applied)
    }

    async fn apply_page(
        &self,
        incoming: Vec<IncomingTransaction>,
        cursor: Option<(String, Vec<u8>)>,
        how: How,
    ) -> Result<Applied> {
        let page = Arc::new(Page::new(incoming, cursor, how));
        let batch = {
            let page = Arc::clone(&page);
            Batch::new()
                .step(read_meta(&[HEAD, DEVICES]))
                .touching([CLOCK, PARKED])
                .touching(page.collections())
                .then(move |trace| Ok(Arc::clone(&page).read(trace)))
        };
        let executed = self.storage.apply(batch).await;
        let failure = page.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Err(_), Some(failure)) = (&executed, failure) {
            return Err(failure);
        }
        executed.during("applying transactions of other devices")?;
        Ok(std::mem::take(&mut *page.applied.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Finds out what a transaction is about in this schema. Whatever is wrong with it becomes the reason to park it.
    fn resolve(&self, sealed: SealedTransaction) -> IncomingTransaction {
        let mut shapes = Vec::new();
        let (transaction, refused) = match Transaction::decode(&sealed.payload) {
            Ok(mut transaction) => {
                let refused =
                    self.resolve_transaction(&sealed, &mut transaction, &mut shapes).err();
                (transaction, refused)
            }
            Err(error) => (Transaction::default(), Some(error.to_string())),
        };
        let refused = refused.map(|reason| Refusal { reason, waits_for: WaitsFor::Update });
        IncomingTransaction { sealed, transaction, shapes, refused }
    }

    fn resolve_transaction(
        &self,
        sealed: &SealedTransaction,
        transaction: &mut Transaction,
        shapes: &mut Vec<Arc<ResolvedShape>>,
    ) -> Result<(), String> {
        let header = &transaction.header;
        if (header.device, header.sequence) != (sealed.device, sealed.sequence) {
            return Err(format!(
                "it says that it is transaction {} of device {}, but came as transaction {} of device {}",
                header.sequence, header.device, sealed.sequence, sealed.device
            ));
        }
        for shape in &transaction.shapes {
            shapes.push(Arc::new(self.resolve_shape(shape)?));
        }
        check_values(transaction, shapes).map_err(|error| error.to_string())
    }

    fn resolve_shape(&self, shape: &crate::Shape) -> Result<ResolvedShape, String> {
        let registry = self.storage.registry();
        let collection = registry
            .find(&shape.collection)
            .filter(|collection| !collection.is_reserved())
            .ok_or_else(|| format!("collection `{}` is not known here", shape.collection))?;
        let numbers = self
            .numbers
            .get(&shape.collection)
            .ok_or_else(|| format!("collection `{}` is kept local here", shape.collection))?;
        let positions = shape
            .fields
            .iter()
            .map(|field| {
                collection.position(field).ok_or_else(|| {
                    format!(
                        "field `{field}` of collection `{}` is not known here",
                        shape.collection
                    )
                })
            })
            .collect::<Result<Vec<usize>, String>>()?;
        let (key, values) = positions.split_at(shape.key_len.min(positions.len()));
        if key != collection.primary_key() || values.iter().any(|at| collection.is_key(*at)) {
            return Err(format!("collection `{}` has another primary key here", shape.collection));
        }
        let number = |at: &usize| numbers.fields.get(*at).copied();
        let others = (0..collection.fields().len()).filter(|at| !positions.contains(at));
        Ok(ResolvedShape {
            collection: Arc::clone(collection),
            numbers: Arc::clone(numbers),
            fields: values.iter().filter_map(number).collect(),
            others: others.filter_map(|at| number(&at)).collect(),
            values: values.to_vec(),
        })
    }
}

/// Whether the same write would be refused again, however often it is tried.
fn is_about_data(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Conflict | ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Unsupported
    )
}

/// Brings values to the form that their fields have here.
fn check_values(
    transaction: &mut Transaction,
    shapes: &[Arc<ResolvedShape>],
) -> storex_core::Result<()> {
    for entry in &mut transaction.entries {
        let Some(shape) = shapes.get(entry.shape) else { continue };
        let positions = shape.collection.primary_key().iter().chain(&shape.values);
        for (at, value) in positions.zip(&mut entry.values) {
            let field = &shape.collection.fields()[*at];
            if let Some(counted) = value.counted() {
                // Whatever others add to it, it stays a number of this kind.
                let mut counter = Counter::new(counted.from.clone());
                counter.sums.push(Sum { at: Stamp::ZERO, amount: counted.sum });
                shape.collection.check_value(field, &mut counter.value())?;
            }
            let (EntryValue::Set(value) | EntryValue::Changed { to: value, .. }) = value;
            shape.collection.check_value(field, value)?;
        }
    }
    Ok(())
}

/// A transaction, and what its shapes mean in this schema.
#[derive(Debug, Clone)]
struct IncomingTransaction {
    sealed: SealedTransaction,
    /// Its content; empty when it cannot be read.
    transaction: Transaction,
    shapes: Vec<Arc<ResolvedShape>>,
    /// Why it cannot be applied.
    refused: Option<Refusal>,
}

/// Why a transaction cannot be applied, and what would help.
#[derive(Debug, Clone)]
struct Refusal {
    reason: String,
    waits_for: WaitsFor,
}

/// How transactions are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// A page at once: each object is written once, with what all of them make of it.
    Together,
    /// One, write by write in its own order: what its author could do in that order can be done here (two objects that
    /// exchange a unique value, say).
    InOrder,
    /// As [`How::InOrder`], one that was parked before.
    Again,
}

#[derive(Debug)]
struct ResolvedShape {
    collection: Arc<Collection>,
    numbers: Arc<Numbers>,
    /// Positions of the fields behind the key.
    values: Vec<usize>,
    /// Their numbers.
    fields: Vec<u32>,
    /// The numbers of the collection's other fields: the author's schema does not have them, or they were not changed.
    others: Vec<u32>,
}

/// A page of transactions on its way into the database. Its functions are continuations: they may be called again.
#[derive(Debug)]
struct Page {
    incoming: Vec<IncomingTransaction>,
    cursor: Option<(String, Vec<u8>)>,
    how: How,
    objects: Vec<Object>,
    /// Per transaction and entry: which object.
    object_of: Vec<Vec<usize>>,
    applied: Mutex<Applied>,
    failure: Mutex<Option<SyncError>>,
}

/// An object that the page is about.
#[derive(Debug, Clone)]
struct Object {
    collection: Arc<Collection>,
    number: i64,
    key: Key,
    code: Vec<u8>,
}

/// An object while the page is folded into it.
#[derive(Debug, Clone, Default)]
struct Work {
    clock: Option<Clock>,
    clock_changed: bool,
    row: Row,
}

#[derive(Debug, Clone, Default)]
enum Row {
    #[default]
    Keep,
    Put(Record),
    Set(BTreeMap<usize, Value>),
    Delete,
}

impl Page {
    fn new(
        incoming: Vec<IncomingTransaction>,
        cursor: Option<(String, Vec<u8>)>,
        how: How,
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
        let (applied, failure) = (Mutex::default(), Mutex::default());
        Self { incoming, cursor, how, objects, object_of, applied, failure }
    }

    /// The collections of the objects that the page is about.
    fn collections(&self) -> BTreeSet<Name> {
        self.objects.iter().map(|object| Name::clone(object.collection.name())).collect()
    }

    fn fail(&self, error: SyncError) -> storex_core::Error {
        let refusal = abort(&error);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        refusal
    }

    /// Reads the clocks of everything the page is about.
    fn read(self: Arc<Self>, trace: &Trace) -> Vec<Step> {
        let meta = trace.found(0).to_vec();
        let keys = self
            .objects
            .iter()
            .map(|object| clock_key(object.number, object.code.clone()))
            .collect();
        let next = Step::then(move |trace| {
            let steps = Arc::clone(&self).read_rows(&meta, trace);
            steps.map_err(|error| self.fail(error))
        });
        vec![Step::Find(Query::new(CLOCK).filter(Filter::Keys(keys))), next]
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
                if entry.kind == EntryKind::Update && works[*at].clock.is_none() {
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
            let steps = Arc::clone(&self).fold(head, devices.clone(), works);
            steps.map_err(|error| self.fail(error))
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
        let mut taken = Vec::new();
        let mut steps = Vec::new();
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
            let mut last = Hlc::ZERO;
            match one.refused.clone().or_else(|| missing(one, places, &works)) {
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
                    last = one.transaction.header.hlc.plus(count.saturating_sub(1));
                }
            }
            devices.advance(device, sequence, last);
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
        if let Some((name, cursor)) = &self.cursor {
            meta.push((name.as_str(), cursor.clone()));
        }
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
            let merged = merge(work.clock.as_ref(), incoming, |stamp| transaction.had_seen(stamp));
            work.row.act(&merged, shape, entry);
            if self.how != How::Together {
                steps.extend(std::mem::take(&mut work.row).step(&self.objects[*at]));
            }
            if let Some(mut clock) = merged.clock {
                if entry.kind == EntryKind::Create {
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

impl ResolvedShape {
    /// The fields that an entry increments. A create sets all of its fields, whatever it says.
    fn counted<'a>(&self, entry: &'a Entry) -> Vec<(u32, &'a Counted)> {
        if entry.kind != EntryKind::Update {
            return Vec::new();
        }
        let values = entry.values.iter().skip(self.collection.primary_key().len());
        let fields = self.fields.iter().zip(values);
        fields.filter_map(|(field, value)| Some((*field, value.counted()?))).collect()
    }

    /// What a create says of fields that its author does not have: where it made the object they were never written. With
    /// all fields in it, one stamp may say it all.
    fn settle(&self, action: &Action, clock: &mut Clock) {
        if *action == Action::Put {
            self.others.iter().for_each(|field| clock.set(*field, Stamp::ZERO));
        } else if self.others.is_empty() {
            clock.compact(&self.fields);
        }
    }
}

impl Row {
    /// The step that writes it.
    fn step(self, object: &Object) -> Option<Step> {
        let collection = Name::clone(object.collection.name());
        let filter = Filter::Keys(vec![object.key.clone()]);
        match self {
            Self::Keep => None,
            Self::Put(record) => {
                Some(Step::create_or(collection, vec![record], OnConflict::Replace))
            }
            Self::Delete => Some(Step::Delete { collection, filter }),
            Self::Set(values) => {
                let changes = values.into_iter().fold(Changes::new(), |changes, (at, value)| {
                    changes.set(Name::clone(&object.collection.fields()[at].name), value)
                });
                Some(Step::Update { collection, filter, changes })
            }
        }
    }

    fn act(&mut self, merged: &Merged, shape: &ResolvedShape, entry: &Entry) {
        match &merged.action {
            Action::Keep | Action::Missing => {}
            Action::Delete => *self = Self::Delete,
            Action::Put => {
                let mut record = shape.collection.blank_record(storex_core::Timestamp(0));
                let positions = shape.collection.primary_key().iter().chain(&shape.values);
                for (at, value) in positions.zip(&entry.values) {
                    record.set(*at, value.value().clone());
                }
                *self = Self::Put(record);
            }
            Action::Set(taken) => {
                let key_len = shape.collection.primary_key().len();
                for n in taken {
                    let (Some(at), Some(value)) =
                        (shape.values.get(*n), entry.values.get(key_len + n))
                    else {
                        continue;
                    };
                    let counted = merged.counted(&shape.collection, *at, shape.fields[*n]);
                    self.set(*at, counted.unwrap_or_else(|| value.value().clone()));
                }
            }
        }
    }

    fn set(&mut self, at: usize, value: Value) {
        match self {
            Self::Put(record) => record.set(at, value),
            Self::Set(values) => {
                values.insert(at, value);
            }
            Self::Keep | Self::Delete => *self = Self::Set(BTreeMap::from([(at, value)])),
        }
    }
}

//! Taking out of the own log, and taking back, what the shared log refuses for good.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{
    Batch, Collection, Direction, Filter, Key, Name, OnConflict, Query, Record, Registry, Step,
    Trace, Value, field,
};

use super::held::{Held, row_steps};
use super::image::Image;
use super::resolve::IncomingTransaction;
use super::row::Object;
use super::split::split;
use super::{Replica, is_about_data};
use crate::before::{BEFORE, Before, before_from};
use crate::clock_rows::{Stored, clock_key, clock_record, sort_clock_records};
use crate::error::{Result, SyncError};
use crate::exclusive::HOLDER;
use crate::failure::Failure;
use crate::key_code;
use crate::log::{CLOCK, LOG, log_row};
use crate::meta::{DEVICES, Devices, HEAD, Head, Numbers, meta_row, read_meta, write_meta};
use crate::refused::{Fate, Named, object_of};
use crate::rejected::{REJECTED, Rejected};
use crate::rules::Rules;
use crate::scope::leave;
use crate::shared_log::SealedTransaction;
use crate::stamp::Device;
use crate::state::{PROGRESS, Progress, StatePage, is_state};
use crate::transaction::Transaction;
use crate::writes::WriteId;

const DURING: &str = "taking back what the shared log refuses";

/// What the shared log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which transaction it refuses.
    pub write: WriteId,
    /// Why.
    pub reason: String,
    /// Whether its size is why.
    pub is_too_large: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PutAside {
    /// These were put aside.
    Done(Vec<Rejected>),
    /// Another program has begun a new incarnation.
    Renewed(Device),
}

/// A transaction in the own log.
pub(super) struct Unsent {
    pub(super) sequence: u64,
    pub(super) payload: Vec<u8>,
    /// With the names of today. `None`: a page of the state.
    pub(super) transaction: Option<Transaction>,
    /// What is left of it where it is not sent.
    pub(super) empty: Transaction,
}

/// An object that is as it would have been without what was refused.
struct Reverted {
    collection: Arc<Collection>,
    numbers: Arc<Numbers>,
    key: Key,
    image: Image,
}

/// What is to be taken back.
#[derive(Default)]
struct Revert {
    objects: Vec<Reverted>,
    /// What was before the writes behind it.
    before: Vec<Before>,
    /// Objects of which it is not known what they were.
    unknown: BTreeSet<Named>,
}

impl Replica {
    /// Takes a transaction out of the own log and puts it aside, with those that build on it. Where it is known what was before, it is
    /// taken back too; unless that breaks a rule of the database, which comes first.
    pub(crate) async fn put_aside(&self, refused: Refused) -> Result<PutAside> {
        match self.put_aside_as(&refused, Self::revert).await {
            Err(SyncError::Storage { source, .. }) if is_about_data(source.kind()) => {
                tracing::warn!(error = %source, write = %refused.write, "what is refused cannot be taken back");
                self.put_aside_as(&refused, Self::keep).await
            }
            result => result,
        }
    }

    async fn put_aside_as(
        &self,
        refused: &Refused,
        revert: impl Fn(&Self, &[Unsent], &Fate, Vec<Before>) -> Result<Revert>
        + storex_core::MaybeSend
        + storex_core::MaybeSync
        + 'static,
    ) -> Result<PutAside> {
        let (failure, done) = (Failure::default(), Arc::new(Mutex::new(None)));
        let first = i64::try_from(refused.write.sequence).unwrap_or(i64::MAX);
        let log = Query::new(LOG).order_by("sequence", Direction::Ascending);
        let log = log.filter(field("sequence").gte(Value::Int(first)));
        let synced = self.storage.registry().collections().iter();
        let touched = synced.filter(|it| self.numbers.get(it.name()).is_some());
        let touched = touched.map(|it| Name::clone(it.name()));
        let batch = {
            let (this, refused, kept, told) =
                (self.clone(), refused.clone(), failure.clone(), Arc::clone(&done));
            Batch::new()
                .step(read_meta(&[HEAD, DEVICES, HOLDER, PROGRESS]))
                .find(log)
                .find(before_from(refused.write.sequence))
                .touching([CLOCK, REJECTED].map(Name::from).into_iter().chain(touched))
                .then(move |trace| {
                    let (steps, came) = kept.keep(this.aside(&refused, &revert, trace))?;
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
                    Ok(steps)
                })
        };
        failure.or(self.storage.apply(batch).await, DURING)?;
        let done = done.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(done.unwrap_or(PutAside::Done(Vec::new())))
    }

    fn aside(
        &self,
        refused: &Refused,
        revert: &impl Fn(&Self, &[Unsent], &Fate, Vec<Before>) -> Result<Revert>,
        trace: &Trace,
    ) -> Result<(Vec<Step>, PutAside)> {
        let (meta, log, before) = (trace.found(2), trace.found(1), trace.found(0));
        if let Some(fence) = self.fence() {
            fence.check(meta)?;
        }
        let (head, mut devices) = (Head::among(meta)?, Devices::among(meta)?);
        let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        if me != refused.write.device {
            return Ok((Vec::new(), PutAside::Renewed(me)));
        }
        let registry = self.storage.registry();
        let unsent =
            log.iter().map(|row| Unsent::read(row, registry)).collect::<Result<Vec<_>>>()?;
        let Some(first) = unsent.first().filter(|it| it.sequence == refused.write.sequence) else {
            // Another program has sent it, or put it aside.
            return Ok((Vec::new(), PutAside::Done(Vec::new())));
        };
        let Some(transaction) = &first.transaction else {
            return split(refused, &unsent, head, meta);
        };
        if transaction.entries.is_empty() {
            let reason = "it refuses a transaction that is empty".to_owned();
            return Err(SyncError::Protocol { during: "sending", reason });
        }
        let decoded: Vec<Option<Transaction>> =
            unsent.iter().map(|it| it.transaction.clone()).collect();
        let fate = Fate::of(&decoded, &self.rules);
        let before = before.iter().map(|row| Before::read(row, &devices));
        let before = before.collect::<Result<Vec<_>>>()?;
        let forgotten: Vec<Key> = before
            .iter()
            .filter(|it| fate.refused.iter().any(|at| unsent[*at].sequence == it.sequence))
            .map(Before::key)
            .collect();
        let revert = revert(self, &unsent, &fate, before)?;
        let rejected = rejected(refused, &unsent, &fate, &revert.unknown);
        let mut steps = Vec::new();
        if revert.objects.iter().any(|it| it.numbers.scope.is_some() && it.image.object.is_some()) {
            // It may be back in a scope that this device does not hold.
            steps.push(write_meta(vec![leave(&**self.storage.runtime())]));
        }
        steps.extend(clocks(&revert.objects, &mut devices));
        steps.push(Step::create_or(LOG, logged(&unsent, &fate), OnConflict::Replace));
        let put = rejected.iter().map(Rejected::record).collect();
        steps.push(Step::create_or(REJECTED, put, OnConflict::Replace));
        let filter = Filter::Keys(forgotten);
        steps.push(Step::Delete { collection: BEFORE.into(), filter });
        let images: Vec<Record> = revert.before.iter().map(|it| it.record(&mut devices)).collect();
        if !images.is_empty() {
            steps.push(Step::create_or(BEFORE, images, OnConflict::Replace));
        }
        if devices.is_changed() {
            steps.push(write_meta(vec![(DEVICES, devices.encode())]));
        }
        if unsent.iter().any(|it| it.transaction.is_none()) {
            // Its pages may have told what is refused.
            let progress = Progress::again(meta_row(meta, PROGRESS), None)?;
            steps.push(write_meta(vec![(PROGRESS, progress.encode())]));
        }
        steps.extend(rows(revert.objects, Arc::clone(&self.rules)));
        Ok((steps, PutAside::Done(rejected)))
    }

    /// Takes nothing back.
    fn keep(&self, unsent: &[Unsent], fate: &Fate, _: Vec<Before>) -> Result<Revert> {
        Ok(Revert { unknown: touched(unsent, fate).into_keys().collect(), ..Revert::default() })
    }

    /// What the objects are without what is refused: what was before it, and over that what is written behind it.
    fn revert(&self, unsent: &[Unsent], fate: &Fate, before: Vec<Before>) -> Result<Revert> {
        let incoming: Vec<Option<IncomingTransaction>> = (0..unsent.len())
            .map(|at| {
                // What a page of the state tells is here.
                let stays = !fate.refused.contains(&at) && unsent[at].transaction.is_some();
                stays.then(|| self.resolve_unsent(&unsent[at], fate, at))
            })
            .collect();
        let mut revert = Revert::default();
        for (named, first) in touched(unsent, fate) {
            let known = self.storage.registry().find(&named.0).zip(self.numbers.get(&named.0));
            let Some((collection, numbers)) = known else {
                revert.unknown.insert(named);
                continue;
            };
            let code = key_code::encode(named.1.values());
            let of_it = |it: &&Before| it.collection == numbers.collection && it.code == code;
            let mut kept: HashMap<u64, &Before> =
                before.iter().filter(of_it).map(|it| (it.sequence, it)).collect();
            let Some(base) = kept.remove(&unsent[first].sequence) else {
                revert.unknown.insert(named);
                continue;
            };
            let mut image = Image::of(base, collection, numbers);
            for (at, one) in incoming.iter().enumerate().skip(first) {
                let Some(one) = one else { continue };
                if let Some(before) = kept.get(&unsent[at].sequence) {
                    revert.before.push(image.to_before(before, numbers));
                }
                for (n, entry) in one.transaction.entries.iter().enumerate() {
                    if object_of(&one.transaction.shapes, entry).as_ref() == Some(&named) {
                        image.fold(one, n, &self.merging.joins);
                    }
                }
            }
            revert.objects.push(Reverted {
                collection: Arc::clone(collection),
                numbers: Arc::clone(numbers),
                key: named.1,
                image,
            });
        }
        Ok(revert)
    }

    fn resolve_unsent(&self, unsent: &Unsent, fate: &Fate, at: usize) -> IncomingTransaction {
        let payload = fate.corrected.get(&at).map(Transaction::encode);
        let device = unsent.transaction.as_ref().map(|it| it.header.device).unwrap_or_default();
        let payload = payload.unwrap_or_else(|| unsent.payload.clone());
        self.resolve_own(SealedTransaction { device, sequence: unsent.sequence, payload })
    }
}

impl Unsent {
    fn read(row: &Record, registry: &Registry) -> Result<Self> {
        let sequence = row.get(0).as_int().and_then(|int| u64::try_from(int).ok());
        let (Some(sequence), Some(payload)) = (sequence, row.get(1).as_bytes()) else {
            return Err(SyncError::corrupt("the log", "a row has the wrong types"));
        };
        let (transaction, empty) = match is_state(payload) {
            true => (None, StatePage::decode(payload)?.without_objects()),
            false => {
                let transaction = Transaction::decode_own(payload, registry)?;
                let empty = transaction.without_entries();
                (Some(transaction), empty)
            }
        };
        Ok(Self { empty, sequence, payload: payload.to_vec(), transaction })
    }
}

/// The objects that what is refused is about, and the first place at which it is.
fn touched(unsent: &[Unsent], fate: &Fate) -> BTreeMap<Named, usize> {
    let mut touched = BTreeMap::new();
    for at in &fate.refused {
        let Some(transaction) = &unsent[*at].transaction else { continue };
        for entry in &transaction.entries {
            if let Some(named) = object_of(&transaction.shapes, entry) {
                touched.entry(named).or_insert(*at);
            }
        }
    }
    touched
}

fn rejected(
    refused: &Refused,
    unsent: &[Unsent],
    fate: &Fate,
    unknown: &BTreeSet<Named>,
) -> Vec<Rejected> {
    let one = |at: &usize| {
        let Unsent { sequence, payload, transaction, .. } = &unsent[*at];
        let objects = transaction
            .iter()
            .flat_map(|it| it.entries.iter().filter_map(|entry| object_of(&it.shapes, entry)));
        let is_reverted =
            transaction.is_some() && objects.into_iter().all(|it| !unknown.contains(&it));
        let reason = match *at {
            0 => refused.reason.clone(),
            _ => format!(
                "it builds on write {}, which was refused: {}",
                refused.write, refused.reason
            ),
        };
        let write = WriteId { sequence: *sequence, ..refused.write };
        Rejected { write, reason, is_reverted, payload: payload.clone() }
    };
    fate.refused.iter().map(one).collect()
}

/// The rows of the log that are others now. What is refused leaves its number behind, and so does a page of the state, which is sent
/// again from its beginning.
fn logged(unsent: &[Unsent], fate: &Fate) -> Vec<Record> {
    let emptied = unsent.iter().enumerate().filter_map(|(at, it)| {
        let goes = it.transaction.is_none() || fate.refused.contains(&at);
        goes.then(|| log_row(it.sequence, it.empty.encode(), 0))
    });
    let corrected = fate.corrected.iter().map(|(at, transaction)| {
        log_row(unsent[*at].sequence, transaction.encode(), transaction.entries.len())
    });
    emptied.chain(corrected).collect()
}

/// Looks at the objects as they are, and writes what is to be otherwise; in an order in which unique values are free when they are
/// given back.
fn rows(reverted: Vec<Reverted>, rules: Arc<Rules>) -> Vec<Step> {
    let mut keys: BTreeMap<Name, Vec<Key>> = BTreeMap::new();
    for one in &reverted {
        keys.entry(Name::clone(one.collection.name())).or_default().push(one.key.clone());
    }
    let names: Vec<Name> = keys.keys().cloned().collect();
    let finds = keys
        .into_iter()
        .map(|(name, keys)| Step::Find(Query::new(name).filter(Filter::Keys(keys))));
    let mut steps: Vec<Step> = finds.collect();
    steps.push(Step::then(move |trace| {
        let found = |one: &Reverted| {
            let n = names.iter().position(|name| name == one.collection.name())?;
            let rows = trace.found(names.len() - 1 - n);
            rows.iter().find(|row| one.collection.key_of(row) == one.key).cloned()
        };
        let held: Vec<Held> = reverted.iter().map(|one| one.held(found(one))).collect();
        Ok(row_steps(&held, &rules))
    }));
    steps
}

impl Reverted {
    /// What is here, and what is to be.
    fn held(&self, before: Option<Record>) -> Held {
        let mut after = self.image.object.clone();
        self.numbers.keep_local(before.as_ref(), after.as_mut());
        let object = Object {
            collection: Arc::clone(&self.collection),
            number: self.numbers.collection,
            key: self.key.clone(),
            code: key_code::encode(self.key.values()),
        };
        Held { object, clock: None, clock_changed: false, before, after, fresh: false }
    }
}

fn clocks(reverted: &[Reverted], devices: &mut Devices) -> Vec<Step> {
    let (mut records, mut gone) = (Vec::new(), Vec::new());
    for Reverted { numbers, key, image, .. } in reverted {
        let code = key_code::encode(key.values());
        match Stored::encode(image.clock.as_ref(), image.marker.as_ref(), devices) {
            Some(packed) => records.push(clock_record(numbers.collection, code, packed)),
            None => gone.push(clock_key(numbers.collection, code)),
        }
    }
    sort_clock_records(&mut records);
    let mut steps = vec![Step::Delete { collection: CLOCK.into(), filter: Filter::Keys(gone) }];
    if !records.is_empty() {
        steps.push(Step::create_or(CLOCK, records, OnConflict::Replace));
    }
    steps
}

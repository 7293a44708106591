//! The receiving side.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use storex_core::{Batch, Collection, FieldDefault, Filter, Name, Query, Step, Timestamp};

use super::arriving::{Arriving, ArrivingPage};
use super::frame::{CollectionHello, Frame, Hello, Rows, Tombstones, translate};
use super::{InitialSync, InitialSyncReport};
use crate::apply::{ORPHANS, WITHHELD};
use crate::before::BEFORE;
use crate::channel::Channel;
use crate::clock_rows::clock_key;
use crate::error::{During, Result, SyncError};
use crate::failure::Failure;
use crate::journal::CONFLICTS;
use crate::key_code;
use crate::log::CLOCK;
use crate::meta::{
    DEVICES, Devices, HEAD, Head, META, Numbers, OFFERED, fresh_mark, read_meta, write_meta,
};
use crate::parked::{PARKED, Parked, all_is_here, park_up_to};
use crate::place::{Place, read_place};
use crate::scope::{BACKFILL, Pending, SCOPES, is_filled};
use crate::shared_log::Cursor;
use crate::stamp::{Device, Hlc};

const DURING: &str = "receiving the initial sync";

pub(crate) async fn run(
    sync: &InitialSync,
    channel: &mut dyn Channel,
) -> Result<InitialSyncReport> {
    let (receiver, report) = receive(sync, channel).await?;
    receiver.take_over(report.parked > 0).await?;
    // The sender may forget what it has sent once we say so.
    sync.replica.storage.flush().await.during("making what arrived durable")?;
    channel.send(Frame::Finished.encode()).await?;
    Ok(report)
}

/// Takes the objects, and takes nothing over from the sender.
pub(super) async fn fill(sync: &InitialSync, channel: &mut dyn Channel) -> Result<()> {
    receive(sync, channel).await.map(drop)
}

/// Takes everything that is sent, up to the end.
async fn receive<'a>(
    sync: &'a InitialSync,
    channel: &mut dyn Channel,
) -> Result<(Receiver<'a>, InitialSyncReport)> {
    let pending = sync.replica.pending().await?;
    let hello = match Frame::receive(channel, DURING).await? {
        Frame::Hello(hello) => hello,
        other => return Err(other.unexpected(DURING)),
    };
    let receiver = Receiver::new(sync, hello, pending)?;
    channel.send(Frame::Accept.encode()).await?;
    let mut report = InitialSyncReport {
        objects: receiver.hello.collections.iter().map(|it| (Name::clone(&it.name), 0)).collect(),
        ..InitialSyncReport::default()
    };
    let counts = receiver.hello.collections.iter().map(|it| it.count);
    let mut total = counts.fold(0, u64::saturating_add);
    let mut done = 0;
    loop {
        match Frame::receive(channel, DURING).await? {
            Frame::Rows(rows) => {
                let (at, count) = (rows.collection, rows.rows.len() as u64);
                let incoming = receiver.rows(rows)?;
                receiver.commit(incoming, &mut report).await?;
                if let Some((name, objects)) = report.objects.get_mut(at) {
                    *objects += count;
                    done += count;
                    total = total.max(done);
                    sync.tell(name, done, total);
                }
            }
            Frame::Tombstones(tombstones) => {
                report.tombstones += tombstones.objects.len() as u64;
                let incoming = receiver.tombstones(tombstones)?;
                receiver.commit(incoming, &mut report).await?;
            }
            Frame::Parked(parked) => receiver.park(parked).await?,
            Frame::Finish => break,
            other => return Err(other.unexpected(DURING)),
        }
        channel.send(Frame::Received.encode()).await?;
    }
    Ok((receiver, report))
}

pub(super) struct Receiver<'a> {
    pub(super) sync: &'a InitialSync,
    hello: Hello,
    collections: Vec<Target>,
    /// What of scopes that were added was still to be brought at the beginning.
    pending: Option<Pending>,
}

/// A collection of the sender, in this schema.
struct Target {
    collection: Arc<Collection>,
    numbers: Arc<Numbers>,
    /// Where each value of a row goes; `None`: nowhere, the field is kept local here.
    positions: Vec<Option<usize>>,
    /// From the sender's field numbers to ours.
    translation: HashMap<u32, u32>,
    /// The numbers of our fields that do not arrive.
    others: Vec<u32>,
}

impl<'a> Receiver<'a> {
    /// Finds every collection and field of the sender in our schema. What is missing is told before the first row.
    fn new(sync: &'a InitialSync, hello: Hello, pending: Option<Pending>) -> Result<Self> {
        let collections =
            hello.collections.iter().map(|it| Self::target(sync, it)).collect::<Result<_>>()?;
        Ok(Self { sync, hello, collections, pending })
    }

    fn target(sync: &InitialSync, theirs: &CollectionHello) -> Result<Target> {
        let refuse =
            |reason: String| SyncError::Protocol { during: "comparing the schemas", reason };
        let registry = sync.replica.storage.registry();
        let collection = registry.find(&theirs.name).filter(|collection| !collection.is_reserved());
        let numbers = sync.replica.numbers.get(&theirs.name);
        let (Some(collection), Some(numbers)) = (collection, numbers) else {
            let why = if collection.is_some() { "keeps to itself" } else { "does not have" };
            let reason =
                format!("the sender has a collection `{}`, which this device {why}", theirs.name);
            return Err(refuse(reason));
        };
        let mut positions = Vec::new();
        let mut translation = HashMap::new();
        for (field, number) in theirs.fields.iter().zip(&theirs.numbers) {
            let at = collection.position(field).ok_or_else(|| {
                refuse(format!(
                    "the sender has a field `{field}` in collection `{}`, which this device does not have",
                    theirs.name
                ))
            })?;
            let at = Some(at).filter(|at| !numbers.is_local(*at));
            positions.push(at);
            translation.extend(at.map(|at| (*number, numbers.fields[at])));
        }
        if !collection.primary_key().iter().all(|at| positions.contains(&Some(*at))) {
            let reason =
                format!("collection `{}` has another primary key at the sender", theirs.name);
            return Err(refuse(reason));
        }
        let mut others = Vec::new();
        for (at, field) in collection.fields().iter().enumerate() {
            if positions.contains(&Some(at)) {
                continue;
            }
            others.push(numbers.fields[at]);
            if numbers.is_local(at) {
                continue;
            }
            let filled = !matches!(field.default, None | Some(FieldDefault::Null));
            if !field.nullable && !filled {
                return Err(refuse(format!(
                    "this device requires a field `{}` in collection `{}`, which the sender does not have",
                    field.name, theirs.name
                )));
            }
        }
        let (collection, numbers) = (Arc::clone(collection), Arc::clone(numbers));
        Ok(Target { collection, numbers, positions, translation, others })
    }

    fn find(&self, at: usize) -> Result<&Target> {
        self.collections.get(at).ok_or_else(|| SyncError::Protocol {
            during: DURING,
            reason: format!("there is no collection {at} in the hello"),
        })
    }

    fn page(
        &self,
        target: &Target,
        devices: &Devices,
        objects: Vec<Arriving>,
    ) -> Result<ArrivingPage> {
        let mut theirs = self.hello.devices.clone();
        devices.iter().for_each(|known| theirs.advance(known.device, known.sequence, known.hlc));
        let merging = Arc::clone(&self.sync.replica.merging);
        let states = objects.iter().filter_map(|it| it.clock.as_ref()).flat_map(|it| &it.states);
        let functions = states.filter_map(|(_, state)| state.function());
        if let Some(name) = functions.into_iter().find(|name| !merging.joins.knows(name)) {
            let reason = format!(
                "a field of collection `{}` is joined by a function `{name}`, which this device does not have",
                target.collection.name()
            );
            return Err(SyncError::Protocol { during: DURING, reason });
        }
        let collection = &target.collection;
        let values: Vec<usize> = target
            .positions
            .iter()
            .flatten()
            .copied()
            .filter(|at| !collection.is_key(*at))
            .collect();
        Ok(ArrivingPage {
            collection: Arc::clone(collection),
            numbers: Arc::clone(&target.numbers),
            fields: values.iter().map(|at| target.numbers.fields[*at]).collect(),
            values,
            others: target.others.clone(),
            objects,
            merging,
            theirs,
            now: self.sync.replica.storage.runtime().now(),
            runtime: Arc::clone(self.sync.replica.storage.runtime()),
        })
    }

    fn rows(&self, rows: Rows) -> Result<ArrivingPage> {
        let target = self.find(rows.collection)?;
        let collection = &target.collection;
        let mut objects = Vec::with_capacity(rows.rows.len());
        for (values, clock) in rows.rows {
            if values.len() != target.positions.len() {
                let reason = "a row has another number of values than its collection".to_owned();
                return Err(SyncError::Protocol { during: DURING, reason });
            }
            let mut record = collection.blank_record(Timestamp(0));
            for (at, value) in target.positions.iter().zip(values) {
                if let Some(at) = at {
                    record.set(*at, value);
                }
            }
            // Brings the key to the form that it has here, before its clock is looked up.
            collection.check_record(&mut record).during("checking a row of the sender")?;
            let key = collection.key_of(&record);
            let code = key_code::encode(key.values());
            let clock = translate(&clock, &rows.devices, &target.translation)?;
            objects.push(Arriving { key, code, record: Some(record), clock });
        }
        self.page(target, &rows.devices, objects)
    }

    fn tombstones(&self, tombstones: Tombstones) -> Result<ArrivingPage> {
        let target = self.find(tombstones.collection)?;
        let mut objects = Vec::with_capacity(tombstones.objects.len());
        for (code, clock) in tombstones.objects {
            let key = key_code::decode(&code)?;
            let clock = translate(&clock, &tombstones.devices, &target.translation)?;
            let deleted = clock.as_ref().is_some_and(|clock| !clock.is_alive());
            if !deleted {
                let reason = "a tombstone's clock says that its object lives".to_owned();
                return Err(SyncError::Protocol { during: DURING, reason });
            }
            objects.push(Arriving { key, code, record: None, clock });
        }
        self.page(target, &tombstones.devices, objects)
    }

    /// Merges a page and commits it whole; tells how many objects were newer here.
    pub(super) async fn merge_page(&self, page: Arc<ArrivingPage>) -> Result<u64> {
        let (kept, failure) = (Arc::new(Mutex::new(0)), Failure::default());
        let (result, refused) = (Arc::clone(&kept), failure.clone());
        let collection = Name::clone(page.collection.name());
        let begun = Batch::new().step(read_meta(&[HEAD, DEVICES, SCOPES]));
        let begun = begun.touching([CLOCK, CONFLICTS, META, BEFORE]).touching([collection]);
        let batch = begun.then(move |trace| {
            let meta = trace.found(0).to_vec();
            let objects = page.objects.iter();
            let keys = objects
                .map(|object| clock_key(page.numbers.collection, object.code.clone()))
                .collect();
            let (page, result, refused) = (Arc::clone(&page), Arc::clone(&result), refused.clone());
            let mut steps: Vec<Step> = page.find_images().into_iter().collect();
            steps.push(Step::Find(Query::new(CLOCK).filter(Filter::Keys(keys))));
            steps.push(Step::then(move |trace| {
                let (steps, kept) = refused.keep(Arc::clone(&page).merge(&meta, trace))?;
                *result.lock().unwrap_or_else(PoisonError::into_inner) = kept;
                Ok(steps)
            }));
            Ok(steps)
        });
        failure.or(self.sync.replica.storage.apply(batch).await, "committing a page")?;
        tracing::trace!(target: "storex::step", step = "initial.after_commit");
        Ok(*kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Parks what the sender could not apply, unless it came here another way.
    pub(super) async fn park(&self, parked: Vec<Parked>) -> Result<()> {
        let most = self.sync.replica.most_parked;
        let failure = Failure::default();
        let kept = failure.clone();
        let begun = Batch::new().step(read_meta(&[HEAD, DEVICES])).touching([PARKED]);
        let batch = begun.then(move |trace| {
            let read = || -> Result<(Head, Devices)> {
                Ok((Head::among(trace.found(0))?, Devices::among(trace.found(0))?))
            };
            let (head, devices) = kept.keep(read())?;
            let me = devices.device(head.me);
            let unknown = parked.iter().filter(|parked| {
                let known = devices.find(parked.device).map_or(0, |known| known.sequence);
                // What is nobody's has no order.
                let is_new = parked.device == Device::NOBODY || parked.sequence > known;
                Some(parked.device) != me && is_new
            });
            let unknown: Vec<Parked> = unknown.cloned().collect();
            Ok(if unknown.is_empty() {
                Vec::new()
            } else {
                park_up_to(most, unknown, &kept).to_vec()
            })
        });
        let parked = self.sync.replica.storage.apply(batch).await;
        failure.or(parked, "parking what could not be taken").map(drop)
    }

    /// Goes on from where the sender was when it began: what it had applied is here now.
    ///
    /// Where something was parked, nothing is taken for seen until that was let in, so that no write of ours claims it. A sender
    /// that keeps to itself what we sync knows less than the log: then we read that ourselves.
    async fn take_over(&self, is_parked: bool) -> Result<()> {
        let replica = &self.sync.replica;
        let is_complete = !self.hello.local.iter().any(|(collection, field)| {
            let known =
                replica.storage.registry().find(collection).zip(replica.numbers.get(collection));
            known.is_some_and(|(it, numbers)| {
                it.position(field).is_some_and(|at| !numbers.is_local(at))
            })
        });
        let own_place = read_place(&replica.storage).await?;
        // One that has read on keeps its place: it knows what comes before it, and the sender may be behind.
        let theirs = self.hello.place.as_ref().filter(|place| match &own_place {
            Some(own) => own.log == place.log && own.cursor == Cursor::default(),
            None => true,
        });
        let place = theirs.filter(|_| is_complete).map(Place::write);
        let unshared = replica.unshared(own_place.as_ref(), self.hello.place.as_ref());
        let theirs = self.hello.devices.clone();
        let mark = fresh_mark(&**replica.storage.runtime());
        let failure = Failure::default();
        let kept = failure.clone();
        let meta = read_meta(&[HEAD, DEVICES, BACKFILL, OFFERED]);
        let begun = Batch::new().step(meta).touching([PARKED]);
        let pending = self.pending.clone().filter(|_| is_complete);
        let batch = begun.then(move |trace| {
            let read = || -> Result<(Head, Devices)> {
                Ok((Head::among(trace.found(0))?, Devices::among(trace.found(0))?))
            };
            let is_filled = kept.keep(is_filled(trace.found(0), pending.as_ref(), &theirs))?;
            let (mut head, mut devices) = kept.keep(read())?;
            let me = devices.device(head.me);
            let others =
                theirs.iter().filter(|it| Some(it.device) != me && it.device != Device::NOBODY);
            for known in others.filter(|_| is_complete) {
                let seen = if is_parked { Hlc::ZERO } else { known.hlc };
                devices.advance(known.device, known.sequence, seen);
                head.hlc = head.hlc.max(known.hlc);
            }
            let mut rows =
                vec![(HEAD, head.encode()), (DEVICES, devices.encode()), (ORPHANS, mark.clone())];
            rows.extend(unshared.clone());
            if is_parked && is_complete {
                rows.push((WITHHELD, theirs.encode()));
            }
            let filled = Step::Delete { collection: META.into(), filter: Filter::key(BACKFILL) };
            let filled = Some(filled).filter(|_| is_filled);
            let steps = [write_meta(rows), all_is_here()].into_iter();
            Ok(steps.chain(place.clone()).chain(filled).collect())
        });
        failure.or(replica.storage.apply(batch).await, "taking over from the sender").map(drop)
    }
}

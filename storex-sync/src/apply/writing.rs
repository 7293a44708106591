//! What is written of a page, once it was folded into its objects.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use storex_core::{Changes, Collection, Filter, Key, Name, OnConflict, Record, Step, Value};

use super::Applied;
use super::held::{Held, row_steps};
use super::own::OwnWrites;
use super::row::{Object, Row, Work};
use super::settle::Settlement;
use crate::clock::Clock;
use crate::clock_rows::{clock_record, sort_clock_records};
use crate::error::Result;
use crate::initial::resume::undated;
use crate::log::CLOCK;
use crate::meta::{DEVICES, Devices, HEAD, write_meta};
use crate::parked::{PARKED, forget_ahead, park_up_to, parked_key};
use crate::place::Move;
use crate::scope::{BACKFILL, DOUBTS, Marker, Pending, leave};
use crate::stamp::Device;
use crate::transaction::Header;

use super::page::{Folded, How, Page};

impl Page {
    /// What is to be written when no rule is broken.
    pub(super) fn write(self: &Arc<Self>, mut folded: Folded, works: Vec<Work>) -> Vec<Step> {
        let changed = self.objects.iter().zip(&works).filter(|(_, work)| work.clock_changed);
        let clocks = changed.filter_map(|(object, work)| Some((object, work.clock.as_ref()?)));
        let clocks = write_clocks(clocks, &mut folded.devices);
        let mut steps = self.write_rows(works);
        steps.extend(clocks);
        steps.extend(self.conclude(folded));
        steps
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
    pub(super) fn conclude(self: &Arc<Self>, folded: Folded) -> Vec<Step> {
        let Folded { head, mut devices, applied, parked, taken, redated, .. } = folded;
        let Folded { markers, leaves, doubts, refills, is_undated, .. } = folded;
        let mut steps: Vec<Step> = self.write_images(&mut devices).into_iter().collect();
        steps.extend(self.write_markers(&markers, &mut devices));
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
        if leaves {
            meta.push(leave(&*self.runtime));
        }
        if refills {
            meta.push((BACKFILL, Pending::new(&*self.runtime).encode()));
        }
        if is_undated {
            meta.push(undated(&*self.runtime));
        }
        if let Some(doubts) = doubts {
            meta.push((DOUBTS, doubts.encode()));
        }
        steps.extend(self.cursor.as_ref().map(Move::write));
        if !meta.is_empty() {
            steps.push(write_meta(meta));
        }
        *self.applied.lock().unwrap_or_else(PoisonError::into_inner) = applied;
        steps
    }

    fn write_markers(&self, markers: &[(usize, Marker)], devices: &mut Devices) -> Option<Step> {
        let record = |(at, marker): &(usize, Marker)| {
            let object = self.objects.get(*at)?;
            Some(clock_record(object.number, object.code.clone(), marker.encode(devices)))
        };
        let mut records: Vec<Record> = markers.iter().filter_map(record).collect();
        sort_clock_records(&mut records);
        (!records.is_empty()).then(|| Step::create_or(CLOCK, records, OnConflict::Replace))
    }

    /// Deletes first, so that what they free (a unique value) is free; then updates, then whole rows.
    fn write_rows(&self, works: Vec<Work>) -> Vec<Step> {
        let mut deletes: BTreeMap<Name, Vec<Key>> = BTreeMap::new();
        let mut puts: BTreeMap<Name, (&Arc<Collection>, Vec<Record>)> = BTreeMap::new();
        let mut updates = Vec::new();
        for (object, work) in self.objects.iter().zip(works) {
            let name = || Name::clone(object.collection.name());
            match work.row {
                Row::Keep => {}
                Row::Delete => deletes.entry(name()).or_default().push(object.key.clone()),
                Row::Put(record) => {
                    let (_, records) =
                        puts.entry(name()).or_insert_with(|| (&object.collection, Vec::new()));
                    records.push(record);
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

    pub(super) fn begin_settlement(
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
            schema: self.registry.version().0,
        };
        // What an initial sync has brought was not judged when it was merged.
        let anew = self.incoming.iter().any(|one| one.sealed.device == Device::NOBODY);
        let is_judged = self.how != How::Arriving && !self.how.is_old();
        let marked = |is_marked: fn(&Work) -> bool| {
            let marked = works.iter().enumerate().filter(|(_, work)| is_marked(work));
            marked.map(|(at, _)| at).collect::<Vec<usize>>()
        };
        let (staying, restated) = (marked(|it| it.stays), marked(|it| it.restated && !it.stays));
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
        restated.into_iter().for_each(|at| settlement.restate(at, &self.numbers));
        self.settle(settlement)
    }
}

/// The step that sets some fields of an object.
fn update(object: &Object, values: BTreeMap<usize, Value>) -> Step {
    let changes = values.into_iter().fold(Changes::new(), |changes, (at, value)| {
        changes.set(Name::clone(&object.collection.fields()[at].name), value)
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

fn unpark(transactions: impl Iterator<Item = (Device, u64)>) -> Step {
    let keys = transactions.map(|(device, sequence)| parked_key(device, sequence)).collect();
    Step::Delete { collection: PARKED.into(), filter: Filter::Keys(keys) }
}

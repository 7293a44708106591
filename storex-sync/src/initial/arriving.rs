//! [`ArrivingPage`]: objects that arrive, merged with what is here.

use std::sync::Arc;

use storex_core::{
    Change, Changes, Collection, Filter, Name, OnConflict, Record, Runtime, Step, Timestamp, Trace,
};

use super::noted::Sight;
use super::resume::{RESUME, undated};
use super::returning::Returning;
use super::supply::{Arriving, Content, Supply};
use crate::clock::Clock;
use crate::clock_rows::{clock_record, read_clock_rows, read_markers, sort_clock_records};
use crate::error::{Result, SyncError};
use crate::hooks::WrittenAs;
use crate::log::CLOCK;
use crate::merge::{Action, Merged, merge_object};
use crate::merging::Merging;
use crate::meta::{DEVICES, Devices, HEAD, Head, Numbers, write_meta};
use crate::scope::{Subscriptions, leave};

/// Objects of one collection that arrive, to be committed in one transaction.
#[derive(Debug)]
pub(super) struct ArrivingPage {
    pub(super) collection: Arc<Collection>,
    pub(super) numbers: Arc<Numbers>,
    /// Positions of the fields behind the key, and their numbers.
    pub(super) values: Vec<usize>,
    pub(super) fields: Vec<u32>,
    /// The numbers of the fields that do not arrive.
    pub(super) others: Vec<u32>,
    pub(super) objects: Supply,
    /// The least of the codes of their keys.
    pub(super) least: Option<Vec<u8>>,
    /// How far the initial sync is with it.
    pub(super) note: Option<Vec<u8>>,
    pub(super) merging: Arc<Merging>,
    /// What the sender had applied of every device.
    pub(super) theirs: Devices,
    pub(super) now: Timestamp,
    pub(super) runtime: Arc<dyn Runtime>,
}

impl ArrivingPage {
    /// Sets the fields that are newer, or that were incremented on both sides.
    fn changes(&self, taken: &[usize], merged: &Merged, record: &Record) -> Changes {
        let fields = taken.iter().filter_map(|n| self.values.get(*n).zip(self.fields.get(*n)));
        fields.fold(Changes::new(), |changes, (at, number)| {
            let counted = merged.value(&self.collection, *at, *number);
            let value = counted.unwrap_or_else(|| record.get(*at).clone());
            changes.set(Name::clone(&self.collection.fields()[*at].name), value)
        })
    }

    /// Asks the application whether an object may be written.
    pub(super) fn ask(&self, object: &Arriving, merged: &Merged) -> Result<()> {
        if self.merging.hooks.is_none() {
            return Ok(());
        }
        let changes;
        let written = match (&merged.action, object.record()) {
            (Action::Put, Some(record)) => WrittenAs::Whole(record),
            (Action::Set(taken), Some(record)) => {
                changes = self.changes(taken, merged, record);
                let fields = changes.iter().filter_map(|(name, change)| match change {
                    Change::Set(value) => Some((name, value)),
                    _ => None,
                });
                WrittenAs::Fields(fields.collect())
            }
            (Action::Delete, _) => WrittenAs::Deleted,
            _ => return Ok(()),
        };
        self.merging.may_write(&self.collection, &object.key(&self.collection), written)
    }

    /// The same for other objects of it, without a note.
    pub(super) fn with(&self, objects: Vec<Arriving>) -> Self {
        Self {
            collection: Arc::clone(&self.collection),
            numbers: Arc::clone(&self.numbers),
            values: self.values.clone(),
            fields: self.fields.clone(),
            others: self.others.clone(),
            least: objects.iter().map(|object| &object.code).min().map(|code| code.to_vec()),
            objects: Supply::kept(objects),
            note: None,
            merging: Arc::clone(&self.merging),
            theirs: self.theirs.clone(),
            now: self.now,
            runtime: Arc::clone(&self.runtime),
        }
    }

    /// The steps that write what has arrived, and how many objects stay as they are.
    pub(super) fn merge(
        self: &Arc<Self>,
        objects: Vec<Arriving>,
        meta: &[Record],
        trace: &Trace,
    ) -> Result<(Vec<Step>, u64)> {
        let mut devices = Devices::among(meta)?;
        let mut head = Head::among(meta)?;
        let last = head.hlc;
        let mut own = read_clock_rows(trace.found(0), &devices)?;
        let mut markers = read_markers(trace.found(0), &devices)?;
        let mut kept = 0;
        let (mut news, mut puts, mut updates) = (Vec::new(), Vec::new(), Vec::new());
        let mut deletes = Vec::new();
        let mut clocks = Vec::new();
        let me = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
        let held = Subscriptions::among(meta)?;
        let (mut leaves, mut is_undated) = (false, false);
        let mut steps = Vec::new();
        if self.merging.reversible {
            steps.extend(self.fold_images(&objects, trace.found(1), &mut devices)?);
        }
        let ours = devices.clone();
        let sight = Sight { me, ours: &ours, theirs: &self.theirs };
        let mut clashes = Vec::new();
        let number = self.numbers.collection;
        for object in objects {
            // Mostly there is nothing here.
            let id = || (number, object.code.to_vec());
            let marker = if markers.is_empty() { None } else { markers.remove(&id()) };
            if let Some(marker) = marker {
                let newest = object.clock.as_ref().map(|clock| clock.newest().hlc);
                head.hlc = head.hlc.max(newest.unwrap_or_default());
                let clock = match self.returning(&object, marker, &held, me)? {
                    Returning::Away(marker) => {
                        kept += 1;
                        marker.map(|marker| marker.encode(&mut devices))
                    }
                    Returning::Here(record, clock) => {
                        puts.push(record);
                        Some(clock.encode(&mut devices))
                    }
                    Returning::Deleted(clock) => {
                        deletes.push(object.key(&self.collection));
                        Some(clock.encode(&mut devices))
                    }
                };
                clocks
                    .extend(clock.map(|clock| clock_record(number, object.code.into_vec(), clock)));
                continue;
            }
            let stored = if own.is_empty() { None } else { own.remove(&id()) };
            let is_here = stored.as_ref().is_some_and(Clock::is_alive);
            if object.record().is_some_and(|it| held.exclude(&self.numbers, it)) {
                if !is_here {
                    continue;
                }
                // If that is where it is now: it is looked at before it goes.
                leaves = true;
            }
            let unstamped = Clock::unstamped();
            let arriving = object.clock.as_ref().unwrap_or(&unstamped);
            // From here on this object has been seen: what is written to it is later.
            head.hlc = head.hlc.max(arriving.newest().hlc);
            let merged = merge_object(
                stored.as_ref(),
                arriving,
                &self.fields,
                &self.others,
                &self.merging.joins,
            );
            if let Some(own) = &stored {
                let conflicts = sight.conflicts(own, arriving, &self.fields);
                clashes.extend(self.clashes(&object, own, arriving, &conflicts));
            }
            self.ask(&object, &merged)?;
            // Older than sync on both sides: it stays without a clock.
            let unclocked = stored.is_none() && object.clock.is_none();
            is_undated |= unclocked;
            match (&merged.action, object.content) {
                // Or it is older than sync here: what the sender does not say of it stays.
                (Action::Put, Content::Living(record)) if stored.is_none() => news.push(record),
                (Action::Put, Content::Living(record)) => puts.push(record),
                (Action::Set(taken), Content::Living(record)) => {
                    let changes = self.changes(taken, &merged, &record);
                    let filter = Filter::Keys(vec![self.collection.key_of(&record)]);
                    let collection = Name::clone(self.collection.name());
                    updates.push(Step::Update { collection, filter, changes });
                }
                (Action::Delete, Content::Living(record)) => {
                    deletes.push(self.collection.key_of(&record));
                }
                (Action::Delete, Content::Deleted(key)) => deletes.push(key),
                _ => kept += 1,
            }
            if let Some(clock) = merged.clock.filter(|_| !unclocked) {
                let clock = clock.encode(&mut devices);
                clocks.push(clock_record(number, object.code.into_vec(), clock));
            }
        }
        let name = || Name::clone(self.collection.name());
        if !deletes.is_empty() {
            steps.push(Step::Delete { collection: name(), filter: Filter::Keys(deletes) });
        }
        steps.extend(updates);
        if !news.is_empty() {
            steps.extend(self.numbers.put_fields(&self.collection, news, &self.values));
        }
        if !puts.is_empty() {
            steps.extend(self.numbers.put(&self.collection, puts));
        }
        if !clocks.is_empty() {
            sort_clock_records(&mut clocks);
            steps.push(Step::create_or(CLOCK, clocks, OnConflict::Replace));
        }
        let mut rows = Vec::new();
        if head.hlc > last {
            rows.push((HEAD, head.encode()));
        }
        if devices.is_changed() {
            rows.push((DEVICES, devices.encode()));
        }
        if leaves {
            rows.push(leave(&*self.runtime));
        }
        if is_undated {
            rows.push(undated(&*self.runtime));
        }
        rows.extend(self.note.clone().map(|note| (RESUME, note)));
        if !rows.is_empty() {
            steps.push(write_meta(rows));
        }
        Ok((Arc::clone(self).noting(clashes, me, steps), kept))
    }
}

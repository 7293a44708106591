//! What a page means where this device holds some scopes of a collection only; see [`crate::scope`].

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::PoisonError;

use storex_core::{Error, Name, Query, Record, Registry, Value};

use super::page::{How, Page};
use super::resolve::{IncomingTransaction, ResolvedShape};
use super::revive::had_seen_all;
use super::row::{Object, Row, Work};
use crate::clock::Clock;
use crate::error::{Result, SyncError};
use crate::key_code;
use crate::meta::{Devices, Head};
use crate::numbers::AllNumbers;
use crate::parked::{PARKED, Parked};
use crate::scope::{Doubts, Lacks, Marker, has_heard};
use crate::shared_log::SealedTransaction;
use crate::stamp::{Device, Hlc, Stamp};
use crate::state::{StatePage, is_state};
use crate::transaction::{Entry, EntryKind, EntryValue, Transaction};

/// What has to be known of scopes while a page is folded.
pub(super) struct Scoping {
    pub(super) me: Device,
    pub(super) held: Lacks,
    /// Per object: whether some of its collection is not here, as not all scopes are held, or some are still to be brought.
    pub(super) is_part: Vec<bool>,
    /// Per object: whether it was here before the page.
    was_here: Vec<bool>,
    /// Per object of those that are a part, its clock before the page.
    before: Vec<Option<Clock>>,
    /// Per object, its marker before the page.
    marked: Vec<Option<Marker>>,
    /// Per object: whether it can be passed over, as nothing that is known of creates it.
    passes: Vec<bool>,
    /// Whether what arrives was seen before.
    pub(super) is_old: bool,
    /// Whether what arrives was parked, and everything has been read that the log had: it does not wait for what is perhaps still to come.
    is_again: bool,
    /// Whether what is parked may create anything.
    is_unsure: bool,
    /// Whether nothing is parked that is not tried now.
    is_last: bool,
    /// What was not heard when something was passed over.
    doubts: RefCell<Doubts>,
}

impl Scoping {
    /// Whether an object of the page, of which an update arrives, does not concern this device if it is not here: by place.
    ///
    /// It was created in another scope, or has left. But it may also be still to come, by way of somebody whom the author has heard and
    /// this device has not, or with something that is parked; then the update has to wait.
    pub(super) fn passes_over<'a>(
        &'a self,
        one: &IncomingTransaction,
        devices: &Devices,
    ) -> impl Fn(usize) -> bool + use<'a> {
        let author = one.sealed.device;
        let unheard = one.transaction.header.seen.iter().filter(|(device, hlc)| {
            let is_former = device.id == author.id && device.incarnation < author.incarnation;
            device.id != self.me.id && !is_former && !has_heard(devices, *device, *hlc)
        });
        let unheard: Vec<(Device, Hlc)> = unheard.copied().collect();
        move |at| {
            if self.is_old || !self.passes.get(at).copied().unwrap_or(false) {
                return self.is_old;
            }
            let is_sure = unheard.is_empty() && !self.is_unsure;
            if !is_sure && self.is_again {
                let mut doubts = self.doubts.borrow_mut();
                unheard.iter().for_each(|(device, hlc)| doubts.add(*device, *hlc));
                if self.is_unsure {
                    doubts.add_anybody();
                }
            }
            is_sure || self.is_again
        }
    }

    /// Whether a transaction creates what an update may have been about that was passed over in doubt.
    pub(super) fn is_late(&self, one: &IncomingTransaction) -> bool {
        let doubts = self.doubts.borrow();
        if self.is_old || doubts.is_empty() {
            return false;
        }
        let stamp = Stamp { hlc: one.transaction.header.hlc, device: one.sealed.device };
        let creates = |it: &Entry| {
            let shape = one.shapes.get(it.shape);
            it.kind == EntryKind::Create && shape.is_some_and(|it| it.numbers.scope.is_some())
        };
        (self.is_again || doubts.cover(stamp)) && one.transaction.entries.iter().any(creates)
    }

    /// Whether an object is here now that was not before.
    pub(super) fn has_come(&self, works: &[Work]) -> bool {
        works.iter().zip(&self.was_here).any(|(work, was_here)| work.is_here() && !was_here)
    }

    /// The row of what is in doubt, if it is another one now.
    pub(super) fn doubts(&self, devices: &Devices) -> Option<Doubts> {
        let mut doubts = self.doubts.borrow().clone();
        doubts.forget_heard(devices);
        if self.is_last {
            doubts.forget_anybody();
        }
        (doubts != self.held.doubts).then_some(doubts)
    }

    /// Whether a write and a move of an object to another scope have not seen each other, and this device is to tell the object anew,
    /// lest somebody who has passed over the write lacks it.
    ///
    /// It is a matter of whoever has written, of whoever has moved, and of those who hold everything.
    pub(super) fn is_unseen_move(
        &self,
        at: usize,
        work: &Work,
        one: &IncomingTransaction,
        entry: &Entry,
    ) -> bool {
        let shape = &one.shapes[entry.shape];
        let number = shape.numbers.scope.and_then(|at| shape.numbers.fields.get(at));
        let (Some(scope), Some(clock)) = (number, &work.clock) else { return false };
        // One of an earlier life: its author, who holds another scope, has created what was there.
        let is_write = entry.kind != EntryKind::Delete && entry.life <= clock.life;
        if self.is_old || !is_write || !clock.is_alive() {
            return false;
        }
        let had_seen = |stamp| one.transaction.had_seen(stamp);
        let is_mine = |stamp: Stamp| stamp.device.id == self.me.id;
        if !shape.fields.contains(scope) {
            let moved = clock.stamp(*scope);
            return is_mine(moved) && !had_seen(moved);
        }
        let key = shape.collection.primary_key();
        let is_whole = !self.is_part.get(at).copied().unwrap_or(false);
        if is_whole && !clock.states.is_empty() && is_blind(one, entry, key.len()) {
            return true;
        }
        !had_seen_all(clock, key, &shape.numbers, had_seen)
            && (is_whole || clock.stamps().any(|it| is_mine(it) && !had_seen(it)))
    }
}

/// Whether an object is created by somebody who perhaps does not hold the one that is there, and so does not know what was contributed to
/// it: whoever replaces one that is there tells all of it behind.
fn is_blind(one: &IncomingTransaction, entry: &Entry, key_len: usize) -> bool {
    let collection = |it: &Entry| one.shapes.get(it.shape).map(|shape| shape.numbers.collection);
    let key = |it: &Entry| -> Vec<Value> {
        it.values.iter().take(key_len).map(|it| it.value().clone()).collect()
    };
    let is_told = |it: &Entry| {
        it.is_brought_back() && collection(it) == collection(entry) && key(it) == key(entry)
    };
    entry.kind == EntryKind::Create && !one.transaction.entries.iter().any(is_told)
}

/// How much of what is parked is looked at for what it creates.
const MOST_LOOKED_AT: u64 = 200;

/// What is parked may create.
#[derive(Debug, Default)]
pub(super) struct Coming {
    objects: HashSet<(i64, Vec<u8>)>,
    /// Perhaps something else, that cannot be read, or is too much.
    anything: bool,
    /// Nothing at all, as a look at it has shown.
    is_nothing: bool,
}

impl Coming {
    pub(super) fn query() -> Query {
        Query::new(PARKED).limit(MOST_LOOKED_AT)
    }

    fn has(&self, object: &Object) -> bool {
        self.objects.contains(&(object.number, object.code.clone()))
    }

    fn add(&mut self, payload: &[u8], numbers: &AllNumbers, registry: &Registry) {
        let transaction = match is_state(payload) {
            true => StatePage::decode_own(payload, registry).and_then(|page| page.transaction()),
            false => Transaction::decode_own(payload, registry),
        };
        let Ok(Transaction { shapes, entries, .. }) = transaction else {
            self.anything = true;
            return;
        };
        for entry in entries.iter().filter(|it| it.kind == EntryKind::Create) {
            let shape = shapes.get(entry.shape);
            let known = shape.and_then(|it| Some((it, numbers.get(&it.collection)?)));
            if let Some((shape, numbers)) = known {
                let key = entry.values.iter().take(shape.key_len).map(EntryValue::value);
                self.objects.insert((numbers.collection, key_code::encode(key)));
            }
        }
    }
}

/// Whether a transaction was applied or parked here, or written by this device.
pub(super) fn is_seen(
    sealed: &SealedTransaction,
    me: Device,
    head: &Head,
    devices: &Devices,
) -> bool {
    let SealedTransaction { device, sequence, .. } = *sealed;
    match device == me {
        true => sequence < head.next,
        false => devices.find(device).is_some_and(|known| sequence <= known.sequence),
    }
}

impl Page {
    /// Notes what this device holds; whether it is only a part of what the page is about.
    pub(super) fn note_held(&self, meta: &[Record]) -> storex_core::Result<bool> {
        let held = self.failure.keep(Lacks::among(meta))?;
        let is_part = self.objects.iter().any(|object| self.is_part(&held, object));
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(is_part)
    }

    pub(super) fn scoping(&self, me: Device, works: &[Work]) -> Scoping {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_part: Vec<bool> =
            self.objects.iter().map(|object| self.is_part(&held, object)).collect();
        let before = works.iter().zip(&is_part);
        let before = before.map(|(work, is_part)| work.clock.clone().filter(|_| *is_part));
        let is_old = self.how.is_old();
        let passes = self.passes(&is_part);
        let coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_unsure, is_last) = (coming.anything, coming.is_nothing);
        drop(coming);
        let (is_again, doubts) = (self.how == How::Again, RefCell::new(held.doubts.clone()));
        let before = before.collect();
        let marked = works.iter().map(|work| work.marker.clone()).collect();
        let was_here = works.iter().map(Work::is_here).collect();
        Scoping {
            me,
            held,
            was_here,
            before,
            marked,
            passes,
            is_part,
            is_old,
            is_again,
            is_unsure,
            is_last,
            doubts,
        }
    }

    fn is_part(&self, held: &Lacks, object: &Object) -> bool {
        self.numbers.get(object.collection.name()).is_some_and(|numbers| held.some_of(numbers))
    }

    fn passes(&self, is_part: &[bool]) -> Vec<bool> {
        let coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        let objects = self.objects.iter().zip(is_part);
        let mut passes: Vec<bool> =
            objects.map(|(object, part)| *part && !coming.has(object)).collect();
        if self.is_again() {
            // What is parked is tried in no order of its own: what creates an object may stand behind what changes it.
            let entries = self.incoming.iter().zip(&self.object_of);
            let entries =
                entries.flat_map(|(one, places)| one.transaction.entries.iter().zip(places));
            for (_, at) in entries.filter(|(entry, _)| entry.kind == EntryKind::Create) {
                passes.get_mut(*at).into_iter().for_each(|it| *it = false);
            }
        }
        passes
    }

    /// Notes what is parked, is not tried now, and may create objects of the page.
    pub(super) fn note_coming(&self, parked: &[Record]) {
        let mut coming =
            Coming { anything: parked.len() as u64 == MOST_LOOKED_AT, ..Coming::default() };
        coming.is_nothing = !coming.anything;
        for row in parked {
            match Parked::from_record(row) {
                Ok(parked) if self.tries((parked.device, parked.sequence)) => {}
                Ok(parked) => {
                    coming.is_nothing = false;
                    coming.add(&parked.payload, &self.numbers, &self.registry);
                }
                Err(_) => (coming.anything, coming.is_nothing) = (true, false),
            }
        }
        *self.coming.lock().unwrap_or_else(PoisonError::into_inner) = coming;
    }

    /// Passes over what was created in a scope that is not held here. Whether an object that is here has come to one: it goes when
    /// nothing of it is to be sent. With what is known now of those that have gone before.
    pub(super) fn keep_in_scope(
        &self,
        scoping: &Scoping,
        works: &mut [Work],
    ) -> (bool, Vec<(usize, Marker)>) {
        let mut leaves = false;
        let objects = self.objects.iter().zip(&scoping.is_part).zip(&scoping.before);
        for (work, ((object, is_part), before)) in works.iter_mut().zip(objects) {
            let numbers = self.numbers.get(object.collection.name()).filter(|_| *is_part);
            let Some((numbers, at)) = numbers.and_then(|it| Some((it, it.scope?))) else {
                continue;
            };
            let scope = match &work.row {
                Row::Put(record) => record.get(at),
                Row::Set(values) => match values.get(&at) {
                    Some(value) => value,
                    None => continue,
                },
                Row::Keep | Row::Delete => continue,
            };
            if scoping.held.subscriptions.holds(numbers.collection, scope) {
                continue;
            }
            if before.as_ref().is_some_and(Clock::is_alive) {
                leaves = true;
            } else {
                let after = work.clock.as_ref().zip(work.marker.as_ref());
                let after = after.zip(work.row.put());
                let marker = after.and_then(|((clock, _), record)| {
                    Marker::of(clock, record, numbers, scoping.me)
                });
                let marker = marker.or_else(|| work.marker.take());
                *work = Work { clock: before.clone(), marker, ..Work::default() };
            }
        }
        let works = works.iter().enumerate().zip(&scoping.marked);
        let away = works.filter(|((_, work), _)| work.clock.is_none());
        let changed = away.filter(|((_, work), before)| work.marker != **before);
        let markers = changed.filter_map(|((at, work), _)| Some((at, work.marker.clone()?)));
        (leaves, markers.collect())
    }

    /// Marks an object that is to be told anew. A page that is not settled is given up.
    pub(super) fn restate(&self, work: &mut Work, shape: &ResolvedShape) -> Result<()> {
        if self.how == How::Together {
            let reason = "an object was moved without all of it having been seen".to_owned();
            let collection = Name::clone(shape.collection.name());
            let source = Error::Precondition { collection, reason };
            let during = "applying transactions of other devices";
            return Err(SyncError::Storage { during, source });
        }
        work.restated = true;
        Ok(())
    }
}

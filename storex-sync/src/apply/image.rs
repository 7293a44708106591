//! [`Image`]: an object as it would be without writes that are still to be sent.

use std::sync::PoisonError;

use storex_core::{Collection, Record, Step};

use super::page::Page;
use super::resolve::IncomingTransaction;
use super::revive::brought_back;
use super::row::{Object, Row};
use crate::before::{BEFORE, Before};
use crate::clock::Clock;
use crate::merge::{Merged, merge_object};
use crate::meta::{Devices, Numbers};
use crate::scope::Marker;
use crate::strategy::Joins;

/// An object as it would be without writes that are still to be sent.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) object: Option<Record>,
    pub(super) clock: Option<Clock>,
    /// What is kept of it, where it has gone to a scope that is not held.
    pub(super) marker: Option<Marker>,
}

impl Image {
    /// The object as it was before an own write.
    pub(super) fn of(before: &Before, collection: &Collection, numbers: &Numbers) -> Self {
        let object = before.object(collection, numbers);
        Self { object, clock: before.clock.clone(), marker: before.marker.clone() }
    }

    /// What was before that write, as it is now.
    pub(super) fn to_before(&self, before: &Before, numbers: &Numbers) -> Before {
        let Self { object, clock, marker } = self;
        let mut before = before.clone();
        before.set(object.as_ref(), clock.as_ref(), marker.as_ref(), numbers);
        before
    }

    /// Folds an entry into it, as a device does that knows no more than this.
    pub(super) fn fold(&mut self, one: &IncomingTransaction, n: usize, joins: &Joins) {
        let entry = one.transaction.entries.get(n);
        let Some((entry, shape)) = entry.and_then(|it| Some((it, one.shapes.get(it.shape)?)))
        else {
            return; // it was taken out
        };
        let stamp = one.transaction.stamp(n);
        let arriving = one.clock(n);
        let told = match arriving {
            Some(_) => None,
            None => brought_back(shape, entry, stamp, joins),
        };
        let with_clock = arriving.or(told.as_ref());
        // One that is older than sync.
        let older = self.object.is_some().then(Clock::unstamped);
        let own = self.clock.clone().or(older);
        let is_whole = with_clock.is_some();
        let merged: Merged = match with_clock {
            Some(clock) => merge_object(own.as_ref(), clock, &shape.fields, &shape.others, joins),
            None => shape.merge(own.as_ref(), entry, stamp, joins, |_| true),
        };
        let mut row = Row::Keep;
        row.act(&merged, shape, entry);
        self.object = row.over(self.object.as_ref());
        if let Some(clock) = shape.clock_after(merged, entry, is_whole) {
            self.clock = Some(clock);
        }
        let arrived = (&mut self.clock, &mut self.object);
        let at = (&*shape.collection, &*shape.numbers);
        self.marker = self.marker.take().and_then(|it| it.meet(arrived, at, joins));
    }
}

/// What was before an own write, and the object that it is about.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    before: Before,
    at: usize,
    image: Image,
    is_changed: bool,
}

impl Page {
    /// Notes what was before own writes to the objects of the page.
    pub(super) fn keep_images(
        &self,
        rows: &[Record],
        devices: &Devices,
    ) -> crate::error::Result<()> {
        let mut kept = Vec::new();
        for row in rows {
            let before = Before::read(row, devices)?;
            let is_it = |it: &Object| it.number == before.collection && it.code == before.code;
            let Some(at) = self.objects.iter().position(is_it) else { continue };
            let Some(numbers) = self.numbers_of(at) else { continue };
            let image = Image::of(&before, &self.objects[at].collection, numbers);
            kept.push(Kept { before, at, image, is_changed: false });
        }
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(())
    }

    /// Folds an entry into what was before own writes.
    pub(super) fn fold_into_images(&self, one: &IncomingTransaction, n: usize, object: usize) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for kept in kept.iter_mut().filter(|it| it.at == object) {
            kept.image.fold(one, n, &self.merging.joins);
            kept.is_changed = true;
        }
    }

    /// Writes what was before own writes, as it is now.
    pub(super) fn write_images(&self, devices: &mut Devices) -> Option<Step> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = kept.iter().filter(|it| it.is_changed).filter_map(|it| {
            let numbers = self.numbers_of(it.at)?;
            Some(it.image.to_before(&it.before, numbers).record(devices))
        });
        let changed: Vec<Record> = changed.collect();
        let replace = storex_core::OnConflict::Replace;
        (!changed.is_empty()).then(|| Step::create_or(BEFORE, changed, replace))
    }

    fn numbers_of(&self, object: usize) -> Option<&Numbers> {
        let object = self.objects.get(object)?;
        self.numbers.get(object.collection.name()).map(|numbers| &**numbers)
    }
}

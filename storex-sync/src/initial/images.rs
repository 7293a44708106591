//! What arrives is folded into what was before own writes too, as with a page of transactions.

use std::collections::HashMap;

use storex_core::{OnConflict, Query, Record, Step, field};

use super::arriving::ArrivingPage;
use super::supply::Arriving;
use crate::before::{BEFORE, Before};
use crate::clock::Clock;
use crate::error::Result;
use crate::merge::{Action, Merged, merge_object};
use crate::meta::Devices;

impl ArrivingPage {
    /// Finds what was before own writes to the collection; nothing where that is not kept.
    pub(super) fn find_images(&self) -> Option<Step> {
        let own = field("collection").eq(self.numbers.collection);
        self.merging.reversible.then(|| Step::Find(Query::new(BEFORE).filter(own)))
    }

    /// Folds what arrives into them.
    pub(super) fn fold_images(
        &self,
        objects: &[Arriving],
        rows: &[Record],
        devices: &mut Devices,
    ) -> Result<Option<Step>> {
        let arriving: HashMap<&[u8], &Arriving> =
            objects.iter().map(|it| (it.code.as_slice(), it)).collect();
        let mut changed = Vec::new();
        for row in rows {
            let mut before = Before::read(row, devices)?;
            if let Some(object) = arriving.get(before.code.as_slice()) {
                self.fold_image(object, &mut before);
                changed.push(before.record(devices));
            }
        }
        let write = |rows| Step::create_or(BEFORE, rows, OnConflict::Replace);
        Ok(Some(changed).filter(|it| !it.is_empty()).map(write))
    }

    fn fold_image(&self, object: &Arriving, before: &mut Before) {
        let image = before.object(&self.collection, &self.numbers);
        // One that is older than sync.
        let older = image.is_some().then(Clock::unstamped);
        let own = before.clock.clone().or(older);
        let unstamped = Clock::unstamped();
        let arriving = object.clock.as_ref().unwrap_or(&unstamped);
        let joins = &self.merging.joins;
        let merged = merge_object(own.as_ref(), arriving, &self.fields, &self.others, joins);
        let all: Vec<usize> = (0..self.fields.len()).collect();
        let mut image = match (&merged.action, object.record()) {
            (Action::Put, Some(record)) => {
                let there = image.unwrap_or_else(|| record.clone());
                Some(self.taken(&all, &merged, record, there))
            }
            (Action::Set(taken), Some(record)) => {
                image.map(|there| self.taken(taken, &merged, record, there))
            }
            (Action::Delete, _) => None,
            _ => image,
        };
        let mut clock = merged.clock.filter(|clock| *clock != unstamped).or(before.clock.take());
        let (arrived, at) = ((&mut clock, &mut image), (&*self.collection, &*self.numbers));
        let marker = before.marker.take().and_then(|it| it.meet(arrived, at, joins));
        before.set(image.as_ref(), clock.as_ref(), marker.as_ref(), &self.numbers);
    }

    fn taken(
        &self,
        taken: &[usize],
        merged: &Merged,
        record: &Record,
        mut there: Record,
    ) -> Record {
        for (at, number) in
            taken.iter().filter_map(|n| self.values.get(*n).zip(self.fields.get(*n)))
        {
            let value = merged.value(&self.collection, *at, *number);
            there.set(*at, value.unwrap_or_else(|| record.get(*at).clone()));
        }
        there
    }
}

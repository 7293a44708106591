//! [`Reading`]: the items of this device's storage.

use std::sync::Arc;

use async_trait::async_trait;
use storex_core::{Batch, Collection, Filter, Key, Name, Position, Query, Record, StepOutcome};

use super::canonical::{Field, hash, needs_values};
use super::scan::{Page, Source};
use super::{Item, Spot, holds_tombstones};
use crate::apply::Replica;
use crate::clock::Clock;
use crate::clock_rows::{clock_position, clocks_of, columns, deleted_of};
use crate::error::{During, Result, SyncError};
use crate::initial::pages::{Clocked, read_clocked};
use crate::meta::{DEVICES, Devices, Numbers, read_meta};

const DURING: &str = "reading what is compared";

/// A collection that both sides have.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) collection: Arc<Collection>,
    pub(super) numbers: Arc<Numbers>,
    /// The fields behind the key that both sides sync, by their names.
    pub(super) fields: Vec<Field>,
}

/// The items of the collections that both sides have: of each its objects, then its tombstones.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) replica: &'a Replica,
    pub(super) salt: [u8; 16],
    pub(super) collections: Vec<Common>,
}

/// An object: its clock if it has one, and its record.
type Found = (Option<Clock>, Record);

impl Reading<'_> {
    fn common(&self, part: usize) -> Result<&Common> {
        let common = self.collections.get(part / 2);
        common.ok_or_else(|| super::message::refuse("there is no such part"))
    }

    async fn rows(&self, common: &Common, after: Option<&Key>, limit: usize) -> Result<Page> {
        let collection = &common.collection;
        let keys = collection.primary_key().iter().filter_map(|at| collection.fields().get(*at));
        let keys: Vec<Name> = keys.map(|field| Name::clone(&field.name)).collect();
        let mut query = Query::new(Name::clone(collection.name())).limit(limit as u64).select(keys);
        query.after = after.map(|key| position(collection, key)).transpose()?;
        let places: Vec<usize> = (0..collection.primary_key().len()).collect();
        let found = self.with_clocks(common, query, places).await?;
        let key_of = |record: &Record| Key::compound(record.values().iter().cloned());
        let last = found.last().filter(|_| found.len() == limit);
        let next = last.map(|(_, record)| Spot::Row(key_of(record)));
        let is_old = |clock: &Option<Clock>| {
            clock.as_ref().is_none_or(|clock| needs_values(clock, &common.fields))
        };
        let (old, stamped): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| is_old(&it.0));
        let mut items: Vec<Item> = stamped
            .into_iter()
            .filter_map(|(clock, record)| clock.map(|clock| (clock, key_of(&record))))
            .map(|(clock, key)| self.item(common, Spot::Row(key), &clock, None))
            .collect();
        if !old.is_empty() {
            let keys = old.iter().map(|(_, record)| key_of(record)).collect();
            items.extend(self.old_rows(common, keys).await?);
            items.sort_by(|a, b| a.spot.cmp(&b.spot));
        }
        Ok(Page { items, next })
    }

    /// Objects whose values have a say. One that is deleted meanwhile is left out: the log tells of it.
    async fn old_rows(&self, common: &Common, keys: Vec<Key>) -> Result<Vec<Item>> {
        let collection = &common.collection;
        let query = Query::new(Name::clone(collection.name())).filter(Filter::Keys(keys));
        let found = self.with_clocks(common, query, collection.primary_key().to_vec()).await?;
        let items = found.into_iter().map(|(clock, record)| {
            let clock = clock.unwrap_or_else(Clock::unstamped);
            self.item(common, Spot::Row(collection.key_of(&record)), &clock, Some(&record))
        });
        Ok(items.collect())
    }

    /// What a query finds, with the clocks. `key` are the places of the key's values in a record.
    async fn with_clocks(
        &self,
        common: &Common,
        query: Query,
        key: Vec<usize>,
    ) -> Result<Vec<Found>> {
        let number = common.numbers.collection;
        let (devices, read) = read_clocked(self.replica, query, number, key, DURING).await?;
        let with_clock = |(record, packed): Clocked| {
            let is_stamped = !packed.is_empty();
            let clock = is_stamped.then(|| Clock::decode(&packed, &devices)).transpose()?;
            Ok((clock, record))
        };
        read.into_iter().map(with_clock).collect()
    }

    async fn tombstones(
        &self,
        common: &Common,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page> {
        let number = common.numbers.collection;
        let mut query = clocks_of(number).limit(limit as u64);
        query.after = after.map(|code| clock_position(number, code.to_vec()));
        let batch = Batch::new().step(read_meta(&[DEVICES])).find(query);
        let [meta, clocks] = self.find(batch).await?;
        let devices = Devices::among(&meta)?;
        let mut page = Page::default();
        let full = clocks.len() == limit;
        for row in clocks {
            let spot = Spot::Tombstone(columns(&row)?.1.to_vec());
            page.next = full.then(|| spot.clone());
            if let Some((_, clock)) = deleted_of(&row, &devices)? {
                page.items.push(self.item(common, spot, &clock, None));
            }
        }
        Ok(page)
    }

    async fn find<const N: usize>(&self, batch: Batch) -> Result<[Vec<Record>; N]> {
        let outcome = self.replica.storage.apply(batch).await.during(DURING)?;
        let found = outcome.executed().iter().filter_map(|executed| match &executed.outcome {
            StepOutcome::Found(records) => Some(records.clone()),
            _ => None,
        });
        <[Vec<Record>; N]>::try_from(found.collect::<Vec<_>>()).map_err(|_| SyncError::NoSyncLog)
    }

    fn item(&self, common: &Common, spot: Spot, clock: &Clock, row: Option<&Record>) -> Item {
        let hash = hash(&self.salt, &spot, clock, &common.fields, row);
        Item { spot, hash }
    }
}

/// The position of a key that the other side has told, with its values in the form that they have here.
pub(super) fn position(collection: &Collection, key: &Key) -> Result<Position> {
    if key.values().len() != collection.primary_key().len() {
        return Err(super::message::refuse(
            "a key has another number of values than its collection",
        ));
    }
    let mut values = key.values().to_vec();
    for (value, at) in values.iter_mut().zip(collection.primary_key()) {
        if let Some(field) = collection.fields().get(*at) {
            // One that does not fit stays as it is: it still has its place in the order.
            let _ = collection.check_value(field, value);
        }
    }
    Ok(Position { values })
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl Source for Reading<'_> {
    fn parts(&self) -> usize {
        self.collections.len() * 2
    }

    async fn count(&self) -> Result<u64> {
        let mut count = 0_u64;
        for common in &self.collections {
            let rows = Query::new(Name::clone(common.collection.name()));
            for query in [rows, clocks_of(common.numbers.collection)] {
                let found = self.replica.storage.count(query).await.during(DURING)?;
                count = count.saturating_add(found);
            }
        }
        Ok(count)
    }

    async fn page(&self, part: usize, after: Option<&Spot>, limit: usize) -> Result<Page> {
        let common = self.common(part)?;
        match (holds_tombstones(part), after) {
            (true, None) => self.tombstones(common, None, limit).await,
            (true, Some(Spot::Tombstone(code))) => self.tombstones(common, Some(code), limit).await,
            (false, None) => self.rows(common, None, limit).await,
            (false, Some(Spot::Row(key))) => self.rows(common, Some(key), limit).await,
            _ => Err(super::message::refuse("a place is of the other part")),
        }
    }
}

//! [`Pages`]: the objects of a collection with their clocks, page by page.

use std::sync::Arc;

use storex_core::{
    Batch, Collection, Filter, Key, Position, Query, Record, Step, StepOutcome, Trace,
};

use crate::apply::Replica;
use crate::clock_rows::{find_clocks, look_for_clocks};
use crate::error::{During, Result, SyncError};
use crate::key_code;
use crate::log::CLOCK;
use crate::meta::{DEVICES, Devices, Numbers, read_meta};
use crate::scope::is_marker;
use crate::weight::weight_of;

/// Bytes of a page, about.
pub(super) const PAGE_BYTES: usize = 1 << 20;

/// Rows that are read first, before it is known how large they are.
const FIRST: u64 = 100;

/// Which objects of a collection are sent.
#[derive(Debug)]
pub(super) enum Reach {
    /// All behind a place, up to a key and with it; `None`: from the beginning, and to the end.
    Between(Option<Position>, Option<Key>),
    /// Those with these keys that exist.
    Keys(Vec<Key>),
}

/// An object, and its packed clock (empty: it is older than sync).
pub(super) type Clocked = (Record, Vec<u8>);

/// Reads a collection page by page; each page with its clocks in one transaction: a row that is older than its clock would hide a
/// write from the receiver for ever.
#[derive(Debug)]
pub(super) struct Pages {
    collection: Arc<Collection>,
    numbers: Arc<Numbers>,
    /// What is still to be read; `None`: nothing.
    left: Option<Reach>,
    /// Rows of the next page, and the most that it may have.
    rows: u64,
    most: u64,
}

impl Pages {
    pub(super) fn new(
        collection: &Arc<Collection>,
        numbers: &Arc<Numbers>,
        reach: Reach,
        most: u64,
    ) -> Self {
        let (collection, numbers) = (Arc::clone(collection), Arc::clone(numbers));
        Self { collection, numbers, left: Some(reach), rows: FIRST.min(most), most }
    }

    /// The next page; `None`: there are no more. A page may be empty.
    pub(super) async fn next(
        &mut self,
        replica: &Replica,
    ) -> Result<Option<(Devices, Vec<Clocked>)>> {
        let Some(reach) = self.left.take() else { return Ok(None) };
        let mut query = Query::new(Arc::clone(self.collection.name()));
        let (mut keys, mut upto) = (Vec::new(), None);
        match reach {
            Reach::Between(after, to) => {
                query.after = after;
                upto = to;
                query = query.limit(self.rows);
            }
            Reach::Keys(mut these) => {
                let rest = these
                    .split_off(these.len().min(usize::try_from(self.rows).unwrap_or(usize::MAX)));
                keys = rest;
                query = query.filter(Filter::Keys(these));
            }
        }
        let limit = query.limit;
        let (devices, mut rows) = self.read(replica, query.clone()).await?;
        let is_full = limit == Some(rows.len() as u64);
        let is_beyond = |key: &Key| upto.as_ref().is_some_and(|upto| key > upto);
        let within = rows.iter().take_while(|(row, _)| !is_beyond(&self.collection.key_of(row)));
        let within = within.count();
        let is_full = is_full && within == rows.len();
        rows.truncate(within);
        let last = rows.last().filter(|_| is_full);
        self.left = match last {
            Some((last, _)) => {
                Some(Reach::Between(Some(query.position_of(&self.collection, last)), upto))
            }
            None => Some(keys).filter(|it| !it.is_empty()).map(Reach::Keys),
        };
        self.measure(&rows);
        Ok(Some((devices, rows)))
    }

    /// The next page gets as many rows as have room in it, if they are as large as these.
    fn measure(&mut self, rows: &[Clocked]) {
        let bytes: usize = rows.iter().map(weight).sum();
        if rows.is_empty() {
            return;
        }
        let each = (bytes / rows.len()).max(1);
        let fit = u64::try_from(PAGE_BYTES / each).unwrap_or(u64::MAX);
        self.rows = fit.min(self.rows.saturating_mul(4)).clamp(1, self.most);
    }

    async fn read(&self, replica: &Replica, query: Query) -> Result<(Devices, Vec<Clocked>)> {
        if replica.storage.is_snapshot() {
            return self.read_of_one_moment(replica, query).await;
        }
        let (schema, number) = (Arc::clone(&self.collection), self.numbers.collection);
        let begun = Batch::new().step(read_meta(&[DEVICES])).find(query).touching([CLOCK]);
        let batch = begun.then(move |trace| {
            let codes = trace.found(0).iter().map(|record| {
                key_code::encode(schema.primary_key().iter().map(|at| record.get(*at)))
            });
            let codes: Vec<Vec<u8>> = codes.collect();
            let look = Step::Find(look_for_clocks(number, &codes));
            let find = move |trace: &Trace| {
                Ok(vec![Step::Find(find_clocks(number, codes.clone(), trace.found(0)))])
            };
            Ok(vec![look, Step::then(find)])
        });
        let outcome = replica.storage.apply(batch).await.during("reading a page")?;
        let mut found = outcome.executed().iter().filter_map(|executed| match &executed.outcome {
            StepOutcome::Found(records) => Some(records),
            _ => None,
        });
        let (Some(meta), Some(records), Some(_), Some(clocks)) =
            (found.next(), found.next(), found.next(), found.next())
        else {
            return Err(SyncError::NoSyncLog);
        };
        Ok((Devices::among(meta)?, self.clocked(records.clone(), clocks)))
    }

    /// Where all is of one moment there is no need of a transaction.
    async fn read_of_one_moment(
        &self,
        replica: &Replica,
        query: Query,
    ) -> Result<(Devices, Vec<Clocked>)> {
        let during = "reading a page";
        let records = replica.storage.find(query).await.during(during)?;
        let key = self.collection.primary_key();
        let codes =
            records.iter().map(|record| key_code::encode(key.iter().map(|at| record.get(*at))));
        let (codes, number) = (codes.collect::<Vec<_>>(), self.numbers.collection);
        let first = replica.storage.find(look_for_clocks(number, &codes)).await.during(during)?;
        let clocks = find_clocks(number, codes, &first);
        let clocks = replica.storage.find(clocks).await.during(during)?;
        let (_, devices) = replica.head().await?;
        Ok((devices, self.clocked(records, &clocks)))
    }

    /// Clocks come in the order of the keys; rows older than sync have none.
    fn clocked(&self, records: Vec<Record>, clocks: &[Record]) -> Vec<Clocked> {
        let mut clocks = clocks.iter().peekable();
        let key = self.collection.primary_key();
        let rows = records.into_iter().map(|record| {
            let code = key_code::encode(key.iter().map(|at| record.get(*at)));
            let clock = clocks.next_if(|row| row.get(1).as_bytes() == Some(&code));
            let clock = clock.and_then(|row| row.get(2).as_bytes()).filter(|it| !is_marker(it));
            (record, clock.map(<[u8]>::to_vec).unwrap_or_default())
        });
        rows.collect()
    }
}

/// About how many bytes a row takes.
pub(super) fn weight((record, clock): &Clocked) -> usize {
    clock.len() + record.values().iter().map(weight_of).sum::<usize>()
}

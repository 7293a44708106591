//! [`Pages`]: the objects of a collection with their clocks, page by page.

use std::cmp::Ordering;
use std::sync::Arc;

use storex_core::{
    Batch, Collection, Filter, Key, Position, Query, Record, Step, StepOutcome, Trace, Value,
};

use crate::apply::Replica;
use crate::clock_rows::{clock_key, clocks_at, clocks_between, find_clocks, look_for_clocks};
use crate::error::{During, Result, SyncError};
use crate::key_code;
use crate::log::CLOCK;
use crate::meta::{DEVICES, Devices, Numbers, read_meta};
use crate::scope::is_marker;
use crate::weight::weight_of_all;

const READING: &str = "reading a page";

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
    /// Where all is of one moment: the table of devices, and whether any object of the collection has a clock.
    moment: Option<(Devices, bool)>,
}

impl Pages {
    pub(super) fn new(
        collection: &Arc<Collection>,
        numbers: &Arc<Numbers>,
        reach: Reach,
        most: u64,
    ) -> Self {
        let (collection, numbers) = (Arc::clone(collection), Arc::clone(numbers));
        let (left, rows, moment) = (Some(reach), FIRST.min(most), None);
        Self { collection, numbers, left, rows, most, moment }
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
        let within = upto.as_ref().map_or(rows.len(), |upto| {
            rows.iter().take_while(|(row, _)| self.collection.key_of(row) <= *upto).count()
        });
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
        // With some room: what does not fit would make a page of its own.
        let fit = u64::try_from(PAGE_BYTES / 8 * 7 / each).unwrap_or(u64::MAX);
        self.rows = fit.min(self.rows.saturating_mul(4)).clamp(1, self.most);
    }

    async fn read(&mut self, replica: &Replica, query: Query) -> Result<(Devices, Vec<Clocked>)> {
        if replica.storage.is_snapshot() {
            return self.read_of_one_moment(replica, query).await;
        }
        let (number, key) = (self.numbers.collection, self.collection.primary_key().to_vec());
        read_clocked(replica, query, number, key, READING).await
    }

    /// Where all is of one moment there is no need of a transaction, and what was read stays true.
    async fn read_of_one_moment(
        &mut self,
        replica: &Replica,
        query: Query,
    ) -> Result<(Devices, Vec<Clocked>)> {
        let during = READING;
        let records = replica.storage.find(query).await.during(during)?;
        let (devices, has_clocks) = match &self.moment {
            Some(moment) => moment.clone(),
            None => {
                let any = look_for_clocks(self.numbers.collection, None);
                let any = replica.storage.find(any).await.during(during)?;
                let has_clocks =
                    any.iter().any(|row| row.get(0).as_int() == Some(self.numbers.collection));
                let (_, devices) = replica.head().await?;
                self.moment.insert((devices, has_clocks)).clone()
            }
        };
        if !has_clocks {
            return Ok((devices, records.into_iter().map(|record| (record, Vec::new())).collect()));
        }
        let codes = codes_of(self.collection.primary_key(), &records);
        let clocks = self.find_clocks(replica, &codes).await.during(during)?;
        Ok((devices, clocked(records, &codes, clocks)))
    }

    /// The clocks of these objects, in the order of the codes; there may be others between them.
    async fn find_clocks(
        &self,
        replica: &Replica,
        codes: &[Vec<u8>],
    ) -> storex_core::Result<Vec<Record>> {
        let number = self.numbers.collection;
        let (mut found, mut left) = (Vec::new(), codes);
        // Mostly keys have the order of their codes: then the clocks lie beside each other.
        if let (Some(first), Some(last), true) = (codes.first(), codes.last(), codes.is_sorted()) {
            // Those of deleted objects are among them, and may be many.
            let most = 2 * codes.len() as u64;
            found = replica.storage.find(clocks_between(number, first, last, most)).await?;
            let end = found.last().filter(|_| found.len() as u64 == most);
            let seen = end.and_then(|row| row.get(1).as_bytes());
            let seen = seen
                .map_or(codes.len(), |seen| codes.partition_point(|code| code.as_slice() <= seen));
            left = codes.get(seen..).unwrap_or_default();
        }
        if !left.is_empty() {
            let keys = left.iter().map(|code| clock_key(number, code.clone())).collect();
            found.extend(replica.storage.find(clocks_at(keys)).await?);
        }
        Ok(found)
    }
}

/// What a query finds of a collection, and the clocks, in one transaction. `key` are the places of the key's values in a record.
pub(super) async fn read_clocked(
    replica: &Replica,
    query: Query,
    collection: i64,
    key: Vec<usize>,
    during: &'static str,
) -> Result<(Devices, Vec<Clocked>)> {
    let begun = Batch::new().step(read_meta(&[DEVICES])).find(query).touching([CLOCK]);
    let places = key.clone();
    let batch = begun.then(move |trace| {
        let codes = codes_of(&places, trace.found(0));
        let look = Step::Find(look_for_clocks(collection, codes.iter().min().map(Vec::as_slice)));
        let find = move |trace: &Trace| {
            let codes = codes.iter().map(Vec::as_slice);
            Ok(vec![Step::Find(find_clocks(collection, codes, trace.found(0)))])
        };
        Ok(vec![look, Step::then(find)])
    });
    let outcome = replica.storage.apply(batch).await.during(during)?;
    let found = outcome.into_executed().into_iter().filter_map(|executed| match executed.outcome {
        StepOutcome::Found(records) => Some(records),
        _ => None,
    });
    let found: std::result::Result<[_; 4], _> = found.collect::<Vec<_>>().try_into();
    let Ok([meta, records, _, clocks]) = found else { return Err(SyncError::NoSyncLog) };
    let codes = codes_of(&key, &records);
    Ok((Devices::among(&meta)?, clocked(records, &codes, clocks)))
}

fn codes_of(key: &[usize], records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|record| key_code::of(record, key)).collect()
}

/// Objects with their clocks, which come in the order of the codes; rows older than sync have none.
fn clocked(records: Vec<Record>, codes: &[Vec<u8>], clocks: Vec<Record>) -> Vec<Clocked> {
    let is_sorted = codes.is_sorted();
    let mut clocks = clocks.into_iter().peekable();
    let rows = records.into_iter().zip(codes).map(|(record, code)| {
        let code_of = |row: &Record| row.get(1).as_bytes().map(|other| other.cmp(code));
        while clocks.next_if(|row| is_sorted && code_of(row) == Some(Ordering::Less)).is_some() {}
        let clock = clocks.next_if(|row| code_of(row) == Some(Ordering::Equal));
        let clock = match clock.and_then(|row| row.into_values().into_iter().nth(2)) {
            Some(Value::Bytes(clock)) if !is_marker(&clock) => clock,
            _ => Vec::new(),
        };
        (record, clock)
    });
    rows.collect()
}

/// About how many bytes a row takes.
pub(super) fn weight((record, clock): &Clocked) -> usize {
    clock.len() + weight_of_all(record.values())
}

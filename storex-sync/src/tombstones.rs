//! [`Tombstones`]: the clocks of what is deleted, page by page.

use std::sync::Arc;

use storex_core::{Collection, Position, Query, Value, field};

use crate::apply::Replica;
use crate::clock::Clock;
use crate::clock_rows::{clock_key, clock_position, clocks_at, clocks_of, columns};
use crate::error::{During, Result};
use crate::log::CLOCK;
use crate::meta::{Devices, Numbers};
use crate::scope::is_marker;
use crate::stamp::Hlc;

const DURING: &str = "reading tombstones";

/// What the clocks of deleted objects begin with, at least: most of the living have the life 1, and are not even read.
const FIRST_DELETED: u8 = 2;

/// Goes through the clocks of a collection, and leaves out the living.
#[derive(Debug, Clone)]
pub(crate) struct Tombstones {
    clocks: Arc<Collection>,
    query: Query,
    upto: Option<Vec<u8>>,
    is_through: bool,
}

/// Deleted objects of one collection.
#[derive(Debug, Clone)]
pub(crate) struct Deleted {
    /// This database's table of devices, to which the clocks refer by number.
    pub(crate) devices: Devices,
    /// Per object the code of its key, and its packed clock.
    pub(crate) objects: Vec<(Vec<u8>, Vec<u8>)>,
    /// The latest of what the clocks tell.
    pub(crate) newest: Hlc,
}

impl Tombstones {
    /// Looks at so many clocks at once.
    pub(crate) fn of(replica: &Replica, numbers: &Numbers, page: u64) -> Result<Self> {
        let clocks = Arc::clone(replica.storage.collection(CLOCK)?);
        let deleted = field("clock").gte(Value::Bytes(vec![FIRST_DELETED]));
        let query = clocks_of(numbers.collection).filter(deleted).limit(page);
        Ok(Self { clocks, query, upto: None, is_through: false })
    }

    /// Only those behind a code, up to another one and with it; a code may be cut short.
    pub(crate) fn between(self, number: i64, after: Option<&[u8]>, upto: Option<&[u8]>) -> Self {
        let after = after.map(|code| clock_position(number, code.to_vec()));
        let query = Query { after, ..self.query };
        Self { query, upto: upto.map(<[u8]>::to_vec), ..self }
    }

    /// Only those with these codes, which are looked at all at once.
    pub(crate) fn named(self, number: i64, codes: &[Vec<u8>]) -> Self {
        let keys = codes.iter().map(|code| clock_key(number, code.clone()));
        Self { query: clocks_at(keys.collect()), ..self }
    }

    /// The next page that holds any; `None`: there are no more.
    pub(crate) async fn next(&mut self, replica: &Replica) -> Result<Option<Deleted>> {
        while !self.is_through {
            let page = replica.storage.find(self.query.clone()).await.during(DURING)?;
            // Read after the clocks: the table only grows, so every device in them is in it.
            let (_, devices) = replica.head().await?;
            let full = page.last().filter(|_| Some(page.len() as u64) == self.query.limit);
            let next: Option<Position> =
                full.map(|last| self.query.position_of(&self.clocks, last));
            self.is_through = next.is_none();
            self.query.after = next;
            let (mut objects, mut newest) = (Vec::new(), Hlc::ZERO);
            for row in &page {
                let (_, code, packed) = columns(row)?;
                if self.upto.as_ref().is_some_and(|upto| code > upto.as_slice()) {
                    self.is_through = true;
                    break;
                }
                if is_marker(packed) {
                    continue;
                }
                let clock = Clock::decode(packed, &devices)?;
                if !clock.is_alive() {
                    newest = newest.max(clock.newest().hlc);
                    objects.push((code.to_vec(), packed.to_vec()));
                }
            }
            if !objects.is_empty() {
                return Ok(Some(Deleted { devices, objects, newest }));
            }
        }
        Ok(None)
    }
}

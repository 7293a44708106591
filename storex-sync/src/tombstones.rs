//! [`Tombstones`]: the clocks of what is deleted, page by page.

use std::sync::Arc;

use storex_core::{Collection, Position, Query, Value, field};

use crate::apply::Replica;
use crate::clock::Clock;
use crate::error::{During, Result, SyncError};
use crate::log::CLOCK;
use crate::meta::{Devices, Numbers};
use crate::stamp::Hlc;

const DURING: &str = "reading tombstones";

/// Goes through the clocks of a collection, and leaves out the living.
#[derive(Debug)]
pub(crate) struct Tombstones {
    clocks: Arc<Collection>,
    query: Query,
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
        let own = field("collection").eq(numbers.collection);
        let query = Query::new(CLOCK).filter(own).limit(page);
        Ok(Self { clocks, query, is_through: false })
    }

    /// Only those behind the one with this code.
    pub(crate) fn behind(mut self, numbers: &Numbers, code: Value) -> Self {
        self.query.after = Some(Position { values: vec![Value::Int(numbers.collection), code] });
        self
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
                let (Some(code), Some(packed)) = (row.get(1).as_bytes(), row.get(2).as_bytes())
                else {
                    let reason = "its values have the wrong types";
                    return Err(SyncError::corrupt("a clock row", reason));
                };
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

//! [`Place`]: where a database is in its shared log.

use storex_core::{Filter, Query, Storage};

use crate::error::{During, Result, SyncError};
use crate::meta::{META, meta_row};
use crate::pack::{Packer, Unpacker};
use crate::shared_log::{Cursor, LogId};

/// The name of the row of `_storex_meta` that keeps where we are in the shared log.
pub(crate) const CURSOR: &str = "cursor";

/// Where we are in the shared log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The log.
    pub log: LogId,
    /// Everything in front of it was applied or parked here.
    pub cursor: Cursor,
}

impl Place {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(2);
        packer.bin(&self.log.0);
        packer.bin(&self.cursor.0);
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let what = "the place in the shared log";
        let mut unpacker = Unpacker::new(bytes, what);
        unpacker.tuple(2)?;
        let id =
            unpacker.bin()?.try_into().map_err(|_| SyncError::corrupt(what, "the id is cut"))?;
        Ok(Self { log: LogId(id), cursor: Cursor(unpacker.bin()?.to_vec()) })
    }

    pub(crate) fn row(&self) -> (String, Vec<u8>) {
        (CURSOR.to_owned(), self.encode())
    }
}

/// Where a storage is in its shared log; `None` before its first exchange.
pub(crate) async fn read_place(storage: &Storage) -> Result<Option<Place>> {
    let query = Query::new(META).filter(Filter::key(CURSOR));
    let rows = storage.find(query).await.during("reading the place in the shared log")?;
    meta_row(&rows, CURSOR).map(Place::decode).transpose()
}

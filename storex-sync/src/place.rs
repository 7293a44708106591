//! [`Place`]: where a database is in its shared log.

use storex_core::{Changes, OnConflict, Record, Step, Value, field};

use crate::error::{During, Result, SyncError};
use crate::lane::Lane;
use crate::meta::{META, meta_query, meta_row, write_meta};
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

    /// A step that notes it.
    pub(crate) fn write(&self) -> Step {
        write_meta(vec![(CURSOR, self.encode())])
    }
}

/// From one place to the next. It is made only from where it began: whoever was overtaken does not take a database back to a
/// place behind which the log may have been trimmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The place that was read before.
    pub from: Option<Place>,
    /// The next one.
    pub to: Place,
}

impl Move {
    /// A step that makes it.
    pub(crate) fn write(&self) -> Step {
        let Some(from) = &self.from else {
            let row = Record::new(vec![Value::from(CURSOR), Value::Bytes(self.to.encode())]);
            return Step::create_or(META, vec![row], OnConflict::Skip);
        };
        let here = field("name").eq(CURSOR).and(field("value").eq(Value::Bytes(from.encode())));
        Step::Update {
            collection: META.into(),
            filter: here,
            changes: Changes::new().set("value", Value::Bytes(self.to.encode())),
        }
    }
}

/// Where a storage is in its shared log; `None` before its first exchange.
pub(crate) async fn read_place(storage: &Lane) -> Result<Option<Place>> {
    let rows = storage.find(meta_query(&[CURSOR])).await;
    place_among(&rows.during("reading the place in the shared log")?)
}

/// The place among rows of `_storex_meta`.
pub(crate) fn place_among(rows: &[Record]) -> Result<Option<Place>> {
    meta_row(rows, CURSOR).map(Place::decode).transpose()
}

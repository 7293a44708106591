//! The row `state` of `_storex_meta`: how much of the state is logged.

use storex_core::Value;

use crate::error::{Result, SyncError};
use crate::pack::{Packer, Unpacker};
use crate::stamp::{Device, Hlc};

/// The row's name; without a row nothing of the state is to be sent.
pub(crate) const PROGRESS: &str = "state";

/// Added to the part's code where objects that are older than sync are sent too.
const OLDER: u64 = 2;

/// How much of the state is logged.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    pub(super) part: Part,
    /// The collection that is under way; empty: the first.
    pub(super) collection: String,
    /// The key of the last object that is through: of its clock, or of its row. Empty: none of the collection.
    pub(super) after: Vec<Value>,
    /// Objects that are older than sync are sent too.
    pub(super) older: bool,
    /// Stamps that get another reading on the way.
    pub(super) redated: Option<Redated>,
    /// What this device had applied of every device when it began, itself included: whoever has all pages has that too.
    pub(super) seen: Vec<(Device, Hlc)>,
}

/// What a device wrote while its clock was far ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Redated {
    /// By this incarnation, or one before it.
    pub(super) device: Device,
    /// Later than this.
    pub(super) farthest: Hlc,
}

/// First what is deleted, of all collections: what it occupied (a unique value, say) is free then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Part {
    #[default]
    Deleted,
    Living,
}

impl Progress {
    /// From the beginning; what this incarnation wrote later than that is dated anew.
    pub(crate) fn dating_anew(device: Device, farthest: Hlc) -> Self {
        Self { redated: Some(Redated { device, farthest }), ..Self::default() }
    }

    /// From the beginning, with what is older than sync.
    pub(crate) fn with_older() -> Self {
        Self { older: true, ..Self::default() }
    }

    /// The same from the beginning, if something of it was still to be logged; else a whole state.
    ///
    /// What is no longer far ahead, as the time that was believed has come, is not dated anew: others have it.
    pub(crate) fn again(row: Option<&[u8]>, farthest: Option<Hlc>) -> Result<Self> {
        let mut known = row.map(Self::decode).transpose()?.unwrap_or_default();
        if let (Some(redated), Some(now)) = (&mut known.redated, farthest) {
            redated.farthest = redated.farthest.max(now);
        }
        Ok(known.at(Part::Deleted, String::new()))
    }

    /// The same, of which something is not sent: whoever has all pages has not what this device had applied.
    pub(crate) fn claiming_nothing(self) -> Self {
        Self { seen: Vec::new(), ..self }
    }

    /// At the beginning of a part or collection.
    pub(super) fn at(&self, part: Part, collection: String) -> Self {
        Self { part, collection, after: Vec::new(), ..self.clone() }
    }

    /// Whether nothing was logged yet.
    pub(super) fn is_beginning(&self) -> bool {
        self.part == Part::Deleted && self.collection.is_empty()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(if self.redated.is_some() { 5 } else { 4 });
        let older = if self.older { OLDER } else { 0 };
        packer.uint(older + u64::from(self.part == Part::Living));
        packer.str(&self.collection);
        packer.array(self.after.len());
        self.after.iter().for_each(|value| packer.value(value));
        if let Some(Redated { device, farthest }) = self.redated {
            packer.device(device);
            packer.uint(farthest.0);
        } else {
            packer.array(self.seen.len());
            for (device, hlc) in &self.seen {
                packer.device(*device);
                packer.uint(hlc.0);
            }
        }
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let what = "how much of the state is sent";
        let mut unpacker = Unpacker::new(bytes, what);
        let parts = unpacker.array()?;
        let code = unpacker.uint()?;
        let (part, older) = match (code % OLDER, code / OLDER) {
            (0, older @ (0 | 1)) => (Part::Deleted, older == 1),
            (1, older @ (0 | 1)) => (Part::Living, older == 1),
            _ => return Err(SyncError::corrupt(what, "its part is not known")),
        };
        let collection = unpacker.str()?.to_owned();
        let mut after = Vec::new();
        for _ in 0..unpacker.array()? {
            after.push(unpacker.value()?);
        }
        let (mut redated, mut seen) = (None, Vec::new());
        match parts {
            3 => {}
            4 => {
                for _ in 0..unpacker.array()? {
                    seen.push((unpacker.device()?, unpacker.hlc()?));
                }
            }
            5 => redated = Some(Redated { device: unpacker.device()?, farthest: unpacker.hlc()? }),
            _ => return Err(SyncError::corrupt(what, "it has another number of parts")),
        }
        Ok(Self { part, collection, after, older, redated, seen })
    }
}

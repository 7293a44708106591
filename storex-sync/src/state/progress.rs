//! The row `state` of `_storex_meta`: how much of the state is logged.

use storex_core::Value;

use crate::error::{Result, SyncError};
use crate::pack::{Packer, Unpacker};

/// The row's name; without a row nothing of the state is to be sent.
pub(crate) const PROGRESS: &str = "state";

/// How much of the state is logged.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    pub(super) part: Part,
    /// The collection that is under way; empty: the first.
    pub(super) collection: String,
    /// The key of the last object that is through: of its clock, or of its row. Empty: none of the collection.
    pub(super) after: Vec<Value>,
}

/// First what is deleted, of all collections: what it occupied (a unique value, say) is free then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Part {
    #[default]
    Deleted,
    Living,
}

impl Progress {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(3);
        packer.uint(match self.part {
            Part::Deleted => 0,
            Part::Living => 1,
        });
        packer.str(&self.collection);
        packer.array(self.after.len());
        self.after.iter().for_each(|value| packer.value(value));
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let what = "how much of the state is sent";
        let mut unpacker = Unpacker::new(bytes, what);
        unpacker.tuple(3)?;
        let part = match unpacker.uint()? {
            0 => Part::Deleted,
            1 => Part::Living,
            _ => return Err(SyncError::corrupt(what, "its part is not known")),
        };
        let collection = unpacker.str()?.to_owned();
        let mut after = Vec::new();
        for _ in 0..unpacker.array()? {
            after.push(unpacker.value()?);
        }
        Ok(Self { part, collection, after })
    }
}

//! [`Holding`]: whether this device has held everything from one moment to another.

use super::{BACKFILL, DOUBTS, Lacks, SCOPES};
use crate::apply::Replica;
use crate::error::{During, Result, SyncError};
use crate::meta::{meta_query, meta_row};

/// The row whose value is drawn anew with each sweep that lets go of something.
pub(crate) const SWEPT: &str = "swept";

/// What this device holds at a moment, and which sweep was the last.
///
/// Whoever tells others that it holds everything asks again when it has told all: an exchange of another program, or of this one, may
/// have let go of rows meanwhile that were not told yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) lacks: Lacks,
    swept: Option<Vec<u8>>,
}

impl Holding {
    pub(crate) async fn read(replica: &Replica) -> Result<Self> {
        if replica.merging.scopes.is_empty() {
            return Ok(Self::default());
        }
        let rows = replica.storage.find(meta_query(&[SCOPES, BACKFILL, DOUBTS, SWEPT])).await;
        let rows = rows.during("reading what this device holds")?;
        let swept = meta_row(&rows, SWEPT).map(<[u8]>::to_vec);
        Ok(Self { lacks: Lacks::among(&rows)?, swept })
    }

    /// Fails if everything was held, and is not any more, or was not for a while. Who holds a part claims nothing.
    pub(crate) async fn check(&self, replica: &Replica) -> Result<()> {
        if self.lacks.nothing() && Self::read(replica).await? != *self {
            return Err(SyncError::HoldsLess);
        }
        Ok(())
    }
}

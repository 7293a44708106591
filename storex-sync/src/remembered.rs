//! What continuous sync remembers in the database: that it is paused, when it last went through, and the last error.

use storex_core::{Batch, Query, Record, Timestamp};

use crate::error::{During, Result};
use crate::lane::Lane;
use crate::log::LOG;
use crate::meta::{meta_query, meta_row, write_meta};
use crate::pack::{Packer, Unpacker};
use crate::parked::PARKED;
use crate::rejected::REJECTED;
use crate::shared_log::MissingWrite;
use crate::state::PROGRESS;
use crate::writes::WriteId;

const PAUSED: &str = "paused";
const STATUS: &str = "sync_status";

/// What outlives the program of a [`SyncStatus`](crate::SyncStatus).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// When an exchange last went through.
    pub last_success: Option<Timestamp>,
    /// When one last failed, and why; `None` when the last one went through.
    pub last_error: Option<(Timestamp, String)>,
    /// When the shared log was last seen to, whether it had to be compacted or not.
    pub last_compaction: Option<Timestamp>,
    /// Since when the shared log cannot give something that it knows of, and what.
    pub missing: Option<(Timestamp, Vec<MissingWrite>)>,
}

/// A look at the own database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Transactions that are still to be sent.
    pub unsent: u64,
    /// Transactions of others that wait.
    pub parked: u64,
    /// Own transactions that the shared log has refused for good.
    pub rejected: u64,
    /// Whether sync is paused.
    pub paused: bool,
}

impl Remembered {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(6);
        let milliseconds = |at: Timestamp| u64::try_from(at.0).unwrap_or(0);
        packer.uint(self.last_success.map_or(0, milliseconds));
        packer.uint(self.last_error.as_ref().map_or(0, |(at, _)| milliseconds(*at)));
        packer.str(self.last_error.as_ref().map_or("", |(_, error)| error));
        packer.uint(self.last_compaction.map_or(0, milliseconds));
        packer.uint(self.missing.as_ref().map_or(0, |(since, _)| milliseconds(*since)));
        let missing = self.missing.as_ref().map_or([].as_slice(), |(_, missing)| missing);
        packer.array(missing.len());
        for MissingWrite { write, reason } in missing {
            packer.array(3);
            packer.device(write.device);
            packer.uint(write.sequence);
            packer.str(reason);
        }
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut unpacker = Unpacker::new(bytes, "the remembered status");
        // Three before there was compaction, four before it was told what is missing.
        let parts = unpacker.array()?;
        let last_success = Some(unpacker.uint()?).filter(|at| *at != 0).map(timestamp);
        let at = timestamp(unpacker.uint()?);
        let error = unpacker.str()?.to_owned();
        let last_error = Some((at, error)).filter(|(_, error)| !error.is_empty());
        let last_compaction = if parts > 3 { unpacker.uint()? } else { 0 };
        let last_compaction = Some(last_compaction).filter(|at| *at != 0).map(timestamp);
        let missing = if parts > 5 { read_missing(&mut unpacker)? } else { None };
        Ok(Self { last_success, last_error, last_compaction, missing })
    }

    pub(crate) async fn read(storage: &Lane) -> Result<Self> {
        let rows = read(storage, &[STATUS]).await?;
        // A later version may remember more; what cannot be read is forgotten.
        Ok(meta_row(&rows, STATUS).map(Self::decode).transpose().ok().flatten().unwrap_or_default())
    }

    pub(crate) async fn write(&self, storage: &Lane) -> Result<()> {
        write(storage, STATUS, self.encode()).await
    }
}

fn timestamp(at: u64) -> Timestamp {
    Timestamp(i64::try_from(at).unwrap_or(i64::MAX))
}

fn read_missing(unpacker: &mut Unpacker<'_>) -> Result<Option<(Timestamp, Vec<MissingWrite>)>> {
    let since = timestamp(unpacker.uint()?);
    let mut missing = Vec::new();
    for _ in 0..unpacker.array()? {
        unpacker.tuple(3)?;
        let write = WriteId { device: unpacker.device()?, sequence: unpacker.uint()? };
        missing.push(MissingWrite { write, reason: unpacker.str()?.to_owned() });
    }
    Ok(Some((since, missing)).filter(|(_, missing)| !missing.is_empty()))
}

impl Look {
    pub(crate) async fn at(storage: &Lane) -> Result<Self> {
        let count = |collection| storage.count(Query::new(collection));
        let rows = read(storage, &[PROGRESS, PAUSED]).await?;
        // A state that is to be sent is at least one transaction more.
        let state = meta_row(&rows, PROGRESS).is_some();
        let logged = count(LOG).await.during("counting what is to be sent")?;
        Ok(Self {
            unsent: logged.saturating_add(u64::from(state)),
            parked: count(PARKED).await.during("counting what is parked")?,
            rejected: count(REJECTED).await.during("counting what was refused")?,
            paused: meta_row(&rows, PAUSED).is_some_and(|value| value == [1]),
        })
    }
}

pub(crate) async fn pause(storage: &Lane) -> Result<()> {
    write(storage, PAUSED, vec![1]).await
}

pub(crate) async fn resume(storage: &Lane) -> Result<()> {
    write(storage, PAUSED, vec![0]).await
}

async fn read(storage: &Lane, names: &[&str]) -> Result<Vec<Record>> {
    storage.find(meta_query(names)).await.during("reading what sync remembers")
}

async fn write(storage: &Lane, name: &'static str, value: Vec<u8>) -> Result<()> {
    let batch = Batch::new().step(write_meta(vec![(name, value)]));
    storage.apply(batch).await.during("writing what sync remembers")?;
    Ok(())
}

//! [`BlobStatus`], [`BlobReport`] and [`DeadBlob`]: what is to be done, what was done, and what cannot be done.

use storex_core::{Aggregate, Aggregation, Record};

use super::local::Local;
use super::reference::BlobRef;
use super::rows::{BLOB, State, in_order, uint};
use crate::error::{During, Result};

/// What is still to be done for the blobs of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlobStatus {
    /// Those that wait to be sent, or are being sent.
    pub to_send: BlobsWaiting,
    /// Those that wait to be received, or are being received.
    pub to_receive: BlobsWaiting,
    /// How many were given up; see [`Blobs::dead`](crate::Blobs::dead).
    pub dead: u64,
}

/// Blobs that wait for their transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlobsWaiting {
    /// How many.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of these bytes have come through, of the transfers that are under way.
    pub done: u64,
}

impl BlobStatus {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.to_send.blobs == 0 && self.to_receive.blobs == 0
    }
}

/// What one call of [`Blobs::sync_once`](crate::Blobs::sync_once) has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlobReport {
    /// Blobs that the store now has.
    pub sent: u64,
    /// Blobs that are now here.
    pub received: u64,
    /// Blobs that could not be sent or received. They are tried again later, or are dead.
    pub failed: u64,
}

/// A blob that was given up: it is not tried again before somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadBlob {
    /// The blob.
    pub blob: BlobRef,
    /// Whether it could not be sent. Else it could not be received.
    pub sending: bool,
    /// Why the last attempt failed.
    pub reason: String,
}

/// What the database says of it; how far transfers have come it does not know.
pub(super) async fn read_status(local: &Local) -> Result<BlobStatus> {
    let mut status = BlobStatus::default();
    let by_state = Aggregation::new(BLOB)
        .filter(storex_core::field("state").ne(State::Kept.value()))
        .by(["state"])
        .value(Aggregate::Count)
        .value(Aggregate::Sum("length".into()));
    for row in local.storage.aggregate(by_state).await.during("counting blobs")? {
        let waiting = |row: &Record| -> Result<BlobsWaiting> {
            Ok(BlobsWaiting { blobs: uint(row.get(1))?, bytes: uint(row.get(2))?, done: 0 })
        };
        match State::read(row.get(0))? {
            State::Kept => {}
            State::ToSend => status.to_send = waiting(&row)?,
            State::ToReceive => status.to_receive = waiting(&row)?,
            State::Unsendable | State::Unreceivable => status.dead += uint(row.get(1))?,
        }
    }
    Ok(status)
}

pub(super) async fn read_dead(local: &Local) -> Result<Vec<DeadBlob>> {
    let mut dead = Vec::new();
    for state in [State::Unsendable, State::Unreceivable] {
        dead.extend(local.rows(in_order(state)).await?.into_iter().map(|row| DeadBlob {
            blob: row.blob,
            sending: state.sends(),
            reason: row.reason,
        }));
    }
    Ok(dead)
}

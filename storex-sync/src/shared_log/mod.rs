//! [`SharedSyncLog`]: where the devices of one user meet.

mod backend;
mod memory;

pub use backend::BackendSharedLog;
pub use memory::MemorySharedLog;

use std::fmt;

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync};

use crate::error::Result;
use crate::stamp::Device;

/// The log that all devices of one user write to and read from.
///
/// The **log** orders transactions, not the clocks of the devices: a cursor is a place in that order, so a device whose
/// clock is wrong misses nothing.
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait SharedSyncLog: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// Makes a device known and tells the log's identity. Calling it again is harmless.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport).
    async fn register(&self, device: Device) -> Result<LogId>;

    /// Appends transactions of one device, in ascending order of their numbers, all or none.
    ///
    /// Idempotent: a transaction that is there already, with the same bytes, is passed over.
    ///
    /// # Errors
    /// [`SyncError::Forked`](crate::SyncError::Forked) when another transaction is there under the same number,
    /// [`SyncError::Gap`](crate::SyncError::Gap) when a number is left out; nothing was appended then.
    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()>;

    /// Reads what follows the cursor, in the log's order, without the reader's own transactions.
    ///
    /// A page ends at `limit` bytes of payload, but holds at least one transaction when there is one. Everything in front
    /// of the page's cursor is in this page or in those before it.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport).
    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page>;

    /// Notes that a device has durably applied everything in front of the cursor.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport).
    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()>;

    /// Returns when something for this reader may follow the cursor; at once when something does. It may return without
    /// news, so read and wait again.
    ///
    /// A log that has no way to tell never returns, which is what this default does: whoever waits also has a timer.
    ///
    /// # Errors
    /// [`SyncError::Corrupt`](crate::SyncError::Corrupt) for a cursor of another kind of log,
    /// [`SyncError::Closed`](crate::SyncError::Closed) when the log was closed.
    async fn changed(&self, reader: Device, after: &Cursor) -> Result<()> {
        let _ = (reader, after);
        std::future::pending().await
    }
}

/// The identity of a log: another one means that the log was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(pub [u8; 16]);

/// A place in a log; only the log that gave it knows what it means. Empty: the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Cursor(pub Vec<u8>);

/// A transaction as a log sees it: bytes with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedTransaction {
    /// The device that wrote it.
    pub device: Device,
    /// Its number: dense per device, from 1.
    pub sequence: u64,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// What a read gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The log that it comes from.
    pub log: LogId,
    /// Transactions of other devices, in the log's order.
    pub transactions: Vec<SealedTransaction>,
    /// Where the next read begins.
    pub cursor: Cursor,
    /// Whether something follows already.
    pub more: bool,
}

impl Cursor {
    pub(crate) fn at(position: u64) -> Self {
        Self(position.to_be_bytes().to_vec())
    }

    pub(crate) fn position(&self) -> Result<u64> {
        match self.0.as_slice() {
            [] => Ok(0),
            bytes => match bytes.try_into() {
                Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
                Err(_) => {
                    Err(crate::SyncError::corrupt("a cursor", "it is of another kind of log"))
                }
            },
        }
    }
}

//! [`SealedKeys`]: what a shared log keeps so that devices can come by the keys of an encryption.

use std::fmt;

use async_trait::async_trait;
use storex_core::{MaybeSend, MaybeSync};

use crate::error::Result;
use crate::hex::Hex;

/// The part of a log that keeps *sealed keys*: small items which are written once, and mean nothing to the log. Devices that encrypt what
/// they put into the log leave their keys here for each other, sealed by a passphrase or to devices.
///
/// Nothing is ever dropped or changed: trimming, snapshots and a new identity of the log leave them alone.
///
/// Every method may be dropped while it waits, and called again, as those of [`SharedSyncLog`](super::SharedSyncLog).
#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
pub trait SealedKeys: MaybeSend + MaybeSync {
    /// The names of all items, in ascending order.
    ///
    /// # Errors
    /// [`SyncError::Transport`](crate::SyncError::Transport), [`SyncError::Storage`](crate::SyncError::Storage).
    async fn names(&self) -> Result<Vec<SealedKeyName>>;

    /// An item; `None` when there is none of this name, or it has not arrived whole.
    ///
    /// # Errors
    /// See [`names`](Self::names).
    async fn get(&self, name: SealedKeyName) -> Result<Option<Vec<u8>>>;

    /// Keeps an item, of at most [`SEALED_KEY_LIMIT`] bytes. The same again changes nothing. It is durable when it returns, as far as the
    /// log is.
    ///
    /// A log without a server, in which two devices may write at once unseen, may keep two of one name and give one of them. So a name
    /// is best made of the contents.
    ///
    /// # Errors
    /// [`SyncError::KeyExists`](crate::SyncError::KeyExists) when there is one of this name with other contents; and those of
    /// [`names`](Self::names).
    async fn put(&self, name: SealedKeyName, bytes: &[u8]) -> Result<()>;
}

/// The bytes that an item may have: 64 KiB. A log may refuse larger ones, and readers pass over them.
pub const SEALED_KEY_LIMIT: usize = 64 << 10;

/// The name of an item of [`SealedKeys`]. Whoever writes it chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealedKeyName(pub [u8; 16]);

/// Hexadecimal digits.
impl fmt::Display for SealedKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

//! End-to-end encryption around any shared log and blob store: [`EncryptedSharedLog`], [`EncryptedBlobStore`].
//!
//! ```text
//!   Sync ──▶ EncryptedSharedLog ──▶ SharedSyncLog: transactions and pages of snapshots, encrypted and padded
//!                 │ KeyRing   ──▶   SealedKeys: each key, sealed by a passphrase and to devices
//!   Blobs ─▶ EncryptedBlobStore ──▶ BlobStore: chunks, encrypted and padded, under a name that says nothing
//! ```
//!
//! Why it is built this way, what it protects against and what not: `docs/decisions/0041-end-to-end-encryption.md`.

mod access;
mod blobs;
mod cipher;
mod data_key;
mod envelope;
mod found;
#[cfg(feature = "pairing")]
mod handover;
mod item;
mod keys;
mod log;
mod padding;
mod passphrase;
mod repeated;
mod ring;
mod rotation;
mod snapshots;
#[cfg(test)]
mod tests;

pub use access::Access;
pub use blobs::EncryptedBlobStore;
pub use log::EncryptedSharedLog;
pub use passphrase::{Passphrase, PassphraseCost};
pub use ring::KeyRing;

//! How a payload or a page is encrypted: the form of it is in `docs/wire-format.md`.
//!
//! The nonce is made of the header and the contents by a keyed hash, as in SIV (Rogaway, Shrimpton: "Deterministic Authenticated-Encryption",
//! EUROCRYPT 2006; RFC 5297). So the same contents are the same bytes each time, which is what a log compares when an append is repeated, and
//! nobody has to remember which nonces were used. Two equal nonces are two equal contents under one name.

use std::fmt;

use super::cipher::{NONCE, TAG, decrypt, encrypt, nonce_of};
use super::data_key::{DataKey, KeyId};
use super::padding::{append_padded, padded_len, without_padding};
use crate::error::{Result, SyncError};
use crate::shared_log::{ENCRYPTED, SealedTransaction, SnapshotId};
use crate::stamp::Device;

const VERSION: u8 = 1;

/// Mark, version, key and nonce.
const HEAD: usize = 2 + KeyId::LENGTH + NONCE;

/// What it is, and whose: nothing passes for another thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Transaction { device: Device, sequence: u64 },
    Page { snapshot: SnapshotId, page: u64 },
}

impl Subject {
    pub(super) fn of(transaction: &SealedTransaction) -> Self {
        Self::Transaction { device: transaction.device, sequence: transaction.sequence }
    }

    /// Each label is of another length, and what follows it has always the same.
    fn header(self, key: KeyId) -> Vec<u8> {
        let (label, device, numbers): (&[u8], _, _) = match self {
            Self::Transaction { device, sequence } => {
                (b"storex-encryption 1 transaction", device, vec![sequence])
            }
            Self::Page { snapshot: SnapshotId { maker, number }, page } => {
                (b"storex-encryption 1 page", maker, vec![number, page])
            }
        };
        let mut header = [label, &key.0, &device.id, &device.incarnation.to_be_bytes()].concat();
        header.extend(numbers.into_iter().flat_map(u64::to_be_bytes));
        header
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transaction { device, sequence } => {
                write!(f, "transaction {sequence} of device {device}")
            }
            Self::Page { snapshot: SnapshotId { maker, .. }, page } => {
                write!(f, "page {page} of the snapshot that device {maker} has made")
            }
        }
    }
}

/// The bytes of encrypted contents.
pub(super) fn encrypted_len(contents: usize) -> usize {
    padded_len(contents).saturating_add(HEAD + TAG)
}

pub(super) fn seal(key: &DataKey, subject: Subject, contents: &[u8]) -> Result<Vec<u8>> {
    let header = subject.header(key.id());
    let nonce = nonce_of(key.nonces(), [&header, contents]);
    let mut sealed = Vec::with_capacity(encrypted_len(contents.len()));
    sealed.extend_from_slice(&[ENCRYPTED, VERSION]);
    sealed.extend_from_slice(&key.id().0);
    sealed.extend_from_slice(&nonce);
    append_padded(&mut sealed, contents);
    encrypt(key.contents(), &nonce, &header, &mut sealed, HEAD)?;
    Ok(sealed)
}

/// What was encrypted, taken apart.
pub(super) struct Envelope<'a> {
    subject: Subject,
    pub(super) key: KeyId,
    nonce: [u8; NONCE],
    sealed: &'a [u8],
}

impl<'a> Envelope<'a> {
    pub(super) fn read(subject: Subject, bytes: &'a [u8]) -> Result<Self> {
        let refused = |reason| not_authentic(subject, reason);
        let Some(rest) = bytes.strip_prefix(&[ENCRYPTED]) else {
            return Err(refused("it was put into the shared log without encryption"));
        };
        match rest.split_first() {
            Some((&VERSION, _)) => {}
            Some(_) => return Err(refused("a newer program has encrypted it; update this one")),
            None => return Err(refused("it is cut off")),
        }
        let parts = rest.get(1..).and_then(|rest| {
            let (key, rest) = rest.split_first_chunk::<{ KeyId::LENGTH }>()?;
            let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
            Some(Self { subject, key: KeyId(*key), nonce: *nonce, sealed })
        });
        parts.ok_or_else(|| refused("it is cut off"))
    }

    pub(super) fn open(&self, key: &DataKey) -> Result<Vec<u8>> {
        let header = self.subject.header(self.key);
        let plain = decrypt(key.contents(), &self.nonce, &header, self.sealed);
        let contents = plain.and_then(without_padding);
        contents.ok_or_else(|| {
            not_authentic(self.subject, "it is damaged, or was forged by somebody without the key")
        })
    }
}

fn not_authentic(subject: Subject, reason: &str) -> SyncError {
    SyncError::NotAuthentic { what: subject.to_string(), reason: reason.to_owned() }
}

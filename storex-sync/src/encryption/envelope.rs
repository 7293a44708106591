//! How a payload, a page or a chunk of a blob is encrypted: the form of it is in `docs/wire-format.md`.
//!
//! The nonce is made of the header and the contents by a keyed hash, as in SIV (Rogaway, Shrimpton: "Deterministic Authenticated-Encryption",
//! EUROCRYPT 2006; RFC 5297). So the same contents are the same bytes each time, which is what a log compares when an append is repeated, and
//! nobody has to remember which nonces were used. Two equal nonces are two equal contents under one name.

use std::fmt;

use super::cipher::{NONCE, TAG, decrypt, encrypt, nonce_of};
use super::data_key::{DataKey, KeyId};
use super::padding::{append_padded, padded_len, without_padding};
use crate::blobs::BlobRef;
use crate::error::{Result, SyncError};
use crate::shared_log::{ENCRYPTED, SealedTransaction, SnapshotId};
use crate::stamp::Device;

const VERSION: u8 = 1;

/// Mark, version, key and nonce.
const HEAD: usize = 2 + KeyId::LENGTH + NONCE;

/// How many bytes what is encrypted has more than contents with their padding.
pub(super) const EXTRA: usize = HEAD + TAG;

/// What it is, and whose: nothing passes for another thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Transaction { device: Device, sequence: u64 },
    Page { snapshot: SnapshotId, page: u64 },
    Chunk { blob: BlobRef, sealed: BlobRef, number: u64 },
}

impl Subject {
    pub(super) fn of(transaction: &SealedTransaction) -> Self {
        Self::Transaction { device: transaction.device, sequence: transaction.sequence }
    }

    /// Each label is of another length, and what follows it has always the same.
    fn header(self, key: KeyId) -> Vec<u8> {
        let of_device = |label: &[u8], Device { id, incarnation }: Device| {
            [label, &key.0, &id, &incarnation.to_be_bytes()].concat()
        };
        let (mut header, numbers) = match self {
            Self::Transaction { device, sequence } => {
                (of_device(b"storex-encryption 1 transaction", device), vec![sequence])
            }
            Self::Page { snapshot: SnapshotId { maker, number }, page } => {
                (of_device(b"storex-encryption 1 page", maker), vec![number, page])
            }
            Self::Chunk { sealed, number, .. } => {
                let label: &[u8] = b"storex-encryption 1 blob chunk";
                let named = [label, &key.0, sealed.hash()].concat();
                (named, vec![number, sealed.chunks()])
            }
        };
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
            Self::Chunk { blob, number, .. } => write!(f, "chunk {number} of the blob {blob}"),
        }
    }
}

/// The bytes of encrypted contents.
pub(super) fn encrypted_len(contents: usize) -> usize {
    padded_len(contents).saturating_add(EXTRA)
}

pub(super) fn seal(key: &DataKey, subject: Subject, contents: &[u8]) -> Result<Vec<u8>> {
    seal_as(key, subject, contents, |out| append_padded(out, contents))
}

/// Contents whose length is told by something else, with zeros behind them up to this length.
pub(super) fn seal_to(
    key: &DataKey,
    subject: Subject,
    contents: &[u8],
    length: usize,
) -> Result<Vec<u8>> {
    seal_as(key, subject, contents, |out| {
        let end = out.len() + length;
        out.extend_from_slice(contents);
        out.resize(end, 0);
    })
}

fn seal_as(
    key: &DataKey,
    subject: Subject,
    contents: &[u8],
    append: impl FnOnce(&mut Vec<u8>),
) -> Result<Vec<u8>> {
    let header = subject.header(key.id());
    let nonce = nonce_of(key.nonces(), [&header, contents]);
    let mut sealed = Vec::with_capacity(encrypted_len(contents.len()));
    sealed.extend_from_slice(&[ENCRYPTED, VERSION]);
    sealed.extend_from_slice(&key.id().0);
    sealed.extend_from_slice(&nonce);
    append(&mut sealed);
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
            return Err(refused("it was put there without encryption"));
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
        self.decrypt(key).and_then(without_padding).ok_or_else(|| self.forged())
    }

    /// Contents of this length, with zeros behind them.
    pub(super) fn open_from(&self, key: &DataKey, length: usize) -> Result<Vec<u8>> {
        let mut plain = self.decrypt(key).ok_or_else(|| self.forged())?;
        match plain.get(length..) {
            Some(padding) if padding.iter().all(|byte| *byte == 0) => {
                plain.truncate(length);
                Ok(plain)
            }
            _ => Err(self.forged()),
        }
    }

    fn decrypt(&self, key: &DataKey) -> Option<Vec<u8>> {
        // What names another key than that which is tried is no more authentic than what was changed.
        let header = self.subject.header(key.id());
        decrypt(key.contents(), &self.nonce, &header, self.sealed).filter(|_| key.id() == self.key)
    }

    fn forged(&self) -> SyncError {
        not_authentic(self.subject, "it is damaged, or was forged by somebody without the key")
    }
}

fn not_authentic(subject: Subject, reason: &str) -> SyncError {
    SyncError::NotAuthentic { what: subject.to_string(), reason: reason.to_owned() }
}

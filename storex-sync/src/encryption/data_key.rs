//! [`DataKey`]: a key that contents are encrypted with, and what is derived from it.

use std::fmt;

use storex_core::Runtime;
use zeroize::Zeroizing;

use super::cipher::{MacKey, Secret, derive};

use crate::hex::Hex;

/// The name of a key, which is derived from it: nobody can make another key of the same name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KeyId(pub(super) [u8; Self::LENGTH]);

impl KeyId {
    pub(super) const LENGTH: usize = 16;
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

pub(super) struct DataKey {
    secret: Secret,
    id: KeyId,
    /// What payloads, pages and chunks of blobs are encrypted with.
    contents: Secret,
    /// What their nonces are made with.
    nonces: MacKey,
    /// What other keys are encrypted with.
    keys: Secret,
    /// What the names of blobs are made with.
    blob_names: MacKey,
}

impl DataKey {
    pub(super) fn generate(runtime: &dyn Runtime) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        runtime.fill_random(&mut secret[..]);
        Self::new(secret)
    }

    pub(super) fn new(secret: Secret) -> Self {
        let part = |name: &[u8]| derive(&secret[..], None, name);
        let id = KeyId(*derive(&secret[..], None, b"storex-encryption 1 key id"));
        let contents = part(b"storex-encryption 1 contents");
        let nonces = derive(&secret[..], None, b"storex-encryption 1 nonces");
        let keys = part(b"storex-encryption 1 keys");
        let blob_names = derive(&secret[..], None, b"storex-encryption 1 blob names");
        Self { secret, id, contents, nonces, keys, blob_names }
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn contents(&self) -> &Secret {
        &self.contents
    }

    pub(super) fn nonces(&self) -> &MacKey {
        &self.nonces
    }

    pub(super) fn keys(&self) -> &Secret {
        &self.keys
    }

    pub(super) fn blob_names(&self) -> &MacKey {
        &self.blob_names
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({:?})", self.id)
    }
}

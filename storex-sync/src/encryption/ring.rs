//! [`KeyRing`]: the keys that a device has.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use storex_core::Runtime;
use zeroize::Zeroizing;

use super::data_key::{DataKey, KeyId};
use crate::bytes::{Reader, write_varint};
use crate::error::{Result, SyncError};

const VERSION: u8 = 1;
const WHAT: &str = "a key ring";

/// A key, and the how-manieth it is.
#[derive(Debug, Clone)]
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) key: Arc<DataKey>,
}

impl Generation {
    /// Of two the later; of two that were made at once any two devices say the same.
    pub(super) fn rank(&self) -> (u64, KeyId) {
        (self.number, self.key.id())
    }
}

/// The keys of an encrypted shared log: the one that this device encrypts with, and those before it.
///
/// Whoever has it reads everything in the log. An application that is not to ask for the passphrase at each start keeps it
/// ([`to_bytes`](Self::to_bytes)), where the system keeps secrets. `Debug` does not show it, and dropping it overwrites it.
#[derive(Clone)]
pub struct KeyRing {
    keys: BTreeMap<KeyId, Generation>,
    current: Generation,
}

impl KeyRing {
    /// A ring with a new key, of the runtime's randomness: for devices that hand their keys over to each other, and leave none in the log.
    #[must_use]
    pub fn generate(runtime: &dyn Runtime) -> Self {
        Self::of(Generation { number: 1, key: Arc::new(DataKey::generate(runtime)) })
    }

    pub(super) fn of(current: Generation) -> Self {
        Self { keys: BTreeMap::from([(current.key.id(), current.clone())]), current }
    }

    /// All of it, to be kept.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(vec![VERSION]);
        out.extend_from_slice(&write_generations(&self.all()));
        out
    }

    /// The ring that was kept.
    ///
    /// # Errors
    /// [`SyncError::Corrupt`]: it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let all = match bytes.split_first() {
            Some((&VERSION, all)) => read_generations(all)?,
            _ => return Err(SyncError::corrupt(WHAT, "it is something else")),
        };
        let first = all.first().ok_or_else(|| SyncError::corrupt(WHAT, "it is empty"))?;
        let mut ring = Self::of(first.clone());
        all.into_iter().for_each(|it| ring.insert(it));
        Ok(ring)
    }

    pub(super) fn get(&self, id: KeyId) -> Option<&DataKey> {
        self.keys.get(&id).map(|it| &*it.key)
    }

    pub(super) fn shared(&self, id: KeyId) -> Option<Arc<DataKey>> {
        self.keys.get(&id).map(|it| Arc::clone(&it.key))
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn current(&self) -> &Generation {
        &self.current
    }

    /// All keys but the current one, the latest first.
    pub(super) fn former(&self) -> Vec<Generation> {
        let current = self.current.key.id();
        let former = self.keys.values().filter(|it| it.key.id() != current);
        let mut former: Vec<_> = former.cloned().collect();
        former.sort_by_key(|it| std::cmp::Reverse(it.rank()));
        former
    }

    /// The current one first.
    pub(super) fn all(&self) -> Vec<Generation> {
        std::iter::once(self.current.clone()).chain(self.former()).collect()
    }

    pub(super) fn last_number(&self) -> u64 {
        self.keys.values().map(|it| it.number).max().unwrap_or(0)
    }

    /// A key that things may have been encrypted with.
    pub(super) fn insert(&mut self, generation: Generation) {
        self.keys.entry(generation.key.id()).or_insert(generation);
    }

    /// Takes all keys of another ring, and goes on with its own.
    pub(super) fn merge(&mut self, other: Self) {
        other.keys.into_values().for_each(|it| self.insert(it));
    }

    /// Goes on with a key of the ring.
    pub(super) fn go_on_with(&mut self, id: KeyId) {
        if let Some(generation) = self.keys.get(&id) {
            self.current = generation.clone();
        }
    }

    pub(super) fn is_first(&self, id: KeyId) -> bool {
        self.keys.get(&id).is_some_and(|it| it.number == 1)
    }

    /// Of two first keys the greatest, which any two devices see in the same way.
    pub(super) fn go_on_with_first(&mut self, id: KeyId) {
        let Some(generation) = self.keys.get(&id) else { return };
        let are_first = generation.number == 1 && self.current.number == 1;
        if are_first && generation.rank() > self.current.rank() {
            self.current = generation.clone();
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.keys().collect::<Vec<_>>();
        let current = self.current.key.id();
        f.debug_struct("KeyRing").field("keys", &keys).field("current", &current).finish()
    }
}

/// Each is its number and the key; the last one ends with the bytes.
pub(super) fn write_generations(all: &[Generation]) -> Zeroizing<Vec<u8>> {
    // As large as it may get: growing would leave copies of keys behind.
    let mut out = Zeroizing::new(Vec::with_capacity(all.len() * (10 + 32) + 16));
    for Generation { number, key } in all {
        write_varint(&mut out, *number);
        out.extend_from_slice(&key.secret()[..]);
    }
    out
}

pub(super) fn read_generations(bytes: &[u8]) -> Result<Vec<Generation>> {
    let mut reader = Reader::new(bytes, WHAT);
    let mut all = Vec::new();
    while !reader.is_empty() {
        let number = reader.varint()?;
        let key = Arc::new(DataKey::new(Zeroizing::new(reader.array()?)));
        all.push(Generation { number, key });
    }
    Ok(all)
}

//! [`Subscriptions`]: which scopes this device holds; the row `scopes` of `_storex_meta`.

use std::collections::{BTreeMap, BTreeSet};

use storex_core::{Key, Record, Value};

use crate::error::{Result, SyncError};
use crate::meta::{Numbers, meta_row};
use crate::pack::{Packer, Unpacker};

/// The row's name; without a row everything is held.
pub(crate) const SCOPES: &str = "scopes";

const WHAT: &str = "the scopes that this device holds";

/// Per collection, by number, the scopes that are held. All of those that are not listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subscriptions(BTreeMap<i64, BTreeSet<Key>>);

impl Subscriptions {
    /// Those among rows of `_storex_meta`.
    pub(crate) fn among(meta: &[Record]) -> Result<Self> {
        meta_row(meta, SCOPES).map_or_else(|| Ok(Self::default()), Self::decode)
    }

    /// Whether everything is held.
    pub(crate) fn are_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether only some of a collection is held.
    pub(crate) fn is_part(&self, collection: i64) -> bool {
        self.0.contains_key(&collection)
    }

    pub(crate) fn of(&self, collection: i64) -> Option<&BTreeSet<Key>> {
        self.0.get(&collection)
    }

    /// Whether a scope of a collection is held.
    pub(crate) fn holds(&self, collection: i64, scope: &Value) -> bool {
        let known = self.0.get(&collection);
        known.is_none_or(|scopes| scopes.contains(&Key::single(scope.clone())))
    }

    /// Whether an object is of a scope that is not held.
    pub(crate) fn exclude(&self, numbers: &Numbers, record: &Record) -> bool {
        numbers.scope.is_some_and(|at| !self.holds(numbers.collection, record.get(at)))
    }

    /// Holds these scopes of a collection from now on, or all; gives those that were held before.
    pub(crate) fn set(
        &mut self,
        collection: i64,
        scopes: Option<BTreeSet<Key>>,
    ) -> Option<BTreeSet<Key>> {
        match scopes {
            Some(scopes) => self.0.insert(collection, scopes),
            None => self.0.remove(&collection),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(self.0.len());
        for (collection, scopes) in &self.0 {
            packer.array(2);
            packer.uint(u64::try_from(*collection).unwrap_or(u64::MAX));
            packer.array(scopes.len());
            scopes.iter().flat_map(Key::values).for_each(|value| packer.value(value));
        }
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut unpacker = Unpacker::new(bytes, WHAT);
        let mut subscriptions = Self::default();
        for _ in 0..unpacker.array()? {
            unpacker.tuple(2)?;
            let collection = i64::try_from(unpacker.uint()?);
            let collection = collection
                .map_err(|_| SyncError::corrupt(WHAT, "a collection has no such number"))?;
            let mut scopes = BTreeSet::new();
            for _ in 0..unpacker.array()? {
                scopes.insert(Key::single(unpacker.value()?));
            }
            subscriptions.0.insert(collection, scopes);
        }
        unpacker.end()?;
        Ok(subscriptions)
    }
}

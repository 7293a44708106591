//! [`Share`]: what of this device's contents is sent.

use std::collections::BTreeMap;

use storex_core::{Collection, Key, Name, Position};

use super::message::refuse;
use super::reading::position;
use super::{Picked, Span, Spot};
use crate::error::Result;
use crate::initial::pages::Reach;
use crate::key_code;
use crate::meta::Numbers;
use crate::tombstones::Tombstones;

/// Tombstones that are read at once, where they are named.
const PAGE: usize = 1000;

/// What of this device's contents is sent: of a collection that was compared what differs, of any other all.
#[derive(Debug, Default)]
pub(crate) struct Share(pub(super) BTreeMap<Name, (Picked, Picked)>);

impl Share {
    /// The objects of a collection; of one that was not compared all behind a place.
    pub(in crate::initial) fn rows(
        &self,
        collection: &Collection,
        after: Option<Position>,
    ) -> Result<Vec<Reach>> {
        let Some((picked, _)) = self.0.get(collection.name()) else {
            return Ok(vec![Reach::Between(after, None)]);
        };
        let key = |spot: &Option<Spot>| match spot {
            None => Ok(None),
            Some(Spot::Row(key)) => Ok(Some(key.clone())),
            Some(Spot::Tombstone(_)) => Err(refuse("the code of a tombstone is no key")),
        };
        let reach = |Span { lower, upper }: &Span| {
            let after = key(lower)?.map(|key| position(collection, &key)).transpose()?;
            Ok(Reach::Between(after, key(upper)?))
        };
        let mut reaches: Vec<Reach> = picked.spans.iter().map(reach).collect::<Result<_>>()?;
        let keys = picked.codes.iter().map(|code| key_code::decode(code));
        let mut keys: Vec<Key> = keys.collect::<Result<_>>()?;
        if !keys.is_empty() {
            keys.sort();
            reaches.push(Reach::Keys(keys));
        }
        Ok(reaches)
    }

    /// The tombstones of a collection, among `all` of it.
    pub(crate) fn tombstones(
        &self,
        collection: &Collection,
        numbers: &Numbers,
        all: &Tombstones,
    ) -> Vec<Tombstones> {
        let Some((_, picked)) = self.0.get(collection.name()) else { return vec![all.clone()] };
        let number = numbers.collection;
        let code = |spot: &Option<Spot>| spot.as_ref().map(Spot::code);
        let spans = picked.spans.iter().map(|Span { lower, upper }| {
            all.clone().between(number, code(lower).as_deref(), code(upper).as_deref())
        });
        let named = picked.codes.chunks(PAGE).map(|codes| all.clone().named(number, codes));
        spans.chain(named).collect()
    }
}

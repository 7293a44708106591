//! [`Lanes`]: which collections are in which lane, as the application has chosen.

use std::collections::{BTreeMap, BTreeSet};

use storex_core::{Error, Name, Registry};

use crate::bytes::{Reader, write_varint};
use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::lane::Names;
use crate::meta::{read_name, write_name};
use crate::rules::Chosen;

/// By the lane's name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lanes(BTreeMap<Name, BTreeSet<Name>>);

impl Lanes {
    pub(crate) fn add(&mut self, lane: Name, collections: impl Iterator<Item = Name>) {
        self.0.entry(lane).or_default().extend(collections);
    }

    /// What the reserved collections are called in each lane, beginning with the one that is always there.
    pub(crate) fn names(&self) -> impl Iterator<Item = Names> {
        std::iter::once(Names::default()).chain(self.0.keys().map(|lane| Names::of(lane)))
    }

    /// The lane of a collection; none for the one that is always there.
    fn of(&self, collection: &str) -> Option<&Name> {
        self.0.iter().find(|(_, members)| members.contains(collection)).map(|(lane, _)| lane)
    }

    /// The collections that are not kept in step by a lane.
    pub(crate) fn left_out(
        &self,
        lane: &Names,
        registry: &Registry,
        local_only: &BTreeSet<Name>,
    ) -> BTreeSet<Name> {
        let all = registry.collections().iter().filter(|it| !it.is_reserved()).map(|it| it.name());
        let others = all.filter(|name| self.of(name).map(|it| &**it) != lane.lane());
        others.chain(local_only).cloned().collect()
    }

    /// Refuses lanes that cannot be.
    pub(crate) fn check(
        &self,
        registry: &Registry,
        local_only: &BTreeSet<Name>,
        rules: &Chosen,
    ) -> storex_core::Result<()> {
        for (lane, members) in &self.0 {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if lane.is_empty() || !lane.chars().all(plain) {
                let reason = "the name of a lane is made of a to z, digits and _";
                return Err(Error::Aborted { reason: format!("`{lane}`: {reason}") });
            }
            for name in members {
                if registry.collection(name)?.is_reserved() {
                    return Err(Error::invalid(name, "storex's own collections are in no lane"));
                }
                if self.of(name) != Some(lane) {
                    return Err(Error::invalid(name, "it is in two lanes"));
                }
                if local_only.contains(name) {
                    return Err(Error::invalid(name, "it is local only, and in a lane"));
                }
            }
        }
        rules.between(registry, |child, parent| self.of(child) == self.of(parent))
    }

    /// Refuses a collection that was in another lane before: what is known of its objects, and what waits to be sent, is there.
    pub(crate) fn check_stored(
        &self,
        stored: &[u8],
        known: &Catalogue,
        registry: &Registry,
        [were_local, are_local]: [&BTreeSet<Name>; 2],
    ) -> Result<storex_core::Result<()>> {
        let lanes = decode(stored)?;
        for (name, number) in known.living() {
            if registry.find(name).is_none() || are_local.contains(name) {
                continue;
            }
            let (was, is) = (lanes.get(&number), self.of(name));
            if was != is && !(was.is_none() && were_local.contains(name)) {
                let lane = |lane: Option<&Name>| match lane {
                    Some(lane) => format!("the lane `{lane}`"),
                    None => "no lane".to_owned(),
                };
                let (was, is) = (lane(was), lane(is));
                let reason = format!("it was in {was} and cannot be moved to {is}");
                return Ok(Err(Error::invalid(name, reason)));
            }
        }
        Ok(Ok(()))
    }

    /// The lanes as they are to be stored: by the numbers of the collections, which they keep when they are renamed. Of a collection that
    /// is not kept in step now, or that only another program knows, the lane that it was in.
    pub(crate) fn store(&self, stored: &[u8], catalogue: &Catalogue) -> Result<Vec<u8>> {
        let mut lanes = decode(stored)?;
        for (lane, members) in &self.0 {
            let numbers = members.iter().filter_map(|name| catalogue.number(name));
            lanes.extend(numbers.map(|number| (number, Name::clone(lane))));
        }
        let mut out = Vec::new();
        for (number, lane) in &lanes {
            write_varint(&mut out, *number);
            write_name(&mut out, lane);
        }
        Ok(out)
    }
}

/// By the numbers of collections.
fn decode(bytes: &[u8]) -> Result<BTreeMap<u64, Name>> {
    let what = "the lanes";
    let (mut reader, mut lanes) = (Reader::new(bytes, what), BTreeMap::new());
    while !reader.is_empty() {
        lanes.insert(reader.varint()?, read_name(&mut reader, what)?);
    }
    Ok(lanes)
}

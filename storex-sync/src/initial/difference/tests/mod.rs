//! Tests of the comparison without a storage: sets of items, and messages.

mod hostile;
mod properties;
mod vectors;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use async_trait::async_trait;
use storex_core::Key;

use super::comparison::Comparison;
use super::scan::{Page, Source};
use super::{Hash, Item, Message, Picked, Span, Spot, holds_tombstones};
use crate::error::Result;
use crate::initial::frame::Frame;

/// The items of each part.
#[derive(Debug, Clone, Default, PartialEq)]
struct Set(Vec<BTreeMap<Spot, Hash>>);

#[async_trait]
impl Source for Set {
    fn parts(&self) -> usize {
        self.0.len()
    }

    async fn count(&self) -> Result<u64> {
        Ok(self.0.iter().map(|it| it.len() as u64).sum())
    }

    async fn page(&self, part: usize, after: Option<&Spot>, limit: usize) -> Result<Page> {
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let found = self.0[part].range::<Spot, _>(behind).take(limit);
        let items: Vec<Item> =
            found.map(|(spot, hash)| Item { spot: spot.clone(), hash: *hash }).collect();
        let next = items.last().filter(|_| items.len() == limit).map(|it| it.spot.clone());
        Ok(Page { items, next })
    }
}

impl Set {
    fn new(parts: usize) -> Self {
        Self(vec![BTreeMap::new(); parts])
    }

    /// An item by its number, in a version.
    fn put(&mut self, part: usize, number: u64, version: u64) {
        self.0[part].insert(spot(part, number), hash(part, number, version));
    }

    /// The items that are picked here.
    fn picked(&self, picked: &[Picked]) -> BTreeSet<(usize, Spot)> {
        let mut all = BTreeSet::new();
        for (part, (items, picked)) in self.0.iter().zip(picked).enumerate() {
            for Span { lower, upper } in &picked.spans {
                let from = lower.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                let to = upper.as_ref().map_or(Bound::Unbounded, Bound::Included);
                all.extend(items.range::<Spot, _>((from, to)).map(|it| (part, it.0.clone())));
            }
            let named = picked.codes.iter().map(|code| Spot::decode(part, code).unwrap());
            all.extend(named.filter(|it| items.contains_key(it)).map(|it| (part, it)));
        }
        all
    }

    /// The items that another set does not have, or has otherwise.
    fn without(&self, other: &Self) -> BTreeSet<(usize, Spot)> {
        let parts = self.0.iter().zip(&other.0).enumerate();
        let missing = parts.flat_map(|(part, (own, others))| {
            let differ = own.iter().filter(|(spot, hash)| others.get(*spot) != Some(*hash));
            differ.map(move |(spot, _)| (part, spot.clone()))
        });
        missing.collect()
    }
}

/// Texts and integers are keys of objects, as their part says.
fn spot(part: usize, number: u64) -> Spot {
    let text = || uuid::Uuid::from_u64_pair(number.wrapping_mul(0x9E37_79B9_7F4A_7C15), number);
    match (holds_tombstones(part), part % 4) {
        (true, _) => Spot::Tombstone(text().as_bytes().to_vec()),
        (false, 0) => Spot::Row(Key::single(text().hyphenated().to_string())),
        (false, _) => Spot::Row(Key::single(i64::try_from(number).unwrap_or(i64::MAX))),
    }
}

fn hash(part: usize, number: u64, version: u64) -> Hash {
    xxhash_rust::xxh3::xxh3_128(format!("{part} {number} {version}").as_bytes()).to_be_bytes()
}

/// What a comparison came to.
#[derive(Debug)]
struct Ended {
    first: Vec<Picked>,
    second: Vec<Picked>,
    messages: usize,
    bytes: usize,
    longest: usize,
}

/// Compares two sets, with all messages as they travel. The first begins.
async fn compare(first: &Set, second: &Set, first_sends: bool) -> Ended {
    let mut sides = [
        Comparison::new(first.clone(), first_sends).await.unwrap(),
        Comparison::new(second.clone(), !first_sends).await.unwrap(),
    ];
    let mut ended = Ended { first: vec![], second: vec![], messages: 0, bytes: 0, longest: 0 };
    let mut message = sides[0].begin().await.unwrap();
    for turn in 1.. {
        let frame = Frame::Ranges(message.clone());
        let bytes = frame.encode();
        ended.messages += 1;
        ended.bytes += bytes.len();
        ended.longest = ended.longest.max(bytes.len());
        let Frame::Ranges(arrived) = Frame::decode(&bytes).unwrap() else { panic!("no ranges") };
        assert_eq!(arrived, message, "it arrives as it was sent");
        let ends = sides[(turn + 1) % 2].ends_with(&message);
        let answer = sides[turn % 2].answer(arrived).await.unwrap();
        assert_eq!(answer.is_none(), ends, "both sides agree on the end");
        match answer {
            Some(answer) => message = answer,
            None => break,
        }
    }
    let [a, b] = sides;
    (ended.first, ended.second) = (a.finish(), b.finish());
    ended
}

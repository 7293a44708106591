//! What two sides that compare tell each other; `docs/wire-format.md` describes the bytes.

use storex_core::Name;

use super::fingerprint::Fingerprint;
use super::{DURING, Hash, Item, LIST, Span, Spot};
use crate::error::{Result, SyncError};
use crate::pack::{Packer, Unpacker};

/// What one side compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    /// Goes into every hash; the sender's counts.
    pub(crate) salt: [u8; 16],
    /// By name, ascending.
    pub(crate) collections: Vec<CollectionOpening>,
}

/// A collection that one side compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CollectionOpening {
    pub(crate) name: Name,
    /// Its primary key, in its order.
    pub(crate) key: Vec<Name>,
    /// The other fields that are synced.
    pub(crate) fields: Vec<Name>,
    /// Which scopes are held: empty for all, else a hash of them.
    pub(crate) held: Vec<u8>,
}

/// One side's answer, and its questions.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Message {
    /// Whether more of it follows unasked.
    pub(crate) more: bool,
    /// How many items the answered lists held together, and how many of them differ.
    pub(crate) listed: u64,
    pub(crate) differing: u64,
    /// Ranges that differ, to be answered.
    pub(crate) runs: Vec<Run>,
    /// What the other side is to send.
    pub(crate) wanted: Vec<Wanted>,
}

/// Ranges of one part that follow each other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) part: usize,
    pub(crate) lower: Option<Spot>,
    /// Up to where each goes, and what it holds.
    pub(crate) ranges: Vec<(Option<Spot>, Content)>,
}

/// What a range holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    Fingerprint(Fingerprint),
    /// All that is in it.
    Items(Vec<Item>),
}

/// What of a part is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) part: usize,
    pub(crate) spans: Vec<Span>,
    pub(crate) codes: Vec<Vec<u8>>,
}

pub(super) fn refuse(reason: &str) -> SyncError {
    SyncError::Protocol { during: DURING, reason: reason.to_owned() }
}

impl Opening {
    /// Writes what follows the frame's kind: two parts.
    pub(crate) fn encode(&self, packer: &mut Packer) {
        packer.bin(&self.salt);
        packer.array(self.collections.len());
        for collection in &self.collections {
            packer.array(4);
            packer.str(&collection.name);
            encode_names(packer, &collection.key);
            encode_names(packer, &collection.fields);
            packer.bin(&collection.held);
        }
    }

    pub(crate) fn decode(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let salt = unpacker.bin()?.try_into().map_err(|_| refuse("a salt has 16 bytes"))?;
        let mut collections = Vec::new();
        for _ in 0..unpacker.array()? {
            unpacker.tuple(4)?;
            collections.push(CollectionOpening {
                name: Name::from(unpacker.str()?),
                key: decode_names(unpacker)?,
                fields: decode_names(unpacker)?,
                held: unpacker.bin()?.to_vec(),
            });
        }
        Ok(Self { salt, collections })
    }
}

fn encode_names(packer: &mut Packer, names: &[Name]) {
    packer.array(names.len());
    names.iter().for_each(|name| packer.str(name));
}

fn decode_names(unpacker: &mut Unpacker<'_>) -> Result<Vec<Name>> {
    let count = unpacker.array()?;
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(Name::from(unpacker.str()?));
    }
    Ok(names)
}

impl Message {
    /// Writes what follows the frame's kind: five parts.
    pub(crate) fn encode(&self, packer: &mut Packer) {
        packer.uint(u64::from(self.more));
        packer.uint(self.listed);
        packer.uint(self.differing);
        packer.array(self.runs.len());
        self.runs.iter().for_each(|run| run.encode(packer));
        packer.array(self.wanted.len());
        self.wanted.iter().for_each(|wanted| wanted.encode(packer));
    }

    pub(crate) fn decode(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let more = unpacker.index(2)? == 1;
        let (listed, differing) = (unpacker.uint()?, unpacker.uint()?);
        let (mut runs, mut wanted) = (Vec::new(), Vec::new());
        for _ in 0..unpacker.array()? {
            runs.push(Run::decode(unpacker)?);
        }
        for _ in 0..unpacker.array()? {
            wanted.push(Wanted::decode(unpacker)?);
        }
        Ok(Self { more, listed, differing, runs, wanted })
    }
}

impl Run {
    fn encode(&self, packer: &mut Packer) {
        packer.array(3);
        packer.uint(self.part as u64);
        encode_bound(packer, self.lower.as_ref());
        packer.array(self.ranges.len());
        for (upper, content) in &self.ranges {
            match content {
                Content::Fingerprint(fingerprint) => {
                    packer.array(3);
                    encode_bound(packer, upper.as_ref());
                    packer.bin(&fingerprint.hash);
                    packer.uint(fingerprint.count);
                }
                Content::Items(items) => {
                    packer.array(2);
                    encode_bound(packer, upper.as_ref());
                    packer.array(items.len() * 2);
                    for item in items {
                        packer.bin(&item.spot.code());
                        packer.bin(&item.hash);
                    }
                }
            }
        }
    }

    fn decode(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.tuple(3)?;
        let part = unpacker.index(usize::MAX)?;
        let lower = decode_bound(unpacker, part)?;
        let mut ranges: Vec<(Option<Spot>, Content)> = Vec::new();
        for _ in 0..unpacker.array()? {
            let parts = unpacker.array()?;
            let from = ranges.last().map_or(&lower, |(upper, _)| upper);
            let is_first = ranges.is_empty();
            let upper = decode_bound(unpacker, part)?;
            // Without a bound a range begins at the beginning, or ends at the end.
            let follows = (is_first || from.is_some())
                && (from.is_none() || upper.is_none() || *from < upper);
            if !follows {
                return Err(refuse("ranges do not follow each other"));
            }
            let content = match parts {
                3 => {
                    let hash = decode_hash(unpacker)?;
                    Content::Fingerprint(Fingerprint { hash, count: unpacker.uint()? })
                }
                2 => Content::Items(decode_items(unpacker, part, from.clone(), upper.as_ref())?),
                _ => return Err(refuse("a range holds a fingerprint, or items")),
            };
            ranges.push((upper, content));
        }
        Ok(Self { part, lower, ranges })
    }
}

fn decode_items(
    unpacker: &mut Unpacker<'_>,
    part: usize,
    mut last: Option<Spot>,
    upper: Option<&Spot>,
) -> Result<Vec<Item>> {
    let count = unpacker.array()?;
    if count % 2 == 1 || count / 2 > LIST {
        return Err(refuse("a list of items is too long, or an item has no hash"));
    }
    let mut items = Vec::with_capacity(count / 2);
    for _ in 0..count / 2 {
        let spot = Spot::decode(part, unpacker.bin()?)?;
        if last.as_ref().is_some_and(|last| *last >= spot) || upper.is_some_and(|it| *it < spot) {
            return Err(refuse("items are not in order, or outside of their range"));
        }
        last = Some(spot.clone());
        items.push(Item { spot, hash: decode_hash(unpacker)? });
    }
    Ok(items)
}

impl Wanted {
    fn encode(&self, packer: &mut Packer) {
        packer.array(3);
        packer.uint(self.part as u64);
        packer.array(self.spans.len());
        for span in &self.spans {
            packer.array(2);
            encode_bound(packer, span.lower.as_ref());
            encode_bound(packer, span.upper.as_ref());
        }
        packer.array(self.codes.len());
        self.codes.iter().for_each(|code| packer.bin(code));
    }

    fn decode(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        unpacker.tuple(3)?;
        let part = unpacker.index(usize::MAX)?;
        let (mut spans, mut codes) = (Vec::new(), Vec::new());
        for _ in 0..unpacker.array()? {
            unpacker.tuple(2)?;
            let lower = decode_bound(unpacker, part)?;
            spans.push(Span { lower, upper: decode_bound(unpacker, part)? });
        }
        for _ in 0..unpacker.array()? {
            let code = unpacker.bin()?;
            Spot::decode(part, code)?;
            codes.push(code.to_vec());
        }
        Ok(Self { part, spans, codes })
    }
}

/// No bound is an empty one: no item has an empty key.
fn encode_bound(packer: &mut Packer, bound: Option<&Spot>) {
    packer.bin(&bound.map(Spot::code).unwrap_or_default());
}

fn decode_bound(unpacker: &mut Unpacker<'_>, part: usize) -> Result<Option<Spot>> {
    match unpacker.bin()? {
        [] => Ok(None),
        code => Spot::decode(part, code).map(Some),
    }
}

fn decode_hash(unpacker: &mut Unpacker<'_>) -> Result<Hash> {
    unpacker.bin()?.try_into().map_err(|_| refuse("a hash has 16 bytes"))
}

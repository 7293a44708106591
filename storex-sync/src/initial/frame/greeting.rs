//! [`Greeting`] and [`Accept`]: what the two sides agree upon.

use std::ops::RangeInclusive;

use super::WHAT;
use crate::error::{Result, SyncError};
use crate::pack::{Packer, Unpacker};
use crate::stamp::Device;

/// The versions of the session that this program speaks.
pub(crate) const VERSIONS: RangeInclusive<u64> = 1..=1;

/// Parts of a greeting, its kind included.
const PARTS: usize = 9;

/// What each side says first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Greeting {
    /// The versions that are spoken.
    pub(crate) versions: RangeInclusive<u64>,
    /// `None`: we speak none of these versions, so the rest cannot be read.
    pub(crate) terms: Option<Terms>,
}

/// What a side has to offer, and what it wants.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Terms {
    pub(crate) capabilities: Capabilities,
    pub(crate) device: Device,
    /// The fingerprint of its schema.
    pub(crate) schema: u64,
    pub(crate) wants: Wants,
    /// How many objects it has; 0 where it is one way.
    pub(crate) objects: u64,
    /// How many pages it takes without having answered.
    pub(crate) window: u64,
}

/// What a side can do beyond what all can. Bits that are not known are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities(pub(crate) u64);

impl Capabilities {
    /// Going on where an earlier one was cut.
    pub(crate) const RESUME: Self = Self(1);

    /// It wants what differs only, and compares.
    pub(crate) const DIFFERENCE: Self = Self(2);

    /// Whether this is among it.
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// All of one and of the other.
    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both can do.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What a side wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Send,
    Receive,
    BothWays,
}

/// How the receiver takes what the sender has.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Accept {
    /// Where an earlier initial sync was cut; empty: nowhere.
    pub(crate) resume: Vec<u8>,
    /// The collections, by their places in the hello, that it does not take as they are.
    pub(crate) otherwise: Vec<(usize, Take)>,
}

/// How a collection is taken that does not fit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Take {
    /// Nothing of it is sent.
    Nothing,
    /// It is sent as transactions, to be parked.
    Parked,
    /// It is sent without these fields, by their places in the hello.
    Without(Vec<usize>),
}

impl Greeting {
    pub(super) fn encode(&self, packer: &mut Packer) {
        packer.array(if self.terms.is_some() { PARTS } else { 3 });
        packer.uint(9);
        packer.uint(*self.versions.start());
        packer.uint(*self.versions.end());
        if let Some(terms) = &self.terms {
            packer.uint(terms.capabilities.0);
            packer.device(terms.device);
            packer.uint(terms.schema);
            packer.uint(match terms.wants {
                Wants::Send => 0,
                Wants::Receive => 1,
                Wants::BothWays => 2,
            });
            packer.uint(terms.objects);
            packer.uint(terms.window);
        }
    }

    /// Reads what follows the kind. The versions stand at the same place in every version; later ones may say more behind what is known.
    pub(super) fn decode(unpacker: &mut Unpacker<'_>, parts: usize) -> Result<Self> {
        let versions = unpacker.uint()?..=unpacker.uint()?;
        let common = (*versions.start()).max(*VERSIONS.start());
        if common > (*versions.end()).min(*VERSIONS.end()) {
            (3..parts).try_for_each(|_| unpacker.skip())?;
            return Ok(Self { versions, terms: None });
        }
        if parts < PARTS {
            return Err(SyncError::corrupt(WHAT, "a greeting has too few parts"));
        }
        let terms = Terms {
            capabilities: Capabilities(unpacker.uint()?),
            device: unpacker.device()?,
            schema: unpacker.uint()?,
            wants: match unpacker.uint()? {
                0 => Wants::Send,
                1 => Wants::Receive,
                2 => Wants::BothWays,
                _ => {
                    return Err(SyncError::corrupt(WHAT, "what the other side wants is not known"));
                }
            },
            objects: unpacker.uint()?,
            window: unpacker.uint()?,
        };
        (PARTS..parts).try_for_each(|_| unpacker.skip())?;
        Ok(Self { versions, terms: Some(terms) })
    }
}

impl Accept {
    pub(super) fn encode(&self, packer: &mut Packer) {
        let is_plain = *self == Self::default();
        packer.array(if is_plain { 1 } else { 3 });
        packer.uint(1);
        if is_plain {
            return;
        }
        packer.bin(&self.resume);
        packer.array(self.otherwise.len());
        for (collection, take) in &self.otherwise {
            let (code, without) = match take {
                Take::Nothing => (0, &[][..]),
                Take::Parked => (1, &[][..]),
                Take::Without(fields) => (2, &fields[..]),
            };
            packer.array(3);
            packer.uint(*collection as u64);
            packer.uint(code);
            packer.array(without.len());
            without.iter().for_each(|field| packer.uint(*field as u64));
        }
    }

    pub(super) fn decode(unpacker: &mut Unpacker<'_>) -> Result<Self> {
        let resume = unpacker.bin()?.to_vec();
        let mut otherwise = Vec::new();
        for _ in 0..unpacker.array()? {
            unpacker.tuple(3)?;
            let collection = unpacker.index(usize::MAX)?;
            let code = unpacker.uint()?;
            let mut fields = Vec::new();
            for _ in 0..unpacker.array()? {
                fields.push(unpacker.index(usize::MAX)?);
            }
            let take = match (code, fields.is_empty()) {
                (0, true) => Take::Nothing,
                (1, true) => Take::Parked,
                (2, _) => Take::Without(fields),
                _ => {
                    return Err(SyncError::corrupt(WHAT, "how a collection is taken is not known"));
                }
            };
            otherwise.push((collection, take));
        }
        Ok(Self { resume, otherwise })
    }
}

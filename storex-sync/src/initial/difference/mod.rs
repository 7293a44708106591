//! What differs between two devices, found without sending everything: range-based set reconciliation (A. Meyer, "Range-Based
//! Set Reconciliation", 2023, arXiv 2212.13567).
//!
//! ```text
//!   sender                                       receiver
//!   Opening: collections, fields, a salt   ──▶
//!                                          ◀──  Opening
//!                                          ◀──  Ranges: each part of the data in up to 32 ranges, with fingerprints
//!   Ranges: those that differ, split again ──▶
//!                                          ◀──  …
//!   Ranges: small ones, item by item       ──▶
//!                                          ◀──  Ranges: what is wanted of the sender
//! ```
//!
//! An *item* is an object or a tombstone: its key, and a hash of its clock (see [`canonical`]). The items of a collection are in two
//! *parts*: its objects in the order of their keys, and its tombstones in the order of their keys' codes, which are the orders in which
//! the storage gives them. So a range is read page by page, whenever it is needed, and nobody holds a list of all items.
//!
//! A range that an answer does not mention is equal on both sides. The larger the set, the more messages: one
//! for each factor of 17 to 32.

mod canonical;
mod compare;
mod comparison;
mod fingerprint;
mod message;
mod pending;
mod reading;
mod scan;
mod share;
#[cfg(test)]
#[cfg(not(target_family = "wasm"))]
mod tests;

use storex_core::Key;

use crate::error::Result;
use crate::key_code;

pub use compare::Compared;
pub(super) use compare::{answer, ask};
pub(crate) use message::{Message, Opening};
pub(crate) use share::Share;

const DURING: &str = "comparing what both devices hold";

/// A range of so many items or fewer is told item by item.
const LIST: usize = 32;

/// Where an item stands in its part. Within one part all are of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spot {
    /// An object, by its key.
    Row(Key),
    /// A tombstone, by the code of its key. The bound of a range may be a piece of a code.
    Tombstone(Vec<u8>),
}

/// Whether a part holds tombstones: the parts of a collection follow each other, its objects first.
fn holds_tombstones(part: usize) -> bool {
    part % 2 == 1
}

impl Spot {
    /// Its form in a message.
    fn code(&self) -> Vec<u8> {
        match self {
            Self::Row(key) => key_code::encode(key.values()),
            Self::Tombstone(code) => code.clone(),
        }
    }

    fn decode(part: usize, code: &[u8]) -> Result<Self> {
        Ok(match holds_tombstones(part) {
            true => Self::Tombstone(code.to_vec()),
            false => Self::Row(key_code::decode(code)?),
        })
    }

    /// The shortest bound that we find between two neighbours: not before the first, and before the second.
    fn between(first: &Self, second: &Self) -> Self {
        let short = match (first, second) {
            (Self::Tombstone(a), Self::Tombstone(b)) => {
                let end = differs_at(a, b) + 1;
                b.get(..end).filter(|it| it.len() < b.len()).map(|it| Self::Tombstone(it.to_vec()))
            }
            (Self::Row(a), Self::Row(b)) => a.as_text().zip(b.as_text()).and_then(|(a, b)| {
                let at = differs_at(a.as_bytes(), b.as_bytes());
                let end = (at + 1..b.len()).find(|end| b.is_char_boundary(*end))?;
                b.get(..end).map(|it| Self::Row(Key::single(it)))
            }),
            _ => None,
        };
        short.unwrap_or_else(|| first.clone())
    }
}

/// The first place at which two differ, or at which the first ends.
fn differs_at(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// What an item comes to: equal on two devices that hold the same of it.
type Hash = [u8; 16];

/// An object or a tombstone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) spot: Spot,
    pub(crate) hash: Hash,
}

/// The places behind `lower`, up to `upper` and with it; without a bound, to the end of the part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) lower: Option<Spot>,
    pub(crate) upper: Option<Spot>,
}

/// What of a part is to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Picked {
    /// All of these spans.
    pub(crate) spans: Vec<Span>,
    /// And the items with these keys, by their codes.
    pub(crate) codes: Vec<Vec<u8>>,
}

impl Picked {
    /// Puts the spans in order, so that nothing is in two of them: the other side may ask for the same again and again.
    fn merge_spans(&mut self) {
        let mut spans = std::mem::take(&mut self.spans);
        spans.sort_by(|a, b| a.lower.cmp(&b.lower));
        for span in spans {
            match self.spans.last_mut() {
                // Without an upper bound the last one goes to the end.
                Some(Span { upper: None, .. }) => break,
                Some(last) if span.lower <= last.upper => {
                    let ends = span.upper.is_none() || span.upper > last.upper;
                    if ends {
                        last.upper = span.upper;
                    }
                }
                _ => self.spans.push(span),
            }
        }
    }

    fn add(&mut self, span: Span) {
        match self.spans.last_mut() {
            Some(last) if last.upper.is_some() && last.upper == span.lower => {
                last.upper = span.upper
            }
            _ => self.spans.push(span),
        }
    }
}

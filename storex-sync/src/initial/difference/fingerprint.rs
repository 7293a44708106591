//! Fingerprints of ranges, and how a range is split.

use sha2::{Digest, Sha256};

use super::{Hash, Item, LIST, Span, Spot};

/// A range is split into so many at most, and into more than half of them unless it is small.
const WAYS: usize = 32;

/// The least items of a range that another is split into: the fingerprints of fewer take as many bytes as themselves.
const LEAST: u64 = 8;

/// What a range holds, in short: equal where the same is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) hash: Hash,
    pub(crate) count: u64,
}

/// The sum of the hashes of items, in whatever order they came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    sum: u128,
    count: u64,
}

impl Tally {
    fn add(&mut self, hash: &Hash) {
        self.join(Self { sum: u128::from_be_bytes(*hash), count: 1 });
    }

    fn join(&mut self, other: Self) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.count = self.count.saturating_add(other.count);
    }

    /// The sum is hashed once more, together with the count: what is told lets nobody calculate with it.
    pub(super) fn fingerprint(self) -> Fingerprint {
        let hash = Sha256::new().chain_update(self.sum.to_be_bytes());
        let hash = hash.chain_update(self.count.to_be_bytes()).finalize();
        Fingerprint { hash: truncated(&hash), count: self.count }
    }
}

/// The first 16 bytes.
pub(super) fn truncated(hash: &[u8]) -> Hash {
    let mut short = Hash::default();
    short.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    short
}

/// A range, gone through once: its fingerprint, and those of the ranges it is split into by equal counts. Takes memory for a few dozen
/// items, however many it sees.
#[derive(Debug)]
pub(super) struct Summary {
    total: Tally,
    /// All items, as long as they are few.
    items: Vec<Item>,
    buckets: Vec<Bucket>,
    /// Items in each bucket but the last.
    size: u64,
}

#[derive(Debug)]
struct Bucket {
    tally: Tally,
    first: Spot,
    last: Spot,
}

impl Default for Summary {
    fn default() -> Self {
        Self { total: Tally::default(), items: Vec::new(), buckets: Vec::new(), size: 1 }
    }
}

impl Summary {
    /// Takes the next item, in order.
    pub(super) fn add(&mut self, item: Item) {
        self.total.add(&item.hash);
        if self.count() <= LIST as u64 {
            self.items.push(item.clone());
        } else {
            self.items.clear();
        }
        match self.buckets.last_mut() {
            Some(last) if last.tally.count < self.size => {
                last.tally.add(&item.hash);
                last.last = item.spot;
            }
            _ => {
                if self.buckets.len() == WAYS {
                    self.halve();
                }
                let mut tally = Tally::default();
                tally.add(&item.hash);
                self.buckets.push(Bucket { tally, first: item.spot.clone(), last: item.spot });
            }
        }
    }

    /// Joins each two neighbours.
    fn halve(&mut self) {
        let mut joined: Vec<Bucket> = Vec::with_capacity(WAYS);
        for (n, bucket) in std::mem::take(&mut self.buckets).into_iter().enumerate() {
            match joined.last_mut() {
                Some(last) if n % 2 == 1 => {
                    last.tally.join(bucket.tally);
                    last.last = bucket.last;
                }
                _ => joined.push(bucket),
            }
        }
        self.buckets = joined;
        self.size = self.size.saturating_mul(2);
    }

    pub(super) fn count(&self) -> u64 {
        self.total.count
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.total.fingerprint()
    }

    /// The items, if they are few.
    pub(super) fn few(&self) -> Option<&[Item]> {
        (self.count() <= LIST as u64).then_some(self.items.as_slice())
    }

    /// The ranges that the range is split into: up to where each goes, and its fingerprint.
    pub(super) fn split(mut self, whole: &Span) -> Vec<(Option<Spot>, Fingerprint)> {
        while self.size < LEAST {
            self.halve();
        }
        let next = self.buckets.iter().skip(1).map(Some).chain([None]);
        let ranges = self.buckets.iter().zip(next);
        let upper = |(bucket, next): (&Bucket, Option<&Bucket>)| match next {
            Some(next) => (Some(Spot::between(&bucket.last, &next.first)), bucket.tally),
            None => (whole.upper.clone(), bucket.tally),
        };
        ranges.map(upper).map(|(upper, tally)| (upper, tally.fingerprint())).collect()
    }
}

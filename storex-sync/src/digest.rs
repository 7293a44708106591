//! [`Digest`]: whether two devices really hold the same.

use std::fmt;
use std::sync::Arc;

use storex_core::{Collection, Name, Query, Record};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{During, Result};
use crate::meta::Numbers;
use crate::pack::Packer;
use crate::sync::Sync;

/// How many objects are read at once.
const PAGE: u64 = 1000;

/// A fingerprint of what a device holds: equal on two devices that hold the same objects with the same values, however they
/// came to it.
///
/// Per collection it is the sum of a hash of each object (XXH3, 128 bits), so the order does not matter. It tells mistakes
/// from their absence; it is no proof against somebody who looks for objects with the same sum.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digest {
    /// In the order of the names; what is kept local is not among them.
    pub collections: Vec<CollectionDigest>,
}

/// A fingerprint of the objects of one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionDigest {
    /// The collection.
    pub collection: Name,
    /// How many objects it holds.
    pub objects: u64,
    /// The sum of their hashes.
    pub sum: u128,
}

impl Digest {
    /// The collections in which two devices differ, or that only one of them has.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Name> {
        let lacks = |all: &Self, one: &CollectionDigest| !all.collections.contains(one);
        let here = self.collections.iter().filter(|one| lacks(other, one));
        let there = other.collections.iter().filter(|one| lacks(self, one));
        let mut names: Vec<Name> =
            here.chain(there).map(|it| Name::clone(&it.collection)).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// One line per collection, short enough to be compared by eye.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.collections
            .iter()
            .try_for_each(|it| writeln!(f, "{} {} {:032x}", it.collection, it.objects, it.sum))
    }
}

impl Sync {
    /// A fingerprint of what this device holds. It reads everything, page by page; what is written meanwhile may be in it or
    /// not, so compare devices that are at rest.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use storex_core::{Definition, FieldType, Registry, Storage};
    /// # use storex_memory::{MemoryBackend, TestRuntime};
    /// # use storex_sync::{LogId, MemorySharedLog, Sync, SyncLog};
    /// # async fn device(seed: u64) -> Storage {
    /// #     let note = Definition::new("note").field("title", FieldType::String);
    /// #     let registry = Registry::builder().collection(note).build().unwrap();
    /// #     Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(seed)))
    /// #         .middleware(SyncLog::new()).open().await.unwrap()
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
    /// # let (storage, other) = (device(1).await, device(2).await);
    /// # storage.dynamic("note")?.create(serde_json::json!({"id": "1", "title": "Hello"})).await?;
    /// let (a, b) = (Sync::open(&storage, log.clone()).await?, Sync::open(&other, log).await?);
    /// assert_eq!(a.digest().await?.differences(&b.digest().await?), ["note".into()]);
    /// a.sync_once().await?;
    /// b.sync_once().await?;
    /// assert_eq!(a.digest().await?, b.digest().await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SyncError::Storage`](crate::SyncError::Storage).
    pub async fn digest(&self) -> Result<Digest> {
        let registry = self.replica.storage.registry();
        let all = registry.collections().iter();
        let synced = all.filter_map(|it| Some((it, self.replica.numbers.get(it.name())?)));
        let mut digest = Digest::default();
        for (collection, numbers) in synced {
            digest.collections.push(self.digest_of(collection, numbers).await?);
        }
        digest.collections.sort_by(|a, b| a.collection.cmp(&b.collection));
        Ok(digest)
    }

    async fn digest_of(
        &self,
        collection: &Arc<Collection>,
        numbers: &Numbers,
    ) -> Result<CollectionDigest> {
        let name = Name::clone(collection.name());
        let mut query = Query::new(Name::clone(&name)).limit(PAGE);
        let mut digest = CollectionDigest { collection: name, objects: 0, sum: 0 };
        loop {
            let found = self.replica.storage.find(query.clone()).await;
            let found = found.during("reading what this device holds")?;
            for record in &found {
                digest.objects += 1;
                digest.sum =
                    digest.sum.wrapping_add(xxh3_128(&bytes_of(collection, numbers, record)));
            }
            match found.last() {
                Some(last) if found.len() as u64 == PAGE => {
                    query.after = Some(query.position_of(collection, last));
                }
                _ => return Ok(digest),
            }
        }
    }
}

/// The fields that have a value, by name: two schemas may have them in another order, and a field that one does not have is
/// as one without a value.
fn bytes_of(collection: &Collection, numbers: &Numbers, record: &Record) -> Vec<u8> {
    let fields =
        numbers.synced().filter_map(|at| Some((collection.fields().get(at)?, record.get(at))));
    let mut fields: Vec<_> = fields.collect();
    fields.retain(|(_, value)| !value.is_null());
    fields.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let mut packer = Packer::default();
    for (field, value) in fields {
        packer.str(&field.name);
        packer.value(value);
    }
    packer.out
}

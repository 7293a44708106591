//! The sealed keys of a log in an object store: objects that are written once, under a name that tells a checksum. Of two with one
//! name, which only devices can make that write at the same time, the one with the lower checksum is given.

use async_trait::async_trait;

use super::ObjectSharedLog;
use super::names::Name;
use crate::bytes::checksum;
use crate::error::{Result, SyncError};
use crate::shared_log::{SealedKeyName, SealedKeys};

const READING: &str = "reading the keys in the shared log";

#[async_trait]
impl SealedKeys for ObjectSharedLog {
    async fn names(&self) -> Result<Vec<SealedKeyName>> {
        let listing = self.objects.list_keys().await?;
        let mut names: Vec<_> = listing.keys.iter().map(|(name, _)| *name).collect();
        names.dedup();
        Ok(names)
    }

    async fn get(&self, name: SealedKeyName) -> Result<Option<Vec<u8>>> {
        let listing = self.objects.list_keys().await?;
        for (name, sum) in listing.keys_named(name) {
            let object = Name::Key(name, sum);
            match self.objects.get(object, READING).await? {
                Some(bytes) if checksum([&bytes[..]]) == sum => return Ok(Some(bytes)),
                _ => tracing::warn!(%object, "it has not arrived whole yet, or is damaged"),
            }
        }
        Ok(None)
    }

    async fn put(&self, name: SealedKeyName, bytes: &[u8]) -> Result<()> {
        let listing = self.objects.list_keys().await?;
        let sum = checksum([bytes]);
        if listing.keys_named(name).any(|(_, other)| other != sum) {
            return Err(SyncError::KeyExists { name });
        }
        // Also where it is there: it may not be whole.
        let during = "writing a key into the shared log";
        self.objects.put(Name::Key(name, sum), bytes.to_vec(), during).await
    }
}

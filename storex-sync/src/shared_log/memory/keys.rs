//! The sealed keys of a log in memory.

use async_trait::async_trait;

use super::MemorySharedLog;
use crate::error::{Result, SyncError};
use crate::shared_log::{SealedKeyName, SealedKeys};

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SealedKeys for MemorySharedLog {
    async fn names(&self) -> Result<Vec<SealedKeyName>> {
        Ok(self.lock().keys.keys().copied().collect())
    }

    async fn get(&self, name: SealedKeyName) -> Result<Option<Vec<u8>>> {
        Ok(self.lock().keys.get(&name).cloned())
    }

    async fn put(&self, name: SealedKeyName, bytes: &[u8]) -> Result<()> {
        let mut state = self.lock();
        let there = state.keys.entry(name).or_insert_with(|| bytes.to_vec());
        match there == bytes {
            true => Ok(()),
            false => Err(SyncError::KeyExists { name }),
        }
    }
}

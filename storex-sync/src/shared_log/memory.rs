//! [`MemorySharedLog`]: the reference.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{Cursor, LogId, Page, SealedTransaction, SharedSyncLog};
use crate::error::{Result, SyncError};
use crate::stamp::Device;

/// A log in memory, for tests and for devices in one process.
#[derive(Debug)]
pub struct MemorySharedLog {
    id: LogId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    transactions: Vec<SealedTransaction>,
    last: HashMap<Device, u64>,
    acknowledged: HashMap<Device, u64>,
}

impl MemorySharedLog {
    /// An empty log with this identity.
    #[must_use]
    pub fn new(id: LogId) -> Self {
        Self { id, state: Mutex::default() }
    }

    /// How many transactions it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().transactions.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg_attr(not(target_family = "wasm"), async_trait)]
#[cfg_attr(target_family = "wasm", async_trait(?Send))]
impl SharedSyncLog for MemorySharedLog {
    async fn register(&self, device: Device) -> Result<LogId> {
        self.lock().acknowledged.entry(device).or_default();
        Ok(self.id)
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        let mut state = self.lock();
        let mut fresh = Vec::new();
        let mut last = HashMap::new();
        for transaction in transactions {
            let SealedTransaction { device, sequence, .. } = *transaction;
            let stored = state.last.get(&device).copied().unwrap_or(0);
            let known = last.entry(device).or_insert(stored);
            if sequence <= stored {
                let same = state.transactions.contains(transaction);
                if !same {
                    return Err(SyncError::Forked { device, sequence });
                }
                continue;
            }
            if sequence != *known + 1 {
                return Err(SyncError::Gap { device, expected: *known + 1, found: sequence });
            }
            *known = sequence;
            fresh.push(transaction.clone());
        }
        state.transactions.extend(fresh);
        state.last.extend(last);
        Ok(())
    }

    async fn read(&self, reader: Device, after: &Cursor, limit: usize) -> Result<Page> {
        let state = self.lock();
        let mut at = usize::try_from(after.position()?).unwrap_or(usize::MAX);
        let mut transactions = Vec::new();
        let mut bytes = 0;
        while let Some(transaction) = state.transactions.get(at) {
            if transaction.device != reader {
                if !transactions.is_empty() && bytes + transaction.payload.len() > limit {
                    break;
                }
                bytes += transaction.payload.len();
                transactions.push(transaction.clone());
            }
            at += 1;
        }
        let more = at < state.transactions.len();
        Ok(Page { log: self.id, transactions, cursor: Cursor::at(at as u64), more })
    }

    async fn acknowledge(&self, reader: Device, cursor: &Cursor) -> Result<()> {
        let position = cursor.position()?;
        let mut state = self.lock();
        let known = state.acknowledged.entry(reader).or_default();
        *known = (*known).max(position);
        Ok(())
    }
}

//! A log that lies, loses answers, or lets something happen meanwhile.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storex_core::BoxFuture;
use storex_sync::{
    Cursor, Device as DeviceId, LogId, Member, MemorySharedLog, Page, Result, SealedKeyName,
    SealedKeys, SealedTransaction, SharedSyncLog, SyncError, Trimmed,
};

/// What happens to a key that is left in it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Put {
    /// It never arrives.
    Fail,
    /// It arrives, but the answer is lost.
    DropAnswer,
}

#[derive(Default)]
struct State {
    lies: bool,
    given: Vec<SealedTransaction>,
    puts: VecDeque<Put>,
    after_names: Option<BoxFuture<'static, ()>>,
}

pub(super) struct Wrapped {
    inner: Arc<MemorySharedLog>,
    state: Mutex<State>,
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapped").finish_non_exhaustive()
    }
}

impl Wrapped {
    pub(super) fn new(inner: &Arc<MemorySharedLog>) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), state: Mutex::default() })
    }

    /// From now on it says that it has each transaction already, and another one.
    pub(super) fn lie(&self) {
        self.state.lock().unwrap().lies = true;
    }

    /// What it was given since it lies.
    pub(super) fn given(&self) -> Vec<SealedTransaction> {
        self.state.lock().unwrap().given.clone()
    }

    pub(super) fn on_put(&self, put: Put) {
        self.state.lock().unwrap().puts.push_back(put);
    }

    /// Behind the next list of keys, before it arrives.
    pub(super) fn after_names(&self, happens: impl Future<Output = ()> + Send + 'static) {
        self.state.lock().unwrap().after_names = Some(Box::pin(happens));
    }
}

fn lost() -> SyncError {
    SyncError::Transport { during: "a test", reason: "lost".to_owned() }
}

#[async_trait]
impl SharedSyncLog for Wrapped {
    async fn register(&self, device: DeviceId) -> Result<LogId> {
        self.inner.register(device).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        {
            let mut state = self.state.lock().unwrap();
            if state.lies {
                state.given.extend_from_slice(transactions);
                let (device, found) = (transactions[0].device, transactions[0].sequence);
                return Err(match found {
                    0..1000 => SyncError::Forked { device, sequence: found },
                    _ => SyncError::Gap { device, expected: 1000, found },
                });
            }
        }
        self.inner.append(transactions).await
    }

    async fn read(&self, reader: DeviceId, after: &Cursor, limit: usize) -> Result<Page> {
        self.inner.read(reader, after, limit).await
    }

    async fn acknowledge(&self, reader: DeviceId, cursor: &Cursor) -> Result<()> {
        self.inner.acknowledge(reader, cursor).await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.inner.members().await
    }

    async fn dismiss(&self, device: DeviceId) -> Result<bool> {
        self.inner.dismiss(device).await
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        self.inner.reidentify(known).await
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.inner.trim().await
    }

    fn keys(&self) -> Option<&dyn SealedKeys> {
        Some(self)
    }
}

#[async_trait]
impl SealedKeys for Wrapped {
    async fn names(&self) -> Result<Vec<SealedKeyName>> {
        let names = self.inner.keys().unwrap().names().await;
        let happens = self.state.lock().unwrap().after_names.take();
        if let Some(happens) = happens {
            happens.await;
        }
        names
    }

    async fn get(&self, name: SealedKeyName) -> Result<Option<Vec<u8>>> {
        self.inner.keys().unwrap().get(name).await
    }

    async fn put(&self, name: SealedKeyName, bytes: &[u8]) -> Result<()> {
        let put = self.state.lock().unwrap().puts.pop_front();
        match put {
            None => self.inner.keys().unwrap().put(name, bytes).await,
            Some(Put::Fail) => Err(lost()),
            Some(Put::DropAnswer) => {
                self.inner.keys().unwrap().put(name, bytes).await?;
                Err(lost())
            }
        }
    }
}

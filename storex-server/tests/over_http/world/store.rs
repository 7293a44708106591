//! [`SwitchedStore`]: a store that fails, and forgets, when a test says so.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storex_core::Timestamp;
use storex_memory::{MemoryBackend, TestRuntime};
use storex_server::{BackendStore, DeviceId, DeviceInfo, Result, ServerError, Store, User};
use storex_sync::{BlobStore, SharedSyncLog};

/// A store in memory that fails, and forgets, when a test says so.
#[derive(Debug)]
pub struct SwitchedStore {
    inner: Mutex<Arc<BackendStore>>,
    pub fails: AtomicBool,
}

async fn empty(seed: u64) -> Arc<BackendStore> {
    let runtime = Arc::new(TestRuntime::new(seed));
    Arc::new(BackendStore::open(MemoryBackend::new(), runtime).await.unwrap())
}

impl SwitchedStore {
    pub async fn new() -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(empty(100).await), fails: AtomicBool::new(false) })
    }

    /// Everything that it kept is lost.
    pub async fn wipe(&self, seed: u64) {
        let empty = empty(seed).await;
        *self.inner.lock().unwrap() = empty;
    }

    pub async fn log_of(&self, user: &str) -> Arc<dyn SharedSyncLog> {
        self.inner().log(&User::new(user).unwrap()).await.unwrap()
    }

    fn inner(&self) -> Arc<BackendStore> {
        Arc::clone(&self.inner.lock().unwrap())
    }

    fn look(&self) -> Result<Arc<BackendStore>> {
        if self.fails.load(SeqCst) {
            let (during, reason) = ("asking the database", "it is away".to_owned());
            return Err(ServerError::Store { during, reason, retryable: true });
        }
        Ok(self.inner())
    }
}

#[async_trait]
impl Store for SwitchedStore {
    async fn log(&self, user: &User) -> Result<Arc<dyn SharedSyncLog>> {
        self.look()?.log(user).await
    }

    async fn blobs(&self, user: &User) -> Result<Arc<dyn BlobStore>> {
        self.look()?.blobs(user).await
    }

    async fn devices(&self, user: &User) -> Result<Vec<DeviceInfo>> {
        self.look()?.devices(user).await
    }

    async fn note_device(
        &self,
        user: &User,
        device: DeviceId,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<DeviceInfo> {
        self.look()?.note_device(user, device, name, now).await
    }

    async fn revoke(&self, user: &User, device: DeviceId, now: Timestamp) -> Result<()> {
        self.look()?.revoke(user, device, now).await
    }

    async fn ready(&self) -> Result<()> {
        self.look()?.ready().await
    }
}

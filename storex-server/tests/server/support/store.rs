//! [`TestStore`]: logs in memory, which can be told to fail.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storex_core::Timestamp;
use storex_server::{DeviceId, DeviceInfo, Result, ServerError, Store, User};
use storex_sync::{BlobStore, LogId, MemoryBlobStore, MemorySharedLog, SharedSyncLog};
use tokio::sync::{broadcast, oneshot};

/// Logs in memory.
#[derive(Debug)]
pub struct TestStore {
    logs: Mutex<HashMap<User, Arc<MemorySharedLog>>>,
    blobs: Mutex<HashMap<User, Arc<MemoryBlobStore>>>,
    devices: Mutex<Vec<(User, DeviceInfo)>>,
    /// Up to when unfinished blobs were to be dropped.
    pub dropped_before: Mutex<Vec<Timestamp>>,
    /// Whether everything fails, until further notice.
    pub fails: AtomicBool,
    /// The next answer about a device is told that it is there, and waits until it is let go.
    pub hold: Mutex<Option<Hold>>,
    revocations: broadcast::Sender<(User, DeviceId)>,
}

/// See [`TestStore::hold`].
#[derive(Debug)]
pub struct Hold {
    pub holds: oneshot::Sender<()>,
    pub go_on: oneshot::Receiver<()>,
}

impl Default for TestStore {
    fn default() -> Self {
        Self {
            logs: Mutex::default(),
            blobs: Mutex::default(),
            dropped_before: Mutex::default(),
            devices: Mutex::default(),
            fails: AtomicBool::new(false),
            hold: Mutex::default(),
            revocations: broadcast::Sender::new(8),
        }
    }
}

impl TestStore {
    pub fn log_of(&self, user: &str) -> Arc<MemorySharedLog> {
        let mut logs = self.logs.lock().unwrap();
        let next = logs.len() as u8 + 1;
        let log = logs.entry(User::new(user).unwrap());
        log.or_insert_with(|| Arc::new(MemorySharedLog::new(LogId([next; 16])))).clone()
    }

    pub fn blobs_of(&self, user: &str) -> Arc<MemoryBlobStore> {
        let mut blobs = self.blobs.lock().unwrap();
        Arc::clone(blobs.entry(User::new(user).unwrap()).or_default())
    }

    fn noted(
        &self,
        user: &User,
        device: DeviceId,
        name: Option<&str>,
        now: Timestamp,
    ) -> DeviceInfo {
        let mut devices = self.devices.lock().unwrap();
        let known = devices.iter_mut().find(|(of, it)| of == user && it.id == device);
        let Some((_, info)) = known else {
            let name = name.unwrap_or_default().to_owned();
            let info = DeviceInfo {
                id: device,
                name,
                registered_at: now,
                last_seen: now,
                revoked_at: None,
            };
            devices.push((user.clone(), info.clone()));
            return info;
        };
        info.last_seen = now;
        if let Some(name) = name {
            info.name = name.to_owned();
        }
        info.clone()
    }

    fn check(&self) -> Result<()> {
        if self.fails.load(SeqCst) {
            let reason = "password authentication failed for 10.0.0.7".to_owned();
            return Err(ServerError::Store {
                during: "asking the database",
                reason,
                retryable: true,
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Store for TestStore {
    async fn log(&self, user: &User) -> Result<Arc<dyn SharedSyncLog>> {
        self.check()?;
        Ok(self.log_of(user.as_str()))
    }

    async fn blobs(&self, user: &User) -> Result<Arc<dyn BlobStore>> {
        self.check()?;
        Ok(self.blobs_of(user.as_str()))
    }

    async fn drop_unfinished_blobs(&self, before: Timestamp) -> Result<u64> {
        self.dropped_before.lock().unwrap().push(before);
        Ok(0)
    }

    async fn devices(&self, user: &User) -> Result<Vec<DeviceInfo>> {
        self.check()?;
        let devices = self.devices.lock().unwrap();
        Ok(devices.iter().filter(|(of, _)| of == user).map(|(_, it)| it.clone()).collect())
    }

    async fn note_device(
        &self,
        user: &User,
        device: DeviceId,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<DeviceInfo> {
        self.check()?;
        let info = self.noted(user, device, name, now);
        let hold = self.hold.lock().unwrap().take();
        if let Some(Hold { holds, go_on }) = hold {
            holds.send(()).unwrap();
            go_on.await.unwrap();
        }
        Ok(info)
    }

    async fn revoke(&self, user: &User, device: DeviceId, now: Timestamp) -> Result<()> {
        self.check()?;
        self.noted(user, device, None, now);
        let mut devices = self.devices.lock().unwrap();
        for (_, info) in devices.iter_mut().filter(|(of, it)| of == user && it.id == device) {
            info.revoked_at.get_or_insert(now);
        }
        let _ = self.revocations.send((user.clone(), device));
        Ok(())
    }

    fn revocations(&self) -> Option<broadcast::Receiver<(User, DeviceId)>> {
        Some(self.revocations.subscribe())
    }

    async fn ready(&self) -> Result<()> {
        self.check()
    }
}

//! [`BesideObjects`]: a store beside which objects hold what is large.

use std::sync::Arc;

use async_trait::async_trait;
use storex_core::Timestamp;
use storex_sync::{BlobStore, SharedSyncLog};
use tokio::sync::broadcast;

use super::Objects;
use crate::error::Result;
use crate::store::{DeviceId, DeviceInfo, Store};
use crate::user::User;

#[derive(Debug)]
pub(super) struct BesideObjects {
    store: Arc<dyn Store>,
    objects: Objects,
}

impl BesideObjects {
    pub(super) fn new(store: Arc<dyn Store>, objects: Objects) -> Self {
        Self { store, objects }
    }
}

#[async_trait]
impl Store for BesideObjects {
    async fn log(&self, user: &User) -> Result<Arc<dyn SharedSyncLog>> {
        Ok(self.objects.log(user, self.store.log(user).await?))
    }

    async fn blobs(&self, user: &User) -> Result<Arc<dyn BlobStore>> {
        Ok(self.objects.blobs_beside(user, self.store.blobs(user).await?))
    }

    async fn drop_unfinished_blobs(&self, before: Timestamp) -> Result<u64> {
        self.store.drop_unfinished_blobs(before).await
    }

    async fn devices(&self, user: &User) -> Result<Vec<DeviceInfo>> {
        self.store.devices(user).await
    }

    async fn note_device(
        &self,
        user: &User,
        device: DeviceId,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<DeviceInfo> {
        self.store.note_device(user, device, name, now).await
    }

    async fn revoke(&self, user: &User, device: DeviceId, now: Timestamp) -> Result<()> {
        self.store.revoke(user, device, now).await
    }

    fn revocations(&self) -> Option<broadcast::Receiver<(User, DeviceId)>> {
        self.store.revocations()
    }

    async fn ready(&self) -> Result<()> {
        self.store.ready().await
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

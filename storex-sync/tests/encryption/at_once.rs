//! Two devices that make the first key at the same moment.

use std::sync::Arc;

use async_trait::async_trait;
use storex_sync::{
    Cursor, Device as DeviceId, EncryptedSharedLog, LogId, Member, MemorySharedLog, Page, Result,
    SealedKeyName, SealedKeys, SealedTransaction, SharedSyncLog, Trimmed,
};

use super::{FIRST, SECOND, by, current, passphrase, runtime};
use crate::support::{Device, assert_in_step, shared_log};

/// A log whose lists of keys take a while to arrive.
#[derive(Debug)]
struct Slow(Arc<MemorySharedLog>);

#[async_trait]
impl SharedSyncLog for Slow {
    async fn register(&self, device: DeviceId) -> Result<LogId> {
        self.0.register(device).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        self.0.append(transactions).await
    }

    async fn read(&self, reader: DeviceId, after: &Cursor, limit: usize) -> Result<Page> {
        self.0.read(reader, after, limit).await
    }

    async fn acknowledge(&self, reader: DeviceId, cursor: &Cursor) -> Result<()> {
        self.0.acknowledge(reader, cursor).await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.0.members().await
    }

    async fn dismiss(&self, device: DeviceId) -> Result<bool> {
        self.0.dismiss(device).await
    }

    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        self.0.reidentify(known).await
    }

    async fn trim(&self) -> Result<Trimmed> {
        self.0.trim().await
    }

    fn keys(&self) -> Option<&dyn SealedKeys> {
        Some(self)
    }
}

#[async_trait]
impl SealedKeys for Slow {
    async fn names(&self) -> Result<Vec<SealedKeyName>> {
        let names = self.0.keys().unwrap().names().await;
        tokio::task::yield_now().await;
        names
    }

    async fn get(&self, name: SealedKeyName) -> Result<Option<Vec<u8>>> {
        self.0.keys().unwrap().get(name).await
    }

    async fn put(&self, name: SealedKeyName, bytes: &[u8]) -> Result<()> {
        self.0.keys().unwrap().put(name, bytes).await
    }
}

/// Where a log shows what was left in it, nobody has to type anything for it.
#[tokio::test]
async fn both_read_the_other_without_being_asked() {
    for seed in 0..8 {
        let log = Arc::new(Slow(shared_log()));
        let access = by(FIRST);
        let (first, second) = tokio::join!(
            EncryptedSharedLog::create(log.clone(), &access, runtime(seed)),
            EncryptedSharedLog::create(log.clone(), &access, runtime(seed + 100)),
        );
        let (on_a, on_b) = (Arc::new(first.unwrap()), Arc::new(second.unwrap()));
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        a.note("1", "from A").await;
        b.note("2", "from B").await;
        for _ in 0..2 {
            a.sync(&on_a).await;
            b.sync(&on_b).await;
        }
        assert_in_step(&[&a, &b]).await;
        // The next rotation has both before it.
        on_a.rotate(&by(SECOND)).await.unwrap();
        on_b.unlock(&passphrase(SECOND)).await.unwrap();
        assert_eq!(current(&on_a), current(&on_b));
    }
}

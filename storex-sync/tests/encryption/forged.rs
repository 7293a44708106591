//! What the log changes, takes for another or makes up.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storex_sync::{
    Cursor, Device as DeviceId, LogId, Member, MemorySharedLog, Page, Result, SealedKeys,
    SealedTransaction, SharedSyncLog, SyncError, Trimmed,
};

use super::{create, with_ring};
use crate::support::{Device, assert_in_step, dump_all, parked_count, shared_log};

type Change = fn(&mut Vec<SealedTransaction>);

/// A log that does something with what it gives.
#[derive(Debug)]
struct Dishonest {
    inner: Arc<MemorySharedLog>,
    change: Mutex<Option<Change>>,
}

impl Dishonest {
    fn new(inner: Arc<MemorySharedLog>) -> Arc<Self> {
        Arc::new(Self { inner, change: Mutex::new(None) })
    }
}

#[async_trait]
impl SharedSyncLog for Dishonest {
    async fn register(&self, device: DeviceId) -> Result<LogId> {
        self.inner.register(device).await
    }

    async fn append(&self, transactions: &[SealedTransaction]) -> Result<()> {
        self.inner.append(transactions).await
    }

    async fn read(&self, reader: DeviceId, after: &Cursor, limit: usize) -> Result<Page> {
        let mut page = self.inner.read(reader, after, limit).await?;
        if let Some(change) = *self.change.lock().unwrap() {
            change(&mut page.transactions);
        }
        Ok(page)
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
        self.inner.keys()
    }
}

/// What a log may do with three transactions of one device.
const CHANGES: [(&str, Change); 9] = [
    ("the last byte", |all| *all[1].payload.last_mut().unwrap() ^= 1),
    ("the mark", |all| all[1].payload[0] ^= 1),
    ("the version", |all| all[1].payload[1] += 1),
    ("the nonce", |all| all[1].payload[20] ^= 0x80),
    ("the contents", |all| all[1].payload[60] ^= 0x10),
    ("cut off", |all| all[1].payload.truncate(50)),
    ("longer", |all| all[1].payload.push(0)),
    ("one for another", |all| {
        let first = all[0].payload.clone();
        all[0].payload = std::mem::replace(&mut all[1].payload, first);
    }),
    ("another's", |all| all.iter_mut().for_each(|it| it.device.incarnation += 1)),
];

#[tokio::test]
async fn is_told_with_device_and_number_and_nothing_is_applied() {
    let log = shared_log();
    let on_a = create(&log, 11).await;
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 1..=3 {
        a.note(&n.to_string(), "of A").await;
    }
    a.sync(&on_a).await;
    let whose = a.join(&on_a).await.device().await.unwrap();
    let dishonest = Dishonest::new(log);
    let on_b = with_ring(&dishonest, &on_a.key_ring(), 12);
    let sync = b.join(&on_b).await;
    for (what, change) in CHANGES {
        *dishonest.change.lock().unwrap() = Some(change);
        sync.sync_once().await.unwrap_err();
        let before = dump_all(&b).await;
        let error = sync.sync_once().await.unwrap_err();
        assert!(matches!(error, SyncError::NotAuthentic { .. }), "{what}: {error}");
        let text = error.to_string();
        let id = whose.to_string();
        assert!(text.contains(&id) && text.contains("transaction "), "{what}: {text}");
        assert_eq!(dump_all(&b).await, before, "{what}");
        assert_eq!((b.title("1").await, parked_count(&b).await), (None, 0), "{what}");
    }
    *dishonest.change.lock().unwrap() = None;
    sync.sync_once().await.unwrap();
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test]
async fn an_unknown_key_is_told_as_such() {
    let log = shared_log();
    let on_a = create(&log, 11).await;
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "of A").await;
    a.sync(&on_a).await;
    let dishonest = Dishonest::new(log);
    *dishonest.change.lock().unwrap() = Some(|all| all[0].payload[5] ^= 1);
    let on_b = with_ring(&dishonest, &on_a.key_ring(), 12);
    let error = b.join(&on_b).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownKey { .. }), "{error}");
}

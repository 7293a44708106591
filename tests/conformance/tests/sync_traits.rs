//! The suites for shared logs, channels and blob stores on the implementations that storex-sync brings along.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::sync::Arc;

use futures_util::future::join;
use storex_conformance::blob_store::BlobHarness;
use storex_conformance::channel::{ChannelHarness, Ends};
use storex_conformance::shared_log::LogHarness;
use storex_conformance::{
    CaseRuntime, WithNeighbours, blob_store_conformance, channel_conformance,
    shared_log_conformance,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    BackendSharedLog, BackendSharedLogs, BlobStore, Cursor, Device, DeviceKey, EncryptedBlobStore,
    EncryptedSharedLog, KeyRing, LogId, MemoryBlobStore, MemoryChannel, MemorySharedLog, Pairing,
    PairingCode, SealedTransaction, SecureChannel, SharedSyncLog,
};

mod c51_memory_log {
    use super::*;

    fn memory() -> LogHarness {
        LogHarness::in_memory(|n| {
            Box::pin(async move {
                let id = LogId([u8::try_from(n).unwrap(); 16]);
                Arc::new(MemorySharedLog::new(id)) as Arc<dyn SharedSyncLog>
            })
        })
    }

    shared_log_conformance!(memory);

    #[tokio::test]
    async fn it_has_one_order() {
        super::keeps_one_order(&*memory().log().await).await;
    }
}

mod c51_log_in_the_memory_backend {
    use super::*;

    fn backend() -> LogHarness {
        LogHarness::in_memory(|n| {
            Box::pin(async move {
                let runtime = Arc::new(CaseRuntime::new(n));
                let log = BackendSharedLog::open(MemoryBackend::new(), runtime).await.unwrap();
                Arc::new(log) as Arc<dyn SharedSyncLog>
            })
        })
    }

    shared_log_conformance!(backend);

    #[tokio::test]
    async fn it_has_one_order() {
        super::keeps_one_order(&*backend().log().await).await;
    }
}

mod one_of_many_logs_in_the_memory_backend {
    use super::*;

    /// The logs of a case are in one database, each among names that are like its own.
    fn backend() -> LogHarness {
        let database = Arc::new(MemoryBackend::new());
        LogHarness::in_memory(move |n| {
            let database = Arc::clone(&database);
            Box::pin(async move {
                let runtime = Arc::new(CaseRuntime::new(n));
                let logs = BackendSharedLogs::open(database, runtime).await.unwrap();
                let log = |name: String| Arc::new(logs.log(name)) as Arc<dyn SharedSyncLog>;
                let neighbours =
                    ["", "ad", "ada ", "ada%", "adb"].map(|it| log(format!("{n}{it}")));
                let log = log(format!("{n}ada"));
                Arc::new(WithNeighbours::new(log, neighbours)) as Arc<dyn SharedSyncLog>
            })
        })
    }

    shared_log_conformance!(backend);

    #[tokio::test]
    async fn it_has_one_order() {
        super::keeps_one_order(&*backend().log().await).await;
    }
}

mod encrypted_memory_log {
    use super::*;

    fn encrypted() -> LogHarness {
        LogHarness::in_memory(|n| {
            Box::pin(async move {
                let runtime = Arc::new(CaseRuntime::new(n));
                let log = Arc::new(MemorySharedLog::new(LogId([u8::try_from(n).unwrap(); 16])));
                let keys = KeyRing::generate(&*runtime);
                Arc::new(EncryptedSharedLog::new(log, keys, runtime)) as Arc<dyn SharedSyncLog>
            })
        })
        .weighing(EncryptedSharedLog::encrypted_len)
    }

    shared_log_conformance!(encrypted);

    #[tokio::test]
    async fn it_has_one_order() {
        super::keeps_one_order(&*encrypted().log().await).await;
    }
}

/// More than a shared log has to: all devices read in the order of the appends.
async fn keeps_one_order(log: &dyn SharedSyncLog) {
    let mut expected = Vec::new();
    for sequence in 1..=3 {
        for n in [2, 1] {
            let device = Device { id: [n; 16], incarnation: 0 };
            let payload = vec![n];
            expected.push(SealedTransaction { device, sequence, payload });
            log.append(&expected[expected.len() - 1..]).await.unwrap();
        }
    }
    let reader = Device { id: [3; 16], incarnation: 0 };
    let page = log.read(reader, &Cursor::default(), 1 << 20).await.unwrap();
    assert_eq!(page.transactions, expected);
}

mod c51_memory_channel {
    use super::*;

    fn memory() -> ChannelHarness {
        ChannelHarness::new(|| {
            Box::pin(async {
                let (here, there) = MemoryChannel::pair();
                let ends: Ends = (Box::new(here), Box::new(there));
                ends
            })
        })
    }

    channel_conformance!(memory);
}

mod secure_channel {
    use super::*;

    /// In a channel in memory.
    fn secure() -> ChannelHarness {
        ChannelHarness::new(|| {
            Box::pin(async {
                let runtime = Arc::new(TestRuntime::new(1));
                let (here, there) = MemoryChannel::pair();
                let mut pairing = Pairing::new(runtime.clone());
                let code: PairingCode = pairing.code().to_string().parse().unwrap();
                let host = DeviceKey::generate(&*runtime);
                let guest = DeviceKey::generate(&*runtime);
                let guest = SecureChannel::pair(there, &code, &guest, runtime.clone());
                let (here, there) = join(pairing.accept(here, &host), guest).await;
                let ends: Ends = (Box::new(here.unwrap()), Box::new(there.unwrap()));
                ends
            })
        })
    }

    channel_conformance!(secure);
}

mod encrypted_blob_store {
    use super::*;

    fn encrypted() -> BlobHarness {
        let store = Arc::new(MemoryBlobStore::new());
        let keys = KeyRing::generate(&TestRuntime::new(1));
        BlobHarness::new(move || {
            // Another device each time.
            let runtime = Arc::new(TestRuntime::new(2));
            let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
            let log = Arc::new(EncryptedSharedLog::new(log, keys.clone(), runtime));
            let store = Arc::new(EncryptedBlobStore::new(Arc::clone(&store) as _, log));
            Box::pin(async move { store as Arc<dyn BlobStore> })
        })
        .encrypts()
    }

    blob_store_conformance!(encrypted);
}

mod memory_blob_store {
    use super::*;

    fn memory() -> BlobHarness {
        let store = Arc::new(MemoryBlobStore::new());
        BlobHarness::new(move || {
            let store: Arc<dyn BlobStore> = Arc::clone(&store) as _;
            Box::pin(async move { store })
        })
    }

    blob_store_conformance!(memory);
}

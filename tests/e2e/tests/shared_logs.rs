//! The suite of all shared logs on those that are on a disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::sync::Arc;

use storex_conformance::shared_log::LogHarness;
use storex_conformance::shared_log_conformance;
use storex_core::TokioRuntime;
use storex_sync::SharedSyncLog;

mod c51_in_a_sqlite_file {
    use super::*;
    use serde_json::json;
    use storex_core::{Definition, Error, FieldType, Registry, Storage};
    use storex_sqlite::SqliteBackend;
    use storex_sync::BackendSharedLog;

    fn sqlite() -> LogHarness {
        let folder = tempfile::tempdir().unwrap();
        LogHarness::new(move |n| {
            let backend = SqliteBackend::open(folder.path().join(format!("{n}.db"))).unwrap();
            Box::pin(async move {
                let log = BackendSharedLog::open(backend, Arc::new(TokioRuntime)).await.unwrap();
                Arc::new(log) as Arc<dyn SharedSyncLog>
            })
        })
    }

    shared_log_conformance!(sqlite);

    /// The transactions of a log from before there were many in a database.
    fn former_registry() -> Registry {
        let transactions = Definition::new("shared_transaction")
            .field("position", FieldType::Int)
            .field("device", FieldType::Binary)
            .field("incarnation", FieldType::Int)
            .field("sequence", FieldType::Int)
            .field("transaction", FieldType::Binary)
            .primary_key(["position"])
            .unique(["device", "incarnation", "sequence"]);
        Registry::builder().collection(transactions).build().unwrap()
    }

    #[tokio::test]
    async fn a_log_from_before_there_were_names_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let runtime = Arc::new(TokioRuntime);
        let former = async || {
            let backend = SqliteBackend::open(&path).unwrap();
            Storage::builder(backend, former_registry(), runtime.clone()).open().await.unwrap()
        };
        let written = json!({
            "position": 1, "device": "AQ==", "incarnation": 0, "sequence": 1, "transaction": "AQ==",
        });
        let storage = former().await;
        storage.dynamic("shared_transaction").unwrap().create(written.clone()).await.unwrap();
        storage.close().await.unwrap();
        let backend = SqliteBackend::open(&path).unwrap();
        let error = BackendSharedLog::open(backend, runtime.clone()).await.unwrap_err();
        let refused = error.storage_error();
        assert!(matches!(refused, Some(Error::SchemaMismatch { .. })), "{refused:?}");
        let storage = former().await;
        let rows = storage.dynamic("shared_transaction").unwrap().find(&json!({})).await.unwrap();
        assert_eq!(rows, [written]);
        storage.close().await.unwrap();
    }
}

mod one_of_many_in_a_sqlite_file {
    use super::*;
    use std::time::Duration;
    use storex_conformance::WithNeighbours;
    use storex_sqlite::{Durability, SqliteBackend};
    use storex_sync::{BackendSharedLogs, Cursor, Device, SealedTransaction};

    async fn open(path: &std::path::Path) -> BackendSharedLogs {
        let backend = SqliteBackend::builder(path).durability(Durability::Normal).build().unwrap();
        BackendSharedLogs::open(backend, Arc::new(TokioRuntime)).await.unwrap()
    }

    /// All logs of a case are in one file, which is opened once more for each.
    fn sqlite() -> LogHarness {
        let folder = tempfile::tempdir().unwrap();
        LogHarness::new(move |n| {
            let path = folder.path().join("logs.db");
            Box::pin(async move {
                let logs = open(&path).await;
                let log = |name: String| Arc::new(logs.log(name)) as Arc<dyn SharedSyncLog>;
                let neighbours = ["", "u", "U0", "u_", "u%", "u0 "].map(str::to_owned).map(log);
                let log = log(format!("u{n}"));
                Arc::new(WithNeighbours::new(log, neighbours)) as Arc<dyn SharedSyncLog>
            })
        })
    }

    shared_log_conformance!(sqlite);

    #[tokio::test]
    async fn what_another_program_appends_is_told_to_those_who_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs.db");
        let (here, there) = (open(&path).await, open(&path).await);
        let device = |n| Device { id: [n; 16], incarnation: 0 };
        let (ada, bob) = (here.log("ada"), here.log("bob"));
        let nothing = Cursor::default();
        let append = async {
            let transaction =
                SealedTransaction { device: device(1), sequence: 1, payload: vec![1] };
            there.log("ada").append(&[transaction]).await.unwrap();
        };
        let of_bob = bob.changed(device(2), &nothing);
        tokio::pin!(of_bob);
        tokio::select! {
            _ = &mut of_bob => panic!("nothing was appended to this one"),
            told = futures_util::future::join(ada.changed(device(2), &nothing), append) => {
                told.0.unwrap();
            }
        }
        let more = tokio::time::timeout(Duration::from_millis(1), of_bob).await;
        assert!(more.is_err(), "nothing was appended to this one");
        here.close().await.unwrap();
        there.close().await.unwrap();
    }
}

/// Databases that were made before a row told how large its transaction is.
mod from_before_there_were_sizes {
    use super::*;
    use storex_core::{Batch, Definition, FieldType, Record, Registry, Step, Storage, Value};
    use storex_memory::MemoryBackend;
    use storex_sqlite::SqliteBackend;
    use storex_sync::{BackendSharedLogs, Cursor, Device, SealedTransaction, SyncError};

    const LIMIT: usize = 250_000;

    fn device(n: u8) -> Device {
        Device { id: [n; 16], incarnation: 0 }
    }

    fn of_bytes(sequence: u64, bytes: usize) -> SealedTransaction {
        SealedTransaction { device: device(1), sequence, payload: vec![sequence as u8; bytes] }
    }

    /// Small ones, and those of which two fit into a page.
    fn transactions() -> Vec<SealedTransaction> {
        (1..=90).map(|at| of_bytes(at, if at % 9 == 0 { 100_000 } else { 33 })).collect()
    }

    /// As they were, of what an append writes.
    fn former() -> Registry {
        let transactions = Definition::new("shared_transaction")
            .field("log", FieldType::String)
            .field("position", FieldType::Int)
            .field("device", FieldType::Binary)
            .field("incarnation", FieldType::Int)
            .field("sequence", FieldType::Int)
            .field("transaction", FieldType::Blob)
            .primary_key(["log", "position"])
            .unique(["log", "device", "incarnation", "sequence"]);
        let devices = Definition::new("shared_device")
            .field("log", FieldType::String)
            .field("device", FieldType::Binary)
            .field("incarnation", FieldType::Int)
            .field("last_sequence", FieldType::Int)
            .field("acknowledged", FieldType::Int)
            .field("member", FieldType::Boolean)
            .field("floor", FieldType::Int)
            .primary_key(["log", "device", "incarnation"]);
        let identities = Definition::new("shared_log")
            .field("name", FieldType::String)
            .field("id", FieldType::Binary)
            .primary_key(["name"]);
        let all = [transactions, devices, identities];
        Registry::builder().collections(all).build().unwrap()
    }

    /// Writes the log `ada`; `size`: what stands in front of a transaction.
    async fn fill(storage: &Storage, size: Option<Value>) {
        let device = || Value::Bytes(device(1).id.to_vec());
        let rows =
            transactions().into_iter().map(|SealedTransaction { sequence, payload, .. }| {
                let at = || Value::Int(sequence as i64);
                let before = [Value::from("ada"), at(), device(), Value::Int(0), at()];
                Record::new(
                    before.into_iter().chain(size.clone()).chain([Value::Bytes(payload)]).collect(),
                )
            });
        let (last, zero) = (Value::Int(transactions().len() as i64), || Value::Int(0));
        let author =
            vec![Value::from("ada"), device(), zero(), last, zero(), Value::Bool(false), zero()];
        let identity = vec![Value::from("ada"), Value::Bytes(vec![9; 16])];
        let written = Batch::new()
            .step(Step::create("shared_transaction", rows.collect()))
            .step(Step::create("shared_device", vec![Record::new(author)]))
            .step(Step::create("shared_log", vec![Record::new(identity)]));
        storage.execute(written).await.unwrap();
    }

    /// Everything, in pages that are no longer than they may be; and its end.
    async fn read(log: &impl SharedSyncLog) -> (Vec<SealedTransaction>, Cursor) {
        let (mut cursor, mut found) = (Cursor::default(), Vec::new());
        loop {
            let page = log.read(device(2), &cursor, LIMIT).await.unwrap();
            let bytes: usize = page.transactions.iter().map(|it| it.payload.len()).sum();
            assert!(bytes <= LIMIT, "{bytes}");
            (cursor, _) = (page.cursor, found.extend(page.transactions));
            if !page.more {
                return (found, cursor);
            }
        }
    }

    async fn works(logs: BackendSharedLogs) {
        let (log, mut all) = (logs.log("ada"), transactions());
        assert_eq!(read(&log).await.0, all);
        let page = log.read(device(2), &Cursor::at(8), 10).await.unwrap();
        assert_eq!((page.transactions.len(), page.more), (1, true), "it is larger than a page");
        // What comes again is compared with what is there.
        log.append(&all).await.unwrap();
        for (at, another) in [(8, of_bytes(9, 33)), (16, of_bytes(17, 33)), (89, of_bytes(90, 33))]
        {
            let mut sent = all.clone();
            sent[at].payload = another.payload;
            sent[at].payload[0] ^= 1;
            let forked = log.append(&sent).await.unwrap_err();
            let expected = at as u64 + 1;
            assert!(
                matches!(forked, SyncError::Forked { sequence, .. } if sequence == expected),
                "{forked}"
            );
        }
        // Behind it comes what tells its size.
        all.extend((91..=100).map(|at| of_bytes(at, if at % 2 == 0 { 100_000 } else { 0 })));
        log.append(&all[80..]).await.unwrap();
        log.append(&all).await.unwrap();
        let (found, end) = read(&log).await;
        assert_eq!(found, all);
        log.acknowledge(device(2), &Cursor::at(50)).await.unwrap();
        assert_eq!(log.trim().await.unwrap().transactions, 50);
        log.append(&all).await.unwrap();
        let new = log.read(device(3), &Cursor::default(), LIMIT).await;
        assert!(matches!(new, Err(SyncError::BelowFloor { .. })), "{new:?}");
        log.acknowledge(device(2), &end).await.unwrap();
        assert_eq!(log.trim().await.unwrap().transactions, 49);
        log.append(&[of_bytes(101, 5)]).await.unwrap();
        let page = log.read(device(2), &end, LIMIT).await.unwrap();
        assert_eq!(page.transactions, [of_bytes(101, 5)]);
        assert_eq!(logs.names(None, 10).await.unwrap(), ["ada"]);
        logs.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_sqlite_file_is_brought_along() {
        let folder = tempfile::tempdir().unwrap();
        let (path, runtime) = (folder.path().join("logs.db"), Arc::new(TokioRuntime));
        let backend = SqliteBackend::open(&path).unwrap();
        let storage = Storage::builder(backend, former(), runtime.clone()).open().await.unwrap();
        fill(&storage, None).await;
        storage.close().await.unwrap();
        let backend = SqliteBackend::open(&path).unwrap();
        works(BackendSharedLogs::open(backend, runtime).await.unwrap()).await;
        // Where a file that is made now has it in front of the transaction.
        let file = rusqlite::Connection::open(&path).unwrap();
        let last = "SELECT name FROM pragma_table_info('shared_transaction') ORDER BY cid DESC";
        let last: String = file.query_row(last, [], |row| row.get(0)).unwrap();
        assert_eq!(last, "bytes");
    }

    /// Nothing outlives a program there; a storage of others may have brought such rows along.
    #[tokio::test]
    async fn rows_without_sizes_in_memory() {
        let registry = Registry::builder().collections(BackendSharedLogs::collections());
        let (registry, runtime) = (registry.build().unwrap(), Arc::new(TokioRuntime));
        let storage = Storage::builder(MemoryBackend::new(), registry, runtime).open().await;
        let storage = storage.unwrap();
        fill(&storage, Some(Value::Null)).await;
        works(BackendSharedLogs::over(&storage).unwrap()).await;
    }
}

mod c51_in_a_folder {
    use super::*;
    use storex_sync::ObjectSharedLog;

    fn folder() -> LogHarness {
        let folder = tempfile::tempdir().unwrap();
        LogHarness::new(move |n| {
            let path = folder.path().join(n.to_string());
            Box::pin(async move {
                std::fs::create_dir_all(&path).unwrap();
                let log = ObjectSharedLog::in_folder(path, Arc::new(TokioRuntime)).await.unwrap();
                Arc::new(log) as Arc<dyn SharedSyncLog>
            })
        })
        .silent()
    }

    shared_log_conformance!(folder);
}

mod encrypted_in_a_folder {
    use super::*;
    use storex_sync::{EncryptedSharedLog, KeyRing, ObjectSharedLog};

    /// The keys are kept: what is opened again has them.
    fn encrypted() -> LogHarness {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyRing::generate(&TokioRuntime);
        LogHarness::new(move |n| {
            let (path, keys) = (folder.path().join(n.to_string()), keys.clone());
            Box::pin(async move {
                std::fs::create_dir_all(&path).unwrap();
                let runtime = Arc::new(TokioRuntime);
                let log = ObjectSharedLog::in_folder(path, runtime.clone()).await.unwrap();
                let log = EncryptedSharedLog::new(Arc::new(log), keys, runtime);
                Arc::new(log) as Arc<dyn SharedSyncLog>
            })
        })
        .silent()
        .weighing(EncryptedSharedLog::encrypted_len)
    }

    shared_log_conformance!(encrypted);
}

mod c51_in_an_object_store {
    use super::*;
    use storex_sync::ObjectSharedLog;
    use storex_sync::object_store::ObjectStore;
    use storex_sync::object_store::memory::InMemory;
    use storex_sync::object_store::prefix::PrefixStore;

    /// Two logs under prefixes of one store.
    fn memory() -> LogHarness {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        LogHarness::new(move |n| {
            let prefixed = PrefixStore::new(Arc::clone(&store), format!("logs/{n}"));
            Box::pin(async move {
                let runtime = Arc::new(TokioRuntime);
                let log = ObjectSharedLog::open(Arc::new(prefixed), runtime).await.unwrap();
                Arc::new(log) as Arc<dyn SharedSyncLog>
            })
        })
        .silent()
    }

    shared_log_conformance!(memory);
}

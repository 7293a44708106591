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

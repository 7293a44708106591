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
    use storex_core::{Definition, FieldOption, FieldType, Registry, Storage, Value};
    use storex_sqlite::SqliteBackend;
    use storex_sync::{
        BackendSharedLog, Cursor, Device, LogId, SealedKeyName, Snapshot, SnapshotId,
    };

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

    /// The collections of a log from before there were snapshots.
    fn former_registry() -> Registry {
        let defaults = |value| [FieldOption::Default(value)];
        Registry::builder()
            .collection(
                Definition::new("shared_transaction")
                    .field("position", FieldType::Int)
                    .field("device", FieldType::Binary)
                    .field("incarnation", FieldType::Int)
                    .field("sequence", FieldType::Int)
                    .field("transaction", FieldType::Binary)
                    .primary_key(["position"])
                    .unique(["device", "incarnation", "sequence"]),
            )
            .collection(
                Definition::new("shared_device")
                    .field("device", FieldType::Binary)
                    .field("incarnation", FieldType::Int)
                    .field("last_sequence", FieldType::Int)
                    .field("acknowledged", FieldType::Int)
                    .field_with("member", FieldType::Boolean, defaults(Value::Bool(true)))
                    .field_with("floor", FieldType::Int, defaults(Value::Int(0)))
                    .primary_key(["device", "incarnation"]),
            )
            .collection(
                Definition::new("shared_log")
                    .field("name", FieldType::String)
                    .field("id", FieldType::Binary)
                    .primary_key(["name"]),
            )
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn a_log_from_before_there_were_snapshots_and_keys_gets_some() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let runtime = Arc::new(TokioRuntime);
        let backend = SqliteBackend::open(&path).unwrap();
        let former = Storage::builder(backend, former_registry(), runtime.clone());
        let former = former.open().await.unwrap();
        let id = json!({"name": "log", "id": "BwcHBwcHBwcHBwcHBwcHBw=="});
        former.dynamic("shared_log").unwrap().create(id).await.unwrap();
        former.close().await.unwrap();
        let backend = SqliteBackend::open(&path).unwrap();
        let log = BackendSharedLog::open(backend, runtime).await.unwrap();
        let maker = Device { id: [1; 16], incarnation: 0 };
        assert_eq!(log.register(maker).await.unwrap(), LogId([7; 16]));
        let snapshots = log.snapshots().unwrap();
        assert_eq!(snapshots.published().await.unwrap(), None);
        let id = SnapshotId { maker, number: 1 };
        snapshots.put_page(id, 0, b"a page").await.unwrap();
        let snapshot = Snapshot { id, pages: 1, place: Cursor::default() };
        assert!(snapshots.publish(&snapshot).await.unwrap());
        assert_eq!(snapshots.published().await.unwrap(), Some(snapshot));
        let (keys, name) = (log.keys().unwrap(), SealedKeyName([1; 16]));
        keys.put(name, b"a sealed key").await.unwrap();
        assert_eq!(keys.names().await.unwrap(), [name]);
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

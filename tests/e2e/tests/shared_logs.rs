//! The suite of all shared logs on those that are on a disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::sync::Arc;

use storex_conformance::shared_log::LogHarness;
use storex_conformance::shared_log_conformance;
use storex_core::TokioRuntime;
use storex_sync::SharedSyncLog;

mod in_a_sqlite_file {
    use super::*;
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
}

mod in_a_folder {
    use super::*;
    use storex_sync::ObjectSharedLog;

    fn folder() -> LogHarness {
        let folder = tempfile::tempdir().unwrap();
        LogHarness::new(move |n| {
            let path = folder.path().join(n.to_string());
            Box::pin(async move {
                let log = ObjectSharedLog::in_folder(path, Arc::new(TokioRuntime)).await.unwrap();
                Arc::new(log) as Arc<dyn SharedSyncLog>
            })
        })
        .silent()
    }

    shared_log_conformance!(folder);
}

mod in_an_object_store {
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

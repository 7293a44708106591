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

//! The suite of all shared logs on one in IndexedDB.
#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used, clippy::arc_with_non_send_sync)] // these are tests, in one thread
#![allow(missing_docs)]

use std::sync::Arc;

use storex_conformance::shared_log::LogHarness;
use storex_conformance::shared_log_conformance;
use storex_core::{Runtime, WebRuntime};
use storex_indexeddb::IndexedDbBackend;
use storex_sync::{BackendSharedLog, SharedSyncLog};

/// Databases of its own for each case.
fn indexeddb() -> LogHarness {
    let mut case = [0; 8];
    WebRuntime.fill_random(&mut case);
    let case = u64::from_be_bytes(case);
    LogHarness::new(move |n| {
        Box::pin(async move {
            let backend = IndexedDbBackend::open(format!("shared-log-{case:016x}-{n}")).unwrap();
            let log = BackendSharedLog::open(backend, Arc::new(WebRuntime)).await.unwrap();
            Arc::new(log) as Arc<dyn SharedSyncLog>
        })
    })
}

shared_log_conformance!(indexeddb);

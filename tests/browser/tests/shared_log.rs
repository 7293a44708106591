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

/// A database of its own for each case.
fn indexeddb() -> LogHarness {
    LogHarness::new(|| {
        Box::pin(async {
            let mut name = [0; 8];
            WebRuntime.fill_random(&mut name);
            let name = format!("shared-log-{:016x}", u64::from_be_bytes(name));
            let backend = IndexedDbBackend::open(name).unwrap();
            let log = BackendSharedLog::open(backend, Arc::new(WebRuntime)).await.unwrap();
            Arc::new(log) as Arc<dyn SharedSyncLog>
        })
    })
}

shared_log_conformance!(indexeddb);

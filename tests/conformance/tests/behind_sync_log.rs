//! Nothing that an application sees is different behind [`SyncLog`].
#![allow(missing_docs)]

use storex_conformance::{Harness, backend_conformance, scripts};
use storex_memory::MemoryBackend;
use storex_sync::SyncLog;

fn memory() -> Harness {
    Harness::new(MemoryBackend::new).middleware(SyncLog::new)
}

backend_conformance!(memory);

#[tokio::test]
async fn scripts_tell_no_storage_with_a_log_from_one_without() {
    scripts::run(|| Harness::new(MemoryBackend::new), memory).await;
}

//! Random scripts of operations: SQLite tells the same as memory.
#![allow(missing_docs)]

use storex_conformance::{Harness, scripts};
use storex_memory::MemoryBackend;
use storex_sqlite::SqliteBackend;

#[tokio::test]
async fn sqlite_does_as_memory_does() {
    let sqlite = || {
        let dir = tempfile::tempdir().unwrap();
        Harness::new(move || SqliteBackend::builder(dir.path().join("test.db")).build().unwrap())
    };
    scripts::run(|| Harness::new(MemoryBackend::new), sqlite).await;
}

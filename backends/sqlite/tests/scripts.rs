//! Random scripts of operations: SQLite tells the same as memory.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)] // these are tests

use storex_conformance::{Harness, scripts, stock};
use storex_memory::MemoryBackend;
use storex_sqlite::SqliteBackend;

fn sqlite() -> Harness {
    let dir = tempfile::tempdir().unwrap();
    Harness::new(move || SqliteBackend::builder(dir.path().join("test.db")).build().unwrap())
}

#[tokio::test]
async fn sqlite_does_as_memory_does() {
    scripts::run(|| Harness::new(MemoryBackend::new), sqlite).await;
}

/// Observers are told exactly what the scripts change.
#[tokio::test]
async fn sqlite_tells_observers_exactly_what_it_changes() {
    let observed = || stock::exact_images(stock::all(sqlite()));
    scripts::run(|| Harness::new(MemoryBackend::new), observed).await;
}

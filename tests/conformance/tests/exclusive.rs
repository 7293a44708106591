//! One syncer at a time, by each of the means that native programs have.
#![allow(clippy::unwrap_used, clippy::expect_used)] // these are tests
#![allow(missing_docs)]

use std::sync::Arc;

use storex_conformance::exclusive::ExclusiveHarness;
use storex_conformance::exclusive_conformance;
use storex_core::{Definition, FieldType, Registry, Storage};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{Exclusive, LeaseTimes, SyncLog};

/// The databases of a case.
#[derive(Clone)]
struct Databases {
    backends: [Arc<MemoryBackend>; 2],
    runtime: Arc<TestRuntime>,
}

impl Databases {
    fn new() -> Self {
        Self { backends: [Arc::default(), Arc::default()], runtime: Arc::new(TestRuntime::new(1)) }
    }

    /// As another program opens it.
    async fn open(self, database: u64) -> Storage {
        let backend = Arc::clone(&self.backends[usize::try_from(database).unwrap()]);
        let note = Definition::new("note").field("title", FieldType::String);
        let registry = Registry::builder().collection(note).build().unwrap();
        let storage = Storage::builder(backend, registry, self.runtime);
        storage.middleware(SyncLog::new()).open().await.unwrap()
    }
}

fn lease() -> ExclusiveHarness {
    let databases = Databases::new();
    ExclusiveHarness::new(databases.runtime.clone(), move |database| {
        let storage = databases.clone().open(database);
        Box::pin(
            async move { Exclusive::lease(&storage.await, LeaseTimes::default()).await.unwrap() },
        )
    })
}

/// The lock files of a case go with the folder.
fn file() -> ExclusiveHarness {
    let (databases, folder) = (Databases::new(), tempfile::tempdir().unwrap());
    ExclusiveHarness::new(databases.runtime.clone(), move |database| {
        let storage = databases.clone().open(database);
        let lock = folder.path().join(format!("{database}.lock"));
        Box::pin(async move { Exclusive::file(&storage.await, lock).await.unwrap() })
    })
}

mod c28_by_a_lease {
    super::exclusive_conformance!(super::lease);
}

mod c28_by_a_file {
    super::exclusive_conformance!(super::file);
}

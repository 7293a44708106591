//! What the tests share.
#![allow(dead_code)] // each test file uses a part of it

use std::path::PathBuf;
use std::sync::Arc;

use storex_core::{Backend, Batch, BatchOutcome, Key, Query, Record, Registry, Result, Value};
use storex_memory::MemoryBackend;
use storex_sqlite::SqliteBackend;
use tempfile::TempDir;

pub(crate) fn key(value: impl Into<Value>) -> Key {
    Key::single(value)
}

pub(crate) fn record(values: impl IntoIterator<Item = Value>) -> Record {
    Record::new(values.into_iter().collect())
}

/// A SQLite backend and its oracle.
pub(crate) struct Pair {
    pub(crate) registry: Arc<Registry>,
    pub(crate) sqlite: SqliteBackend,
    pub(crate) memory: MemoryBackend,
    pub(crate) dir: TempDir,
}

impl Pair {
    pub(crate) async fn open(registry: Registry) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Arc::new(registry);
        let sqlite = SqliteBackend::open(dir.path().join("test.db")).unwrap();
        sqlite.open(Arc::clone(&registry)).await.unwrap();
        let memory = MemoryBackend::new();
        memory.open(Arc::clone(&registry)).await.unwrap();
        Self { registry, sqlite, memory, dir }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("test.db")
    }

    /// Executes on both; they must do the same, or refuse with the same words.
    pub(crate) async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        let expected = self.memory.execute(batch.clone()).await;
        let got = self.sqlite.execute(batch).await;
        match (&expected, &got) {
            (Ok(expected), Ok(got)) => {
                let outcomes = |it: &BatchOutcome| {
                    it.executed().iter().map(|it| it.outcome.clone()).collect::<Vec<_>>()
                };
                assert_eq!(outcomes(got), outcomes(expected));
            }
            (Err(expected), Err(got)) => assert_eq!(got.to_string(), expected.to_string()),
            (expected, got) => panic!("memory: {expected:?}\nsqlite: {got:?}"),
        }
        for collection in self.registry.collections() {
            self.same_set(Query::new(collection.name().clone())).await;
        }
        got
    }

    pub(crate) async fn same(&self, query: Query) -> Vec<Record> {
        let expected = self.memory.find(query.clone()).await.unwrap();
        let got = self.sqlite.find(query.clone()).await.unwrap();
        assert_eq!(got, expected, "{query:?}");
        assert_eq!(
            self.sqlite.count(query.clone()).await.unwrap(),
            expected.len() as u64,
            "{query:?}"
        );
        got
    }

    /// The same objects, in whatever order.
    pub(crate) async fn same_set(&self, query: Query) {
        let collection = self.registry.collection(&query.collection).unwrap();
        let sorted = |mut records: Vec<Record>| {
            records.sort_by_cached_key(|record| collection.key_of(record));
            records
        };
        let expected = sorted(self.memory.find(query.clone()).await.unwrap());
        let got = sorted(self.sqlite.find(query.clone()).await.unwrap());
        assert_eq!(got, expected, "{query:?}");
        assert_eq!(
            self.sqlite.count(query.clone()).await.unwrap(),
            expected.len() as u64,
            "{query:?}"
        );
    }

    /// Walks the whole result page by page.
    pub(crate) async fn same_pages(&self, query: Query, size: u64) {
        let collection = self.registry.collection(&query.collection).unwrap();
        let whole = self.same(query.clone().limit(1_000_000)).await;
        let mut paged = Vec::new();
        let mut next = query.clone().limit(size);
        loop {
            let page = self.same(next.clone()).await;
            let Some(last) = page.last() else { break };
            next = query.clone().limit(size).after(query.position_of(collection, last));
            paged.extend(page);
        }
        assert_eq!(paged, whole, "{query:?}");
    }
}

//! Operations that only one backend has (storex-facts 1.15, cases 6 to 10).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use storex_core::{
    Backend, Batch, BatchOutcome, Capabilities, CustomOperation, Definition, ErrorKind, Query,
    Record, Registry, Result, Storage,
};
use storex_memory::{MemoryBackend, TestRuntime};

/// A backend with one operation of its own, and what was asked of it.
#[derive(Debug, Default)]
struct WithCheck {
    inner: MemoryBackend,
    asked: Arc<Mutex<Vec<CustomOperation>>>,
}

#[async_trait]
impl Backend for WithCheck {
    fn name(&self) -> &'static str {
        "checked"
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::default().custom_operations(&["check"])
    }
    async fn open(&self, registry: Arc<Registry>) -> Result<()> {
        self.inner.open(registry).await
    }
    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        self.inner.find(query).await
    }
    async fn count(&self, query: Query) -> Result<u64> {
        self.inner.count(query).await
    }
    async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        self.inner.execute(batch).await
    }
    async fn custom(&self, operation: CustomOperation) -> Result<Json> {
        let answer = json!({ "checked": operation.arguments });
        self.asked.lock().unwrap().push(operation);
        Ok(answer)
    }
    async fn flush(&self) -> Result<()> {
        self.inner.flush().await
    }
    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[tokio::test]
async fn one_that_is_listed_is_done_and_no_other() {
    let backend = WithCheck::default();
    let asked = Arc::clone(&backend.asked);
    let registry = Registry::builder().collection(Definition::new("a")).build().unwrap();
    let runtime = Arc::new(TestRuntime::new(1));
    let storage = Storage::builder(backend, registry, runtime).open().await.unwrap();
    let answer = storage.custom("check", json!({ "deep": true })).await.unwrap();
    assert_eq!(answer, json!({ "checked": { "deep": true } }));
    for name in ["chec", "check ", "Check", ""] {
        let error = storage.custom(name, json!(null)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("checked"), "{error}");
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1, "what is not listed does not reach the backend");
    assert_eq!(&*asked[0].name, "check");
}

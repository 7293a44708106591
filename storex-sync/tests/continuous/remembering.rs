//! The status while it is being noted.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use storex_core::{
    AutoPk, Backend, Batch, BatchOutcome, Capabilities, Query, Record, Registry, Storage,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{ContinuousSync, Sync, SyncLog};
use tokio::time::sleep;

use crate::support::place::{Place, StartIn};
use crate::support::{schema, shared_log};
use crate::{LONG, SECOND, exchanged, let_run};

/// A database that takes a second to note what is remembered of the status.
#[derive(Debug)]
struct Slow(MemoryBackend);

#[async_trait]
impl Backend for Slow {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn open(&self, registry: Arc<Registry>) -> storex_core::Result<()> {
        self.0.open(registry).await
    }

    async fn find(&self, query: Query) -> storex_core::Result<Vec<Record>> {
        self.0.find(query).await
    }

    async fn count(&self, query: Query) -> storex_core::Result<u64> {
        self.0.count(query).await
    }

    async fn execute(&self, batch: Batch) -> storex_core::Result<BatchOutcome> {
        if format!("{batch:?}").contains("\"status\"") {
            sleep(SECOND).await;
        }
        self.0.execute(batch).await
    }

    async fn flush(&self) -> storex_core::Result<()> {
        self.0.flush().await
    }

    async fn close(&self) -> storex_core::Result<()> {
        self.0.close().await
    }
}

#[tokio::test(start_paused = true)]
async fn c69_what_is_written_while_the_status_is_noted_is_known_at_once() {
    let runtime = Arc::new(TestRuntime::new(1));
    let registry = schema().build().unwrap();
    let storage = Storage::builder(Slow(MemoryBackend::new()), registry, Arc::clone(&runtime) as _)
        .middleware(AutoPk::new())
        .middleware(SyncLog::new());
    let storage = storage.open().await.unwrap();
    let sync = Sync::open(&storage, shared_log()).await.unwrap();
    let builder = ContinuousSync::builder(sync).intervals(LONG, LONG);
    let continuous = builder.start_in(Place::Here).await;
    exchanged(&continuous).await;
    sleep(SECOND * 5).await;
    let in_step = || continuous.status().borrow().in_step;
    assert!(in_step());
    // Long enough for the status to be noted anew, although there was nothing to do.
    runtime.advance(3_600_000);
    let write = async {
        sleep(SECOND / 2).await;
        assert!(in_step(), "the note is being written");
        let note = json!({"id": "n", "title": "x"});
        storage.dynamic("note").unwrap().create(note).await.unwrap();
        let_run().await;
        assert!(!in_step(), "there is something to be sent");
    };
    tokio::join!(exchanged(&continuous), write);
    sleep(SECOND * 5).await;
    assert!(in_step(), "it was sent");
    continuous.stop().await;
}

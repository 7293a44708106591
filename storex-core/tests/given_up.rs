//! Futures that are dropped while the database is at work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use storex_core::{
    Backend, Batch, BatchOutcome, Capabilities, ChangeEvent, Definition, FieldType, ObjectImages,
    Query, Record, Registry, Result, Storage, Value,
};
use storex_memory::{MemoryBackend, TestRuntime};
use tokio::sync::Semaphore;

/// A database that commits at once, and answers only when it is allowed to.
#[derive(Debug)]
struct Slow {
    inner: MemoryBackend,
    answers: Semaphore,
}

#[async_trait]
impl Backend for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
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
        let outcome = self.inner.execute(batch).await;
        self.answers.acquire().await.unwrap().forget();
        outcome
    }

    async fn flush(&self) -> Result<()> {
        self.inner.flush().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

async fn open() -> (Storage, Arc<Slow>) {
    let message = Definition::new("message")
        .field("room", FieldType::String)
        .field("number", FieldType::Int)
        .primary_key(["room", "number"]);
    let registry = Registry::builder().collection(message).build().unwrap();
    let slow = Slow { inner: MemoryBackend::new(), answers: Semaphore::new(0) };
    let (backend, runtime) = (Arc::new(slow), Arc::new(TestRuntime::new(1)));
    let storage = Storage::builder(Arc::clone(&backend), registry, runtime).open().await.unwrap();
    (storage, backend)
}

fn message(number: i64) -> Batch {
    let record = Record::new(vec!["kitchen".into(), Value::Int(number)]);
    Batch::new().create("message", vec![record])
}

/// Polls a future once, and drops it.
fn give_up<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it was given up while the database was at work");
}

#[allow(clippy::disallowed_methods)] // the test's own clock, which stands still
async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(1), future).await.ok()
}

#[tokio::test(start_paused = true)]
async fn what_was_committed_is_told_though_nobody_waits_for_the_answer() {
    let (storage, slow) = open().await;
    let mut news = storage.key_news("message", "kitchen").unwrap();
    let mut changes = storage.changes();
    give_up(storage.execute(message(1)));
    assert_eq!(storage.count(Query::new("message")).await.unwrap(), 1);
    assert_eq!(soon(news.next()).await, None, "the database has not answered");
    slow.answers.add_permits(1);
    assert_eq!(soon(news.next()).await, Some(Some(())));
    let event = soon(changes.next()).await.flatten();
    assert!(matches!(event, Some(ChangeEvent::Changed(_))), "{event:?}");
    give_up(storage.apply(message(2)));
    slow.answers.add_permits(1);
    assert_eq!(soon(news.next()).await, Some(Some(())));
    assert_eq!(soon(news.next()).await, None, "each is told once");
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_what_was_committed_though_nobody_waits_for_the_answer() {
    let (storage, slow) = open().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let sees = Arc::clone(&seen);
    let observer = move |images: &[ObjectImages]| {
        sees.fetch_add(images.len(), Ordering::SeqCst);
    };
    let mut news = storage.key_news("message", "kitchen").unwrap();
    give_up(storage.execute(message(1).observed_by(Arc::new(observer))));
    slow.answers.add_permits(1);
    assert_eq!(soon(news.next()).await, Some(Some(())));
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

/// Nothing is kept alive by what is through.
#[tokio::test(start_paused = true)]
async fn the_storage_is_held_until_the_database_has_answered_and_no_longer() {
    let (storage, slow) = open().await;
    let mut changes = storage.changes();
    give_up(storage.execute(message(1)));
    drop(storage);
    slow.answers.add_permits(1);
    let event = soon(changes.next()).await;
    assert!(matches!(event, Some(Some(ChangeEvent::Changed(_)))), "{event:?}");
    assert_eq!(soon(changes.next()).await, Some(None));
    assert_eq!(Arc::strong_count(&slow), 1);
}

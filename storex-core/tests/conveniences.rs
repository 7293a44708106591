//! Streams that are given up in the middle, and upserts of what a struct does not serialize. The rest is in the suite that
//! every backend passes (`conveniences`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storex_core::{
    AutoPk, Changes, Context, Definition, FieldType, Filter, Middleware, Next, Object, Operation,
    Outcome, Registry, Result, Storage, TypedCollection,
};
use storex_memory::{MemoryBackend, TestRuntime};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Item {
    id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Object for Item {
    const COLLECTION: &'static str = "item";
}

/// Counts the finds, and lets each wait once before it is done.
#[derive(Debug, Clone, Default)]
struct Slow(Arc<AtomicUsize>);

#[async_trait]
impl Middleware for Slow {
    async fn process(
        &self,
        cx: &mut Context,
        operation: Operation,
        next: Next<'_>,
    ) -> Result<Outcome> {
        if matches!(operation, Operation::Find(_)) {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
        let outcome = next.run(cx, operation).await;
        if matches!(outcome, Ok(Outcome::Found(_))) {
            tokio::task::yield_now().await;
        }
        outcome
    }
}

async fn opened(slow: &Slow, count: i64) -> (Storage, TypedCollection<Item>) {
    let definition = Definition::new("item")
        .field("id", FieldType::Int)
        .primary_key(["id"])
        .optional("note", FieldType::String);
    let registry = Registry::builder().collection(definition).build().unwrap();
    let storage = Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
        .middleware(AutoPk::new())
        .middleware(slow.clone())
        .open()
        .await
        .unwrap();
    let items = storage.collection::<Item>().unwrap();
    let all: Vec<Item> = (1..=count).map(|id| Item { id, note: None }).collect();
    items.create_many(&all).await.unwrap();
    (storage, items)
}

/// However often `next` is begun and dropped, no object is lost and none comes twice.
#[tokio::test]
async fn a_stream_that_is_dropped_while_it_waits_goes_on() {
    let (_storage, items) = opened(&Slow::default(), 10).await;
    let mut stream = items.query().stream(2);
    let mut seen = Vec::new();
    let mut given_up = 0;
    loop {
        for polls in 1..=2 {
            let mut next = Box::pin(stream.next());
            let mut cx = TaskContext::from_waker(Waker::noop());
            let mut ready = None;
            for _ in 0..polls {
                if let Poll::Ready(item) = next.as_mut().poll(&mut cx) {
                    ready = Some(item);
                    break;
                }
            }
            match ready {
                Some(Some(item)) => seen.push(item.unwrap().id),
                Some(None) => {}
                None => given_up += 1,
            }
        }
        match stream.next().await {
            Some(item) => seen.push(item.unwrap().id),
            None => break,
        }
    }
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
    assert!(given_up >= 4, "only {given_up} were given up: is this test still testing?");
}

/// One find per page, and none behind the last page or beyond the limit.
#[tokio::test]
async fn a_stream_reads_page_by_page() {
    let slow = Slow::default();
    let (_storage, items) = opened(&slow, 10).await;
    for (limit, size, finds) in [(None, 3, 4), (None, 5, 3), (None, 100, 1), (Some(6), 3, 2)] {
        let before = slow.0.load(Ordering::SeqCst);
        let mut query = items.query();
        if let Some(limit) = limit {
            query = query.limit(limit);
        }
        let mut stream = query.stream(size);
        assert_eq!(slow.0.load(Ordering::SeqCst), before, "nothing is read before it is asked for");
        stream.next().await.unwrap().unwrap();
        assert_eq!(slow.0.load(Ordering::SeqCst), before + 1, "one page");
        while let Some(item) = stream.next().await {
            item.unwrap();
        }
        assert!(stream.next().await.is_none());
        assert_eq!(slow.0.load(Ordering::SeqCst) - before, finds, "pages of {size}");
    }
}

/// A field that the struct does not serialize stays as it is.
#[tokio::test]
async fn an_upsert_changes_what_is_serialized() {
    let (storage, items) = opened(&Slow::default(), 0).await;
    let with = Item { id: 1, note: Some("mine".to_owned()) };
    assert!(items.upsert(&with).await.unwrap());
    assert!(!items.upsert(&Item { id: 1, note: None }).await.unwrap());
    assert_eq!(items.get(1).await.unwrap(), Some(with));
    let objects = storage.dynamic("item").unwrap();
    assert!(!objects.upsert(&json!({ "id": 1, "note": null })).await.unwrap());
    assert_eq!(items.get(1).await.unwrap(), Some(Item { id: 1, note: None }));
}

/// Everything can be spawned on a runtime of many threads.
#[tokio::test]
async fn the_futures_cross_threads() {
    fn crosses<F: Future + Send>(_: F) {}
    let (storage, items) = opened(&Slow::default(), 1).await;
    let objects = storage.dynamic("item").unwrap();
    let item = Item { id: 1, note: None };
    crosses(items.query().stream(1).next());
    crosses(items.upsert(&item));
    crosses(items.update_if(1, Filter::All, Changes::new()));
    crosses(items.update_returning(Filter::All, Changes::new()));
    crosses(items.query().distinct("id"));
    crosses(items.query().sum("id"));
    crosses(objects.aggregate(&json!({})));
    crosses(objects.upsert(&json!({})));
}

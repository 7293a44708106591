//! Writes by others: they are noticed while somebody listens, and nobody looks otherwise; or the backend tells of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use storex_core::{
    Backend, Batch, BatchOutcome, Capabilities, ChangeEvent, ChangeKind, ChangeSet, ChangeSink,
    Definition, FieldType, Key, ObjectChange, Origin, Query, Record, Registry, Result, Storage,
};
use storex_memory::{MemoryBackend, TestRuntime};

/// A database to which somebody else writes.
#[derive(Debug, Default)]
struct Shared {
    inner: MemoryBackend,
    version: AtomicU64,
    looks: AtomicU64,
    sink: Mutex<Option<ChangeSink>>,
}

#[async_trait]
impl Backend for Shared {
    fn name(&self) -> &'static str {
        "shared"
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
        self.inner.execute(batch).await
    }

    async fn flush(&self) -> Result<()> {
        self.inner.flush().await
    }

    async fn data_version(&self) -> Result<Option<u64>> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Ok(Some(self.version.load(Ordering::SeqCst)))
    }

    fn tell_changes(&self, to: ChangeSink) {
        *self.sink.lock().unwrap() = Some(to);
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

impl Shared {
    /// Somebody else creates an object.
    async fn write(&self, registry: &Registry, id: &str) {
        let record = registry.collection("note").unwrap().record_from_json(
            TestRuntime::START,
            json!({"id": id, "stars": 1}).as_object().unwrap(),
        );
        self.inner.execute(Batch::new().create("note", vec![record.unwrap()])).await.unwrap();
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Somebody else creates an object, and the backend hears of it at once.
    async fn write_and_tell(&self, registry: &Registry, id: &str) -> ChangeSet {
        let version = self.version.load(Ordering::SeqCst);
        self.write(registry, id).await;
        self.version.store(version, Ordering::SeqCst);
        let (collection, keys) = ("note".into(), vec![Key::from(id)]);
        let changes = vec![ObjectChange { collection, kind: ChangeKind::Created, keys }];
        let set = ChangeSet { origin: Origin::Sync, changes };
        self.sink().changed(set.clone());
        set
    }

    fn sink(&self) -> ChangeSink {
        self.sink.lock().unwrap().clone().unwrap()
    }

    fn looks(&self) -> u64 {
        self.looks.load(Ordering::SeqCst)
    }
}

async fn open() -> (Storage, Arc<Shared>) {
    let note = Definition::new("note").field("stars", FieldType::Int);
    let registry = Registry::builder().collection(note).build().unwrap();
    let backend = Arc::new(Shared::default());
    let runtime = Arc::new(TestRuntime::new(1));
    let storage = Storage::builder(Arc::clone(&backend), registry, runtime).open().await.unwrap();
    (storage, backend)
}

#[allow(clippy::disallowed_methods)] // the test's own clock, which stands still
async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[allow(clippy::disallowed_methods)] // as above
async fn within<T>(ms: u64, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(ms), future).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_write_of_another_process_is_noticed_soon() {
    let (storage, shared) = open().await;
    let mut changes = storage.changes();
    assert_eq!(within(1000, changes.next()).await, None, "nothing was written");
    for id in ["a", "b"] {
        shared.write(storage.registry(), id).await;
        assert_eq!(within(100, changes.next()).await, Some(Some(ChangeEvent::Elsewhere)));
        assert_eq!(within(1000, changes.next()).await, None, "it is told once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_query_has_it_soon() {
    let (storage, shared) = open().await;
    let mut live = storage.live(Query::new("note"));
    assert_eq!(live.next().await.unwrap().unwrap().len(), 0);
    assert!(within(1000, live.next()).await.is_none());
    shared.write(storage.registry(), "a").await;
    assert_eq!(within(100, live.next()).await.unwrap().unwrap().unwrap().len(), 1);
    // A write elsewhere that changes nothing of it.
    shared.version.fetch_add(1, Ordering::SeqCst);
    assert!(within(1000, live.next()).await.is_none());
}

/// Between the first reading and the first look nothing is lost.
#[tokio::test(start_paused = true)]
async fn what_was_written_before_the_first_look_is_noticed() {
    let (storage, shared) = open().await;
    let mut changes = storage.changes();
    shared.write(storage.registry(), "a").await;
    assert_eq!(within(100, changes.next()).await, Some(Some(ChangeEvent::Elsewhere)));
    drop(changes);
    pause(1000).await;
    // Nor between two who listen.
    shared.write(storage.registry(), "b").await;
    let mut changes = storage.changes();
    assert_eq!(within(100, changes.next()).await, Some(Some(ChangeEvent::Elsewhere)));
    assert_eq!(within(1000, changes.next()).await, None);
}

#[tokio::test(start_paused = true)]
async fn nobody_looks_while_nobody_listens() {
    let (storage, shared) = open().await;
    storage.dynamic("note").unwrap().create(json!({"id": "a", "stars": 1})).await.unwrap();
    pause(5000).await;
    assert_eq!(shared.looks(), 1, "once, when it was opened");
    let (mut first, mut second) = (storage.changes(), storage.changes());
    assert!(within(1000, first.next()).await.is_none());
    let looks = shared.looks();
    assert!((9..=12).contains(&looks), "{looks} looks in a second");
    // Several listeners cost no more.
    assert!(within(1000, second.next()).await.is_none());
    assert!((9..=12).contains(&(shared.looks() - looks)), "{} looks", shared.looks() - looks);
    drop((first, second));
    pause(200).await;
    let looks = shared.looks();
    pause(5000).await;
    assert_eq!(shared.looks(), looks);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_storage() {
    let (storage, shared) = open().await;
    let mut changes = storage.changes();
    assert!(within(500, changes.next()).await.is_none());
    drop(storage);
    assert_eq!(within(0, changes.next()).await, Some(None), "the storage is gone at once");
    let looks = shared.looks();
    pause(5000).await;
    assert_eq!(shared.looks(), looks);

    let (storage, shared) = open().await;
    let mut changes = storage.changes();
    assert!(within(500, changes.next()).await.is_none());
    storage.close().await.unwrap();
    assert_eq!(within(0, changes.next()).await, Some(None));
    let looks = shared.looks();
    pause(5000).await;
    assert_eq!(shared.looks(), looks);
}

/// The task goes with the runtime that it runs on; another one takes its place.
#[test]
fn it_goes_on_in_another_runtime() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    let first = runtime();
    let (storage, shared) = first.block_on(open());
    let mut changes = storage.changes();
    first.block_on(async { assert!(within(500, changes.next()).await.is_none()) });
    drop(first);
    runtime().block_on(async {
        shared.write(storage.registry(), "a").await;
        assert_eq!(within(100, changes.next()).await, Some(Some(ChangeEvent::Elsewhere)));
    });
}

/// Nobody knows which objects another process has written, so all who wait for keys look again.
#[tokio::test(start_paused = true)]
async fn who_waits_for_keys_notices_other_processes_too() {
    let (storage, shared) = open().await;
    let mut news = [storage.key_news("note", "a").unwrap(), storage.key_news("note", "b").unwrap()];
    for waiting in &mut news {
        assert!(within(1000, waiting.next()).await.is_none(), "nothing was written");
    }
    shared.write(storage.registry(), "a").await;
    for waiting in &mut news {
        assert_eq!(within(100, waiting.next()).await, Some(Some(())));
        assert!(within(1000, waiting.next()).await.is_none(), "it is told once");
    }
    drop(news);
    pause(200).await;
    let looks = shared.looks();
    pause(5000).await;
    assert_eq!(shared.looks(), looks, "nobody looks while nobody waits");
}

/// A shared backend passes it on.
#[tokio::test(start_paused = true)]
async fn c47_what_a_backend_hears_of_others_is_told_as_it_was() {
    let (storage, shared) = open().await;
    assert!(!shared.sink().is_heard());
    let (mut first, mut second) = (storage.changes(), storage.changes());
    let mut live = storage.live(Query::new("note"));
    let mut news = [storage.key_news("note", "a").unwrap(), storage.key_news("note", "b").unwrap()];
    assert_eq!(live.next().await.unwrap().unwrap().len(), 0);
    assert!(shared.sink().is_heard());
    let set = shared.write_and_tell(storage.registry(), "a").await;
    for changes in [&mut first, &mut second] {
        assert_eq!(within(0, changes.next()).await, Some(Some(ChangeEvent::Changed(set.clone()))));
    }
    assert_eq!(within(0, live.next()).await.unwrap().unwrap().unwrap().len(), 1);
    assert_eq!(within(0, news[0].next()).await, Some(Some(())));
    assert_eq!(within(1000, news[1].next()).await, None, "it waits for another key");
    shared.sink().elsewhere();
    assert_eq!(within(0, first.next()).await, Some(Some(ChangeEvent::Elsewhere)));
    assert_eq!(within(0, news[1].next()).await, Some(Some(())));
    // Nobody listens any more, and then nobody is there.
    drop((first, second, live, news));
    assert!(!shared.sink().is_heard());
    drop(storage);
    shared.sink().changed(set);
    shared.sink().elsewhere();
}

#[tokio::test(start_paused = true)]
async fn c47_a_closed_storage_is_told_nothing() {
    let (storage, shared) = open().await;
    let mut changes = storage.changes();
    storage.close().await.unwrap();
    shared.sink().elsewhere();
    assert!(!shared.sink().is_heard());
    assert_eq!(changes.next().await, None);
}

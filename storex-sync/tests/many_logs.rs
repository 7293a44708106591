//! Many shared logs in one database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use storex_core::{
    Backend, Batch, BatchOutcome, Capabilities, Changes, Definition, Error, FieldType, Filter,
    Query, Record, Registry, Result, Step, StepOutcome, Storage, Value,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    BackendSharedLog, BackendSharedLogs, Cursor, Device, SealedKeyName, SealedTransaction,
    SharedSyncLog, Snapshot, SnapshotId, SyncError,
};

const ALL: usize = 1 << 20;

/// A database that counts what is read and deleted.
#[derive(Debug)]
struct Counting {
    inner: MemoryBackend,
    reads: AtomicU64,
    /// The bytes of transactions among it.
    loaded: AtomicU64,
    /// The most of them that one read has loaded.
    most_loaded: AtomicU64,
    /// The most objects that one batch has deleted.
    most_deleted: AtomicU64,
    /// After so many batches the program that writes is gone.
    batches: AtomicU64,
}

impl Default for Counting {
    fn default() -> Self {
        let (inner, batches) = (MemoryBackend::new(), u64::MAX.into());
        let [reads, loaded, most_loaded, most_deleted] = [0; 4].map(AtomicU64::new);
        Self { inner, reads, loaded, most_loaded, most_deleted, batches }
    }
}

#[async_trait]
impl Backend for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn open(&self, registry: Arc<Registry>) -> Result<()> {
        self.inner.open(registry).await
    }

    async fn find(&self, query: Query) -> Result<Vec<Record>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let found = self.inner.find(query).await?;
        let values = found.iter().flat_map(Record::values);
        // All the others are shorter.
        let loaded = values.filter_map(Value::as_bytes).map(<[u8]>::len).filter(|len| *len > 32);
        let loaded = loaded.sum::<usize>() as u64;
        self.loaded.fetch_add(loaded, Ordering::SeqCst);
        self.most_loaded.fetch_max(loaded, Ordering::SeqCst);
        Ok(found)
    }

    async fn count(&self, query: Query) -> Result<u64> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.count(query).await
    }

    async fn execute(&self, batch: Batch) -> Result<BatchOutcome> {
        let goes_on = |left: u64| Some(left.saturating_sub(u64::from(left < u64::MAX)));
        if self.batches.fetch_update(Ordering::SeqCst, Ordering::SeqCst, goes_on) == Ok(0) {
            std::future::pending::<()>().await;
        }
        let outcome = self.inner.execute(batch).await?;
        let deleted = outcome.executed().iter().map(|executed| match &executed.outcome {
            StepOutcome::Deleted { keys } => keys.len() as u64,
            _ => 0,
        });
        self.most_deleted.fetch_max(deleted.sum(), Ordering::SeqCst);
        Ok(outcome)
    }

    async fn flush(&self) -> Result<()> {
        self.inner.flush().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

async fn open() -> BackendSharedLogs {
    let runtime = Arc::new(TestRuntime::new(1));
    BackendSharedLogs::open(MemoryBackend::new(), runtime).await.unwrap()
}

fn device(n: u8) -> Device {
    Device { id: [n; 16], incarnation: 0 }
}

fn transaction(sequence: u64) -> SealedTransaction {
    SealedTransaction { device: device(1), sequence, payload: vec![7; 10] }
}

/// What a future gives at once, if anything.
fn polled<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

async fn read(log: &BackendSharedLog) -> storex_sync::Page {
    log.read(device(2), &Cursor::default(), ALL).await.unwrap()
}

#[tokio::test]
async fn a_log_that_nobody_made_keeps_the_identity_that_was_read() {
    let logs = open().await;
    let page = read(&logs.log("ada")).await;
    assert!(page.transactions.is_empty() && !page.more);
    assert_eq!(page.own, 0);
    assert_eq!(read(&logs.log("ada")).await.log, page.log);
    assert_eq!(logs.log("ada").register(device(1)).await.unwrap(), page.log);
    logs.log("ada").append(&[transaction(1)]).await.unwrap();
    assert_eq!(read(&logs.log("ada")).await.log, page.log);
    assert_ne!(read(&logs.log("bob")).await.log, page.log);
}

#[tokio::test]
async fn a_log_has_an_identity_however_it_was_made() {
    let logs = open().await;
    logs.log("appended").append(&[transaction(1)]).await.unwrap();
    logs.log("acknowledged").acknowledge(device(1), &Cursor::default()).await.unwrap();
    logs.log("read").read(device(1), &Cursor::default(), ALL).await.unwrap();
    logs.log("registered").register(device(1)).await.unwrap();
    // What is only looked at is not made.
    assert!(logs.log("nothing").members().await.unwrap().is_empty());
    let _ = logs.log("nothing").trim().await.unwrap();
    let made = ["acknowledged", "appended", "read", "registered"];
    assert_eq!(logs.names(None, 10).await.unwrap(), made);
    for name in made {
        let log = logs.log(name);
        assert_eq!(log.register(device(3)).await.unwrap(), read(&log).await.log);
    }
}

#[tokio::test]
async fn names_come_in_pages_in_the_order_of_their_bytes() {
    let logs = open().await;
    let names = ["", " ", "%", "A", "_", "a", "a b", "ab", "é", "ü/ä", "日本"];
    for name in names.iter().rev() {
        logs.log(*name).register(device(1)).await.unwrap();
    }
    assert_eq!(logs.names(None, 100).await.unwrap(), names);
    let mut paged: Vec<String> = Vec::new();
    loop {
        let page = logs.names(paged.last().map(String::as_str), 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, names);
}

#[tokio::test]
async fn a_place_tells_nothing_of_other_logs() {
    let logs = open().await;
    for name in ["a", "ada2", "z"] {
        logs.log(name).append(&[transaction(1), transaction(2)]).await.unwrap();
    }
    let ada = logs.log("ada");
    assert_eq!(read(&ada).await.cursor, Cursor::at(0));
    ada.append(&[transaction(1)]).await.unwrap();
    assert_eq!(read(&ada).await.cursor, Cursor::at(1));
    assert_eq!(ada.snapshots().unwrap().usage().await.unwrap().transactions, 1);
}

#[tokio::test]
async fn a_log_that_was_removed_is_another_one_and_its_neighbours_stay() {
    let logs = open().await;
    let (ada, bob) = (logs.log("ada"), logs.log("ada2"));
    for log in [&ada, &bob] {
        log.register(device(2)).await.unwrap();
        log.append(&[transaction(1), transaction(2)]).await.unwrap();
        let id = SnapshotId { maker: device(1), number: 1 };
        let snapshots = log.snapshots().unwrap();
        snapshots.put_page(id, 0, b"a page").await.unwrap();
        let snapshot = Snapshot { id, pages: 1, place: Cursor::at(1) };
        assert!(snapshots.publish(&snapshot).await.unwrap());
    }
    let (page, of_bob) = (read(&ada).await, read(&bob).await);
    logs.remove("ada").await.unwrap();
    logs.remove("ada").await.unwrap();
    assert_eq!(logs.names(None, 10).await.unwrap(), ["ada2"]);
    let gone = ada.read(device(2), &page.cursor, ALL).await;
    assert!(matches!(gone, Err(SyncError::LogReplaced)), "{gone:?}");
    let anew = read(&ada).await;
    assert_ne!(anew.log, page.log);
    assert!(anew.transactions.is_empty());
    assert!(ada.members().await.unwrap().is_empty());
    let snapshots = ada.snapshots().unwrap();
    assert_eq!(snapshots.published().await.unwrap(), None);
    let id = SnapshotId { maker: device(1), number: 1 };
    assert_eq!(snapshots.page(id, 0).await.unwrap(), None);
    ada.append(&[transaction(1)]).await.unwrap();
    assert_eq!(read(&ada).await.cursor, Cursor::at(1));
    assert_eq!(read(&bob).await, of_bob);
    assert!(bob.snapshots().unwrap().page(id, 0).await.unwrap().is_some());
}

/// Others write meanwhile, and no memory is needed for all that is in it.
#[tokio::test]
async fn what_is_in_a_large_log_is_dropped_in_pieces() {
    let backend = Arc::new(Counting::default());
    let runtime = Arc::new(TestRuntime::new(1));
    let logs = BackendSharedLogs::open(Arc::clone(&backend), runtime).await.unwrap();
    for is_removed in [false, true] {
        let log = logs.log(format!("{is_removed}"));
        let all: Vec<_> = (1..=5001).map(transaction).collect();
        log.append(&all).await.unwrap();
        log.acknowledge(device(2), &Cursor::at(5001)).await.unwrap();
        backend.most_deleted.store(0, Ordering::SeqCst);
        if is_removed {
            logs.remove(log.name()).await.unwrap();
            assert!(read(&log).await.transactions.is_empty());
        } else {
            assert_eq!(log.trim().await.unwrap().transactions, 5000);
            assert_eq!(log.trim().await.unwrap().transactions, 0);
            let new = log.read(device(3), &Cursor::default(), ALL).await;
            assert!(matches!(new, Err(SyncError::BelowFloor { .. })), "{new:?}");
        }
        let most = backend.most_deleted.load(Ordering::SeqCst);
        assert!(most > 0 && most <= 2000, "{most}");
    }
}

/// A program that ends in the middle of removing a log leaves nothing of it that anybody sees.
#[tokio::test]
async fn a_removal_that_is_cut_short_is_finished_by_whoever_comes() {
    for (batches, comes) in (0..6).flat_map(|n| (0..8).map(move |m| (n, m))) {
        let backend = Arc::new(Counting::default());
        let runtime = Arc::new(TestRuntime::new(1));
        let logs = BackendSharedLogs::open(Arc::clone(&backend), runtime).await.unwrap();
        let log = logs.log("ada");
        let former = log.register(device(2)).await.unwrap();
        let all: Vec<_> = (1..=1500).map(transaction).collect();
        log.append(&all).await.unwrap();
        let id = SnapshotId { maker: device(1), number: 1 };
        let snapshot = Snapshot { id, pages: 1, place: Cursor::at(1) };
        let (snapshots, keys) = (log.snapshots().unwrap(), log.keys().unwrap());
        snapshots.put_page(id, 0, b"a page").await.unwrap();
        assert!(snapshots.publish(&snapshot).await.unwrap());
        keys.put(SealedKeyName([1; 16]), b"a key").await.unwrap();
        backend.batches.store(batches, Ordering::SeqCst);
        let is_done = polled(&mut Box::pin(logs.remove("ada"))).is_some();
        backend.batches.store(u64::MAX, Ordering::SeqCst);
        if batches == 0 {
            assert_eq!(read(&log).await.log, former, "it was not begun");
            continue;
        }
        assert_eq!(is_done, batches == 5, "{batches}");
        match comes {
            0 => drop(log.register(device(3)).await.unwrap()),
            1 => log.append(&[transaction(1)]).await.unwrap(),
            2 => log.acknowledge(device(3), &Cursor::default()).await.unwrap(),
            3 => drop(read(&log).await),
            4 => snapshots.put_page(id, 0, b"another").await.unwrap(),
            5 => assert!(!snapshots.publish(&snapshot).await.unwrap()),
            6 => keys.put(SealedKeyName([2; 16]), b"another").await.unwrap(),
            _ => logs.remove("ada").await.unwrap(),
        }
        let (page, case) = (read(&log).await, format!("{batches}, {comes}"));
        assert_ne!(page.log, former, "{case}");
        assert_eq!(page.transactions.len(), usize::from(comes == 1), "{case}");
        let members: Vec<_> = log.members().await.unwrap().iter().map(|it| it.device).collect();
        let expected = if [0, 2].contains(&comes) { vec![device(3)] } else { Vec::new() };
        assert_eq!(members, expected, "{case}");
        assert_eq!(snapshots.published().await.unwrap(), None, "{case}");
        let page = snapshots.page(id, 0).await.unwrap();
        assert_eq!(page.as_deref(), (comes == 4).then_some(&b"another"[..]), "{case}");
        let expected = if comes == 6 { vec![SealedKeyName([2; 16])] } else { Vec::new() };
        assert_eq!(keys.names().await.unwrap(), expected, "{case}");
    }
}

/// The database under the logs.
async fn storage(backend: &Arc<Counting>) -> Storage {
    let registry = Registry::builder().collections(BackendSharedLogs::collections());
    let (registry, runtime) = (registry.build().unwrap(), Arc::new(TestRuntime::new(2)));
    Storage::builder(Arc::clone(backend), registry, runtime).open().await.unwrap()
}

/// Nobody may ever come to a log of that name again.
#[tokio::test]
async fn a_removal_that_was_cut_short_is_not_listed_and_is_finished_at_the_next_opening() {
    for batches in 1..5 {
        let backend = Arc::new(Counting::default());
        let runtime = Arc::new(TestRuntime::new(1));
        let logs = BackendSharedLogs::open(Arc::clone(&backend), runtime.clone()).await.unwrap();
        for name in ["ada", "bob"] {
            let log = logs.log(name);
            log.append(&(1..=1500).map(transaction).collect::<Vec<_>>()).await.unwrap();
            let id = SnapshotId { maker: device(1), number: 1 };
            log.snapshots().unwrap().put_page(id, 0, b"a page").await.unwrap();
        }
        let of_bob = read(&logs.log("bob")).await;
        backend.batches.store(batches, Ordering::SeqCst);
        assert!(polled(&mut Box::pin(logs.remove("ada"))).is_none());
        backend.batches.store(u64::MAX, Ordering::SeqCst);
        assert_eq!(logs.names(None, 10).await.unwrap(), ["bob"], "{batches}");
        assert_eq!(logs.names(None, 1).await.unwrap(), ["bob"], "{batches}");
        backend.most_deleted.store(0, Ordering::SeqCst);
        let logs = BackendSharedLogs::open(Arc::clone(&backend), runtime).await.unwrap();
        assert!(backend.most_deleted.load(Ordering::SeqCst) <= 1000, "{batches}");
        let storage = storage(&backend).await;
        for (collection, left) in
            [("shared_transaction", 1500), ("shared_snapshot_page", 1), ("shared_log", 1)]
        {
            assert_eq!(storage.count(Query::new(collection)).await.unwrap(), left, "{batches}");
        }
        assert_eq!(read(&logs.log("bob")).await, of_bob);
    }
}

/// There will be no news from where they are, and reading tells them why.
#[tokio::test]
async fn who_waits_at_a_log_that_is_removed_is_told_and_its_neighbours_are_not() {
    let logs = open().await;
    let [ada, bob] = ["ada", "bob"].map(|name| logs.log(name));
    for log in [&ada, &bob] {
        log.append(&[transaction(1), transaction(2)]).await.unwrap();
    }
    let place = read(&ada).await.cursor;
    let [mut at_ada, mut at_bob] = [&ada, &bob].map(|log| Box::pin(log.changed(device(2), &place)));
    assert!(polled(&mut at_ada).is_none() && polled(&mut at_bob).is_none());
    logs.remove("ada").await.unwrap();
    assert!(matches!(polled(&mut at_ada), Some(Ok(()))));
    assert!(polled(&mut at_bob).is_none());
    // Whoever begins to wait now too.
    ada.changed(device(2), &place).await.unwrap();
}

/// A thousand wait, each at a log of its own; an append to one makes nobody else look.
#[tokio::test]
async fn news_of_one_log_cost_those_who_wait_at_others_nothing() {
    let backend = Arc::new(Counting::default());
    let runtime = Arc::new(TestRuntime::new(1));
    let logs = BackendSharedLogs::open(Arc::clone(&backend), runtime).await.unwrap();
    let all: Vec<BackendSharedLog> = (0..1000).map(|n| logs.log(format!("user {n}"))).collect();
    let beginning = Cursor::default();
    let waiting = all.iter().map(|log| Box::pin(log.changed(device(2), &beginning)));
    let mut waiting: Vec<_> = waiting.collect();
    for waits in &mut waiting {
        assert!(polled(waits).is_none());
    }
    all[7].append(&[transaction(1)]).await.unwrap();
    let before = backend.reads.load(Ordering::SeqCst);
    let mut told = Vec::new();
    for (n, waits) in waiting.iter_mut().enumerate() {
        if let Some(news) = polled(waits) {
            news.unwrap();
            told.push(n);
        }
    }
    assert_eq!(told, [7]);
    let reads = backend.reads.load(Ordering::SeqCst) - before;
    assert!(reads <= 2, "{reads} reads for the news of one log");
    drop(waiting.remove(7));
    logs.close().await.unwrap();
    for waits in waiting {
        let ended = waits.await;
        assert!(matches!(ended, Err(SyncError::Closed { .. })), "{ended:?}");
    }
}

#[tokio::test]
async fn the_logs_stand_beside_other_collections() {
    let runtime = Arc::new(TestRuntime::new(1));
    let account = || Definition::new("account").field("email", FieldType::String);
    let open = async |definitions: Vec<Definition>| {
        let registry = Registry::builder().collection(account()).collections(definitions);
        let registry = registry.build().unwrap();
        Storage::builder(MemoryBackend::new(), registry, runtime.clone()).open().await.unwrap()
    };
    let storage = open(BackendSharedLogs::collections()).await;
    let logs = BackendSharedLogs::over(&storage).unwrap();
    logs.log("ada").append(&[transaction(1)]).await.unwrap();
    assert_eq!(read(&logs.log("ada")).await.transactions, [transaction(1)]);
    assert_eq!(storage.count(Query::new("account")).await.unwrap(), 0);

    let none = BackendSharedLogs::over(&open(Vec::new()).await).unwrap_err();
    assert!(matches!(none.storage_error(), Some(Error::UnknownCollection { .. })), "{none}");
    let mut others = BackendSharedLogs::collections();
    let name = others.pop().unwrap().name().clone();
    others.push(Definition::new(name).field("colour", FieldType::String));
    let others = BackendSharedLogs::over(&open(others).await).unwrap_err();
    assert!(matches!(others.storage_error(), Some(Error::SchemaMismatch { .. })), "{others}");
}

fn of_bytes(sequence: u64, bytes: usize) -> SealedTransaction {
    SealedTransaction { device: device(1), sequence, payload: vec![sequence as u8; bytes] }
}

/// However small those before them were.
#[tokio::test]
async fn large_transactions_are_not_loaded_before_they_fit() {
    let backend = Arc::new(Counting::default());
    let runtime = Arc::new(TestRuntime::new(1));
    let logs = BackendSharedLogs::open(Arc::clone(&backend), runtime).await.unwrap();
    let log = logs.log("ada");
    let (small, large, limit) = (33, 100_000, 250_000);
    let sizes = (1..=130_u64).map(|at| if at <= 66 { small } else { large });
    let all: Vec<_> = (1..).zip(sizes).map(|(at, bytes)| of_bytes(at, bytes)).collect();
    log.append(&all).await.unwrap();
    let (mut cursor, mut found) = (Cursor::default(), Vec::new());
    loop {
        let before = backend.loaded.load(Ordering::SeqCst);
        let page = log.read(device(2), &cursor, limit).await.unwrap();
        let loaded = (backend.loaded.load(Ordering::SeqCst) - before) as usize;
        let given: usize = page.transactions.iter().map(|it| it.payload.len()).sum();
        assert!(given > 0 && given <= limit, "{given}");
        assert_eq!(loaded, given);
        (cursor, _) = (page.cursor, found.extend(page.transactions));
        if !page.more {
            break;
        }
    }
    assert_eq!(found, all);
    // One that is larger than a page comes alone.
    let page = log.read(device(2), &Cursor::default(), 10).await.unwrap();
    assert_eq!((page.transactions.len(), page.more), (1, true));
}

/// Who says that large transactions were small ones has them compared by their sizes.
#[tokio::test]
async fn no_more_is_loaded_to_be_compared_than_was_sent() {
    let backend = Arc::new(Counting::default());
    let runtime = Arc::new(TestRuntime::new(1));
    let logs = BackendSharedLogs::open(Arc::clone(&backend), runtime).await.unwrap();
    let log = logs.log("ada");
    let there: Vec<_> =
        (1..=130).map(|at| of_bytes(at, if at <= 66 { 33 } else { 100_000 })).collect();
    log.append(&there).await.unwrap();
    let before = backend.loaded.load(Ordering::SeqCst);
    let sent: Vec<_> = (1..=130).map(|at| of_bytes(at, 33)).collect();
    let forked = log.append(&sent).await.unwrap_err();
    assert!(matches!(forked, SyncError::Forked { sequence: 67, .. }), "{forked}");
    let loaded = backend.loaded.load(Ordering::SeqCst) - before;
    assert_eq!(loaded, 66 * 33);
    // As long and another one, the same again, and the same with something new.
    let mut another = there[..100].to_vec();
    another[70].payload[50_000] ^= 1;
    let forked = log.append(&another).await.unwrap_err();
    assert!(matches!(forked, SyncError::Forked { sequence: 71, .. }), "{forked}");
    log.append(&there).await.unwrap();
    log.append(&[there[129].clone(), of_bytes(131, 5)]).await.unwrap();
    let page = log.read(device(2), &Cursor::default(), usize::MAX).await.unwrap();
    assert_eq!(page.transactions.len(), 131);
}

/// Rows of an older version tell no size, and any of them may be large.
#[tokio::test]
async fn what_is_of_an_unknown_size_is_loaded_alone() {
    let backend = Arc::new(Counting::default());
    let logs = BackendSharedLogs::over(&storage(&backend).await).unwrap();
    let log = logs.log("ada");
    let large = 100_000;
    let there: Vec<_> = (1..=70).map(|at| of_bytes(at, large)).collect();
    log.append(&there).await.unwrap();
    let forget = Step::Update {
        collection: "shared_transaction".into(),
        filter: Filter::All,
        changes: Changes::new().set("bytes", Value::Null),
    };
    storage(&backend).await.execute(Batch::new().step(forget)).await.unwrap();
    // What is small and another one is told from what is there by looking at one of them.
    let before = backend.loaded.load(Ordering::SeqCst);
    let sent: Vec<_> = (1..=70).map(|at| of_bytes(at, 33)).collect();
    let forked = log.append(&sent).await.unwrap_err();
    assert!(matches!(forked, SyncError::Forked { sequence: 1, .. }), "{forked}");
    assert_eq!(backend.loaded.load(Ordering::SeqCst) - before, large as u64);
    // The same again, with something new, and with something else at its end.
    log.append(&there).await.unwrap();
    log.append(&[&there[60..], &[of_bytes(71, large)]].concat()).await.unwrap();
    let mut another = there.clone();
    another[69].payload[50_000] ^= 1;
    let forked = log.append(&another).await.unwrap_err();
    assert!(matches!(forked, SyncError::Forked { sequence: 70, .. }), "{forked}");
    let (mut cursor, mut count) = (Cursor::default(), 0);
    loop {
        let page = log.read(device(2), &cursor, 250_000).await.unwrap();
        assert!((1..=2).contains(&page.transactions.len()));
        (cursor, count) = (page.cursor, count + page.transactions.len());
        if !page.more {
            break;
        }
    }
    assert_eq!(count, 71);
    assert_eq!(backend.most_loaded.load(Ordering::SeqCst), large as u64);
}

#[tokio::test]
async fn a_page_has_so_many_transactions_at_most_even_if_they_are_empty() {
    let log = open().await.log("ada");
    let all: Vec<_> = (1..=3000).map(|at| of_bytes(at, 0)).collect();
    log.append(&all).await.unwrap();
    let (mut cursor, mut found) = (Cursor::default(), Vec::new());
    loop {
        let page = log.read(device(2), &cursor, ALL).await.unwrap();
        assert!((1..=1024).contains(&page.transactions.len()), "{}", page.transactions.len());
        (cursor, _) = (page.cursor, found.extend(page.transactions));
        if !page.more {
            break;
        }
    }
    assert_eq!(found, all);
}

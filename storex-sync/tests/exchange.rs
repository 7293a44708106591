//! [`Sync`]: what one exchange costs, sends and receives, and what becomes of it when it is cut short.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods)] // the tests own the time

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use storex_core::{AutoPk, Batch, Origin, Query, Storage};
use storex_memory::TestRuntime;
use storex_sync::{Limits, LogId, MemorySharedLog, SharedSyncLog, Sync, SyncError, SyncLog};
use support::log::{Call, Fault, ScriptedLog};
use support::slow::Slow;
use support::{Device, assert_in_step, count, settle, shared_log};
use tokio::time::{Instant, advance, sleep, timeout};

#[tokio::test(start_paused = true)]
async fn c26_an_exchange_with_nothing_to_do_is_one_request() {
    let log = ScriptedLog::new(&shared_log());
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let sync = a.join(&log).await;
    sync.sync_once().await.unwrap();
    assert_eq!(log.calls(), [Call::Register, Call::Read]);
    for _ in 0..3 {
        log.forget();
        assert!(sync.sync_once().await.unwrap().is_idle());
        assert_eq!(log.calls(), [Call::Read]);
    }
    // Also when there is history, own and foreign.
    b.note("b", "x").await;
    a.note("a", "x").await;
    b.sync(&log).await;
    sync.sync_once().await.unwrap();
    log.forget();
    assert!(sync.sync_once().await.unwrap().is_idle());
    assert_eq!(log.calls(), [Call::Read]);
    assert_eq!(log.delivered()[0].1, []);
}

/// C25.
#[tokio::test(start_paused = true)]
async fn c25_twenty_exchanges_at_once_send_each_transaction_once() {
    for one_value in [true, false] {
        let inner = shared_log();
        let log = ScriptedLog::new(&inner);
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        b.note("from b", "x").await;
        b.sync(&log).await;
        log.forget();
        for n in 0..30 {
            a.note(&format!("{n}"), "x").await;
        }
        log.script(Call::Append, [Fault::Delay(Duration::from_secs(1)); 3]);
        let shared = a.join(&log).await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            // One value and its clones, or twenty that know nothing of each other, as in twenty tabs.
            let sync = if one_value { shared.clone() } else { a.join(&log).await };
            calls.spawn(async move { sync.sync_once().await.unwrap() });
        }
        let reports = calls.join_all().await;
        assert_eq!(inner.len(), 31, "each transaction is in the log once");
        let received: u64 = reports.iter().map(|report| report.received.transactions).sum();
        assert_eq!(received, 1, "what arrives is applied once");
        if one_value {
            assert_eq!(log.most_running(), 1);
            let sent: usize = log.appended().iter().map(Vec::len).sum();
            assert_eq!(sent, 30);
        }
        b.sync(&log).await;
        assert_in_step(&[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_arrived_is_acknowledged_only_after_it_was_applied() {
    let log = ScriptedLog::new(&shared_log());
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..4 {
        a.note(&format!("{n}"), "x").await;
    }
    a.sync(&log).await;
    let counts: Arc<Mutex<Vec<u64>>> = Arc::default();
    for call in [Call::Read, Call::Read, Call::Acknowledge] {
        let (counts, reader) = (Arc::clone(&counts), b.clone());
        log.before(call, move || {
            let (counts, reader) = (Arc::clone(&counts), reader.clone());
            async move {
                let there = count(&reader, "note").await;
                counts.lock().unwrap().push(there);
            }
        });
    }
    let two = Limits { bytes: 190, transactions: 10 };
    b.join(&log).await.limits(two).sync_once().await.unwrap();
    assert_eq!(*counts.lock().unwrap(), [0, 2, 4]);
    let told: Vec<bool> = log.requests().iter().map(|it| it.acknowledge.is_some()).collect();
    assert_eq!(told[told.len() - 3..], [false, false, true], "the last page's is enough");
}

#[tokio::test(start_paused = true)]
async fn a_request_carries_so_much_and_at_least_one_transaction() {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let large = "x".repeat(10_000);
    for (n, title) in ["a", "b", &large, "c", "d", "e"].into_iter().enumerate() {
        a.note(&format!("{n}"), title).await;
    }
    let pages = |limits: Limits| {
        let (a, log) = (a.clone(), Arc::clone(&log));
        async move {
            log.forget();
            log.script(Call::Append, [Fault::None; 20]);
            a.join(&log).await.limits(limits).sync_once().await.unwrap();
            let pages: Vec<usize> = log.appended().iter().map(Vec::len).collect();
            pages
        }
    };
    // By bytes: the large one goes alone.
    assert_eq!(pages(Limits { bytes: 1_000, transactions: 100 }).await, [2, 1, 3]);
    // Receiving by the same limit.
    log.forget();
    let limits = Limits { bytes: 1_000, transactions: 100 };
    b.join(&log).await.limits(limits).sync_once().await.unwrap();
    let received: Vec<usize> = log.delivered().iter().map(|(_, page)| page.len()).collect();
    assert_eq!(received, [2, 1, 3]);
    assert_in_step(&[&a, &b]).await;
    // By number.
    for n in 6..11 {
        a.note(&format!("{n}"), "x").await;
    }
    assert_eq!(pages(Limits { bytes: usize::MAX, transactions: 2 }).await, [2, 2, 1]);
    // Nonsense still makes progress.
    a.note("11", "x").await;
    a.note("12", "x").await;
    assert_eq!(pages(Limits { bytes: 0, transactions: 0 }).await, [1, 1]);
    b.join(&log).await.limits(Limits { bytes: 0, transactions: 0 }).sync_once().await.unwrap();
    assert_in_step(&[&a, &b]).await;
}

/// What is written while an exchange is under way goes out with the next one, or with this one; never not at all.
#[tokio::test(start_paused = true)]
async fn c09_writes_during_an_exchange_go_out() {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    b.note("2", "x").await;
    b.sync(&inner).await;
    a.note("1", "x").await;
    for call in [Call::Append, Call::Acknowledge] {
        let writer = a.clone();
        log.before(call, move || {
            let writer = writer.clone();
            async move { writer.note(&format!("before {call:?}"), "x").await }
        });
        let writer = a.clone();
        log.after(call, move || {
            let writer = writer.clone();
            async move { writer.note(&format!("after {call:?}"), "x").await }
        });
    }
    let sync = a.join(&log).await;
    sync.sync_once().await.unwrap();
    assert_eq!(count(&a, "note").await, 6);
    sync.sync_once().await.unwrap();
    assert_eq!((sync.unsent().await.unwrap(), inner.len()), (0, 6));
    b.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
}

/// The future is dropped at every point where it waits; the next exchange finds everything in order.
#[tokio::test(start_paused = true)]
async fn c11_an_exchange_can_be_cancelled_anywhere() {
    let delay = Duration::from_secs(1);
    for cut in 0..6_u32 {
        let inner = shared_log();
        let log = ScriptedLog::new(&inner);
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        b.note("b", "x").await;
        b.sync(&inner).await;
        a.note("a", "x").await;
        for call in [Call::Register, Call::Append, Call::Acknowledge] {
            // Each request is slow on its way there and on its way back.
            log.script(call, [Fault::Delay(delay)]);
            log.after(call, move || sleep(delay));
        }
        let sync = a.join(&log).await;
        let whole = timeout(delay * cut + delay / 2, sync.sync_once()).await;
        assert!(whole.is_err(), "{cut}");
        log.heal();
        timeout(Duration::from_secs(60), sync.sync_once()).await.unwrap().unwrap();
        settle(&[&a, &b], &inner).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(inner.len(), 2, "cut {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_log_is_noticed_before_anything_is_sent_to_it() {
    let first = shared_log();
    let a = Device::new(1).await;
    a.sync(&first).await;
    a.note("n", "x").await;
    let second = Arc::new(MemorySharedLog::new(LogId([8; 16])));
    let error = a.join(&second).await.keep_log().sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::LogReplaced), "{error:?}");
    assert!(second.is_empty());
    assert_eq!(count(&a, "_storex_log").await, 1, "nothing was taken for sent");
    a.sync(&first).await;
    assert_eq!(first.len(), 1);
}

/// It is exchanged while the program runs.
#[tokio::test(start_paused = true)]
async fn another_log_is_noticed_in_the_middle_too() {
    #[derive(Debug)]
    struct Swapped(Mutex<Arc<MemorySharedLog>>);
    impl Swapped {
        fn now(&self) -> Arc<MemorySharedLog> {
            Arc::clone(&self.0.lock().unwrap())
        }
    }
    #[async_trait::async_trait]
    impl SharedSyncLog for Swapped {
        async fn register(&self, device: storex_sync::Device) -> storex_sync::Result<LogId> {
            self.now().register(device).await
        }
        async fn append(&self, all: &[storex_sync::SealedTransaction]) -> storex_sync::Result<()> {
            self.now().append(all).await
        }
        async fn read(
            &self,
            reader: storex_sync::Device,
            after: &storex_sync::Cursor,
            limit: usize,
        ) -> storex_sync::Result<storex_sync::Page> {
            self.now().read(reader, after, limit).await
        }
        async fn acknowledge(
            &self,
            reader: storex_sync::Device,
            cursor: &storex_sync::Cursor,
        ) -> storex_sync::Result<()> {
            self.now().acknowledge(reader, cursor).await
        }
        async fn members(&self) -> storex_sync::Result<Vec<storex_sync::Member>> {
            self.now().members().await
        }
        async fn dismiss(&self, device: storex_sync::Device) -> storex_sync::Result<bool> {
            self.now().dismiss(device).await
        }
        async fn reidentify(
            &self,
            known: storex_sync::LogId,
        ) -> storex_sync::Result<storex_sync::LogId> {
            self.now().reidentify(known).await
        }
        async fn trim(&self) -> storex_sync::Result<storex_sync::Trimmed> {
            self.now().trim().await
        }
    }
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let log = Arc::new(Swapped(Mutex::new(shared_log())));
    let sync = a.join(&log).await.keep_log();
    sync.sync_once().await.unwrap();
    let second = Arc::new(MemorySharedLog::new(LogId([8; 16])));
    b.note("n", "in the other log").await;
    b.sync(&second).await;
    *log.0.lock().unwrap() = second;
    let error = sync.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::LogReplaced), "{error:?}");
    assert_eq!(count(&a, "note").await, 0, "nothing of it was taken");
}

/// Also when the first exchange came no further than sending.
#[tokio::test(start_paused = true)]
async fn the_log_is_known_before_the_first_transaction_is_sent() {
    let first = shared_log();
    let scripted = ScriptedLog::new(&first);
    let a = Device::new(1).await;
    a.note("n", "x").await;
    scripted.script(Call::Append, [Fault::DropAnswer]);
    a.join(&scripted).await.sync_once().await.unwrap_err();
    assert_eq!(first.len(), 1);
    a.note("m", "x").await;
    let second = Arc::new(MemorySharedLog::new(LogId([8; 16])));
    let error = a.join(&second).await.keep_log().sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::LogReplaced), "{error:?}");
    a.sync(&first).await;
    assert_eq!(first.len(), 2);
}

/// A log that gives nothing and says that more follows would be asked for ever.
#[tokio::test(start_paused = true)]
async fn a_log_that_never_ends_is_an_error() {
    #[derive(Debug)]
    struct Endless;
    #[async_trait::async_trait]
    impl SharedSyncLog for Endless {
        async fn register(
            &self,
            _: storex_sync::Device,
        ) -> storex_sync::Result<storex_sync::LogId> {
            Ok(storex_sync::LogId([1; 16]))
        }
        async fn append(&self, _: &[storex_sync::SealedTransaction]) -> storex_sync::Result<()> {
            Ok(())
        }
        async fn read(
            &self,
            _: storex_sync::Device,
            after: &storex_sync::Cursor,
            _: usize,
        ) -> storex_sync::Result<storex_sync::Page> {
            advance(Duration::from_millis(1)).await;
            let (log, cursor) = (storex_sync::LogId([1; 16]), after.clone());
            let (transactions, missing) = (Vec::new(), Vec::new());
            Ok(storex_sync::Page { log, transactions, cursor, more: true, own: 0, missing })
        }
        async fn acknowledge(
            &self,
            _: storex_sync::Device,
            _: &storex_sync::Cursor,
        ) -> storex_sync::Result<()> {
            Ok(())
        }
        async fn members(&self) -> storex_sync::Result<Vec<storex_sync::Member>> {
            Ok(Vec::new())
        }
        async fn dismiss(&self, _: storex_sync::Device) -> storex_sync::Result<bool> {
            Ok(false)
        }
        async fn reidentify(
            &self,
            known: storex_sync::LogId,
        ) -> storex_sync::Result<storex_sync::LogId> {
            Ok(known)
        }
        async fn trim(&self) -> storex_sync::Result<storex_sync::Trimmed> {
            Ok(storex_sync::Trimmed::default())
        }
    }
    let a = Device::new(1).await;
    let sync = a.join(&Arc::new(Endless)).await;
    let result = timeout(Duration::from_secs(10), sync.sync_once()).await.expect("it must end");
    assert!(matches!(result, Err(SyncError::Protocol { .. })), "{result:?}");
}

/// A device whose database takes a second to write what others wrote, in touch with a log that has three pages for it.
async fn slow_with_three_pages(log: &Arc<ScriptedLog>) -> (Storage, Sync) {
    let writes_theirs = |batch: &Batch| {
        batch.origin == Origin::Sync && batch.touching.iter().any(|it| &**it == "note")
    };
    let backend = Slow::new(writes_theirs);
    let (registry, runtime) = (support::schema().build().unwrap(), TestRuntime::new(1));
    let storage = Storage::builder(backend, registry, Arc::new(runtime) as _);
    let storage = storage.middleware(AutoPk::new()).middleware(SyncLog::new()).open();
    let storage = storage.await.unwrap();
    let sync = Sync::open(&storage, Arc::clone(log) as _).await.unwrap();
    let sync = sync.limits(Limits { bytes: 1, ..Limits::default() });
    sync.sync_once().await.unwrap();
    let b = Device::new(2).await;
    for n in 0..3 {
        b.note(&format!("{n}"), "x").await;
    }
    b.sync(log).await;
    log.forget();
    (storage, sync)
}

async fn notes_of(storage: &Storage) -> u64 {
    storage.count(Query::new("note")).await.unwrap()
}

/// Reading takes a second, and so does writing: one page is written while the next is read.
#[tokio::test(start_paused = true)]
async fn the_next_page_is_read_while_one_is_applied() {
    let log = ScriptedLog::new(&shared_log());
    let (storage, sync) = slow_with_three_pages(&log).await;
    log.script(Call::Read, [Fault::Delay(Duration::from_secs(1)); 3]);
    let begun = Instant::now();
    assert_eq!(sync.sync_once().await.unwrap().received.transactions, 3);
    assert_eq!((begun.elapsed().as_secs(), notes_of(&storage).await), (4, 3));
    assert_eq!(log.calls(), [Call::Read, Call::Read, Call::Read, Call::Acknowledge]);
}

/// A page is applied and noted whether or not the next one can be read; that is an error when its turn comes.
#[tokio::test(start_paused = true)]
async fn a_page_is_applied_although_the_next_cannot_be_read() {
    for fault in [Fault::Fail, Fault::DropAnswer, Fault::RateLimit(Duration::from_secs(5))] {
        let log = ScriptedLog::new(&shared_log());
        let (storage, sync) = slow_with_three_pages(&log).await;
        log.script(Call::Read, [Fault::None, fault]);
        let error = sync.sync_once().await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert_eq!((log.count(Call::Read), notes_of(&storage).await), (2, 1), "{fault:?}");
        assert_eq!(sync.sync_once().await.unwrap().received.transactions, 2);
        assert_eq!(notes_of(&storage).await, 3);
    }
}

/// Wherever it is cut, while a page is written and another one read, nothing is lost or applied twice.
#[tokio::test(start_paused = true)]
async fn an_exchange_that_reads_early_can_be_cancelled_anywhere() {
    let step = Duration::from_millis(700);
    for cut in 0..12_u32 {
        let log = ScriptedLog::new(&shared_log());
        let (storage, sync) = slow_with_three_pages(&log).await;
        log.script(Call::Read, [Fault::Delay(step * 2), Fault::Delay(step), Fault::Delay(step)]);
        let cut_at = step / 2 * cut;
        let whole = timeout(cut_at, sync.sync_once()).await;
        log.heal();
        // What the database has begun it brings to its end.
        sleep(Duration::from_secs(2)).await;
        let before = notes_of(&storage).await;
        let rest = sync.sync_once().await.unwrap().received.transactions;
        assert_eq!(notes_of(&storage).await, 3, "cut {cut}");
        assert_eq!(before + rest, 3, "cut {cut}, {whole:?}");
    }
}

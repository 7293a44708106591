//! Several clients of one host.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use storex_core::{BoxFuture, Runtime, Storage, Timestamp};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::engine::Triggers;
use storex_sync::{
    Channel, ContinuousSync, MemoryChannel, Phase, Sync, SyncError, SyncEvent, SyncHandle,
    SyncHost, SyncLog, WriteState,
};
use tokio::time::{sleep, timeout};

use crate::line::Line;
use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, count, schema, shared_log};
use crate::{SECOND, assert_ended, assert_lost, client, connect, host, let_run, phase, running};

#[tokio::test(start_paused = true)]
async fn c70_all_clients_see_one_status_and_a_pause_made_by_another() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let (a, b) = (client(&host).await, client(&host).await);
    assert_eq!(host.clients(), 2);
    let (mut told_a, mut told_b) = (a.events(), b.events());
    device.note("n", "x").await;
    sleep(SECOND).await;
    assert_eq!(*a.status().borrow(), *host.sync().status().borrow());
    assert_eq!(*b.status().borrow(), *host.sync().status().borrow());
    for told in [&mut told_a, &mut told_b] {
        let event = told.next().await;
        assert!(matches!(event, Some(SyncEvent::Exchanged(_))), "{event:?}");
    }

    a.pause().await.unwrap();
    let_run().await;
    assert_eq!(phase(&b), Phase::Paused);
    let error = b.sync_now().await.unwrap().unwrap_err();
    assert!(matches!(error.cause(), SyncError::Paused), "{error}");
    device.note("m", "x").await;
    b.resume().await.unwrap();
    sleep(SECOND).await;
    for client in [&a, &b] {
        assert_eq!((phase(client), client.unsent().await.unwrap()), (Phase::Waiting, 0));
        assert!(client.status().borrow().in_step);
    }
}

/// A tab that is closed does not stop the sync of the others.
#[tokio::test(start_paused = true)]
async fn c44_stopping_is_a_matter_of_one_client() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = SyncHost::until_unused(running(&device, &log).await);
    let (a, b) = (client(&host).await, client(&host).await);
    let_run().await;
    log.script(Call::Append, [Fault::Delay(SECOND * 60)]);
    device.note("n", "x").await;
    let write = a.last_write().await.unwrap().unwrap();
    let mut told = a.events();
    let (now, waited, ()) = tokio::join!(a.sync_now(), a.await_synced(write), async {
        sleep(SECOND).await;
        a.stop().await;
    });
    assert!(now.is_none(), "{now:?}");
    assert!(matches!(waited, Err(SyncError::Stopped)), "{waited:?}");
    let status = a.status().borrow().clone();
    assert_eq!((status.phase, status.in_step, status.unsent), (Phase::Stopped, false, 1));
    assert!(told.next().await.is_none());
    assert!(a.sync_now().await.is_none());
    a.stop().await;
    assert_eq!((host.clients(), phase(&b)), (1, Phase::Sending));

    // What needs no running sync can be asked still.
    b.await_synced(write).await.unwrap();
    assert_eq!(a.write_state(write).await.unwrap(), WriteState::Sent);
    a.await_synced(write).await.unwrap();
    a.pause().await.unwrap();
    let_run().await;
    assert_eq!(phase(&b), Phase::Paused);
    a.resume().await.unwrap();
    drop(a);
    let_run().await;
    assert!(b.sync_now().await.unwrap().is_ok());
    assert_eq!(host.clients(), 1, "it was not counted twice");
}

/// Stopped, dropped, or cut off.
#[tokio::test(start_paused = true)]
async fn c44_one_that_runs_until_it_is_unused_ends_with_its_last_client() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = SyncHost::until_unused(running(&device, &log).await);
    sleep(SECOND * 100).await;
    assert_ne!(host.sync().status().borrow().phase, Phase::Stopped, "nobody came yet");
    let (a, b) = (client(&host).await, client(&host).await);
    let (here, there, line) = Line::new();
    host.serve(there);
    let c = connect(here).await.unwrap();
    device.note("n", "x").await;
    a.stop().await;
    drop(b);
    let_run().await;
    assert_eq!(host.clients(), 1);
    c.sync_now().await.unwrap().unwrap();
    // The last one comes to its end in the middle of an exchange.
    log.script(Call::Append, [Fault::Delay(SECOND * 60)]);
    device.note("m", "x").await;
    sleep(SECOND).await;
    line.cut();
    let_run().await;
    assert_lost(&c).await;
    host.ended().await;
    assert_eq!(host.sync().status().borrow().phase, Phase::Stopped);
    assert_eq!(count(&device, "_storex_log").await, 0, "it came to its end");
}

#[tokio::test(start_paused = true)]
async fn what_the_host_stops_is_stopped_for_all() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let (a, b) = (client(&host).await, client(&host).await);
    a.stop().await;
    sleep(SECOND).await;
    assert_eq!(phase(&b), Phase::Waiting, "this one is not for its clients to stop");
    b.stop().await;
    sleep(SECOND).await;
    assert_ne!(host.sync().status().borrow().phase, Phase::Stopped);

    let c = client(&host).await;
    host.stop().await;
    let_run().await;
    assert_eq!(phase(&c), Phase::Stopped);
    assert_ended(&c).await;
    assert!(c.sync_now().await.is_none());
    // One that comes later finds it stopped.
    let d = client(&host).await;
    let_run().await;
    assert_eq!(phase(&d), Phase::Stopped);
    assert_ended(&d).await;
    assert_eq!(d.unsent().await.unwrap(), 0);
}

/// A page that is frozen, or that only asks and never listens.
#[tokio::test(start_paused = true)]
async fn one_that_does_not_read_holds_up_nobody() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let (here, there, line) = Line::new();
    host.serve(there);
    let frozen = connect(here).await.unwrap();
    let other = client(&host).await;
    // What it asks holds the turn to sync, and its answer finds no room.
    let asks = async {
        let _ = tokio::join!(frozen.retry_parked(), frozen.send_state(), frozen.compact());
    };
    tokio::select! {
        biased;
        () = asks => {}
        () = let_run() => {}
    }
    line.hold();
    for n in 0..300 {
        device.note(&format!("{n}"), "x").await;
        other.sync_now().await.unwrap().unwrap();
    }
    assert_eq!(other.unsent().await.unwrap(), 0);
    line.release();
    let_run().await;
    assert_eq!(*frozen.status().borrow(), *other.status().borrow(), "it learns the newest");
}

#[tokio::test(start_paused = true)]
async fn a_host_without_clients_syncs_all_the_same() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    device.note("n", "x").await;
    sleep(SECOND).await;
    assert_eq!((host.clients(), host.sync().unsent().await.unwrap()), (0, 0));
    // One whose channel is closed before it has greeted.
    let (here, there) = MemoryChannel::pair();
    host.serve(there);
    assert_eq!(host.clients(), 1);
    drop(here);
    let_run().await;
    assert_eq!(host.clients(), 0);
}

/// Each task is on another thread than the one before.
#[derive(Debug)]
struct Threads {
    inner: TestRuntime,
    threads: Vec<tokio::runtime::Handle>,
    next: AtomicUsize,
}

impl Threads {
    fn new(seed: u64, threads: usize) -> Self {
        let threads = (0..threads).map(|_| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap();
            let handle = runtime.handle().clone();
            std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
            handle
        });
        let threads = threads.collect();
        Self { inner: TestRuntime::new(seed), threads, next: AtomicUsize::new(0) }
    }
}

impl Runtime for Threads {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.threads[next % self.threads.len()].spawn(task);
    }

    fn fill_random(&self, buffer: &mut [u8]) {
        self.inner.fill_random(buffer);
    }
}

/// The status changes at any moment while a client is served.
#[tokio::test]
async fn an_answer_comes_behind_its_status_on_many_threads_too() {
    let runtime = Arc::new(Threads::new(1, 3));
    for _ in 0..10 {
        let log = ScriptedLog::new(&shared_log());
        let registry = schema().build().unwrap();
        let storage = Storage::builder(MemoryBackend::new(), registry, runtime.clone());
        let storage = storage.middleware(SyncLog::new()).open().await.unwrap();
        let sync = Sync::open(&storage, log).await.unwrap();
        let sync = ContinuousSync::builder(sync).triggers(Triggers::MANUAL).start();
        let host = SyncHost::new(sync);
        let (sync, other) = (client(&host).await, client(&host).await);
        sync.sync_now().await.unwrap().unwrap();
        // It looks first whether something was written before it began.
        sync.status().wait_for(|status| status.in_step).await.unwrap();
        let asks = async {
            for n in 0..100 {
                sync.sync_now().await.unwrap().unwrap();
                let status = sync.status().borrow().clone();
                assert!(status.in_step && status.rounds >= n + 2, "{n}: {status:?}");
            }
        };
        // So that its task has something to do all the time.
        let goes_on = async {
            loop {
                sync.device().await.unwrap();
            }
        };
        tokio::select! {
            biased;
            () = asks => {}
            () = goes_on => {}
        }
        sync.stop().await;
        assert_eq!(phase(&sync), Phase::Stopped);
        let mut status = other.status();
        host.stop().await;
        while status.changed().await.is_ok() {}
        let last = status.borrow().clone();
        assert_eq!((last.phase, last.in_step), (Phase::Stopped, false));
    }
}

/// A worker is not ended by who never was its client.
#[tokio::test(start_paused = true)]
async fn one_that_runs_until_it_is_unused_is_not_ended_by_who_was_no_client() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = SyncHost::until_unused(running(&device, &log).await);
    // Another version, rubbish, nothing.
    for hello in [Some(vec![0x91, 0x02]), Some(b"rubbish".to_vec()), None] {
        let (mut here, there) = MemoryChannel::pair();
        host.serve(there);
        if let Some(hello) = hello {
            here.send(hello).await.unwrap();
        }
        let_run().await;
        drop(here);
        sleep(SECOND).await;
        assert_eq!((host.clients(), phase(host.sync())), (0, Phase::Waiting));
    }
    drop(client(&host).await);
    host.ended().await;
    assert_eq!(phase(host.sync()), Phase::Stopped);
}

/// The call does not wait for ever.
#[tokio::test(start_paused = true)]
async fn a_request_that_panics_is_answered() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let sync = client(&host).await;
    sync.sync_now().await.unwrap().unwrap();
    sleep(SECOND).await;
    log.before(Call::Read, || async { panic!("as it is to be") });
    let error = timeout(SECOND, sync.compact()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("without an answer"), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(sync.unsent().await.unwrap(), 0);
    sync.sync_now().await.unwrap().unwrap();
}

/// Also of an exchange that was under way.
#[tokio::test(start_paused = true)]
async fn one_that_has_stopped_makes_no_progress() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let sync = client(&host).await;
    sync.sync_now().await.unwrap().unwrap();
    log.script(Call::Append, [Fault::None, Fault::Delay(SECOND * 60)]);
    for n in 0..5000 {
        device.note(&n.to_string(), "x").await;
    }
    sync.status().wait_for(|status| status.progress.is_some()).await.unwrap();
    sync.stop().await;
    assert_eq!((phase(&sync), sync.status().borrow().progress), (Phase::Stopped, None));
}

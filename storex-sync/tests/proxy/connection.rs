//! What becomes of a connection that breaks.

use std::time::Duration;

use storex_sync::{
    Channel, MemoryChannel, Phase, RemoteSync, SyncError, SyncHandle, SyncHost, WriteState,
};
use tokio::time::{Instant, sleep};

use crate::line::Line;
use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, shared_log};
use crate::{SECOND, assert_disconnected, assert_lost, client, connect, host, let_run, phase};

/// A client on a line that can be cut.
async fn on_line(host: &SyncHost) -> (RemoteSync, Line) {
    let (here, there, line) = Line::new();
    host.serve(there);
    (connect(here).await.unwrap(), line)
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_when_the_channel_is_cut_learns_of_it_at_once() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let (sync, line) = on_line(&host).await;
    let other = client(&host).await;
    sync.sync_now().await.unwrap().unwrap();
    assert!(sync.status().borrow().in_step);

    log.script(Call::Append, [Fault::Delay(SECOND * 60)]);
    device.note("n", "x").await;
    let write = sync.last_write().await.unwrap().unwrap();
    let begin = Instant::now();
    let pause = async {
        let_run().await;
        sync.pause().await
    };
    let (now, synced, paused, ()) =
        tokio::join!(sync.sync_now(), sync.await_synced(write), pause, async {
            sleep(SECOND).await;
            line.cut();
        });
    assert_eq!(begin.elapsed(), SECOND);
    for error in [now.unwrap().unwrap_err(), synced.unwrap_err(), paused.unwrap_err()] {
        assert_disconnected(&error);
    }
    assert_lost(&sync).await;
    // The others go on, and the host does not wait for the one that is gone.
    assert_eq!(host.clients(), 1);
    other.resume().await.unwrap();
    other.await_synced(write).await.unwrap();
    assert_eq!(other.write_state(write).await.unwrap(), WriteState::Sent);

    // Connected again, it knows what is the case now.
    let (sync, _line) = on_line(&host).await;
    assert_eq!((phase(&sync), sync.unsent().await.unwrap()), (Phase::Waiting, 0));
    assert!(sync.status().borrow().in_step);
}

#[tokio::test(start_paused = true)]
async fn when_the_host_is_gone_calls_fail_at_once() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let (sync, other) = (client(&host).await, client(&host).await);
    let mut status = host.sync().status();
    sync.sync_now().await.unwrap().unwrap();
    // In the middle of an exchange that takes a minute.
    log.script(Call::Read, [Fault::Delay(SECOND * 60)]);
    let begin = Instant::now();
    let (now, ()) = tokio::join!(sync.sync_now(), async {
        sleep(SECOND).await;
        drop(host);
    });
    assert_disconnected(&now.unwrap().unwrap_err());
    assert_lost(&sync).await;
    assert_lost(&other).await;
    assert_eq!(begin.elapsed(), SECOND);
    // With its host the sync ends, after the exchange.
    status.wait_for(|status| status.phase == Phase::Stopped).await.unwrap();
    log.forget();
    sleep(SECOND * 600).await;
    assert_eq!(log.calls(), []);
}

/// A worker that hangs, or was ended without a word.
#[tokio::test(start_paused = true)]
async fn c44_a_host_that_gives_no_sign_of_life_counts_as_gone() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let (sync, line) = on_line(&host).await;
    sync.sync_now().await.unwrap().unwrap();
    sleep(SECOND * 1000).await;
    assert_eq!(phase(&sync), Phase::Waiting, "one with nothing to say gives signs of life");
    // For a while nothing arrives, and then everything.
    line.hold();
    sleep(SECOND * 15).await;
    assert!(sync.status().borrow().in_step);
    line.release();
    sleep(SECOND * 1000).await;
    assert_eq!(sync.unsent().await.unwrap(), 0);

    line.hold();
    let begin = Instant::now();
    let error = sync.unsent().await.unwrap_err();
    assert_disconnected(&error);
    assert!(error.to_string().contains("sign of life"), "{error}");
    assert!((SECOND * 15..SECOND * 26).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    assert_lost(&sync).await;
}

/// Also with nobody who asks: the status does not stay at what was true once.
#[tokio::test(start_paused = true)]
async fn the_status_does_not_rest_on_what_was_known_once() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let (sync, line) = on_line(&host).await;
    let mut status = sync.status();
    status.wait_for(|status| status.in_step).await.unwrap();
    line.hold();
    let begin = Instant::now();
    let last = status.wait_for(|status| !status.in_step).await.unwrap().clone();
    assert!(begin.elapsed() <= SECOND * 26, "{:?}", begin.elapsed());
    assert_eq!((last.phase, last.rounds), (Phase::Disconnected, 1), "the rest is as it was known");
    assert_lost(&sync).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_answers_the_greeting() {
    let (here, mut there) = MemoryChannel::pair();
    let error = connect(here).await.unwrap_err();
    assert!(matches!(error, SyncError::Timeout { .. }) && error.is_retryable(), "{error:?}");
    // Its end of the channel is closed.
    let hello = storex_sync::Channel::recv(&mut there).await.unwrap();
    assert_eq!(hello.as_deref(), Some(&[0x91, 0x01][..]));
    assert_eq!(storex_sync::Channel::recv(&mut there).await.unwrap(), None);
    let (here, there) = MemoryChannel::pair();
    drop(there);
    let error = connect(here).await.unwrap_err();
    assert!(matches!(error, SyncError::Closed { .. }) && error.is_retryable(), "{error:?}");
}

/// What is asked of it is given up where sync runs.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_is_given_up_at_the_host() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let sync = client(&host).await;
    sync.sync_now().await.unwrap().unwrap();
    log.script(Call::Append, [Fault::Fail; 1000]);
    device.note("n", "x").await;
    let write = sync.last_write().await.unwrap().unwrap();
    // More than may be under way at once.
    for _ in 0..1200 {
        let waited = tokio::time::timeout(Duration::from_millis(1), sync.await_synced(write)).await;
        assert!(waited.is_err(), "{waited:?}");
    }
    assert_eq!(sync.unsent().await.unwrap(), 1);

    // None of these is given up, until the last have no room.
    let waits = || async { sync.await_synced(write).await };
    let mut all: Vec<_> = (0..1001).map(|_| Box::pin(waits())).collect();
    let refused = std::future::poll_fn(|cx| {
        let ready = all.iter_mut().find_map(|wait| match wait.as_mut().poll(cx) {
            std::task::Poll::Ready(result) => Some(result.unwrap_err()),
            std::task::Poll::Pending => None,
        });
        ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    });
    let refused = refused.await;
    assert!(refused.is_retryable() && refused.to_string().contains("too many"), "{refused}");
    drop(all);
    let_run().await;
    assert_eq!(sync.unsent().await.unwrap(), 1);
    log.heal();
    sync.sync_now().await.unwrap().unwrap();
    sync.await_synced(write).await.unwrap();
}

/// A channel that takes nothing after the greeting, though less is under way than it must take.
#[derive(Debug)]
struct Clogged {
    inner: MemoryChannel,
    has_greeted: bool,
}

#[async_trait::async_trait]
impl Channel for Clogged {
    async fn send(&mut self, frame: Vec<u8>) -> storex_sync::Result<()> {
        if std::mem::replace(&mut self.has_greeted, true) {
            std::future::pending::<()>().await;
        }
        self.inner.send(frame).await
    }

    async fn recv(&mut self) -> storex_sync::Result<Option<Vec<u8>>> {
        self.inner.recv().await
    }

    async fn close(&mut self) -> storex_sync::Result<()> {
        self.inner.close().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_takes_nothing_counts_as_lost() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let host = host(&device, &log).await;
    let (inner, there) = MemoryChannel::pair();
    host.serve(there);
    let sync = connect(Clogged { inner, has_greeted: false }).await.unwrap();
    let begin = Instant::now();
    let error = sync.unsent().await.unwrap_err();
    assert_disconnected(&error);
    assert!(error.to_string().contains("sign of life"), "{error}");
    assert_eq!(begin.elapsed(), SECOND * 20);
    assert_lost(&sync).await;
}

/// Nobody is left who would hear that it is not in step any more.
#[test]
fn when_the_runtime_is_shut_down_the_connection_is_lost() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (sync, _host) = first.block_on(async {
        let log = ScriptedLog::new(&shared_log());
        let device = Device::new(1).await;
        let host = host(&device, &log).await;
        let sync = client(&host).await;
        sync.status().wait_for(|status| status.in_step).await.unwrap();
        (sync, host)
    });
    drop(first);
    runtime().block_on(assert_lost(&sync));
}

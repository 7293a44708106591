//! What is sent, what is read and what was applied before share a request.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods)] // the tests own the time

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use storex_sync::engine::{Action, Next, Round, Triggers};
use storex_sync::{
    Brief, ContinuousSync, Degraded, Limits, LogRequest, MemorySharedLog, SharedSyncLog, SyncError,
    SyncReport, WhenBusy,
};
use support::log::{Call, Fault, ScriptedLog};
use support::{Device, assert_in_step, cloned, parked_count, settle, shared_log};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// No timer of a test is so long.
const LONG: Duration = Duration::from_secs(100_000);

/// One whose next exchange is far away, unless it is asked for, and that has made one.
async fn continuous(device: &Device, log: &Arc<ScriptedLog>) -> ContinuousSync {
    let timer = Triggers { timer: true, ..Triggers::MANUAL };
    let sync = ContinuousSync::builder(device.join(log).await).intervals(LONG, LONG);
    let sync = sync.triggers(timer).start();
    exchanged(&sync).await;
    log.forget();
    sync
}

async fn exchanged(sync: &ContinuousSync) -> SyncReport {
    sync.sync_now().await.expect("it runs").expect("it goes through")
}

/// Ten notes, and ten times one more.
async fn ten(device: &Device, name: &str) {
    for n in 0..10 {
        device.create("note", json!({"id": format!("{name}{n}"), "title": name, "stars": n})).await;
    }
}

/// How many transactions the log keeps for a device.
async fn behind(log: &Arc<MemorySharedLog>, device: &Device) -> u64 {
    let device = device.join(log).await.device().await.unwrap();
    let members = log.members().await.unwrap();
    members.iter().find(|member| member.device == device).expect("a member").behind
}

fn tells(requests: &[LogRequest]) -> Vec<bool> {
    requests.iter().map(|request| request.acknowledge.is_some()).collect()
}

#[tokio::test(start_paused = true)]
async fn c54_ten_pending_both_ways_are_one_request() {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let sync = continuous(&a, &log).await;
    ten(&a, "of A").await;
    ten(&b, "of B").await;
    b.sync(&inner).await;

    let report = exchanged(&sync).await;
    assert_eq!((report.sent_transactions, report.received.transactions), (10, 10));
    assert_eq!(log.calls(), [Call::Append], "one request does it all");
    assert_eq!(tells(&log.requests()), [false]);
    assert_eq!(behind(&inner, &a).await, 10, "what it has brought is told by the next");

    log.forget();
    ten(&a, "more of A").await;
    assert_eq!(exchanged(&sync).await.sent_transactions, 10);
    assert_eq!((log.calls(), tells(&log.requests())), (vec![Call::Append], vec![true]));
    assert_eq!(behind(&inner, &a).await, 0);

    log.forget();
    assert!(exchanged(&sync).await.is_idle());
    assert_eq!((log.calls(), tells(&log.requests())), (vec![Call::Read], vec![false]));
    sync.stop().await;
    assert_eq!(log.calls(), [Call::Read], "there is nothing more to tell");
    b.sync(&inner).await;
    assert_in_step(&[&a, &b]).await;
}

/// By hand nobody knows when the next exchange comes.
#[tokio::test(start_paused = true)]
async fn c54_a_single_exchange_acknowledges_at_its_end() {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let sync = a.join(&log).await;
    sync.sync_once().await.unwrap();
    ten(&b, "of B").await;
    b.sync(&inner).await;
    ten(&a, "of A").await;
    log.forget();
    sync.sync_once().await.unwrap();
    assert_eq!((log.calls(), behind(&inner, &a).await), (vec![Call::Append, Call::Acknowledge], 0));
    // What is only sent acknowledges nothing of its own accord.
    log.forget();
    a.note("n", "x").await;
    sync.send_once().await.unwrap();
    sync.send_once().await.unwrap();
    assert_eq!((log.calls(), tells(&log.requests())), (vec![Call::Append], vec![false]));
}

#[tokio::test(start_paused = true)]
async fn c54_whoever_stops_or_pauses_acknowledges_before() {
    for pauses in [true, false] {
        let inner = shared_log();
        let log = ScriptedLog::new(&inner);
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        let sync = continuous(&a, &log).await;
        ten(&b, "of B").await;
        b.sync(&inner).await;
        exchanged(&sync).await;
        assert_eq!(behind(&inner, &a).await, 10);
        log.forget();
        for _ in 0..2 {
            if pauses {
                sync.pause().await.unwrap();
            } else {
                sync.stop().await;
            }
        }
        assert_eq!((log.calls(), behind(&inner, &a).await), (vec![Call::Acknowledge], 0));
        sync.resume().await.unwrap();
        sync.stop().await;
    }
}

/// It is not worth waiting for: the first exchange afterwards tells it too.
#[tokio::test(start_paused = true)]
async fn c54_stopping_waits_for_no_log_that_does_not_answer() {
    for fault in [Fault::Delay(LONG), Fault::Fail] {
        let inner = shared_log();
        let log = ScriptedLog::new(&inner);
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        let sync = continuous(&a, &log).await;
        ten(&b, "of B").await;
        b.sync(&inner).await;
        exchanged(&sync).await;
        log.script(Call::Acknowledge, [fault]);
        let begun = Instant::now();
        sync.stop().await;
        assert!(begun.elapsed() <= Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(behind(&inner, &a).await, 10);

        log.forget();
        let sync = ContinuousSync::start(a.join(&log).await, LONG);
        exchanged(&sync).await;
        assert_eq!(
            tells(&log.requests()),
            [false],
            "nobody has looked yet whether it is the same log"
        );
        sync.stop().await;
        assert_eq!((log.count(Call::Acknowledge), behind(&inner, &a).await), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn c54_without_a_connection_nothing_is_told() {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    ten(&b, "of B").await;
    b.sync(&inner).await;
    let (connection, online) = watch::channel(true);
    let sync = ContinuousSync::builder(a.join(&log).await).online(online).start();
    exchanged(&sync).await;
    log.forget();
    connection.send(false).unwrap();
    let mut status = sync.status();
    status.wait_for(|status| status.phase == storex_sync::Phase::Offline).await.unwrap();
    sync.pause().await.unwrap();
    sync.stop().await;
    assert_eq!(log.calls(), []);
}

/// Who is given up in the middle has told nothing; the next exchange does, although nothing new has arrived.
#[tokio::test(start_paused = true)]
async fn c54_what_a_brief_exchange_could_not_tell_is_told_by_the_next() {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let sync = a.join(&log).await;
    sync.sync_once().await.unwrap();
    ten(&b, "of B").await;
    b.sync(&inner).await;
    log.script(Call::Acknowledge, [Fault::Delay(LONG)]);
    let brief = Brief { within: Duration::from_secs(3), when_busy: WhenBusy::Skip };
    let done = sync.sync_briefly(brief).await.unwrap();
    assert_eq!((done.degraded, behind(&inner, &a).await), (Some(Degraded::OutOfTime), 10));
    log.forget();
    assert!(sync.sync_once().await.unwrap().is_idle());
    assert_eq!((log.calls(), behind(&inner, &a).await), (vec![Call::Read], 0));
}

/// C10 too: of requests that send and read every second answer is lost.
#[tokio::test(start_paused = true)]
async fn c54_a_lost_answer_doubles_nothing_in_either_direction() {
    let inner = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "counts", "stars": 0})).await;
    settle(&[&a, &b], &inner).await;
    let log = ScriptedLog::new(&inner);
    let lossy = [Fault::DropAnswer, Fault::None, Fault::Duplicate].repeat(100);
    log.script(Call::Append, lossy);
    let syncs = [a.join(&log).await, b.join(&log).await];
    for n in 0..100 {
        for (device, sync) in [&a, &b].into_iter().zip(&syncs) {
            device.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
            device.note(&format!("{n} {:?}", sync.device().await.unwrap()), "x").await;
            let lost = sync.sync_once().await;
            assert!(lost.is_ok() || sync.sync_once().await.is_ok(), "{lost:?}");
        }
    }
    assert!(log.count(Call::Append) > 250, "there was something to send and something to read");
    settle(&[&a, &b], &inner).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.get("note", "n").await.unwrap()["stars"], 200);
    assert_eq!(inner.len(), 401, "each transaction is in the log once");
}

/// What takes long or fails does not do so again together with everything else that shares its request.
#[tokio::test(start_paused = true)]
async fn c54_after_a_failure_what_is_sent_and_what_is_read_go_alone() {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let sync = a.join(&log).await;
    sync.sync_once().await.unwrap();
    ten(&a, "of A").await;
    ten(&b, "of B").await;
    b.sync(&inner).await;
    log.forget();
    log.script(Call::Append, [Fault::Fail]);
    sync.sync_once().await.unwrap_err();
    assert_eq!(sync.unsent().await.unwrap(), 10);
    log.forget();
    log.script(Call::Read, [Fault::Fail]);
    sync.sync_once().await.unwrap_err();
    assert_eq!(log.calls(), [Call::Register, Call::Append, Call::Read]);
    assert_eq!(sync.unsent().await.unwrap(), 0, "what was sent is not sent again");
    sync.sync_once().await.unwrap();
    b.sync(&inner).await;
    assert_in_step(&[&a, &b]).await;
}

/// To acknowledge costs a flush of the database.
#[tokio::test(start_paused = true)]
async fn c54_of_many_pages_not_each_is_acknowledged() {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let sync = a.join(&log).await.limits(Limits { bytes: 1, ..Limits::default() });
    sync.sync_once().await.unwrap();
    for n in 0..14 {
        ten(&b, &format!("of B {n} ")).await;
    }
    b.sync(&inner).await;
    log.forget();
    assert_eq!(sync.sync_once().await.unwrap().received.transactions, 140);
    let told: Vec<usize> =
        tells(&log.requests()).iter().enumerate().filter(|(_, it)| **it).map(|(n, _)| n).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!((log.count(Call::Read), behind(&inner, &a).await), (140, 0));
    log.forget();
    assert!(sync.sync_once().await.unwrap().is_idle());
    assert_eq!((log.calls(), tells(&log.requests())), (vec![Call::Read], vec![false]));
}

/// By hand, or on changes only: nobody knows when the next exchange comes.
#[tokio::test(start_paused = true)]
async fn c54_without_a_timer_each_exchange_acknowledges_at_its_end() {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let sync = ContinuousSync::builder(a.join(&log).await).triggers(Triggers::MANUAL).start();
    exchanged(&sync).await;
    ten(&b, "of B").await;
    b.sync(&inner).await;
    exchanged(&sync).await;
    assert_eq!(behind(&inner, &a).await, 0);
    sync.stop().await;
}

/// Of what shares a request with a reading that cannot be, what was sent is done with.
#[tokio::test(start_paused = true)]
async fn c54_what_was_sent_by_a_device_below_the_floor_is_not_sent_again() {
    let inner = shared_log();
    let log = ScriptedLog::without_snapshots(&inner);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let sync = a.join(&log).await;
    sync.sync_once().await.unwrap();
    let me = sync.device().await.unwrap();
    ten(&b, "of B").await;
    b.sync(&inner).await;
    inner.dismiss(me).await.unwrap();
    inner.trim().await.unwrap();
    a.note("a", "of A").await;
    log.forget();
    let error = sync.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::BelowFloor { .. }), "{error}");
    assert_eq!((log.calls(), sync.unsent().await.unwrap()), (vec![Call::Append], 0));
    b.sync(&inner).await;
    assert_eq!(b.title("a").await.as_deref(), Some("of A"));
}

/// A copy has sent under the same numbers: the request is refused, and reads nothing. Nothing is lost by it, or applied twice.
#[tokio::test(start_paused = true)]
async fn c54_where_sending_is_refused_everything_arrives_once() {
    let (a, b, copy, inner) = cloned().await;
    let log = ScriptedLog::new(&inner);
    let sync = continuous(&copy, &log).await;
    for (device, by) in [(&a, 1), (&copy, 2), (&b, 4)] {
        device.update("note", json!({"id": "n"}), json!({"stars": {"$inc": by}})).await;
    }
    a.sync(&inner).await;
    b.sync(&inner).await;
    let report = exchanged(&sync).await;
    assert_eq!((report.incarnation.is_some(), report.received.transactions), (true, 2));
    sync.stop().await;
    settle(&[&a, &b, &copy], &inner).await;
    assert_in_step(&[&a, &b, &copy]).await;
    assert_eq!(a.get("note", "n").await.unwrap()["stars"], 17);
    assert_eq!(parked_count(&copy).await, 0);
}

/// Drives exchanges of a series until the power is lost, after so many steps. Gives the device as it is then: what no flush has made
/// durable is gone. `None`: they were through before.
async fn until_power_is_lost(
    device: &Device,
    log: &Arc<MemorySharedLog>,
    exchanges: usize,
    mut steps: u32,
) -> Option<Device> {
    let mut durable = device.copied(1).await;
    let sync = device.join(log).await;
    for n in 0..exchanges {
        let (mut turn, mut round) = (sync.turn().await.unwrap(), Round::new().in_a_series());
        let mut action = Action::ReadPlace;
        loop {
            if steps == 0 {
                return Some(durable);
            }
            steps -= 1;
            let flushes = action == Action::Flush;
            let outcome = sync.perform(&turn, action).await.unwrap();
            if flushes {
                durable = device.copied(1).await;
            }
            match round.step(outcome).unwrap() {
                Next::Do(next) => action = next,
                Next::Finished(_) => break,
            }
        }
        turn.went_through();
        // The second has nothing to send.
        if n == 1 {
            device.note("after the second", "x").await;
        }
    }
    None
}

/// Everybody else has everything and the log drops what all have acknowledged: what was acknowledged too early would be missing.
#[tokio::test(start_paused = true)]
async fn c54_a_loss_of_power_anywhere_loses_nothing_that_was_acknowledged() {
    let mut cuts = 0;
    for steps in 0.. {
        let log = shared_log();
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        settle(&[&a, &b], &log).await;
        ten(&b, "of B").await;
        b.sync(&log).await;
        ten(&a, "of A").await;
        let Some(a) = until_power_is_lost(&a, &log, 3, steps).await else { break };
        cuts += 1;
        b.sync(&log).await;
        log.trim().await.unwrap();
        timeout(LONG, a.join(&log).await.sync_once()).await.unwrap().unwrap();
        b.note("still", "in step").await;
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        for n in 0..10 {
            assert!(a.title(&format!("of B{n}")).await.is_some(), "{steps}");
        }
    }
    assert!(cuts > 15, "{cuts}");
}

/// The program is killed between an exchange and the next, which would have acknowledged.
#[tokio::test(start_paused = true)]
async fn c54_after_a_crash_the_first_exchange_acknowledges() {
    let inner = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    settle(&[&a, &b], &inner).await;
    ten(&b, "of B").await;
    b.sync(&inner).await;
    assert!(until_power_is_lost(&a, &inner, 1, u32::MAX).await.is_none());
    assert_eq!(behind(&inner, &a).await, 10);
    let log = ScriptedLog::new(&inner);
    let a = a.reopened(support::schema()).await;
    let sync = ContinuousSync::builder(a.join(&log).await).triggers(Triggers::MANUAL).start();
    exchanged(&sync).await;
    assert_eq!(log.calls(), [Call::Register, Call::Read, Call::Acknowledge]);
    assert_eq!(behind(&inner, &a).await, 0);
}

//! Exchanges for one purpose, and exchanges in little time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(clippy::disallowed_methods)] // the tests own the time
#![allow(missing_docs)]

mod support;

use std::time::Duration;

use storex_sync::{Brief, Degraded, Exclusive, LeaseTimes, SyncError, WhenBusy};
use support::log::{Call, Fault, ScriptedLog};
use support::{Device, assert_in_step, count, settle, shared_log};
use tokio::time::Instant;

const THREE_SECONDS: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn c26_sending_nothing_makes_no_request_and_receiving_makes_one() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let sync = a.join(&scripted).await;
    assert!(sync.send_once().await.unwrap().is_idle());
    assert_eq!(scripted.calls(), [], "also before the log knows the device");
    sync.sync_once().await.unwrap();
    b.note("b", "of B").await;
    b.sync(&log).await;
    scripted.forget();
    assert!(sync.send_once().await.unwrap().is_idle());
    assert_eq!(scripted.calls(), []);
    a.note("a", "of A").await;
    assert_eq!(sync.send_once().await.unwrap().sent_transactions, 1);
    assert_eq!(scripted.calls(), [Call::Append]);
    assert_eq!(a.title("b").await, None, "nothing was asked for");
    scripted.forget();
    a.note("later", "not sent by receiving").await;
    assert_eq!(sync.receive_once().await.unwrap().received.transactions, 1);
    assert_eq!(scripted.calls(), [Call::Read, Call::Acknowledge]);
    scripted.forget();
    assert!(sync.receive_once().await.unwrap().is_idle());
    assert_eq!(scripted.calls(), [Call::Read]);
    assert_eq!(count(&a, "_storex_log").await, 1);
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
}

/// The first exchange of a device may be for one purpose too.
#[tokio::test(start_paused = true)]
async fn c26_a_device_that_the_log_does_not_know_sends_and_receives() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("a", "of A").await;
    assert_eq!(a.join(&log).await.send_once().await.unwrap().sent_transactions, 1);
    assert_eq!(b.join(&log).await.receive_once().await.unwrap().received.transactions, 1);
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn c39_a_log_that_does_not_answer_costs_no_more_than_the_time_that_there_is() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    b.note("b", "of B").await;
    b.sync(&log).await;
    a.note("a", "of A").await;
    // The last of them when there is nothing to send any more.
    for call in [Call::Register, Call::Append, Call::Acknowledge, Call::Read] {
        scripted.script(call, [Fault::Delay(Duration::from_secs(3600))]);
        let begun = Instant::now();
        let brief = Brief { within: THREE_SECONDS, when_busy: WhenBusy::Skip };
        let done = a.join(&scripted).await.sync_briefly(brief).await.unwrap();
        assert_eq!(done.degraded, Some(Degraded::OutOfTime), "{call:?}");
        assert_eq!(begun.elapsed(), THREE_SECONDS, "{call:?}");
        scripted.heal();
    }
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(log.len(), 2, "nothing was sent twice");
}

#[tokio::test(start_paused = true)]
async fn c39_beside_the_program_that_syncs_it_receives_and_sends_nothing() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let main = Exclusive::lease(&a.storage, LeaseTimes::default()).await.unwrap();
    let guard = main.try_acquire().await.unwrap().expect("nobody else holds it");
    b.note("b", "of B").await;
    b.sync(&log).await;
    a.note("a", "of A").await;
    let second = Exclusive::lease(&a.storage, LeaseTimes::default()).await.unwrap();
    let sync = a.join(&log).await.exclusive(second);
    assert!(matches!(sync.sync_once().await.unwrap_err(), SyncError::HeldElsewhere));
    let skip = Brief { within: THREE_SECONDS, when_busy: WhenBusy::Skip };
    let done = sync.sync_briefly(skip).await.unwrap();
    assert_eq!(done.degraded, Some(Degraded::Busy));
    assert!(done.report.is_idle());
    let receive = Brief { when_busy: WhenBusy::ReceiveOnly, ..skip };
    let mut changes = a.storage.changes();
    let done = sync.sync_briefly(receive).await.unwrap();
    assert_eq!(done.degraded, Some(Degraded::Busy));
    assert_eq!(done.report.received.transactions, 1);
    assert_eq!(a.title("b").await.as_deref(), Some("of B"));
    assert!(changes.next().await.is_some(), "C40: the others learn of it");
    assert_eq!(log.len(), 1, "nothing was sent");
    // The program that syncs goes on from there.
    drop(guard);
    let sync = a.join(&log).await.exclusive(main);
    let report = sync.sync_once().await.unwrap();
    assert_eq!((report.sent_transactions, report.received.transactions), (1, 0));
    settle(&[&b, &a], &log).await;
    assert_in_step(&[&a, &b]).await;
}

/// Both read the same page; the one that is slower does not take the database back to an older place.
#[tokio::test(start_paused = true)]
async fn a_slower_reader_does_not_take_the_place_back() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.sync(&log).await;
    b.note("1", "of B").await;
    b.sync(&log).await;
    let scripted = ScriptedLog::new(&log);
    let (fast, fast_log, writer) = (a.clone(), log.clone(), b.clone());
    scripted.after(Call::Read, move || {
        let (fast, log, writer) = (fast.clone(), fast_log.clone(), writer.clone());
        async move {
            writer.note("2", "meanwhile").await;
            writer.sync(&log).await;
            fast.sync(&log).await;
        }
    });
    a.join(&scripted).await.receive_once().await.unwrap();
    let scripted = ScriptedLog::new(&log);
    assert!(a.join(&scripted).await.sync_once().await.unwrap().is_idle());
    assert!(scripted.delivered().iter().all(|(_, page)| page.is_empty()), "nothing comes twice");
    assert_in_step(&[&a, &b]).await;
}

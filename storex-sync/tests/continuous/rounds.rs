//! One exchange after the other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use storex_core::ErrorKind;
use storex_sync::engine::Backoff;
use storex_sync::{Phase, SyncHandle};
use tokio::time::{Instant, sleep};

use crate::in_both_places;
use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::place::{Place, StartIn};
use crate::support::{Device, assert_in_step, count, shared_log};
use crate::{INTERVAL, every, let_run};

/// On the interval, also after failures.
async fn start(device: &Device, log: &Arc<ScriptedLog>, place: Place) -> Arc<dyn SyncHandle> {
    let regular = Backoff { first: INTERVAL, factor: 1.0, jitter: 0.0, ..Backoff::default() };
    let builder = every(device.join(log).await, INTERVAL);
    builder.backoff(regular).start_in(place).await
}

async fn the_first_exchange_is_at_once_and_then_one_per_interval(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    device.note("n", "x").await;
    let continuous = start(&device, &log, place).await;
    let_run().await;
    assert_eq!(continuous.status().borrow().rounds, 1);
    assert_eq!(log.calls(), [Call::Register, Call::Append, Call::Read]);
    log.forget();
    for round in 2..6 {
        sleep(INTERVAL).await;
        assert_eq!(continuous.status().borrow().rounds, round);
    }
    assert_eq!(log.calls(), [Call::Read; 4], "with nothing to do one request each");
    let status = continuous.status().borrow().clone();
    assert_eq!((status.phase, status.last_error), (Phase::Waiting, None));
    assert!(status.last_success.is_some());
    continuous.stop().await;
}

/// The interval is counted from the end of an exchange, however long it took, and two never overlap.
async fn exchanges_never_overlap(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let begun: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let slow = INTERVAL * 3;
    for _ in 0..4 {
        let begun = Arc::clone(&begun);
        log.before(Call::Read, move || {
            let begun = Arc::clone(&begun);
            async move { begun.lock().unwrap().push(Instant::now()) }
        });
    }
    log.script(Call::Read, [Fault::Delay(slow); 4]);
    let continuous = start(&device, &log, place).await;
    sleep((slow + INTERVAL) * 4).await;
    let begun = begun.lock().unwrap().clone();
    assert_eq!(begun.len(), 4);
    for pair in begun.windows(2) {
        let between = pair[1] - pair[0];
        assert!(between >= slow + INTERVAL, "{between:?}");
        assert!(between < slow + INTERVAL * 2, "{between:?}");
    }
    assert_eq!(log.most_running(), 1);
    continuous.stop().await;
}

async fn a_failure_is_told_and_tried_again_after_the_interval(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    device.note("n", "x").await;
    log.script(Call::Append, [Fault::Fail, Fault::DropAnswer]);
    let continuous = start(&device, &log, place).await;
    let mut status = continuous.status();
    let_run().await;
    let failed = status.borrow_and_update().clone();
    assert_eq!((failed.rounds, failed.last_success), (0, None));
    assert!(matches!(failed.phase, Phase::BackingOff { .. }), "{:?}", failed.phase);
    assert!(failed.last_error.unwrap().contains("lost"));
    sleep(INTERVAL).await;
    assert!(status.borrow_and_update().last_error.is_some());
    sleep(INTERVAL).await;
    let healed = status.borrow_and_update().clone();
    assert_eq!((healed.rounds, healed.last_error), (1, None));
    // Then an error again: the last success stays told.
    log.script(Call::Read, [Fault::Fail]);
    sleep(INTERVAL).await;
    let again = status.borrow_and_update().clone();
    assert_eq!((again.rounds, again.last_success), (1, healed.last_success));
    assert!(again.last_error.is_some());
    continuous.stop().await;
    assert_eq!(count(&device, "_storex_log").await, 0);
}

async fn sync_now_begins_after_the_call_and_does_not_wait_for_the_timer(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let (device, other) = (Device::new(1).await, Device::new(2).await);
    let continuous = start(&device, &log, place).await;
    let_run().await;
    let before = Instant::now();
    device.note("n", "x").await;
    let report = continuous.sync_now().await.unwrap().unwrap();
    assert_eq!(report.sent_transactions, 1);
    assert!(before.elapsed() < INTERVAL);

    // One that comes while an exchange is under way is not content with it: it may have missed the write.
    log.script(Call::Read, [Fault::Delay(Duration::from_secs(5))]);
    let first = async {
        let report = continuous.sync_now().await.unwrap().unwrap();
        assert_eq!(report.sent_transactions, 0);
    };
    let second = async {
        sleep(Duration::from_secs(1)).await;
        device.note("m", "written during the exchange").await;
        let report = continuous.sync_now().await.unwrap().unwrap();
        assert_eq!(report.sent_transactions, 1);
    };
    tokio::join!(first, second);
    other.sync(&log).await;
    assert_in_step(&[&device, &other]).await;
    continuous.stop().await;
}

/// Many callers share one exchange, and its error keeps its class for all of them.
async fn sync_now_joins(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let continuous = start(&device, &log, place).await;
    let_run().await;
    device.note("n", "x").await;
    log.forget();
    log.script(Call::Append, [Fault::Fail]);
    for fails in [true, false] {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let continuous = Arc::clone(&continuous);
            calls.spawn(async move { continuous.sync_now().await.unwrap() });
        }
        let results = calls.join_all().await;
        assert_eq!(results.len(), 20);
        for result in results {
            match result {
                Ok(report) => {
                    assert!(!fails);
                    assert_eq!(report.sent_transactions, 1, "all learn the same");
                }
                Err(error) => {
                    assert!(fails);
                    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Io, true));
                    assert!(error.to_string().contains("lost"), "{error}");
                }
            }
        }
        assert_eq!(log.count(Call::Append), if fails { 1 } else { 2 });
    }
    continuous.stop().await;
}

async fn stop_waits_for_the_exchange_and_can_be_called_twice(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    device.note("n", "x").await;
    log.script(Call::Append, [Fault::Delay(Duration::from_secs(60))]);
    let continuous = start(&device, &log, place).await;
    let_run().await;
    assert_eq!(continuous.status().borrow().phase, Phase::Sending);
    let (now, (), ()) = tokio::join!(
        async {
            sleep(Duration::from_secs(1)).await;
            continuous.sync_now().await
        },
        continuous.stop(),
        continuous.stop()
    );
    assert!(now.is_none(), "whoever waits when it is stopped learns that there is no exchange");
    assert_eq!(count(&device, "_storex_log").await, 0, "the one that was running came to its end");
    assert_eq!(continuous.status().borrow().phase, Phase::Stopped);
    assert!(continuous.sync_now().await.is_none());
    continuous.stop().await;
    log.forget();
    sleep(INTERVAL * 10).await;
    assert_eq!(log.calls(), []);
}

async fn dropping_it_stops_it(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let continuous = start(&device, &log, place).await;
    let mut status = continuous.status();
    let_run().await;
    log.forget();
    drop(continuous);
    sleep(INTERVAL * 10).await;
    assert_eq!(log.calls(), []);
    assert_eq!(status.borrow_and_update().phase, Phase::Stopped);
    assert!(status.changed().await.is_err(), "the task is gone");
}

/// The wall clock may jump as it likes: the timer does not look at it.
async fn the_timer_does_not_follow_the_wall_clock(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let continuous = start(&device, &log, place).await;
    let_run().await;
    for jump in [-86_400_000_000, 86_400_000_000] {
        device.runtime.advance(jump);
        let rounds = continuous.status().borrow().rounds;
        sleep(INTERVAL).await;
        assert_eq!(continuous.status().borrow().rounds, rounds + 1);
    }
    continuous.stop().await;
}

in_both_places![
    the_first_exchange_is_at_once_and_then_one_per_interval,
    exchanges_never_overlap,
    a_failure_is_told_and_tried_again_after_the_interval,
    sync_now_begins_after_the_call_and_does_not_wait_for_the_timer,
    sync_now_joins,
    stop_waits_for_the_exchange_and_can_be_called_twice,
    dropping_it_stops_it,
    the_timer_does_not_follow_the_wall_clock,
];

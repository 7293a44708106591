//! What is done about errors.

use std::time::Duration;

use storex_core::{Error, ErrorKind};
use storex_sync::engine::Backoff;
use storex_sync::{Device as DeviceId, Phase, Recovery, SyncError, SyncEvent};
use tokio::time::{Instant, sleep};

use crate::in_both_places;
use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::place::{Place, StartIn};
use crate::support::{Device, count, shared_log};
use crate::{LONG, SECOND, builder, distances, every, exchanged, let_run, refused, times};

async fn c55_the_waits_grow_up_to_the_cap_with_jitter(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    log.script(Call::Read, [Fault::Fail; 12]);
    let times = times(&log, &[Call::Read], 13);
    let cap = SECOND * 60;
    let backoff = Backoff { cap, ..Backoff::default() };
    let continuous = builder(&device, &log).await.backoff(backoff).start_in(place).await;
    let mut status = continuous.status();
    status.wait_for(|status| status.rounds == 1).await.unwrap();
    let distances = distances(&times);
    assert_eq!(distances.len(), 12);
    let mut left_off = false;
    for (n, distance) in distances.into_iter().enumerate() {
        let whole = (SECOND * 2_u32.pow(u32::try_from(n).unwrap())).min(cap);
        // The clock of the tests knows milliseconds.
        let slack = Duration::from_millis(2);
        assert!(distance + slack >= whole / 2 && distance <= whole + slack, "{n}: {distance:?}");
        left_off |= distance + slack * 2 < whole;
    }
    assert!(left_off, "devices that fail together do not come back together");

    // A success begins anew.
    log.script(Call::Read, [Fault::Fail]);
    refused(&continuous).await;
    let begin = Instant::now();
    status.wait_for(|status| status.rounds == 2).await.unwrap();
    assert!(begin.elapsed() <= SECOND + Duration::from_millis(2));
    continuous.stop().await;
}

/// The error is in the status at once, and told as an event when the attempts are used up.
async fn c55_noise_is_not_told_until_the_attempts_are_used_up(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    log.script(Call::Read, [Fault::Fail; 4]);
    let backoff = Backoff { quiet_attempts: 3, ..Backoff::default() };
    let continuous = builder(&device, &log).await.backoff(backoff).start_in(place).await;
    let mut events = continuous.events();
    let_run().await;
    let status = continuous.status().borrow().clone();
    assert_eq!(status.failures, 1);
    assert!(status.last_error.unwrap().contains("lost"));
    match events.next().await {
        Some(SyncEvent::Failed { error, attempts: 4 }) => {
            assert_eq!(error.kind(), ErrorKind::Io);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(events.next().await, Some(SyncEvent::Exchanged(_))));
    continuous.stop().await;
    assert!(events.next().await.is_none());
}

/// What does not pass by itself is told at once.
async fn c56_what_needs_somebody_is_told_at_once_and_tried_rarely(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    log.script(Call::Read, [Fault::Replace]);
    let sync = device.join(&log).await.keep_log();
    let continuous = every(sync, LONG).start_in(place).await;
    let mut events = continuous.events();
    let failed = Instant::now();
    let event = events.next().await.unwrap();
    assert!(matches!(event, SyncEvent::Failed { attempts: 1, .. }), "{event:?}");
    events.next().await.unwrap();
    assert!(failed.elapsed() >= Backoff::default().cap / 2, "{:?}", failed.elapsed());
    assert_eq!(continuous.status().borrow().last_error, None);
    continuous.stop().await;
}

fn busy() -> Error {
    Error::Backend {
        backend: "test",
        operation: "write",
        collection: None,
        kind: ErrorKind::Busy,
        hint: "somebody else holds it".to_owned(),
        source: "busy".into(),
    }
}

fn elsewhere(kind: ErrorKind, retryable: bool) -> SyncError {
    SyncError::Elsewhere { kind, retryable, message: "because".to_owned(), source: None }
}

#[test]
fn c56_each_error_has_a_recovery() {
    let device = DeviceId::default();
    let during = "testing";
    let reason = || "because".to_owned();
    let storage = |source| SyncError::Storage { during, source };
    let wait = SECOND * 5;
    let table = [
        (storage(busy()), Recovery::Retry, true),
        (storage(Error::Closed), Recovery::Nothing, false),
        (SyncError::NoSyncLog, Recovery::Intervene, false),
        (SyncError::Transport { during, reason: reason() }, Recovery::Retry, true),
        (SyncError::Closed { during }, Recovery::Retry, true),
        (SyncError::Protocol { during, reason: reason() }, Recovery::Intervene, false),
        (SyncError::Remote { kind: ErrorKind::Io, reason: reason() }, Recovery::Retry, true),
        (SyncError::Corrupt { what: during, reason: reason() }, Recovery::Intervene, false),
        (SyncError::Gap { device, expected: 1, found: 3 }, Recovery::Retry, true),
        (SyncError::Forked { device, sequence: 1 }, Recovery::Intervene, false),
        (SyncError::LogReplaced, Recovery::Intervene, false),
        (SyncError::BelowFloor { reader: device }, Recovery::Intervene, false),
        (SyncError::Timeout { during, after: wait }, Recovery::Retry, true),
        (SyncError::RateLimited { retry_after: wait }, Recovery::Wait(wait), true),
        (SyncError::Unauthorized { reason: reason() }, Recovery::LogIn, false),
        (SyncError::Offline, Recovery::GoOn, true),
        (SyncError::Paused, Recovery::GoOn, false),
        (SyncError::Stopped, Recovery::Nothing, false),
        (SyncError::UnknownWrite { device, sequence: 1 }, Recovery::Intervene, false),
        (SyncError::Disconnected { reason: reason() }, Recovery::Retry, true),
        (elsewhere(ErrorKind::Io, true), Recovery::Retry, true),
        (elsewhere(ErrorKind::Closed, true), Recovery::Retry, true),
        (elsewhere(ErrorKind::Closed, false), Recovery::Nothing, false),
        (elsewhere(ErrorKind::Corrupt, false), Recovery::Intervene, false),
    ];
    for (error, recovery, retryable) in table {
        assert_eq!((error.recovery(), error.is_retryable()), (recovery, retryable), "{error}");
        let joined = SyncError::Joined(error.into());
        assert_eq!((joined.recovery(), joined.is_retryable()), (recovery, retryable), "{joined}");
    }
}

async fn c66_the_log_is_left_alone_as_long_as_it_asks(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let (connection, online) = tokio::sync::watch::channel(true);
    let continuous = builder(&device, &log).await.online(online).start_in(place).await;
    let_run().await;
    log.script(Call::Append, [Fault::RateLimit(SECOND * 5)]);
    let times = times(&log, &[Call::Append], 2);
    device.note("n", "x").await;
    sleep(SECOND).await;
    let told = continuous.status().borrow().clone();
    assert!(matches!(told.phase, Phase::BackingOff { .. }), "{:?}", told.phase);
    log.forget();
    // Whatever happens: somebody asks, a connection comes back, another write, a login.
    let error = refused(&continuous).await;
    match error.cause() {
        SyncError::RateLimited { retry_after } => assert!(*retry_after <= SECOND * 5),
        other => panic!("{other}"),
    }
    connection.send(false).unwrap();
    let_run().await;
    connection.send(true).unwrap();
    device.note("m", "x").await;
    continuous.logged_in();
    continuous.resume().await.unwrap();
    sleep(SECOND * 3).await;
    assert_eq!(log.calls(), []);
    sleep(SECOND * 2).await;
    assert_eq!(count(&device, "_storex_log").await, 0, "and then it is sent without being asked");
    let distance = distances(&times)[0];
    assert!(distance >= SECOND * 5 && distance < SECOND * 6, "{distance:?}");
    continuous.stop().await;
}

/// What the log asks for is kept to, whoever asks; what is waited beyond it, after many failures, is our own advice, and cut by a connection
/// and by whoever asks, as after any other failure.
async fn c66_only_what_the_log_has_asked_for_is_waited_in_any_case(place: Place) {
    for asks in [false, true] {
        let log = ScriptedLog::new(&shared_log());
        let device = Device::new(1).await;
        let (connection, online) = tokio::sync::watch::channel(true);
        let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
        log.script(Call::Read, [Fault::RateLimit(SECOND * 5); 7]);
        let times = times(&log, &[Call::Read], 9);
        let builder = builder(&device, &log).await.backoff(backoff).online(online);
        let continuous = builder.start_in(place).await;
        let mut status = continuous.status();
        status.wait_for(|status| status.failures == 7).await.unwrap();
        let begin = Instant::now();
        let told = |continuous: &std::sync::Arc<dyn storex_sync::SyncHandle>| {
            continuous.status().borrow().phase
        };
        // 5 s are asked for, and it has failed seven times: without anybody it would be 64 s.
        sleep(SECOND * 4).await;
        assert!(matches!(told(&continuous), Phase::BackingOff { .. }));
        if asks {
            assert!(matches!(refused(&continuous).await.cause(), SyncError::RateLimited { .. }));
            sleep(SECOND * 2).await;
        } else {
            sleep(SECOND * 6).await;
            assert_eq!(log.count(Call::Read), 7, "nobody has asked");
            assert!(matches!(told(&continuous), Phase::BackingOff { .. }));
            connection.send(false).unwrap();
            let_run().await;
            connection.send(true).unwrap();
            let_run().await;
        }
        let last = *times.lock().unwrap().last().unwrap();
        let expected = if asks { SECOND * 5 } else { SECOND * 10 };
        let waited = last - begin;
        assert!(waited >= expected && waited < expected + SECOND / 2, "{asks}: {waited:?}");
        assert_eq!(continuous.status().borrow().failures, 0);
        continuous.stop().await;
    }
}

/// After the time that the log has asked for, a person who asks gets what is asked for.
async fn c66_who_asks_after_that_time_is_served(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
    log.script(Call::Read, [Fault::RateLimit(SECOND); 7]);
    let continuous = builder(&device, &log).await.backoff(backoff).start_in(place).await;
    let mut status = continuous.status();
    status.wait_for(|status| status.failures == 7).await.unwrap();
    sleep(SECOND * 2).await;
    exchanged(&continuous).await;
    assert_eq!(log.count(Call::Read), 8);
    continuous.stop().await;
}

/// A request that is never answered is given up and made again.
async fn c64_each_request_has_a_deadline(place: Place) {
    for call in [Call::Register, Call::Append, Call::Read] {
        let inner = shared_log();
        let log = ScriptedLog::new(&inner);
        let (device, other) = (Device::new(1).await, Device::new(2).await);
        other.note("theirs", "x").await;
        other.sync(&inner).await;
        if call != Call::Read {
            device.note("ours", "x").await;
        }
        log.script(call, [Fault::Delay(LONG)]);
        let sync = device.join(&log).await.deadline(SECOND * 30);
        let continuous = every(sync, LONG / 2).start_in(place).await;
        sleep(SECOND * 30 + Duration::from_millis(300)).await;
        let error = continuous.status().borrow().last_error.clone().unwrap();
        assert!(error.contains("30 s"), "{call:?}: {error}");
        sleep(SECOND * 5).await;
        let status = continuous.status().borrow().clone();
        assert_eq!((status.last_error, status.unsent), (None, 0), "{call:?}");
        assert!(status.in_step, "{call:?}");
        assert_eq!(device.title("theirs").await.as_deref(), Some("x"));
        continuous.stop().await;
    }
}

/// The storage is closed under it.
async fn it_ends_with_the_storage(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let continuous = builder(&device, &log).await.start_in(place).await;
    let_run().await;
    device.storage.close().await.unwrap();
    let_run().await;
    assert_eq!(continuous.status().borrow().phase, Phase::Stopped);
    assert!(continuous.sync_now().await.is_none());
    continuous.stop().await;
}

/// Somebody who asks does not wait for the end of a wait.
async fn c55_whoever_asks_cuts_the_wait(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    log.script(Call::Read, [Fault::Fail; 8]);
    let continuous = builder(&device, &log).await.start_in(place).await;
    sleep(SECOND * 100).await;
    log.heal();
    let begin = Instant::now();
    exchanged(&continuous).await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    continuous.stop().await;
}

in_both_places![
    c55_the_waits_grow_up_to_the_cap_with_jitter,
    c55_noise_is_not_told_until_the_attempts_are_used_up,
    c56_what_needs_somebody_is_told_at_once_and_tried_rarely,
    c66_the_log_is_left_alone_as_long_as_it_asks,
    c66_only_what_the_log_has_asked_for_is_waited_in_any_case,
    c66_who_asks_after_that_time_is_served,
    c64_each_request_has_a_deadline,
    it_ends_with_the_storage,
    c55_whoever_asks_cuts_the_wait,
];

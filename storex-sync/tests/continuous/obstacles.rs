//! No connection, a pause, a login that is needed.

use std::time::Duration;

use storex_sync::{Phase, SyncError, SyncLog};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::in_both_places;
use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::place::{Place, StartIn};
use crate::support::{Device, assert_in_step, count, open, parked_count, schema, shared_log};
use crate::{INTERVAL, SECOND, builder, every, exchanged, let_run, refused};

/// The same database, opened by another instance: another tab, another process, or after a restart.
async fn again(device: &Device) -> Device {
    let storage = open(&device.backend, &device.runtime, schema(), SyncLog::new()).await;
    Device { storage, ..device.clone() }
}

async fn c62_off_line_nothing_is_asked_and_on_line_it_exchanges_at_once(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let (connection, online) = watch::channel(false);
    let short = builder(&device, &log).await.intervals(SECOND, SECOND);
    let continuous = short.online(online).start_in(place).await;
    device.note("n", "written without a connection").await;
    sleep(SECOND * 600).await;
    assert_eq!(log.calls(), []);
    let status = continuous.status().borrow().clone();
    assert_eq!((status.phase, status.unsent, status.failures), (Phase::Offline, 1, 0));
    assert!(!status.in_step);
    assert!(matches!(refused(&continuous).await.cause(), SyncError::Offline));
    connection.send(true).unwrap();
    sleep(SECOND).await;
    assert_eq!(log.count(Call::Append), 1);
    assert!(continuous.status().borrow().in_step);
    // Off again, in the middle of a request that then fails: quiet again.
    log.script(Call::Read, [Fault::Fail]);
    log.before(Call::Read, {
        let connection = connection.clone();
        move || {
            connection.send(false).unwrap();
            async {}
        }
    });
    refused(&continuous).await;
    log.forget();
    sleep(SECOND * 600).await;
    assert_eq!(log.calls(), []);
    continuous.stop().await;
}

/// A connection that comes back cuts the wait after a failure.
async fn c62_a_connection_cuts_the_wait(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let (connection, online) = watch::channel(true);
    log.script(Call::Read, [Fault::Fail; 8]);
    let continuous = builder(&device, &log).await.online(online).start_in(place).await;
    sleep(SECOND * 100).await;
    log.heal();
    log.forget();
    connection.send(false).unwrap();
    let_run().await;
    connection.send(true).unwrap();
    let_run().await;
    assert_eq!(log.count(Call::Read), 1);
    continuous.stop().await;
}

async fn c62_a_signal_without_a_sender_is_a_connection(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let (connection, online) = watch::channel(false);
    let continuous = builder(&device, &log).await.online(online).start_in(place).await;
    sleep(INTERVAL).await;
    assert_eq!(log.calls(), []);
    drop(connection);
    let_run().await;
    assert_eq!(log.count(Call::Read), 1);
    continuous.stop().await;
}

async fn c74_a_pause_holds_for_every_instance_and_over_restarts(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let (device, other) = (Device::new(1).await, Device::new(2).await);
    let second = again(&device).await;
    let start = |device: Device| {
        let log = &log;
        async move { builder(&device, log).await.intervals(INTERVAL, INTERVAL).start_in(place).await }
    };
    let (tab_a, tab_b) = (start(device.clone()).await, start(second.clone()).await);
    let_run().await;
    tab_a.pause().await.unwrap();
    tab_a.pause().await.unwrap();
    log.forget();
    second.note("n", "written in the other tab, while paused").await;
    sleep(INTERVAL * 5).await;
    assert_eq!(log.calls(), [], "the other tab has stopped too");
    for tab in [&tab_a, &tab_b] {
        let status = tab.status().borrow().clone();
        assert_eq!((status.phase, status.in_step), (Phase::Paused, false));
        assert!(matches!(refused(tab).await.cause(), SyncError::Paused));
    }
    assert_eq!(tab_b.status().borrow().unsent, 1);
    // A restart.
    tab_a.stop().await;
    tab_b.stop().await;
    let device = again(&device).await;
    let (tab_a, tab_b) = (start(device.clone()).await, start(second).await);
    sleep(INTERVAL * 5).await;
    assert_eq!(log.calls(), []);
    assert_eq!(tab_a.status().borrow().phase, Phase::Paused);
    // Resumed in one, the other goes on too.
    tab_b.resume().await.unwrap();
    tab_b.resume().await.unwrap();
    sleep(SECOND).await;
    assert_eq!(log.count(Call::Append), 1, "it catches up");
    sleep(INTERVAL).await;
    assert_eq!(tab_a.status().borrow().phase, Phase::Waiting);
    exchanged(&tab_a).await;
    tab_a.stop().await;
    tab_b.stop().await;
    other.sync(&log).await;
    assert_in_step(&[&device, &other]).await;
}

async fn c74_pausing_waits_for_what_is_under_way(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    device.note("n", "x").await;
    log.script(Call::Append, [Fault::Delay(SECOND * 20)]);
    let continuous = builder(&device, &log).await.start_in(place).await;
    let_run().await;
    continuous.pause().await.unwrap();
    assert_eq!(count(&device, "_storex_log").await, 0, "it came to its end");
    log.forget();
    sleep(SECOND * 100).await;
    assert_eq!(log.calls(), []);
    continuous.stop().await;
    // Also of one that was stopped, it can be said for the next.
    continuous.resume().await.unwrap();
    let continuous = builder(&device, &log).await.start_in(place).await;
    let_run().await;
    assert_eq!(log.count(Call::Read), 1);
    continuous.stop().await;
}

async fn c75_a_login_that_is_needed_is_waited_for(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let sync = device.join(&log).await;
    let continuous = every(sync, SECOND).start_in(place).await;
    let_run().await;
    log.script(Call::Append, [Fault::Refuse]);
    device.note("n", "x").await;
    sleep(SECOND).await;
    assert_eq!(continuous.status().borrow().phase, Phase::NeedsLogin);
    log.forget();
    device.note("m", "written meanwhile").await;
    sleep(SECOND * 600).await;
    assert_eq!(log.calls(), [], "nothing is tried again");
    assert!(matches!(refused(&continuous).await.cause(), SyncError::Unauthorized { .. }));
    assert_eq!(parked_count(&device).await, 0);
    assert_eq!(continuous.status().borrow().unsent, 2, "nothing is lost");
    continuous.logged_in();
    sleep(Duration::from_millis(500)).await;
    let status = continuous.status().borrow().clone();
    assert_eq!((status.unsent, status.in_step, status.last_error), (0, true, None));
    continuous.stop().await;
}

in_both_places![
    c62_off_line_nothing_is_asked_and_on_line_it_exchanges_at_once,
    c62_a_connection_cuts_the_wait,
    c62_a_signal_without_a_sender_is_a_connection,
    c74_a_pause_holds_for_every_instance_and_over_restarts,
    c74_pausing_waits_for_what_is_under_way,
    c75_a_login_that_is_needed_is_waited_for,
];

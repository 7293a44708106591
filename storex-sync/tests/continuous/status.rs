//! What the status says, and that it is true.

use std::sync::Arc;
use std::time::Duration;

use storex_sync::{ContinuousSync, ExchangeProgress, Limits, Phase, SyncEvent, SyncLog};
use tokio::time::sleep;

use crate::in_both_places;
use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::place::{Place, StartIn};
use crate::support::{Device, assert_in_step, count, open, schema, shared_log};
use crate::{INTERVAL, SECOND, builder, every, exchanged, let_run};

/// Looks at every status while devices write, requests fail and connections go: "in step" is never said with something
/// to send.
async fn c69_in_step_is_true_whenever_it_is_said(place: Place) {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let (device, other) = (Device::new(1).await, Device::new(2).await);
    let (connection, online) = tokio::sync::watch::channel(true);
    let short = builder(&device, &log).await.intervals(SECOND, SECOND);
    let continuous = short.online(online).start_in(place).await;
    let mut status = continuous.status();
    let watcher = {
        let (device, log) = (device.clone(), Arc::clone(&log));
        let id = device.join(&log).await.device().await.unwrap();
        tokio::spawn(async move {
            let (mut said, mut all) = (0, 0);
            while status.changed().await.is_ok() {
                let now = status.borrow_and_update().clone();
                all += 1;
                if now.in_step {
                    said += 1;
                    assert_eq!((now.unsent, now.last_error), (0, None));
                    assert_eq!(count(&device, "_storex_log").await, 0);
                    let delivered = log.delivered();
                    let last = delivered.iter().rev().find(|(to, _)| *to == id);
                    assert!(last.is_none_or(|(_, page)| page.is_empty() || log.place(id) > 0));
                }
            }
            (said, all)
        })
    };
    for n in 0..60_u64 {
        device.note(&format!("{n}"), "x").await;
        match n % 6 {
            0 => log.script(Call::Append, [Fault::Fail]),
            1 => log.script(Call::Read, [Fault::DropAnswer]),
            2 => {
                other.note(&format!("other {n}"), "x").await;
                other.sync(&inner).await;
            }
            3 => connection.send(n % 4 == 3).unwrap(),
            4 => log.script(Call::Append, [Fault::Delay(SECOND / 3)]),
            _ => {}
        }
        sleep(Duration::from_millis(70 + 37 * (n % 11))).await;
    }
    connection.send(true).unwrap();
    log.heal();
    sleep(SECOND * 20).await;
    assert!(continuous.status().borrow().in_step, "in the end it is");
    other.sync(&inner).await;
    assert_in_step(&[&device, &other]).await;
    continuous.stop().await;
    let (said, all) = watcher.await.unwrap();
    assert!(said > 5 && all > said, "{said} of {all}");
}

async fn c69_the_phases_of_an_exchange_are_told(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let (device, other) = (Device::new(1).await, Device::new(2).await);
    for n in ["1", "2"] {
        other.note(n, "a page of its own").await;
    }
    other.sync(&log).await;
    device.note("n", "x").await;
    log.script(Call::Append, [Fault::Delay(SECOND)]);
    log.script(Call::Read, [Fault::Delay(SECOND)]);
    let small = Limits { bytes: 1, ..Limits::default() };
    let sync = device.join(&log).await.limits(small);
    let continuous = every(sync, crate::LONG).start_in(place).await;
    let phase = || continuous.status().borrow().phase;
    let_run().await;
    assert_eq!(phase(), Phase::Sending);
    sleep(SECOND).await;
    assert_eq!(phase(), Phase::Receiving);
    assert!(!continuous.status().borrow().in_step, "it has not read to the end");
    sleep(SECOND).await;
    assert_eq!(phase(), Phase::Waiting);
    assert!(continuous.status().borrow().in_step);
    let next = continuous.status().borrow().next_attempt;
    assert!(next.is_some());
    continuous.stop().await;
    assert_eq!((phase(), continuous.status().borrow().in_step), (Phase::Stopped, false));
}

async fn c71_error_and_success_are_remembered_over_restarts(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let continuous = builder(&device, &log).await.start_in(place).await;
    let_run().await;
    let success = continuous.status().borrow().last_success.unwrap();
    sleep(SECOND * 100).await;
    log.script(Call::Append, [Fault::Fail; 100]);
    device.note("n", "x").await;
    device.note("m", "x").await;
    sleep(SECOND * 5).await;
    continuous.stop().await;
    let before = continuous.status().borrow().clone();
    assert!(before.last_error.as_deref().unwrap().contains("lost"));

    let storage = open(&device.backend, &device.runtime, schema(), SyncLog::new()).await;
    let device = Device { storage, ..device };
    let (_connection, online) = tokio::sync::watch::channel(false);
    let continuous = builder(&device, &log).await.online(online).start_in(place).await;
    let_run().await;
    let after = continuous.status().borrow().clone();
    assert_eq!(after.last_error, before.last_error);
    assert_eq!(after.last_error_at, before.last_error_at);
    assert_eq!((after.last_success, before.last_success), (Some(success), Some(success)));
    assert_eq!((after.unsent, count(&device, "_storex_log").await), (2, 2));
    continuous.stop().await;

    // Healed: that is remembered too.
    log.heal();
    let continuous = builder(&device, &log).await.start_in(place).await;
    exchanged(&continuous).await;
    continuous.stop().await;
    let (_connection, online) = tokio::sync::watch::channel(false);
    let continuous = builder(&device, &log).await.online(online).start_in(place).await;
    let_run().await;
    let healed = continuous.status().borrow().clone();
    assert_eq!((healed.last_error, healed.last_error_at, healed.unsent), (None, None, 0));
    assert!(healed.last_success > Some(success));
    continuous.stop().await;
}

/// With nothing to do, the database is left alone too.
async fn an_idle_exchange_writes_at_most_once_a_minute(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let continuous = every(device.join(&log).await, SECOND).start_in(place).await;
    let remembered = || async {
        let row = device.storage.find(storex_core::Query::new("_storex_meta")).await.unwrap();
        row.into_iter().find(|row| row.get(0).as_text() == Some("sync_status")).unwrap()
    };
    let_run().await;
    let first = remembered().await;
    sleep(SECOND * 50).await;
    assert_eq!(remembered().await, first);
    sleep(SECOND * 20).await;
    assert_ne!(remembered().await, first);
    continuous.stop().await;
}

/// An observer that does not listen, or is gone, disturbs nobody; one that is slow misses the oldest.
async fn events_reach_everybody_who_listens(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let (device, other) = (Device::new(1).await, Device::new(2).await);
    device.note("n", "here").await;
    other.note("n", "there").await;
    other.sync(&log).await;
    let continuous =
        builder(&device, &log).await.intervals(INTERVAL, INTERVAL).start_in(place).await;
    let (mut slow, mut quick) = (continuous.events(), continuous.events());
    drop(continuous.events());
    let Some(SyncEvent::Exchanged(report)) = quick.next().await else { panic!("an exchange") };
    assert_eq!(report.sent_transactions, 1);
    assert!(report.received.conflicts.iter().any(|it| it.field.as_deref() == Some("title")));
    for _ in 0..1000 {
        exchanged(&continuous).await;
    }
    assert!(matches!(slow.next().await, Some(SyncEvent::Exchanged(report)) if report.is_idle()));
    continuous.stop().await;
}

async fn c73_the_progress_of_a_long_exchange_grows_to_its_end(place: Place) {
    let inner = shared_log();
    let (device, other) = (Device::new(1).await, Device::new(2).await);
    for n in 0..60 {
        device.note(&format!("{n}"), "x").await;
        other.note(&format!("other {n}"), "x").await;
    }
    other.sync(&inner).await;
    let log = ScriptedLog::new(&inner);
    log.script(Call::Append, [Fault::Delay(SECOND); 20]);
    let few = Limits { bytes: 2 << 10, transactions: 7 };
    log.script(Call::Read, [Fault::Delay(SECOND); 20]);
    let builder = ContinuousSync::builder(device.join(&log).await.limits(few));
    let continuous = builder.start_in(place).await;
    let mut status = continuous.status();
    let mut seen = Vec::new();
    while status.borrow_and_update().rounds == 0 {
        seen.extend(status.borrow().progress);
        status.changed().await.unwrap();
    }
    assert_eq!(status.borrow().progress, None, "it is over");
    seen.dedup();
    let grows =
        |of: fn(&ExchangeProgress) -> u64| seen.windows(2).all(|pair| of(&pair[0]) <= of(&pair[1]));
    assert!(grows(|it| it.sent) && grows(|it| it.received), "{seen:?}");
    assert!(seen.len() > 10, "{seen:?}");
    assert!(seen.iter().all(|it| it.to_send == 60 && it.sent <= 60));
    // The end itself is seen by nobody: nothing is waited for behind it.
    let last = seen.last().unwrap();
    assert!(last.sent == 60 && (40..=60).contains(&last.received), "{last:?}");
    continuous.stop().await;
}

in_both_places![
    c69_in_step_is_true_whenever_it_is_said,
    c69_the_phases_of_an_exchange_are_told,
    c71_error_and_success_are_remembered_over_restarts,
    an_idle_exchange_writes_at_most_once_a_minute,
    events_reach_everybody_who_listens,
    c73_the_progress_of_a_long_exchange_grows_to_its_end,
];

//! What makes an exchange, and when.

use std::time::Duration;

use storex_sync::SyncLog;
use storex_sync::engine::Triggers;
use tokio::time::{Instant, sleep};

use crate::in_both_places;
use crate::support::log::{Call, ScriptedLog};
use crate::support::place::{Place, StartIn};
use crate::support::{Device, assert_in_step, count, open, schema, shared_log};
use crate::{INTERVAL, LONG, SECOND, builder, distances, exchanged, let_run, times};

async fn c63_a_burst_of_writes_is_at_most_two_appends(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let continuous = builder(&device, &log).await.start_in(place).await;
    let_run().await;
    for n in 0..100 {
        device.note(&format!("{n}"), "x").await;
        let_run().await;
    }
    sleep(SECOND).await;
    assert!((1..=2).contains(&log.count(Call::Append)), "{}", log.count(Call::Append));
    let sent: usize = log.appended().iter().map(Vec::len).sum();
    assert_eq!((sent, count(&device, "_storex_log").await), (100, 0));
    continuous.stop().await;
}

/// However long the burst lasts, the first write does not wait for its end, and the requests stay few.
async fn c63_a_long_burst_goes_out_piece_by_piece(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let gather = Duration::from_millis(200);
    let continuous = builder(&device, &log).await.gather(gather).start_in(place).await;
    let_run().await;
    for n in 0..1000 {
        device.note(&format!("{n}"), "x").await;
        let_run().await;
        if n == 250 {
            assert!(log.count(Call::Append) >= 1, "the first are out while the burst goes on");
        }
    }
    sleep(SECOND).await;
    assert!((4..=6).contains(&log.count(Call::Append)), "{}", log.count(Call::Append));
    assert_eq!(count(&device, "_storex_log").await, 0);
    continuous.stop().await;
}

async fn c63_with_no_trigger_nothing_happens_until_it_is_asked_for(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    device.note("before", "x").await;
    let short = builder(&device, &log).await.intervals(SECOND, SECOND);
    let continuous = short.triggers(Triggers::MANUAL).start_in(place).await;
    device.note("after", "x").await;
    sleep(LONG).await;
    assert_eq!(log.calls(), []);
    let status = continuous.status().borrow().clone();
    assert_eq!((status.unsent, status.in_step), (2, false), "what waits is told all the same");
    assert_eq!(exchanged(&continuous).await.sent_transactions, 2);
    continuous.stop().await;
}

async fn c63_each_trigger_works_alone(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let short = || async { builder(&device, &log).await.intervals(INTERVAL, INTERVAL) };

    let only = Triggers { startup: true, ..Triggers::MANUAL };
    let continuous = short().await.triggers(only).start_in(place).await;
    sleep(INTERVAL * 10).await;
    assert_eq!(log.count(Call::Read), 1);
    continuous.stop().await;

    log.forget();
    let only = Triggers { timer: true, ..Triggers::MANUAL };
    let continuous = short().await.triggers(only).start_in(place).await;
    device.note("n", "goes out with the timer").await;
    sleep(INTERVAL - SECOND).await;
    assert_eq!(log.calls(), []);
    sleep(INTERVAL * 2).await;
    assert_eq!((log.count(Call::Append), log.count(Call::Read)), (1, 2), "two exchanges");
    continuous.stop().await;

    log.forget();
    let only = Triggers { local_change: true, ..Triggers::MANUAL };
    let continuous = short().await.triggers(only).start_in(place).await;
    sleep(INTERVAL * 3).await;
    assert_eq!(log.calls(), []);
    device.note("m", "goes out at once").await;
    sleep(SECOND).await;
    assert_eq!(log.count(Call::Append), 1);
    continuous.stop().await;
}

/// What was written while nobody synced goes out without another write.
async fn c63_what_waits_from_before_is_a_local_change_too(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    device.note("n", "written before").await;
    let only = Triggers { local_change: true, ..Triggers::MANUAL };
    let continuous = builder(&device, &log).await.triggers(only).start_in(place).await;
    sleep(SECOND).await;
    assert_eq!(log.count(Call::Append), 1);
    continuous.stop().await;
}

async fn c63_what_is_not_to_be_sent_makes_no_exchange(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let (device, other) = (Device::new(1).await, Device::new(2).await);
    let sync_log = SyncLog::new().local_only(["user"]);
    let storage = open(&device.backend, &device.runtime, schema(), sync_log).await;
    let device = Device { storage, ..device };
    let no_news = Triggers { remote_news: false, ..Triggers::ALL };
    let continuous = builder(&device, &log).await.triggers(no_news).start_in(place).await;
    let_run().await;
    log.forget();
    device.create("user", serde_json::json!({"id": "1", "name": "stays here"})).await;
    sleep(INTERVAL).await;
    assert_eq!(log.calls(), []);
    assert!(continuous.status().borrow().in_step);
    // What sync itself has applied.
    other.note("n", "from the other").await;
    other.sync(&log).await;
    log.forget();
    exchanged(&continuous).await;
    sleep(INTERVAL).await;
    assert_eq!(device.title("n").await.as_deref(), Some("from the other"));
    assert_eq!(log.calls(), [Call::Read]);
    continuous.stop().await;
}

/// C64 too: from one device to the other in less than a second, and no timer has a part in it.
async fn c63_news_from_the_shared_log_are_fetched_at_once(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let on_a = builder(&a, &log).await.start_in(place).await;
    let on_b = builder(&b, &log).await.start_in(place).await;
    let_run().await;
    for n in 0..5 {
        let begin = Instant::now();
        a.note(&format!("{n}"), "x").await;
        while b.title(&format!("{n}")).await.is_none() {
            let_run().await;
            assert!(begin.elapsed() < SECOND);
        }
        b.retitle(&format!("{n}"), "answered").await;
        while a.title(&format!("{n}")).await.as_deref() != Some("answered") {
            let_run().await;
            assert!(begin.elapsed() < SECOND * 2);
        }
    }
    log.forget();
    sleep(LONG / 2).await;
    assert_eq!(log.calls(), [], "then it is quiet");
    on_a.stop().await;
    on_b.stop().await;
    assert_in_step(&[&a, &b]).await;
}

async fn c65_the_interval_grows_when_nothing_happens_and_shrinks_when_something_does(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let (device, other) = (Device::new(1).await, Device::new(2).await);
    let times = times(&log, &[Call::Append, Call::Read], 12);
    let only = Triggers { startup: true, timer: true, ..Triggers::MANUAL };
    let builder = builder(&device, &log).await.triggers(only);
    let continuous = builder.intervals(SECOND, SECOND * 6).start_in(place).await;
    sleep(SECOND * 26).await; // exchanges at 0, 2, 6, 12, 18, 24
    let seconds: Vec<u64> = distances(&times).iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [2, 4, 6, 6, 6]);
    times.lock().unwrap().clear();
    device.note("n", "something to send").await;
    sleep(SECOND * 9).await; // at 30, then a second after it, then two
    let seconds: Vec<u64> = distances(&times).iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [1, 2]);
    continuous.stop().await;
    other.sync(&log).await;
    assert_in_step(&[&device, &other]).await;
}

in_both_places![
    c63_a_burst_of_writes_is_at_most_two_appends,
    c63_a_long_burst_goes_out_piece_by_piece,
    c63_with_no_trigger_nothing_happens_until_it_is_asked_for,
    c63_each_trigger_works_alone,
    c63_what_waits_from_before_is_a_local_change_too,
    c63_what_is_not_to_be_sent_makes_no_exchange,
    c63_news_from_the_shared_log_are_fetched_at_once,
    c65_the_interval_grows_when_nothing_happens_and_shrinks_when_something_does,
];

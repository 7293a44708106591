//! Continuous sync compacts its log by itself.
#![allow(clippy::disallowed_methods)] // the tests own the time

use std::sync::Arc;
use std::time::Duration;

use storex_sync::{Compaction, ContinuousSync, SharedSyncLog, SyncEvent};
use tokio::time::sleep;

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, shared_log};
use crate::{EAGER, two_with_notes};

const HOUR: Duration = Duration::from_secs(3600);
const INTERVAL: Duration = Duration::from_secs(60);

/// Time passes, on the wall clock and for timers.
async fn pass(device: &Device, time: Duration) {
    device.runtime.advance(i64::try_from(time.as_millis()).unwrap());
    sleep(INTERVAL * 2).await;
}

async fn start(device: &Device, log: &Arc<ScriptedLog>) -> ContinuousSync {
    let sync = device.join(log).await.compaction(EAGER);
    ContinuousSync::builder(sync).intervals(INTERVAL, INTERVAL).start()
}

fn looks(log: &ScriptedLog) -> usize {
    log.count(Call::Usage)
}

#[tokio::test(start_paused = true)]
async fn c09_it_does_so_once_a_day_and_asks_for_nothing_else_meanwhile() {
    let inner = shared_log();
    let (a, _b) = two_with_notes(&inner, 10).await;
    let log = ScriptedLog::new(&inner);
    let continuous = start(&a, &log).await;
    let mut events = continuous.events();
    pass(&a, HOUR).await;
    log.forget();
    pass(&a, HOUR * 20).await;
    assert!(log.count(Call::Read) > 0);
    assert_eq!(log.calls().len(), log.count(Call::Read), "one request for each exchange");
    pass(&a, HOUR * 5).await;
    assert_eq!(log.count(Call::Publish), 1);
    assert_eq!(log.count(Call::Trim), 1);
    let compacted = loop {
        if let SyncEvent::Compacted(compacted) = events.next().await.unwrap() {
            break compacted;
        }
    };
    assert!(compacted.trimmed > 0);
    let before = looks(&log);
    pass(&a, HOUR * 22).await;
    assert_eq!(looks(&log), before);
    pass(&a, HOUR * 3).await;
    assert!(looks(&log) > before);
    assert_eq!(log.count(Call::Publish), 1, "there was nothing to drop");
    continuous.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c09_when_it_was_last_done_is_remembered_over_restarts() {
    let inner = shared_log();
    let (a, _b) = two_with_notes(&inner, 10).await;
    let log = ScriptedLog::new(&inner);
    for hours in [0, 10, 10] {
        let continuous = start(&a, &log).await;
        pass(&a, HOUR * hours).await;
        assert_eq!(looks(&log), 0);
        continuous.stop().await;
    }
    let continuous = start(&a, &log).await;
    pass(&a, HOUR * 5).await;
    assert_eq!(log.count(Call::Publish), 1);
    continuous.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c09_a_failure_is_tried_again_after_an_hour_and_disturbs_nothing() {
    let inner = shared_log();
    let (a, _b) = two_with_notes(&inner, 10).await;
    let log = ScriptedLog::new(&inner);
    log.script(Call::PutPage, [Fault::Fail]);
    let continuous = start(&a, &log).await;
    pass(&a, Duration::ZERO).await;
    pass(&a, HOUR * 25).await;
    assert_eq!((log.count(Call::PutPage), log.count(Call::Publish)), (1, 0));
    let status = continuous.status().borrow().clone();
    assert!(status.in_step && status.last_error.is_none(), "{status:?}");
    pass(&a, HOUR / 2).await;
    assert_eq!(log.count(Call::PutPage), 1, "not at once");
    pass(&a, HOUR).await;
    assert_eq!(log.count(Call::Publish), 1);
    continuous.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c09_it_can_be_switched_off() {
    let inner = shared_log();
    let (a, _b) = two_with_notes(&inner, 10).await;
    let log = ScriptedLog::new(&inner);
    let sync = a.join(&log).await.compaction(Compaction { least: 1, ..EAGER });
    let builder = ContinuousSync::builder(sync).intervals(INTERVAL, INTERVAL);
    let continuous = builder.compact_every(None).start();
    pass(&a, Duration::ZERO).await;
    pass(&a, HOUR * 100).await;
    assert_eq!(looks(&log), 0);
    continuous.stop().await;
}

#[tokio::test(start_paused = true)]
async fn c09_exchanges_go_on_meanwhile_and_a_pause_breaks_it_off() {
    let inner = shared_log();
    let (a, _b) = two_with_notes(&inner, 10).await;
    let log = ScriptedLog::new(&inner);
    log.script(Call::PutPage, [Fault::Delay(HOUR * 1000)]);
    let sync = a.join(&log).await.compaction(EAGER).deadline(HOUR * 2000);
    let continuous = ContinuousSync::builder(sync).intervals(INTERVAL, INTERVAL).start();
    pass(&a, Duration::ZERO).await;
    pass(&a, HOUR * 25).await;
    assert_eq!(log.count(Call::PutPage), 1, "it is under way");
    a.note("meanwhile", "x").await;
    let report = continuous.sync_now().await.unwrap().unwrap();
    assert_eq!(report.sent_transactions, 1, "nobody waits for it");
    continuous.pause().await.unwrap();
    continuous.resume().await.unwrap();
    pass(&a, Duration::ZERO).await;
    pass(&a, Duration::ZERO).await;
    assert_eq!(log.count(Call::Publish), 1, "it is begun again");
    continuous.stop().await;
    assert!(inner.snapshots().unwrap().published().await.unwrap().is_some());
}

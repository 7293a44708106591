//! A program that is put to sleep, and woken.

use std::sync::Arc;
use std::time::Duration;

use storex_sync::{ContinuousSync, Exclusive, LeaseTimes, Phase};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::in_both_places;
use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::place::{Place, StartIn};
use crate::support::{Device, shared_log};
use crate::{LONG, SECOND, builder, exchanged, let_run};

/// Far longer than any case lasts: what is taken over before was let go of.
const TIMES: LeaseTimes =
    LeaseTimes { lasts: Duration::from_secs(3600), renewed: Duration::from_secs(600) };

async fn c63_asleep_nothing_is_asked_and_awake_it_exchanges_at_once(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let (system, awake) = watch::channel(true);
    let builder = builder(&device, &log).await.intervals(SECOND, SECOND);
    let continuous = builder.awake(awake).start_in(place).await;
    exchanged(&continuous).await;
    system.send(false).unwrap();
    let_run().await;
    log.forget();
    device.note("n", "written by another tab").await;
    sleep(SECOND * 600).await;
    assert_eq!(log.calls(), []);
    let status = continuous.status().borrow().clone();
    assert_eq!((status.phase, status.in_step), (Phase::StandingBy, false));
    system.send(true).unwrap();
    sleep(SECOND / 2).await;
    assert_eq!(log.count(Call::Append), 1);
    assert!(continuous.status().borrow().in_step);
    continuous.stop().await;
}

/// It was out of sight, or the computer slept: what was missed is fetched now, however long the wait after a failure would be.
async fn c63_woken_it_looks_at_once_also_where_it_was_awake(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let (system, awake) = watch::channel(true);
    let continuous = builder(&device, &log).await.awake(awake).start_in(place).await;
    exchanged(&continuous).await;
    log.forget();
    system.send(true).unwrap();
    let_run().await;
    assert_eq!(log.count(Call::Read), 1);
    log.script(Call::Read, [Fault::Fail; 8]);
    system.send(true).unwrap();
    sleep(SECOND * 100).await;
    log.heal();
    log.forget();
    system.send(true).unwrap();
    let_run().await;
    assert_eq!(log.count(Call::Read), 1);
    continuous.stop().await;
}

async fn c63_who_waits_for_an_exchange_is_answered_when_it_is_awake(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let (system, awake) = watch::channel(true);
    let continuous = builder(&device, &log).await.awake(awake).start_in(place).await;
    exchanged(&continuous).await;
    device.note("n", "title").await;
    let fell_asleep = system.clone();
    log.before(Call::Append, move || {
        fell_asleep.send(false).unwrap();
        sleep(SECOND)
    });
    let waits = Arc::clone(&continuous);
    #[allow(clippy::disallowed_methods)] // the tests own the tasks
    let waiting = tokio::spawn(async move { waits.sync_now().await });
    sleep(SECOND * 600).await;
    assert!(!waiting.is_finished());
    system.send(true).unwrap();
    waiting.await.unwrap().unwrap().unwrap();
    assert!(continuous.status().borrow().in_step);
    continuous.stop().await;
}

in_both_places!(
    c63_asleep_nothing_is_asked_and_awake_it_exchanges_at_once,
    c63_woken_it_looks_at_once_also_where_it_was_awake,
    c63_who_waits_for_an_exchange_is_answered_when_it_is_awake,
);

async fn tab(
    device: &Device,
    log: &Arc<ScriptedLog>,
    awake: watch::Receiver<bool>,
) -> ContinuousSync {
    let exclusive = Exclusive::lease(&device.storage, TIMES).await.unwrap();
    let sync = device.join(log).await.exclusive(exclusive);
    ContinuousSync::builder(sync).intervals(LONG, LONG).awake(awake).start()
}

/// One goes to sleep in the middle of a push, before and after the log has taken it: the other carries on at once, nothing is lost, and
/// nothing is there twice.
#[tokio::test(start_paused = true)]
async fn c50_asleep_in_the_middle_of_a_push_it_lets_another_carry_on() {
    for answered in [false, true] {
        let shared = shared_log();
        let log = ScriptedLog::new(&shared);
        let device = Device::new(1).await;
        let (one, awake) = watch::channel(true);
        let first = tab(&device, &log, awake).await;
        first.sync_now().await.unwrap().unwrap();
        let (_other, awake) = watch::channel(true);
        let second = tab(&device, &log, awake).await;
        second.status().wait_for(|status| status.phase == Phase::StandingBy).await.unwrap();

        let freeze = one.clone();
        let hook = move || {
            freeze.send(false).unwrap();
            // As long as it sleeps.
            sleep(SECOND * 100_000)
        };
        if answered {
            log.after(Call::Append, hook);
        } else {
            log.before(Call::Append, hook);
        }
        device.note("n", "title").await;
        first.status().wait_for(|status| status.phase == Phase::StandingBy).await.unwrap();
        let written = second.sync().last_write().await.unwrap().unwrap();
        let synced = second.await_synced(written);
        tokio::time::timeout(SECOND * 3, synced).await.expect("within the next look").unwrap();
        assert_eq!(shared.len(), 1);

        // Awake again it stands by, and is in step with the other, which has the lock now.
        one.send(true).unwrap();
        let_run().await;
        assert_eq!(first.status().borrow().phase, Phase::StandingBy);
        device.note("m", "title").await;
        let written = first.sync().last_write().await.unwrap().unwrap();
        tokio::time::timeout(SECOND * 3, first.await_synced(written)).await.unwrap().unwrap();
        assert_eq!(shared.len(), 2);
        second.stop().await;
        first.status().wait_for(|status| status.in_step).await.unwrap();
        first.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn c63_a_signal_without_a_sender_is_awake() {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let (system, asleep) = watch::channel(false);
    let continuous = builder(&device, &log).await.awake(asleep).start();
    sleep(SECOND * 600).await;
    assert_eq!(log.calls(), []);
    drop(system);
    let_run().await;
    assert!(continuous.status().borrow().in_step);
    continuous.stop().await;
}

//! What becomes of a write.

use std::sync::Arc;
use std::time::Duration;

use storex_sync::{Limits, SyncError, SyncHandle, SyncLog, WriteId, WriteState};
use tokio::time::{sleep, timeout};

use crate::in_both_places;
use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::place::{Place, StartIn};
use crate::support::{Device, larger_schema, open, schema, shared_log};
use crate::{LONG, SECOND, builder, every, exchanged, let_run};

async fn last_write(continuous: &Arc<dyn SyncHandle>) -> WriteId {
    continuous.last_write().await.unwrap().unwrap()
}

async fn c53_the_states_of_a_write_only_move_forward(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let ten = Limits { transactions: 10, ..Limits::default() };
    let sync = device.join(&log).await.limits(ten);
    assert_eq!(sync.last_write().await.unwrap(), None);
    for n in 0..1000 {
        device.note(&format!("{n}"), "x").await;
    }
    let last = sync.last_write().await.unwrap().unwrap();
    assert_eq!(last.sequence, 1000);
    log.script(Call::Append, [Fault::Delay(SECOND); 100]);
    log.script(Call::Append, [Fault::DropAnswer, Fault::Fail]);
    let continuous = every(sync.clone(), LONG).start_in(place).await;
    let mut known = vec![WriteState::Waiting; 1000];
    let mut mixed = false;
    while known.contains(&WriteState::Waiting) {
        for (n, known) in known.iter_mut().enumerate() {
            let write = WriteId { sequence: n as u64 + 1, ..last };
            let state = sync.write_state(write).await.unwrap();
            assert!(state >= *known, "{write}: {known:?} and then {state:?}");
            *known = state;
        }
        mixed |= known.contains(&WriteState::Waiting) && known.contains(&WriteState::Sent);
        sleep(SECOND * 2).await;
    }
    assert!(mixed && known.iter().all(|state| *state == WriteState::Sent));
    let unknown = WriteId { sequence: 1001, ..last };
    assert_eq!(sync.write_state(unknown).await.unwrap(), WriteState::Unknown);
    let unknown = WriteId { sequence: 0, ..last };
    assert_eq!(sync.write_state(unknown).await.unwrap(), WriteState::Unknown);
    continuous.stop().await;
}

/// On the device that receives them: applied, or parked and then applied.
#[tokio::test(start_paused = true)]
async fn c53_the_writes_of_another_device_have_a_state_too() {
    let log = ScriptedLog::new(&shared_log());
    let (newer, device) = (Device::with(1, larger_schema()).await, Device::new(2).await);
    let here = device.join(&log).await;
    let there = newer.join(&log).await;
    newer.note("n", "known to both").await;
    let known = there.last_write().await.unwrap().unwrap();
    newer.create("extra", serde_json::json!({"id": "1", "text": "of a later program"})).await;
    let later = there.last_write().await.unwrap().unwrap();
    assert_eq!(here.write_state(known).await.unwrap(), WriteState::Unknown);
    newer.sync(&log).await;
    here.sync_once().await.unwrap();
    assert_eq!(here.write_state(known).await.unwrap(), WriteState::Applied);
    assert_eq!(here.write_state(later).await.unwrap(), WriteState::Parked);
    let updated = device.reopened(larger_schema()).await;
    let here = updated.join(&log).await;
    here.sync_once().await.unwrap();
    assert_eq!(here.write_state(later).await.unwrap(), WriteState::Applied);
}

async fn c72_a_write_is_waited_for_until_the_log_has_it(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let continuous = builder(&device, &log).await.start_in(place).await;
    let_run().await;
    log.script(Call::Append, [Fault::Fail, Fault::DropAnswer]);
    device.note("n", "x").await;
    let write = last_write(&continuous).await;
    // Given up, and waited for again: nothing is lost by it.
    assert!(timeout(SECOND / 2, continuous.await_synced(write)).await.is_err());
    timeout(SECOND * 10, continuous.await_synced(write)).await.unwrap().unwrap();
    assert_eq!(continuous.write_state(write).await.unwrap(), WriteState::Sent);
    // What is sent already is not waited for.
    log.forget();
    continuous.await_synced(write).await.unwrap();
    assert_eq!(log.calls(), []);
    continuous.stop().await;
}

async fn c72_also_when_it_is_sent_after_a_restart(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let (_none, offline) = tokio::sync::watch::channel(false);
    let continuous = builder(&device, &log).await.online(offline).start_in(place).await;
    device.note("n", "x").await;
    let write = last_write(&continuous).await;
    let (waited, ()) = tokio::join!(continuous.await_synced(write), async {
        sleep(SECOND).await;
        continuous.stop().await;
    });
    assert!(matches!(waited, Err(SyncError::Stopped)), "{waited:?}");
    drop(continuous);

    let storage = open(&device.backend, &device.runtime, schema(), SyncLog::new()).await;
    let device = Device { storage, ..device };
    let continuous = builder(&device, &log).await.start_in(place).await;
    continuous.await_synced(write).await.unwrap();
    assert_eq!(log.count(Call::Append), 1);
    continuous.stop().await;
}

async fn c72_an_error_that_does_not_pass_ends_the_waiting(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let sync = device.join(&log).await.keep_log();
    let continuous = every(sync, LONG).start_in(place).await;
    let_run().await;
    log.script(Call::Append, [Fault::Replace]);
    device.note("n", "x").await;
    let write = last_write(&continuous).await;
    let error = continuous.await_synced(write).await.unwrap_err();
    assert!(matches!(error.cause(), SyncError::LogReplaced), "{error}");
    assert_eq!(continuous.write_state(write).await.unwrap(), WriteState::Waiting);
    exchanged(&continuous).await;
    continuous.await_synced(write).await.unwrap();
    let unknown = WriteId { sequence: 99, ..write };
    let error = continuous.await_synced(unknown).await.unwrap_err();
    assert!(matches!(error, SyncError::UnknownWrite { sequence: 99, .. }), "{error}");
    continuous.stop().await;
}

/// Another instance on the same database may send it, by an exchange of its own.
async fn c72_whoever_sends_it(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let continuous = builder(&device, &log).await.start_in(place).await;
    let_run().await;
    log.script(Call::Append, [Fault::Fail]);
    device.note("n", "x").await;
    let write = last_write(&continuous).await;
    sleep(Duration::from_millis(150)).await;
    let (waited, _) = tokio::join!(continuous.await_synced(write), device.sync(&log));
    waited.unwrap();
    continuous.stop().await;
}

in_both_places![
    c53_the_states_of_a_write_only_move_forward,
    c72_a_write_is_waited_for_until_the_log_has_it,
    c72_also_when_it_is_sent_after_a_restart,
    c72_an_error_that_does_not_pass_ends_the_waiting,
    c72_whoever_sends_it,
];

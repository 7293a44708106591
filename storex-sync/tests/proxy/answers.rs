//! All that can be asked, where sync runs and through a proxy.

use std::sync::Arc;

use serde_json::json;
use storex_core::Error;
use storex_sync::engine::Triggers;
use storex_sync::{
    ConflictQuery, ContinuousSync, SyncError, SyncEvent, SyncHandle, SyncLog, UniqueRule, WriteId,
};
use tokio::time::sleep;

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::place::{Place, StartIn};
use crate::support::{Device, count, larger_schema, open, schema, settle, shared_log};
use crate::{SECOND, in_both_places};

/// One that exchanges when it is asked to.
async fn start(device: &Device, log: &Arc<ScriptedLog>, place: Place) -> Arc<dyn SyncHandle> {
    let builder = ContinuousSync::builder(device.join(log).await);
    builder.triggers(Triggers::MANUAL).start_in(place).await
}

async fn what_is_parked_is_listed_retried_and_discarded(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let (newer, device) = (Device::with(1, larger_schema()).await, Device::new(2).await);
    for id in ["1", "2"] {
        newer.create("extra", json!({"id": id, "text": "of a later program"})).await;
    }
    newer.sync(&log).await;
    let sync = start(&device, &log, place).await;
    let report = sync.sync_now().await.unwrap().unwrap();
    assert_eq!(report.received.parked, 2);
    let parked = sync.parked().await.unwrap();
    assert_eq!(parked, storex_sync::parked(&device.storage).await.unwrap());
    let write = |n: usize| WriteId { device: parked[n].device, sequence: parked[n].sequence };
    assert_eq!(sync.retry(write(0)).await.unwrap().transactions, 0);
    assert_eq!(sync.retry_parked().await.unwrap().transactions, 0);
    assert_eq!(sync.discard(write(0)).await.unwrap(), parked[0]);
    assert_eq!(sync.parked().await.unwrap(), parked[1..]);
    let error = sync.discard(write(0)).await.unwrap_err();
    assert!(
        matches!(error, SyncError::UnknownWrite { sequence, .. } if sequence == 1),
        "{error:?}"
    );
    sync.stop().await;
}

async fn conflicts_are_listed_undone_replaced_and_forgotten(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let (a, b) = (Device::new(1).await, Device::skewed(2, 1_000).await);
    for id in ["1", "2", "3"] {
        a.note(id, "before").await;
    }
    settle(&[&a, &b], &log).await;
    for id in ["1", "2", "3"] {
        a.retitle(id, "from a").await;
        b.retitle(id, "from b").await;
    }
    b.sync(&log).await;
    let sync = start(&a, &log, place).await;
    let mut events = sync.events();
    let report = sync.sync_now().await.unwrap().unwrap();
    assert_eq!(report.received.conflicts.len(), 3);
    match events.next().await {
        Some(SyncEvent::Exchanged(told)) => assert_eq!(*told, report),
        other => panic!("{other:?}"),
    }

    let noted = sync.conflicts(&ConflictQuery::new().collection("note")).await.unwrap();
    assert_eq!(noted.len(), 3);
    let of = |id: &str| {
        let found = noted.iter().find(|it| it.conflict.key.as_text() == Some(id));
        found.unwrap().id
    };
    let key = storex_core::Key::single("2");
    let one = sync.conflicts(&ConflictQuery::new().object("note", key).limit(5)).await.unwrap();
    assert_eq!(one.iter().map(|it| it.id).collect::<Vec<_>>(), [of("2")]);
    assert!(sync.conflicts(&ConflictQuery::new().before(of("1"))).await.unwrap().len() < 3);
    sync.undo_conflict(of("1")).await.unwrap();
    sync.replace_conflict(of("2"), "a third".into()).await.unwrap();
    sync.forget_conflict(of("3")).await.unwrap();
    assert_eq!(a.title("1").await.as_deref(), Some("from a"));
    assert_eq!(a.title("2").await.as_deref(), Some("a third"));
    assert_eq!(a.title("3").await.as_deref(), Some("from b"));
    assert_eq!(sync.conflicts(&ConflictQuery::new()).await.unwrap(), []);
    let error = sync.undo_conflict(of("1")).await.unwrap_err();
    assert!(matches!(error, SyncError::CannotUndo { .. }), "{error:?}");
    sync.stop().await;
}

async fn the_rest_of_what_can_be_asked(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let here = device.join(&log).await;
    let sync = start(&device, &log, place).await;
    assert_eq!(sync.last_write().await.unwrap(), None);
    device.note("n", "x").await;
    assert_eq!(sync.device().await.unwrap(), here.device().await.unwrap());
    assert_eq!(sync.unsent().await.unwrap(), 1);
    let write = sync.last_write().await.unwrap();
    assert_eq!(write, here.last_write().await.unwrap());
    assert_eq!(sync.digest().await.unwrap(), here.digest().await.unwrap());
    assert_eq!(sync.compact().await.unwrap().trimmed, 0);
    assert_eq!(sync.unsent().await.unwrap(), 0);
    sync.send_state().await.unwrap();
    sync.sync_now().await.unwrap().unwrap();
    sync.stop().await;
}

/// What a rule of the database says is told with all that it says.
async fn an_error_of_the_storage_is_the_storages(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let sync_log = SyncLog::new().on_unique("login", ["name"], UniqueRule::Park);
    let storage = open(&device.backend, &device.runtime, schema(), sync_log).await;
    let (a, b) = (Device { storage, ..device }, Device::skewed(2, 1_000).await);
    a.create("login", json!({"id": "1", "name": "before"})).await;
    settle(&[&a, &b], &log).await;
    a.update("login", json!({"id": "1"}), json!({"name": "mine"})).await;
    b.update("login", json!({"id": "1"}), json!({"name": "theirs"})).await;
    b.sync(&log).await;
    let sync = start(&a, &log, place).await;
    sync.sync_now().await.unwrap().unwrap();
    // The value that was lost is somebody else's by now.
    a.create("login", json!({"id": "2", "name": "mine"})).await;
    let conflict = sync.conflicts(&ConflictQuery::new()).await.unwrap()[0].id;
    let error = sync.undo_conflict(conflict).await.unwrap_err();
    match error.storage_error() {
        Some(Error::UniqueViolation { index, .. }) => assert_eq!(index, "name"),
        other => panic!("{other:?}"),
    }
    a.storage.close().await.unwrap();
    let error = sync.unsent().await.unwrap_err();
    assert!(matches!(error.storage_error(), Some(Error::Closed)), "{error:?}");
    assert_eq!(error.recovery(), storex_sync::Recovery::Nothing);
    sync.stop().await;
}

/// Given up, nothing is lost; and it can be asked again.
async fn calls_are_cancel_safe(place: Place) {
    let log = ScriptedLog::new(&shared_log());
    let device = Device::new(1).await;
    let sync = start(&device, &log, place).await;
    log.script(Call::Append, [Fault::Delay(SECOND * 10)]);
    device.note("n", "x").await;
    let given_up = tokio::time::timeout(SECOND, sync.sync_now()).await;
    assert!(given_up.is_err(), "{given_up:?}");
    let given_up = tokio::time::timeout(SECOND, sync.retry_parked()).await;
    assert!(given_up.is_err(), "it waits for its turn: {given_up:?}");
    sleep(SECOND * 10).await;
    assert_eq!(count(&device, "_storex_log").await, 0, "the exchange went on");
    assert_eq!(sync.retry_parked().await.unwrap().transactions, 0);
    sync.stop().await;
}

in_both_places![
    what_is_parked_is_listed_retried_and_discarded,
    conflicts_are_listed_undone_replaced_and_forgotten,
    the_rest_of_what_can_be_asked,
    an_error_of_the_storage_is_the_storages,
    calls_are_cancel_safe,
];

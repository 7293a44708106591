//! Beginning with a log that no longer holds its beginning.

use serde_json::json;
use storex_sync::{SharedSyncLog, SyncError};

use crate::support::{
    Device, assert_in_step, dump, larger_schema, log_of, parked_count, settle, shared_log,
};
use crate::{compact, eager, two_with_notes};

#[tokio::test(start_paused = true)]
async fn c21_a_new_device_gets_everything_from_the_log_alone() {
    let log = shared_log();
    let (a, b) = two_with_notes(&log, 30).await;
    let compacted = compact(&a, &log).await;
    assert!(compacted.trimmed > 30, "{compacted:?}");
    assert_eq!(log.len(), 2, "each device's last transaction");
    b.note("tail", "written after the snapshot").await;
    b.sync(&log).await;
    let expected = dump(&b).await;
    let c = Device::new(3).await;
    let report = eager(&c, &log).await.sync_once().await.unwrap();
    let restored = report.restored.expect("it began with the snapshot");
    assert_eq!(restored.total(), 24);
    assert_eq!(restored.tombstones, 6);
    assert_eq!(report.received.transactions, 1, "the tail, and nothing twice");
    assert_eq!(dump(&c).await, expected);
    assert_eq!(log_of(&c).await, [], "nothing that arrives is logged");
    let again = c.sync(&log).await;
    assert!(again.is_idle(), "{again:?}");
    settle(&[&a, &b, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
}

#[tokio::test(start_paused = true)]
async fn c21_what_a_new_device_has_written_is_sent_and_kept() {
    let log = shared_log();
    let (a, b) = two_with_notes(&log, 12).await;
    compact(&b, &log).await;
    let c = Device::new(3).await;
    c.note("of C", "before it had anything").await;
    c.note("001", "its own double").await;
    eager(&c, &log).await.sync_once().await.unwrap();
    settle(&[&a, &b, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(a.title("of C").await.as_deref(), Some("before it had anything"));
}

#[tokio::test(start_paused = true)]
async fn c22_a_dismissed_device_comes_back_with_unsent_edits() {
    let log = shared_log();
    let (a, b) = two_with_notes(&log, 12).await;
    let c = Device::new(3).await;
    c.sync(&log).await;
    let id = c.join(&log).await.device().await.unwrap();
    c.retitle("001", "edited while away").await;
    c.note("of C", "not sent yet").await;
    c.delete("note", json!({"id": "002"})).await;
    log.dismiss(id).await.unwrap();
    for n in 0..8 {
        a.note(&format!("later {n}"), "while C was away").await;
        a.delete("note", json!({"id": format!("{:03}", n + 3)})).await;
        a.sync(&log).await;
    }
    b.sync(&log).await;
    assert!(compact(&a, &log).await.trimmed > 8);
    let report = eager(&c, &log).await.sync_once().await.unwrap();
    assert!(report.restored.is_some(), "{report:?}");
    assert_eq!(report.sent_transactions, 3);
    settle(&[&a, &b, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(a.title("001").await.as_deref(), Some("edited while away"));
    assert_eq!(a.title("of C").await.as_deref(), Some("not sent yet"));
    assert_eq!(a.title("002").await, None);
    let members = log.members().await.unwrap();
    assert!(members.iter().any(|member| member.device == id), "it is a member again");
}

#[tokio::test(start_paused = true)]
async fn c22_a_database_below_the_floor_that_was_further_in_part_loses_nothing() {
    let log = shared_log();
    let (a, b) = two_with_notes(&log, 12).await;
    let (c, d) = (Device::new(3).await, Device::new(4).await);
    d.sync(&log).await;
    // From device to device, with what the log has not got yet.
    b.note("not in the log yet", "of B").await;
    crate::support::pump(&b, &c).await;
    log.dismiss(b.join(&log).await.device().await.unwrap()).await.unwrap();
    for n in 0..5 {
        a.note(&format!("later {n}"), "of A").await;
    }
    settle(&[&a, &d], &log).await;
    assert!(compact(&a, &log).await.trimmed > 0);
    for device in [&c, &b] {
        assert!(device.sync(&log).await.restored.is_some());
    }
    settle(&[&a, &b, &c, &d], &log).await;
    assert_in_step(&[&a, &b, &c, &d]).await;
    assert!(d.title("not in the log yet").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn c21_what_is_parked_at_the_maker_is_parked_and_applied_after_an_update() {
    let log = shared_log();
    let newer = Device::with(1, larger_schema()).await;
    newer.create("extra", json!({"id": "1", "text": "of a newer schema"})).await;
    newer.note("1", "known to all").await;
    newer.sync(&log).await;
    let a = Device::new(2).await;
    a.sync(&log).await;
    assert_eq!(parked_count(&a).await, 1);
    settle(&[&newer, &a], &log).await;
    let compacted = compact(&a, &log).await;
    assert!(compacted.trimmed > 0, "{compacted:?}");
    let c = Device::new(3).await;
    eager(&c, &log).await.sync_once().await.unwrap();
    assert_eq!(parked_count(&c).await, 1);
    let c = c.reopened(larger_schema()).await;
    c.sync(&log).await;
    assert_eq!(parked_count(&c).await, 0);
    assert_eq!(c.get("extra", "1").await.unwrap()["text"], "of a newer schema");
}

#[tokio::test(start_paused = true)]
async fn c21_a_snapshot_of_a_newer_schema_is_refused_by_name_and_taken_after_the_update() {
    let log = shared_log();
    let newer = Device::with(1, larger_schema()).await;
    for n in 0..5 {
        newer.note(&format!("{n}"), "x").await;
    }
    compact(&newer, &log).await;
    let c = Device::new(3).await;
    c.note("of C", "not lost").await;
    let error = eager(&c, &log).await.sync_once().await.unwrap_err();
    assert!(error.to_string().contains("`extra`"), "it says what is missing: {error}");
    assert_eq!(c.title("of C").await.as_deref(), Some("not lost"));
    let c = c.reopened(larger_schema()).await;
    c.sync(&log).await;
    newer.sync(&log).await;
    assert_in_step(&[&newer, &c]).await;
}

#[tokio::test(start_paused = true)]
async fn c22_without_a_snapshot_it_is_told_as_before() {
    let log = shared_log();
    let (_a, _b) = two_with_notes(&log, 12).await;
    assert!(log.trim().await.unwrap().transactions > 0);
    let c = Device::new(3).await;
    c.note("of C", "not lost").await;
    for _ in 0..2 {
        let error = c.join(&log).await.sync_once().await.unwrap_err();
        assert!(matches!(error, SyncError::BelowFloor { .. }), "{error}");
        assert!(error.to_string().contains("initial sync"), "it says what helps: {error}");
    }
    assert_eq!(c.title("of C").await.as_deref(), Some("not lost"));
}

#[tokio::test(start_paused = true)]
async fn c09_after_an_initial_sync_the_first_exchange_acknowledges() {
    let log = shared_log();
    let (a, b) = two_with_notes(&log, 12).await;
    let c = Device::new(3).await;
    crate::support::pump(&a, &c).await;
    c.sync(&log).await;
    let id = c.join(&log).await.device().await.unwrap();
    let members = log.members().await.unwrap();
    let of_c = members.iter().find(|member| member.device == id).expect("it is a member");
    assert_eq!(of_c.behind, 0, "nothing is held back for it");
    b.sync(&log).await;
    assert!(log.trim().await.unwrap().transactions > 0);
}

#[tokio::test(start_paused = true)]
async fn c22_a_snapshot_outlives_another_identity_of_the_log() {
    let log = shared_log();
    let (a, b) = two_with_notes(&log, 12).await;
    compact(&a, &log).await;
    let known = log.register(a.join(&log).await.device().await.unwrap()).await.unwrap();
    log.reidentify(known).await.unwrap();
    let c = Device::new(3).await;
    let report = eager(&c, &log).await.sync_once().await.unwrap();
    assert!(report.restored.is_some(), "{report:?}");
    settle(&[&a, &b, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
}

//! Making snapshots.

use std::sync::Arc;

use storex_sync::{Compacted, Compaction, SharedSyncLog, SyncError};

use crate::support::log::{Call, ScriptedLog};
use crate::support::{Device, assert_in_step, settle, shared_log};
use crate::{EAGER, SMALL, compact, eager, two_with_notes};

#[tokio::test(start_paused = true)]
async fn c09_it_is_made_when_it_is_worth_it() {
    let log = shared_log();
    let (a, b) = two_with_notes(&log, 10).await;
    let droppable = log.snapshots().unwrap().usage().await.unwrap().droppable;
    let rather = |least| Compaction { least, ..EAGER };
    let lazy = a.join(&log).await.compaction(rather(droppable + 1));
    assert_eq!(lazy.compact().await.unwrap(), Compacted::default());
    let sync = a.join(&log).await.compaction(rather(droppable));
    let compacted = sync.compact().await.unwrap();
    assert_eq!(compacted.trimmed, droppable);
    let made = compacted.snapshot.expect("a snapshot");
    assert_eq!(made.id.maker, sync.device().await.unwrap());
    assert_eq!(log.snapshots().unwrap().published().await.unwrap(), Some(made));
    assert_eq!(compact(&b, &log).await, Compacted::default(), "there is nothing more to drop");
}

#[tokio::test(start_paused = true)]
async fn c09_what_the_snapshot_that_is_there_covers_needs_no_other() {
    let log = shared_log();
    let (a, b) = two_with_notes(&log, 10).await;
    let c = Device::new(3).await;
    let id = c.join(&log).await.device().await.unwrap();
    log.register(id).await.unwrap();
    a.note("more", "x").await;
    assert_eq!(compact(&a, &log).await, Compacted::default(), "a member lacks everything");
    log.dismiss(id).await.unwrap();
    compact(&a, &log).await;
    log.register(id).await.unwrap();
    a.note("yet more", "x").await;
    settle(&[&a, &b], &log).await;
    assert_eq!(compact(&a, &log).await, Compacted::default());
    c.sync(&log).await;
    b.sync(&log).await;
    let compacted = compact(&b, &log).await;
    assert_eq!(compacted, Compacted { trimmed: 1, ..Compacted::default() }, "the note before");
}

#[tokio::test(start_paused = true)]
async fn c09_a_log_that_was_trimmed_without_a_snapshot_gets_one() {
    let log = shared_log();
    let (a, _b) = two_with_notes(&log, 10).await;
    assert!(log.trim().await.unwrap().transactions > 0);
    let compacted = a.join(&log).await.compact().await.unwrap();
    assert!(compacted.snapshot.is_some(), "however little there is to drop: {compacted:?}");
    let c = Device::new(3).await;
    c.sync(&log).await;
    assert_in_step(&[&a, &c]).await;
}

#[tokio::test(start_paused = true)]
async fn c09_a_member_that_is_too_far_behind_is_not_waited_for() {
    let log = shared_log();
    let (a, b) = two_with_notes(&log, 4).await;
    let gone = Device::new(3).await;
    gone.sync(&log).await;
    gone.note("of the one that was gone", "not sent yet").await;
    for n in 0..20 {
        a.note(&format!("later {n}"), "x").await;
    }
    settle(&[&a, &b], &log).await;
    assert_eq!(compact(&a, &log).await.dismissed, [], "every member is waited for");
    let most = Compaction { least: 1000, most_behind: Some(19) };
    let compacted = a.join(&log).await.compaction(most).compact().await.unwrap();
    assert_eq!(compacted.dismissed, [gone.join(&log).await.device().await.unwrap()]);
    assert!(compacted.trimmed >= 19, "{compacted:?}");
    let report = gone.sync(&log).await;
    assert!(report.restored.is_some());
    settle(&[&a, &b, &gone], &log).await;
    assert_in_step(&[&a, &b, &gone]).await;
    assert!(a.title("of the one that was gone").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn c21_writers_go_on_while_it_is_made() {
    let inner = shared_log();
    let (a, b) = two_with_notes(&inner, 200).await;
    let log = ScriptedLog::new(&inner);
    for n in 0..4 {
        let (a, b, inner) = (a.clone(), b.clone(), Arc::clone(&inner));
        log.before(Call::PutPage, move || {
            let (a, b, inner) = (a.clone(), b.clone(), Arc::clone(&inner));
            async move {
                a.note(&format!("of A, during page {n}"), "not sent yet").await;
                a.retitle("001", &format!("during page {n}")).await;
                a.delete("note", serde_json::json!({"id": format!("{:03}", 2 + 6 * n)})).await;
                b.note(&format!("of B, during page {n}"), "sent").await;
                b.sync(&inner).await;
                if n == 2 {
                    a.sync(&inner).await;
                }
            }
        });
    }
    assert!(compact(&a, &log).await.snapshot.is_some());
    assert!(log.count(Call::PutPage) > 4, "it has some pages");
    let c = Device::new(3).await;
    let report = eager(&c, &log).await.sync_once().await.unwrap();
    assert!(report.restored.is_some());
    // What A had not sent yet may be in the snapshot.
    settle(&[&a, &b, &c], &inner).await;
    assert_in_step(&[&a, &b, &c]).await;
    assert!(c.title("of A, during page 3").await.is_some());
    assert!(c.title("of B, during page 3").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn c09_two_devices_at_once() {
    let log = shared_log();
    let (a, b) = two_with_notes(&log, 40).await;
    let (of_a, of_b) = (eager(&a, &log).await, eager(&b, &log).await);
    let (first, second) = tokio::join!(of_a.compact(), of_b.compact());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.snapshot.is_some() || second.snapshot.is_some());
    assert!(log.snapshots().unwrap().published().await.unwrap().is_some());
    let c = Device::new(3).await;
    eager(&c, &log).await.sync_once().await.unwrap();
    settle(&[&a, &b, &c], &log).await;
    assert_in_step(&[&a, &b, &c]).await;
}

#[tokio::test(start_paused = true)]
async fn c20_pages_are_no_larger_than_a_request() {
    let log = shared_log();
    let a = Device::new(1).await;
    let notes: Vec<_> = (0..10_000)
        .map(|n| serde_json::json!({"id": format!("{n:05}"), "title": format!("note {n}")}))
        .collect();
    a.storage.dynamic("note").unwrap().create_many(&notes).await.unwrap();
    a.note("long", &"x".repeat(100_000)).await;
    let bytes = 10_000;
    let limits = storex_sync::Limits { bytes, ..SMALL };
    let sync = a.join(&log).await.compaction(EAGER).limits(limits);
    let made = sync.compact().await.unwrap().snapshot.expect("a snapshot");
    let snapshots = log.snapshots().unwrap();
    for page in 0..made.pages {
        let page = snapshots.page(made.id, page).await.unwrap().unwrap();
        assert!(page.len() <= bytes, "{} bytes", page.len());
    }
    assert!(made.pages > 30, "{} pages", made.pages);
    let b = Device::new(2).await;
    let report = b.join(&log).await.sync_once().await.unwrap();
    assert_eq!(report.restored.map(|restored| restored.total()), Some(10_001));
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_keeps_no_snapshots_says_so() {
    let inner = shared_log();
    let (a, _b) = two_with_notes(&inner, 10).await;
    let log = ScriptedLog::without_snapshots(&inner);
    let error = eager(&a, &log).await.compact().await.unwrap_err();
    assert!(matches!(error, SyncError::NoSnapshots), "{error}");
    assert!(!inner.snapshots().unwrap().usage().await.unwrap().lacks_beginning);
    inner.trim().await.unwrap();
    let c = Device::new(3).await;
    let error = eager(&c, &log).await.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::BelowFloor { .. }), "{error}");
}

/// A server may take less at once than this device would send.
#[tokio::test(start_paused = true)]
async fn c09_pages_that_are_too_large_for_the_log_are_made_smaller() {
    let inner = shared_log();
    let (a, b) = two_with_notes(&inner, 4).await;
    let body = "x".repeat(20_000);
    a.create("note", serde_json::json!({"id": "large", "title": "t", "body": body})).await;
    let log = ScriptedLog::new(&inner);
    log.take_pages_of(1500);
    let sync = a.join(&log).await.compaction(EAGER);
    let made = sync.compact().await.unwrap().snapshot.expect("a snapshot");
    assert!(made.pages >= 20_000 / 1500, "{made:?}");
    let c = Device::new(3).await;
    c.sync(&log).await;
    assert_in_step(&[&a, &c]).await;
    // Where not even the least is taken, nobody tries for ever, and what is there stays as it is.
    for id in ["more", "and more", "and the last"] {
        a.note(id, "x").await;
        settle(&[&a, &b, &c], &log).await;
    }
    log.take_pages_of(500);
    let refused = sync.compact().await.unwrap_err();
    assert!(matches!(refused, SyncError::BodyTooLarge { limit: Some(500), .. }), "{refused:?}");
    assert_eq!(log.snapshots().unwrap().published().await.unwrap(), Some(made));
    let d = Device::new(4).await;
    d.sync(&log).await;
    assert_in_step(&[&a, &d]).await;
}

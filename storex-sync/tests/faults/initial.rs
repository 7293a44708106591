//! What the fast sync of the system that this one succeeds lost.

use serde_json::json;

use crate::support::{
    Device, assert_in_step, dump, larger_schema, parked_count, pump, settle, shared_log,
};

#[tokio::test(start_paused = true)]
async fn l23_an_initial_sync_merges_and_does_not_overwrite() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for id in ["newer at B", "newer at A", "deleted at A", "deleted at B"] {
        a.note(id, "before").await;
    }
    settle(&[&a, &b], &log).await;
    b.runtime.advance(1000);
    a.retitle("newer at A", "by A").await;
    b.retitle("newer at B", "by B").await;
    a.delete("note", json!({"id": "deleted at A"})).await;
    b.delete("note", json!({"id": "deleted at B"})).await;
    let (_, received) = pump(&a, &b).await;
    assert_eq!(received.kept, 2, "what is newer here, and what was deleted here");
    assert_eq!(b.title("newer at B").await.as_deref(), Some("by B"));
    assert_eq!(b.title("newer at A").await.as_deref(), Some("by A"));
    assert_eq!(b.title("deleted at A").await, None, "deletions travel");
    assert_eq!(b.title("deleted at B").await, None, "and are not taken back");
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
}

/// Texts in which a character of several bytes lies across every border there could be.
#[tokio::test(start_paused = true)]
async fn l24_no_character_is_cut_in_two() {
    let log = shared_log();
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    for before in 0..8 {
        let text = format!("{}{}", "x".repeat(9_996 + before), "👩‍👩‍👧‍👦é".repeat(4_000));
        a.create("note", json!({"id": before.to_string(), "title": "long", "body": text})).await;
    }
    pump(&a, &b).await;
    a.sync(&log).await;
    c.sync(&log).await;
    assert_in_step(&[&a, &b, &c]).await;
}

#[tokio::test(start_paused = true)]
async fn l25_what_cannot_be_applied_is_kept_and_tried_again() {
    let log = shared_log();
    let (newer, older) = (Device::with(1, larger_schema()).await, Device::new(2).await);
    newer.create("extra", json!({"id": "1", "text": "of a newer program"})).await;
    newer.note("2", "of both").await;
    newer.sync(&log).await;
    older.sync(&log).await;
    assert_eq!(parked_count(&older).await, 1);
    assert_eq!(older.title("2").await.as_deref(), Some("of both"), "the rest flows");
    let updated = older.reopened(larger_schema()).await;
    updated.sync(&log).await;
    assert_eq!(parked_count(&updated).await, 0);
    assert_eq!(dump(&updated).await["extra"], dump(&newer).await["extra"]);
}

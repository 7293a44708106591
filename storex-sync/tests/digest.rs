//! A digest tells whether two devices really hold the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

mod support;

use serde_json::json;
use support::{Device, larger_schema, settle, shared_log};

#[tokio::test(start_paused = true)]
async fn c69_equal_contents_have_equal_digests_however_they_came_about() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::with(2, larger_schema()).await);
    let (sync_a, sync_b) = (a.join(&log).await, b.join(&log).await);
    for n in 0..1500 {
        a.note(&n.to_string(), "of A").await;
    }
    b.create("tag", json!({"owner": 1, "name": "x"})).await;
    b.note("gone", "soon").await;
    settle(&[&a, &b], &log).await;
    b.delete("note", json!({"id": "gone"})).await;
    a.retitle("7", "edited").await;
    let (before_a, before_b) = (sync_a.digest().await.unwrap(), sync_b.digest().await.unwrap());
    assert_eq!(before_a.differences(&before_b), ["extra".into(), "note".into()]);
    settle(&[&a, &b], &log).await;
    let (after_a, after_b) = (sync_a.digest().await.unwrap(), sync_b.digest().await.unwrap());
    assert_eq!(after_a.differences(&after_b), ["extra".into()], "which only one of them has");
    let notes = after_a.collections.iter().find(|it| *it.collection == *"note").unwrap();
    assert_eq!(notes.objects, 1500);
    assert!(after_a.to_string().contains("note 1500 "), "{after_a}");
}

/// Values that are swapped between objects, or between fields, are another content.
#[tokio::test(start_paused = true)]
async fn what_is_swapped_is_something_else() {
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let log = shared_log();
    for (device, first, second) in [(&a, "x", "y"), (&b, "y", "x")] {
        device.create("note", json!({"id": "1", "title": first, "body": second})).await;
        device.create("note", json!({"id": "2", "title": second, "body": first})).await;
    }
    let (a, b) = (a.join(&log).await, b.join(&log).await);
    let (a, b) = (a.digest().await.unwrap(), b.digest().await.unwrap());
    assert_eq!(a.differences(&b), ["note".into()]);
}

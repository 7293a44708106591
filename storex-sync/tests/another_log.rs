//! Another log in the place of the one that was: copies that were not found out, backups, requests that were not answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

mod support;

use std::sync::Arc;

use serde_json::json;
use storex_core::{Batch, Changes, Filter};
use storex_sync::{LogId, MemorySharedLog};
use support::log::{Call, Fault, ScriptedLog};
use support::{Device, another_log, assert_in_step, cloned, count, settle, shared_log};

/// Nobody has found out that one of them is a copy, and the log that would have told is gone.
#[tokio::test(start_paused = true)]
async fn copies_that_come_to_another_log_lose_nothing() {
    let (a, b, copy, first) = cloned().await;
    let add = |device: &Device, by: i64| {
        let device = device.clone();
        async move {
            device.update("note", json!({"id": "n"}), json!({"stars": {"$inc": by}})).await;
        }
    };
    add(&a, 7).await;
    a.sync(&first).await; // and B never reads it there
    let older = a.copied(4).await;
    for (device, by, title) in [(&a, 100, "by the original"), (&older, 1000, "by the copy")] {
        device.retitle("1", title).await; // with the same stamp
        add(device, by).await;
    }
    let second = another_log();
    settle(&[&copy, &older, &a, &b], &second).await;
    settle(&[&copy, &older, &a, &b], &second).await;
    assert_in_step(&[&a, &b, &copy, &older]).await;
    assert_eq!(b.get("note", "n").await.unwrap()["stars"], 10 + 7 + 100 + 1000);
    add(&older, 1).await;
    add(&a, 2).await;
    settle(&[&older, &a, &b, &copy], &second).await;
    assert_in_step(&[&a, &b, &copy, &older]).await;
    assert_eq!(b.get("note", "n").await.unwrap()["stars"], 10 + 7 + 1100 + 3);
}

/// Others have got it from the former log: it must not count twice.
#[tokio::test(start_paused = true)]
async fn what_was_sent_and_not_confirmed_counts_once_in_another_log() {
    let first = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "a number", "stars": 0})).await;
    settle(&[&a, &b], &first).await;
    a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 5}})).await;
    let scripted = ScriptedLog::new(&first);
    scripted.script(Call::Append, [Fault::DropAnswer]);
    a.join(&scripted).await.sync_once().await.unwrap_err();
    b.sync(&first).await;
    assert_eq!(b.get("note", "n").await.unwrap()["stars"], 5);
    a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 20}})).await;
    let second = another_log();
    settle(&[&a, &b], &second).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.get("note", "n").await.unwrap()["stars"], 25);
}

/// It does not know who it was meanwhile; whoever knows would take what it writes for what was there before.
#[tokio::test(start_paused = true)]
async fn a_backup_from_before_another_log_is_nobody_that_it_was_since() {
    let (a, b, backup, _first) = cloned().await;
    let second = another_log();
    settle(&[&a, &b], &second).await;
    for n in 0..20 {
        a.note(&format!("{n} in the second log"), "x").await;
        a.sync(&second).await;
    }
    settle(&[&a, &b], &second).await;
    let third = Arc::new(MemorySharedLog::new(LogId([9; 16])));
    settle(&[&a, &b], &third).await;
    backup.note("of the backup", "x").await;
    settle(&[&backup, &b], &third).await;
    backup.note("of the backup too", "x").await;
    settle(&[&backup, &b], &third).await;
    assert_in_step(&[&b, &backup]).await;
    assert_eq!(b.title("of the backup").await.as_deref(), Some("x"));
    assert_eq!(b.title("of the backup too").await.as_deref(), Some("x"));
    assert_eq!(count(&b, "note").await, 24);
}

/// Its creation is in no log any more, and no state tells of it.
#[tokio::test(start_paused = true)]
async fn what_is_changed_and_deleted_while_a_state_is_sent_parks_nothing() {
    let first = shared_log();
    let a = Device::new(1).await;
    for n in 0..1200 {
        a.note(&n.to_string(), "one of many").await;
    }
    a.sync(&first).await;
    let second = another_log();
    let scripted = ScriptedLog::new(&second);
    let writes = a.clone();
    // What is deleted was logged by then, and what lives was not.
    scripted.before(Call::Append, move || {
        let a = writes.clone();
        async move {
            let changes = Changes::new().set("title", "changed");
            let batch = Batch::new().update("note", Filter::key("999"), changes);
            a.storage.execute(batch.delete("note", Filter::key("999"))).await.unwrap();
        }
    });
    a.sync(&scripted).await;
    let b = Device::new(2).await;
    b.sync(&second).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(count(&b, "note").await, 1199);
    assert_eq!(support::parked_count(&b).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_sync_is_sent_to_the_log_that_there_is_then() {
    let first = shared_log();
    let a = Device::with_old_notes(1, &[json!({"id": "old", "title": "older than sync"})]).await;
    a.note("new", "x").await;
    a.sync(&first).await;
    a.join(&first).await.send_state().await.unwrap();
    let second = another_log();
    a.sync(&second).await;
    let b = Device::new(2).await;
    b.sync(&second).await;
    assert_eq!(b.title("old").await.as_deref(), Some("older than sync"));
    assert_in_step(&[&a, &b]).await;
}

//! A. Logging the write.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use storex_sync::{
    Cursor, Device as Id, EntryKind, Limits, MemorySharedLog, SharedSyncLog, Transaction,
};

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{Device, assert_in_step, count, log_of, settle, shared_log};

/// Everything that a log holds.
async fn held(log: &Arc<MemorySharedLog>) -> Vec<Transaction> {
    let nobody = Id { id: [0xee; 16], incarnation: 0 };
    let page = log.read(nobody, &Cursor::default(), usize::MAX).await.unwrap();
    page.transactions.iter().map(|it| Transaction::decode(&it.payload).unwrap()).collect()
}

/// 10,000 rows each in the check; the clocks of both stand at the same millisecond.
#[tokio::test(start_paused = true)]
async fn c03_rows_of_two_devices_off_line_never_have_the_same_key() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let mut keys = BTreeSet::new();
    for device in [&a, &b] {
        let rows: Vec<_> = (0..1000).map(|n| json!({"title": format!("{n}")})).collect();
        let made = device.storage.dynamic("note").unwrap().create_many(&rows).await.unwrap();
        let made: Vec<String> = made.iter().map(|it| it.as_text().unwrap().to_owned()).collect();
        assert!(made.is_sorted(), "the order of the keys is that of the insertion");
        keys.extend(made);
    }
    assert_eq!(keys.len(), 2000);
    settle(&[&a, &b], &log).await;
    assert_eq!(count(&a, "note").await, 2000);
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn c05_the_log_holds_both_values_in_their_order_and_never_the_last_one_twice() {
    for reduced in [false, true] {
        let log = shared_log();
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        a.note("n", "v0").await;
        a.sync(&log).await;
        a.retitle("n", "v1").await;
        a.retitle("n", "v2").await;
        let sync = a.join(&log).await;
        let sync = if reduced { sync } else { sync.unreduced() };
        sync.sync_once().await.unwrap();
        let mut titles = Vec::new();
        for transaction in held(&log).await {
            for entry in transaction.entries.iter().filter(|it| it.kind == EntryKind::Update) {
                titles.extend(entry.values.iter().filter_map(|it| {
                    it.value().as_text().filter(|text| text.starts_with('v')).map(str::to_owned)
                }));
            }
        }
        let expected: &[&str] = if reduced { &["v2"] } else { &["v1", "v2"] };
        assert_eq!(titles, expected);
        b.sync(&log).await;
        assert_in_step(&[&a, &b]).await;
    }
}

/// By a filter, over 1000 rows, sent in several requests: each row counts once, beside what another device adds meanwhile.
#[tokio::test(start_paused = true)]
async fn c08_an_update_by_a_filter_over_a_thousand_rows_counts_once_for_each() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let rows: Vec<_> =
        (0..1000).map(|n| json!({"id": format!("{n:04}"), "title": "x", "stars": 0})).collect();
    a.storage.dynamic("note").unwrap().create_many(&rows).await.unwrap();
    settle(&[&a, &b], &log).await;
    a.update("note", json!({"title": "x"}), json!({"stars": {"$inc": 1}})).await;
    b.update("note", json!({"id": {"$lt": "0500"}}), json!({"stars": {"$inc": 2}})).await;
    let small = Limits { bytes: 10_000, transactions: 1 };
    let scripted = ScriptedLog::new(&log);
    scripted.script(Call::Append, [Fault::DropAnswer, Fault::Duplicate]);
    let sync = a.join(&scripted).await.limits(small);
    sync.sync_once().await.unwrap_err();
    sync.sync_once().await.unwrap();
    settle(&[&b, &a], &log).await;
    assert_in_step(&[&a, &b]).await;
    let stars = |n: i64| json!({"stars": n});
    let notes = b.storage.dynamic("note").unwrap();
    assert_eq!(notes.count(&stars(3)).await.unwrap(), 500);
    assert_eq!(notes.count(&stars(1)).await.unwrap(), 500);
}

/// A write while a push is under way: behind its answer only that write is left. (Continuous sync sends it at once, see
/// `c63_a_burst_of_writes_is_at_most_two_appends`.)
#[tokio::test(start_paused = true)]
async fn c09_what_is_written_during_a_push_is_all_that_is_left_behind_it() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let a = Device::new(1).await;
    a.note("before", "x").await;
    let writer = a.clone();
    scripted.before(Call::Append, move || {
        let writer = writer.clone();
        async move { writer.note("meanwhile", "x").await }
    });
    let sync = a.join(&scripted).await;
    sync.sync_once().await.unwrap();
    let left: Vec<u64> = log_of(&a).await.iter().map(|it| it.header.sequence).collect();
    assert_eq!(left, [2]);
    sync.sync_once().await.unwrap();
    let sent: Vec<u64> = scripted.appended().concat().iter().map(|(_, it)| *it).collect();
    assert_eq!(sent, [1, 2], "each once");
    assert_eq!(count(&a, "_storex_log").await, 0);
}

#[tokio::test(start_paused = true)]
async fn c10_with_every_second_answer_lost_five_hundred_increments_count_five_hundred() {
    let log = shared_log();
    let scripted = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "x", "stars": 0})).await;
    a.sync(&log).await;
    for _ in 0..500 {
        a.update("note", json!({"id": "n"}), json!({"stars": {"$inc": 1}})).await;
    }
    scripted.script(Call::Append, [Fault::None, Fault::DropAnswer].repeat(100));
    let few = Limits { bytes: usize::MAX, transactions: 10 };
    let sync = a.join(&scripted).await.limits(few);
    let mut failures = 0;
    while sync.sync_once().await.is_err() {
        failures += 1;
    }
    assert!(failures >= 20, "{failures} answers were lost");
    b.sync(&log).await;
    assert_eq!(b.get("note", "n").await.unwrap()["stars"], 500);
    assert_eq!(log.len(), 501);
    assert_in_step(&[&a, &b]).await;
}

//! The journal of conflicts: what it holds, what can be put back, how it is bounded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use serde_json::json;
use storex_core::{Key, Value};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    ConflictId, ConflictJournal, ConflictQuery, Content, MemorySharedLog, NotedConflict, SyncError,
    SyncLog,
};
use support::{Device, assert_in_step, count, dump_all, pump, schema, settle, shared_log};

const CONFLICTS: &str = "_storex_conflicts";

async fn noted(device: &Device) -> Vec<NotedConflict> {
    let journal = ConflictJournal::open(&device.storage).await.unwrap();
    journal.list(&ConflictQuery::new()).await.unwrap()
}

async fn undo(device: &Device, conflict: ConflictId) -> Result<(), SyncError> {
    ConflictJournal::open(&device.storage).await.unwrap().undo(conflict).await
}

/// Two devices that have one note in common; the second one's clock is ahead, so its writes win.
async fn pair() -> (Device, Device, Arc<MemorySharedLog>) {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::skewed(2, 1_000).await);
    a.create("note", json!({"id": "n", "title": "before", "body": "text", "stars": 1})).await;
    settle(&[&a, &b], &log).await;
    (a, b, log)
}

fn text(content: &Content) -> &str {
    content.value().unwrap().as_text().unwrap()
}

fn reason(result: Result<(), SyncError>) -> String {
    match result {
        Err(SyncError::CannotUndo { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn c14_both_values_of_a_field_are_in_the_journal_of_both_devices() {
    let (a, b, log) = pair().await;
    a.retitle("n", "from a").await;
    b.retitle("n", "from b").await;
    a.sync(&log).await;
    let report = b.sync(&log).await;
    settle(&[&a, &b], &log).await;

    let reported = &report.received.conflicts[0];
    assert_eq!((text(&reported.won.content), text(&reported.lost.content)), ("from b", "from a"));
    for (device, other_won) in [(&a, true), (&b, false)] {
        let noted = noted(device).await;
        assert_eq!(noted.len(), 1);
        let conflict = &noted[0].conflict;
        assert_eq!(conflict.field.as_deref(), Some("title"));
        assert_eq!((&*conflict.collection, &conflict.key), ("note", &Key::single("n")));
        assert_eq!(
            (text(&conflict.won.content), text(&conflict.lost.content)),
            ("from b", "from a")
        );
        assert!(conflict.won.stamp > conflict.lost.stamp);
        assert_ne!(conflict.won.stamp.device, conflict.lost.stamp.device);
        assert_eq!(conflict.incoming_won, other_won);
    }
}

#[tokio::test(start_paused = true)]
async fn c14_what_was_lost_is_put_back_by_a_write_that_reaches_everybody() {
    let (a, b, log) = pair().await;
    a.retitle("n", "from a").await;
    b.retitle("n", "from b").await;
    settle(&[&a, &b], &log).await;
    let conflict = noted(&a).await[0].id;
    undo(&a, conflict).await.unwrap();
    assert_eq!(a.title("n").await.as_deref(), Some("from a"));
    assert_eq!(noted(&a).await, []);
    let report = a.sync(&log).await;
    assert_eq!(report.sent_transactions, 1);
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("n").await.as_deref(), Some("from a"));
    // The other device has a conflict that is settled.
    let other = noted(&b).await;
    assert_eq!(other.len(), 1);
    let before = dump_all(&b).await;
    assert_eq!(reason(undo(&b, other[0].id).await), "field `title` was changed since");
    assert_eq!(dump_all(&b).await, before);
}

#[tokio::test(start_paused = true)]
async fn a_third_value_can_be_given() {
    let (a, b, log) = pair().await;
    a.retitle("n", "from a").await;
    b.retitle("n", "from b").await;
    settle(&[&a, &b], &log).await;
    let journal = ConflictJournal::open(&a.storage).await.unwrap();
    let conflict = noted(&a).await[0].id;
    // One that does not fit the field changes nothing.
    let before = dump_all(&a).await;
    let error = journal.replace(conflict, Value::Int(5)).await.unwrap_err();
    assert!(error.to_string().contains("putting back"), "{error}");
    assert_eq!(dump_all(&a).await, before);
    journal.replace(conflict, "from a and b").await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("n").await.as_deref(), Some("from a and b"));
}

#[tokio::test(start_paused = true)]
async fn c14_an_object_that_was_edited_and_deleted_at_once_can_be_brought_back() {
    let (a, b, log) = pair().await;
    a.retitle("n", "edited").await;
    b.delete("note", json!({})).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.get("note", "n").await, None);
    // Where it was edited all of it is known.
    let on_a = noted(&a).await;
    assert_eq!(on_a[0].conflict.field, None);
    assert_eq!(on_a[0].conflict.won.content, Content::Deleted);
    let Content::Object(fields) = &on_a[0].conflict.lost.content else { panic!("{on_a:?}") };
    assert_eq!(fields.len(), 3);
    // Where it was deleted only what arrived.
    let on_b = noted(&b).await;
    let edited = vec![("title".into(), Value::from("edited"))];
    assert_eq!(on_b[0].conflict.lost.content, Content::Object(edited));

    undo(&a, on_a[0].id).await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    let note = b.get("note", "n").await.unwrap();
    assert_eq!(
        (&note["title"], &note["body"], &note["stars"]),
        (&json!("edited"), &json!("text"), &json!(1))
    );
    assert_eq!(reason(undo(&b, on_b[0].id).await), "the object is there again");
}

#[tokio::test(start_paused = true)]
async fn an_object_of_which_too_little_is_known_is_not_brought_back() {
    let (a, b, log) = pair().await;
    a.update("note", json!({}), json!({"stars": 5})).await;
    b.delete("note", json!({})).await;
    settle(&[&a, &b], &log).await;
    let conflict = noted(&b).await[0].id;
    let before = dump_all(&b).await;
    let reason = reason(undo(&b, conflict).await);
    assert!(reason.contains("its field `title` is not known here"), "{reason}");
    assert_eq!(dump_all(&b).await, before);
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_or_is_gone_since_is_not_put_back() {
    let (a, b, log) = pair().await;
    a.update("note", json!({}), json!({"title": "from a", "stars": 2})).await;
    b.update("note", json!({}), json!({"title": "from b", "stars": 3})).await;
    settle(&[&a, &b], &log).await;
    let conflicts = noted(&a).await;
    assert_eq!(conflicts.len(), 2);
    a.retitle("n", "later").await;
    a.update("note", json!({}), json!({"stars": {"$inc": 1}})).await;
    for conflict in &conflicts {
        let field = conflict.conflict.field.as_deref().unwrap();
        let expected = format!("field `{field}` was changed since");
        assert_eq!(reason(undo(&a, conflict.id).await), expected);
    }
    a.delete("note", json!({})).await;
    assert_eq!(reason(undo(&a, conflicts[0].id).await), "the object is gone");
    assert_eq!(reason(undo(&a, ConflictId(99)).await), "it is not in the journal");
    assert_eq!(noted(&a).await, conflicts, "they stay until they are forgotten");
    let journal = ConflictJournal::open(&a.storage).await.unwrap();
    journal.forget(conflicts[0].id).await.unwrap();
    journal.forget(conflicts[0].id).await.unwrap();
    assert_eq!(noted(&a).await.len(), 1);
    journal.forget_all().await.unwrap();
    assert_eq!(noted(&a).await, []);
}

/// The loser of several in one page is what the one before had written, not what was stored.
#[tokio::test(start_paused = true)]
async fn three_devices_at_once_lose_two_values() {
    let log = shared_log();
    let devices =
        [Device::new(1).await, Device::skewed(2, 1_000).await, Device::skewed(3, 2_000).await];
    let [a, b, c] = &devices;
    a.note("n", "before").await;
    settle(&[a, b, c], &log).await;
    let d = Device::new(4).await;
    d.sync(&log).await;
    for (n, device) in devices.iter().enumerate() {
        device.retitle("n", &format!("from {n}")).await;
        device.join(&log).await.sync_once().await.unwrap();
    }
    d.sync(&log).await;
    let lost: Vec<String> =
        noted(&d).await.iter().map(|it| text(&it.conflict.lost.content).to_owned()).collect();
    // Each of them wrote before it had heard of the ones before it.
    assert_eq!(lost, ["from 1", "from 0"]);
}

#[tokio::test(start_paused = true)]
async fn two_who_write_the_same_lose_nothing() {
    let (a, b, log) = pair().await;
    a.retitle("n", "same").await;
    b.retitle("n", "same").await;
    a.sync(&log).await;
    let report = b.sync(&log).await;
    assert_eq!(report.received.conflicts.len(), 1, "it is told");
    assert_eq!(noted(&b).await, [], "and not noted");
}

#[tokio::test(start_paused = true)]
async fn the_journal_is_listed_in_pages_by_collection_and_object() {
    let (a, b, log) = pair().await;
    a.note("m", "before").await;
    a.create("user", json!({"id": "u", "name": "before"})).await;
    settle(&[&a, &b], &log).await;
    for (device, who) in [(&a, "a"), (&b, "b")] {
        device.retitle("n", who).await;
        device.retitle("m", who).await;
        device.update("user", json!({}), json!({"name": who})).await;
    }
    settle(&[&a, &b], &log).await;
    let journal = ConflictJournal::open(&a.storage).await.unwrap();
    let list = async |query: ConflictQuery| -> Vec<String> {
        let noted = journal.list(&query).await.unwrap();
        noted.iter().map(|it| it.conflict.key.as_text().unwrap().to_owned()).collect()
    };
    let all = ConflictQuery::new;
    assert_eq!(list(all()).await, ["u", "m", "n"]);
    assert_eq!(list(all().collection("note")).await, ["m", "n"]);
    assert_eq!(list(all().object("note", Key::single("n"))).await, ["n"]);
    assert_eq!(list(all().object("user", Key::single("n"))).await, [] as [&str; 0]);
    assert_eq!(list(all().limit(2)).await, ["u", "m"]);
    let last = journal.list(&all().limit(2)).await.unwrap()[1].id;
    assert_eq!(list(all().limit(2).before(last)).await, ["n"]);
    assert_eq!(journal.get(last).await.unwrap().unwrap().id, last);
}

async fn with_journal(seed: u64, conflicts: u64) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let sync_log = SyncLog::new().journal(conflicts);
    let storage = support::open(&backend, &runtime, schema(), sync_log).await;
    Device { runtime, backend, storage }
}

#[tokio::test(start_paused = true)]
async fn the_oldest_go_first_when_the_journal_is_full() {
    for limit in [0, 1, 3] {
        let log = shared_log();
        let (a, b) = (with_journal(1, limit).await, Device::skewed(2, 1_000).await);
        a.note("n", "before").await;
        settle(&[&a, &b], &log).await;
        for n in 0..5 {
            // The fourth round brings two at once.
            let fields = if n == 3 {
                json!({"title": n.to_string(), "body": "a"})
            } else {
                json!({"title": n.to_string()})
            };
            a.update("note", json!({}), fields.clone()).await;
            let fields =
                if n == 3 { json!({"title": "b", "body": "b"}) } else { json!({"title": "b"}) };
            b.update("note", json!({}), fields).await;
            settle(&[&a, &b], &log).await;
            let limit = usize::try_from(limit).unwrap();
            assert_eq!(noted(&a).await.len(), limit.min(if n < 3 { n + 1 } else { n + 2 }));
        }
        let left: Vec<NotedConflict> = noted(&a).await;
        assert!(left.iter().rev().map(|it| it.id).is_sorted());
        if limit > 0 {
            assert_eq!(text(&left[0].conflict.lost.content), "4", "the newest stays");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_conflict_nothing_is_noted() {
    let (a, b, log) = pair().await;
    a.retitle("n", "from a").await;
    settle(&[&a, &b], &log).await;
    b.retitle("n", "from b, who has seen it").await;
    b.update("note", json!({}), json!({"stars": {"$inc": 1}})).await;
    a.update("note", json!({}), json!({"stars": {"$inc": 1}})).await;
    settle(&[&a, &b], &log).await;
    for device in [&a, &b] {
        assert_eq!(count(device, CONFLICTS).await, 0);
        let meta = dump_all(device).await.remove("_storex_meta").unwrap();
        assert!(meta.iter().all(|row| row.get(0).as_text() != Some("next_conflict")));
    }
}

/// Initial sync merges as the log does, and what it overwrites is not lost either.
#[tokio::test(start_paused = true)]
async fn what_an_initial_sync_overwrites_or_passes_over_is_noted() {
    for deleted in [false, true] {
        let (a, b, log) = pair().await;
        a.retitle("n", "from a").await;
        if deleted {
            b.delete("note", json!({})).await;
        } else {
            b.retitle("n", "from b").await;
        }
        pump(&a, &b).await;
        pump(&b, &a).await;
        // The one that merged it has noted it; the other one gets what came of it.
        assert_eq!(noted(&a).await, []);
        let on_b = noted(&b).await;
        assert_eq!(on_b.len(), 1, "{on_b:?}");
        let conflict = &on_b[0].conflict;
        assert!(!conflict.incoming_won);
        if deleted {
            assert_eq!((&conflict.field, &conflict.won.content), (&None, &Content::Deleted));
            assert!(matches!(&conflict.lost.content, Content::Object(all) if all.len() == 3));
        } else {
            assert_eq!(text(&conflict.won.content), "from b");
            assert_eq!(text(&conflict.lost.content), "from a");
        }
        // Once more, and through the log: it is known.
        pump(&a, &b).await;
        pump(&b, &a).await;
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!((noted(&a).await.len(), noted(&b).await.len()), (0, 1));
        undo(&b, on_b[0].id).await.unwrap();
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        assert_eq!(a.title("n").await.as_deref(), Some("from a"));
    }
}

/// A device that begins empty, or that is only behind, has no conflicts.
#[tokio::test(start_paused = true)]
async fn an_initial_sync_without_conflicts_notes_none() {
    let (a, b, log) = pair().await;
    a.retitle("n", "one").await;
    a.delete("note", json!({})).await;
    a.note("n", "two").await;
    a.note("m", "three").await;
    let c = Device::new(3).await;
    pump(&a, &c).await;
    pump(&a, &b).await;
    c.retitle("n", "four").await;
    pump(&c, &b).await;
    pump(&c, &a).await;
    settle(&[&a, &b, &c], &log).await;
    for device in [&a, &b, &c] {
        assert_eq!(noted(device).await, []);
    }
}

/// The state that is sent again to a log that was wiped meets edits that were made meanwhile.
#[tokio::test(start_paused = true)]
async fn what_a_state_that_is_sent_again_overwrites_is_noted() {
    let (a, b, _) = pair().await;
    let second = Arc::new(MemorySharedLog::new(storex_sync::LogId([8; 16])));
    a.retitle("n", "from a").await;
    b.retitle("n", "from b").await;
    settle(&[&b, &a], &second).await;
    settle(&[&b, &a], &second).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.title("n").await.as_deref(), Some("from b"));
    let noted = noted(&a).await;
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert_eq!(text(&noted[0].conflict.lost.content), "from a");
    undo(&a, noted[0].id).await.unwrap();
    assert_eq!(a.title("n").await.as_deref(), Some("from a"));
}

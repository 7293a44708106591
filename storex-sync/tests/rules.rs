//! Rules that devices have broken together hold after the merge, everywhere in the same way; updates that win over deletes;
//! what can be done about what is parked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use serde_json::{Value as Json, json};
use storex_core::{
    Batch, Changes, Definition, Error, FieldType, Filter, OnDelete, RegistryBuilder,
    RelationDefinition, Storage,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    Applied, Cause, MemorySharedLog, RelationRule, Ruling, SyncError, SyncLog, UniqueRule, WriteId,
    WriteState, parked,
};
use support::{Device, assert_in_step, count, log_of, open, settle, shared_log};

fn schema() -> RegistryBuilder {
    support::schema()
        .collection(
            Definition::new("account")
                .field("handle", FieldType::String)
                .optional("nick", FieldType::String)
                .optional("code", FieldType::Int)
                .optional("first", FieldType::String)
                .optional("last", FieldType::String)
                .unique(["handle"])
                .unique(["code"])
                .unique(["first", "last"]),
        )
        .collection(Definition::new("seat").field("number", FieldType::Int).unique(["number"]))
        .collection(Definition::new("team").field("name", FieldType::String))
        .collection(
            Definition::new("member")
                .field("name", FieldType::String)
                .relation(RelationDefinition::child_of("team").on_delete(OnDelete::Cascade)),
        )
        .collection(
            Definition::new("badge")
                .field("name", FieldType::String)
                .relation(RelationDefinition::child_of("member").on_delete(OnDelete::Cascade)),
        )
        .collection(
            Definition::new("guest").field("name", FieldType::String).relation(
                RelationDefinition::child_of("team").optional().on_delete(OnDelete::SetNull),
            ),
        )
        .collection(
            Definition::new("pass")
                .field("name", FieldType::String)
                .relation(RelationDefinition::child_of("team").on_delete(OnDelete::Restrict)),
        )
        .collection(
            Definition::new("loose")
                .field("name", FieldType::String)
                .relation(RelationDefinition::child_of("team")),
        )
}

async fn device_with(seed: u64, sync_log: SyncLog) -> Device {
    let runtime = Arc::new(TestRuntime::new(seed));
    let backend = Arc::new(MemoryBackend::new());
    let storage = open(&backend, &runtime, schema(), sync_log).await;
    Device { runtime, backend, storage }
}

/// Three devices; each is a second ahead of the one before.
async fn three(sync_log: impl Fn() -> SyncLog) -> [Device; 3] {
    let [a, b, c] = [1, 2, 3].map(|seed| device_with(seed, sync_log()));
    let (a, b, c) = (a.await, b.await, c.await);
    b.runtime.advance(1_000);
    c.runtime.advance(2_000);
    [a, b, c]
}

/// Everybody exchanges until there is nothing left to exchange; everybody holds the same then.
async fn quiet(devices: &[&Device], log: &Arc<MemorySharedLog>) -> Applied {
    let mut all = Applied::default();
    for round in 0.. {
        assert!(round < 10, "it does not come to rest");
        let mut idle = true;
        for device in devices {
            let report = device.sync(log).await;
            idle &= report.is_idle();
            all.resolutions.extend(report.received.resolutions);
            all.conflicts.extend(report.received.conflicts);
        }
        if idle {
            break;
        }
    }
    assert_in_step(devices).await;
    all
}

async fn field(device: &Device, collection: &str, id: &str, name: &str) -> Json {
    device.get(collection, id).await.unwrap()[name].clone()
}

#[tokio::test(start_paused = true)]
async fn two_objects_with_one_unique_value_are_both_kept_and_the_later_is_renamed() {
    let log = shared_log();
    let [a, b, c] = three(SyncLog::new).await;
    a.create("account", json!({"id": "1", "handle": "ada"})).await;
    b.create("account", json!({"id": "2", "handle": "ada"})).await;
    c.create("account", json!({"id": "3", "handle": "ada"})).await;
    // The order in which they come to the log is the other way round.
    let all = quiet(&[&c, &b, &a], &log).await;
    assert_eq!(count(&a, "account").await, 3);
    assert_eq!(field(&a, "account", "1", "handle").await, "ada", "written first");
    for id in ["2", "3"] {
        let name = field(&a, "account", id, "handle").await;
        let suffix = name.as_str().unwrap().strip_prefix("ada~").unwrap();
        assert!(suffix.len() == 8 && suffix.chars().all(|it| it.is_ascii_hexdigit()), "{suffix}");
    }
    let told = &all.resolutions[0];
    assert_eq!(&*told.collection, "account");
    assert!(matches!(&told.cause, Cause::Unique { index, .. } if index == "handle"));
    assert!(matches!(&told.ruling, Ruling::Set { field, from, .. }
        if &**field == "handle" && *from == "ada".into()));
    for device in [&a, &b, &c] {
        assert_eq!(parked(&device.storage).await.unwrap(), []);
    }
}

/// By rule, and by what the fields allow where there is no rule.
#[tokio::test(start_paused = true)]
async fn each_unique_index_has_its_rule() {
    let handles = |rule| move || SyncLog::new().on_unique("account", ["handle"], rule);
    let codes = |rule| move || SyncLog::new().on_unique("account", ["code"], rule);
    type Logs = Box<dyn Fn() -> SyncLog>;
    let cases: Vec<(Logs, Json, Json, Option<Json>)> = vec![
        (
            Box::new(handles(UniqueRule::Delete)),
            json!({"id": "1", "handle": "x"}),
            json!({"id": "2", "handle": "x"}),
            None,
        ),
        (
            Box::new(codes(UniqueRule::Clear)),
            json!({"id": "1", "handle": "x", "code": 7}),
            json!({"id": "2", "handle": "y", "code": 7}),
            Some(json!({"handle": "y", "code": null})),
        ),
        // Nothing is chosen: an integer that may be null.
        (
            Box::new(SyncLog::new),
            json!({"id": "1", "handle": "x", "code": 7}),
            json!({"id": "2", "handle": "y", "code": 7}),
            Some(json!({"handle": "y", "code": null})),
        ),
        // Several fields: the last text is renamed, so that the first can still be found by.
        (
            Box::new(SyncLog::new),
            json!({"id": "1", "handle": "x", "first": "A", "last": "L"}),
            json!({"id": "2", "handle": "y", "first": "A", "last": "L"}),
            Some(json!({"handle": "y", "first": "A"})),
        ),
        // All at once.
        (
            Box::new(codes(UniqueRule::Delete)),
            json!({"id": "1", "handle": "x", "code": 7, "first": "A", "last": "L"}),
            json!({"id": "2", "handle": "x", "code": 7, "first": "A", "last": "L"}),
            None,
        ),
    ];
    for (n, (sync_log, first, second, expected)) in cases.into_iter().enumerate() {
        let log = shared_log();
        let [a, b, c] = three(sync_log).await;
        b.create("account", second).await;
        a.create("account", first.clone()).await;
        quiet(&[&a, &b, &c], &log).await;
        let kept = c.get("account", "1").await.unwrap();
        for (field, value) in first.as_object().unwrap() {
            assert_eq!(&kept[field], value, "case {n}");
        }
        let other = c.get("account", "2").await;
        assert_eq!(other.is_some(), expected.is_some(), "case {n}");
        for (field, value) in expected.iter().flat_map(|it| it.as_object().unwrap()) {
            assert_eq!(&other.as_ref().unwrap()[field], value, "case {n}, field {field}");
        }
    }
}

/// What neither may be null nor is a text waits for somebody to decide, as does what is told to.
#[tokio::test(start_paused = true)]
async fn what_no_rule_can_solve_is_parked_until_somebody_decides() {
    let log = shared_log();
    let [a, b, _] = three(SyncLog::new).await;
    a.create("seat", json!({"id": "1", "number": 7})).await;
    b.create("seat", json!({"id": "2", "number": 7})).await;
    settle(&[&a, &b], &log).await;
    assert_eq!((parked(&a.storage).await.unwrap().len(), count(&a, "seat").await), (1, 1));
    b.update("seat", json!({"id": "2"}), json!({"number": 8})).await;
    quiet(&[&b, &a], &log).await;
    assert_eq!(count(&a, "seat").await, 2);
    assert_eq!(parked(&a.storage).await.unwrap(), []);
    assert_eq!(parked(&b.storage).await.unwrap(), []);
}

/// A device to which the writes come in another order never sees the rule broken, and is told of what was changed.
#[tokio::test(start_paused = true)]
async fn a_device_that_never_saw_the_rule_broken_comes_to_the_same() {
    let log = shared_log();
    let [a, b, c] = three(SyncLog::new).await;
    a.create("account", json!({"id": "1", "handle": "ada"})).await;
    a.sync(&log).await;
    b.create("account", json!({"id": "2", "handle": "ada"})).await;
    // B gives way; C never sees that, because A deletes its object before C reads anything.
    let report = b.sync(&log).await;
    assert_eq!(report.received.resolutions.len(), 1);
    assert_eq!(report.sent_transactions, 2, "what it has changed is sent with the same exchange");
    a.delete("account", json!({"id": "1"})).await;
    a.sync(&log).await;
    let report = c.sync(&log).await;
    assert_eq!(report.received.resolutions, []);
    quiet(&[&a, &b, &c], &log).await;
    assert!(field(&c, "account", "2", "handle").await.as_str().unwrap().starts_with("ada~"));
}

/// The new name may be taken too.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_too_is_renamed_again() {
    let log = shared_log();
    let [a, b, _] = three(SyncLog::new).await;
    a.create("account", json!({"id": "1", "handle": "ada"})).await;
    b.create("account", json!({"id": "2", "handle": "ada"})).await;
    quiet(&[&a, &b], &log).await;
    let name = field(&a, "account", "2", "handle").await;
    // Again, and somebody has that name already.
    let log = shared_log();
    let [a, b, c] = three(SyncLog::new).await;
    c.runtime.advance(-1_000_000);
    c.create("account", json!({"id": "9", "handle": name})).await;
    a.create("account", json!({"id": "1", "handle": "ada"})).await;
    b.create("account", json!({"id": "2", "handle": "ada"})).await;
    quiet(&[&a, &b, &c], &log).await;
    assert_eq!(field(&a, "account", "9", "handle").await, name);
    let again = field(&a, "account", "2", "handle").await;
    assert!(again.as_str().unwrap().starts_with(name.as_str().unwrap()));
    assert_ne!(again, name);
}

/// What several devices have written is told apart from what one device did in one go: that is applied as it was done.
#[tokio::test(start_paused = true)]
async fn objects_may_still_exchange_a_unique_value() {
    let log = shared_log();
    let [a, b, _] = three(SyncLog::new).await;
    for (id, handle) in [("1", "x"), ("2", "y"), ("3", "z")] {
        a.create("account", json!({"id": id, "handle": handle})).await;
    }
    settle(&[&a, &b], &log).await;
    let set = |id: &'static str, to: &'static str| {
        Batch::new().update("account", Filter::key(id), Changes::new().set("handle", to))
    };
    let steps = [set("1", "tmp"), set("2", "x"), set("3", "y"), set("1", "z")];
    a.storage.execute(steps.into_iter().flat_map(|it| it.steps).collect()).await.unwrap();
    let all = quiet(&[&a, &b], &log).await;
    assert_eq!(all.resolutions, []);
    assert_eq!(field(&b, "account", "1", "handle").await, "z");
}

#[tokio::test(start_paused = true)]
async fn a_rule_for_what_is_not_there_is_refused() {
    let cases: Vec<(SyncLog, &str)> = vec![
        (SyncLog::new().on_unique("account", ["nick"], UniqueRule::Rename), "nick"),
        (SyncLog::new().on_unique("nobody", ["nick"], UniqueRule::Rename), "nobody"),
        (SyncLog::new().on_unique("seat", ["number"], UniqueRule::Rename), "text"),
        (SyncLog::new().on_unique("seat", ["number"], UniqueRule::Clear), "null"),
        (SyncLog::new().on_relation("member", ["name"], RelationRule::Keep), "relation"),
        (SyncLog::new().on_relation("member", ["team"], RelationRule::SetNull), "required"),
        (SyncLog::new().update_wins(["nobody"]), "nobody"),
    ];
    for (sync_log, word) in cases {
        let storage = Storage::builder(
            MemoryBackend::new(),
            schema().build().unwrap(),
            Arc::new(TestRuntime::new(1)),
        );
        let error: Error = storage.middleware(sync_log).open().await.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// A child is created on A while its parent is deleted on B: whatever the schema says of deletes holds on all devices.
#[tokio::test(start_paused = true)]
async fn a_child_of_a_parent_that_was_deleted_meanwhile_follows_the_rule_of_the_relation() {
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0]] {
        let log = shared_log();
        let all = three(SyncLog::new).await;
        let [a, b, c] = &all;
        a.create("team", json!({"id": "t", "name": "T"})).await;
        quiet(&[a, b, c], &log).await;
        a.create("member", json!({"id": "m", "name": "M", "team": "t"})).await;
        a.create("badge", json!({"id": "b", "name": "B", "member": "m"})).await;
        a.create("guest", json!({"id": "g", "name": "G", "team": "t"})).await;
        a.create("pass", json!({"id": "p", "name": "P", "team": "t"})).await;
        a.create("loose", json!({"id": "l", "name": "L", "team": "t"})).await;
        b.delete("team", json!({})).await;
        // C, in the middle, gets both.
        let devices = order.map(|at: usize| &all[at]);
        let all = quiet(&devices, &log).await;
        assert_eq!(c.get("member", "m").await, None);
        assert_eq!(c.get("badge", "b").await, None, "and what hangs on it");
        assert_eq!(field(c, "guest", "g", "team").await, Json::Null);
        assert_eq!(c.get("pass", "p").await, None);
        assert_eq!(
            field(c, "loose", "l", "team").await,
            "t",
            "nothing is declared, nothing is done"
        );
        assert!(all.resolutions.iter().any(|it| matches!(&it.cause,
            Cause::Relation { parent, .. } if &**parent == "team")));
    }
}

/// A child is moved to the parent that is deleted meanwhile.
#[tokio::test(start_paused = true)]
async fn a_child_that_is_moved_to_a_parent_deleted_meanwhile_follows_the_rule_too() {
    let sync_log = || {
        SyncLog::new().on_relation("loose", ["team"], RelationRule::DeleteChild).on_relation(
            "pass",
            ["team"],
            RelationRule::Keep,
        )
    };
    let log = shared_log();
    let [a, b, c] = three(sync_log).await;
    a.create("team", json!({"id": "t", "name": "T"})).await;
    a.create("team", json!({"id": "u", "name": "U"})).await;
    for collection in ["member", "guest", "pass", "loose"] {
        a.create(collection, json!({"id": "x", "name": "X", "team": "u"})).await;
    }
    quiet(&[&a, &b, &c], &log).await;
    for collection in ["member", "guest", "pass", "loose"] {
        a.update(collection, json!({}), json!({"team": "t"})).await;
    }
    b.delete("team", json!({"id": "t"})).await;
    quiet(&[&c, &b, &a], &log).await;
    assert_eq!(c.get("member", "x").await, None);
    assert_eq!(field(&c, "guest", "x", "team").await, Json::Null);
    assert_eq!(field(&c, "pass", "x", "team").await, "t", "as chosen");
    assert_eq!(c.get("loose", "x").await, None, "as chosen, though nothing is declared");
}

/// What one device deletes with all that hangs on it is no broken rule; nor is a child that comes before its parent.
#[tokio::test(start_paused = true)]
async fn what_keeps_the_rules_is_left_alone() {
    let log = shared_log();
    let [a, b, c] = three(SyncLog::new).await;
    a.create("team", json!({"id": "t", "name": "T"})).await;
    a.create("member", json!({"id": "m", "name": "M", "team": "t"})).await;
    a.create("guest", json!({"id": "g", "name": "G", "team": "t"})).await;
    let all = quiet(&[&a, &b, &c], &log).await;
    b.update("guest", json!({}), json!({"name": "renamed"})).await;
    a.delete("team", json!({})).await;
    let all = [all, quiet(&[&a, &b, &c], &log).await];
    assert!(all.iter().all(|it| it.resolutions.is_empty()));
    // Created again: whoever points there stays.
    a.create("team", json!({"id": "t", "name": "T2"})).await;
    b.sync(&log).await;
    a.sync(&log).await;
    b.sync(&log).await;
    b.create("member", json!({"id": "n", "name": "N", "team": "t"})).await;
    let all = quiet(&[&a, &b, &c], &log).await;
    assert_eq!(all.resolutions, []);
    assert_eq!(count(&c, "member").await, 1);
}

fn updates_win() -> SyncLog {
    SyncLog::new().update_wins(["note"])
}

/// C15: the matrix. A delete that had seen the update deletes; one that had not brings nothing down.
#[tokio::test(start_paused = true)]
async fn c15_an_update_that_the_delete_had_not_seen_wins_where_updates_win() {
    for update_first in [true, false] {
        for a_syncs_first in [true, false] {
            let log = shared_log();
            let [a, b, c] = three(updates_win).await;
            a.create("note", json!({"id": "n", "title": "t", "body": "b", "stars": 1})).await;
            quiet(&[&a, &b, &c], &log).await;
            if update_first {
                a.retitle("n", "edited").await;
                b.runtime.advance(5_000);
                b.delete("note", json!({})).await;
            } else {
                b.delete("note", json!({})).await;
                a.runtime.advance(5_000);
                a.retitle("n", "edited").await;
            }
            let order = if a_syncs_first { [&a, &b, &c] } else { [&b, &a, &c] };
            let all = quiet(&order, &log).await;
            let note = b.get("note", "n").await.expect("it is there again");
            assert_eq!((&note["title"], &note["body"]), (&json!("edited"), &json!("b")));
            assert!(all.resolutions.iter().any(|it| it.ruling == Ruling::Revived));
            // Whoever has seen it deletes it for good.
            c.delete("note", json!({})).await;
            let all = quiet(&order, &log).await;
            assert_eq!((count(&a, "note").await, all.resolutions), (0, Vec::new()));
        }
    }
}

/// Two devices bring the object back, each with an edit of its own: both edits count, and so do increments.
#[tokio::test(start_paused = true)]
async fn c15_all_unseen_updates_count_whoever_brings_the_object_back() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let log = shared_log();
        let all = three(updates_win).await;
        let [a, b, c] = &all;
        a.create("note", json!({"id": "n", "title": "t", "stars": 10})).await;
        quiet(&[a, b, c], &log).await;
        let more = |by: i64| {
            Batch::new().update("note", Filter::All, Changes::new().increment("stars", by))
        };
        a.retitle("n", "by A").await;
        a.storage.execute(more(1)).await.unwrap();
        c.update("note", json!({}), json!({"body": "by C"})).await;
        c.storage.execute(more(2)).await.unwrap();
        b.runtime.advance(1_000_000);
        b.delete("note", json!({})).await;
        quiet(&order.map(|at: usize| &all[at]), &log).await;
        let note = b.get("note", "n").await.expect("it is there again");
        assert_eq!(note, json!({"id": "n", "title": "by A", "body": "by C", "stars": 13}));
    }
}

/// Deleted and created again by one device, updated by another: both are there, the later stamp wins.
#[tokio::test(start_paused = true)]
async fn c15_an_update_counts_in_an_object_that_was_created_again() {
    let log = shared_log();
    let [a, b, c] = three(updates_win).await;
    a.create("note", json!({"id": "n", "title": "t", "body": "old"})).await;
    quiet(&[&a, &b, &c], &log).await;
    b.delete("note", json!({})).await;
    b.create("note", json!({"id": "n", "title": "second life", "body": "new"})).await;
    a.runtime.advance(60_000);
    a.retitle("n", "edited later").await;
    quiet(&[&c, &b, &a], &log).await;
    let note = c.get("note", "n").await.unwrap();
    assert_eq!((&note["title"], &note["body"]), (&json!("edited later"), &json!("new")));
}

/// Without the choice the delete wins, as ever.
#[tokio::test(start_paused = true)]
async fn c15_elsewhere_the_delete_wins() {
    let log = shared_log();
    let [a, b, c] = three(SyncLog::new).await;
    a.note("n", "t").await;
    quiet(&[&a, &b, &c], &log).await;
    b.delete("note", json!({})).await;
    a.retitle("n", "edited").await;
    let all = quiet(&[&a, &b, &c], &log).await;
    assert_eq!((count(&c, "note").await, all.resolutions), (0, Vec::new()));
}

/// C58: listed with its reason after a restart, applied when the cause is gone, gone when it is discarded.
#[tokio::test(start_paused = true)]
async fn c58_what_is_parked_is_listed_retried_and_discarded() {
    let log = shared_log();
    let [a, b, _] = three(SyncLog::new).await;
    for number in 1..=3 {
        b.create("seat", json!({"id": format!("b{number}"), "number": number})).await;
        a.create("seat", json!({"id": format!("a{number}"), "number": number})).await;
    }
    a.note("n", "flows on").await;
    a.sync(&log).await;
    assert_eq!(b.sync(&log).await.received.parked, 3);
    assert_eq!(b.title("n").await.as_deref(), Some("flows on"));
    let b = Device { storage: open(&b.backend, &b.runtime, schema(), SyncLog::new()).await, ..b };
    let waiting = parked(&b.storage).await.unwrap();
    assert_eq!(waiting.len(), 3, "it is still there after a restart");
    assert!(waiting[0].reason.contains("unique index (number)"), "{}", waiting[0].reason);
    let name = |n: usize| WriteId { device: waiting[n].device, sequence: waiting[n].sequence };
    let sync = b.join(&log).await;
    // Tried for nothing: it stays as it is.
    assert_eq!(sync.retry(name(0)).await.unwrap(), Applied::default());
    assert_eq!(sync.write_state(name(0)).await.unwrap(), WriteState::Parked);
    // The cause is mended.
    b.delete("seat", json!({"id": "b1"})).await;
    assert_eq!(sync.retry(name(0)).await.unwrap().transactions, 1);
    assert_eq!(sync.write_state(name(0)).await.unwrap(), WriteState::Applied);
    assert!(b.get("seat", "a1").await.is_some());
    assert!(matches!(sync.retry(name(0)).await, Err(SyncError::UnknownWrite { sequence: 1, .. })));
    // Given up.
    assert_eq!(sync.discard(name(1)).await.unwrap(), waiting[1]);
    assert!(matches!(
        sync.discard(name(1)).await,
        Err(SyncError::UnknownWrite { sequence: 2, .. })
    ));
    assert_eq!(parked(&b.storage).await.unwrap(), [waiting[2].clone()]);
    b.delete("seat", json!({"id": "b2"})).await;
    sync.sync_once().await.unwrap();
    assert_eq!(b.get("seat", "a2").await, None, "it does not come again");
}

/// C57, C58: a bound is kept, nothing is lost by it, and room that is made is used.
#[tokio::test(start_paused = true)]
async fn c58_when_too_much_is_parked_nothing_more_is_taken_and_nothing_is_lost() {
    let log = shared_log();
    let [a, b, _] = three(SyncLog::new).await;
    for number in 1..=3 {
        b.create("seat", json!({"id": format!("b{number}"), "number": number})).await;
        a.create("seat", json!({"id": format!("a{number}"), "number": number})).await;
    }
    a.note("n", "behind them").await;
    a.sync(&log).await;
    let sync = b.join(&log).await.most_parked(2);
    let error = sync.sync_once().await.unwrap_err();
    assert!(matches!(error, SyncError::ParkingFull { most: 2 }), "{error}");
    assert_eq!(sync.unsent().await.unwrap(), 0, "what was written here is sent");
    assert_eq!(b.title("n").await, None);
    let waiting = parked(&b.storage).await.unwrap();
    assert_eq!(waiting.len(), 2);
    let first = WriteId { device: waiting[0].device, sequence: waiting[0].sequence };
    sync.discard(first).await.unwrap();
    assert_eq!(sync.sync_once().await.unwrap().received.transactions, 1);
    assert_eq!(b.title("n").await.as_deref(), Some("behind them"));
    let numbers: Vec<u64> =
        parked(&b.storage).await.unwrap().iter().map(|it| it.sequence).collect();
    assert_eq!(numbers, [2, 3]);
    assert_eq!(log_of(&b).await, []);
}

/// C60: of a transaction one part breaks a rule that only somebody can decide: it is applied whole or not at all, and told.
#[tokio::test(start_paused = true)]
async fn c60_a_transaction_with_a_part_that_must_wait_waits_whole() {
    let log = shared_log();
    let [a, b, _] = three(SyncLog::new).await;
    b.create("seat", json!({"id": "b", "number": 7})).await;
    let batch = Batch::new()
        .create_json(&a.storage, "note", "n", &json!({"id": "n", "title": "half"}))
        .unwrap()
        .create_json(&a.storage, "seat", "s", &json!({"id": "a", "number": 7}))
        .unwrap()
        .create_json(&a.storage, "account", "x", &json!({"id": "x", "handle": "x"}))
        .unwrap();
    a.storage.execute(batch).await.unwrap();
    a.sync(&log).await;
    let report = b.sync(&log).await;
    assert_eq!((report.received.transactions, report.received.parked), (0, 1));
    assert_eq!((count(&b, "note").await, count(&b, "account").await), (0, 0));
    assert!(parked(&b.storage).await.unwrap()[0].reason.contains("`seat`"));
}

/// What its own author has deleted does not come back in an object that was created again.
#[tokio::test(start_paused = true)]
async fn c15_what_its_author_has_deleted_stays_so() {
    let log = shared_log();
    let [a, b, _] = three(updates_win).await;
    for device in [&a, &b] {
        device.create("note", json!({"id": "n", "title": "first", "body": "first"})).await;
        device.delete("note", json!({})).await;
    }
    a.create("note", json!({"id": "n", "title": "again"})).await;
    quiet(&[&a, &b], &log).await;
    let note = b.get("note", "n").await.unwrap();
    assert_eq!((&note["title"], &note["body"]), (&json!("again"), &Json::Null));
}

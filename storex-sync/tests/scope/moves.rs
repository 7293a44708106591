//! Objects that move from scope to scope.

use serde_json::json;
use storex_core::{
    Batch, ChangeEvent, ChangeKind, Changes, Filter, OnConflict, OnDelete, Record, Step, Value,
};
use storex_sync::{LogId, MemorySharedLog, RelationRule, UniqueRule};

use super::*;
use support::pump;

async fn at_once<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::select! {
        biased;
        output = future => output,
        () = std::future::ready(()) => None,
    }
}

/// C18: who holds the one, the other, both.
#[tokio::test(start_paused = true)]
async fn c18_a_move_takes_from_one_and_gives_to_another() {
    let log = shared_log();
    let a = device(1).await;
    let (x, y) = (holding(2, &log, &["x"]).await, holding(3, &log, &["y"]).await);
    let both = holding(4, &log, &["x", "y"]).await;
    let all = [&a, &x, &y, &both];
    a.create("note", json!({"id": "1", "title": "t", "notebook": "x", "stars": 1, "tags": ["a"]}))
        .await;
    settle(&all, &log).await;
    x.update("note", json!({}), json!({"stars": {"$inc": 5}})).await;
    x.update("note", json!({}), json!({"tags": ["a", "b"]})).await;
    settle(&[&x, &a, &y, &both], &log).await;
    assert_eq!((ids(&x).await.len(), ids(&y).await.len()), (1, 0));

    let mut seen = both.storage.changes();
    a.update("note", json!({}), json!({"notebook": "y", "title": "moved"})).await;
    settle(&all, &log).await;
    assert_eq!((ids(&x).await.len(), ids(&y).await.len(), ids(&both).await.len()), (0, 1, 1));
    assert_eq!((clocks(&x).await, clocks(&y).await), (0, 1));
    let there = held(&a).await;
    assert_eq!((held(&y).await, held(&both).await), (there.clone(), there.clone()));
    assert_eq!(
        (&there["1"]["stars"], &there["1"]["tags"], &there["1"]["title"]),
        (&json!(6), &json!(["a", "b"]), &json!("moved"))
    );
    let mut kinds = Vec::new();
    while let Some(ChangeEvent::Changed(set)) = at_once(seen.next()).await {
        let notes = set.changes.iter().filter(|it| *it.collection == *"note");
        kinds.extend(notes.map(|it| it.kind));
    }
    assert!(
        !kinds.is_empty() && kinds.iter().all(|kind| *kind == ChangeKind::Updated),
        "{kinds:?}"
    );

    // What is added on both sides still counts.
    y.update("note", json!({}), json!({"stars": {"$inc": 2}, "tags": ["a", "b", "c"]})).await;
    a.update("note", json!({}), json!({"stars": {"$inc": 1}})).await;
    settle(&all, &log).await;
    settle(&all, &log).await;
    assert_eq!(held(&y).await, held(&a).await);
    assert_eq!(held(&y).await["1"]["stars"], 9);
}

/// By a replacement of the whole object, and in a batch that goes on with it.
#[tokio::test(start_paused = true)]
async fn c18_every_way_of_moving_brings_the_whole_object() {
    let log = shared_log();
    let (a, c, y) = (device(1).await, device(2).await, holding(3, &log, &["y"]).await);
    for id in ["1", "2", "3"] {
        a.create("note", json!({"id": id, "title": id, "notebook": "x", "tags": ["a"]})).await;
    }
    settle(&[&a, &c, &y], &log).await;
    c.update("note", json!({}), json!({"tags": ["a", "c"], "stars": 3})).await;
    settle(&[&c, &a, &y], &log).await;
    let values: [Value; 5] =
        ["1".into(), "one".into(), "y".into(), Value::Null, Value::Json(json!(["a", "c", "r"]))];
    let upsert = Step::create_or("note", vec![Record::new(values.into())], OnConflict::Replace);
    a.storage.execute(Batch::new().step(upsert)).await.unwrap();
    let set = |field: &'static str, to: &'static str| Changes::new().set(field, to);
    let key = |id: &'static str| Filter::key(id);
    let batch = Batch::new()
        .update("note", key("2"), set("notebook", "y"))
        .update("note", key("2"), set("title", "two"))
        .update("note", key("3"), set("notebook", "y"))
        .delete("note", key("3"));
    a.storage.execute(batch).await.unwrap();
    settle(&[&a, &y, &c], &log).await;
    assert_eq!(held(&y).await, held(&a).await);
    assert_eq!(ids(&y).await, ["1", "2"]);
    assert_eq!(held(&y).await["1"]["tags"], json!(["a", "c", "r"]));
    assert_eq!(held(&y).await["2"]["title"], "two");
    assert_eq!(held(&c).await, held(&a).await);
}

/// Nothing is new about it where it is known: no stamp of another field is later than it was.
#[tokio::test(start_paused = true)]
async fn a_move_does_not_win_over_what_it_does_not_change() {
    let log = shared_log();
    let (a, b) = (device(1).await, device(2).await);
    write(&a, "1", "x").await;
    settle(&[&a, &b], &log).await;
    b.retitle("1", "of B").await;
    a.runtime.advance(60_000);
    shift(&a, "1", "y").await;
    settle(&[&b, &a, &b], &log).await;
    for device in [&a, &b] {
        let note = held(device).await["1"].clone();
        assert_eq!((&note["title"], &note["notebook"]), (&json!("of B"), &json!("y")));
    }
}

/// A write and a move that have not seen each other, in both orders of the log: who holds the new scope gets both.
#[tokio::test(start_paused = true)]
async fn c18_a_move_and_a_concurrent_edit_converge() {
    for edit_first in [true, false] {
        let log = shared_log();
        let (a, c) = (device(1).await, holding(2, &log, &["x"]).await);
        let (y, all) = (holding(3, &log, &["y"]).await, device(4).await);
        write(&a, "1", "x").await;
        settle(&[&a, &c, &y, &all], &log).await;
        c.retitle("1", "edited on C").await;
        shift(&a, "1", "y").await;
        let order = if edit_first { [&c, &a] } else { [&a, &c] };
        for device in order {
            device.join(&log).await.send_once().await.unwrap();
        }
        // Whoever holds the new scope has passed over the edit by now.
        y.sync(&log).await;
        settle(&[&c, &y], &log).await;
        assert_eq!(y.title("1").await.as_deref(), Some("edited on C"), "{edit_first}");
        assert_eq!(ids(&c).await, [""; 0]);
        settle(&[&a, &all, &y], &log).await;
        assert_eq!(held(&y).await, held(&a).await);
        assert_eq!(held(&all).await, held(&a).await);
    }
}

/// Who wrote does not come back: the mover has heard of it, and tells.
#[tokio::test(start_paused = true)]
async fn c18_who_moves_tells_what_it_had_not_seen() {
    let log = shared_log();
    let (a, c, y) = (device(1).await, device(2).await, holding(3, &log, &["y"]).await);
    write(&a, "1", "x").await;
    settle(&[&a, &c, &y], &log).await;
    c.retitle("1", "edited on C").await;
    c.sync(&log).await;
    shift(&a, "1", "y").await;
    a.join(&log).await.send_once().await.unwrap();
    y.sync(&log).await;
    assert_eq!(y.title("1").await.as_deref(), Some("1"), "as the mover had it");
    assert_eq!(a.sync(&log).await.received.restated, 1);
    y.sync(&log).await;
    assert_eq!(held(&y).await, held(&a).await);
}

/// Neither of them comes back: who holds everything tells.
#[tokio::test(start_paused = true)]
async fn c18_who_holds_everything_tells_what_a_move_had_not_seen() {
    let log = shared_log();
    let (b, c) = (holding(1, &log, &["x"]).await, holding(2, &log, &["x"]).await);
    let (y, all) = (holding(3, &log, &["y"]).await, device(4).await);
    write(&b, "1", "x").await;
    settle(&[&b, &c, &y, &all], &log).await;
    c.retitle("1", "edited on C").await;
    shift(&b, "1", "y").await;
    for device in [&c, &b] {
        device.join(&log).await.send_once().await.unwrap();
    }
    for device in [&y, &all, &y] {
        device.sync(&log).await;
    }
    assert_eq!(y.title("1").await.as_deref(), Some("edited on C"));
    assert_eq!(held(&y).await, held(&all).await);
}

/// An update waits with the create that is parked, and is not taken for one of another scope.
#[tokio::test(start_paused = true)]
async fn an_update_waits_with_what_is_parked() {
    let log = shared_log();
    let new = |seed: u64| async move {
        let schema = Registry::builder().collection(
            Definition::new("page")
                .field("name", FieldType::String)
                .field("book", FieldType::String)
                .optional("text", FieldType::String)
                .unique(["name"]),
        );
        let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
        let sync_log =
            SyncLog::new().scoped("page", "book").on_unique("page", ["name"], UniqueRule::Park);
        let storage = support::open(&backend, &runtime, schema, sync_log).await;
        Device { runtime, backend, storage }
    };
    let (a, x) = (new(1).await, new(2).await);
    x.join(&log).await.subscribe("page", Scope::only(["x"])).await.unwrap();
    x.create("page", json!({"id": "mine", "name": "n", "book": "x"})).await;
    a.create("page", json!({"id": "theirs", "name": "n", "book": "x"})).await;
    a.sync(&log).await;
    x.join(&log).await.receive_once().await.unwrap();
    a.update("page", json!({"id": "theirs"}), json!({"text": "later"})).await;
    a.join(&log).await.send_once().await.unwrap();
    x.join(&log).await.receive_once().await.unwrap();
    assert_eq!(support::parked_count(&x).await, 2);
    x.update("page", json!({"id": "mine"}), json!({"name": "m"})).await;
    x.join(&log).await.retry_parked().await.unwrap();
    assert_eq!(x.get("page", "theirs").await.unwrap()["text"], "later");
    assert_eq!(support::parked_count(&x).await, 0);
}

/// A device creates under a key that it does not hold any more: what was contributed to the object that is there counts for it too.
#[tokio::test(start_paused = true)]
async fn what_is_created_under_a_key_of_another_scope_becomes_one_object() {
    let log = shared_log();
    let (a, y) = (device(1).await, holding(2, &log, &["y"]).await);
    y.create("note", json!({"id": "1", "title": "first", "notebook": "x"})).await;
    y.update("note", json!({}), json!({"tags": ["before"]})).await;
    settle(&[&y, &a], &log).await;
    assert_eq!(ids(&y).await, [""; 0]);
    write(&y, "1", "y").await;
    for _ in 0..2 {
        settle(&[&y, &a], &log).await;
    }
    assert_eq!(held(&y).await["1"]["tags"], json!(["before"]));
    assert_eq!(held(&y).await, held(&a).await);
}

/// Two moves of one object: one of them has won, and nobody keeps it who follows the other.
#[tokio::test(start_paused = true)]
async fn c18_two_moves_converge() {
    for first in [true, false] {
        let log = shared_log();
        let (a, c) = (device(1).await, device(2).await);
        let (x, y) = (holding(3, &log, &["x"]).await, holding(4, &log, &["y"]).await);
        write(&a, "1", "z").await;
        settle(&[&a, &c, &x, &y], &log).await;
        shift(&a, "1", "x").await;
        c.runtime.advance(1_000);
        shift(&c, "1", "y").await;
        let order = if first { [&a, &c] } else { [&c, &a] };
        for device in order {
            device.join(&log).await.send_once().await.unwrap();
        }
        for _ in 0..3 {
            settle(&[&x, &y, &a, &c], &log).await;
        }
        assert_eq!(held(&a).await["1"]["notebook"], "y");
        assert_eq!((ids(&x).await.len(), held(&y).await), (0, held(&a).await), "{first}");
    }
}

/// Somebody has deleted it without knowing of the move: it does not come back to who gains it.
#[tokio::test(start_paused = true)]
async fn c18_a_delete_is_known_outside_of_the_scope() {
    let log = shared_log();
    let (a, c, y) = (device(1).await, device(2).await, holding(3, &log, &["y"]).await);
    write(&a, "1", "x").await;
    settle(&[&a, &c, &y], &log).await;
    c.delete("note", json!({})).await;
    shift(&a, "1", "y").await;
    for device in [&c, &y, &a, &y, &c, &y] {
        device.sync(&log).await;
    }
    assert_eq!((ids(&y).await.len(), ids(&a).await.len()), (0, 0));
}

/// An update waits as ever when what it changes may still come: its author has heard of somebody whom this device has not.
#[tokio::test(start_paused = true)]
async fn an_update_is_not_passed_over_before_its_object_may_have_come() {
    let log = shared_log();
    let (a, b, x) = (device(1).await, device(2).await, holding(3, &log, &["x"]).await);
    write(&a, "1", "x").await;
    pump(&a, &b).await;
    b.retitle("1", "of B").await;
    b.sync(&log).await;
    assert_eq!(x.sync(&log).await.received.parked, 1);
    settle(&[&a, &x], &log).await;
    assert_eq!(x.title("1").await.as_deref(), Some("of B"));
    assert_eq!(support::parked_count(&x).await, 0);
    // And is passed over when the object turns out to be of another scope.
    write(&a, "2", "y").await;
    pump(&a, &b).await;
    b.retitle("2", "of B").await;
    b.sync(&log).await;
    assert_eq!(x.sync(&log).await.received.parked, 1);
    settle(&[&a, &x], &log).await;
    assert_eq!((ids(&x).await, support::parked_count(&x).await), (vec!["1".to_owned()], 0));
}

/// The scope is itself a relation, and the rules of the merge clear it.
#[tokio::test(start_paused = true)]
async fn what_a_rule_moves_is_sent_whole() {
    let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
    let new = |seed: u64| async move {
        let schema = Registry::builder()
            .collection(Definition::new("book").field("name", FieldType::String))
            .collection(
                Definition::new("page")
                    .field("title", FieldType::String)
                    .optional("book", FieldType::String)
                    .foreign_key(["book"], "book", ["id"], OnDelete::SetNull),
            );
        let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
        let sync_log = SyncLog::new().scoped("page", "book").on_relation(
            "page",
            ["book"],
            RelationRule::SetNull,
        );
        let storage = support::open(&backend, &runtime, schema, sync_log).await;
        Device { runtime, backend, storage }
    };
    let (a, b, none) = (new(1).await, new(2).await, new(3).await);
    let null = Scope::Only(vec![Value::Null]);
    none.join(&log).await.subscribe("page", null).await.unwrap();
    a.create("book", json!({"id": "b", "name": "n"})).await;
    settle(&[&a, &b, &none], &log).await;
    a.delete("book", json!({})).await;
    b.create("page", json!({"id": "p", "title": "t", "book": "b"})).await;
    for _ in 0..2 {
        settle(&[&b, &a, &none], &log).await;
    }
    let page = none.get("page", "p").await.expect("it has come to no book");
    assert_eq!((&page["title"], &page["book"]), (&json!("t"), &json!(null)));
}

/// Who moves an object may have passed over some of it, and says all the same that it has seen everything.
#[tokio::test(start_paused = true)]
async fn a_mover_that_lacks_something_is_found_out() {
    let log = shared_log();
    let (a, behind) = (device(1).await, device(2).await);
    let (b, z) = (holding(3, &log, &["x"]).await, holding(4, &log, &["z"]).await);
    write(&a, "1", "y").await;
    settle(&[&a, &behind, &b, &z], &log).await;
    a.retitle("1", "edited on A").await;
    settle(&[&a, &b, &z], &log).await;
    // It has chosen more, and has an old state of it before it has read the log.
    subscribe(&b, &log, &["x", "y", "z"]).await;
    pump(&behind, &b).await;
    assert_eq!(b.title("1").await.as_deref(), Some("1"));
    shift(&b, "1", "z").await;
    b.join(&log).await.send_once().await.unwrap();
    for _ in 0..2 {
        settle(&[&z, &a, &b, &z], &log).await;
    }
    for device in [&a, &b, &z] {
        assert_eq!(device.title("1").await.as_deref(), Some("edited on A"));
    }
}

/// What a rule brings to another scope goes, also where this device itself keeps the rule.
#[tokio::test(start_paused = true)]
async fn what_a_rule_moves_out_goes() {
    let log = shared_log();
    let new = |seed: u64| async move {
        let schema = Registry::builder()
            .collection(Definition::new("book").field("name", FieldType::String))
            .collection(Definition::new("page").optional("book", FieldType::String).foreign_key(
                ["book"],
                "book",
                ["id"],
                OnDelete::SetNull,
            ));
        let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
        let rule = RelationRule::SetNull;
        let sync_log = SyncLog::new().scoped("page", "book").on_relation("page", ["book"], rule);
        let storage = support::open(&backend, &runtime, schema, sync_log).await;
        Device { runtime, backend, storage }
    };
    let (a, c) = (new(1).await, new(2).await);
    a.create("book", json!({"id": "b", "name": "n"})).await;
    settle(&[&a, &c], &log).await;
    c.join(&log).await.subscribe("page", Scope::only(["b"])).await.unwrap();
    c.sync(&log).await;
    a.delete("book", json!({})).await;
    a.sync(&log).await;
    c.create("page", json!({"id": "p", "book": "b"})).await;
    for _ in 0..2 {
        c.sync(&log).await;
    }
    assert_eq!(count(&c, "page").await, 0);
    a.sync(&log).await;
    assert_eq!(a.get("page", "p").await.unwrap()["book"], json!(null));
}

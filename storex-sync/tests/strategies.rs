//! Strategies on real storages: what is written, read back, merged over the log and by initial sync.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Batch, Definition, ErrorKind, FieldType, OnConflict, Record, Registry, RegistryBuilder,
    Step, Storage, Value,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    ConflictJournal, ConflictQuery, EntryValue, InitialSync, MemoryChannel, Strategy as Merging,
    SyncLog,
};
use support::{Device, assert_in_step, dump, log_of, open, parked_count, pump, settle, shared_log};

fn schema() -> RegistryBuilder {
    Registry::builder().collection(
        Definition::new("game")
            .optional("best", FieldType::Int)
            .optional("fastest", FieldType::Float)
            .optional("tags", FieldType::Json)
            .optional("moves", FieldType::Json)
            .optional("motto", FieldType::Text)
            .optional("title", FieldType::String),
    )
}

fn longer(a: &Value, b: &Value) -> Value {
    let rank = |value: &Value| value.as_text().map(|text| (text.len(), text.to_owned()));
    if rank(a) < rank(b) { b.clone() } else { a.clone() }
}

fn configured() -> SyncLog {
    SyncLog::new()
        .strategy("game", "best", Merging::Max)
        .strategy("game", "fastest", Merging::Min)
        .strategy("game", "tags", Merging::Set)
        .strategy("game", "moves", Merging::List)
        .strategy("game", "motto", Merging::custom("longer", longer))
        .strategy("game", "title", Merging::KeepBoth)
}

async fn with(seed: u64, sync_log: SyncLog) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let storage = open(&backend, &runtime, schema(), sync_log).await;
    Device { runtime, backend, storage }
}

async fn device(seed: u64) -> Device {
    with(seed, configured()).await
}

async fn game(device: &Device) -> Json {
    device.get("game", "g").await.unwrap()
}

/// Creates it, or gives it all these values.
async fn put(device: &Device, game: &Json) {
    let field = |name: &str| match &game[name] {
        Json::Null => Value::Null,
        Json::Number(number) if name == "fastest" => Value::from(number.as_f64().unwrap()),
        Json::Number(number) => Value::Int(number.as_i64().unwrap()),
        Json::String(text) => Value::from(text.as_str()),
        other => Value::Json(other.clone()),
    };
    let names = ["best", "fastest", "tags", "moves", "motto", "title"];
    let values = std::iter::once("g".into()).chain(names.map(field)).collect();
    let step = Step::create_or("game", vec![Record::new(values)], OnConflict::Replace);
    device.storage.execute(Batch::new().step(step)).await.unwrap();
}

async fn update(device: &Device, changes: Json) {
    device.update("game", json!({}), changes).await;
}

// ---- One device -------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn what_is_read_back_is_what_the_strategy_says() {
    let a = device(1).await;
    a.create("game", json!({"id": "g", "best": 5, "fastest": 2.5, "tags": ["b", "a", "b"], "moves": [1], "motto": "longest"})).await;
    let first = json!({"id": "g", "best": 5, "fastest": 2.5, "tags": ["b", "a"], "moves": [1], "motto": "longest", "title": null});
    assert_eq!(game(&a).await, first);

    // A lower score, a shorter motto, a list with nothing of what was there.
    update(&a, json!({"best": 3, "fastest": 9.5, "tags": ["a", "c"], "moves": [2], "motto": "x"}))
        .await;
    let second = json!({"id": "g", "best": 5, "fastest": 2.5, "tags": ["a", "c"], "moves": [1, 2], "motto": "longest", "title": null});
    assert_eq!(game(&a).await, second);

    update(&a, json!({"best": {"$inc": -4}, "tags": {"$pull": "a"}, "moves": null, "motto": null}))
        .await;
    let third = json!({"id": "g", "best": 5, "fastest": 2.5, "tags": ["c"], "moves": [1, 2], "motto": "longest", "title": null});
    assert_eq!(game(&a).await, third);

    // All values anew, as an upsert writes them.
    put(&a, &json!({"best": 9, "fastest": 1.0, "tags": ["c", "d"], "moves": [3], "motto": "a", "title": "t"})).await;
    let fourth = json!({"id": "g", "best": 9, "fastest": 1.0, "tags": ["c", "d"], "moves": [1, 2, 3], "motto": "longest", "title": "t"});
    assert_eq!(game(&a).await, fourth);

    // A new life begins anew.
    a.delete("game", json!({})).await;
    a.create("game", json!({"id": "g", "best": 1, "tags": ["z"], "moves": [7], "motto": "m"}))
        .await;
    let fifth = json!({"id": "g", "best": 1, "fastest": null, "tags": ["z"], "moves": [7], "motto": "m", "title": null});
    assert_eq!(game(&a).await, fifth);
}

#[tokio::test(start_paused = true)]
async fn several_writes_in_one_batch_come_to_what_the_last_state_says() {
    let (a, b) = (device(1).await, device(2).await);
    let log = shared_log();
    put(&a, &json!({"best": 10, "tags": ["a"], "moves": [1]})).await;
    let changes = |best: i64| storex_core::Changes::new().set("best", best);
    let all = || storex_core::Filter::All;
    let batch = Batch::new()
        .update("game", all(), changes(3))
        .update("game", all(), changes(20))
        .update("game", all(), changes(4).add_elements("moves", [json!(2)]));
    a.storage.execute(batch).await.unwrap();
    assert_eq!(game(&a).await["best"], 20);
    assert_eq!(game(&a).await["moves"], json!([1, 2]));
    // Changed and deleted in one batch: nothing is put right that is gone.
    let batch = Batch::new().update("game", all(), changes(1)).delete("game", all());
    settle(&[&a, &b], &log).await;
    a.storage.execute(batch).await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.get("game", "g").await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_array_is_refused_and_changes_nothing() {
    let a = device(1).await;
    put(&a, &json!({"tags": ["a"], "moves": [1]})).await;
    let before = support::dump_all(&a).await;
    for field in ["tags", "moves"] {
        let games = a.storage.dynamic("game").unwrap();
        let changes = json!({field: {"$set": {"an": "object"}}});
        let error = match games.update(&json!({}), &changes).await {
            Err(error) => error,
            Ok(changed) => panic!("{changed:?}"),
        };
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(field), "{error}");
        assert_eq!(support::dump_all(&a).await, before);
    }
}

// ---- Two devices ------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn c08_writes_of_both_devices_count_in_whatever_order_and_way_they_arrive() {
    for by_pump in [false, true] {
        for a_is_late in [false, true] {
            let log = shared_log();
            let (a, b) = (device(1).await, device(2).await);
            put(&a, &json!({"best": 5, "fastest": 5.0, "tags": ["x", "y"], "moves": ["start"], "motto": "ab"})).await;
            settle(&[&a, &b], &log).await;
            (if a_is_late { &a } else { &b }).runtime.advance(5_000);
            update(&a, json!({"best": 7, "fastest": 6.0, "tags": ["y", "a"], "moves": ["start", "a"], "motto": "abc"})).await;
            update(&b, json!({"best": 6, "fastest": 4.0, "tags": {"$addToSet": "b"}, "moves": {"$addToSet": "b"}, "motto": "abcd"})).await;
            if by_pump {
                pump(&a, &b).await;
                pump(&b, &a).await;
            }
            settle(&[&a, &b], &log).await;
            assert_in_step(&[&a, &b]).await;
            let game = game(&a).await;
            assert_eq!((&game["best"], &game["fastest"]), (&json!(7), &json!(4.0)));
            let added = if a_is_late { ["b", "a"] } else { ["a", "b"] };
            assert_eq!(game["tags"], json!(["y", added[0], added[1]]));
            assert_eq!(game["moves"], json!(["start", added[0], added[1]]));
            assert_eq!(game["motto"], "abcd");
            // A third one that knows nothing yet, from the log, and a fourth one from a device.
            let (c, d) = (device(3).await, device(4).await);
            c.sync(&log).await;
            pump(&a, &d).await;
            assert_in_step(&[&a, &b, &c, &d]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_creates_of_one_object_join() {
    for by_pump in [false, true] {
        let log = shared_log();
        let (a, b) = (device(1).await, device(2).await);
        put(&a, &json!({"best": 7, "tags": ["a"], "moves": [1], "motto": "long"})).await;
        put(&b, &json!({"best": 6, "tags": ["b"], "moves": [2], "motto": "x", "title": "t"})).await;
        if by_pump {
            pump(&a, &b).await;
            pump(&b, &a).await;
        }
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        let game = game(&a).await;
        assert_eq!((&game["best"], &game["motto"]), (&json!(7), &json!("long")));
        assert_eq!(game["tags"].as_array().unwrap().len(), 2);
        assert_eq!(game["moves"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn of_an_addition_and_a_removal_the_later_counts() {
    for removal_is_late in [false, true] {
        let log = shared_log();
        let (a, b) = (device(1).await, device(2).await);
        put(&a, &json!({"tags": ["x"]})).await;
        settle(&[&a, &b], &log).await;
        // Taken out and put in again here, taken out there.
        (if removal_is_late { &b } else { &a }).runtime.advance(5_000);
        update(&a, json!({"tags": []})).await;
        update(&a, json!({"tags": ["x"]})).await;
        update(&b, json!({"tags": {"$pull": "x"}})).await;
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
        let expected = if removal_is_late { json!([]) } else { json!(["x"]) };
        assert_eq!(game(&b).await["tags"], expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_life_wins_over_what_was_contributed_to_the_former() {
    let log = shared_log();
    let (a, b) = (device(1).await, device(2).await);
    put(&a, &json!({"best": 5, "tags": ["x"]})).await;
    settle(&[&a, &b], &log).await;
    a.delete("game", json!({})).await;
    a.create("game", json!({"id": "g", "best": 1, "tags": ["new"]})).await;
    b.runtime.advance(5_000);
    update(&b, json!({"best": 100, "tags": ["x", "lost"]})).await;
    let report_a = {
        b.sync(&log).await;
        a.sync(&log).await
    };
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(game(&b).await["best"], 1);
    assert_eq!(game(&b).await["tags"], json!(["new"]));
    assert_eq!(report_a.received.conflicts.len(), 1, "what was lost is told");
}

// ---- Devices that are configured otherwise --------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_device_without_the_strategies_follows_the_clock() {
    let log = shared_log();
    let without = SyncLog::new().strategy("game", "motto", Merging::custom("longer", longer));
    let (a, b) = (device(1).await, with(2, without).await);
    put(&a, &json!({"best": 5, "tags": ["x"], "moves": [1]})).await;
    settle(&[&a, &b], &log).await;
    update(&b, json!({"best": 3, "tags": {"$addToSet": "b"}, "moves": [2]})).await;
    update(&a, json!({"best": 4, "tags": {"$addToSet": "a"}})).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    let game = game(&b).await;
    assert_eq!((&game["best"], &game["moves"]), (&json!(5), &json!([1, 2])));
    assert_eq!(game["tags"].as_array().unwrap().len(), 3);
}

/// A plain write of one that has heard of nothing begins a new base everywhere.
#[tokio::test(start_paused = true)]
async fn devices_that_are_configured_otherwise_converge() {
    for seed in 0..3 {
        let log = shared_log();
        let (a, b) =
            (device(1).await, with(2, SyncLog::new().strategy("game", "best", Merging::Min)).await);
        (if seed == 1 { &a } else { &b }).runtime.advance(5_000);
        let start = |best: i64| json!({"best": best, "tags": [best], "moves": [best]});
        put(&a, &start(5)).await;
        put(&b, &start(7)).await;
        settle(&[&a, &b], &log).await;
        let c = with(3, SyncLog::new()).await;
        pump(if seed == 2 { &a } else { &b }, &c).await;
        // No function here for `motto`, which nobody has written.
        for (device, best) in [(&a, 9), (&b, 2), (&c, 4)] {
            update(device, start(best)).await;
        }
        settle(&[&a, &b, &c], &log).await;
        settle(&[&a, &b, &c], &log).await;
        assert_in_step(&[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_unknown_function_joins_is_parked_until_there_is_one() {
    let log = shared_log();
    let (a, b) = (device(1).await, with(2, SyncLog::new()).await);
    put(&a, &json!({"best": 5, "motto": "abc"})).await;
    settle(&[&a, &b], &log).await;
    assert_eq!(parked_count(&b).await, 1);
    let parked = storex_sync::parked(&b.storage).await.unwrap();
    assert!(parked[0].reason.contains("a function `longer`"), "{}", parked[0].reason);
    assert_eq!(b.get("game", "g").await, None);
    // Initial sync says so before it changes anything.
    let (mut here, mut there) = MemoryChannel::pair();
    let sender = InitialSync::open(&a.storage).await.unwrap();
    let receiver = InitialSync::open(&b.storage).await.unwrap();
    let (_, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    assert!(received.unwrap_err().to_string().contains("a function `longer`"));
    assert_eq!(dump(&b).await["game"], []);

    let storage = open(&b.backend, &b.runtime, schema(), configured()).await;
    let updated = Device { storage, ..b.clone() };
    settle(&[&a, &updated], &log).await;
    assert_eq!(parked_count(&updated).await, 0);
    assert_in_step(&[&a, &updated]).await;
}

/// Objects that were written before there was a strategy.
#[tokio::test(start_paused = true)]
async fn a_strategy_may_come_later() {
    let log = shared_log();
    let (a, b) = (with(1, SyncLog::new()).await, with(2, SyncLog::new()).await);
    put(&a, &json!({"best": 5, "tags": ["x"], "moves": [1]})).await;
    settle(&[&a, &b], &log).await;
    let reopened = async |device: &Device| Device {
        storage: open(&device.backend, &device.runtime, schema(), configured()).await,
        ..device.clone()
    };
    let (a, b) = (reopened(&a).await, reopened(&b).await);
    update(&a, json!({"best": 3, "tags": {"$addToSet": "a"}, "moves": {"$addToSet": 2}})).await;
    update(&b, json!({"best": 4, "tags": {"$addToSet": "b"}, "moves": {"$addToSet": 3}})).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    let game = game(&a).await;
    assert_eq!(game["best"], 5, "what was there counts");
    for added in ["x", "a", "b"] {
        assert!(game["tags"].as_array().unwrap().contains(&json!(added)), "{game}");
    }
}

#[tokio::test(start_paused = true)]
async fn both_values_are_kept_until_somebody_decides() {
    let log = shared_log();
    let (a, b) = (with(1, configured().journal(0)).await, device(2).await);
    b.runtime.advance(5_000);
    put(&a, &json!({"title": "before"})).await;
    settle(&[&a, &b], &log).await;
    for n in 0..3 {
        update(&a, json!({"title": format!("a{n}")})).await;
        update(&b, json!({"title": format!("b{n}")})).await;
        settle(&[&a, &b], &log).await;
    }
    // The journal of `a` holds none of the usual.
    let journal = ConflictJournal::open(&a.storage).await.unwrap();
    let noted = journal.list(&ConflictQuery::new()).await.unwrap();
    assert_eq!(noted.len(), 3);
    assert!(noted.iter().all(|it| it.kept));
    journal.undo(noted[0].id).await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_eq!(game(&b).await["title"], "a2");
    journal.forget(noted[1].id).await.unwrap();
    assert_eq!(journal.list(&ConflictQuery::new()).await.unwrap().len(), 1);
}

/// A copy that wrote at the same time as the original, and a log that was wiped.
#[tokio::test(start_paused = true)]
async fn what_a_clone_contributes_counts_beside_what_the_original_does() {
    let log = shared_log();
    let (a, b) = (device(1).await, device(2).await);
    put(&a, &json!({"best": 5, "tags": ["x"], "moves": [1]})).await;
    settle(&[&a, &b], &log).await;
    let runtime = Arc::new(TestRuntime::new(3));
    runtime.set(storex_core::Runtime::now(&*a.runtime));
    let backend = Arc::new(a.backend.copied());
    let storage = open(&backend, &runtime, schema(), configured()).await;
    let copy = Device { runtime, backend, storage };
    update(&a, json!({"best": 6, "tags": {"$addToSet": "a"}, "moves": {"$addToSet": 2}})).await;
    update(&copy, json!({"best": 7, "tags": ["copy"], "moves": {"$addToSet": 3}})).await;
    update(&copy, json!({"moves": {"$addToSet": 4}})).await;
    settle(&[&a, &copy, &b], &log).await;
    assert_in_step(&[&a, &copy, &b]).await;
    let game = game(&b).await;
    assert_eq!((&game["best"], &game["tags"]), (&json!(7), &json!(["a", "copy"])));
    assert_eq!(game["moves"].as_array().unwrap().len(), 4, "{game}");

    // From the state alone, which is sent to another log.
    let second = Arc::new(storex_sync::MemorySharedLog::new(storex_sync::LogId([8; 16])));
    update(&b, json!({"best": 8, "tags": {"$addToSet": "b"}, "moves": {"$addToSet": 5}})).await;
    let c = device(4).await;
    settle(&[&a, &b, &c, &copy], &second).await;
    settle(&[&a, &b, &c, &copy], &second).await;
    assert_in_step(&[&a, &b, &c, &copy]).await;
    let game = support::count(&c, "game").await;
    assert_eq!(game, 1);
    assert_eq!(c.get("game", "g").await.unwrap()["best"], 8);
    assert_eq!(c.get("game", "g").await.unwrap()["moves"].as_array().unwrap().len(), 5);
}

/// Where updates win over deletes, an object comes back with all that was contributed to it.
#[tokio::test(start_paused = true)]
async fn an_object_that_is_brought_back_has_what_was_contributed() {
    let log = shared_log();
    let update_wins = || configured().update_wins(["game"]);
    let (a, b) = (with(1, update_wins()).await, with(2, update_wins()).await);
    put(&a, &json!({"best": 5, "tags": ["x"], "moves": [1], "motto": "abc"})).await;
    settle(&[&a, &b], &log).await;
    a.delete("game", json!({})).await;
    update(&b, json!({"best": 7, "tags": {"$addToSet": "b"}, "moves": {"$addToSet": 2}})).await;
    settle(&[&a, &b], &log).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    update(&a, json!({"best": 6, "tags": {"$pull": "x"}, "moves": {"$addToSet": 3}})).await;
    update(&b, json!({"best": 4, "tags": {"$addToSet": "c"}, "motto": "ab"})).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    let game = game(&a).await;
    assert_eq!((&game["best"], &game["motto"]), (&json!(7), &json!("abc")));
    assert_eq!((&game["tags"], &game["moves"]), (&json!(["b", "c"]), &json!([1, 2, 3])));
    let c = with(3, update_wins()).await;
    c.sync(&log).await;
    assert_in_step(&[&a, &c]).await;
}

// ---- Bytes --------------------------------------------------------------------------------------------------------------

/// Objects of collections without strategies have the clocks that they had, and their transactions the same bytes.
#[tokio::test(start_paused = true)]
async fn what_has_no_strategy_is_as_short_as_ever() {
    let two = || {
        let plain = Definition::new("plain").field("title", FieldType::String);
        schema().collection(plain)
    };
    let (runtime, backend) = (Arc::new(TestRuntime::new(1)), Arc::new(MemoryBackend::new()));
    let storage = open(&backend, &runtime, two(), configured()).await;
    let a = Device { runtime, backend, storage };
    a.create("plain", json!({"id": "p", "title": "x"})).await;
    a.update("plain", json!({}), json!({"title": "y"})).await;
    put(&a, &json!({"best": 1})).await;
    let rows = support::dump_all(&a).await;
    let lengths: Vec<usize> =
        rows["_storex_clock"].iter().map(|row| row.get(2).as_bytes().unwrap().len()).collect();
    assert!(lengths.contains(&13), "a clock with one edited field: {lengths:?}");
    let versions: Vec<u8> =
        rows["_storex_log"].iter().map(|row| row.get(1).as_bytes().unwrap()[1]).collect();
    assert_eq!(versions, [1, 1, 3], "a program that knows no strategies parks the third");
    let contributions = log_of(&a).await[2].entries[0]
        .values
        .iter()
        .filter(|it| matches!(it, EntryValue::Changed { .. }))
        .count();
    assert_eq!(contributions, 5);
}

// ---- What is configured is checked -----------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_strategy_that_does_not_fit_is_refused_when_the_storage_is_opened() {
    let refused = async |sync_log: SyncLog| -> String {
        let registry = schema().build().unwrap();
        let storage =
            Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
                .middleware(AutoPk::new())
                .middleware(sync_log)
                .open();
        storage.await.map(drop).unwrap_err().to_string()
    };
    let with = |collection: &'static str, field: &'static str, strategy| {
        SyncLog::new().strategy(collection, field, strategy)
    };
    let said = refused(with("nothing", "best", Merging::Max)).await;
    assert!(said.contains("`nothing`"), "{said}");
    let said = refused(with("game", "nothing", Merging::Max)).await;
    assert!(said.contains("`nothing`") && said.contains("`game`"), "{said}");
    let said = refused(with("game", "best", Merging::Set)).await;
    assert!(said.contains("`best`") && said.contains("FieldType::Json"), "{said}");
    let said = refused(with("game", "tags", Merging::Max)).await;
    assert!(said.contains("`tags`") && said.contains("order"), "{said}");
    let said = refused(with("game", "id", Merging::KeepBoth)).await;
    assert!(said.contains("primary key"), "{said}");
    let said = refused(with("game", "best", Merging::Max).local_only(["game"])).await;
    assert!(said.contains("not synced"), "{said}");
}

// ---- Random histories -------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Act {
    Put { device: usize, game: Json },
    Update { device: usize, changes: Json },
    Delete { device: usize },
    Exchange { device: usize },
    Pump { from: usize, to: usize },
    Clock { device: usize, by: i64 },
}

fn array() -> impl Strategy<Value = Json> {
    prop_oneof![
        6 => prop::collection::vec(0..5_i64, 0..4).prop_map(|it| json!(it)),
        1 => Just(Json::Null)
    ]
}

fn motto() -> impl Strategy<Value = Json> {
    prop_oneof![6 => "[ab]{1,3}".prop_map(Json::from), 1 => Just(Json::Null)]
}

fn number() -> impl Strategy<Value = Json> {
    prop_oneof![6 => (-5..6_i64).prop_map(Json::from), 1 => Just(Json::Null)]
}

fn changes() -> impl Strategy<Value = Json> {
    let elements = || prop::collection::vec(0..5_i64, 1..3);
    prop_oneof![
        number().prop_map(|it| json!({"best": it})),
        (-5..6_i64).prop_map(|it| json!({"best": {"$inc": it}})),
        (-5..6_i64).prop_map(|it| json!({"best": {"$max": it}})),
        array().prop_map(|it| json!({"tags": it})),
        elements().prop_map(|it| json!({"tags": {"$addToSet": {"$each": it}}})),
        (0..5_i64).prop_map(|it| json!({"tags": {"$pull": it}})),
        array().prop_map(|it| json!({"moves": it})),
        (0..5_i64).prop_map(|it| json!({"moves": {"$addToSet": it}})),
        motto().prop_map(|it| json!({"motto": it})),
        (motto(), number(), array()).prop_map(|(motto, best, tags)| json!({"motto": motto, "best": best, "tags": tags, "title": motto})),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let device = 0..3_usize;
    let game = (number(), array(), array(), motto()).prop_map(|(best, tags, moves, motto)| {
        json!({"best": best, "tags": tags, "moves": moves, "motto": motto})
    });
    prop_oneof![
        2 => (device.clone(), game).prop_map(|(device, game)| Act::Put { device, game }),
        6 => (device.clone(), changes()).prop_map(|(device, changes)| Act::Update { device, changes }),
        1 => device.clone().prop_map(|device| Act::Delete { device }),
        4 => device.clone().prop_map(|device| Act::Exchange { device }),
        2 => (device.clone(), device.clone()).prop_map(|(from, to)| Act::Pump { from, to }),
        2 => (device, -5_000..5_000_i64).prop_map(|(device, by)| Act::Clock { device, by }),
    ]
}

async fn play(acts: &[Act], logs: [SyncLog; 3], all_alike: bool) {
    let log = shared_log();
    let mut devices = Vec::new();
    for (seed, sync_log) in (1..).zip(logs) {
        devices.push(with(seed, sync_log).await);
    }
    for act in acts {
        match act {
            Act::Put { device, game } => put(&devices[*device], game).await,
            Act::Update { device, changes } => {
                let device = &devices[*device];
                let before = device.get("game", "g").await;
                update(device, changes.clone()).await;
                let after = device.get("game", "g").await;
                if let (Some(before), Some(after), true) = (before, after, all_alike) {
                    let best = |game: &Json| game["best"].as_i64().unwrap_or(i64::MIN);
                    assert!(best(&after) >= best(&before), "{before} {after}");
                    let moves = |game: &Json| game["moves"].as_array().cloned().unwrap_or_default();
                    assert!(moves(&after).starts_with(&moves(&before)), "{before} {after}");
                }
            }
            Act::Delete { device } => devices[*device].delete("game", json!({})).await,
            Act::Exchange { device } => drop(devices[*device].sync(&log).await),
            Act::Pump { from, to } if from != to => {
                drop(pump(&devices[*from], &devices[*to]).await)
            }
            Act::Pump { .. } => {}
            Act::Clock { device, by } => devices[*device].runtime.advance(*by),
        }
    }
    let all: Vec<&Device> = devices.iter().collect();
    settle(&all, &log).await;
    assert_in_step(&all).await;
    let last = with(9, configured()).await;
    last.sync(&log).await;
    assert_eq!(parked_count(&last).await, 0);
    assert_in_step(&[all[0], &last]).await;
    // By initial sync alone.
    let by_pump = with(10, configured()).await;
    pump(all[0], &by_pump).await;
    assert_in_step(&[all[0], &by_pump]).await;
}

fn run(acts: &[Act], logs: [SyncLog; 3], all_alike: bool) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(play(acts, logs, all_alike));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_converges(acts in prop::collection::vec(act(), 1..30)) {
        run(&acts, [configured(), configured(), configured()], true);
    }

    #[test]
    fn so_does_one_of_devices_that_are_configured_otherwise(acts in prop::collection::vec(act(), 1..30)) {
        let custom = || SyncLog::new().strategy("game", "motto", Merging::custom("longer", longer));
        // Not the opposite one: the greatest and the least of a field cannot both be it.
        let other = custom()
            .strategy("game", "tags", Merging::List)
            .strategy("game", "moves", Merging::LastWriter);
        run(&acts, [configured(), custom(), other], false);
    }
}

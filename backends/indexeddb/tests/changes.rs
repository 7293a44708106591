//! What other tabs and workers learn of a commit. Two storages on one database are two of them, also in one page.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]
#![allow(clippy::arc_with_non_send_sync)] // a browser has one thread

mod support;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use js_sys::{Function, Reflect};
use serde_json::json;
use storex_core::{
    Batch, ChangeEvent, ChangeKind, ChangeSet, ChangeStream, Changes, Definition, Error, FieldType,
    Filter, Key, ObjectChange, Origin, Query, Registry, Runtime, Storage, Timestamp, Value,
    WebRuntime, field,
};
use storex_indexeddb::IndexedDbBackend;
use support::js::js;
use support::shim::Shim;
use support::{fresh_name, record};
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

fn collections() -> [Definition; 3] {
    [
        Definition::new("note").field("title", FieldType::String),
        Definition::new("page")
            .field("book", FieldType::String)
            .field("number", FieldType::Int)
            .field("at", FieldType::Timestamp)
            .field("id", FieldType::Binary)
            .primary_key(["book", "number", "at", "id"]),
        Definition::new("_storex_own").field("id", FieldType::Int).primary_key(["id"]).reserved(),
    ]
}

/// A tab, as far as the others can tell.
async fn tab(name: &str) -> Storage {
    let registry = Registry::builder().collections(collections()).build().unwrap();
    let backend = IndexedDbBackend::open(name).unwrap();
    Storage::builder(backend, registry, Arc::new(WebRuntime)).open().await.unwrap()
}

async fn two_tabs() -> (Storage, Storage) {
    let name = fresh_name();
    (tab(&name).await, tab(&name).await)
}

/// What it hears next; hearing nothing for long is a failure.
async fn next(changes: &mut ChangeStream) -> ChangeEvent {
    let (event, late) = (pin!(changes.next()), WebRuntime.sleep(Duration::from_secs(20)));
    match select(event, late).await {
        Either::Left((event, _)) => event.unwrap(),
        Either::Right(_) => panic!("nothing is told"),
    }
}

async fn next_set(changes: &mut ChangeStream) -> ChangeSet {
    match next(changes).await {
        ChangeEvent::Changed(set) => set,
        event => panic!("{event:?}"),
    }
}

fn note(id: &str) -> Batch {
    Batch::new().create("note", vec![record([id.into(), id.into()])])
}

fn notes(kind: ChangeKind, keys: &[&str]) -> Vec<ObjectChange> {
    let keys = keys.iter().map(|key| Key::from(*key)).collect();
    vec![ObjectChange { collection: "note".into(), kind, keys }]
}

/// Everything before this was told by now, and it was nothing.
async fn nothing_but(id: &str, writer: &Storage, changes: &mut ChangeStream) {
    writer.execute(note(id)).await.unwrap();
    assert_eq!(next_set(changes).await.changes, notes(ChangeKind::Created, &[id]));
}

#[wasm_bindgen_test]
async fn c47_another_tab_is_told_what_was_committed_and_where_it_came_from() {
    let (a, b) = two_tabs().await;
    let (mut here, mut there) = (a.changes(), b.changes());
    a.execute(note("x").create("note", vec![record(["y".into(), "y".into()])])).await.unwrap();
    let title = Changes::new().set("title", "new");
    a.execute(Batch::new().update("note", field("title").eq("y"), title)).await.unwrap();
    a.execute(Batch::new().delete("note", Filter::key("x"))).await.unwrap();
    a.apply(note("from afar")).await.unwrap();
    // Values of every kind that a key may have, as they are.
    let key =
        ["b".into(), Value::Int(-3), Value::Timestamp(Timestamp(5)), Value::Bytes(vec![0, 9])];
    let large =
        ["".into(), Value::Int(i64::MAX), Value::Timestamp(Timestamp(-1)), Value::Bytes(vec![])];
    let pages = vec![record(key.clone()), record(large.clone())];
    b.execute(Batch::new().create("page", pages)).await.unwrap();
    for changes in [&mut here, &mut there] {
        let mut told = Vec::new();
        while told.len() < 5 {
            told.push(next_set(changes).await);
        }
        // What was written beside each other comes in any order; who writes knows it first.
        let of_b = told.iter().position(|set| &*set.changes[0].collection == "page").unwrap();
        let keys = told.remove(of_b).changes.remove(0).keys;
        assert_eq!(keys, [Key::compound(key.clone()), Key::compound(large.clone())]);
        assert!(matches!(keys[0].values()[2], Value::Timestamp(_)), "{keys:?}");
        let created = [notes(ChangeKind::Created, &["x"]), notes(ChangeKind::Created, &["y"])];
        assert_eq!(told[0].changes, created.concat());
        assert_eq!(told[1].changes, notes(ChangeKind::Updated, &["y"]));
        assert_eq!(told[2].changes, notes(ChangeKind::Deleted, &["x"]));
        assert_eq!(told[3].changes, notes(ChangeKind::Created, &["from afar"]));
        let origins: Vec<Origin> = told.iter().map(|set| set.origin).collect();
        assert_eq!(origins, [Origin::Local, Origin::Local, Origin::Local, Origin::Sync]);
        assert_eq!(changes.try_next(), None);
    }
}

#[wasm_bindgen_test]
async fn c47_nothing_is_told_of_what_was_not_committed() {
    let name = fresh_name();
    let (a, b) = (tab(&name).await, tab(&name).await);
    let mut changes = b.changes();
    for refused in [
        note("x").then(|_| Err(Error::Aborted { reason: "no".to_owned() })),
        note("x").create("note", vec![record(["x".into(), "twice".into()])]),
        note("x").require(Query::new("note"), 9),
    ] {
        a.execute(refused).await.unwrap_err();
    }
    // It fails when the browser is to commit it.
    let shim = Shim::new(&name, "IDBTransaction", "commit", "self.abort(); throw new Error('no')");
    a.execute(note("x")).await.unwrap_err();
    drop(shim);
    // storex's own collections are nobody's business, and a read changes nothing.
    a.execute(Batch::new().create("_storex_own", vec![record([1.into()])])).await.unwrap();
    a.execute(Batch::new().find(Query::new("note"))).await.unwrap();
    nothing_but("good", &a, &mut changes).await;
}

#[wasm_bindgen_test]
async fn c47_who_hears_of_a_commit_can_read_it() {
    let (a, b) = two_tabs().await;
    let mut changes = b.changes();
    for n in 0..50 {
        let id = format!("{n}");
        let read = async {
            let set = next_set(&mut changes).await;
            (set, b.count(Query::new("note").filter(Filter::key(id.as_str()))).await.unwrap())
        };
        let (written, (set, there)) = join(a.execute(note(&id)), read).await;
        written.unwrap();
        assert_eq!((set.changes[0].keys.len(), there), (1, 1), "{id}");
    }
}

#[wasm_bindgen_test]
async fn c47_of_very_much_it_is_told_that_it_was_written() {
    let (a, b) = two_tabs().await;
    let mut changes = b.changes();
    for (count, is_told) in [(4096, true), (4097, false)] {
        let keys = 0..count;
        let many = keys.map(|n| record([format!("{count} {n}").into(), "x".into()])).collect();
        a.execute(Batch::new().create("note", many)).await.unwrap();
        match next(&mut changes).await {
            ChangeEvent::Changed(set) if is_told => assert_eq!(set.changes[0].keys.len(), count),
            ChangeEvent::Elsewhere if !is_told => {}
            event => panic!("{count}: {event:?}"),
        }
        // A slow machine may have been out of patience before.
        while let Some(event) = changes.try_next() {
            assert_eq!(event, ChangeEvent::Elsewhere);
        }
    }
}

/// Says something on the channel of a database, as nobody of this build does.
async fn say(name: &str, message: &str) {
    let body = format!(
        "const channel = new BroadcastChannel(`storex-changes ${{name}}`);
        channel.postMessage({message});
        channel.close();"
    );
    js(&[("name", name.into())], &body).await;
}

#[wasm_bindgen_test]
async fn c47_what_cannot_be_read_is_looked_for_and_harms_nobody() {
    let name = fresh_name();
    let (a, b) = (tab(&name).await, tab(&name).await);
    let mut changes = b.changes();
    for message in [
        "[2, 1]",
        "[2, 'of another build']",
        "['text']",
        "[]",
        "[1]",
        "[1, 'number']",
        "[1, 5, 9]",
        "[1, 5, 0, 'nothing']",
        "[1, 5, 0, 'nothing', 0, ['x']]",
        "[1, 5, 0, 'note', 9, ['x']]",
        "[1, 5, 0, 'note', 0, [{}]]",
        "[1, 5, 0, 'note', 0, [null]]",
        "[1, 5, 0, 'note', 0, 'x']",
        "[1, 5, 0, 'page', 0, ['b', 1]]",
        "[1, NaN, 0]",
        "'rubbish'",
        "null",
        "undefined",
        "{ length: 3, 0: 1, 1: 2 }",
        "new Error('rubbish')",
        "new Uint8Array(5)",
        "[1, 2n ** 80n]",
    ] {
        say(&name, message).await;
        assert_eq!(next(&mut changes).await, ChangeEvent::Elsewhere, "{message}");
    }
    nothing_but("good", &a, &mut changes).await;
}

/// A tab that is killed has committed and not told. This one says that it is about to, and is never heard of again.
#[wasm_bindgen_test]
async fn c47_what_a_tab_does_not_come_to_tell_is_looked_for_soon() {
    let name = fresh_name();
    let (a, b) = (tab(&name).await, tab(&name).await);
    let mut changes = b.changes();
    let from = WebRuntime.now().as_millis();
    say(&name, "[1, 77]").await;
    assert_eq!(next(&mut changes).await, ChangeEvent::Elsewhere);
    let took = WebRuntime.now().as_millis() - from;
    assert!(took >= 50, "it was not waited for: {took} ms");
    // It is told once; and what is over, however it ended, is not waited for.
    say(&name, "[1, 78]").await;
    say(&name, "[1, 78, 2]").await;
    WebRuntime.sleep(Duration::from_millis(300)).await;
    nothing_but("good", &a, &mut changes).await;
}

#[wasm_bindgen_test]
async fn c47_the_channel_is_closed_with_the_backend_also_by_drop() {
    let install = "
        const original = globalThis.BroadcastChannel;
        const open = new Set();
        globalThis.BroadcastChannel = class extends original {
            constructor(name) { super(name); open.add(this); }
            close() { super.close(); open.delete(this); }
        };
        return { open, restore() { globalThis.BroadcastChannel = original; } };
    ";
    let parts = Function::new_no_args(install).call0(&JsValue::UNDEFINED).unwrap();
    let open = || {
        let open = Reflect::get(&parts, &"open".into()).unwrap();
        Reflect::get(&open, &"size".into()).unwrap().as_f64().unwrap()
    };
    let (a, b) = two_tabs().await;
    assert!((open() - 2.0).abs() < 0.1);
    a.close().await.unwrap();
    assert!((open() - 1.0).abs() < 0.1);
    drop(b);
    assert!(open() < 0.1);
    let restore: Function = Reflect::get(&parts, &"restore".into()).unwrap().into();
    restore.call0(&JsValue::UNDEFINED).unwrap();
}

/// What was said meanwhile may be lost.
#[wasm_bindgen_test]
async fn c47_a_page_that_comes_back_looks_for_what_it_has_missed() {
    let (a, b) = two_tabs().await;
    let mut changes = b.changes();
    let happens = |event: &'static str| async move {
        js(
            &[("it", event.into())],
            "globalThis.dispatchEvent(Object.assign(new Event(it), { persisted: true }))",
        )
        .await
    };
    for event in ["pageshow", "resume"] {
        happens(event).await;
        assert_eq!(next(&mut changes).await, ChangeEvent::Elsewhere, "{event}");
    }
    js(&[], "globalThis.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: false }))")
        .await;
    nothing_but("good", &a, &mut changes).await;
    // Nobody is called who is not there any more.
    drop((a, b));
    happens("resume").await;
}

#[wasm_bindgen_test]
async fn c47_a_suspended_storage_hears_again_when_it_is_resumed() {
    let (a, b) = two_tabs().await;
    let mut changes = b.changes();
    b.suspend().await.unwrap();
    a.execute(note("meanwhile")).await.unwrap();
    b.resume().await.unwrap();
    assert_eq!(next(&mut changes).await, ChangeEvent::Elsewhere);
    nothing_but("good", &a, &mut changes).await;
}

#[wasm_bindgen_test]
async fn c48_a_live_query_that_begins_in_the_middle_of_a_write_has_all_of_it() {
    let (a, b) = two_tabs().await;
    for n in 0..20 {
        let many = (0..200).map(|at| record([format!("{n} {at}").into(), "x".into()])).collect();
        let read = async {
            let mut live = b.live(Query::new("note"));
            let all = 200 * (n + 1);
            loop {
                let (result, late) = (pin!(live.next()), WebRuntime.sleep(Duration::from_secs(20)));
                let Either::Left((Some(Ok(found)), _)) = select(result, late).await else {
                    panic!("{n}: it never has all")
                };
                // All of a batch or nothing.
                assert_eq!(found.len() % 200, 0);
                if found.len() == all {
                    return;
                }
            }
        };
        let (written, ()) = join(a.execute(Batch::new().create("note", many)), read).await;
        written.unwrap();
    }
}

/// A browser without `BroadcastChannel`, until this is dropped.
struct WithoutChannel(JsValue);

impl WithoutChannel {
    fn new() -> Self {
        let body = "const it = globalThis.BroadcastChannel; delete globalThis.BroadcastChannel; return it;";
        Self(Function::new_no_args(body).call0(&JsValue::UNDEFINED).unwrap())
    }
}

impl Drop for WithoutChannel {
    fn drop(&mut self) {
        Reflect::set(&js_sys::global(), &"BroadcastChannel".into(), &self.0).unwrap();
    }
}

/// What it hears in half a second.
async fn heard(changes: &mut ChangeStream) -> Vec<ChangeEvent> {
    let mut heard = Vec::new();
    let mut over = WebRuntime.sleep(Duration::from_millis(500));
    loop {
        match select(pin!(changes.next()), over).await {
            Either::Left((event, left)) => {
                heard.push(event.unwrap());
                over = left;
            }
            Either::Right(_) => return heard,
        }
    }
}

#[wasm_bindgen_test]
async fn c43_without_a_channel_it_is_told_that_something_was_written() {
    let without = WithoutChannel::new();
    let (a, b) = two_tabs().await;
    let (mut here, mut there) = (a.changes(), b.changes());
    // That the other one has come is told, too.
    heard(&mut here).await;
    for n in 0..3 {
        let from = WebRuntime.now().as_millis();
        a.execute(note(&format!("{n}"))).await.unwrap();
        assert_eq!(next(&mut there).await, ChangeEvent::Elsewhere);
        let took = WebRuntime.now().as_millis() - from;
        assert!(took < 1000, "{took} ms"); // a busy machine is not what fails this
        assert_eq!(heard(&mut there).await, [], "it is told once");
        // What it has written itself is told as ever, and not a second time.
        assert_eq!(next_set(&mut here).await.changes[0].keys.len(), 1);
        assert_eq!(heard(&mut here).await, []);
    }
    a.execute(note("x").then(|_| Err(Error::Aborted { reason: "no".to_owned() })))
        .await
        .unwrap_err();
    a.execute(Batch::new().create("_storex_own", vec![record([1.into()])])).await.unwrap();
    assert_eq!(heard(&mut there).await, []);
    a.apply(note("from afar")).await.unwrap();
    assert_eq!(heard(&mut there).await, [ChangeEvent::Elsewhere]);
    drop(without);
}

/// No browser has it in one tab and not in another; who takes it away from one can see that nothing is lost by it.
#[wasm_bindgen_test]
async fn c43_beside_a_tab_without_a_channel_all_hear_of_all() {
    let name = fresh_name();
    let (a, b) = (tab(&name).await, tab(&name).await);
    let (mut of_a, mut of_b) = (a.changes(), b.changes());
    assert_eq!(heard(&mut of_a).await, []);
    let without = WithoutChannel::new();
    let c = tab(&name).await;
    drop(without);
    let mut of_c = c.changes();
    // Those with a channel notice that somebody has none.
    assert_eq!(next(&mut of_a).await, ChangeEvent::Elsewhere);
    assert_eq!(next(&mut of_b).await, ChangeEvent::Elsewhere);
    for changes in [&mut of_a, &mut of_b, &mut of_c] {
        heard(changes).await;
    }
    c.execute(note("by c")).await.unwrap();
    assert_eq!(next(&mut of_a).await, ChangeEvent::Elsewhere);
    assert_eq!(next(&mut of_b).await, ChangeEvent::Elsewhere);
    a.execute(note("by a")).await.unwrap();
    let told = notes(ChangeKind::Created, &["by c"]);
    assert_eq!(next_set(&mut of_c).await.changes, told);
    assert_eq!(next(&mut of_c).await, ChangeEvent::Elsewhere);
    // What is told on the channel is told in whole.
    assert_eq!(next_set(&mut of_b).await.changes, notes(ChangeKind::Created, &["by a"]));
}

/// Batches that have nothing in common run beside each other, and none waits for a count.
#[wasm_bindgen_test]
async fn c43_where_there_is_a_channel_nothing_is_counted() {
    let name = fresh_name();
    let (a, b) = (tab(&name).await, tab(&name).await);
    let mut changes = b.changes();
    let body = "log.push(`${args[1]} ${[...args[0]]}`); return original(...args);";
    let shim = Shim::new(&name, "IDBDatabase", "transaction", body);
    nothing_but("x", &a, &mut changes).await;
    let begun = shim.log();
    assert!(begun.contains(&"readwrite note".to_owned()), "{begun:?}");
    assert!(
        !begun.iter().any(|it| it.contains("readwrite") && it.contains("_storex")),
        "{begun:?}"
    );
}

#[wasm_bindgen_test]
async fn c47_live_queries_of_other_tabs_are_right() {
    let (a, b) = two_tabs().await;
    let mut live = b.live(Query::new("note").filter(field("title").eq("kept")));
    assert_eq!(live.next().await.unwrap().unwrap().len(), 0);
    let kept = json!({ "id": "1", "title": "kept" });
    a.dynamic("note").unwrap().create(kept).await.unwrap();
    assert_eq!(live.next().await.unwrap().unwrap().len(), 1);
    a.dynamic("note").unwrap().delete(&json!({ "id": "1" })).await.unwrap();
    assert_eq!(live.next().await.unwrap().unwrap().len(), 0);
}

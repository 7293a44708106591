//! What cannot be applied is parked with its reason; everything else flows on; and it is applied once the cause is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use serde_json::json;
use storex_core::{Batch, Changes, Filter, Value};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    Cursor, Device as Id, Entry, EntryKind, EntryValue, Header, Hlc, LogId, Member,
    MemorySharedLog, Page, Result, SealedTransaction, Shape, SharedSyncLog, SyncLog, Transaction,
    Trimmed, UniqueRule, WaitsFor, parked,
};
use support::{
    Device, assert_in_step, count, dump, dump_all, larger_schema, open, pump, schema, settle,
    shared_log, wider_schema,
};

const FOREIGN: Id = Id { id: [0xf0; 16], incarnation: 0 };

/// A device that leaves it to people to decide who keeps a unique value.
async fn parking(seed: u64) -> Device {
    let runtime = Arc::new(TestRuntime::new(seed));
    let backend = Arc::new(MemoryBackend::new());
    let sync_log = SyncLog::new().on_unique("login", ["name"], UniqueRule::Park);
    let storage = open(&backend, &runtime, schema(), sync_log).await;
    Device { runtime, backend, storage }
}

/// A create by a device that is not there.
fn foreign(sequence: u64, collection: &str, fields: &[(&str, Value)]) -> Transaction {
    Transaction {
        header: Header {
            device: FOREIGN,
            sequence,
            hlc: Hlc(sequence * 1000),
            seen: Vec::new(),
            schema: 0,
        },
        shapes: vec![Shape {
            collection: collection.into(),
            key_len: 1,
            fields: fields.iter().map(|(name, _)| (*name).into()).collect(),
        }],
        entries: vec![Entry {
            kind: EntryKind::Create,
            shape: 0,
            life: 1,
            values: fields.iter().map(|(_, value)| EntryValue::Set(value.clone())).collect(),
        }],
    }
}

fn sealed(sequence: u64, payload: Vec<u8>) -> SealedTransaction {
    SealedTransaction { device: FOREIGN, sequence, payload }
}

fn note(sequence: u64, id: &str) -> Transaction {
    foreign(sequence, "note", &[("id", id.into()), ("title", "x".into())])
}

/// Everything that can be wrong with one transaction, between two that are right.
#[tokio::test(start_paused = true)]
async fn c57_one_that_cannot_be_applied_is_parked_and_the_others_flow_on() {
    let mut forged_device = note(2, "bad");
    forged_device.header.device = Id { id: [1; 16], incarnation: 0 };
    let forged_number = note(7, "bad");
    let mut future = note(2, "bad").encode();
    future[1] = 9;
    let cut = note(2, "bad").encode();
    let cut = cut[..cut.len() - 1].to_vec();
    let mut no_key = note(2, "bad");
    no_key.shapes[0].fields.swap(0, 1);
    let mut key_twice = note(2, "bad");
    key_twice.shapes[0].fields[1] = "id".into();
    let mut missing_row = note(2, "nobody");
    missing_row.entries[0].kind = EntryKind::Update;
    let text = || Value::from("bad");
    let update = WaitsFor::Update;
    let cases: Vec<(&str, Vec<u8>, &[&str], WaitsFor)> = vec![
        ("collection", foreign(2, "unknown", &[("id", text())]).encode(), &["`unknown`"], update),
        (
            "reserved",
            foreign(2, "_storex_meta", &[("name", text())]).encode(),
            &["`_storex_meta`"],
            update,
        ),
        (
            "field",
            foreign(2, "note", &[("id", text()), ("title", text()), ("shade", text())]).encode(),
            &["`shade`", "`note`"],
            update,
        ),
        (
            "type",
            foreign(2, "note", &[("id", text()), ("title", Value::Int(5))]).encode(),
            &["`title`", "`note`", "integer"],
            update,
        ),
        (
            "key type",
            foreign(2, "note", &[("id", Value::Int(5)), ("title", text())]).encode(),
            &["`id`", "`note`"],
            update,
        ),
        (
            "no key",
            foreign(2, "note", &[("id", Value::Null), ("title", text())]).encode(),
            &["`id`", "`note`"],
            update,
        ),
        ("required field", foreign(2, "note", &[("id", text())]).encode(), &["`title`"], update),
        ("other key", no_key.encode(), &["primary key", "`note`"], update),
        ("key twice", key_twice.encode(), &["primary key", "`note`"], update),
        ("cut", cut, &["ends too early"], update),
        ("empty", Vec::new(), &["ends too early"], update),
        ("version", future, &["version 9"], update),
        ("author", forged_device.encode(), &["f0f0f0f0", "01010101"], update),
        ("number", forged_number.encode(), &["transaction 7", "transaction 2"], update),
        ("missing row", missing_row.encode(), &["nobody", "`note`"], WaitsFor::Change),
        (
            "unique",
            foreign(2, "login", &[("id", text()), ("name", "taken".into())]).encode(),
            &["unique", "`login`"],
            WaitsFor::Change,
        ),
    ];
    for (what, payload, words, waits_for) in cases {
        let b = parking(2).await;
        b.create("login", json!({"id": "1", "name": "taken"})).await;
        let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
        let page = [
            sealed(1, note(1, "before").encode()),
            sealed(2, payload.clone()),
            sealed(3, note(3, "after").encode()),
        ];
        log.append(&page).await.unwrap();
        let log = support::log::ScriptedLog::new(&log);
        let sync = b.join(&log).await;
        let report = sync.sync_once().await.unwrap();
        assert_eq!((report.received.transactions, report.received.parked), (2, 1), "{what}");
        let ids: Vec<Value> = dump(&b).await["note"].iter().map(|it| it.get(0).clone()).collect();
        assert_eq!(ids, ["after".into(), "before".into()], "{what}");
        let waiting = parked(&b.storage).await.unwrap();
        assert_eq!(waiting.len(), 1);
        assert_eq!((waiting[0].device, waiting[0].sequence), (FOREIGN, 2));
        assert_eq!((&waiting[0].payload, waiting[0].waits_for), (&payload, waits_for), "{what}");
        for word in words {
            assert!(waiting[0].reason.contains(word), "{what}: {}", waiting[0].reason);
        }
        // It stays parked, whatever is tried, and is not parked twice or asked for again.
        let before = dump_all(&b).await;
        assert_eq!(sync.retry_parked().await.unwrap(), Default::default());
        assert!(sync.sync_once().await.unwrap().is_idle());
        assert_eq!(log.delivered().last().unwrap().1, [], "the cursor stands behind it");
        b.join(&log).await.sync_once().await.unwrap();
        let (before, after) = (before, dump_all(&b).await);
        assert_eq!(after["_storex_parked"], before["_storex_parked"]);
        assert_eq!(after["note"], before["note"]);
    }
}

/// The whole transaction waits, not only its bad part: no half of it is seen.
#[tokio::test(start_paused = true)]
async fn a_transaction_is_parked_whole() {
    let log = shared_log();
    let (a, b) = (Device::with(1, larger_schema()).await, Device::new(2).await);
    a.note("n", "before").await;
    settle(&[&a, &b], &log).await;
    let batch = Batch::new()
        .update("note", Filter::key("n"), Changes::new().set("title", "half"))
        .create_json(&a.storage, "extra", "e", &json!({"id": "e", "text": "t"}))
        .unwrap();
    a.storage.execute(batch).await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_eq!(b.title("n").await.as_deref(), Some("before"));
    // Later writes of the same device are applied; the parked one does not undo them when its time comes.
    a.update("note", json!({}), json!({"title": "later", "stars": 3})).await;
    settle(&[&a, &b], &log).await;
    assert_eq!(b.title("n").await.as_deref(), Some("later"));
    let b = b.reopened(larger_schema()).await;
    let report = b.sync(&log).await;
    assert_eq!(report.received.transactions, 1);
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("n").await.as_deref(), Some("later"));
    assert_eq!(parked(&b.storage).await.unwrap(), []);
}

/// A field that this program does not have: parked, and applied after the update.
#[tokio::test(start_paused = true)]
async fn c77_what_waits_for_an_update_is_applied_after_it() {
    let log = shared_log();
    let (a, b) = (Device::with(1, wider_schema()).await, Device::new(2).await);
    a.create("note", json!({"id": "1", "title": "x", "colour": "red"})).await;
    a.update("note", json!({}), json!({"title": "y"})).await;
    a.delete("note", json!({})).await;
    a.create("note", json!({"id": "1", "title": "second life", "colour": "blue"})).await;
    a.create("tag", json!({"owner": 1, "name": "t"})).await;
    a.sync(&log).await;
    let report = b.sync(&log).await;
    // The delete needs no field; the update waited for the object, and behind the delete it has nothing to say any more.
    assert_eq!((report.received.parked, report.received.transactions), (3, 3));
    assert_eq!((count(&b, "note").await, count(&b, "tag").await), (0, 1));
    let b = b.reopened(wider_schema()).await;
    let report = b.sync(&log).await;
    assert_eq!(report.received.transactions, 2);
    assert_in_step(&[&a, &b]).await;
    assert_eq!(parked(&b.storage).await.unwrap(), []);
    // An edit on B of what came this way is later than it.
    b.runtime.advance(-1_000_000);
    b.update("note", json!({}), json!({"colour": "green"})).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(a.get("note", "1").await.unwrap()["colour"], "green");
}

/// Rows older than sync arrive by initial sync; what waited for them is applied then, or on demand.
#[tokio::test(start_paused = true)]
async fn what_waits_for_an_object_is_applied_once_it_is_here() {
    let log = shared_log();
    let old = [json!({"id": "1", "title": "old"}), json!({"id": "2", "title": "old"})];
    let (a, b) = (Device::with_old_notes(1, &old).await, Device::new(2).await);
    a.retitle("1", "edited").await;
    a.delete("note", json!({"id": "2"})).await;
    a.sync(&log).await;
    let sync = b.join(&log).await;
    assert_eq!(sync.sync_once().await.unwrap().received.parked, 1, "a delete needs nothing");
    assert_eq!(sync.retry_parked().await.unwrap(), Default::default());
    pump(&a, &b).await;
    assert_eq!(parked(&b.storage).await.unwrap(), []);
    assert_in_step(&[&a, &b]).await;
}

/// B's edit of what it has from A directly comes to the log before A's create does. C waits for it, and need not be told
/// when it is there.
#[tokio::test(start_paused = true)]
async fn an_edit_that_overtakes_its_create_is_applied_when_the_create_comes() {
    let log = shared_log();
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    a.note("n", "created on A").await;
    pump(&a, &b).await;
    b.retitle("n", "edited on B").await;
    b.update("note", json!({}), json!({"stars": 1})).await;
    b.sync(&log).await;
    let sync = c.join(&log).await;
    assert_eq!(sync.sync_once().await.unwrap().received.parked, 2);
    a.sync(&log).await;
    let report = sync.sync_once().await.unwrap();
    assert_eq!(report.received.transactions, 3, "the create, and both that waited for it");
    assert_in_step(&[&a, &b, &c]).await;
    assert_eq!(c.title("n").await.as_deref(), Some("edited on B"));
    assert_eq!(parked(&c.storage).await.unwrap(), []);
}

/// What waits may wait for something that waits itself, of another device; the order of their names does not matter.
#[tokio::test(start_paused = true)]
async fn what_waits_for_what_waits_is_applied_too() {
    for (first, second) in [(1, 2), (2, 1), (5, 9), (9, 5)] {
        let log = shared_log();
        let (a, b) = (
            Device::with(first, larger_schema()).await,
            Device::with(second, larger_schema()).await,
        );
        let c = Device::new(3).await;
        let batch = Batch::new()
            .create_json(&a.storage, "extra", "e", &json!({"id": "e", "text": "t"}))
            .unwrap()
            .create_json(&a.storage, "note", "n", &json!({"id": "n", "title": "x"}))
            .unwrap();
        a.storage.execute(batch).await.unwrap();
        settle(&[&a, &b], &log).await;
        b.retitle("n", "y").await;
        settle(&[&b, &a], &log).await;
        a.update("note", json!({}), json!({"stars": 1})).await;
        settle(&[&a, &b], &log).await;
        assert_eq!(c.sync(&log).await.received.parked, 3);
        let c = c.reopened(larger_schema()).await;
        assert_eq!(c.sync(&log).await.received.transactions, 3);
        assert_in_step(&[&a, &b, &c]).await;
    }
}

/// A unique value is taken here; when it is given up, what waited for it comes in.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_unique_value_is_applied_when_it_is_free() {
    let log = shared_log();
    let (a, b) = (parking(1).await, parking(2).await);
    a.create("login", json!({"id": "1", "name": "ada"})).await;
    b.create("login", json!({"id": "2", "name": "ada"})).await;
    a.sync(&log).await;
    let sync = b.join(&log).await;
    sync.sync_once().await.unwrap();
    assert_eq!(parked(&b.storage).await.unwrap().len(), 1);
    b.update("login", json!({"id": "2"}), json!({"name": "bob"})).await;
    let report = sync.retry_parked().await.unwrap();
    assert_eq!(report.transactions, 1);
    settle(&[&b, &a], &log).await;
    settle(&[&b, &a], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(count(&a, "login").await, 2);
}

/// Two objects exchange a unique value: legal step by step, and so it is applied.
#[tokio::test(start_paused = true)]
async fn objects_may_exchange_a_unique_value() {
    for one_batch in [true, false] {
        let log = shared_log();
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        a.create("login", json!({"id": "1", "name": "x"})).await;
        a.create("login", json!({"id": "2", "name": "y"})).await;
        settle(&[&a, &b], &log).await;
        let rename = |id: &'static str, name: &'static str| {
            Batch::new().update("login", Filter::key(id), Changes::new().set("name", name))
        };
        let steps = [rename("1", "tmp"), rename("2", "x"), rename("1", "y")];
        if one_batch {
            let all = steps.into_iter().flat_map(|batch| batch.steps).collect();
            a.storage.execute(all).await.unwrap();
        } else {
            for batch in steps {
                a.storage.execute(batch).await.unwrap();
            }
        }
        settle(&[&a, &b], &log).await;
        assert_eq!(parked(&b.storage).await.unwrap(), []);
        assert_in_step(&[&a, &b]).await;
        // And by way of a delete: the value goes from one object to the next.
        let batch = Batch::new()
            .delete("login", Filter::key("1"))
            .create_json(&a.storage, "login", "n", &json!({"id": "3", "name": "y"}))
            .unwrap();
        a.storage.execute(batch).await.unwrap();
        settle(&[&a, &b], &log).await;
        assert_in_step(&[&a, &b]).await;
    }
}

/// What is wrong with what a log gives.
#[derive(Debug)]
enum Oddity {
    /// The second transaction of each device is not there.
    LacksTheSecond,
    /// The reader's own transactions come too.
    GivesBack,
}

#[derive(Debug)]
struct Odd(Arc<MemorySharedLog>, Oddity);

#[async_trait::async_trait]
impl SharedSyncLog for Odd {
    async fn register(&self, device: Id) -> Result<LogId> {
        self.0.register(device).await
    }
    async fn append(&self, all: &[SealedTransaction]) -> Result<()> {
        self.0.append(all).await
    }
    async fn read(&self, reader: Id, after: &Cursor, limit: usize) -> Result<Page> {
        match self.1 {
            Oddity::LacksTheSecond => {
                let mut page = self.0.read(reader, after, limit).await?;
                page.transactions.retain(|it| it.sequence != 2);
                Ok(page)
            }
            Oddity::GivesBack => self.0.read(Id::default(), after, limit).await,
        }
    }
    async fn acknowledge(&self, reader: Id, cursor: &Cursor) -> Result<()> {
        self.0.acknowledge(reader, cursor).await
    }
    async fn members(&self) -> Result<Vec<Member>> {
        self.0.members().await
    }
    async fn dismiss(&self, device: Id) -> Result<bool> {
        self.0.dismiss(device).await
    }
    async fn reidentify(&self, known: LogId) -> Result<LogId> {
        self.0.reidentify(known).await
    }
    async fn trim(&self) -> Result<Trimmed> {
        self.0.trim().await
    }
}

/// A number left out would be a loss: it is an error until it is there, and nothing behind it is taken.
#[tokio::test(start_paused = true)]
async fn c12_a_gap_is_noticed() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..3 {
        a.note(&format!("{n}"), "x").await;
    }
    a.sync(&log).await;
    let holey = Arc::new(Odd(Arc::clone(&log), Oddity::LacksTheSecond));
    let before = dump_all(&b).await;
    let error = b.join(&holey).await.sync_once().await.unwrap_err();
    match error {
        storex_sync::SyncError::Gap { expected, found, .. } => {
            assert_eq!((expected, found), (2, 3))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(dump_all(&b).await["note"], before["note"]);
    b.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
}

/// Whatever a log gives back of our own is not taken for somebody else's.
#[tokio::test(start_paused = true)]
async fn our_own_transactions_are_passed_over() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    b.note("b", "x").await;
    b.sync(&log).await;
    for n in 0..3 {
        a.note(&format!("{n}"), "x").await;
    }
    a.sync(&log).await;
    a.retitle("0", "y").await;
    let echo = Arc::new(Odd(Arc::clone(&log), Oddity::GivesBack));
    let report = a.sync(&echo).await;
    assert_eq!((report.received.transactions, report.received.parked), (0, 0));
    a.note("9", "goes on").await;
    settle(&[&a, &b], &echo).await;
    assert_in_step(&[&a, &b]).await;
}

/// Somebody who says that they are nobody is followed like anybody else.
#[tokio::test(start_paused = true)]
async fn a_device_of_zeros_does_not_stop_the_exchange() {
    let nobody = Id::default();
    let b = Device::new(2).await;
    let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
    for sequence in 1..4 {
        let mut transaction = note(sequence, &format!("{sequence}"));
        transaction.header.device = nobody;
        let payload = transaction.encode();
        log.append(&[SealedTransaction { device: nobody, sequence, payload }]).await.unwrap();
        b.sync(&log).await;
    }
    assert_eq!(count(&b, "note").await, 3);
}

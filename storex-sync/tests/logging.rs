//! [`SyncLog`]: exactly the rows touched are logged, once, in the transaction that touches them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use serde_json::json;
use storex_core::{
    Batch, ChangeEvent, Changes, Error, Filter, Key, OnConflict, Origin, Query, Record, Step,
    StepOutcome, Storage, Value, field,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    EntryKind, EntryValue, LogId, MemorySharedLog, Relative, SealedTransaction, SharedSyncLog,
    SyncLog, Transaction,
};
use support::{Device, assert_in_step, count, dump, dump_all, log_of, pump, settle, shared_log};

/// What was logged, short: kind, collection, key, life, and the values behind the key by name.
fn told(transaction: &Transaction) -> Vec<String> {
    transaction
        .entries
        .iter()
        .map(|entry| {
            let shape = &transaction.shapes[entry.shape];
            let kind = match entry.kind {
                EntryKind::Create => "create",
                EntryKind::Update => "update",
                EntryKind::Delete => "delete",
            };
            let (key, values) = entry.values.split_at(shape.key_len);
            let key = Key::compound(key.iter().map(|value| value.value().clone()));
            let values = shape.fields[shape.key_len..].iter().zip(values).map(|(name, value)| {
                let shown = |value: &Value| Key::single(value.clone()).to_string();
                match value {
                    EntryValue::Set(value) => format!(" {name}={}", shown(value)),
                    EntryValue::Changed { change, to } => match &**change {
                        Relative::Increment { by, .. } => {
                            format!(" {name}+{}={}", shown(by), shown(to))
                        }
                        other => panic!("{other:?}"),
                    },
                }
            });
            let values: String = values.collect();
            format!("{kind} {} {key} life {}{values}", shape.collection, entry.life)
        })
        .collect()
}

async fn told_last(device: &Device) -> Vec<String> {
    told(log_of(device).await.last().unwrap())
}

fn note(id: &str, title: &str) -> Record {
    Record::new(vec![Value::from(id), Value::from(title), Value::Null, Value::Null])
}

#[tokio::test(start_paused = true)]
async fn creates_updates_and_deletes() {
    let a = Device::new(1).await;
    a.create("note", json!({"id": "1", "title": "a", "stars": 3})).await;
    assert_eq!(told_last(&a).await, ["create note 1 life 1 title=a body=null stars=3"]);
    let many = [json!({"id": "2", "title": "b"}), json!({"id": "3", "title": "a"})];
    a.storage.dynamic("note").unwrap().create_many(&many).await.unwrap();
    assert_eq!(
        told_last(&a).await,
        [
            "create note 2 life 1 title=b body=null stars=null",
            "create note 3 life 1 title=a body=null stars=null"
        ]
    );
    a.update("note", json!({"title": "a"}), json!({"title": "c", "body": "new"})).await;
    assert_eq!(
        told_last(&a).await,
        ["update note 1 life 1 body=new title=c", "update note 3 life 1 body=new title=c"]
    );
    a.update("note", json!({"id": "1"}), json!({"stars": {"$inc": -1}, "body": null})).await;
    let mut last = told_last(&a).await;
    assert_eq!(last.len(), 1);
    let expected =
        ["update note 1 life 1 stars+-1=2 body=null", "update note 1 life 1 body=null stars+-1=2"];
    assert!(expected.contains(&last.remove(0).as_str()));
    a.delete("note", json!({"title": "c"})).await;
    assert_eq!(told_last(&a).await, ["delete note 1 life 2", "delete note 3 life 2"]);
    a.note("1", "again").await;
    assert_eq!(told_last(&a).await, ["create note 1 life 3 title=again body=null stars=null"]);
    a.update("note", json!({"id": "1"}), json!({"title": "edited"})).await;
    assert_eq!(told_last(&a).await, ["update note 1 life 3 title=edited"]);
    a.delete("note", json!({"id": "1"})).await;
    assert_eq!(told_last(&a).await, ["delete note 1 life 4"]);

    let transactions = log_of(&a).await;
    assert_eq!(transactions.len(), 8, "one row per batch");
    for (n, transaction) in transactions.iter().enumerate() {
        assert_eq!(transaction.header.sequence, n as u64 + 1);
        assert_eq!(transaction.header.schema, a.storage.registry().version().0);
        assert_eq!(transaction.header.device, transactions[0].header.device);
        assert_eq!(transaction.header.seen, []);
    }
}

#[tokio::test(start_paused = true)]
async fn what_touches_no_row_is_not_logged() {
    let a = Device::new(1).await;
    a.note("1", "x").await;
    let before = dump_all(&a).await;
    a.update("note", json!({"title": "nobody"}), json!({"title": "y"})).await;
    a.delete("note", json!({"id": "nobody"})).await;
    a.storage.execute(Batch::new()).await.unwrap();
    a.storage.dynamic("note").unwrap().create_many(&[]).await.unwrap();
    a.storage.dynamic("note").unwrap().find(&json!({})).await.unwrap();
    a.storage.dynamic("note").unwrap().count(&json!({})).await.unwrap();
    let reads = Batch::new().find(Query::new("note")).require(Query::new("note"), 1);
    a.storage.execute(reads).await.unwrap();
    let skipped = Step::create_or("note", vec![note("1", "not this")], OnConflict::Skip);
    a.storage.execute([skipped].into_iter().collect()).await.unwrap();
    assert_eq!(dump_all(&a).await, before);
}

/// A relative change that changes nothing is no write: it is not logged, takes no stamp, and so does not win over what another
/// device has written.
#[tokio::test(start_paused = true)]
async fn what_changes_nothing_is_not_logged() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "1", "title": "a/b", "stars": 5})).await;
    a.create("note", json!({"id": "2", "title": "c", "stars": 9})).await;
    settle(&[&a, &b], &log).await;
    b.update("note", json!({"id": "1"}), json!({"title": "new", "stars": 4})).await;
    a.runtime.advance(60_000);
    let before = dump_all(&a).await;
    let change = |filter: Filter, changes: Changes| {
        a.storage.execute(Batch::new().update("note", filter, changes))
    };
    for changes in [
        Changes::new().replace_prefix("title", "x/", "y/"),
        Changes::new().min("stars", 10),
        Changes::new().max("stars", 1),
        Changes::new().increment("stars", 0),
        Changes::new().multiply("stars", 1).append("title", ""),
    ] {
        change(Filter::All, changes).await.unwrap();
        assert_eq!(dump_all(&a).await, before);
    }
    // Of several changes and objects only those that changed something are writes.
    change(Filter::All, Changes::new().set("body", "x").max("stars", 7)).await.unwrap();
    let logged = log_of(&a).await;
    let last = logged.last().unwrap();
    let fields = |n: usize| last.shapes[last.entries[n].shape].fields[1..].to_vec();
    let mut written = [fields(0), fields(1)];
    written.sort();
    assert_eq!(written, [vec!["body".into()], vec!["body".into(), "stars".into()]]);
    change(Filter::key("2"), Changes::new().replace_prefix("title", "c", "d")).await.unwrap();
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    let found = a.storage.dynamic("note").unwrap().find(&json!({"id": "1"})).await.unwrap();
    assert_eq!((&found[0]["title"], &found[0]["stars"]), (&json!("new"), &json!(7)));
}

#[tokio::test(start_paused = true)]
async fn skipped_and_replaced_creates() {
    let a = Device::new(1).await;
    a.note("1", "old").await;
    a.note("2", "deleted").await;
    a.delete("note", json!({"id": "2"})).await;
    let records = || vec![note("1", "new"), note("2", "new"), note("3", "new")];
    let skip = Step::create_or("note", records(), OnConflict::Skip);
    a.storage.execute([skip].into_iter().collect()).await.unwrap();
    assert_eq!(
        told_last(&a).await,
        [
            "create note 2 life 3 title=new body=null stars=null",
            "create note 3 life 1 title=new body=null stars=null"
        ]
    );
    let replace = Step::create_or("note", records(), OnConflict::Replace);
    a.storage.execute([replace].into_iter().collect()).await.unwrap();
    assert_eq!(
        told_last(&a).await,
        [
            "create note 1 life 1 title=new body=null stars=null",
            "create note 2 life 3 title=new body=null stars=null",
            "create note 3 life 1 title=new body=null stars=null"
        ]
    );
    // The same key twice in one step.
    let twice = vec![note("4", "first"), note("4", "second")];
    let twice = Step::create_or("note", twice, OnConflict::Replace);
    a.storage.execute([twice].into_iter().collect()).await.unwrap();
    assert_eq!(told_last(&a).await.len(), 2);

    let log = shared_log();
    let b = Device::new(2).await;
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("4").await.as_deref(), Some("second"));
}

/// Several steps, a continuation that reads and decides, and one that calls another.
#[tokio::test(start_paused = true)]
async fn batches_and_continuations_are_one_transaction() {
    let a = Device::new(1).await;
    a.note("1", "x").await;
    let batch = Batch::new()
        .create("note", vec![note("2", "y")])
        .then(|trace| {
            assert_eq!(trace.executed().len(), 1);
            let inner = Step::then(|trace| {
                let rows = trace.found(0).len();
                Ok(vec![Step::create("note", vec![note("3", &format!("{rows} rows"))])])
            });
            Ok(vec![Step::Find(Query::new("note")), inner])
        })
        .update("note", field("title").eq("x"), Changes::new().set("title", "z"))
        .delete("note", Filter::key("2"));
    a.storage.execute(batch).await.unwrap();
    assert_eq!(
        told_last(&a).await,
        [
            "create note 2 life 1 title=y body=null stars=null",
            "create note 3 life 1 title=2 rows body=null stars=null",
            "update note 1 life 1 title=z",
            "delete note 2 life 2",
        ]
    );
    assert_eq!(log_of(&a).await.len(), 2);
}

/// However often its function was run and the transaction begun again: two collections are found out here.
#[tokio::test(start_paused = true)]
async fn a_transaction_is_one_transaction() {
    let a = Device::new(1).await;
    a.create("note", json!({"id": "1", "title": "a", "stars": 3})).await;
    let before = log_of(&a).await.len();
    let user = a
        .storage
        .transaction(|tx| -> storex_core::Result<_> {
            let (notes, users) = (tx.dynamic("note")?, tx.dynamic("user")?);
            let stars = notes.get("1")?.and_then(|note| note["stars"].as_i64()).unwrap_or(0);
            let user = users.create(json!({"name": "u", "emails": [{"address": "e"}]}))?;
            notes.update(&json!({"id": "1"}), &json!({"stars": {"$inc": stars}}))?;
            notes.create(json!({"id": "2", "title": user["id"]}))?;
            notes.delete(&json!({"title": "a"}))?;
            Ok(user)
        })
        .await
        .unwrap();
    let log = log_of(&a).await;
    assert_eq!(log.len(), before + 1);
    let (id, email) = (user["id"].as_str().unwrap(), user["emails"][0]["id"].as_str().unwrap());
    assert_eq!(
        told(&log[before]),
        [
            format!("create user {id} life 1 name=u"),
            format!("create email {email} life 1 address=e user={id}"),
            "update note 1 life 1 stars+3=6".to_owned(),
            format!("create note 2 life 1 title={id} body=null stars=null"),
            "delete note 1 life 2".to_owned(),
        ]
    );
    let result = a.storage.transaction(|tx| -> storex_core::Result<()> {
        tx.dynamic("note")?.delete(&json!({}))?;
        Err(Error::Aborted { reason: "no".to_owned() })
    });
    result.await.unwrap_err();
    assert_eq!(log_of(&a).await.len(), before + 1);
    // And the other device has all of it.
    let (b, log) = (Device::new(2).await, shared_log());
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_logs_nothing_and_changes_nothing() {
    let a = Device::new(1).await;
    a.create("note", json!({"id": "1", "title": "x", "stars": i64::MAX})).await;
    let before = dump_all(&a).await;
    let failing = [
        Batch::new().create("note", vec![note("2", "y"), note("1", "exists")]),
        Batch::new().create("note", vec![note("2", "y")]).update(
            "note",
            Filter::key("1"),
            Changes::new().increment("stars", 1),
        ),
        Batch::new().delete("note", Filter::All).require(Query::new("note"), 1),
        Batch::new()
            .create("note", vec![note("2", "y")])
            .then(|_| Err(Error::Aborted { reason: "the continuation refuses".into() })),
        Batch::new().delete("note", Filter::All).delete("unknown", Filter::All),
    ];
    for batch in failing {
        a.storage.execute(batch.clone()).await.unwrap_err();
        assert_eq!(dump_all(&a).await, before, "{batch:?}");
    }
    a.note("2", "goes on").await;
    assert_eq!(log_of(&a).await[1].header.sequence, 2, "no number is left out");
}

#[tokio::test(start_paused = true)]
async fn the_application_sees_the_same_with_and_without_a_log() {
    let plain = Storage::builder(
        MemoryBackend::new(),
        support::schema().build().unwrap(),
        Arc::new(TestRuntime::new(1)),
    );
    let plain = plain.open().await.unwrap();
    let logged = Device::new(1).await.storage;
    let mut plain_changes = plain.changes();
    let mut logged_changes = logged.changes();
    let batches = [
        Batch::new().create("note", vec![note("1", "x"), note("2", "x")]),
        Batch::new().step(Step::create_or(
            "note",
            vec![note("1", "x"), note("3", "x")],
            OnConflict::Skip,
        )),
        Batch::new().update("note", Filter::All, Changes::new().increment("stars", 2)),
        Batch::new().find(Query::new("note")).then(|trace| {
            let keys = trace.found(0).iter().map(|row| Key::single(row.get(0).clone())).collect();
            Ok(vec![Step::Delete { collection: "note".into(), filter: Filter::Keys(keys) }])
        }),
        Batch::new().delete("note", Filter::All),
        Batch::new(),
    ];
    for batch in batches {
        let steps = batch.steps.len();
        let expected = plain.execute(batch.clone()).await.unwrap();
        let got = logged.execute(batch).await.unwrap();
        let outcomes = |outcome: &storex_core::BatchOutcome| -> Vec<(usize, StepOutcome)> {
            outcome.executed().iter().map(|it| (it.origin, it.outcome.clone())).collect()
        };
        assert_eq!(outcomes(&got), outcomes(&expected));
        for n in 0..=steps {
            assert_eq!(got.of_step(n).count(), expected.of_step(n).count());
        }
    }
    loop {
        let (expected, got) = (plain_changes.try_next(), logged_changes.try_next());
        assert_eq!(got, expected, "the change stream tells nothing of the log");
        if expected.is_none() {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c02_local_only_collections_are_neither_logged_nor_sent_nor_received() {
    let log = shared_log();
    let runtime = Arc::new(TestRuntime::new(1));
    let backend = Arc::new(MemoryBackend::new());
    let local = || SyncLog::new().local_only(["tag"]);
    let storage = support::open(&backend, &runtime, support::schema(), local()).await;
    let a = Device { runtime, backend, storage };
    let (b, c) = (Device::new(2).await, Device::new(3).await);
    a.create("tag", json!({"owner": 1, "name": "private"})).await;
    assert_eq!(log_of(&a).await, []);
    let batch = Batch::new().create("note", vec![note("1", "public")]).update(
        "tag",
        Filter::All,
        Changes::new().set("colour", "red"),
    );
    a.storage.execute(batch).await.unwrap();
    assert_eq!(told_last(&a).await.len(), 1, "the same batch, without the local part");
    a.sync(&log).await;
    b.sync(&log).await;
    assert_eq!((count(&b, "note").await, count(&b, "tag").await), (1, 0));
    // Not by initial sync either.
    pump(&a, &c).await;
    assert_eq!((count(&c, "note").await, count(&c, "tag").await), (1, 0));

    // What others hold under the same name does not come in.
    b.create("tag", json!({"owner": 1, "name": "private", "colour": "blue"})).await;
    b.note("2", "goes on").await;
    b.sync(&log).await;
    let report = a.sync(&log).await;
    assert_eq!((report.received.parked, report.received.transactions), (1, 1));
    let tag = a.storage.dynamic("tag").unwrap().find(&json!({})).await.unwrap();
    assert_eq!(tag[0]["colour"], "red");
    let parked = storex_sync::parked(&a.storage).await.unwrap();
    assert!(parked[0].reason.contains("`tag`"), "{}", parked[0].reason);

    let open = Storage::builder(
        MemoryBackend::new(),
        support::schema().build().unwrap(),
        Arc::new(TestRuntime::new(1)),
    );
    let open = open.middleware(SyncLog::new().local_only(["nonsense"])).open().await;
    assert!(matches!(open, Err(Error::UnknownCollection { .. })), "a misspelt name is refused");
}

/// C2.
#[tokio::test(start_paused = true)]
async fn c02_what_arrives_is_not_logged_again() {
    let log = shared_log();
    let (a, b, c) = (Device::new(1).await, Device::new(2).await, Device::new(3).await);
    for n in 0..100 {
        a.note(&format!("{n}"), "x").await;
    }
    a.retitle("7", "y").await;
    a.delete("note", json!({"id": "8"})).await;
    let mut changes = b.storage.changes();
    a.sync(&log).await;
    let report = b.sync(&log).await;
    assert_eq!(report.received.entries, 102);
    assert_eq!(log_of(&b).await, []);
    pump(&a, &c).await;
    assert_eq!(log_of(&c).await, []);
    assert!(b.sync(&log).await.is_idle());
    assert_eq!(log.len(), 102);
    match changes.try_next() {
        Some(ChangeEvent::Changed(set)) => assert_eq!(set.origin, Origin::Sync),
        other => panic!("{other:?}"),
    }
    // A batch of the application that says of itself that it comes from elsewhere passes too.
    let mut foreign = Batch::new().create("note", vec![note("200", "x")]);
    foreign.origin = Origin::Sync;
    b.storage.execute(foreign).await.unwrap();
    assert_eq!(log_of(&b).await, []);
}

/// C4: nothing but the log is needed to have the same again.
#[tokio::test(start_paused = true)]
async fn c04_a_dumped_log_replayed_on_an_empty_device_gives_the_same() {
    let a = Device::new(1).await;
    for n in 0..20_i64 {
        a.create("note", json!({"id": format!("{n}"), "title": format!("t{}", n % 3), "stars": n}))
            .await;
        a.create("tag", json!({"owner": n % 4, "name": format!("{n}")})).await;
    }
    a.update("note", json!({"title": "t1"}), json!({"stars": {"$inc": 10}})).await;
    a.update("tag", json!({"owner": {"$gte": 2}}), json!({"colour": "red"})).await;
    a.delete("note", json!({"title": "t2"})).await;
    a.note("2", "again").await;
    a.create("user", json!({"name": "Ada", "emails": [{"address": "a@x"}]})).await;
    let rows = a.storage.find(Query::new("_storex_log")).await.unwrap();
    let device = log_of(&a).await[0].header.device;
    let dumped: Vec<SealedTransaction> = rows
        .iter()
        .map(|row| SealedTransaction {
            device,
            sequence: u64::try_from(row.get(0).as_int().unwrap()).unwrap(),
            payload: row.get(1).as_bytes().unwrap().to_vec(),
        })
        .collect();
    for (row, transaction) in rows.iter().zip(log_of(&a).await) {
        assert_eq!(row.get(2).as_int(), i64::try_from(transaction.entries.len()).ok());
        assert_eq!(transaction.encode(), row.get(1).as_bytes().unwrap(), "one form only");
    }
    let log = Arc::new(MemorySharedLog::new(LogId([1; 16])));
    log.append(&dumped).await.unwrap();
    let b = Device::new(2).await;
    b.sync(&log).await;
    assert_eq!(dump(&b).await, dump(&a).await);
}

/// The clocks that the author keeps are those that everybody else makes of the log: entry by entry.
#[tokio::test(start_paused = true)]
async fn the_clocks_of_the_author_agree_with_the_log() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let many: Vec<_> = (0..5).map(|n| json!({"id": format!("{n}"), "title": "x"})).collect();
    a.storage.dynamic("note").unwrap().create_many(&many).await.unwrap();
    a.update("note", json!({"id": {"$in": ["1", "2"]}}), json!({"title": "y"})).await;
    a.delete("note", json!({"id": {"$in": ["3", "4"]}})).await;
    a.storage.dynamic("note").unwrap().create_many(&many[3..]).await.unwrap();
    a.sync(&log).await;
    b.sync(&log).await;
    // Life and reading; behind them stands the author's number, which is another in each database.
    let clocks = |dump: support::Dump| -> Vec<Vec<u8>> {
        let clocks = dump["_storex_clock"].iter();
        clocks.map(|row| row.get(2).as_bytes().unwrap()[..9].to_vec()).collect()
    };
    let (of_a, of_b) = (clocks(dump_all(&a).await), clocks(dump_all(&b).await));
    assert_eq!((of_a.len(), &of_a), (5, &of_b));
}

/// C5.
#[tokio::test(start_paused = true)]
async fn c05_values_are_those_of_the_time_of_the_write() {
    let a = Device::new(1).await;
    a.note("1", "v1").await;
    a.retitle("1", "v2").await;
    let all: Vec<String> = log_of(&a).await.iter().flat_map(told).collect();
    assert_eq!(
        all,
        ["create note 1 life 1 title=v1 body=null stars=null", "update note 1 life 1 title=v2"]
    );
}

/// C6: one transaction at a time, and never half of one.
#[tokio::test(start_paused = true)]
async fn c06_parent_and_child_arrive_together() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    for n in 0..5 {
        let user = json!({"name": format!("{n}"), "emails": [{"address": "x"}, {"address": "y"}]});
        a.create("user", user).await;
    }
    assert_eq!(log_of(&a).await.len(), 5);
    let small = storex_sync::Limits { bytes: 1, transactions: 1 };
    a.join(&log).await.limits(small).sync_once().await.unwrap();
    let mut changes = b.storage.changes();
    b.join(&log).await.limits(small).sync_once().await.unwrap();
    let mut sets = 0;
    while let Some(ChangeEvent::Changed(set)) = changes.try_next() {
        let of = |name: &str| -> usize {
            set.changes.iter().filter(|it| &*it.collection == name).map(|it| it.keys.len()).sum()
        };
        assert_eq!((of("user"), of("email")), (1, 2));
        sets += 1;
    }
    assert_eq!(sets, 5);
    assert_in_step(&[&a, &b]).await;
}

/// Rows older than sync have no clock until they are touched.
#[tokio::test(start_paused = true)]
async fn rows_older_than_sync_are_logged_when_they_are_touched() {
    let old = [json!({"id": "1", "title": "old", "stars": 1}), json!({"id": "2", "title": "old"})];
    let a = Device::with_old_notes(1, &old).await;
    assert_eq!((count(&a, "_storex_clock").await, log_of(&a).await.len()), (0, 0));
    a.update("note", json!({"id": "1"}), json!({"title": "new"})).await;
    a.delete("note", json!({"id": "2"})).await;
    let all: Vec<String> = log_of(&a).await.iter().flat_map(told).collect();
    assert_eq!(all, ["update note 1 life 1 title=new", "delete note 2 life 2"]);
    assert_eq!(count(&a, "_storex_clock").await, 2);
}

/// Opening again draws no second identity, and numbers go on.
#[tokio::test(start_paused = true)]
async fn a_storage_that_is_opened_again_goes_on() {
    let a = Device::new(1).await;
    a.note("1", "x").await;
    let before = dump_all(&a).await;
    let again = a.reopened(support::larger_schema()).await;
    let after = dump_all(&again).await;
    assert_eq!(after["_storex_log"], before["_storex_log"]);
    assert_eq!(after["_storex_clock"], before["_storex_clock"]);
    again.create("extra", json!({"id": "e", "text": "new collection"})).await;
    again.retitle("1", "y").await;
    let transactions = log_of(&again).await;
    assert_eq!(transactions.len(), 3);
    assert_eq!(transactions[2].header.sequence, 3);
    assert_eq!(transactions[2].header.device, transactions[0].header.device);
}

/// More entries than the counter of one millisecond holds.
#[tokio::test(start_paused = true)]
async fn a_transaction_of_70000_entries_has_70000_stamps() {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    let records = (0..70_000).map(|n| note(&format!("{n:05}"), "x")).collect();
    a.storage.execute(Batch::new().create("note", records)).await.unwrap();
    a.retitle("00000", "later").await;
    let transactions = log_of(&a).await;
    let last = transactions[0].stamp(69_999);
    assert!(transactions[1].header.hlc > last.hlc);
    a.sync(&log).await;
    b.retitle("69999", "nobody there yet").await;
    b.sync(&log).await;
    b.retitle("69999", "edited after it was seen").await;
    settle(&[&b, &a], &log).await;
    assert_eq!(a.title("69999").await.as_deref(), Some("edited after it was seen"));
    assert_in_step(&[&a, &b]).await;
}

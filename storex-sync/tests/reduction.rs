//! C7: what is overwritten before it is sent is sent without its values, and nothing else changes by that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use storex_core::{Batch, Changes, Filter, OnConflict, Record, Step, Value};
use storex_sync::{Cursor, Limits, LogId, MemorySharedLog, SharedSyncLog, Transaction};
use support::log::{Call, Fault, ScriptedLog};
use support::{Device, Dump, assert_in_step, dump, shared_log};

/// The values that a log has got, transaction by transaction.
async fn values_in(log: &ScriptedLog) -> Vec<usize> {
    let reader = storex_sync::Device { id: [0xee; 16], incarnation: 0 };
    let all = log.read(reader, &Cursor::default(), usize::MAX).await.unwrap().transactions;
    let values = all.iter().map(|sealed| {
        let transaction = Transaction::decode(&sealed.payload).unwrap();
        transaction.entries.iter().map(|entry| entry.values.len() - 1).sum()
    });
    values.collect()
}

fn set(title: &str) -> Batch {
    Batch::new().update("note", Filter::key("n"), Changes::new().set("title", title))
}

fn more() -> Batch {
    Batch::new().update("note", Filter::key("n"), Changes::new().increment("stars", 1))
}

#[tokio::test(start_paused = true)]
async fn c07_a_thousand_updates_of_one_field_send_one_value() {
    let log = shared_log();
    let log = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "t", "stars": 0})).await;
    a.sync(&log).await;
    for n in 1..=1000 {
        a.storage.execute(set(&n.to_string())).await.unwrap();
    }
    let report = a.sync(&log).await;
    assert_eq!((report.sent_transactions, report.sent_entries), (1000, 1));
    let values = values_in(&log).await;
    assert_eq!((values[1..].iter().sum::<usize>(), values[1000]), (1, 1));
    b.sync(&log).await;
    assert_in_step(&[&a, &b]).await;
    assert_eq!(b.title("n").await.as_deref(), Some("1000"));
}

#[tokio::test(start_paused = true)]
async fn c07_all_increments_are_sent_and_nothing_is_left_out_across_them() {
    let log = shared_log();
    let log = ScriptedLog::new(&log);
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.create("note", json!({"id": "n", "title": "t", "stars": 0})).await;
    a.sync(&log).await;
    for n in 1..=10 {
        a.storage.execute(set(&n.to_string())).await.unwrap();
        a.storage.execute(more()).await.unwrap();
    }
    assert_eq!(a.sync(&log).await.sent_entries, 20);
    b.sync(&log).await;
    assert_eq!(b.get("note", "n").await.unwrap()["stars"], 10);
    assert_in_step(&[&a, &b]).await;
}

/// What is overwritten in part, by a transaction behind the next, in another life, or in a field that a rule is about.
#[tokio::test(start_paused = true)]
async fn c07_what_is_not_overwritten_whole_is_sent() {
    let note =
        |id: &'static str, changes: Changes| Batch::new().update("note", Filter::key(id), changes);
    let title = || Changes::new().set("title", "x");
    let both = || Changes::new().set("title", "x").set("body", "y");
    let login = || Batch::new().update("login", Filter::key("l"), Changes::new().set("name", "x"));
    let cases: Vec<(Vec<Batch>, Vec<usize>)> = vec![
        (vec![both(), title()].into_iter().map(|it| note("n", it)).collect(), vec![2, 1]),
        (vec![title(), both()].into_iter().map(|it| note("n", it)).collect(), vec![0, 2]),
        (vec![note("n", title()), note("m", title()), note("n", title())], vec![1, 1, 1]),
        (vec![note("n", title()), Batch::new().delete("note", Filter::key("n"))], vec![1, 0]),
        (vec![login(), login()], vec![1, 1]),
    ];
    for (n, (batches, expected)) in cases.into_iter().enumerate() {
        let log = shared_log();
        let log = ScriptedLog::new(&log);
        let a = Device::new(1).await;
        a.note("n", "t").await;
        a.note("m", "t").await;
        a.create("login", json!({"id": "l", "name": "l"})).await;
        a.sync(&log).await;
        for batch in batches {
            a.storage.execute(batch).await.unwrap();
        }
        a.sync(&log).await;
        assert_eq!(values_in(&log).await[3..], expected, "case {n}");
    }
}

/// What was perhaps sent stays as it is: the log would take anything else for the work of a copy of this database.
#[tokio::test(start_paused = true)]
async fn c07_what_was_perhaps_sent_is_sent_again_as_it_was() {
    for fault in [Fault::Fail, Fault::DropAnswer] {
        let inner = shared_log();
        let log = ScriptedLog::new(&inner);
        let (a, b) = (Device::new(1).await, Device::new(2).await);
        a.note("n", "t").await;
        a.sync(&log).await;
        a.retitle("n", "first").await;
        a.retitle("n", "second").await;
        log.script(Call::Append, [fault]);
        a.join(&log).await.sync_once().await.unwrap_err();
        a.retitle("n", "third").await;
        a.retitle("n", "fourth").await;
        log.heal();
        let report = a.sync(&log).await;
        assert_eq!(report.incarnation, None);
        assert_eq!(values_in(&log).await[1..], [0, 1, 0, 1]);
        b.sync(&log).await;
        assert_in_step(&[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn c07_who_wants_to_sends_everything() {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let a = Device::new(1).await;
    a.note("n", "t").await;
    a.retitle("n", "first").await;
    a.retitle("n", "second").await;
    a.join(&log).await.unreduced().sync_once().await.unwrap();
    assert_eq!(values_in(&log).await[1..], [1, 1]);
}

#[derive(Debug, Clone)]
enum Act {
    Write { device: usize, writes: Vec<Write> },
    Exchange { device: usize },
    Trouble { device: usize, faults: Vec<Fault> },
    Clock { device: usize, by: i64 },
}

#[derive(Debug, Clone)]
enum Write {
    Put(usize),
    Set(usize, Vec<usize>),
    More(usize),
    Append(usize),
    Delete(usize),
}

const KEYS: [&str; 2] = ["n", "m"];
const FIELDS: [&str; 3] = ["title", "body", "stars"];

fn write() -> impl Strategy<Value = Write> {
    let key = 0..KEYS.len();
    prop_oneof![
        1 => key.clone().prop_map(Write::Put),
        8 => (key.clone(), prop::sample::subsequence(vec![0, 1, 2], 1..=3))
            .prop_map(|(key, fields)| Write::Set(key, fields)),
        1 => key.clone().prop_map(Write::More),
        1 => key.clone().prop_map(Write::Append),
        1 => key.prop_map(Write::Delete),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let device = 0..3_usize;
    let fault = prop_oneof![Just(Fault::None), Just(Fault::Fail), Just(Fault::DropAnswer)];
    prop_oneof![
        12 => (device.clone(), prop::collection::vec(write(), 1..=2))
            .prop_map(|(device, writes)| Act::Write { device, writes }),
        2 => device.clone().prop_map(|device| Act::Exchange { device }),
        2 => (device.clone(), prop::collection::vec(fault, 1..3))
            .prop_map(|(device, faults)| Act::Trouble { device, faults }),
        1 => (device, -100_000..100_000_i64).prop_map(|(device, by)| Act::Clock { device, by }),
    ]
}

fn step(write: &Write, count: i64) -> Step {
    let value = |field: usize| match field {
        2 => Value::Int(count),
        _ => Value::from(format!("{count}")),
    };
    let update = |key: usize, changes: Changes| Step::Update {
        collection: "note".into(),
        filter: Filter::key(KEYS[key]),
        changes,
    };
    match write {
        Write::Put(key) => {
            let row = vec![Value::from(KEYS[*key]), value(0), value(1), value(2)];
            Step::create_or("note", vec![Record::new(row)], OnConflict::Replace)
        }
        Write::Set(key, fields) => {
            let set = |changes: Changes, at: &usize| changes.set(FIELDS[*at], value(*at));
            update(*key, fields.iter().fold(Changes::new(), set))
        }
        Write::More(key) => update(*key, Changes::new().increment("stars", 1)),
        Write::Append(key) => update(*key, Changes::new().append("body", "+")),
        Write::Delete(key) => {
            Step::Delete { collection: "note".into(), filter: Filter::key(KEYS[*key]) }
        }
    }
}

/// What all devices hold in the end, and how many values went through the log.
async fn play(acts: &[Act], reduces: bool) -> (Dump, usize) {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let mut devices = Vec::new();
    for seed in 1..=3 {
        devices.push(Device::new(seed).await);
    }
    let join = |device: &Device| {
        let (device, log) = (device.clone(), log.clone());
        async move {
            let sync = device.join(&log).await;
            if reduces { sync } else { sync.unreduced() }
        }
    };
    let mut count = 0;
    for act in acts {
        match act {
            Act::Write { device, writes } => {
                let steps = writes.iter().map(|write| {
                    count += 1;
                    step(write, count)
                });
                devices[*device].storage.execute(steps.collect()).await.unwrap();
            }
            Act::Exchange { device } => {
                let report = join(&devices[*device]).await.sync_once().await.unwrap();
                assert_eq!(report.incarnation, None, "the log was given something else again");
            }
            Act::Trouble { device, faults } => {
                log.script(Call::Append, faults.clone());
                let small = Limits { transactions: 3, ..Limits::default() };
                let _ = join(&devices[*device]).await.limits(small).sync_once().await;
                log.heal();
            }
            Act::Clock { device, by } => devices[*device].runtime.advance(*by),
        }
    }
    for _ in 0..2 {
        for device in &devices {
            join(device).await.sync_once().await.unwrap();
        }
    }
    assert_in_step(&devices.iter().collect::<Vec<_>>()).await;
    (dump(&devices[0]).await, values_in(&log).await.into_iter().sum())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn c07_with_reduction_and_without_all_devices_come_to_the_same(
        acts in prop::collection::vec(act(), 1..40),
    ) {
        block_on(async {
            let (reduced, less) = play(&acts, true).await;
            let (whole, all) = play(&acts, false).await;
            assert_eq!(reduced, whole);
            assert!(less <= all);
        });
    }

    /// Whoever follows the log transaction by transaction sees nothing that its author had not.
    #[test]
    fn c07_no_transaction_is_torn(
        batches in prop::collection::vec(prop::collection::vec(write(), 1..=2), 1..20),
    ) {
        block_on(async {
            let log = shared_log();
            let (a, b) = (Device::new(1).await, Device::new(2).await);
            let mut states = vec![dump(&a).await];
            for (n, writes) in batches.iter().enumerate() {
                let count = i64::try_from(n).unwrap() * 10;
                let steps = (count..).zip(writes).map(|(count, write)| step(write, count));
                a.storage.execute(steps.collect()).await.unwrap();
                states.push(dump(&a).await);
            }
            a.sync(&log).await;
            let reader = storex_sync::Device { id: [0xee; 16], incarnation: 0 };
            let page = log.read(reader, &Cursor::default(), usize::MAX).await.unwrap();
            // B follows a log that grows by one transaction at a time.
            let slow = Arc::new(MemorySharedLog::new(LogId([8; 16])));
            let sync = b.join(&slow).await;
            let mut at = 0;
            for sealed in page.transactions {
                slow.append(&[sealed]).await.unwrap();
                sync.sync_once().await.unwrap();
                let now = dump(&b).await;
                let place = states[at..].iter().position(|state| *state == now);
                at += place.expect("a state that A never had, or had before");
            }
            assert_eq!(dump(&b).await, dump(&a).await);
        });
    }
}

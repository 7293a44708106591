//! Random histories that break the rules of a schema: whatever the order, all devices come to the same, keep the rules, and go
//! quiet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use storex_core::{
    Batch, Changes, Definition, FieldType, Filter, Key, OnConflict, OnDelete, Record,
    RegistryBuilder, RelationDefinition, Step, Value,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{Limits, RelationRule, Sync, SyncLog, UniqueRule, parked};
use support::log::{Call, Fault, ScriptedLog};
use support::{Device, assert_in_step, dump, open, shared_log};

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const TEXTS: [&str; 3] = ["x", "y", "z"];

fn schema() -> RegistryBuilder {
    support::schema()
        .collection(
            Definition::new("account")
                .field("handle", FieldType::String)
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
                .relation(RelationDefinition::child_of("team").on_delete(OnDelete::Cascade))
                .unique(["name"]),
        )
        .collection(Definition::new("badge").field("name", FieldType::String).relation(
            RelationDefinition::child_of("member").optional().on_delete(OnDelete::SetNull),
        ))
}

fn sync_log(updates_win: bool) -> SyncLog {
    let log = SyncLog::new()
        .on_unique("seat", ["number"], UniqueRule::Delete)
        .on_unique("account", ["code"], UniqueRule::Clear)
        .on_relation("member", ["team"], RelationRule::DeleteChild);
    if updates_win { log.update_wins(["account", "member", "note"]) } else { log }
}

#[derive(Debug, Clone)]
enum Act {
    Write { device: usize, writes: Vec<Write> },
    Exchange { device: usize },
    Trouble { device: usize, faults: Vec<(Call, Fault)> },
    Clock { device: usize, by: i64 },
}

#[derive(Debug, Clone)]
enum Write {
    Account { key: usize, handle: usize, code: Option<usize>, name: Option<(usize, usize)> },
    Handle { key: usize, handle: usize },
    First { key: usize, first: usize },
    Last { key: usize, last: usize },
    Seat { key: usize, number: usize },
    Team { key: usize },
    Member { key: usize, name: usize, team: usize },
    Move { key: usize, team: usize },
    Badge { key: usize, member: usize },
    Note { key: usize, title: usize },
    Stars { key: usize, by: i64 },
    Delete { collection: usize, key: usize },
}

const COLLECTIONS: [&str; 6] = ["account", "seat", "team", "member", "badge", "note"];

impl Write {
    fn step(&self) -> Step {
        let put = |collection: &str, values: Vec<Value>| {
            Step::create_or(collection, vec![Record::new(values)], OnConflict::Replace)
        };
        let set = |collection: &str, key: usize, field: &str, value: Value| Step::Update {
            collection: collection.into(),
            filter: Filter::key(KEYS[key]),
            changes: Changes::new().set(field, value),
        };
        let key = |key: usize| Value::from(KEYS[key]);
        let text = |text: usize| Value::from(TEXTS[text]);
        let int = |int: usize| Value::Int(i64::try_from(int).unwrap());
        match *self {
            Self::Account { key: at, handle, code, name } => {
                let (first, last) = name
                    .map_or((Value::Null, Value::Null), |(first, last)| (text(first), text(last)));
                let code = code.map_or(Value::Null, int);
                put("account", vec![key(at), text(handle), code, first, last])
            }
            Self::Handle { key, handle } => set("account", key, "handle", text(handle)),
            Self::First { key, first } => set("account", key, "first", text(first)),
            Self::Last { key, last } => set("account", key, "last", text(last)),
            Self::Seat { key: at, number } => put("seat", vec![key(at), int(number)]),
            Self::Team { key: at } => put("team", vec![key(at), "T".into()]),
            Self::Member { key: at, name, team } => {
                put("member", vec![key(at), text(name), key(team)])
            }
            Self::Move { key: at, team } => set("member", at, "team", key(team)),
            Self::Badge { key: at, member } => put("badge", vec![key(at), "B".into(), key(member)]),
            Self::Note { key: at, title } => {
                put("note", vec![key(at), text(title), Value::Null, Value::Int(0)])
            }
            Self::Stars { key, by } => Step::Update {
                collection: "note".into(),
                filter: Filter::key(KEYS[key]),
                changes: Changes::new().increment("stars", by),
            },
            Self::Delete { collection, key } => Step::Delete {
                collection: COLLECTIONS[collection].into(),
                filter: Filter::key(KEYS[key]),
            },
        }
    }
}

fn write() -> impl Strategy<Value = Write> {
    let (key, text) = (0..KEYS.len(), 0..TEXTS.len());
    let pair = (text.clone(), text.clone());
    let maybe = |strategy| prop::option::of(strategy);
    prop_oneof![
        4 => (key.clone(), text.clone(), maybe(text.clone()), prop::option::of(pair))
            .prop_map(|(key, handle, code, name)| Write::Account { key, handle, code, name }),
        2 => (key.clone(), text.clone()).prop_map(|(key, handle)| Write::Handle { key, handle }),
        1 => (key.clone(), text.clone()).prop_map(|(key, first)| Write::First { key, first }),
        1 => (key.clone(), text.clone()).prop_map(|(key, last)| Write::Last { key, last }),
        2 => (key.clone(), text.clone()).prop_map(|(key, number)| Write::Seat { key, number }),
        2 => key.clone().prop_map(|key| Write::Team { key }),
        3 => (key.clone(), text.clone(), key.clone())
            .prop_map(|(key, name, team)| Write::Member { key, name, team }),
        1 => (key.clone(), key.clone()).prop_map(|(key, team)| Write::Move { key, team }),
        2 => (key.clone(), key.clone()).prop_map(|(key, member)| Write::Badge { key, member }),
        1 => (key.clone(), text).prop_map(|(key, title)| Write::Note { key, title }),
        1 => (key.clone(), 1..5_i64).prop_map(|(key, by)| Write::Stars { key, by }),
        5 => (0..COLLECTIONS.len(), key)
            .prop_map(|(collection, key)| Write::Delete { collection, key }),
    ]
}

fn fault() -> impl Strategy<Value = (Call, Fault)> {
    let call = prop_oneof![Just(Call::Append), Just(Call::Read), Just(Call::Acknowledge)];
    let fault = prop_oneof![Just(Fault::None), Just(Fault::Fail), Just(Fault::DropAnswer)];
    (call, fault)
}

fn act() -> impl Strategy<Value = Act> {
    let device = 0..3_usize;
    prop_oneof![
        10 => (device.clone(), prop::collection::vec(write(), 1..=3))
            .prop_map(|(device, writes)| Act::Write { device, writes }),
        4 => device.clone().prop_map(|device| Act::Exchange { device }),
        2 => (device.clone(), prop::collection::vec(fault(), 0..5))
            .prop_map(|(device, faults)| Act::Trouble { device, faults }),
        1 => (device, -100_000..100_000_i64).prop_map(|(device, by)| Act::Clock { device, by }),
    ]
}

async fn play(acts: &[Act], order: &[usize], updates_win: bool) {
    let inner = shared_log();
    let log = ScriptedLog::new(&inner);
    let mut devices = Vec::new();
    for seed in 1..=3 {
        let runtime = Arc::new(TestRuntime::new(seed));
        let backend = Arc::new(MemoryBackend::new());
        let storage = open(&backend, &runtime, schema(), sync_log(updates_win)).await;
        let device = Device { runtime, backend, storage };
        let sync = device.join(&log).await;
        devices.push((device, sync));
    }
    for act in acts {
        match act {
            Act::Write { device, writes } => {
                let batch: Batch = writes.iter().map(Write::step).collect();
                // What breaks a rule here is refused here, as a whole.
                let _ = devices[*device].0.storage.execute(batch).await;
            }
            Act::Exchange { device } => {
                devices[*device].1.sync_once().await.unwrap();
            }
            Act::Trouble { device, faults } => {
                for (call, fault) in faults {
                    log.script(*call, [*fault]);
                }
                let small = Limits { bytes: 300, transactions: 2 };
                let sync: Sync = devices[*device].0.join(&log).await.limits(small);
                let _ = sync.sync_once().await;
                log.heal();
            }
            Act::Clock { device, by } => devices[*device].0.runtime.advance(*by),
        }
    }
    log.heal();
    for round in 0.. {
        assert!(round < 12, "it does not come to rest");
        let mut idle = true;
        for at in order {
            idle &= devices[*at].1.sync_once().await.unwrap().is_idle();
        }
        if idle {
            break;
        }
    }
    let all: Vec<&Device> = devices.iter().map(|(device, _)| device).collect();
    for device in &all {
        assert_eq!(parked(&device.storage).await.unwrap(), []);
        assert_rules(device).await;
    }
    assert_in_step(&all).await;
}

/// Nobody points to what is not there. (Unique values are seen to by the database.)
async fn assert_rules(device: &Device) {
    let dump = dump(device).await;
    let keys = |collection: &str| -> BTreeSet<Key> {
        dump[collection].iter().map(|row| Key::single(row.get(0).clone())).collect()
    };
    let (teams, members) = (keys("team"), keys("member"));
    for (collection, there) in [("member", teams), ("badge", members)] {
        for row in &dump[collection] {
            let parent = row.get(2);
            let parent = Some(parent).filter(|it| !it.is_null());
            let gone = parent.filter(|it| !there.contains(&Key::single((*it).clone())));
            assert_eq!(gone, None, "{collection} {row:?}");
        }
    }
}

fn run(acts: &[Act], order: &[usize], updates_win: bool) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(play(acts, order, updates_win));
}

fn order() -> impl Strategy<Value = Vec<usize>> {
    Just(vec![0, 1, 2]).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_hold_everywhere_in_the_same_way(
        acts in prop::collection::vec(act(), 1..40),
        order in order(),
    ) {
        run(&acts, &order, false);
    }

    #[test]
    fn c15_so_they_do_where_updates_win(
        acts in prop::collection::vec(act(), 1..40),
        order in order(),
    ) {
        run(&acts, &order, true);
    }
}

//! Random histories of several devices over real storages, compared with a second, naive model at every step.
//!
//! The model knows no clocks of objects and no order of arrival. It keeps the set of writes that a device has seen, and says
//! what the tables must hold: of the writes of an object's greatest life the latest, field by field.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use storex_core::{Batch, Changes, Filter, OnConflict, Record, Runtime, Step, Value};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    BackendSharedLog, Cursor, EntryKind, InitialSync, Limits, SealedTransaction, SharedSyncLog,
    Sync, Transaction,
};
use support::channel::Watched;
use support::log::{Call, Fault, ScriptedLog};
use support::{Device, dump, log_of, shared_log};

const OBJECTS: [&str; 4] = ["a", "b", "c", "old"];
const FIELDS: [&str; 3] = ["title", "body", "stars"];

/// Here any clock is believed; what becomes of those that are far ahead is in `renewal.rs`.
const ANY_TIME: std::time::Duration = std::time::Duration::from_secs(1 << 40);

#[derive(Debug, Clone)]
enum Act {
    /// A batch.
    Write { device: usize, writes: Vec<Planned> },
    /// An exchange that goes through.
    Exchange { device: usize },
    /// An exchange in small pages, over a log that fails.
    Trouble { device: usize, faults: Vec<(Call, Fault)> },
    /// The wall clock jumps.
    Clock { device: usize, by: i64 },
    /// Initial sync; the line breaks at this frame.
    Pump { from: usize, to: usize, cut_at: usize },
}

#[derive(Debug, Clone)]
struct Planned {
    object: usize,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// Creates it, or replaces all its values.
    Put,
    /// Changes some fields, if it is there.
    Change(BTreeSet<usize>),
    /// Deletes it, if it is there.
    Delete,
}

/// A write, as everybody will know it in the end.
#[derive(Debug, Clone, PartialEq)]
struct Write {
    object: &'static str,
    kind: EntryKind,
    life: u32,
    stamp: (u64, [u8; 16]),
    fields: BTreeMap<&'static str, Value>,
}

/// A transaction by its author and number.
type Name = (usize, u64);

/// What the rows must be when exactly these writes were seen.
fn rows_of<'a>(writes: impl Iterator<Item = &'a Write>) -> Vec<Record> {
    // One object is older than sync, and the same on all devices.
    let all: Vec<Write> = writes.cloned().chain([old()]).collect();
    let mut rows = Vec::new();
    for object in OBJECTS {
        let its = || all.iter().filter(|write| write.object == object);
        let life = its().map(|write| write.life).max().unwrap_or(0);
        if life % 2 == 0 {
            continue;
        }
        let latest = |field: &str| -> Value {
            let carrying = its().filter(|it| it.life == life && it.fields.contains_key(field));
            let latest = carrying.max_by_key(|write| write.stamp);
            latest.map_or(Value::Null, |write| write.fields[field].clone())
        };
        let values = FIELDS.iter().map(|field| latest(field));
        rows.push(Record::new(std::iter::once(Value::from(object)).chain(values).collect()));
    }
    rows.sort_by_key(|row| row.get(0).as_text().map(str::to_owned));
    rows
}

fn old() -> Write {
    let fields = [("title", "older than sync".into()), ("body", Value::Null), ("stars", 7.into())];
    Write {
        object: "old",
        kind: EntryKind::Create,
        life: 1,
        stamp: (0, [0; 16]),
        fields: fields.into_iter().collect(),
    }
}

struct Node {
    device: Device,
    sync: Sync,
    id: storex_sync::Device,
    /// What it has seen, its own included.
    seen: BTreeSet<Name>,
    /// What it may have seen: an initial sync from somebody who had seen it was cut.
    perhaps: BTreeSet<Name>,
    /// The last reading of its clock.
    hlc: u64,
}

struct World {
    nodes: Vec<Node>,
    inner: Arc<dyn SharedSyncLog>,
    log: Arc<ScriptedLog>,
    writes: BTreeMap<Name, Vec<Write>>,
    count: i64,
}

impl World {
    async fn new(devices: usize) -> Self {
        // Both kinds of logs take turns.
        let inner: Arc<dyn SharedSyncLog> = if devices.is_multiple_of(2) {
            let runtime = Arc::new(TestRuntime::new(99));
            Arc::new(BackendSharedLog::open(MemoryBackend::new(), runtime).await.unwrap())
        } else {
            shared_log()
        };
        let log = ScriptedLog::over(Arc::clone(&inner));
        let mut nodes = Vec::new();
        for seed in 0..devices as u64 {
            let old = json!({"id": "old", "title": "older than sync", "stars": 7});
            let device = Device::with_old_notes(seed + 1, &[old]).await;
            let sync = device.join(&log).await.skew(ANY_TIME);
            let id = sync.device().await.unwrap();
            let (seen, perhaps) = Default::default();
            nodes.push(Node { device, sync, id, seen, perhaps, hlc: 0 });
        }
        Self { nodes, inner, log, writes: BTreeMap::new(), count: 0 }
    }

    async fn act(&mut self, act: &Act) {
        match act {
            Act::Write { device, writes } => self.write(*device, writes).await,
            Act::Exchange { device } => {
                self.nodes[*device].sync.sync_once().await.unwrap();
                self.note_what_was_seen().await;
            }
            Act::Trouble { device, faults } => {
                for (call, fault) in faults {
                    self.log.script(*call, [*fault]);
                }
                let sync = self.nodes[*device].device.join(&self.log).await.skew(ANY_TIME);
                let small = Limits { bytes: 300, transactions: 2 };
                let _ = sync.limits(small).sync_once().await;
                self.log.heal();
                self.note_what_was_seen().await;
            }
            Act::Clock { device, by } => self.nodes[*device].device.runtime.advance(*by),
            Act::Pump { from, to, cut_at } if from != to => self.pump(*from, *to, *cut_at).await,
            Act::Pump { .. } => {}
        }
        for at in 0..self.nodes.len() {
            self.check(at).await;
        }
    }

    async fn write(&mut self, at: usize, planned: &[Planned]) {
        let mut batch = Batch::new();
        for plan in planned {
            self.count += 1;
            let id = OBJECTS[plan.object];
            let value = |field: usize| match field {
                2 => Value::Int(self.count),
                _ => Value::from(format!("{} of {at}", self.count)),
            };
            batch = match &plan.what {
                What::Put => {
                    let row = vec![Value::from(id), value(0), value(1), value(2)];
                    batch.step(Step::create_or("note", vec![Record::new(row)], OnConflict::Replace))
                }
                What::Change(fields) => {
                    let changes = fields.iter().fold(Changes::new(), |changes, field| {
                        changes.set(FIELDS[*field], value(*field))
                    });
                    batch.update("note", Filter::key(id), changes)
                }
                What::Delete => batch.delete("note", Filter::key(id)),
            };
        }
        let before = dump(&self.nodes[at].device).await;
        let known = log_of(&self.nodes[at].device).await.len();
        self.nodes[at].device.storage.execute(batch).await.unwrap();
        let log = log_of(&self.nodes[at].device).await;
        let applied = self.applied(at).await;
        let expected = self.expected(at, planned, &before["note"], &applied);
        if log.len() == known {
            assert_eq!(expected.iter().flatten().count(), 0, "something was not logged");
            return;
        }
        assert_eq!(log.len(), known + 1);
        let transaction = log.last().unwrap();
        let writes = writes_of(transaction);
        let node = &mut self.nodes[at];
        if let Some(expected) = expected {
            assert_eq!(writes, expected, "what was logged is not what the model says");
        }
        node.hlc = node.hlc.max(writes.last().unwrap().stamp.0);
        let name = (at, transaction.header.sequence);
        node.seen.insert(name);
        self.writes.insert(name, writes);
    }

    /// What must be logged; nothing is said of a device whose initial sync was cut, because nobody knows what it has seen.
    fn expected(
        &self,
        at: usize,
        planned: &[Planned],
        before: &[Record],
        applied: &BTreeSet<Name>,
    ) -> Option<Vec<Write>> {
        let node = &self.nodes[at];
        if !node.perhaps.is_subset(&node.seen) {
            return None;
        }
        let wall = u64::try_from(node.device.runtime.now().0).unwrap_or(0) << 16;
        let mut hlc = wall.max(node.hlc + 1);
        let mut there: BTreeSet<&str> =
            before.iter().map(|row| row.get(0).as_text().unwrap()).collect();
        let mut life: BTreeMap<&str, u32> = BTreeMap::from([("old", 1)]);
        for write in applied.iter().flat_map(|name| &self.writes[name]) {
            let life = life.entry(write.object).or_default();
            *life = (*life).max(write.life);
        }
        let mut expected = Vec::new();
        let first = self.count - i64::try_from(planned.len()).unwrap();
        for (count, plan) in (first + 1..).zip(planned) {
            let object = OBJECTS[plan.object];
            let life = life.entry(object).or_default();
            let all: BTreeSet<usize> = (0..3).collect();
            let none = BTreeSet::new();
            let (kind, fields) = match &plan.what {
                What::Put => (EntryKind::Create, &all),
                What::Change(fields) if there.contains(object) => (EntryKind::Update, fields),
                What::Delete if there.contains(object) => (EntryKind::Delete, &none),
                _ => continue,
            };
            match kind {
                EntryKind::Create => *life += u32::from(!there.contains(object)),
                EntryKind::Update => {}
                EntryKind::Delete => *life += 1,
            }
            match kind {
                EntryKind::Delete => there.remove(object),
                _ => there.insert(object),
            };
            let value = |field: &usize| match field {
                2 => Value::Int(count),
                _ => Value::from(format!("{count} of {at}")),
            };
            let fields = fields.iter().map(|field| (FIELDS[*field], value(field))).collect();
            expected.push(Write { object, kind, life: *life, stamp: (hlc, node.id.id), fields });
            hlc += 1;
        }
        Some(expected)
    }

    async fn pump(&mut self, from: usize, to: usize, cut_at: usize) {
        let (mut here, mut there) = Watched::pair(cut_at);
        let sender = InitialSync::open(&self.nodes[from].device.storage).await.unwrap().page(1);
        let receiver = InitialSync::open(&self.nodes[to].device.storage).await.unwrap();
        let (_, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
        let seen = self.nodes[from].seen.clone();
        let through = received.is_ok() && self.nodes[from].perhaps.is_subset(&seen);
        let node = &mut self.nodes[to];
        node.perhaps.extend(&seen);
        if through {
            node.seen.extend(&seen);
        } else {
            // The sender itself may hold more than it knows.
            let more = self.nodes[from].perhaps.clone();
            self.nodes[to].perhaps.extend(more);
        }
        self.note_what_was_seen().await;
    }

    /// Everything in the log, in its order.
    async fn everything(&self) -> Vec<SealedTransaction> {
        let nobody = storex_sync::Device { id: [0xee; 16], incarnation: 0 };
        let page = self.inner.read(nobody, &Cursor::default(), usize::MAX).await.unwrap();
        assert!(!page.more);
        page.transactions
    }

    /// What the log has delivered to each device.
    async fn note_what_was_seen(&mut self) {
        let names: Vec<Name> = self
            .everything()
            .await
            .iter()
            .map(|it| {
                let at = self.nodes.iter().position(|node| node.id == it.device).unwrap();
                (at, it.sequence)
            })
            .collect();
        for node in &mut self.nodes {
            let place = usize::try_from(self.log.place(node.id)).unwrap();
            node.seen.extend(&names[..place]);
        }
        for at in 0..self.nodes.len() {
            let applied = self.applied(at).await;
            let readings = applied.iter().flat_map(|name| &self.writes[name]);
            let last = readings.map(|write| write.stamp.0).max().unwrap_or(0);
            self.nodes[at].hlc = self.nodes[at].hlc.max(last);
        }
    }

    /// What a device has seen, without what it had to park: that counts as not seen yet.
    async fn applied(&self, at: usize) -> BTreeSet<Name> {
        let node = &self.nodes[at];
        let mut applied = node.seen.clone();
        for parked in storex_sync::parked(&node.device.storage).await.unwrap() {
            let by = self.nodes.iter().position(|node| node.id == parked.device).unwrap();
            applied.remove(&(by, parked.sequence));
        }
        applied
    }

    /// A device holds exactly what the writes say that it has seen, without those that it had to park.
    async fn check(&self, at: usize) {
        let node = &self.nodes[at];
        if !node.perhaps.is_subset(&node.seen) {
            return;
        }
        let applied = self.applied(at).await;
        let applied = applied.iter().flat_map(|name| &self.writes[name]);
        assert_eq!(dump(&node.device).await["note"], rows_of(applied), "device {at}");
    }

    async fn settle(&mut self) {
        self.log.heal();
        for _ in 0..2 {
            for node in &self.nodes {
                node.sync.sync_once().await.unwrap();
            }
        }
        self.note_what_was_seen().await;
        let expected = rows_of(self.writes.values().flatten());
        for (at, node) in self.nodes.iter().enumerate() {
            assert_eq!(storex_sync::parked(&node.device.storage).await.unwrap(), []);
            assert_eq!(dump(&node.device).await["note"], expected, "device {at} in the end");
            assert!(node.sync.sync_once().await.unwrap().is_idle());
        }
        let sent = self.everything().await.len();
        assert_eq!(sent, self.writes.len(), "each transaction is in the log once");
    }
}

fn writes_of(transaction: &Transaction) -> Vec<Write> {
    let entries = transaction.entries.iter().enumerate();
    entries
        .map(|(n, entry)| {
            let shape = &transaction.shapes[entry.shape];
            let key = entry.values[0].value().as_text().unwrap();
            let values = shape.fields.iter().zip(&entry.values).skip(1).map(|(name, value)| {
                let name = FIELDS.into_iter().find(|field| *field == &**name).unwrap();
                (name, value.value().clone())
            });
            let stamp = transaction.stamp(n);
            Write {
                object: OBJECTS.into_iter().find(|object| *object == key).unwrap(),
                kind: entry.kind,
                life: entry.life,
                stamp: (stamp.hlc.0, stamp.device.id),
                fields: values.collect(),
            }
        })
        .collect()
}

fn planned() -> impl Strategy<Value = Planned> {
    let what = prop_oneof![
        3 => Just(What::Put),
        5 => prop::collection::btree_set(0..FIELDS.len(), 1..=2).prop_map(What::Change),
        2 => Just(What::Delete),
    ];
    (0..OBJECTS.len(), what).prop_map(|(object, what)| Planned { object, what })
}

fn fault() -> impl Strategy<Value = (Call, Fault)> {
    let call = prop_oneof![
        Just(Call::Register),
        Just(Call::Append),
        Just(Call::Read),
        Just(Call::Acknowledge)
    ];
    let fault = prop_oneof![
        3 => Just(Fault::None),
        1 => Just(Fault::Fail),
        1 => Just(Fault::DropAnswer),
        1 => Just(Fault::Duplicate),
    ];
    (call, fault)
}

fn act(devices: usize, pumps: bool) -> impl Strategy<Value = Act> {
    let device = 0..devices;
    let jump = prop_oneof![
        Just(1),
        -5_000..5_000_i64,
        -86_400_000..86_400_000_i64,
        Just(-2_000_000_000_000),
        Just(2_000_000_000_000)
    ];
    let cut = prop_oneof![Just(usize::MAX), 0..20_usize];
    prop_oneof![
        10 => (device.clone(), prop::collection::vec(planned(), 1..=3))
            .prop_map(|(device, writes)| Act::Write { device, writes }),
        4 => device.clone().prop_map(|device| Act::Exchange { device }),
        4 => (device.clone(), prop::collection::vec(fault(), 0..6))
            .prop_map(|(device, faults)| Act::Trouble { device, faults }),
        2 => (device.clone(), jump).prop_map(|(device, by)| Act::Clock { device, by }),
        u32::from(pumps) * 3 => (device.clone(), device, cut)
            .prop_map(|(from, to, cut_at)| Act::Pump { from, to, cut_at }),
    ]
}

fn history(pumps: bool) -> impl Strategy<Value = (usize, Vec<Act>)> {
    (3..=5_usize).prop_flat_map(move |devices| {
        (Just(devices), prop::collection::vec(act(devices, pumps), 1..40))
    })
}

fn play(devices: usize, acts: &[Act]) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let mut world = World::new(devices).await;
        for act in acts {
            world.act(act).await;
        }
        world.settle().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn c16_any_history_over_a_log_converges_to_what_the_model_says((devices, acts) in history(false)) {
        play(devices, &acts);
    }

    #[test]
    fn so_does_any_history_with_initial_syncs((devices, acts) in history(true)) {
        play(devices, &acts);
    }
}

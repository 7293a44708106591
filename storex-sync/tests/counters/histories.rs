//! Random histories of sets and increments on three devices, with exchanges in any order, duplicates, lost answers, initial
//! syncs and restarts, compared with a naive model: of the sets of the object's last life the latest, and by how much all
//! increments on it have added, each once.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use storex_core::{Batch, Changes, Filter, OnConflict, Record, Step, Value};
use storex_sync::{EntryKind, EntryValue, Limits, MemorySharedLog, Relative, Stamp, Transaction};

use crate::support::log::{Call, Fault, ScriptedLog};
use crate::support::{
    Device, assert_in_step, dump, log_of, parked_count, pump, schema, settle, shared_log,
};

#[derive(Debug, Clone)]
enum Act {
    Write {
        device: usize,
        writes: Vec<Write>,
    },
    Exchange {
        device: usize,
    },
    /// In small pages, over a log that fails.
    Trouble {
        device: usize,
        faults: Vec<(Call, Fault)>,
    },
    Pump {
        from: usize,
        to: usize,
    },
    Restart {
        device: usize,
    },
    Clock {
        device: usize,
        by: i64,
    },
}

#[derive(Debug, Clone)]
enum Write {
    Add(i64),
    Set(i64),
    /// A step that changes two fields.
    AddAndRename(i64),
    Put(i64),
    Delete,
}

/// What is known of the object in one life.
#[derive(Debug, Default)]
struct Life {
    sets: BTreeMap<Stamp, i64>,
    added: Vec<(Stamp, i64)>,
}

#[derive(Debug, Default)]
struct Model {
    lives: BTreeMap<u32, Life>,
}

impl Model {
    fn note(&mut self, transaction: &Transaction) {
        for (n, entry) in transaction.entries.iter().enumerate() {
            let life = self.lives.entry(entry.life).or_default();
            let shape = &transaction.shapes[entry.shape];
            let Some(at) = shape.fields.iter().position(|field| &**field == "stars") else {
                continue;
            };
            match &entry.values[at] {
                EntryValue::Changed { change, .. } => match &**change {
                    Relative::Increment { by: Value::Int(by), counted: Some(counted) } => {
                        life.added.push((counted.base, *by));
                    }
                    other => panic!("{other:?}"),
                },
                other => {
                    assert!(matches!(other, EntryValue::Set(_)), "{other:?}");
                    let value = other.value().as_int().unwrap_or(0);
                    assert_ne!(entry.kind, EntryKind::Delete);
                    life.sets.insert(transaction.stamp(n), value);
                }
            }
        }
    }

    /// The stars that everybody must hold in the end; `None`: the object is deleted.
    fn stars(&self) -> Option<i64> {
        let (number, life) = self.lives.last_key_value()?;
        if number % 2 == 0 {
            return None;
        }
        let (base, value) = life.sets.last_key_value()?;
        let added = life.added.iter().filter(|(on, _)| on == base).map(|(_, by)| by);
        Some(value + added.sum::<i64>())
    }
}

struct World {
    devices: Vec<Device>,
    inner: Arc<MemorySharedLog>,
    log: Arc<ScriptedLog>,
    model: Model,
}

impl World {
    async fn new() -> Self {
        let inner = shared_log();
        let mut devices = Vec::new();
        for seed in 1..=3 {
            devices.push(Device::new(seed).await);
        }
        devices[0].create("note", json!({"id": "n", "title": "x", "stars": 0})).await;
        let mut model = Model::default();
        model.note(&log_of(&devices[0]).await[0]);
        settle(&devices.iter().collect::<Vec<_>>(), &inner).await;
        let log = ScriptedLog::new(&inner);
        Self { devices, inner, log, model }
    }

    async fn act(&mut self, act: &Act) {
        match act {
            Act::Write { device, writes } => self.write(*device, writes).await,
            Act::Exchange { device } => drop(self.devices[*device].sync(&self.inner).await),
            Act::Trouble { device, faults } => {
                for (call, fault) in faults {
                    self.log.script(*call, [*fault]);
                }
                let small = Limits { bytes: 300, transactions: 2 };
                let sync = self.devices[*device].join(&self.log).await.limits(small);
                let _ = sync.sync_once().await;
                self.log.heal();
            }
            Act::Pump { from, to } if from != to => {
                pump(&self.devices[*from], &self.devices[*to]).await;
            }
            Act::Pump { .. } => {}
            Act::Restart { device } => {
                self.devices[*device] = self.devices[*device].reopened(schema()).await;
            }
            Act::Clock { device, by } => self.devices[*device].runtime.advance(*by),
        }
    }

    async fn write(&mut self, device: usize, writes: &[Write]) {
        let device = &self.devices[device];
        let mut batch = Batch::new();
        for write in writes {
            let update = |changes| Step::Update {
                collection: "note".into(),
                filter: Filter::key("n"),
                changes,
            };
            batch = batch.step(match write {
                Write::Add(by) => update(Changes::new().increment("stars", *by)),
                Write::Set(to) => update(Changes::new().set("stars", *to)),
                Write::AddAndRename(by) => {
                    update(Changes::new().set("title", "renamed").increment("stars", *by))
                }
                Write::Put(stars) => {
                    let row = vec!["n".into(), "put".into(), Value::Null, Value::Int(*stars)];
                    Step::create_or("note", vec![Record::new(row)], OnConflict::Replace)
                }
                Write::Delete => {
                    Step::Delete { collection: "note".into(), filter: Filter::key("n") }
                }
            });
        }
        let known = log_of(device).await.len();
        device.storage.execute(batch).await.unwrap();
        if let Some(transaction) = log_of(device).await.get(known) {
            self.model.note(transaction);
        }
    }

    async fn settle(&mut self) {
        let devices: Vec<&Device> = self.devices.iter().collect();
        settle(&devices, &self.inner).await;
        assert_in_step(&devices).await;
        for device in devices {
            assert_eq!(parked_count(device).await, 0);
        }
    }

    async fn stars(&self) -> Option<i64> {
        let rows = &dump(&self.devices[0]).await["note"];
        rows.first().map(|row| row.get(3).as_int().unwrap())
    }
}

fn fault() -> impl Strategy<Value = (Call, Fault)> {
    let call = prop_oneof![Just(Call::Append), Just(Call::Read), Just(Call::Acknowledge)];
    let fault = prop_oneof![
        Just(Fault::None),
        Just(Fault::Fail),
        Just(Fault::DropAnswer),
        Just(Fault::Duplicate)
    ];
    (call, fault)
}

fn act(write: BoxedStrategy<Write>) -> impl Strategy<Value = Act> {
    let device = 0..3_usize;
    prop_oneof![
        10 => (device.clone(), prop::collection::vec(write, 1..=3))
            .prop_map(|(device, writes)| Act::Write { device, writes }),
        4 => device.clone().prop_map(|device| Act::Exchange { device }),
        3 => (device.clone(), prop::collection::vec(fault(), 0..5))
            .prop_map(|(device, faults)| Act::Trouble { device, faults }),
        3 => (device.clone(), device.clone()).prop_map(|(from, to)| Act::Pump { from, to }),
        1 => device.clone().prop_map(|device| Act::Restart { device }),
        2 => (device, -5_000..5_000_i64).prop_map(|(device, by)| Act::Clock { device, by }),
    ]
}

fn play<T>(run: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(run)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sets_and_increments_converge_to_what_the_model_says(acts in prop::collection::vec(act(prop_oneof![
        6 => (-9..10_i64).prop_map(Write::Add),
        2 => (-9..10_i64).prop_map(Write::AddAndRename),
        2 => (-99..100_i64).prop_map(Write::Set),
        1 => (-99..100_i64).prop_map(Write::Put),
        1 => Just(Write::Delete),
    ].boxed()), 1..40)) {
        play(async {
            let mut world = World::new().await;
            for act in &acts {
                world.act(act).await;
            }
            world.settle().await;
            assert_eq!(world.stars().await, world.model.stars());
        });
    }

    /// The model is not even asked: what was added is what is there.
    #[test]
    fn increments_alone_add_up_exactly(acts in prop::collection::vec(act(prop_oneof![
        3 => any::<i32>().prop_map(|by| Write::Add(by.into())),
        1 => any::<i32>().prop_map(|by| Write::AddAndRename(by.into())),
    ].boxed()), 1..40)) {
        play(async {
            let mut world = World::new().await;
            let mut sum = 0;
            for act in &acts {
                world.act(act).await;
                if let Act::Write { writes, .. } = act {
                    sum += writes.iter().map(|write| match write {
                        Write::Add(by) | Write::AddAndRename(by) => *by,
                        other => panic!("{other:?}"),
                    }).sum::<i64>();
                }
            }
            world.settle().await;
            assert_eq!(world.stars().await, Some(sum));
        });
    }
}

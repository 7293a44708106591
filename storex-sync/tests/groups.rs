//! Fields that change together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Batch, Changes, Definition, FieldType, Filter, Registry, RegistryBuilder, Storage,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{ConflictJournal, ConflictQuery, Strategy as Merging, SyncLog};
use support::{Device, assert_in_step, log_of, open, pump, settle, shared_log};

fn schema() -> RegistryBuilder {
    Registry::builder().collection(
        Definition::new("person")
            .field("name", FieldType::String)
            .field("street", FieldType::String)
            .field("city", FieldType::String)
            .optional("floor", FieldType::Int),
    )
}

fn together() -> SyncLog {
    SyncLog::new().together("person", ["street", "city", "floor"])
}

async fn device(seed: u64) -> Device {
    let (runtime, backend) = (Arc::new(TestRuntime::new(seed)), Arc::new(MemoryBackend::new()));
    let storage = open(&backend, &runtime, schema(), together()).await;
    Device { runtime, backend, storage }
}

async fn person(device: &Device) -> Json {
    device.get("person", "p").await.unwrap()
}

async fn update(device: &Device, changes: Json) {
    device.update("person", json!({}), changes).await;
}

async fn pair() -> (Device, Device) {
    let log = shared_log();
    let (a, b) = (device(1).await, device(2).await);
    b.runtime.advance(5_000);
    a.create("person", json!({"id": "p", "name": "n", "street": "s", "city": "c", "floor": 0}))
        .await;
    settle(&[&a, &b], &log).await;
    (a, b)
}

#[tokio::test(start_paused = true)]
async fn c14_a_merge_never_mixes_the_groups_of_two_devices() {
    for by_pump in [false, true] {
        let log = shared_log();
        let (a, b) = pair().await;
        if !by_pump {
            settle(&[&a, &b], &log).await;
        }
        update(&a, json!({"street": "street of a", "name": "name of a"})).await;
        update(&b, json!({"city": "city of b"})).await;
        if by_pump {
            pump(&a, &b).await;
            pump(&b, &a).await;
        } else {
            settle(&[&a, &b], &log).await;
        }
        assert_in_step(&[&a, &b]).await;
        let expected =
            json!({"id": "p", "name": "name of a", "street": "s", "city": "city of b", "floor": 0});
        assert_eq!(person(&a).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_lost_is_put_back_together() {
    let log = shared_log();
    let (a, b) = pair().await;
    settle(&[&a, &b], &log).await;
    update(&a, json!({"street": "street of a", "floor": {"$inc": 3}})).await;
    update(&b, json!({"city": "city of b"})).await;
    settle(&[&a, &b], &log).await;
    let journal = ConflictJournal::open(&b.storage).await.unwrap();
    let noted = journal.list(&ConflictQuery::new()).await.unwrap();
    assert_eq!(noted.len(), 3);
    journal.undo(noted[0].id).await.unwrap();
    assert_eq!(journal.list(&ConflictQuery::new()).await.unwrap(), []);
    settle(&[&a, &b], &log).await;
    assert_in_step(&[&a, &b]).await;
    let expected =
        json!({"id": "p", "name": "n", "street": "street of a", "city": "c", "floor": 3});
    assert_eq!(person(&a).await, expected);
}

#[tokio::test(start_paused = true)]
async fn only_what_belongs_together_is_logged_together() {
    let (a, _) = pair().await;
    a.update("person", json!({}), json!({"name": "x"})).await;
    a.update("person", json!({}), json!({"city": "y", "name": "z"})).await;
    // Changed and deleted at once: what is not there any more needs no companions.
    let changes = Changes::new().set("city", "gone");
    let batch = Batch::new().update("person", Filter::All, changes).delete("person", Filter::All);
    a.storage.execute(batch).await.unwrap();
    let log = log_of(&a).await;
    let fields: Vec<Vec<String>> = log
        .iter()
        .flat_map(|it| it.entries.iter().map(|entry| &it.shapes[entry.shape]))
        .map(|shape| shape.fields.iter().map(ToString::to_string).collect())
        .collect();
    let expected: [&[&str]; 4] =
        [&["id", "name"], &["id", "city", "name", "street", "floor"], &["id", "city"], &["id"]];
    assert_eq!(fields, expected);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_cannot_be_is_refused_when_the_storage_is_opened() {
    let refused = async |sync_log: SyncLog| -> String {
        let registry = schema().build().unwrap();
        let storage =
            Storage::builder(MemoryBackend::new(), registry, Arc::new(TestRuntime::new(1)))
                .middleware(AutoPk::new())
                .middleware(sync_log)
                .open();
        storage.await.map(drop).unwrap_err().to_string()
    };
    let said = refused(SyncLog::new().together("person", ["street", "nothing"])).await;
    assert!(said.contains("`nothing`"), "{said}");
    let said = refused(SyncLog::new().together("person", ["street", "id"])).await;
    assert!(said.contains("primary key"), "{said}");
    let said = refused(together().together("person", ["name", "city"])).await;
    assert!(said.contains("`city`") && said.contains("two groups"), "{said}");
    let said = refused(together().strategy("person", "floor", Merging::Max)).await;
    assert!(said.contains("`floor`") && said.contains("strategy"), "{said}");
}

#[derive(Debug, Clone)]
enum Act {
    Update { device: usize, fields: [bool; 4] },
    Increment { device: usize },
    Put { device: usize },
    Exchange { device: usize },
    Pump { from: usize, to: usize },
    Clock { device: usize, by: i64 },
}

fn act() -> impl Strategy<Value = Act> {
    let device = 0..3_usize;
    prop_oneof![
        6 => (device.clone(), any::<[bool; 4]>()).prop_map(|(device, fields)| Act::Update { device, fields }),
        1 => device.clone().prop_map(|device| Act::Increment { device }),
        1 => device.clone().prop_map(|device| Act::Put { device }),
        4 => device.clone().prop_map(|device| Act::Exchange { device }),
        2 => (device.clone(), device.clone()).prop_map(|(from, to)| Act::Pump { from, to }),
        2 => (device, -5_000..5_000_i64).prop_map(|(device, by)| Act::Clock { device, by }),
    ]
}

/// Every group of values that somebody has seen is one that somebody has written.
async fn play(acts: &[Act]) {
    let log = shared_log();
    let devices = [device(1).await, device(2).await, device(3).await];
    let all: Vec<&Device> = devices.iter().collect();
    let first = json!({"id": "p", "name": "n", "street": "s", "city": "c", "floor": 0});
    devices[0].create("person", first).await;
    settle(&all, &log).await;
    let group = |person: &Json| {
        person
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .filter(|(name, _)| name != "name")
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
    };
    let mut written = vec![group(&person(&devices[0]).await)];
    for (n, act) in acts.iter().enumerate() {
        match act {
            Act::Update { device, fields } => {
                let values = [
                    ("name", json!(n.to_string())),
                    ("street", json!(n.to_string())),
                    ("city", json!(n.to_string())),
                    ("floor", json!(n)),
                ];
                let changes: serde_json::Map<String, Json> = values
                    .into_iter()
                    .zip(fields)
                    .filter(|(_, wanted)| **wanted)
                    .map(|((name, value), _)| (name.to_owned(), value))
                    .collect();
                if !changes.is_empty() {
                    update(&devices[*device], changes.into()).await;
                }
                written.push(group(&person(&devices[*device]).await));
            }
            Act::Increment { device } => {
                update(&devices[*device], json!({"floor": {"$inc": 100}})).await;
                written.push(group(&person(&devices[*device]).await));
            }
            Act::Put { device } => {
                let row = storex_core::Record::new(vec![
                    "p".into(),
                    "put".into(),
                    n.to_string().into(),
                    "put".into(),
                    storex_core::Value::Null,
                ]);
                let step = storex_core::Step::create_or(
                    "person",
                    vec![row],
                    storex_core::OnConflict::Replace,
                );
                devices[*device].storage.execute(Batch::new().step(step)).await.unwrap();
                written.push(group(&person(&devices[*device]).await));
            }
            Act::Exchange { device } => drop(devices[*device].sync(&log).await),
            Act::Pump { from, to } if from != to => drop(pump(all[*from], all[*to]).await),
            Act::Pump { .. } => {}
            Act::Clock { device, by } => devices[*device].runtime.advance(*by),
        }
        for device in &devices {
            let group = group(&person(device).await);
            assert!(written.contains(&group), "{group:?} is mixed of {written:?}");
        }
    }
    settle(&all, &log).await;
    assert_in_step(&all).await;
    assert!(written.contains(&group(&person(&devices[0]).await)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_mixes_groups(acts in prop::collection::vec(act(), 1..25)) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(play(&acts));
    }
}

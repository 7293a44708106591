//! C77 and C78: an update of the program with a new schema, while writes are still to be sent and others have another version.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::sync::Arc;

use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Definition, FieldType, Migration, Query, Registry, Storage, TokioRuntime,
};
use storex_e2e::block_on;
use storex_e2e::place::Place;
use storex_sqlite::{Durability, SqliteBackend};
use storex_sync::{LogId, MemorySharedLog, Sync, SyncLog, SyncReport, WaitsFor};

fn letter() -> Definition {
    Definition::new("letter").field("title", FieldType::String).optional("stars", FieldType::Int)
}

/// The first version has letters and drafts; in the second a field and a collection have other names and a field is new; the third
/// has no memos any more, which is what drafts have become.
fn registry(version: u64) -> Registry {
    let draft = Definition::new("draft").field("text", FieldType::String);
    let mut builder = Registry::builder().collection(letter()).collection(draft);
    if version >= 2 {
        let second = Definition::new("letter")
            .version(2)
            .field("subject", FieldType::String)
            .optional("stars", FieldType::Int)
            .optional("colour", FieldType::String);
        let memo = Definition::new("memo").version(2).field("text", FieldType::String);
        builder = builder
            .collection(second)
            .collection(memo)
            .migration(Migration::new("letter", 2).rename_field("title", "subject"))
            .migration(Migration::new("memo", 2).renamed_from("draft"));
    }
    if version >= 3 {
        builder = builder.migration(Migration::remove("memo", 3));
    }
    builder.build().unwrap()
}

struct Device {
    storage: Storage,
    place: Arc<Place>,
    name: &'static str,
}

impl Device {
    async fn open(place: &Arc<Place>, name: &'static str, version: u64) -> Self {
        let path = place.file(&format!("{name}.db"));
        let backend = SqliteBackend::builder(path).durability(Durability::Normal).build().unwrap();
        let storage = Storage::builder(backend, registry(version), Arc::new(TokioRuntime))
            .middleware(AutoPk::new())
            .middleware(SyncLog::new())
            .open()
            .await
            .unwrap();
        Self { storage, place: Arc::clone(place), name }
    }

    async fn updated(self, version: u64) -> Self {
        self.storage.close().await.unwrap();
        Self::open(&self.place, self.name, version).await
    }

    async fn create(&self, collection: &str, object: Json) {
        self.storage.dynamic(collection).unwrap().create(object).await.unwrap();
    }

    async fn update(&self, collection: &str, id: &str, changes: Json) {
        let collection = self.storage.dynamic(collection).unwrap();
        collection.update(&json!({"id": id}), &changes).await.unwrap();
    }

    async fn sync(&self, log: &Arc<MemorySharedLog>) -> SyncReport {
        Sync::open(&self.storage, log.clone()).await.unwrap().sync_once().await.unwrap()
    }

    async fn all(&self, collection: &str) -> Vec<Json> {
        self.storage.dynamic(collection).unwrap().find(&json!({})).await.unwrap()
    }

    async fn reasons(&self) -> Vec<String> {
        let parked = storex_sync::parked(&self.storage).await.unwrap();
        parked.into_iter().map(|it| it.reason).collect()
    }
}

async fn settle(devices: &[&Device], log: &Arc<MemorySharedLog>) {
    for _ in 0..2 {
        for device in devices {
            device.sync(log).await;
        }
    }
}

fn log() -> Arc<MemorySharedLog> {
    Arc::new(MemorySharedLog::new(LogId([7; 16])))
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// One that was updated with writes pending, one that is updated before it reads them, one afterwards, and a new one.
#[test]
fn c78_what_was_pending_at_an_update_is_still_sent_and_understood() {
    block_on(async {
        let (place, log) = (Arc::new(Place::new()), log());
        let [a, b, c, _] = NAMES;
        let a = Device::open(&place, a, 1).await;
        let b = Device::open(&place, b, 1).await;
        let c = Device::open(&place, c, 1).await;
        a.create("letter", json!({"id": "1", "title": "sent before", "stars": 1})).await;
        settle(&[&a, &b, &c], &log).await;
        a.create("letter", json!({"id": "2", "title": "pending"})).await;
        a.update("letter", "1", json!({"title": "edited", "stars": {"$inc": 4}})).await;
        a.create("draft", json!({"id": "d", "text": "pending too"})).await;
        let a = a.updated(2).await;
        a.update("letter", "2", json!({"colour": "red"})).await;
        let b = b.updated(2).await;
        a.sync(&log).await;
        c.sync(&log).await;
        let c = c.updated(2).await;
        let d = Device::open(&place, NAMES[3], 2).await;
        let all = [&a, &b, &c, &d];
        settle(&all, &log).await;
        for device in all {
            assert_eq!(device.reasons().await.first(), None, "{}", device.name);
            let letters = [
                json!({"id": "1", "subject": "edited", "stars": 5, "colour": null}),
                json!({"id": "2", "subject": "pending", "stars": null, "colour": "red"}),
            ];
            assert_eq!(device.all("letter").await, letters, "{}", device.name);
            let memo = json!({"id": "d", "text": "pending too"});
            assert_eq!(device.all("memo").await, [memo], "{}", device.name);
        }
    });
}

/// One of the old version goes on writing beside one of the new.
#[test]
fn c77_a_device_of_the_old_version_goes_on_and_is_understood() {
    block_on(async {
        let (place, log) = (Arc::new(Place::new()), log());
        let old = Device::open(&place, "old", 1).await;
        let new = Device::open(&place, "new", 2).await;
        old.create("letter", json!({"id": "1", "title": "of the old one"})).await;
        settle(&[&old, &new], &log).await;
        assert_eq!(new.all("letter").await[0]["subject"], "of the old one");
        new.create("letter", json!({"id": "2", "subject": "of the new one", "colour": "red"}))
            .await;
        new.update("letter", "1", json!({"colour": "blue"})).await;
        old.update("letter", "1", json!({"title": "edited by the old one"})).await;
        settle(&[&old, &new], &log).await;
        let parked = storex_sync::parked(&old.storage).await.unwrap();
        assert!(parked.iter().all(|it| it.waits_for == WaitsFor::Update), "{parked:?}");
        assert_eq!(new.all("letter").await[0]["subject"], "edited by the old one");
        // Whatever it could not understand is there once it is updated.
        let updated = old.updated(2).await;
        settle(&[&updated, &new], &log).await;
        assert_eq!(updated.reasons().await.first(), None);
        assert_eq!(updated.all("letter").await, new.all("letter").await);
    });
}

/// A collection is dropped while writes to it are pending, and others go on writing to theirs, more than may be parked.
#[test]
fn c78_sync_goes_on_when_a_collection_is_dropped() {
    block_on(async {
        let (place, log) = (Arc::new(Place::new()), log());
        let a = Device::open(&place, "a", 2).await;
        let b = Device::open(&place, "b", 2).await;
        a.create("memo", json!({"id": "m", "text": "sent before"})).await;
        settle(&[&a, &b], &log).await;
        a.create("memo", json!({"id": "n", "text": "pending"})).await;
        a.create("letter", json!({"id": "1", "subject": "pending"})).await;
        let a = a.updated(3).await;
        assert!(a.storage.find(Query::new("memo")).await.is_err(), "it is gone");
        for n in 0..1100 {
            b.create("memo", json!({"id": format!("{n}"), "text": "of B"})).await;
        }
        b.create("letter", json!({"id": "2", "subject": "of B"})).await;
        settle(&[&a, &b], &log).await;
        assert_eq!((a.all("letter").await.len(), b.all("letter").await.len()), (2, 2));
        assert_eq!(b.all("memo").await.len(), 1102, "whoever has it goes on with it");
        let b = b.updated(3).await;
        let new = Device::open(&place, "new", 3).await;
        settle(&[&a, &b, &new], &log).await;
        b.create("letter", json!({"id": "3", "subject": "afterwards"})).await;
        settle(&[&b, &a, &new], &log).await;
        for device in [&a, &b, &new] {
            assert_eq!(device.all("letter").await.len(), 3, "{}", device.name);
            assert_eq!(device.reasons().await.first(), None, "{}", device.name);
        }
    });
}

//! What the tests share: devices with clocks of their own, a shared log that does what a script says, dumps.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod blobs;
pub mod channel;
pub mod log;
#[cfg(feature = "object-store")]
pub mod objects;
pub mod place;
pub mod slow;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use storex_core::{
    AutoPk, Definition, FieldType, Filter, Query, Record, Registry, RegistryBuilder,
    RelationDefinition, Storage,
};
use storex_memory::{MemoryBackend, TestRuntime};
use storex_sync::{
    InitialSync, InitialSyncReport, LogId, MemoryChannel, MemorySharedLog, Sync, SyncLog,
    SyncReport, Transaction,
};

/// The collections that most tests use.
pub fn schema() -> RegistryBuilder {
    Registry::builder()
        .collection(
            Definition::new("note")
                .field("title", FieldType::String)
                .optional("body", FieldType::Text)
                .optional("stars", FieldType::Int),
        )
        .collection(
            Definition::new("tag")
                .field("owner", FieldType::Int)
                .field("name", FieldType::String)
                .optional("colour", FieldType::String)
                .primary_key(["owner", "name"]),
        )
        .collection(Definition::new("user").field("name", FieldType::String))
        .collection(
            Definition::new("email")
                .field("address", FieldType::String)
                .relation(RelationDefinition::child_of("user")),
        )
        .collection(Definition::new("login").field("name", FieldType::String).unique(["name"]))
        .collection(
            Definition::new("sample")
                .optional("text", FieldType::String)
                .optional("json", FieldType::Json)
                .optional("bytes", FieldType::Binary)
                .optional("float", FieldType::Float)
                .optional("int", FieldType::Int)
                .optional("flag", FieldType::Boolean)
                .optional("at", FieldType::Timestamp)
                .optional("date", FieldType::DateTime),
        )
}

/// A registry with one more collection than [`schema`].
pub fn larger_schema() -> RegistryBuilder {
    schema().collection(Definition::new("extra").field("text", FieldType::String))
}

/// [`schema`] as a newer program has it: with one field more.
pub fn wider_schema() -> RegistryBuilder {
    schema().collection(wider_note())
}

/// Notes as a newer program has them.
pub fn wider_note() -> Definition {
    Definition::new("note")
        .version(2)
        .field("title", FieldType::String)
        .optional("body", FieldType::Text)
        .optional("stars", FieldType::Int)
        .optional("colour", FieldType::String)
}

/// The log that the devices of a test share.
pub fn shared_log() -> Arc<MemorySharedLog> {
    Arc::new(MemorySharedLog::new(LogId([7; 16])))
}

/// A log with another identity than [`shared_log`].
pub fn another_log() -> Arc<MemorySharedLog> {
    Arc::new(MemorySharedLog::new(LogId([8; 16])))
}

/// A device in step with another one, and a copy of it.
pub async fn cloned() -> (Device, Device, Device, Arc<MemorySharedLog>) {
    let log = shared_log();
    let (a, b) = (Device::new(1).await, Device::new(2).await);
    a.note("1", "before").await;
    a.create("note", json!({"id": "n", "title": "a number", "stars": 10})).await;
    settle(&[&a, &b], &log).await;
    let copy = a.copied(3).await;
    (a, b, copy, log)
}

/// A storage with a clock of its own. The data is in `backend`, so the storage can be opened a second time.
#[derive(Debug, Clone)]
pub struct Device {
    pub runtime: Arc<TestRuntime>,
    pub backend: Arc<MemoryBackend>,
    pub storage: Storage,
}

impl Device {
    /// A device with the usual schema. The seed decides its id.
    pub async fn new(seed: u64) -> Self {
        Self::with(seed, schema()).await
    }

    /// A device with a schema of its own.
    pub async fn with(seed: u64, schema: RegistryBuilder) -> Self {
        let runtime = Arc::new(TestRuntime::new(seed));
        let backend = Arc::new(MemoryBackend::new());
        let storage = open(&backend, &runtime, schema, SyncLog::new()).await;
        Self { runtime, backend, storage }
    }

    /// A device whose wall clock is so many milliseconds off.
    pub async fn skewed(seed: u64, milliseconds: i64) -> Self {
        let device = Self::new(seed).await;
        device.runtime.advance(milliseconds);
        device
    }

    /// A device with notes that are older than sync.
    pub async fn with_old_notes(seed: u64, notes: &[Json]) -> Self {
        let runtime = Arc::new(TestRuntime::new(seed));
        let backend = Arc::new(MemoryBackend::new());
        let before = Storage::builder(
            Arc::clone(&backend),
            schema().build().unwrap(),
            Arc::clone(&runtime) as _,
        );
        let before = before.open().await.unwrap();
        before.dynamic("note").unwrap().create_many(notes).await.unwrap();
        let storage = open(&backend, &runtime, schema(), SyncLog::new()).await;
        Self { runtime, backend, storage }
    }

    /// The same data under another schema, as after an update of the program.
    pub async fn reopened(&self, schema: RegistryBuilder) -> Self {
        let storage = open(&self.backend, &self.runtime, schema, SyncLog::new()).await;
        Self { storage, ..self.clone() }
    }

    /// A copy of the database, as of a file that is copied or put back, on a machine with a runtime of its own.
    pub async fn copied(&self, seed: u64) -> Self {
        self.copied_with(seed, schema()).await
    }

    /// The same, under a schema of its own.
    pub async fn copied_with(&self, seed: u64, schema: RegistryBuilder) -> Self {
        let runtime = Arc::new(TestRuntime::new(seed));
        runtime.set(storex_core::Runtime::now(&*self.runtime));
        let backend = Arc::new(self.backend.copied());
        let storage = open(&backend, &runtime, schema, SyncLog::new()).await;
        Self { runtime, backend, storage }
    }

    pub async fn create(&self, collection: &str, object: Json) -> Json {
        self.storage.dynamic(collection).unwrap().create(object).await.unwrap()
    }

    pub async fn update(&self, collection: &str, filter: Json, changes: Json) {
        self.storage.dynamic(collection).unwrap().update(&filter, &changes).await.unwrap();
    }

    pub async fn delete(&self, collection: &str, filter: Json) {
        self.storage.dynamic(collection).unwrap().delete(&filter).await.unwrap();
    }

    /// A note with this key and title.
    pub async fn note(&self, id: &str, title: &str) {
        self.create("note", json!({"id": id, "title": title})).await;
    }

    /// Gives a note another title.
    pub async fn retitle(&self, id: &str, title: &str) {
        self.update("note", json!({"id": id}), json!({"title": title})).await;
    }

    pub async fn get(&self, collection: &str, id: &str) -> Option<Json> {
        self.storage.dynamic(collection).unwrap().get(id).await.unwrap()
    }

    /// The title of a note, if it is there.
    pub async fn title(&self, id: &str) -> Option<String> {
        let note = self.get("note", id).await?;
        note["title"].as_str().map(str::to_owned)
    }

    /// Joins a log.
    pub async fn join(&self, log: &Arc<impl storex_sync::SharedSyncLog>) -> Sync {
        Sync::open(&self.storage, Arc::clone(log) as _).await.unwrap()
    }

    /// One exchange.
    pub async fn sync(&self, log: &Arc<impl storex_sync::SharedSyncLog>) -> SyncReport {
        self.join(log).await.sync_once().await.unwrap()
    }
}

pub async fn open(
    backend: &Arc<MemoryBackend>,
    runtime: &Arc<TestRuntime>,
    schema: RegistryBuilder,
    sync_log: SyncLog,
) -> Storage {
    let registry = schema.build().unwrap();
    Storage::builder(Arc::clone(backend), registry, Arc::clone(runtime) as _)
        .middleware(AutoPk::new())
        .middleware(sync_log)
        .open()
        .await
        .unwrap()
}

/// Two exchanges of everybody: the first brings everything to the log, the second from it.
pub async fn settle(devices: &[&Device], log: &Arc<impl storex_sync::SharedSyncLog>) {
    for _ in 0..2 {
        for device in devices {
            device.sync(log).await;
        }
    }
}

/// Everything from one device to another, directly.
pub async fn pump(from: &Device, to: &Device) -> (InitialSyncReport, InitialSyncReport) {
    let (mut here, mut there) = MemoryChannel::pair();
    let sender = InitialSync::open(&from.storage).await.unwrap();
    let receiver = InitialSync::open(&to.storage).await.unwrap();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    (sent.unwrap(), received.unwrap())
}

/// The rows of all collections, by key. What devices must agree on.
pub type Dump = BTreeMap<String, Vec<Record>>;

/// The application's tables.
pub async fn dump(device: &Device) -> Dump {
    dump_where(&device.storage, |reserved| !reserved).await
}

/// All tables, those of sync included, but for a mark that is drawn anew each time.
pub async fn dump_all(device: &Device) -> Dump {
    let mut dump = dump_where(&device.storage, |_| true).await;
    if let Some(meta) = dump.get_mut("_storex_meta") {
        meta.retain(|row| row.get(0).as_text() != Some("undated"));
    }
    dump
}

async fn dump_where(storage: &Storage, wanted: impl Fn(bool) -> bool) -> Dump {
    let mut dump = Dump::new();
    for collection in storage.registry().collections() {
        if wanted(collection.is_reserved()) {
            let mut rows = storage.find(Query::new(Arc::clone(collection.name()))).await.unwrap();
            rows.sort_by_key(|row| collection.key_of(row));
            dump.insert(collection.name().to_string(), rows);
        }
    }
    dump
}

/// All devices hold the same.
pub async fn assert_in_step(devices: &[&Device]) {
    let first = dump(devices[0]).await;
    for (n, device) in devices.iter().enumerate().skip(1) {
        assert_eq!(dump(device).await, first, "device {n} differs from device 0");
    }
}

/// The transactions that a device has still to send.
pub async fn log_of(device: &Device) -> Vec<Transaction> {
    let rows = device.storage.find(Query::new("_storex_log")).await.unwrap();
    let mut transactions: Vec<Transaction> = rows
        .iter()
        .map(|row| Transaction::decode(row.get(1).as_bytes().unwrap()).unwrap())
        .collect();
    transactions.sort_by_key(|transaction| transaction.header.sequence);
    transactions
}

/// How many rows a collection holds.
pub async fn count(device: &Device, collection: &str) -> u64 {
    device.storage.count(Query::new(collection).filter(Filter::All)).await.unwrap()
}

/// How many transactions wait.
pub async fn parked_count(device: &Device) -> usize {
    storex_sync::parked(&device.storage).await.unwrap().len()
}

/// A note as a record, with this key.
pub fn note_record(id: &str) -> Record {
    Record::new(vec![id.into(), "x".into(), storex_core::Value::Null, storex_core::Value::Null])
}

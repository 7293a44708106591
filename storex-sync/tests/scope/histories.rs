//! Random writes, moves and choices of scopes on several devices, one of which holds everything.

use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_oneof, proptest};
use storex_memory::TestRuntime as Runtime;
use storex_sync::{BackendSharedLog, Backfill, Compaction};

use super::*;
use support::pump;

const DEVICES: usize = 4;
const OBJECTS: [&str; 3] = ["a", "b", "c"];
const BOOKS: [&str; 3] = ["x", "y", "z"];

#[derive(Debug, Clone)]
enum Act {
    Put { device: usize, object: usize, book: usize },
    Shift { device: usize, object: usize, book: usize },
    Retitle { device: usize, object: usize },
    Count { device: usize, object: usize },
    Tag { device: usize, object: usize },
    Delete { device: usize, object: usize },
    Subscribe { device: usize, books: u8 },
    Send { device: usize },
    Receive { device: usize },
    Pump { from: usize, to: usize },
    Sync { device: usize },
    Compact,
}

/// Where the transactions are. Not all of them give them in one order for all devices.
#[derive(Debug, Clone, Copy)]
enum Log {
    Memory,
    Backend,
    #[cfg(feature = "object-store")]
    Objects,
}

fn log() -> impl Strategy<Value = Log> {
    prop_oneof![
        Just(Log::Memory),
        Just(Log::Backend),
        #[cfg(feature = "object-store")]
        Just(Log::Objects),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let device = || 0..DEVICES;
    let object = || 0..OBJECTS.len();
    let book = || 0..BOOKS.len();
    prop_oneof![
        3 => (device(), object(), book()).prop_map(|(device, object, book)| Act::Put { device, object, book }),
        4 => (device(), object(), book()).prop_map(|(device, object, book)| Act::Shift { device, object, book }),
        3 => (device(), object()).prop_map(|(device, object)| Act::Retitle { device, object }),
        2 => (device(), object()).prop_map(|(device, object)| Act::Count { device, object }),
        2 => (device(), object()).prop_map(|(device, object)| Act::Tag { device, object }),
        1 => (device(), object()).prop_map(|(device, object)| Act::Delete { device, object }),
        // The first device holds everything all the time.
        2 => (1..DEVICES, 0u8..16).prop_map(|(device, books)| Act::Subscribe { device, books }),
        1 => device().prop_map(|device| Act::Send { device }),
        5 => device().prop_map(|device| Act::Sync { device }),
        1 => Just(Act::Compact),
        1 => (device(), device()).prop_map(|(from, to)| Act::Pump { from, to }),
    ]
}

/// What only moves objects, and adds to a number in them.
fn counting() -> impl Strategy<Value = Act> {
    let device = || 0..DEVICES;
    let (object, book) = (|| 0..1_usize, || 0..2_usize);
    prop_oneof![
        5 => (device(), object(), book()).prop_map(|(device, object, book)| Act::Shift { device, object, book }),
        5 => (device(), object()).prop_map(|(device, object)| Act::Count { device, object }),
        2 => (1..DEVICES, 0u8..16).prop_map(|(device, books)| Act::Subscribe { device, books }),
        4 => device().prop_map(|device| Act::Send { device }),
        4 => device().prop_map(|device| Act::Receive { device }),
        1 => (device(), device()).prop_map(|(from, to)| Act::Pump { from, to }),
        3 => device().prop_map(|device| Act::Sync { device }),
    ]
}

struct World {
    devices: Vec<Device>,
    log: Arc<dyn SharedSyncLog>,
    /// What each of them is to hold; `None`: everything.
    chosen: Vec<Option<Vec<&'static str>>>,
    count: u32,
    /// What was added to the number of each object.
    added: BTreeMap<&'static str, u32>,
}

impl World {
    async fn new(log: Log) -> Self {
        let runtime = Arc::new(Runtime::new(99));
        let log: Arc<dyn SharedSyncLog> = match log {
            Log::Memory => shared_log(),
            Log::Backend => {
                Arc::new(BackendSharedLog::open(MemoryBackend::new(), runtime).await.unwrap())
            }
            #[cfg(feature = "object-store")]
            Log::Objects => {
                let store = storex_sync::object_store::memory::InMemory::new();
                let store = Arc::new(store);
                Arc::new(storex_sync::ObjectSharedLog::open(store, runtime).await.unwrap())
            }
        };
        let mut devices = Vec::new();
        for seed in 0..DEVICES as u64 {
            devices.push(device(seed + 1).await);
        }
        Self { devices, log, chosen: vec![None; DEVICES], count: 0, added: BTreeMap::new() }
    }

    async fn sync_of(&self, device: usize) -> Sync {
        Sync::open(&self.devices[device].storage, Arc::clone(&self.log)).await.unwrap()
    }

    async fn act(&mut self, act: &Act) {
        self.count += 1;
        let count = self.count;
        let update = |device: usize, object: usize, changes: Json| {
            let device = self.devices[device].clone();
            async move { device.update("note", json!({"id": OBJECTS[object]}), changes).await }
        };
        match *act {
            Act::Put { device, object, book } => {
                let device = &self.devices[device];
                device.runtime.advance(1);
                if device.get("note", OBJECTS[object]).await.is_none() {
                    let title = format!("put {count}");
                    device
                        .create(
                            "note",
                            json!({"id": OBJECTS[object], "title": title, "notebook": BOOKS[book]}),
                        )
                        .await;
                }
            }
            Act::Shift { device, object, book } => {
                self.devices[device].runtime.advance(i64::from(count % 3));
                update(device, object, json!({"notebook": BOOKS[book]})).await;
            }
            Act::Retitle { device, object } => {
                update(device, object, json!({"title": format!("title {count}")})).await;
            }
            Act::Count { device, object } => {
                if self.devices[device].get("note", OBJECTS[object]).await.is_some() {
                    *self.added.entry(OBJECTS[object]).or_default() += count;
                }
                update(device, object, json!({"stars": {"$inc": count}})).await;
            }
            Act::Tag { device, object } => {
                if let Some(note) = self.devices[device].get("note", OBJECTS[object]).await {
                    let mut tags = note["tags"].as_array().cloned().unwrap_or_default();
                    tags.push(json!(count));
                    update(device, object, json!({"tags": tags})).await;
                }
            }
            Act::Delete { device, object } => {
                self.devices[device].delete("note", json!({"id": OBJECTS[object]})).await;
            }
            Act::Subscribe { device, books } => {
                let bits = |at: &usize| books & (1 << *at) != 0;
                let some = (0..BOOKS.len()).filter(bits).map(|at| BOOKS[at]).collect::<Vec<_>>();
                let chosen = (books < 8).then_some(some);
                let scope = chosen.clone().map_or(Scope::All, Scope::only);
                self.sync_of(device).await.subscribe("note", scope).await.unwrap();
                self.chosen[device] = chosen;
            }
            Act::Pump { from, to } if from == to => {}
            Act::Pump { from, to } => {
                pump(&self.devices[from], &self.devices[to]).await;
            }
            Act::Receive { device } => {
                self.sync_of(device).await.receive_once().await.unwrap();
            }
            Act::Send { device } => drop(self.sync_of(device).await.send_once().await.unwrap()),
            Act::Sync { device } => drop(self.sync_of(device).await.sync_once().await.unwrap()),
            Act::Compact => {
                let eager = Compaction { least: 1, most_behind: None };
                self.sync_of(0).await.compaction(eager).compact().await.unwrap();
            }
        }
    }

    async fn check(&self) {
        for _ in 0..6 {
            for device in 0..DEVICES {
                self.sync_of(device).await.sync_once().await.unwrap();
            }
        }
        let everything = held(&self.devices[0]).await;
        for (n, device) in self.devices.iter().enumerate() {
            let mut wanted = everything.clone();
            if let Some(books) = &self.chosen[n] {
                wanted.retain(|_, note| books.iter().any(|book| note["notebook"] == *book));
            }
            assert_eq!(held(device).await, wanted, "device {n}, which holds {:?}", self.chosen[n]);
            let sync = self.sync_of(n).await;
            assert_eq!(sync.backfill().await.unwrap(), Backfill::Complete);
            assert_eq!(sync.unsent().await.unwrap(), 0);
            let parked = storex_sync::parked(&device.storage).await.unwrap();
            let reasons: Vec<String> = parked.into_iter().map(|it| it.reason).collect();
            assert_eq!(reasons, [""; 0], "device {n}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_increment_is_lost_or_counted_twice(log in log(), acts in prop::collection::vec(counting(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(log).await;
            for id in OBJECTS {
                let note = json!({"id": id, "title": id, "notebook": "x", "stars": 0});
                world.devices[0].create("note", note).await;
            }
            for device in 0..DEVICES {
                world.act(&Act::Sync { device }).await;
            }
            for act in &acts {
                world.act(act).await;
            }
            world.check().await;
            for (id, note) in held(&world.devices[0]).await {
                let added = world.added.get(&*id).copied().unwrap_or_default();
                assert_eq!(note["stars"], json!(added), "{id}");
            }
        });
    }

    #[test]
    fn c19_each_holds_what_it_has_chosen(log in log(), acts in prop::collection::vec(act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(log).await;
            for act in &acts {
                world.act(act).await;
            }
            world.check().await;
        });
    }
}

//! [`Objects`]: a shared log in an object store, whose objects a test takes away, spoils and brings back.

use std::sync::Arc;

use storex_memory::TestRuntime;
use storex_sync::object_store::memory::InMemory;
use storex_sync::object_store::path::Path;
use storex_sync::object_store::{ObjectStore, ObjectStoreExt};
use storex_sync::{Device, ObjectSharedLog};

pub struct Objects {
    store: Arc<InMemory>,
    pub log: Arc<ObjectSharedLog>,
}

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// It is not there, as before it has arrived.
    Away,
    /// It has arrived in part.
    Cut,
    /// A bit of it is another one.
    Flipped,
}

/// An object as it was.
pub struct Whole {
    pub name: Path,
    bytes: Vec<u8>,
}

impl Objects {
    pub async fn new() -> Self {
        let store = Arc::new(InMemory::new());
        let runtime = Arc::new(TestRuntime::new(99));
        let log = ObjectSharedLog::open(Arc::clone(&store) as _, runtime).await.unwrap();
        Self { store, log: Arc::new(log) }
    }

    /// Does something to the object that begins with this transaction of a device.
    pub async fn harm(&self, harm: Harm, device: Device, sequence: u64) -> Whole {
        let id: String = device.id.iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = Path::from(format!("segments/{id}-{}", device.incarnation));
        let listed = self.store.list_with_delimiter(Some(&folder)).await.unwrap();
        let mut names = listed.objects.into_iter().map(|object| object.location);
        let start = format!("{sequence:020}-");
        let name = names.find(|name| name.filename().unwrap().starts_with(&start)).unwrap();
        let bytes = self.store.get(&name).await.unwrap().bytes().await.unwrap().to_vec();
        let mut harmed = bytes.clone();
        match harm {
            Harm::Away => self.store.delete(&name).await.unwrap(),
            Harm::Cut => harmed.truncate(bytes.len() / 2),
            Harm::Flipped => harmed[bytes.len() - 1] ^= 4,
        }
        if harm != Harm::Away {
            self.store.put(&name, harmed.into()).await.unwrap();
        }
        Whole { name, bytes }
    }

    /// Brings it as it was.
    pub async fn bring(&self, whole: Whole) {
        self.store.put(&whole.name, whole.bytes.into()).await.unwrap();
    }
}

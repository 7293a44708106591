//! The work by storex.

use std::path::Path;
use std::sync::Arc;

use storex_core::{
    Batch, Changes, Filter, Key, Registry, Step, Storage, TokioRuntime, TypedCollection,
};
use storex_sqlite::{Durability, SqliteBackend};
use storex_sync::SyncLog;

use crate::workload::{Note, Update, definition};

/// A device with a sync log.
#[derive(Debug, Clone)]
pub struct Ours {
    /// Its storage.
    pub storage: Storage,
}

impl Ours {
    /// Opens a database.
    pub async fn open(path: &Path, durability: Durability) -> Self {
        let registry = Registry::builder().collection(definition()).build().unwrap();
        let backend = SqliteBackend::builder(path).durability(durability).build().unwrap();
        let storage = Storage::builder(backend, registry, Arc::new(TokioRuntime))
            .middleware(storex_core::AutoPk::new())
            .middleware(SyncLog::new())
            .open()
            .await
            .unwrap();
        Self { storage }
    }

    /// A database as it was before it was synced: no log, no clocks.
    pub async fn open_without_log(path: &Path) -> Self {
        let registry = Registry::builder().collection(definition()).build().unwrap();
        let backend = SqliteBackend::builder(path).durability(Durability::Normal);
        let storage =
            Storage::builder(backend.build().unwrap(), registry, Arc::new(TokioRuntime)).open();
        Self { storage: storage.await.unwrap() }
    }

    fn notes(&self) -> TypedCollection<Note> {
        self.storage.collection::<Note>().unwrap()
    }

    /// How many notes there are.
    pub async fn count(&self) -> u64 {
        self.storage.count(storex_core::Query::new("note")).await.unwrap()
    }

    /// Creates notes in one batch.
    pub async fn create(&self, notes: &[Note]) {
        self.notes().create_many(notes).await.unwrap();
    }

    /// Creates one note.
    pub async fn create_one(&self, note: &Note) {
        self.notes().create(note).await.unwrap();
    }

    /// Changes one field each, in one batch.
    pub async fn update(&self, updates: &[Update]) {
        let steps = updates.iter().map(|update| Step::Update {
            collection: "note".into(),
            filter: Filter::key(update.id.as_str()),
            changes: Changes::new().set(update.field, update.text.as_str()),
        });
        self.storage.execute(steps.collect()).await.unwrap();
    }

    /// Deletes notes in one batch.
    pub async fn delete(&self, ids: &[String]) {
        let keys = ids.iter().map(|id| Key::from(id.as_str())).collect();
        self.storage.execute(Batch::new().delete("note", Filter::Keys(keys))).await.unwrap();
    }

    /// Reads one note.
    pub async fn get(&self, id: &str) -> Option<Note> {
        self.notes().get(id).await.unwrap()
    }

    /// Reads the notes of a time span, in its order.
    pub async fn between(&self, from: i64, to: i64) -> Vec<Note> {
        self.notes()
            .query()
            .filter(
                storex_core::field("created_at")
                    .gte(from)
                    .and(storex_core::field("created_at").lt(to)),
            )
            .order_by("created_at", storex_core::Direction::Ascending)
            .all()
            .await
            .unwrap()
    }
}

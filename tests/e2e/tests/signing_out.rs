//! C76 on a database in a file: relations that the database itself knows, and what a file holds afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

use std::sync::Arc;

use serde_json::json;
use storex_core::{
    AutoPk, Definition, FieldType, OnDelete, Registry, RelationDefinition, Storage, TokioRuntime,
};
use storex_e2e::block_on;
use storex_e2e::place::Place;
use storex_sqlite::SqliteBackend;
use storex_sync::{LogId, MemorySharedLog, Sync, SyncError, SyncLog};

/// Mails keep a user from being deleted; bookmarks are of this device alone, and go with what they point to.
async fn open(place: &Place, name: &str) -> Storage {
    let child = |on_delete| RelationDefinition::child_of("user").on_delete(on_delete);
    let registry = Registry::builder()
        .collection(Definition::new("user").field("name", FieldType::String))
        .collection(
            Definition::new("email")
                .field("address", FieldType::String)
                .relation(child(OnDelete::Restrict)),
        )
        .collection(
            Definition::new("bookmark")
                .field("page", FieldType::Int)
                .relation(child(OnDelete::Cascade)),
        )
        .build()
        .unwrap();
    let backend = SqliteBackend::open(place.file(&format!("{name}.db"))).unwrap();
    Storage::builder(backend, registry, Arc::new(TokioRuntime))
        .middleware(AutoPk::new())
        .middleware(SyncLog::new().local_only(["bookmark"]))
        .open()
        .await
        .unwrap()
}

async fn counts(storage: &Storage) -> [u64; 3] {
    let mut counts = [0; 3];
    for (count, name) in counts.iter_mut().zip(["user", "email", "bookmark"]) {
        *count = storage.dynamic(name).unwrap().count(&json!({})).await.unwrap();
    }
    counts
}

#[test]
fn c76_what_is_local_survives_and_the_file_can_be_used_again() {
    block_on(async {
        let place = Place::new();
        let log = Arc::new(MemorySharedLog::new(LogId([7; 16])));
        let a = open(&place, "a").await;
        let user = json!({"id": "u", "name": "Ada", "emails": [{"address": "a@x"}]});
        a.dynamic("user").unwrap().create(user).await.unwrap();
        let bookmark = json!({"page": 7, "user": "u"});
        a.dynamic("bookmark").unwrap().create(bookmark).await.unwrap();
        let sync = Sync::open(&a, log.clone()).await.unwrap();
        sync.sync_once().await.unwrap();
        a.dynamic("user").unwrap().create(json!({"id": "v", "name": "unsent"})).await.unwrap();
        let unreachable = Arc::new(MemorySharedLog::new(LogId([8; 16])));
        let refused = Sync::open(&a, unreachable).await.unwrap().keep_log().sign_out().await;
        assert!(matches!(refused, Err(SyncError::Unsent { transactions: 1, unlogged: 0 })));
        assert_eq!(counts(&a).await, [2, 1, 1]);
        sync.sign_out().await.unwrap();
        assert_eq!(counts(&a).await, [0, 0, 1]);
        a.close().await.unwrap();

        let a = open(&place, "a").await;
        assert_eq!(counts(&a).await, [0, 0, 1]);
        let sync = Sync::open(&a, log).await.unwrap();
        assert_eq!(sync.sync_once().await.unwrap().received.transactions, 2);
        assert_eq!(counts(&a).await, [2, 1, 1]);
    });
}

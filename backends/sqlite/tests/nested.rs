//! A nested object costs one commit, however many objects it is made of.
#![allow(clippy::unwrap_used)] // these are tests
#![allow(missing_docs)]

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use storex_core::{
    AutoPk, Definition, FieldType, Query, Registry, RelationDefinition, Storage, TokioRuntime,
};
use storex_sqlite::SqliteBackend;

/// How many commits a write-ahead log holds: the frames that tell the database's size after a commit
/// (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).
fn commits(database: &Path) -> usize {
    let log = std::fs::read(format!("{}-wal", database.display())).unwrap();
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let frame = 24 + number(8) as usize;
    let salt = (number(16), number(20));
    (32..)
        .step_by(frame)
        .take_while(|at| at + frame <= log.len() && (number(at + 8), number(at + 12)) == salt)
        .filter(|at| number(at + 4) > 0)
        .count()
}

#[tokio::test]
async fn a_parent_and_ten_children_are_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let child = RelationDefinition::child_of("user");
    let registry = Registry::builder()
        .collection(Definition::new("user").field("name", FieldType::String))
        .collection(Definition::new("email").field("address", FieldType::String).relation(child))
        .build()
        .unwrap();
    let backend = SqliteBackend::open(&path).unwrap();
    let builder = Storage::builder(backend, registry, Arc::new(TokioRuntime));
    let storage = builder.middleware(AutoPk::new()).open().await.unwrap();
    let users = storage.dynamic("user").unwrap();
    users.create(json!({ "name": "first" })).await.unwrap();
    let before = commits(&path);
    let emails: Vec<_> = (0..10).map(|n| json!({ "address": format!("a{n}@b.org") })).collect();
    users.create(json!({ "name": "Ann", "emails": emails })).await.unwrap();
    assert_eq!(commits(&path), before + 1);
    assert_eq!(storage.count(Query::new("email")).await.unwrap(), 10);
    storage.close().await.unwrap();
}

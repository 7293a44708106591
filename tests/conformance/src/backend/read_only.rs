//! [`ReadOnly`]: nothing is written, by whatever way.

use std::sync::Arc;

use serde_json::json;
use storex_core::{
    Batch, Changes, Definition, ErrorKind, FieldType, Filter, Middleware, Module, OnDelete, Query,
    ReadOnly, Step, Storage,
};

use crate::Harness;
use crate::support::{OBJECT, numbered, record, records, refused, registry};

fn set(n: i64) -> Changes {
    Changes::new().set("n", n)
}

/// One object, which came before: what is applied passes no middleware.
async fn one(h: &Harness, guard: ReadOnly) -> Storage {
    let open = Definition::new("open").field("id", FieldType::Int).primary_key(["id"]);
    let chain: Vec<Arc<dyn Middleware>> = vec![Arc::new(guard)];
    let storage = h.open_with(registry([numbered(), open]), chain).await;
    storage.apply(Batch::new().create(OBJECT, vec![record![1, 1]])).await.unwrap();
    storage
}

pub async fn every_write_is_refused(h: Harness) {
    let storage = one(&h, ReadOnly::new()).await;
    let update =
        || Step::Update { collection: OBJECT.into(), filter: Filter::All, changes: set(2) };
    let batches = [
        Batch::new().create(OBJECT, vec![record![2, 2]]),
        Batch::new().step(update()),
        Batch::new().delete(OBJECT, Filter::All),
        Batch::new().delete(OBJECT, Filter::key(9)),
        Batch::new().find(Query::new(OBJECT)).then(move |_| Ok(vec![update()])),
        Batch::new().touching([OBJECT]).then(|_| {
            Ok(vec![Step::then(|_| Ok(vec![Step::create(OBJECT, vec![record![3, 3]])]))])
        }),
    ];
    for batch in batches {
        refused(storage.execute(batch).await, ErrorKind::ReadOnly, &[OBJECT, "only be read"]);
    }
    assert_eq!(records(&storage, OBJECT).await, [record![1, 1]]);
}

pub async fn reads_go_on(h: Harness) {
    let storage = one(&h, ReadOnly::new()).await;
    assert_eq!(storage.count(Query::new(OBJECT)).await.unwrap(), 1);
    let batch = Batch::new().find(Query::new(OBJECT)).then(|trace| {
        assert_eq!(trace.found(0), [record![1, 1]]);
        Ok(vec![Step::Count(Query::new(OBJECT))])
    });
    assert_eq!(storage.execute(batch).await.unwrap().executed().len(), 2);
}

/// What a batch wrote elsewhere before is taken back.
pub async fn only_the_collections_named_may_not_be_written(h: Harness) {
    let storage = one(&h, ReadOnly::collections([OBJECT])).await;
    storage.execute(Batch::new().create("open", vec![record![1]])).await.unwrap();
    let batch = Batch::new().create("open", vec![record![2]]).touching([OBJECT]).then(|_| {
        let delete = Step::Delete { collection: OBJECT.into(), filter: Filter::All };
        Ok(vec![Step::create("open", vec![record![3]]), delete])
    });
    refused(storage.execute(batch).await, ErrorKind::ReadOnly, &[OBJECT]);
    assert_eq!(records(&storage, "open").await, [record![1]]);
    assert_eq!(records(&storage, OBJECT).await, [record![1, 1]]);
    let result = h.try_open(registry([]), vec![Arc::new(ReadOnly::collections(["x"]))]).await;
    refused(result, ErrorKind::NotFound, &["x"]);
}

/// A delete that would take guarded objects with it is refused.
pub async fn cascades_are_refused(h: Harness) {
    let keyed = |name: &str| Definition::new(name).field("id", FieldType::Int).primary_key(["id"]);
    let track = keyed("track").field("album", FieldType::Int);
    let music = registry([
        keyed("album"),
        track.foreign_key(["album"], "album", ["id"], OnDelete::Cascade),
    ]);
    let guard = ReadOnly::collections(["track"]);
    let storage = h.open_with(music, vec![Arc::new(guard)]).await;
    let objects =
        Batch::new().create("album", vec![record![1]]).create("track", vec![record![7, 1]]);
    storage.apply(objects).await.unwrap();
    let result = storage.execute(Batch::new().delete("album", Filter::All)).await;
    refused(result, ErrorKind::ReadOnly, &["track"]);
    assert_eq!(records(&storage, "album").await, [record![1]]);
    assert_eq!(records(&storage, "track").await, [record![7, 1]]);
}

/// Those of the backend, since nobody knows what they write; what a registered one writes is refused by itself.
pub async fn custom_operations(h: Harness) {
    let module = Module::new("numbers")
        .operation("numbers:count", |storage: Storage, _| async move {
            Ok(json!(storage.count(Query::new(OBJECT)).await?))
        })
        .operation("numbers:clear", |storage: Storage, _| async move {
            storage.execute(Batch::new().delete(OBJECT, Filter::All)).await?;
            Ok(json!("cleared"))
        });
    let builder = Storage::builder(h.backend(), registry([numbered()]), h.shared_runtime());
    let storage = builder.module(module).middleware(ReadOnly::new()).open().await.unwrap();
    storage.apply(Batch::new().create(OBJECT, vec![record![1, 1]])).await.unwrap();
    let result = storage.custom("integrity_check", json!(null)).await;
    refused(result, ErrorKind::ReadOnly, &["integrity_check", "only be read"]);
    assert_eq!(storage.custom("numbers:count", json!(null)).await.unwrap(), 1);
    let result = storage.custom("numbers:clear", json!(null)).await;
    refused(result, ErrorKind::ReadOnly, &[OBJECT]);
    assert_eq!(records(&storage, OBJECT).await, [record![1, 1]]);
}

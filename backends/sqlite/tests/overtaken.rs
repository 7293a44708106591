//! A program that has the database open while another one brings it to a newer schema.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)]

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use storex_core::{
    Aggregate, Aggregation, Backend, Batch, Definition, Error, FieldType, Filter, Migration, Query,
    Record, Registry, Result, Value, field,
};
use storex_sqlite::SqliteBackend;

fn pair(version: u64) -> Definition {
    let pair = Definition::new("pair").version(version).field("id", FieldType::Int);
    pair.primary_key(["id"]).field("a", FieldType::Int).field("b", FieldType::Int)
}

fn old() -> Arc<Registry> {
    Arc::new(Registry::builder().collection(pair(1)).build().unwrap())
}

/// Both columns are there afterwards, and each holds what the other one held.
fn new() -> Arc<Registry> {
    let swapped = Migration::new("pair", 2).rename_field("a", "b").rename_field("b", "a");
    let builder = Registry::builder().collections([pair(1), pair(2)]);
    Arc::new(builder.migration(swapped).build().unwrap())
}

async fn open(path: &Path, registry: Arc<Registry>) -> SqliteBackend {
    let backend = SqliteBackend::open(path).unwrap();
    backend.open(registry).await.unwrap();
    backend
}

/// A database of the old schema, open.
async fn made(path: &Path) -> SqliteBackend {
    let backend = open(path, old()).await;
    let rows = (1..=100_i64).map(|id| Record::new(vec![id.into(), 1.into(), 2.into()]));
    backend.execute(Batch::new().create("pair", rows.collect())).await.unwrap();
    backend
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::NewerSchema { stored: 2, known: 1, .. }), "{error}");
}

/// By a few keys (on the caller's thread), by a filter (on a reader's), counted, summed up; with statements that were used
/// before and with such as were not.
#[tokio::test]
async fn reads_of_columns_that_changed_names_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    for used_before in [true, false] {
        let path = path.with_extension(used_before.to_string());
        let overtaken = made(&path).await;
        let queries = [
            Query::new("pair").filter(Filter::key(1)),
            Query::new("pair").filter(field("a").eq(1)),
            Query::new("pair"),
        ];
        let sum = || Aggregation::new("pair").value(Aggregate::Sum("a".into()));
        if used_before {
            for query in &queries {
                overtaken.find(query.clone()).await.unwrap();
                overtaken.count(query.clone()).await.unwrap();
            }
            overtaken.aggregate(sum(), &old()).await.unwrap();
        }
        let newer = open(&path, new()).await;
        for _ in 0..2 {
            for query in &queries {
                refused(overtaken.find(query.clone()).await);
                refused(overtaken.count(query.clone()).await);
            }
            refused(overtaken.aggregate(sum(), &old()).await);
            refused(overtaken.execute(Batch::new().find(Query::new("pair"))).await);
        }
        let found = newer.find(Query::new("pair").filter(Filter::key(1))).await.unwrap();
        assert_eq!(found, [Record::new(vec![1.into(), Value::from(2), 1.into()])]);
        newer.close().await.unwrap();
        overtaken.close().await.unwrap();
    }
}

/// What the application does to the schema by hand is its own affair.
#[tokio::test]
async fn changes_of_the_schema_that_are_not_ours_do_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = made(&path).await;
    let by_hand = Connection::open(&path).unwrap();
    let query = || Query::new("pair").filter(field("a").eq(1));
    for sql in
        ["CREATE INDEX mine ON pair (a)", "CREATE TABLE other (x)", "DROP INDEX mine", "VACUUM"]
    {
        by_hand.execute_batch(sql).unwrap();
        for _ in 0..2 {
            assert_eq!(backend.count(query()).await.unwrap(), 100, "{sql}");
            assert_eq!(
                backend.find(Query::new("pair").filter(Filter::key(7))).await.unwrap().len(),
                1
            );
        }
    }
    drop(by_hand);
    open(&path, new()).await.close().await.unwrap();
    refused(backend.count(query()).await);
}

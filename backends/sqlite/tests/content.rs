//! What random filters seldom meet: sums at their limits, damaged cells, texts in UTF-16, and what an update gives back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::sync::Arc;

use rusqlite::Connection;
use storex_core::{
    Aggregate, Aggregation, Backend, Batch, Changes, Definition, ErrorKind, FieldType, Filter,
    Query, Record, Registry, StepOutcome, Value, field,
};
use storex_sqlite::SqliteBackend;
use support::{Pair, record};

fn registry() -> Registry {
    Registry::builder()
        .collection(
            Definition::new("thing")
                .field("id", FieldType::Int)
                .primary_key(["id"])
                .field("kind", FieldType::String)
                .optional("n", FieldType::Int)
                .optional("x", FieldType::Float)
                .optional("data", FieldType::Json)
                .index(["kind"])
                .index(["n"]),
        )
        .build()
        .unwrap()
}

fn thing(id: i64, kind: &str, n: Option<i64>) -> Record {
    record([id.into(), kind.into(), n.into(), Value::from(0.5), Value::Null])
}

/// The same in memory, by core's own arithmetic.
async fn aggregate(pair: &Pair, aggregation: Aggregation) -> Result<Vec<Record>, String> {
    let words = |outcome: storex_core::Result<Vec<Record>>| outcome.map_err(|it| it.to_string());
    let got = words(pair.sqlite.aggregate(aggregation.clone(), &pair.registry).await);
    assert_eq!(got, words(pair.memory.aggregate(aggregation, &pair.registry).await));
    got
}

#[tokio::test]
async fn sums_are_exact_and_never_wrap() {
    let pair = Pair::open(registry()).await;
    let sum = || {
        Aggregation::new("thing")
            .value(Aggregate::Sum("n".into()))
            .value(Aggregate::Sum("x".into()))
            .value(Aggregate::Max("n".into()))
            .value(Aggregate::Count)
    };
    let nothing = record([0.into(), Value::from(0.0), Value::Null, 0.into()]);
    assert_eq!(aggregate(&pair, sum()).await.unwrap(), [nothing]);
    // On the way the sum leaves the range, at the end it is in it again; no float could hold it.
    let things = vec![
        thing(1, "a", Some(i64::MAX)),
        thing(2, "a", Some(1)),
        thing(3, "b", Some(-2)),
        thing(4, "b", None),
    ];
    pair.execute(Batch::new().create("thing", things)).await.unwrap();
    let all = record([(i64::MAX - 1).into(), Value::from(2.0), i64::MAX.into(), 4.into()]);
    assert_eq!(aggregate(&pair, sum()).await.unwrap(), [all]);
    let of_a = sum().filter(field("kind").eq("a"));
    let error = aggregate(&pair, of_a).await.unwrap_err();
    assert!(error.contains("the sum 9223372036854775808 leaves the range"), "{error}");
    let kinds = aggregate(&pair, Aggregation::new("thing").by(["kind"])).await.unwrap();
    assert_eq!(kinds, [record(["a".into()]), record(["b".into()])]);
}

#[tokio::test]
async fn an_update_tells_the_objects_where_it_is_asked_to() {
    let pair = Pair::open(registry()).await;
    let things = (0..6).rev().map(|id| thing(id, if id % 2 == 0 { "even" } else { "odd" }, None));
    pair.execute(Batch::new().create("thing", things.collect())).await.unwrap();
    let changes = || Changes::new().set("n", 7).returning();
    let batch = Batch::new().update("thing", field("kind").eq("even"), changes());
    let outcome = pair.execute(batch).await.unwrap();
    let StepOutcome::Updated { keys, records, .. } = &outcome.executed()[0].outcome else {
        panic!()
    };
    assert_eq!(keys.len(), 3);
    assert_eq!(*records, [0, 2, 4].map(|id| thing(id, "even", Some(7))));
    // By key, and by a filter that SQLite does not take.
    let deep = (0..300).fold(field("kind").eq("odd"), |filter, _| filter.negate());
    for filter in [Filter::Keys(vec![5.into(), 0.into(), 9.into()]), deep] {
        let batch = Batch::new().update("thing", filter, Changes::new().set("x", 1.5).returning());
        pair.execute(batch).await.unwrap();
    }
}

#[tokio::test]
async fn json_that_is_none_is_reported_and_not_taken_for_something_else() {
    let pair = Pair::open(registry()).await;
    pair.execute(Batch::new().create("thing", vec![thing(1, "a", None)])).await.unwrap();
    let other = Connection::open(pair.path()).unwrap();
    other.execute("UPDATE thing SET data = '[1, '", []).unwrap();
    for filter in [field("data").contains(1), field("data").has_size(9).negate()] {
        let error = pair.sqlite.find(Query::new("thing").filter(filter)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

/// The order of texts in UTF-16 is not the one that a prefix as a range would need.
#[tokio::test]
async fn prefixes_are_found_in_a_database_of_utf_16() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "PRAGMA encoding = 'UTF-16le';
             CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
             INSERT INTO t(name) VALUES ('ab'), ('abc'), ('aŢ'), ('aÿ'), ('aÿz'), ('b');",
        )
        .unwrap();
    let definitions = storex_sqlite::adopt(&path).unwrap().definitions;
    let registry = Registry::builder().collections(definitions).build().unwrap();
    let backend = SqliteBackend::open(&path).unwrap();
    backend.open(Arc::new(registry)).await.unwrap();
    for (prefix, count) in [("ab", 2), ("aÿ", 2), ("a", 5), ("", 6)] {
        let query = Query::new("t").filter(field("name").starts_with(prefix));
        assert_eq!(backend.find(query).await.unwrap().len(), count, "{prefix}");
    }
}

/// A search in a table of somebody else leaves nothing behind in it.
#[tokio::test]
async fn an_adopted_table_gets_no_search_index() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let other = Connection::open(&path).unwrap();
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); CREATE INDEX i ON t(name);
        INSERT INTO t(name) VALUES ('Red fox'), ('grey wolf')";
    other.execute_batch(sql).unwrap();
    let definitions = storex_sqlite::adopt(&path).unwrap().definitions;
    let registry = Registry::builder().collections(definitions).build().unwrap();
    let backend = SqliteBackend::open(&path).unwrap();
    backend.open(Arc::new(registry)).await.unwrap();
    let query = Query::new("t").filter(field("name").search("RED"));
    assert_eq!(backend.find(query).await.unwrap().len(), 1);
    let count: i64 =
        other.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2, "the table and its index");
}

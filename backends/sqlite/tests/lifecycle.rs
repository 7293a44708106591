//! Opening, closing, durability, and what the schema on disk must be like.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use rusqlite::Connection;
use serde_json::json;
use storex_core::{
    Backend, Batch, Changes, CustomOperation, Definition, Error, ErrorKind, FieldType, Filter,
    KeyFormat, Query, Registry, Result, Storage, TokioRuntime, Value, field,
};
use storex_sqlite::{Durability, SqliteBackend};
use support::record;

fn note() -> Definition {
    Definition::new("note")
        .field("title", FieldType::String)
        .optional("n", FieldType::Int)
        .index(["n"])
        .unique(["title", "n"])
}

fn registry(definitions: impl IntoIterator<Item = Definition>) -> Arc<Registry> {
    Arc::new(Registry::builder().collections(definitions).build().unwrap())
}

fn create(id: &str) -> Batch {
    Batch::new().create("note", vec![record([id.into(), id.into(), 1.into()])])
}

async fn opened(path: &Path) -> SqliteBackend {
    let backend = SqliteBackend::open(path).unwrap();
    backend.open(registry([note()])).await.unwrap();
    backend
}

fn beside(path: &Path, suffix: &str) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    Path::new(&name).exists()
}

/// Everything in the schema, and the counter that every change of it moves.
fn schema(path: &Path) -> (i64, Vec<String>) {
    let conn = Connection::open(path).unwrap();
    let version = conn.query_row("PRAGMA schema_version", [], |row| row.get(0)).unwrap();
    let mut sql =
        conn.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
    let sql = sql.query_map([], |row| row.get(0)).unwrap().map(rusqlite::Result::unwrap).collect();
    (version, sql)
}

#[tokio::test]
async fn closing_leaves_no_lock_and_no_log_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = opened(&path).await;
    backend.execute(create("a")).await.unwrap();
    backend.find(Query::new("note").filter(field("n").eq(1))).await.unwrap();
    backend.find(Query::new("note").filter(Filter::key("a"))).await.unwrap();
    assert!(beside(&path, "-wal"));
    backend.close().await.unwrap();
    assert!(!beside(&path, "-wal") && !beside(&path, "-shm"));
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; DELETE FROM note; COMMIT",
    )
    .unwrap();
    backend.close().await.unwrap();

    let closed = |result: Result<()>| assert!(matches!(result, Err(Error::Closed)), "{result:?}");
    closed(backend.find(Query::new("note")).await.map(|_| ()));
    closed(backend.find(Query::new("note").filter(Filter::key("a"))).await.map(|_| ()));
    closed(backend.count(Query::new("note")).await.map(|_| ()));
    closed(backend.execute(create("b")).await.map(|_| ()));
    closed(backend.flush().await);
    let check = CustomOperation { name: "integrity_check".into(), arguments: json!({}) };
    closed(backend.custom(check).await.map(|_| ()));
}

#[tokio::test]
async fn a_backend_that_is_dropped_lets_go_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = opened(&path).await;
    backend.execute(create("a")).await.unwrap();
    backend.count(Query::new("note")).await.unwrap();
    drop(backend);
    assert!(!beside(&path, "-wal"));
    let backend = opened(&path).await;
    assert_eq!(backend.count(Query::new("note")).await.unwrap(), 1);
}

#[tokio::test]
async fn a_backend_never_opened_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = SqliteBackend::open(&path).unwrap();
    assert!(matches!(backend.find(Query::new("note")).await, Err(Error::Closed)));
    backend.close().await.unwrap();
    assert!(!path.exists(), "nothing happens on disk before `open`");
}

#[tokio::test]
async fn opening_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let definitions = || {
        [
            note(),
            Definition::new("a \"quoted\" name, with: signs")
                .key_format(KeyFormat::Int)
                .optional("x,y", FieldType::Float)
                .index(["x,y"]),
            Definition::new("link")
                .field("a", FieldType::Int)
                .field("b", FieldType::Binary)
                .primary_key(["a", "b"]),
            Definition::new("attachment")
                .field("a", FieldType::Int)
                .field("n", FieldType::Int)
                .field("file", FieldType::Blob)
                .primary_key(["a", "n"]),
            Definition::new("_storex_state")
                .field("key", FieldType::String)
                .field("blob", FieldType::Binary)
                .primary_key(["key"])
                .reserved(),
        ]
    };
    let backend = SqliteBackend::open(&path).unwrap();
    backend.open(registry(definitions())).await.unwrap();
    backend.execute(create("a")).await.unwrap();
    backend.close().await.unwrap();
    let before = schema(&path);
    for table in &before.1 {
        let without_rowid = table.contains("WITHOUT ROWID");
        assert_eq!(
            without_rowid,
            table.starts_with("CREATE TABLE \"link\"")
                || table.starts_with("CREATE TABLE \"_storex"),
            "{table}"
        );
        assert!(table.contains("STRICT") || table.contains("INDEX"), "{table}");
    }
    // The same backend, and another one, and twice.
    backend.open(registry(definitions())).await.unwrap();
    backend.open(registry(definitions())).await.unwrap();
    assert_eq!(backend.count(Query::new("note")).await.unwrap(), 1);
    backend.close().await.unwrap();
    assert_eq!(schema(&path), before);
}

#[tokio::test]
async fn collections_and_indices_that_are_new_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    opened(&path).await.close().await.unwrap();
    let backend = SqliteBackend::open(&path).unwrap();
    let more = Definition::new("more").optional("x", FieldType::Int);
    backend.open(registry([note().index(["title"]), more])).await.unwrap();
    backend.close().await.unwrap();
    let (_, sql) = schema(&path);
    assert!(sql.iter().any(|sql| sql.contains("\"note:index:title\"")), "{sql:?}");
    assert!(sql.iter().any(|sql| sql.contains("TABLE \"more\"")), "{sql:?}");
}

#[tokio::test]
async fn a_table_that_does_not_fit_is_refused_by_name_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let thing =
        || Definition::new("thing").field("title", FieldType::String).optional("n", FieldType::Int);
    for (sql, definition, said) in [
        (
            "CREATE TABLE thing(id TEXT PRIMARY KEY NOT NULL, n INTEGER) STRICT",
            thing(),
            "`title` is required",
        ),
        (
            "CREATE TABLE thing(id TEXT NOT NULL, title TEXT PRIMARY KEY NOT NULL, n INTEGER) STRICT",
            thing(),
            "primary key",
        ),
        (
            "CREATE TABLE thing(id TEXT NOT NULL, title TEXT NOT NULL, n INTEGER, PRIMARY KEY(id, title)) STRICT",
            thing(),
            "primary key",
        ),
        (
            "CREATE TABLE thing(id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, n TEXT) STRICT",
            thing(),
            "`n` is stored as text",
        ),
        (
            "CREATE TABLE thing(id TEXT PRIMARY KEY NOT NULL, title TEXT, n INTEGER) STRICT",
            thing(),
            "`title`",
        ),
        (
            "CREATE TABLE thing(id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, n INTEGER NOT NULL) STRICT",
            thing(),
            "`n` may be null",
        ),
        (
            "CREATE TABLE thing(id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, n INTEGER, must INT NOT NULL) STRICT",
            thing(),
            "`must`",
        ),
        ("CREATE VIEW thing AS SELECT 1 AS id", thing(), "view"),
        (
            "CREATE TABLE t(id TEXT, v)",
            Definition::new("thing").adopted("t").optional("v", FieldType::Int),
            "primary key",
        ),
        (
            "",
            Definition::new("thing").adopted("gone").optional("v", FieldType::Int),
            "no table `gone`",
        ),
        (
            "CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, v AS (1))",
            Definition::new("thing").adopted("t").optional("v", FieldType::Int),
            "generated",
        ),
    ] {
        let path = dir.path().join("bad.db");
        let _ = std::fs::remove_file(&path);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = std::fs::read(&path).unwrap();
        let backend = SqliteBackend::open(&path).unwrap();
        let error = backend.open(registry([note(), definition])).await.unwrap_err();
        assert!(
            matches!(&error, Error::SchemaMismatch { collection, .. } if &**collection == "thing"),
            "{error}"
        );
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{sql}");
        assert!(!beside(&path, "-wal"));
    }
}

#[tokio::test]
async fn names_that_sqlite_keeps_for_itself_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(dir.path().join("a.db")).unwrap();
    let error = backend
        .open(registry([Definition::new("sqlite_x").optional("x", FieldType::Int)]))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::SchemaMismatch { .. }), "{error}");
}

#[tokio::test]
async fn a_unique_index_that_does_not_hold_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = opened(&path).await;
    for id in ["a", "b"] {
        backend.execute(create(id)).await.unwrap();
    }
    backend.close().await.unwrap();
    let before = schema(&path);
    let more = Definition::new("more").optional("x", FieldType::Int);
    let error = backend.open(registry([more, note().unique(["n"])])).await.unwrap_err();
    assert!(
        matches!(&error, Error::UniqueViolation { collection, index, .. } if &**collection == "note" && index == "n"),
        "{error}"
    );
    assert_eq!(schema(&path).1, before.1);
}

#[tokio::test]
async fn both_durabilities_flush() {
    let dir = tempfile::tempdir().unwrap();
    for durability in [Durability::Full, Durability::Normal] {
        let path = dir.path().join(format!("{durability:?}.db"));
        let backend = SqliteBackend::builder(&path).durability(durability).build().unwrap();
        backend.open(registry([note()])).await.unwrap();
        backend.flush().await.unwrap();
        backend.execute(create("a")).await.unwrap();
        backend.flush().await.unwrap();
        backend.close().await.unwrap();
        assert_eq!(opened(&path).await.count(Query::new("note")).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_write_and_sees_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let backend = opened(&dir.path().join("a.db")).await;
    backend.execute(create("a")).await.unwrap();
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let slow = create("b").then(move |_| {
        // Holds the transaction open until the reads have been answered.
        gone.lock()
            .unwrap()
            .recv()
            .map_err(|_| Error::Aborted { reason: "the test is over".into() })?;
        Ok(Vec::new())
    });
    let reads = async {
        for _ in 0..50 {
            assert_eq!(backend.count(Query::new("note")).await.unwrap(), 1);
            assert_eq!(
                backend.find(Query::new("note").filter(Filter::key("a"))).await.unwrap().len(),
                1
            );
            assert_eq!(
                backend.find(Query::new("note").filter(Filter::key("b"))).await.unwrap().len(),
                0
            );
        }
        go.send(()).unwrap();
    };
    let (written, ()) = tokio::join!(backend.execute(slow), reads);
    written.unwrap();
    for n in 0..200 {
        backend
            .execute(Batch::new().update("note", Filter::key("b"), Changes::new().set("n", n)))
            .await
            .unwrap();
        let inline = backend.find(Query::new("note").filter(Filter::key("b"))).await.unwrap();
        assert_eq!(inline[0].get(2), &Value::Int(n));
        assert_eq!(
            backend
                .count(Query::new("note").filter(field("n").eq(n).and(field("title").eq("b"))))
                .await
                .unwrap(),
            1
        );
    }
}

#[tokio::test]
async fn many_reads_at_once_share_few_readers() {
    let dir = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::builder(dir.path().join("a.db")).readers(1).build().unwrap();
    backend.open(registry([note()])).await.unwrap();
    for n in 0..20 {
        backend.execute(create(&format!("n{n:02}"))).await.unwrap();
    }
    let backend = Arc::new(backend);
    let read = |n: usize| {
        let backend = Arc::clone(&backend);
        async move {
            let all = backend.count(Query::new("note")).await?;
            let one =
                backend.find(Query::new("note").filter(Filter::key(format!("n{n:02}")))).await?;
            Ok::<_, Error>((all, one.len()))
        }
    };
    let mut set = tokio::task::JoinSet::new();
    for n in 0..20 {
        set.spawn(read(n));
    }
    while let Some(outcome) = set.join_next().await {
        assert_eq!(outcome.unwrap().unwrap(), (20, 1));
    }
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_is_done_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let backend = opened(&dir.path().join("a.db")).await;
    for n in 0..50 {
        let batch = create(&format!("a{n}")).create(
            "note",
            vec![record([format!("b{n}").into(), format!("b{n}").into(), Value::Null])],
        );
        let mut write = Box::pin(backend.execute(batch));
        tokio::select! {
            biased;
            _ = &mut write => {}
            () = std::future::ready(()) => {}
        }
    }
    // In the queue before this one, so done by now.
    backend.execute(create("last")).await.unwrap();
    assert_eq!(backend.count(Query::new("note")).await.unwrap(), 101);
}

#[tokio::test]
async fn what_waits_when_the_backend_is_closed_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = opened(&path).await;
    let (one, two, read, closed) = tokio::join!(
        backend.execute(create("a")),
        backend.execute(create("b")),
        backend.count(Query::new("note")),
        backend.close()
    );
    one.unwrap();
    two.unwrap();
    read.unwrap();
    closed.unwrap();
    assert!(!beside(&path, "-wal"));
    assert_eq!(opened(&path).await.count(Query::new("note")).await.unwrap(), 2);
}

#[tokio::test]
async fn the_integrity_check_tells_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let check = || CustomOperation { name: "integrity_check".into(), arguments: json!({}) };
    let backend = opened(&path).await;
    assert!(backend.capabilities().persistent);
    assert!(backend.capabilities().custom_operations.contains(&"integrity_check"));
    backend.execute(create("a")).await.unwrap();
    assert_eq!(backend.custom(check()).await.unwrap(), json!({"ok": true, "messages": []}));
    let other = CustomOperation { name: "vacuum".into(), arguments: json!({}) };
    let error = backend.custom(other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("vacuum"), "{error}");
    backend.close().await.unwrap();

    // A row that was written while the index was not there.
    let conn = Connection::open(&path).unwrap();
    let index = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let again = index(
        "SELECT printf('INSERT INTO sqlite_schema VALUES (%Q, %Q, %Q, %d, %Q)', type, name, tbl_name, rootpage, sql) \
         FROM sqlite_schema WHERE name = 'note:index:n'",
    );
    conn.execute_batch(
        "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'note:index:n'",
    )
    .unwrap();
    drop(conn);
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("INSERT INTO note VALUES ('b', 'b', 2); PRAGMA writable_schema = ON")
        .unwrap();
    conn.execute_batch(&again).unwrap();
    drop(conn);
    let backend = opened(&path).await;
    let report = backend.custom(check()).await.unwrap();
    assert_eq!(report["ok"], false);
    assert!(!report["messages"].as_array().unwrap().is_empty());
}

/// C41: nothing of the database is open, and whoever asks for all of it gets it.
#[tokio::test]
async fn c41_a_suspended_storage_holds_neither_file_nor_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.db");
    let note = Definition::new("note").field("title", FieldType::String);
    let registry = Registry::builder().collection(note).build().unwrap();
    let backend = SqliteBackend::open(&path).unwrap();
    let storage = Storage::builder(backend, registry, Arc::new(TokioRuntime)).open().await.unwrap();
    let notes = storage.dynamic("note").unwrap();
    notes.create(json!({"id": "1", "title": "before"})).await.unwrap();
    storage.suspend().await.unwrap();
    if cfg!(target_os = "linux") {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let open = open.filter_map(|it| std::fs::read_link(it.unwrap().path()).ok());
        let ours: Vec<_> = open.filter(|it| it.starts_with(dir.path())).collect();
        assert!(ours.is_empty(), "{ours:?}");
    }
    assert!(!path.with_extension("db-wal").exists());
    {
        let alone = Connection::open(&path).unwrap();
        alone
            .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT;")
            .expect("nobody holds a lock");
    }
    storage.resume().await.unwrap();
    notes.create(json!({"id": "2", "title": "after"})).await.unwrap();
    assert_eq!(notes.count(&json!({})).await.unwrap(), 2);
}

//! Existing databases, as programs have left them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use storex_core::{
    Affinity, Backend, Batch, Changes, Direction, Error, FieldDefault, FieldType, Filter, Key,
    KeyFormat, OnConflict, Query, Record, Registry, Step, Value, field,
};
use storex_sqlite::{Adoption, ForeignKeyAction, SqliteBackend, adopt, copy_schema};
use support::record;

const NASTY: &str = r#"
CREATE TABLE "Order Items"("order" INTEGER, "say ""hi""" TEXT, "$cost" NUMERIC DEFAULT 1.50, PRIMARY KEY("say ""hi""", "order"));
CREATE TABLE account(id INTEGER PRIMARY KEY AUTOINCREMENT, email VARCHAR(80) NOT NULL UNIQUE, name TEXT DEFAULT 'it''s', age INT DEFAULT -1,
    born DATETIME DEFAULT CURRENT_TIMESTAMP, flag BOOLEAN NOT NULL DEFAULT TRUE, token TEXT NOT NULL DEFAULT (hex(1)), raw BLOB DEFAULT x'0aff', weight FLOAT);
CREATE TABLE note(id TEXT PRIMARY KEY NOT NULL, owner INTEGER REFERENCES account ON DELETE CASCADE, body, size GENERATED ALWAYS AS (length(body)) VIRTUAL,
    shout TEXT GENERATED ALWAYS AS (upper(body)) STORED);
CREATE INDEX note_owner ON note(owner);
CREATE UNIQUE INDEX note_partial ON note(body) WHERE owner IS NULL;
CREATE UNIQUE INDEX note_lower ON note(lower(body), owner);
CREATE TABLE strict(id INTEGER PRIMARY KEY, n INT NOT NULL DEFAULT 3, x REAL, t TEXT, b BLOB, any ANY) STRICT;
CREATE TABLE tag(name TEXT COLLATE NOCASE PRIMARY KEY, n INT) WITHOUT ROWID;
CREATE TABLE by_unique(a TEXT NOT NULL, b INT NOT NULL, c, UNIQUE(a, b), UNIQUE(c));
CREATE TABLE no_key(line TEXT);
CREATE TABLE null_key(id TEXT PRIMARY KEY, v);
INSERT INTO null_key VALUES (NULL, 1), (NULL, 2), ('a', 3);
CREATE TABLE odd_check(id INTEGER PRIMARY KEY, CHECK(id <> 13));
CREATE TABLE child(id INTEGER PRIMARY KEY, a INT, b TEXT, FOREIGN KEY(b, a) REFERENCES "Order Items"("say ""hi""", "order") ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED);
CREATE VIEW names AS SELECT name FROM account;
CREATE VIRTUAL TABLE search USING fts5(body);
CREATE TABLE _storex_log(id INTEGER PRIMARY KEY);
CREATE TABLE "_Storex_Clock"(id INTEGER PRIMARY KEY);
CREATE TRIGGER bump AFTER UPDATE ON account BEGIN UPDATE note SET body = body WHERE owner = new.id; END;
CREATE TABLE needs(id INTEGER PRIMARY KEY);
CREATE TRIGGER broken AFTER INSERT ON needs BEGIN SELECT no_such_function(1); END;
"#;

fn nasty(dir: &Path) -> PathBuf {
    let path = dir.join("nasty.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(NASTY).unwrap();
    path
}

fn schema(path: &Path) -> Vec<(String, Option<String>)> {
    let conn = Connection::open(path).unwrap();
    let mut statement = conn
        .prepare("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE '\\_storex%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")
        .unwrap();
    statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn registry_of(adoption: &Adoption) -> Arc<Registry> {
    Arc::new(Registry::builder().collections(adoption.definitions.clone()).build().unwrap())
}

fn fields(
    registry: &Registry,
    collection: &str,
) -> BTreeMap<String, (FieldType, bool, Option<FieldDefault>)> {
    let collection = registry.collection(collection).unwrap();
    collection
        .fields()
        .iter()
        .map(|it| (it.name.to_string(), (it.field_type.clone(), it.nullable, it.default.clone())))
        .collect()
}

fn key_names(registry: &Registry, collection: &str) -> Vec<String> {
    let collection = registry.collection(collection).unwrap();
    collection.primary_key().iter().map(|at| collection.fields()[*at].name.to_string()).collect()
}

#[test]
fn a_nasty_schema_becomes_definitions() {
    let dir = tempfile::tempdir().unwrap();
    let adoption = adopt(nasty(dir.path())).unwrap();
    let registry = registry_of(&adoption);
    let names: Vec<&str> = registry.collections().iter().map(|it| &**it.name()).collect();
    assert_eq!(
        names,
        ["Order Items", "account", "note", "strict", "tag", "by_unique", "odd_check", "child"]
    );
    assert!(registry.collections().iter().all(|it| it.is_adopted()));

    let dynamic = |affinity| FieldType::Dynamic(affinity);
    assert_eq!(key_names(&registry, "Order Items"), ["say \"hi\"", "order"]);
    let items = fields(&registry, "Order Items");
    assert_eq!(
        items["_$cost"],
        (dynamic(Affinity::Numeric), true, Some(FieldDefault::Value(Value::from(1.5))))
    );

    let account = fields(&registry, "account");
    assert_eq!(account["id"], (dynamic(Affinity::Integer), false, None));
    assert_eq!(account["email"], (dynamic(Affinity::Text), false, None));
    assert_eq!(
        account["name"],
        (dynamic(Affinity::Text), true, Some(FieldDefault::Value("it's".into())))
    );
    assert_eq!(account["age"].2, Some(FieldDefault::Value(Value::Int(-1))));
    assert_eq!(
        account["born"],
        (dynamic(Affinity::Numeric), true, Some(FieldDefault::CurrentTimestamp))
    );
    assert_eq!(
        account["flag"],
        (dynamic(Affinity::Numeric), false, Some(FieldDefault::Value(Value::Int(1))))
    );
    assert_eq!(
        account["token"],
        (dynamic(Affinity::Text), false, None),
        "an expression: must be given"
    );
    assert_eq!(account["raw"].2, Some(FieldDefault::Value(vec![0x0a_u8, 0xff].into())));
    assert_eq!(account["weight"].0, dynamic(Affinity::Real));
    assert!(registry.collection("account").unwrap().indices().iter().any(|it| it.unique));

    let note = fields(&registry, "note");
    assert_eq!(note.keys().collect::<Vec<_>>(), ["body", "id", "owner"]);
    assert_eq!(note["body"].0, dynamic(Affinity::Blob));
    assert_eq!(registry.collection("note").unwrap().indices().len(), 1);

    let strict = fields(&registry, "strict");
    assert_eq!(strict["id"].0, FieldType::AutoPk(KeyFormat::Int));
    assert_eq!(strict["n"], (FieldType::Int, false, Some(FieldDefault::Value(Value::Int(3)))));
    assert_eq!(strict["x"].0, FieldType::Float);
    assert_eq!(strict["t"].0, FieldType::String);
    assert_eq!(strict["b"].0, FieldType::Binary);
    assert_eq!(strict["any"].0, dynamic(Affinity::Blob));

    assert_eq!(key_names(&registry, "by_unique"), ["a", "b"]);
}

#[test]
fn what_is_left_out_is_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let adoption = adopt(nasty(dir.path())).unwrap();
    let left_out: BTreeMap<&str, &str> =
        adoption.left_out.iter().map(|it| (it.table.as_str(), it.reason.as_str())).collect();
    assert_eq!(
        left_out.keys().copied().collect::<Vec<_>>(),
        ["needs", "no_key", "null_key", "search"]
    );
    assert!(left_out["no_key"].contains("primary key"), "{left_out:?}");
    assert!(left_out["null_key"].contains("2 rows"), "{left_out:?}");
    assert!(left_out["needs"].contains("no_such_function"), "{left_out:?}");

    let noted = |table: &str, subject: &str| {
        adoption
            .notes
            .iter()
            .find(|it| it.table.as_deref() == Some(table) && it.subject.as_deref() == Some(subject))
            .map(|it| it.text.as_str())
    };
    assert!(noted("note", "size").unwrap().contains("virtual"));
    assert!(noted("note", "shout").unwrap().contains("stored"));
    assert!(noted("note", "note_partial").is_some() && noted("note", "note_lower").is_some());
    assert_eq!(noted("note", "owner"), None, "a cascade is declared in the definition");
    assert!(noted("account", "bump").unwrap().contains("trigger"));
    assert!(
        noted("account", "token").unwrap().contains("(hex(1))")
            || noted("account", "token").unwrap().contains("hex(1)")
    );
    assert!(noted("tag", "name").unwrap().contains("NOCASE"));

    let keys = &adoption.foreign_keys;
    assert_eq!(keys.len(), 2);
    assert_eq!(
        (keys[0].table.as_str(), keys[0].target.as_str(), keys[0].on_delete),
        ("note", "account", ForeignKeyAction::Cascade)
    );
    assert_eq!(keys[0].target_columns, ["id"], "REFERENCES without columns means the primary key");
    assert_eq!(keys[1].columns, ["b", "a"]);
    assert_eq!(keys[1].target_columns, ["say \"hi\"", "order"]);
    assert_eq!(keys[1].on_delete, ForeignKeyAction::SetNull);
}

#[tokio::test]
async fn adopted_tables_are_used_in_place_and_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = nasty(dir.path());
    let before = schema(&path);
    let registry = registry_of(&adopt(&path).unwrap());
    let backend = SqliteBackend::open(&path).unwrap();
    backend.open(Arc::clone(&registry)).await.unwrap();

    let account = record([
        1.into(),
        "a@b.c".into(),
        "Ann".into(),
        "42".into(),
        "2026".into(),
        true.into(),
        "t".into(),
        Value::Null,
        3.into(),
    ]);
    let batch = Batch::new()
        .create("account", vec![account])
        .create("note", vec![record(["n1".into(), 1.into(), "hello".into()])])
        .create("Order Items", vec![record([7.into(), "x".into(), "2.0".into()])])
        .create(
            "strict",
            vec![record([1.into(), 2.into(), 1.into(), "t".into(), vec![1u8].into(), 1.5.into()])],
        )
        .create("by_unique", vec![record(["k".into(), 1.into(), Value::Null])]);
    backend.execute(batch).await.unwrap();

    // Stored as SQLite stores it, and read as it is stored.
    let account = backend.find(Query::new("account")).await.unwrap();
    assert_eq!(account[0].get(3), &Value::Int(42));
    assert_eq!(account[0].get(4), &Value::Int(2026));
    assert_eq!(account[0].get(5), &Value::Int(1));
    assert_eq!(account[0].get(8), &Value::from(3.0));
    let key = Key::compound(["x".into(), Value::Int(7)]);
    let item =
        backend.find(Query::new("Order Items").filter(Filter::Keys(vec![key]))).await.unwrap();
    assert_eq!(item[0].get(2), &Value::Int(2));

    // Their own rules hold, and are told by name.
    let refused = |step: Step| {
        let backend = &backend;
        async move { backend.execute(Batch::new().step(step)).await.unwrap_err() }
    };
    let error =
        refused(Step::create("note", vec![record(["n2".into(), 99.into(), "x".into()])])).await;
    assert!(
        matches!(&error, Error::ConstraintViolation { collection, .. } if &**collection == "note"),
        "{error}"
    );
    let error = refused(Step::create("odd_check", vec![record([13.into()])])).await;
    assert!(matches!(&error, Error::ConstraintViolation { .. }), "{error}");
    let same_mail = record([
        2.into(),
        "a@b.c".into(),
        Value::Null,
        Value::Null,
        Value::Null,
        false.into(),
        "t".into(),
        Value::Null,
        Value::Null,
    ]);
    let error = refused(Step::create("account", vec![same_mail])).await;
    assert!(matches!(&error, Error::UniqueViolation { index, .. } if index == "email"), "{error}");
    let error =
        refused(Step::create("by_unique", vec![record(["k".into(), 1.into(), 5.into()])])).await;
    assert!(matches!(&error, Error::AlreadyExists { key, .. } if key == "k/1"), "{error}");
    let error = refused(Step::create(
        "note",
        vec![
            record(["n3".into(), Value::Null, "hello".into()]),
            record(["n4".into(), Value::Null, "hello".into()]),
        ],
    ))
    .await;
    assert!(
        matches!(&error, Error::UniqueViolation { index, .. } if index == "body"),
        "the partial index: {error}"
    );

    backend.close().await.unwrap();
    assert_eq!(schema(&path), before);
}

#[tokio::test]
async fn a_column_of_another_collation_is_compared_by_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = nasty(dir.path());
    let registry = registry_of(&adopt(&path).unwrap());
    let backend = SqliteBackend::open(&path).unwrap();
    backend.open(registry).await.unwrap();
    let tags = ["b", "A", "c", "D"].map(|name| record([name.into(), 1.into()]));
    backend.execute(Batch::new().create("tag", tags.to_vec())).await.unwrap();

    let names = |records: Vec<Record>| -> Vec<String> {
        records.iter().map(|it| it.get(0).as_text().unwrap().to_owned()).collect()
    };
    let find = |query: Query| async { names(backend.find(query).await.unwrap()) };
    assert_eq!(
        find(Query::new("tag").order_by("name", Direction::Ascending)).await,
        ["A", "D", "b", "c"]
    );
    assert_eq!(find(Query::new("tag").filter(field("name").eq("B"))).await, Vec::<String>::new());
    assert_eq!(find(Query::new("tag").filter(Filter::key("B"))).await, Vec::<String>::new());
    assert_eq!(find(Query::new("tag").filter(Filter::key("b"))).await, ["b"]);
    assert_eq!(find(Query::new("tag").filter(field("name").is_in(["a", "c"]))).await, ["c"]);
    assert_eq!(
        find(
            Query::new("tag").filter(field("name").gt("Z")).order_by("name", Direction::Descending)
        )
        .await,
        ["c", "b"]
    );

    let update =
        |key: &str| Batch::new().update("tag", Filter::key(key), Changes::new().set("n", 9));
    backend.execute(update("C")).await.unwrap();
    assert_eq!(backend.count(Query::new("tag").filter(field("n").eq(9))).await.unwrap(), 0);
    // What is the same for a unique index is the column's own affair.
    let error = backend
        .execute(Batch::new().create("tag", vec![record(["a".into(), 1.into()])]))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
}

#[tokio::test]
async fn a_deferred_foreign_key_is_found_at_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = nasty(dir.path());
    let backend = SqliteBackend::open(&path).unwrap();
    backend.open(registry_of(&adopt(&path).unwrap())).await.unwrap();
    let child = |id: i64| vec![record([id.into(), 5.into(), "x".into()])];
    let error = backend.execute(Batch::new().create("child", child(1))).await.unwrap_err();
    assert!(matches!(error, Error::ConstraintViolation { .. }), "{error}");
    let parent = vec![record([5.into(), "x".into(), 1.into()])];
    backend
        .execute(Batch::new().create("child", child(1)).create("Order Items", parent))
        .await
        .unwrap();
    // What comes from another device may come before what it points to.
    let mut early = Batch::new().create("child", vec![record([2.into(), 6.into(), "y".into()])]);
    early.origin = storex_core::Origin::Sync;
    backend.execute(early).await.unwrap();
    assert_eq!(backend.count(Query::new("child")).await.unwrap(), 2);
}

#[tokio::test]
async fn replace_keeps_the_row_and_wakes_no_cascade() {
    let dir = tempfile::tempdir().unwrap();
    let path = nasty(dir.path());
    let backend = SqliteBackend::open(&path).unwrap();
    backend.open(registry_of(&adopt(&path).unwrap())).await.unwrap();
    let account = |mail: &str| {
        vec![record([
            1.into(),
            mail.into(),
            Value::Null,
            Value::Null,
            Value::Null,
            true.into(),
            "t".into(),
            Value::Null,
            Value::Null,
        ])]
    };
    let batch = Batch::new()
        .create("account", account("a"))
        .create("note", vec![record(["n".into(), 1.into(), "x".into()])]);
    backend.execute(batch).await.unwrap();
    let replace = Step::create_or("account", account("b"), OnConflict::Replace);
    backend.execute(Batch::new().step(replace)).await.unwrap();
    assert_eq!(backend.count(Query::new("note")).await.unwrap(), 1);
    assert_eq!(
        backend.count(Query::new("account").filter(field("email").eq("b"))).await.unwrap(),
        1
    );
    backend.execute(Batch::new().delete("account", Filter::key(1))).await.unwrap();
    assert_eq!(backend.count(Query::new("note")).await.unwrap(), 0, "a delete does cascade");
}

#[test]
fn a_schema_is_copied_without_rows_and_without_our_tables() {
    let dir = tempfile::tempdir().unwrap();
    let path = nasty(dir.path());
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 7; INSERT INTO search VALUES ('x')")
        .unwrap();
    let to = dir.path().join("empty.db");
    assert_eq!(copy_schema(&path, &to).unwrap(), []);
    assert_eq!(schema(&to), schema(&path));
    let conn = Connection::open(&to).unwrap();
    let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(
        one("SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_storex%' ESCAPE '\\'"),
        0
    );
    assert_eq!(one("SELECT count(*) FROM null_key"), 0);
    assert_eq!(one("SELECT count(*) FROM search"), 0);
    assert_eq!(one("PRAGMA user_version"), 7);
    let error = copy_schema(&path, &to).unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
}

#[test]
fn a_virtual_table_whose_module_is_missing_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "CREATE TABLE a(id INTEGER PRIMARY KEY); PRAGMA writable_schema = ON;
         INSERT INTO sqlite_schema(type, name, tbl_name, rootpage, sql) VALUES ('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING no_such(x)');",
    )
    .unwrap();
    drop(conn);
    assert_eq!(adopt(&path).unwrap().left_out[0].table, "v");
    let left_out = copy_schema(&path, dir.path().join("b.db")).unwrap();
    assert_eq!(left_out[0].table, "v");
}

#[test]
fn what_is_no_database_is_no_adoption() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.db");
    std::fs::write(&text, "this is not a database, and long enough for SQLite to notice").unwrap();
    assert!(adopt(&text).unwrap_err().to_string().contains("no SQLite database"));
    let missing = adopt(dir.path().join("missing.db")).unwrap_err();
    assert!(missing.to_string().contains("missing.db"), "{missing}");
    assert!(!dir.path().join("missing.db").exists());
}

#[tokio::test]
async fn chinook_is_taken_in_whole() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/chinook.sqlite");
    if !source.exists() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chinook.db");
    std::fs::copy(source, &path).unwrap();
    let before = schema(&path);
    let adoption = adopt(&path).unwrap();
    assert_eq!(adoption.left_out, []);
    let registry = registry_of(&adoption);
    let backend = SqliteBackend::open(&path).unwrap();
    backend.open(Arc::clone(&registry)).await.unwrap();
    let copy = dir.path().join("copy.db");
    copy_schema(&path, &copy).unwrap();
    let other = SqliteBackend::open(&copy).unwrap();
    other.open(Arc::clone(&registry)).await.unwrap();
    // Page by page to the other database, children before their parents too: as sync does.
    for collection in registry.collections() {
        let mut query = Query::new(collection.name().clone()).limit(500);
        loop {
            let page = backend.find(query.clone()).await.unwrap();
            let Some(last) = page.last() else { break };
            query = query.clone().after(query.position_of(collection, last));
            let mut batch = Batch::new().create(collection.name().clone(), page);
            batch.origin = storex_core::Origin::Sync;
            other.execute(batch).await.unwrap();
        }
    }
    other.close().await.unwrap();
    backend.close().await.unwrap();
    assert_eq!(schema(&path), before);
    assert_eq!(schema(&copy), before);
    let conn = Connection::open(&path).unwrap();
    conn.execute("ATTACH ?1 AS copy", [copy.to_str().unwrap()]).unwrap();
    for collection in registry.collections() {
        let table = collection.table();
        let differing: i64 = conn
            .query_row(
                &format!("SELECT (SELECT count(*) FROM (SELECT * FROM main.\"{table}\" EXCEPT SELECT * FROM copy.\"{table}\")) + abs((SELECT count(*) FROM main.\"{table}\") - (SELECT count(*) FROM copy.\"{table}\"))"),
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(differing, 0, "{table}");
    }
}

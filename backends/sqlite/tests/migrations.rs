//! What is SQLite's own about migrations: databases without a description, and what somebody has added by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use storex_core::{
    Backend, Batch, Definition, Error, FieldType, Migration, Query, Record, Registry, Result, Value,
};
use storex_sqlite::SqliteBackend;
use tempfile::TempDir;

fn first() -> Definition {
    Definition::new("note")
        .field("id", FieldType::Int)
        .primary_key(["id"])
        .field("title", FieldType::String)
        .optional("stars", FieldType::String)
        .index(["stars"])
}

fn second() -> Definition {
    Definition::new("note")
        .version(2)
        .field("id", FieldType::Int)
        .primary_key(["id"])
        .field("title", FieldType::String)
        .optional("stars", FieldType::Int)
        .index(["stars"])
}

fn registry(
    definitions: impl IntoIterator<Item = Definition>,
    migrations: impl IntoIterator<Item = Migration>,
) -> Arc<Registry> {
    let builder = Registry::builder().collections(definitions).migrations(migrations);
    Arc::new(builder.build().unwrap())
}

fn counting() -> Arc<Registry> {
    let migration = Migration::new("note", 2).change(|note| {
        let stars = note.get("stars").and_then(Value::as_text).map(|stars| stars.len() as i64);
        note.insert("stars".to_owned(), stars.into());
        Ok(())
    });
    registry([first(), second()], [migration])
}

async fn open(path: &Path, registry: Arc<Registry>) -> Result<SqliteBackend> {
    let backend = SqliteBackend::open(path).unwrap();
    backend.open(registry).await.map(|()| backend)
}

/// A database of the first version with these objects.
async fn made() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = open(&path, registry([first()], [])).await.unwrap();
    let notes = (0..5_i64).map(|n| {
        Record::new(vec![n.into(), format!("note {n}").into(), "*".repeat(n as usize).into()])
    });
    backend.execute(Batch::new().create("note", notes.collect())).await.unwrap();
    backend.close().await.unwrap();
    (dir, path)
}

fn execute(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn one<T: rusqlite::types::FromSql>(path: &Path, sql: &str) -> T {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn is_second(path: &Path) {
    let backend = open(path, counting()).await.unwrap();
    let found = backend.find(Query::new("note").order_by("id", storex_core::Direction::Ascending));
    let stars: Vec<Value> = found.await.unwrap().iter().map(|it| it.get(2).clone()).collect();
    assert_eq!(stars, (0..5_i64).map(Value::from).collect::<Vec<_>>());
    backend.close().await.unwrap();
}

/// A database that was made before there were descriptions.
#[tokio::test]
async fn a_database_without_a_description_is_known_by_its_tables() {
    let (_dir, path) = made().await;
    execute(&path, "DROP TABLE _storex_schema");
    let backend = open(&path, registry([first()], [])).await.unwrap();
    assert_eq!(backend.count(Query::new("note")).await.unwrap(), 5);
    backend.close().await.unwrap();
    execute(&path, "DROP TABLE _storex_schema");
    is_second(&path).await;
    // It is of the second version now, which its table tells too.
    execute(&path, "DROP TABLE _storex_schema");
    is_second(&path).await;
}

/// The same, when the registry does not have the first definition any more.
#[tokio::test]
async fn a_database_without_a_description_is_migrated_without_the_old_definition() {
    let (_dir, path) = made().await;
    execute(&path, "DROP TABLE _storex_schema");
    let renamed = Definition::new("memo")
        .version(2)
        .field("id", FieldType::Int)
        .primary_key(["id"])
        .field("headline", FieldType::String);
    let migration = Migration::new("memo", 2).renamed_from("note");
    let migration = migration.rename_field("title", "headline").remove_field("stars");
    let backend = open(&path, registry([renamed], [migration])).await.unwrap();
    let found = backend.find(Query::new("memo").filter(storex_core::Filter::key(3))).await.unwrap();
    assert_eq!(found, [Record::new(vec![3.into(), "note 3".into()])]);
}

/// What somebody has added would go with the old table: it is refused before anything is done.
#[tokio::test]
async fn what_was_added_by_hand_is_not_lost() {
    for (sql, named, remove) in [
        (
            "ALTER TABLE note ADD COLUMN theirs TEXT",
            "theirs",
            "ALTER TABLE note DROP COLUMN theirs",
        ),
        ("CREATE INDEX their_index ON note(title)", "their_index", "DROP INDEX their_index"),
        (
            "CREATE TRIGGER their_trigger AFTER DELETE ON note BEGIN SELECT 1; END",
            "their_trigger",
            "DROP TRIGGER their_trigger",
        ),
    ] {
        let (_dir, path) = made().await;
        execute(&path, sql);
        let before = std::fs::read(&path).unwrap();
        let error = open(&path, counting()).await.unwrap_err();
        assert!(matches!(error, Error::SchemaMismatch { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{sql}");
        open(&path, registry([first()], [])).await.unwrap().close().await.unwrap();
        execute(&path, remove);
        is_second(&path).await;
    }
}

/// Views, triggers of other tables and foreign keys see the new table.
#[tokio::test]
async fn what_names_the_table_names_the_new_one() {
    let (_dir, path) = made().await;
    execute(
        &path,
        "CREATE VIEW their_view AS SELECT title FROM note;
         CREATE TABLE theirs (id INTEGER PRIMARY KEY, note INTEGER REFERENCES note(id));
         CREATE TRIGGER their_trigger AFTER INSERT ON theirs BEGIN DELETE FROM note WHERE id = new.id; END;
         INSERT INTO theirs VALUES (77, 3)",
    );
    is_second(&path).await;
    assert_eq!(one::<i64>(&path, "SELECT count(*) FROM their_view"), 5);
    assert_eq!(one::<i64>(&path, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    execute(&path, "INSERT INTO theirs VALUES (4, 3)");
    assert_eq!(one::<i64>(&path, "SELECT count(*) FROM note"), 4);
}

#[tokio::test]
async fn adopted_tables_stay_as_they_are_beside_a_migration() {
    let (_dir, path) = made().await;
    execute(&path, "CREATE TABLE theirs (a PRIMARY KEY, b); INSERT INTO theirs VALUES ('k', 1)");
    let sql = "SELECT sql FROM sqlite_schema WHERE name = 'theirs'";
    let before: String = one(&path, sql);
    let blob = storex_core::Affinity::Blob;
    let theirs = || {
        let theirs = Definition::new("theirs").adopted("theirs").primary_key(["a"]);
        theirs.field("a", FieldType::Dynamic(blob)).optional("b", FieldType::Dynamic(blob))
    };
    let both = registry([first(), second(), theirs()], counting().migrations().to_vec());
    let backend = open(&path, both).await.unwrap();
    assert_eq!(backend.count(Query::new("theirs")).await.unwrap(), 1);
    backend.close().await.unwrap();
    assert_eq!(one::<String>(&path, sql), before);
    // A database of others alone gets no table of ours.
    execute(&path, "DROP TABLE _storex_schema; DROP TABLE note");
    open(&path, registry([theirs()], [])).await.unwrap().close().await.unwrap();
    assert_eq!(
        one::<i64>(&path, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%storex%'"),
        0
    );
}

#[tokio::test]
async fn a_description_that_was_damaged_is_refused() {
    for text in ["", "{}", "{\"format\":1,\"schema\":{\"version\":\"one\"}}", "null"] {
        let (_dir, path) = made().await;
        let conn = Connection::open(&path).unwrap();
        conn.execute("UPDATE _storex_schema SET text = ?1", [text]).unwrap();
        drop(conn);
        let error = open(&path, registry([first()], [])).await.unwrap_err();
        assert!(matches!(error, Error::SchemaMismatch { .. }), "{text}: {error}");
    }
}

/// A program that has the database open while a newer one migrates it does not write to what it does not know.
#[tokio::test]
async fn c46_a_program_that_was_overtaken_writes_no_more() {
    let (_dir, path) = made().await;
    let old = open(&path, registry([first()], [])).await.unwrap();
    // The table looks the same afterwards.
    let shout = Migration::new("note", 2).change(|note| {
        note.insert("title".to_owned(), "!".into());
        Ok(())
    });
    let same = registry([first(), first().version(2)], [shout]);
    let newer = open(&path, same).await.unwrap();
    let write =
        Batch::new().create("note", vec![Record::new(vec![9.into(), "x".into(), Value::Null])]);
    let error = old.execute(write).await.unwrap_err();
    assert!(matches!(error, Error::NewerSchema { stored: 2, known: 1, .. }), "{error}");
    // Nor does it read: from outside nobody can tell whether values have changed places.
    let error = old.count(Query::new("note")).await.unwrap_err();
    assert!(matches!(error, Error::NewerSchema { stored: 2, known: 1, .. }), "{error}");
    assert_eq!(newer.count(Query::new("note")).await.unwrap(), 5);
}

/// The words of a text are found before and after whatever a migration does to its table, and nothing is left of those whose
/// table is gone.
#[tokio::test]
async fn a_search_index_goes_with_its_table() {
    let page = |name: &str, version| {
        let page = Definition::new(name).version(version).field("id", FieldType::Int);
        page.primary_key(["id"])
    };
    let first = || page("page", 1).field("body", FieldType::Text).index(["body"]);
    let renamed = || page("page", 2).field("text", FieldType::Text).index(["text"]);
    let rewritten = || page("page", 3).field("text", FieldType::Text).field("n", FieldType::Int);
    let rewritten = || rewritten().index(["text"]);
    let moved = || page("sheet", 4).field("text", FieldType::Text).field("n", FieldType::Int);
    let moved = || moved().index(["text"]);
    let to_text = || Migration::new("page", 2).rename_field("body", "text");
    let with_n = || {
        Migration::new("page", 3).change(|page| {
            page.insert("n".to_owned(), Value::Int(7));
            Ok(())
        })
    };
    let to_sheet = || Migration::new("sheet", 4).renamed_from("page");
    let steps = [
        ("page", "body", registry([first()], [])),
        ("page", "text", registry([first(), renamed()], [to_text()])),
        ("page", "text", registry([first(), renamed(), rewritten()], [to_text(), with_n()])),
        (
            "sheet",
            "text",
            registry([first(), renamed(), rewritten(), moved()], [to_text(), with_n(), to_sheet()]),
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = open(&path, Arc::clone(&steps[0].2)).await.unwrap();
    let pages = ["red fox", "blue fox"].into_iter().zip(1_i64..);
    let pages = pages.map(|(text, id)| Record::new(vec![id.into(), text.into()])).collect();
    backend.execute(Batch::new().create("page", pages)).await.unwrap();
    backend.close().await.unwrap();
    for (collection, field, registry) in &steps {
        let backend = open(&path, Arc::clone(registry)).await.unwrap();
        for (words, count) in [("fox", 2), ("blue", 1), ("fo*", 2), ("green", 0)] {
            let filter = storex_core::field(*field).search(words);
            let query = Query::new(*collection).filter(filter);
            assert_eq!(backend.count(query).await.unwrap(), count, "{collection}.{field}: {words}");
        }
        backend.close().await.unwrap();
        let parts: i64 = one(
            &path,
            &format!(
                "SELECT count(*) FROM sqlite_schema WHERE name GLOB '_storex_search:*:keys' \
                 AND name = '_storex_search:{collection}:keys'"
            ),
        );
        assert_eq!(parts, 1, "{collection}");
        let all: i64 = one(
            &path,
            "SELECT count(*) FROM sqlite_schema WHERE name GLOB '_storex_search:*:keys'",
        );
        assert_eq!(all, 1, "an index is left over");
        let triggers: i64 = one(&path, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'");
        assert_eq!(triggers, 3);
    }
    let gone = [to_text(), with_n(), to_sheet(), Migration::remove("sheet", 5)];
    let definitions = [first(), renamed(), rewritten(), moved()];
    let other = Definition::new("other").version(5).field("n", FieldType::Int);
    let all = registry(definitions.into_iter().chain([other]), gone);
    open(&path, all).await.unwrap().close().await.unwrap();
    let left: i64 =
        one(&path, "SELECT count(*) FROM sqlite_schema WHERE name GLOB '_storex_search:*'");
    assert_eq!(left, 0);
}

/// It had the database open when a newer program renamed a column: it must not take the name for a text.
#[tokio::test]
async fn a_program_that_was_overtaken_reads_nothing_wrong() {
    let (_dir, path) = made().await;
    let old = open(&path, registry([first()], [])).await.unwrap();
    let second = Definition::new("note")
        .version(2)
        .field("id", FieldType::Int)
        .primary_key(["id"])
        .field("name", FieldType::String)
        .optional("stars", FieldType::String)
        .index(["stars"]);
    let renamed =
        registry([first(), second], [Migration::new("note", 2).rename_field("title", "name")]);
    open(&path, renamed).await.unwrap().close().await.unwrap();
    for query in [
        Query::new("note"),
        Query::new("note").filter(storex_core::Filter::key(1)),
        Query::new("note").filter(storex_core::field("title").eq("title")),
    ] {
        let refused = old.find(query).await.unwrap_err();
        assert!(matches!(refused, Error::NewerSchema { .. }), "{refused}");
    }
}

/// Two fields with an index each change names: each index is made anew on its column.
#[tokio::test]
async fn indices_of_fields_that_change_names() {
    let pair = |version| {
        let pair = Definition::new("pair").version(version).field("id", FieldType::Int);
        let pair = pair.primary_key(["id"]).field("a", FieldType::Int).field("b", FieldType::Int);
        pair.unique(["a"])
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = open(&path, registry([pair(1)], [])).await.unwrap();
    let records = [(1, 1, 5), (2, 2, 6)]
        .map(|(id, a, b): (i64, i64, i64)| Record::new(vec![id.into(), a.into(), b.into()]));
    backend.execute(Batch::new().create("pair", records.to_vec())).await.unwrap();
    backend.close().await.unwrap();
    let swap = Migration::new("pair", 2).rename_field("a", "b").rename_field("b", "a");
    let backend = open(&path, registry([pair(1), pair(2)], [swap])).await.unwrap();
    let create = |id: i64, a: i64, b: i64| {
        let record = Record::new(vec![id.into(), a.into(), b.into()]);
        backend.execute(Batch::new().create("pair", vec![record]))
    };
    create(3, 7, 1).await.unwrap();
    let twice = create(4, 5, 9).await.unwrap_err();
    assert!(matches!(twice, Error::UniqueViolation { .. }), "{twice}");
}

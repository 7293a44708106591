//! The search index is always right: whoever writes, whatever is looked for, and after each kind of change to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::json;
use storex_core::{
    Backend, Batch, Changes, CustomOperation, Definition, FieldType, Filter, OnConflict, Query,
    Record, Registry, Step, field,
};
use storex_sqlite::SqliteBackend;
use support::{Pair, record};
use tempfile::TempDir;

fn definition(is_indexed: bool) -> Definition {
    let definition = Definition::new("note")
        .field("id", FieldType::String)
        .primary_key(["id"])
        .optional("title", FieldType::Text)
        .optional("body", FieldType::Text);
    if is_indexed { definition.index(["title"]).index(["body"]) } else { definition }
}

fn registry(is_indexed: bool) -> Registry {
    Registry::builder().collection(definition(is_indexed)).build().unwrap()
}

fn note(id: &str, title: &str, body: &str) -> Record {
    record([id.into(), title.into(), body.into()])
}

async fn open(path: &Path, registry: Registry) -> SqliteBackend {
    let backend = SqliteBackend::open(path).unwrap();
    backend.open(Arc::new(registry)).await.unwrap();
    backend
}

async fn found(backend: &SqliteBackend, filter: Filter) -> Vec<String> {
    let found = backend.find(Query::new("note").filter(filter)).await.unwrap();
    let mut ids: Vec<String> =
        found.iter().map(|it| it.get(0).as_text().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn titles(words: &str) -> Filter {
    field("title").search(words)
}

/// How many objects wait for the index, and how many it has.
fn state(path: &Path) -> (i64, i64) {
    let other = Connection::open(path).unwrap();
    let count = |part: &str| {
        let sql = format!("SELECT count(*) FROM \"_storex_search:note:{part}\"");
        other.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    (count("dirty"), count("keys"))
}

fn parts(path: &Path) -> i64 {
    let other = Connection::open(path).unwrap();
    let sql =
        "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_storex\\_search:%' ESCAPE '\\'";
    other.query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn plan(backend: &SqliteBackend, words: &str) -> String {
    let arguments = json!({"collection": "note", "filter": {"title": {"$search": words}}});
    let operation = CustomOperation { name: "explain".into(), arguments };
    backend.custom(operation).await.unwrap().to_string()
}

async fn filled(dir: &TempDir) -> SqliteBackend {
    let backend = open(&dir.path().join("test.db"), registry(true)).await;
    let notes = vec![
        note("a", "Red fox", "quick"),
        note("b", "red panda", "slow fox"),
        note("c", "Grey wolf", "quick"),
    ];
    backend.execute(Batch::new().create("note", notes)).await.unwrap();
    backend
}

#[tokio::test]
async fn what_was_written_is_in_the_index_when_the_batch_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let backend = filled(&dir).await;
    assert_eq!(state(&path), (0, 3));
    assert_eq!(found(&backend, titles("RED")).await, ["a", "b"]);
    assert_eq!(found(&backend, titles("red f*")).await, ["a"]);
    assert_eq!(found(&backend, field("body").search("fox")).await, ["b"], "field by field");
    assert!(plan(&backend, "red").await.contains("VIRTUAL TABLE INDEX"));
    let change = Changes::new().set("title", "Blue fox");
    backend.execute(Batch::new().update("note", titles("red fox"), change)).await.unwrap();
    backend.execute(Batch::new().delete("note", titles("panda"))).await.unwrap();
    assert_eq!(state(&path), (0, 2));
    assert_eq!(found(&backend, titles("red")).await, Vec::<String>::new());
    assert_eq!(found(&backend, titles("fox").negate()).await, ["c"]);
}

#[tokio::test]
async fn a_batch_finds_what_it_has_just_written() {
    let dir = tempfile::tempdir().unwrap();
    let backend = filled(&dir).await;
    let batch = Batch::new()
        .create("note", vec![note("d", "red herring", "")])
        .update("note", Filter::key("a"), Changes::new().set("title", "was something"))
        .find(
            Query::new("note")
                .filter(titles("red"))
                .order_by("id", storex_core::Direction::Ascending),
        );
    let outcome = backend.execute(batch).await.unwrap().into_found();
    let ids: Vec<_> = outcome.iter().map(|it| it.get(0).as_text().unwrap()).collect();
    assert_eq!(ids, ["b", "d"]);
}

#[tokio::test]
async fn what_other_programs_write_is_found_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let backend = filled(&dir).await;
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "INSERT INTO note VALUES ('d', 'red deer', '');
             UPDATE note SET title = 'white fox' WHERE id = 'a';
             UPDATE note SET id = 'z' WHERE id = 'b';
             DELETE FROM note WHERE id = 'c';",
        )
        .unwrap();
    assert_eq!(found(&backend, titles("red")).await, ["d", "z"]);
    assert_eq!(found(&backend, titles("fox")).await, ["a"]);
    assert_eq!(found(&backend, titles("wolf")).await, Vec::<String>::new());
    assert_eq!(state(&path), (5, 3), "a, b, z, c and d wait");
    // Whatever the statement says that sets off the triggers, for objects that wait already.
    for sql in [
        "INSERT OR REPLACE INTO note VALUES ('d', 'red dwarf', '')",
        "UPDATE OR ABORT note SET title = 'red one' WHERE id = 'd'",
        "UPDATE OR ROLLBACK note SET title = 'red two' WHERE id = 'd'",
        "UPDATE OR FAIL note SET title = 'red three' WHERE id = 'd'",
        "UPDATE OR REPLACE note SET id = 'a' WHERE id = 'd'",
    ] {
        other.execute(sql, []).unwrap();
    }
    assert_eq!(found(&backend, titles("red")).await, ["a", "z"]);
    assert_eq!(found(&backend, titles("fox")).await, Vec::<String>::new(), "a was replaced");
    // The next batch brings everything up to date.
    backend.execute(Batch::new().create("note", vec![note("e", "red e", "")])).await.unwrap();
    assert_eq!(state(&path), (0, 3));
    assert_eq!(found(&backend, titles("red")).await, ["a", "e", "z"]);
    other.execute_batch("VACUUM").unwrap();
    assert_eq!(found(&backend, titles("red")).await, ["a", "e", "z"]);
    let check = CustomOperation { name: "integrity_check".into(), arguments: json!({}) };
    assert_eq!(backend.custom(check).await.unwrap()["ok"], true);
}

#[tokio::test]
async fn replaced_objects_are_indexed_anew_and_skipped_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let backend = filled(&dir).await;
    let step =
        |title: &str, on_conflict| Step::create_or("note", vec![note("a", title, "")], on_conflict);
    backend.execute(Batch::new().step(step("green", OnConflict::Replace))).await.unwrap();
    assert_eq!(found(&backend, titles("red")).await, ["b"]);
    assert_eq!(found(&backend, titles("green")).await, ["a"]);
    backend.execute(Batch::new().step(step("blue", OnConflict::Skip))).await.unwrap();
    assert_eq!(found(&backend, titles("green")).await, ["a"]);
}

#[tokio::test]
async fn a_batch_that_fails_leaves_the_index_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let backend = filled(&dir).await;
    let batch = Batch::new()
        .update("note", Filter::All, Changes::new().set("title", "gone"))
        .create("note", vec![note("a", "", "")]);
    backend.execute(batch).await.unwrap_err();
    assert_eq!(found(&backend, titles("red")).await, ["a", "b"]);
    assert_eq!(found(&backend, titles("gone")).await, Vec::<String>::new());
    assert_eq!(state(&dir.path().join("test.db")), (0, 3));
}

#[tokio::test]
async fn an_index_that_is_added_later_is_filled_and_one_that_goes_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let backend = open(&path, registry(false)).await;
    let notes = (0..2_500).map(|n| note(&format!("n{n}"), &format!("number {n}"), "")).collect();
    backend.execute(Batch::new().create("note", notes)).await.unwrap();
    assert_eq!(parts(&path), 0);
    assert!(plan(&backend, "7").await.contains("SCAN"));
    assert_eq!(found(&backend, titles("7")).await, ["n7"]);
    backend.close().await.unwrap();

    let backend = open(&path, registry(true)).await;
    assert_eq!(state(&path), (0, 2_500));
    assert_eq!(found(&backend, titles("7")).await, ["n7"]);
    backend.close().await.unwrap();

    // One field less: the words of the other one are kept, in a new index.
    let one = definition(false).index(["title"]);
    let backend = open(&path, Registry::builder().collection(one).build().unwrap()).await;
    assert_eq!(state(&path), (0, 2_500));
    assert_eq!(found(&backend, titles("number 1999")).await, ["n1999"]);
    backend.close().await.unwrap();

    let backend = open(&path, registry(false)).await;
    assert_eq!(parts(&path), 0);
    assert_eq!(found(&backend, titles("7")).await, ["n7"]);
    backend.execute(Batch::new().delete("note", Filter::All)).await.unwrap();
}

#[tokio::test]
async fn filling_goes_on_where_it_was_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    filled(&dir).await.close().await.unwrap();
    // As a process leaves it that was killed in between: some keys wait, their words are not there.
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "DELETE FROM \"_storex_search:note:words\"; DELETE FROM \"_storex_search:note:keys\";
             INSERT INTO \"_storex_search:note:dirty\" SELECT id FROM note;",
        )
        .unwrap();
    let backend = open(&path, registry(true)).await;
    assert_eq!(state(&path), (0, 3));
    assert_eq!(found(&backend, titles("red")).await, ["a", "b"]);
}

#[tokio::test]
async fn nothing_that_is_looked_for_is_a_syntax_error() {
    let pair = Pair::open(registry(true)).await;
    let long = "x".repeat(40_000);
    let many: String = (0..2_000).map(|n| format!("w{n} ")).collect();
    let titles =
        ["a AND b", "NEAR(a b)", "c\"d", "title:e", "f*g", "-h", "^i", "{j}", "k+l", &long, &many];
    let notes = (0..).zip(titles).map(|(n, title)| note(&format!("n{n}"), title, "")).collect();
    pair.execute(Batch::new().create("note", notes)).await.unwrap();
    let longer = format!("{long}x");
    let most: String = (0..99).map(|n| format!("w{n} ")).collect();
    for (words, count) in titles
        .into_iter()
        .map(|words| (words, 1))
        .chain([(longer.as_str(), 0), (&long[..39_000], 0), (most.as_str(), 1)])
        .chain([("AND", 1), ("or", 0), ("near", 1), ("\"a\"", 2), ("a*", 2), ("x*", 1), ("w1*", 1)])
    {
        let query = Query::new("note").filter(field("title").search(words));
        let label: String = words.chars().take(30).collect();
        assert_eq!(pair.sqlite.find(query.clone()).await.unwrap().len(), count, "{label}");
        assert_eq!(pair.memory.find(query).await.unwrap().len(), count, "{label}");
    }
}

/// FTS5's tokenizer must leave core's words as they are: no letter may fold into what it takes for a separator.
#[test]
fn a_word_has_no_separator_in_it() {
    for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(|c| c.is_alphanumeric()) {
        for word in storex_core::words_of(&c.to_string()) {
            let whole = word.chars().all(|it| !it.is_ascii() || it.is_ascii_alphanumeric());
            assert!(whole && !word.chars().any(|it| it.is_ascii_uppercase()), "{c:?} {word:?}");
        }
    }
}

//! Several programs on one database, of which each wants a search index of its own. There is one index, of whoever has
//! opened the database last; and nobody ever misses a word, nor damages what is not theirs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use storex_core::{Definition, FieldType, Registry, Storage};
use storex_memory::TestRuntime;
use storex_sqlite::{Durability, SqliteBackend};

/// A program with a search index over these fields.
async fn open(path: &Path, indexed: &[&str]) -> Storage {
    let mut note = Definition::new("note")
        .field("id", FieldType::String)
        .primary_key(["id"])
        .field("title", FieldType::Text)
        .field("body", FieldType::Text);
    for field in indexed {
        note = note.index([*field]);
    }
    let registry = Registry::builder().collection(note).build().unwrap();
    let backend = SqliteBackend::builder(path).durability(Durability::Normal).build().unwrap();
    let runtime = Arc::new(TestRuntime::new(1));
    Storage::builder(backend, registry, runtime).open().await.unwrap()
}

async fn put(program: &Storage, id: &str, title: &str, body: &str) {
    let note = json!({"id": id, "title": title, "body": body});
    program.dynamic("note").unwrap().upsert(&note).await.unwrap();
}

fn search(field: &str, words: &str) -> Json {
    json!({ field: {"$search": words} })
}

/// The ids of what is found, in order.
async fn found(program: &Storage, field: &str, words: &str) -> Vec<String> {
    let notes = program.dynamic("note").unwrap();
    let found = notes.find(&search(field, words)).await.unwrap();
    let mut ids: Vec<String> =
        found.iter().map(|note| note["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    assert_eq!(notes.count(&search(field, words)).await.unwrap(), ids.len() as u64);
    ids
}

/// How many are found, while others write.
async fn found_now(program: &Storage, field: &str, words: &str) -> u64 {
    program.dynamic("note").unwrap().count(&search(field, words)).await.unwrap()
}

/// Whether a search goes by the index.
async fn is_indexed(program: &Storage, field: &str) -> bool {
    let arguments = json!({"collection": "note", "filter": search(field, "fox")});
    let plan = program.custom("explain", arguments).await.unwrap().to_string();
    assert_ne!(plan.contains("VIRTUAL TABLE INDEX"), plan.contains("SCAN note"), "{plan}");
    plan.contains("VIRTUAL TABLE INDEX")
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

#[tokio::test]
async fn two_programs_that_write_and_search_in_turn_miss_no_word() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    for (fields, others) in [
        (&["title"][..], &["body"][..]),
        (&["title"], &["title", "body"]),
        (&["title", "body"], &["body"]),
        (&["title", "body"], &[]),
    ] {
        let path = path.with_extension(format!("{}{}", fields.len(), others.len()));
        let first = open(&path, fields).await;
        put(&first, "a", "red", "fox").await;
        let second = open(&path, others).await;
        let mut expected = vec!["a".to_owned()];
        for n in 0..4 {
            for (program, name) in [(&first, "first"), (&second, "second")] {
                let id = format!("b{n}{name}");
                put(program, &id, "a red one", "the fox").await;
                expected.push(id);
                expected.sort();
                for reader in [&first, &second] {
                    let context = format!("{fields:?} {others:?} {n} {name}");
                    assert_eq!(found(reader, "title", "red").await, expected, "{context}");
                    assert_eq!(found(reader, "body", "fox").await, expected, "{context}");
                    assert!(found(reader, "title", "fox").await.is_empty(), "{context}");
                }
            }
        }
    }
}

#[tokio::test]
async fn who_was_overtaken_has_an_index_again_when_it_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let first = open(&path, &["title"]).await;
    put(&first, "a", "red fox", "").await;
    assert!(is_indexed(&first, "title").await);
    // Who wants the same index leaves it as it is.
    let same = open(&path, &["title"]).await;
    assert!(is_indexed(&same, "title").await && is_indexed(&first, "title").await);

    let second = open(&path, &["title", "body"]).await;
    assert!(!is_indexed(&first, "title").await);
    assert!(is_indexed(&second, "title").await && is_indexed(&second, "body").await);

    // Who has the same index as before gives it back to all of its kind.
    let third = open(&path, &["title"]).await;
    assert!(is_indexed(&third, "title").await && is_indexed(&first, "title").await);
    assert!(!is_indexed(&second, "body").await);
    for program in [&first, &second, &third] {
        assert_eq!(found(program, "title", "fox").await, ["a"]);
    }
    second.close().await.unwrap();
    let second = open(&path, &["title", "body"]).await;
    assert!(is_indexed(&second, "body").await);
}

#[tokio::test]
async fn who_was_overtaken_leaves_the_index_of_the_other_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let first = open(&path, &["title"]).await;
    put(&first, "a", "red", "fox").await;
    let second = open(&path, &["title", "body"]).await;
    assert_eq!(state(&path), (0, 1));
    let notes = first.dynamic("note").unwrap();
    put(&first, "b", "blue", "fox").await;
    notes.update(&search("body", "fox"), &json!({"body": "owl"})).await.unwrap();
    put(&first, "c", "blue", "fox").await;
    notes.delete(&search("title", "red")).await.unwrap();
    assert_eq!(state(&path), (3, 1), "it only notes what it has written");
    assert_eq!(found(&second, "body", "owl").await, ["b"]);
    assert_eq!(found(&second, "body", "fox").await, ["c"]);
    // The next batch of the index's own program brings it up to date.
    put(&second, "d", "", "owl").await;
    assert_eq!(state(&path), (0, 3));
    assert!(is_indexed(&second, "body").await);
    assert_eq!(found(&second, "body", "owl").await, ["b", "d"]);
    assert_eq!(found(&first, "title", "blue").await, ["b", "c"]);
}

/// Makes the index that of a program that takes texts apart by other rules, and finds none of our words.
fn make_another_ones(path: &Path) {
    let other = Connection::open(path).unwrap();
    let sql = |part: &str| -> (String, String, String) {
        let name = format!("_storex_search:note:{part}");
        let sql = "SELECT type, name, sql FROM sqlite_schema WHERE name = ?1";
        other.query_row(sql, [name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
    };
    let parts = ["keys", "words", "dirty", "insert", "update", "delete"].map(sql);
    other.execute_batch("BEGIN").unwrap();
    for (kind, name, _) in parts.iter().rev() {
        other.execute_batch(&format!("DROP {kind} \"{name}\"")).unwrap();
    }
    for (_, _, sql) in &parts {
        other.execute_batch(&sql.replace("-unicode-", "-unicode-9")).unwrap();
    }
    other.execute_batch("COMMIT").unwrap();
    assert!(parts[0].2.contains("-unicode-"), "{}", parts[0].2);
}

#[tokio::test]
async fn words_of_another_version_of_unicode_are_not_taken_for_ours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let program = open(&path, &["title"]).await;
    put(&program, "a", "red fox", "").await;
    make_another_ones(&path);
    assert_eq!(found(&program, "title", "red").await, ["a"]);
    put(&program, "b", "red owl", "").await;
    assert_eq!(state(&path), (1, 0), "its words stay as they are");
    assert_eq!(found(&program, "title", "red").await, ["a", "b"]);
    assert!(!is_indexed(&program, "title").await);
    program.close().await.unwrap();

    let program = open(&path, &["title"]).await;
    assert_eq!(state(&path), (0, 2));
    assert!(is_indexed(&program, "title").await);
    assert_eq!(found(&program, "title", "red").await, ["a", "b"]);
}

#[tokio::test]
async fn an_index_that_somebody_removes_by_hand_is_not_missed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    for removed in ["TRIGGER \"_storex_search:note:insert\"", "TABLE \"_storex_search:note:words\""]
    {
        let path = path.with_extension(&removed[..3]);
        let program = open(&path, &["title"]).await;
        put(&program, "a", "red", "").await;
        Connection::open(&path).unwrap().execute_batch(&format!("DROP {removed}")).unwrap();
        put(&program, "b", "red", "").await;
        assert_eq!(found(&program, "title", "red").await, ["a", "b"], "{removed}");
        program.close().await.unwrap();
        let program = open(&path, &["title"]).await;
        assert!(is_indexed(&program, "title").await, "{removed}");
        assert_eq!(found(&program, "title", "red").await, ["a", "b"], "{removed}");
    }
}

/// One searches and writes while another one opens the database again and again, each time for another index.
#[test]
fn an_index_that_changes_hands_during_searches_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let done = AtomicBool::new(false);
    block_on(async {
        let program = open(&path, &["title"]).await;
        for n in 0..40 {
            put(&program, &format!("a{n:02}"), "red", "fox").await;
        }
    });
    let (path, done) = (&path, &done);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            block_on(async {
                let program = open(path, &["title"]).await;
                let mut count = 40;
                while !done.load(Ordering::Relaxed) {
                    put(&program, &format!("b{count}"), "red", "fox").await;
                    count += 1;
                    assert_eq!(found(&program, "title", "red").await.len(), count);
                    assert_eq!(found(&program, "body", "fox").await.len(), count);
                }
            });
        });
        let opener = threads.spawn(move || {
            block_on(async {
                for fields in [&["body"][..], &["title", "body"]].repeat(10) {
                    let program = open(path, fields).await;
                    // By then there may be more.
                    assert!(found_now(&program, "title", "red").await >= 40);
                    assert!(found_now(&program, "body", "fox").await >= 40);
                    program.close().await.unwrap();
                }
            });
        });
        let ended = opener.join();
        done.store(true, Ordering::Relaxed);
        ended.unwrap();
    });
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// What each program wants an index of.
const PROGRAMS: [&[&str]; 4] = [&[], &["title"], &["body"], &["title", "body"]];
const FIELDS: [&str; 2] = ["title", "body"];
const WORDS: [&str; 4] = ["red", "fox", "owl", "öl"];

/// What a program does.
#[derive(Debug, Clone)]
enum Act {
    Open,
    Put { id: u8, texts: [String; 2] },
    Retitle { field: usize, word: &'static str, title: String },
    Delete { field: usize, word: &'static str },
    Search { field: usize, word: &'static str },
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let text = || subsequence(WORDS.to_vec(), 0..4).prop_map(|words| words.join(" "));
    let (field, word) = (|| 0..FIELDS.len(), || select(WORDS.to_vec()));
    let act = prop_oneof![
        2 => Just(Act::Open),
        4 => (0..8_u8, [text(), text()]).prop_map(|(id, texts)| Act::Put { id, texts }),
        1 => (field(), word(), text())
            .prop_map(|(field, word, title)| Act::Retitle { field, word, title }),
        1 => (field(), word()).prop_map(|(field, word)| Act::Delete { field, word }),
        4 => (field(), word()).prop_map(|(field, word)| Act::Search { field, word }),
    ];
    vec((0..PROGRAMS.len(), act), 1..40)
}

/// What is to be there.
#[derive(Default)]
struct Model(BTreeMap<String, [String; 2]>);

impl Model {
    fn found(&self, field: usize, word: &str) -> Vec<String> {
        let has = |texts: &[String; 2]| texts[field].split(' ').any(|it| it == word);
        self.0.iter().filter(|(_, texts)| has(texts)).map(|(id, _)| id.clone()).collect()
    }
}

/// The programs that run, and what is to be there.
struct Run {
    path: PathBuf,
    open: [Option<Storage>; PROGRAMS.len()],
    model: Model,
}

impl Run {
    async fn act(&mut self, program: usize, act: Act) {
        if self.open[program].is_none() || matches!(act, Act::Open) {
            self.open[program] = Some(open(&self.path, PROGRAMS[program]).await);
        }
        let storage = self.open[program].as_ref().unwrap();
        let notes = storage.dynamic("note").unwrap();
        match act {
            Act::Open => {}
            Act::Put { id, texts } => {
                put(storage, &id.to_string(), &texts[0], &texts[1]).await;
                self.model.0.insert(id.to_string(), texts);
            }
            Act::Retitle { field, word, title } => {
                let filter = search(FIELDS[field], word);
                let written = notes.update(&filter, &json!({"title": &title})).await.unwrap();
                let expected = self.model.found(field, word);
                assert_eq!(written.len(), expected.len());
                for id in expected {
                    self.model.0.get_mut(&id).unwrap()[0].clone_from(&title);
                }
            }
            Act::Delete { field, word } => {
                notes.delete(&search(FIELDS[field], word)).await.unwrap();
                for id in self.model.found(field, word) {
                    self.model.0.remove(&id);
                }
            }
            Act::Search { field, word } => self.check(storage, field, word).await,
        }
    }

    async fn check(&self, storage: &Storage, field: usize, word: &str) {
        let expected = self.model.found(field, word);
        assert_eq!(found(storage, FIELDS[field], word).await, expected, "{word}");
    }

    /// All programs that run find every word.
    async fn check_all(&self) {
        for storage in self.open.iter().flatten() {
            for (field, word) in (0..FIELDS.len()).flat_map(|at| WORDS.map(|word| (at, word))) {
                self.check(storage, field, word).await;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_opens_writes_and_searches_in_whatever_order_misses_nothing(acts in acts()) {
        block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("test.db");
            let mut run = Run { path, open: Default::default(), model: Model::default() };
            for (program, act) in acts {
                run.act(program, act).await;
            }
            run.check_all().await;
        });
    }
}

//! Copies of a database that is used meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use storex_core::{
    Batch, Definition, ErrorKind, FieldType, Filter, Query, Record, Registry, Storage,
    TokioRuntime, Value, field,
};
use storex_sqlite::SqliteBackend;

fn registry() -> Registry {
    let side = |name: &str| Definition::new(name).field("id", FieldType::Int).primary_key(["id"]);
    let note = Definition::new("note")
        .field("id", FieldType::String)
        .field("body", FieldType::Text)
        .primary_key(["id"])
        .index(["body"]);
    Registry::builder().collections([side("left"), side("right"), note]).build().unwrap()
}

async fn open(path: &Path) -> (Storage, Arc<SqliteBackend>) {
    let backend = Arc::new(SqliteBackend::open(path).unwrap());
    let runtime = Arc::new(TokioRuntime);
    let storage = Storage::builder(Arc::clone(&backend), registry(), runtime).open().await.unwrap();
    (storage, backend)
}

/// The same object on either side.
fn pair(id: i64) -> Batch {
    let object = || vec![Record::new(vec![Value::Int(id)])];
    Batch::new().create("left", object()).create("right", object())
}

fn note(id: &str, body: &str) -> Record {
    Record::new(vec![id.into(), body.into()])
}

#[tokio::test]
async fn a_copy_is_of_one_moment_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, backend) = open(&dir.path().join("a.db")).await;
    for id in 0..100 {
        storage.execute(pair(id)).await.unwrap();
    }
    let writing = async {
        for id in 100..400 {
            storage.execute(pair(id)).await.unwrap();
        }
    };
    let copying = async {
        for n in 0..4 {
            backend.back_up_to(dir.path().join(format!("copy {n}.db"))).await.unwrap();
        }
    };
    tokio::join!(writing, copying);
    let mut before = 100;
    for n in 0..4 {
        let (copy, _) = open(&dir.path().join(format!("copy {n}.db"))).await;
        let report = copy.custom("integrity_check", json!({})).await.unwrap();
        assert_eq!(report["ok"], true, "{report}");
        let left = copy.find(Query::new("left")).await.unwrap();
        assert_eq!(left, copy.find(Query::new("right")).await.unwrap());
        assert!(left.len() >= before, "a later copy has what an earlier one has");
        before = left.len();
        copy.execute(pair(1000)).await.unwrap();
        copy.close().await.unwrap();
    }
}

/// Their entries name the rows by numbers, which a copy must keep.
#[tokio::test]
async fn a_copy_is_searched_like_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, backend) = open(&dir.path().join("a.db")).await;
    let notes = (0..50).map(|n| note(&format!("{n}"), &format!("word{n} every"))).collect();
    storage.execute(Batch::new().create("note", notes)).await.unwrap();
    let some: Vec<_> = (0..40).map(|n| format!("{n}").as_str().into()).collect();
    storage.execute(Batch::new().delete("note", Filter::Keys(some))).await.unwrap();
    backend.back_up_to(dir.path().join("copy.db")).await.unwrap();
    let (copy, _) = open(&dir.path().join("copy.db")).await;
    for (words, count) in [("word45", 1), ("every", 10), ("word3", 0)] {
        let found =
            copy.find(Query::new("note").filter(field("body").search(words))).await.unwrap();
        assert_eq!(found.len(), count, "{words}");
        for note in found {
            assert!(note.get(1).as_text().unwrap().contains(words), "{note:?}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_there_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, backend) = open(&dir.path().join("a.db")).await;
    storage.execute(pair(1)).await.unwrap();
    let to = dir.path().join("copy.db");
    fs::write(&to, "mine").unwrap();
    let error = backend.back_up_to(&to).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(fs::read_to_string(&to).unwrap(), "mine");
    let itself = backend.back_up_to(backend.path()).await.unwrap_err();
    assert_eq!(itself.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn what_an_interrupted_one_left_behind_is_no_obstacle_and_a_failed_one_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, backend) = open(&dir.path().join("a.db")).await;
    storage.execute(pair(1)).await.unwrap();
    fs::write(dir.path().join("copy.db.0123456789abcdef.part"), "half").unwrap();
    backend.back_up_to(dir.path().join("copy.db")).await.unwrap();
    let nowhere = dir.path().join("no such folder/copy.db");
    assert!(backend.back_up_to(&nowhere).await.is_err());
    let none = SqliteBackend::open(dir.path().join("none.db")).unwrap();
    assert!(none.back_up_to(dir.path().join("of none.db")).await.is_err());
    assert!(!dir.path().join("none.db").exists(), "none was made");
    let mut left: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    left.sort();
    let old = "copy.db.0123456789abcdef.part";
    assert_eq!(left, ["a.db", "a.db-shm", "a.db-wal", "copy.db", old]);
}

#[tokio::test]
async fn of_several_at_once_to_one_path_one_is_whole_and_the_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, backend) = open(&dir.path().join("a.db")).await;
    let notes = (0..2000).map(|n| note(&format!("{n}"), &"word ".repeat(100))).collect();
    storage.execute(Batch::new().create("note", notes)).await.unwrap();
    for n in 0..5 {
        let to = dir.path().join(format!("copy {n}.db"));
        let one = || backend.back_up_to(&to);
        let (a, b, c) = tokio::join!(one(), one(), one());
        let (made, refused): (Vec<_>, Vec<_>) = [a, b, c].into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 1, "{refused:?}");
        for refused in refused {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
        }
        let (copy, _) = open(&to).await;
        let report = copy.custom("integrity_check", json!({})).await.unwrap();
        assert_eq!(report["ok"], true, "{report}");
        assert_eq!(copy.count(Query::new("note")).await.unwrap(), 2000);
        copy.close().await.unwrap();
    }
    let names = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name());
    let parts = names.filter(|name| name.to_string_lossy().ends_with(".part")).count();
    assert_eq!(parts, 0);
}

//! What `storex demo --from` takes, what it refuses, and that it leaves the original alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may")]

mod support;

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use rusqlite::Connection;
use support::{database, files, number, storex, text};

const NOTES: &str = "CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
    INSERT INTO note SELECT i, 'note ' || i FROM n;";

/// Everything about the files of a folder.
fn state(folder: &Path) -> Vec<(String, Vec<u8>, SystemTime)> {
    files(folder)
        .into_iter()
        .map(|name| {
            let path = folder.join(&name);
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            (name, fs::read(path).unwrap(), modified)
        })
        .collect()
}

/// Runs the demo on a database and checks that its folder is as it was.
#[track_caller]
fn leaves_alone(original: &Path) -> i64 {
    let folder = original.parent().unwrap();
    let before = state(folder);
    let kept = tempfile::tempdir().unwrap();
    let ran = storex(["demo", "--from", text(original), "--keep", text(kept.path())]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(state(folder) == before, "{:?}", files(folder));
    number(&kept.path().join("b.db"), "SELECT count(*) FROM note WHERE id <= 20")
}

#[test]
fn a_read_only_original_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let original = database(folder.path(), "original.db", NOTES);
    let mut permissions = fs::metadata(&original).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&original, permissions).unwrap();
    leaves_alone(&original);
}

#[test]
fn a_database_in_write_ahead_mode_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let original =
        database(folder.path(), "original.db", &format!("PRAGMA journal_mode = WAL; {NOTES}"));
    assert_eq!(files(folder.path()), ["original.db"]);
    leaves_alone(&original);
}

#[test]
fn what_another_program_has_just_written_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let original =
        database(folder.path(), "original.db", &format!("PRAGMA journal_mode = WAL; {NOTES}"));
    let writer = Connection::open(&original).unwrap();
    writer
        .execute_batch(
            "PRAGMA wal_autocheckpoint = 0; INSERT INTO note VALUES (-1, 'in the -wal file')",
        )
        .unwrap();
    assert_eq!(files(folder.path()), ["original.db", "original.db-shm", "original.db-wal"]);
    let before = fs::read(folder.path().join("original.db")).unwrap();
    let kept = tempfile::tempdir().unwrap();
    let report =
        storex(["demo", "--json", "--from", text(&original), "--keep", text(kept.path())]).json();
    assert_eq!(report["initial_sync"]["rows"], 21);
    assert!(before == fs::read(folder.path().join("original.db")).unwrap());
    writer.execute_batch("INSERT INTO note VALUES (-2, 'still there')").unwrap();
}

#[test]
fn a_copied_write_ahead_log_counts() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let original =
        database(folder.path(), "original.db", &format!("PRAGMA journal_mode = WAL; {NOTES}"));
    let writer = Connection::open(&original).unwrap();
    writer.execute_batch("PRAGMA wal_autocheckpoint = 0; DELETE FROM note WHERE id > 15").unwrap();
    for name in ["original.db", "original.db-wal"] {
        fs::copy(folder.path().join(name), copied.path().join(name)).unwrap();
    }
    let left = leaves_alone(&copied.path().join("original.db"));
    assert!(left <= 15, "{left}: the -wal file was passed over");
}

#[test]
fn a_database_left_in_the_middle_of_a_transaction_is_rolled_back_in_the_copy() {
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let original = database(folder.path(), "original.db", NOTES);
    let writer = Connection::open(&original).unwrap();
    // With room for one page in memory, the others are written before the commit.
    writer
        .execute_batch(
            "PRAGMA cache_size = 1; BEGIN;
             UPDATE note SET text = hex(zeroblob(2000)); INSERT INTO note VALUES (-1, hex(zeroblob(20000)));",
        )
        .unwrap();
    for name in ["original.db", "original.db-journal"] {
        fs::copy(folder.path().join(name), copied.path().join(name)).unwrap();
    }
    assert_ne!(fs::metadata(copied.path().join("original.db")).unwrap().len(), 8192);
    let copy = copied.path().join("original.db");
    leaves_alone(&copy);
    drop(writer);
    let kept = tempfile::tempdir().unwrap();
    let ran = storex(["demo", "--from", text(&copy), "--keep", text(kept.path())]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let half = "SELECT count(*) FROM note WHERE id = -1 OR text LIKE '0000%'";
    assert_eq!(number(&kept.path().join("b.db"), half), 0);
}

#[test]
fn a_database_that_is_locked_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let original = database(folder.path(), "original.db", NOTES);
    let writer = Connection::open(&original).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let ran = storex(["demo", "--from", text(&original)]);
    assert!(ran.refused().contains("is locked by another program"), "{ran:?}");
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("text.db"), "A text, and a long one, that begins like no database does.")
        .unwrap();
    fs::write(path("short.db"), "SQLite").unwrap();
    fs::write(path("empty.db"), "").unwrap();
    let mut cut = fs::read(database(folder.path(), "whole.db", NOTES)).unwrap();
    cut.truncate(5000);
    fs::write(path("cut.db"), &cut).unwrap();
    let mut damaged = fs::read(path("whole.db")).unwrap();
    damaged[100..].fill(0xaa);
    fs::write(path("damaged.db"), &damaged).unwrap();
    database(folder.path(), "no-tables.db", "PRAGMA user_version = 3");
    database(folder.path(), "view.db", "CREATE VIEW only AS SELECT 1 AS one");
    database(folder.path(), "no-key.db", "CREATE TABLE log(line TEXT); CREATE TABLE other(a, b)");
    for (name, reason) in [
        ("missing.db", "there is no such file"),
        ("text.db", "is not a SQLite database, or is encrypted"),
        ("short.db", "is not a SQLite database, or is encrypted"),
        ("empty.db", "has no tables, so there is nothing to show"),
        ("no-tables.db", "has no tables, so there is nothing to show"),
        ("view.db", "has no tables, so there is nothing to show"),
        ("no-key.db", "has no table that storex can take in"),
        ("cut.db", "does not pass SQLite's own check: "),
        ("damaged.db", "is damaged"),
        ("", "is a folder; give the database file in it"),
    ] {
        let kept = tempfile::tempdir().unwrap();
        let given = path(name);
        let ran = storex(["demo", "--from", text(&given), "--keep", text(kept.path())]);
        let message = ran.refused();
        assert!(message.contains(reason), "{name}: {message}");
        assert!(message.contains(text(folder.path())), "{name}: {message}");
        assert_eq!(files(kept.path()), Vec::<String>::new(), "{name} leaves something behind");
        assert_eq!(ran.stdout, "", "{name}");
    }
    let ran = storex(["demo", "--from", text(&path("no-key.db"))]);
    for table in ["log: ", "other: "] {
        assert!(ran.refused().contains(table), "{ran:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let ran = storex(["demo", "--keep", text(&file)]);
    assert!(ran.refused().ends_with("is there already and is no folder"), "{ran:?}");
    fs::create_dir(folder.path().join("used")).unwrap();
    fs::write(folder.path().join("used/shared-log.db-wal"), "somebody's").unwrap();
    let ran = storex(["demo", "--keep", text(&folder.path().join("used"))]);
    assert!(ran.refused().contains("shared-log.db-wal is there already"), "{ran:?}");
    let below = file.join("below");
    assert!(storex(["demo", "--keep", text(&below)]).refused().contains("making the folder"));
}

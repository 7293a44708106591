//! The process is killed at every named step of a migration of 100,000 objects. Opening again finishes it, and the database
//! is the one that an uninterrupted migration makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use rusqlite::Connection;
use rusqlite::types::Value;
use storex_core::{Batch, Error, ErrorKind, Record, Storage};
use storex_e2e::place::Place;
use storex_e2e::process::{Process, run, text};
use storex_e2e::{block_on, is_long, migration};

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");

/// The database before the migration, made once.
fn template() -> &'static Place {
    static TEMPLATE: OnceLock<Place> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let place = Place::new();
        block_on(migration::make(&place.a())).unwrap();
        place
    })
}

/// The schema, and every row of every table.
type Dump = (Vec<String>, BTreeMap<String, Vec<Vec<Value>>>);

fn dump(path: &Path) -> Dump {
    let conn = Connection::open(path).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = conn.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let schema = texts("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
    let tables = texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT NULL");
    let rows = |table: &String| {
        let mut statement =
            conn.prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1, 2")).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|n| row.get(n)).collect();
        statement.query_map([], row).unwrap().map(Result::unwrap).collect()
    };
    let dump = tables.iter().map(|table| (table.clone(), rows(table))).collect();
    (schema, dump)
}

/// The steps of a whole migration, and what it makes.
fn uninterrupted() -> (Vec<String>, Dump) {
    let place = template().copy();
    assert!(!run(CHILD, "migrate", &place, &["2", "0"]), "nobody has killed it");
    let steps = std::fs::read_to_string(place.file("steps")).unwrap();
    let (schema, rows) = dump(&place.a());
    assert_eq!(rows["person"].len(), usize::try_from(migration::ROWS).unwrap());
    assert!(!schema.iter().any(|sql| sql.contains("_storex_old") || sql.contains("people")));
    (steps.lines().map(str::to_owned).collect(), (schema, rows))
}

/// Each kind of step at its first, second and last time and in the middle; all of them in a long run.
fn fatal(steps: &[String]) -> Vec<usize> {
    let mut kinds: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, step) in steps.iter().enumerate() {
        kinds.entry(step).or_default().push(n + 1);
    }
    if is_long() {
        return (1..=steps.len()).collect();
    }
    let few = |at: Vec<usize>| [0, 1, at.len() / 2, at.len() - 1].map(|n| at.get(n).copied());
    let mut fatal: Vec<usize> = kinds.into_values().flat_map(few).flatten().collect();
    fatal.sort_unstable();
    fatal.dedup();
    fatal
}

#[test]
fn killed_at_every_step_and_opened_again_it_is_the_same_as_uninterrupted() {
    let (steps, expected) = uninterrupted();
    for kind in ["begin", "batch", "finish"] {
        for when in ["before", "after"] {
            let step = format!("migrate/sqlite.migrate.{when}_{kind}");
            assert!(steps.contains(&step), "no step {step} among {}", steps.len());
        }
    }
    for k in fatal(&steps) {
        let place = template().copy();
        assert!(run(CHILD, "migrate", &place, &["2", &k.to_string()]), "step {k} was not reached");
        // Killed once more on the way: it goes on from where it is.
        let _ = run(CHILD, "migrate", &place, &["2", "5"]);
        let again = block_on(migration::open(&place.a(), 2)).unwrap();
        block_on(again.close()).unwrap();
        assert!(dump(&place.a()) == expected, "killed at step {k}, {}", steps[k - 1]);
    }
}

/// Somewhere in the middle, killed.
fn half_done(version: &str, k: &str) -> Place {
    let place = template().copy();
    assert!(run(CHILD, "migrate", &place, &[version, k]), "it was not killed");
    place
}

#[test]
fn in_the_middle_an_older_program_is_refused_with_both_versions() {
    let place = half_done("2", "30");
    let before = dump(&place.a());
    for _ in 0..2 {
        let error = block_on(migration::open(&place.a(), 1)).unwrap_err();
        assert!(matches!(error, Error::NewerSchema { stored: 2, known: 1, .. }), "{error}");
    }
    assert!(dump(&place.a()) == before);
}

/// Nobody has to find the program of the second version again.
#[test]
fn in_the_middle_a_newer_program_begins_anew() {
    let expected = template().copy();
    assert!(!run(CHILD, "migrate", &expected, &["3", "0"]));
    let expected = dump(&expected.a());
    let place = half_done("2", "30");
    // Killed at the taking back, before and after, and later.
    for k in ["1", "2", "20"] {
        assert!(run(CHILD, "migrate", &place, &["3", k]));
    }
    block_on(block_on(migration::open(&place.a(), 3)).unwrap().close()).unwrap();
    assert!(dump(&place.a()) == expected);
}

/// A program of the old version that has the database open all the while.
#[test]
fn a_program_that_is_running_fails_loudly_and_loses_nothing() {
    let place = template().copy();
    let old = block_on(migration::open(&place.a(), 1)).unwrap();
    let write = |storage: &Storage, id: i64| {
        let record = Record::new(vec![id.into(), "late".into(), "5".into()]);
        block_on(storage.execute(Batch::new().create("people", vec![record])))
    };
    write(&old, 1_000_000).unwrap();
    assert!(run(CHILD, "migrate", &place, &["2", "30"]));
    let error = write(&old, 1_000_001).unwrap_err();
    assert!(matches!(error, Error::NewerSchema { stored: 2, known: 1, .. }), "{error}");
    assert!(block_on(old.find(storex_core::Query::new("people"))).is_err());
    let _ = block_on(old.close());
    let new = block_on(migration::open(&place.a(), 2));
    // Its row is not lost, it is in the way: it has a number that another one has.
    let error = new.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let old = block_on(migration::open(&place.a(), 1)).unwrap();
    block_on(old.execute(Batch::new().delete("people", storex_core::Filter::key(1_000_000))))
        .unwrap();
    block_on(old.close()).unwrap();
    block_on(block_on(migration::open(&place.a(), 2)).unwrap().close()).unwrap();
    assert!(dump(&place.a()) == uninterrupted().1);
}

#[test]
fn two_processes_at_once_both_end_well() {
    let place = template().copy();
    let arguments = ["migrate", text(place.path()), "2", "0"];
    let processes: Vec<Process> = (0..2).map(|_| Process::start(CHILD, &arguments)).collect();
    for mut process in processes {
        process.let_go();
        assert!(!process.was_killed());
    }
    assert!(dump(&place.a()) == uninterrupted().1);
}

#[test]
fn a_dry_run_touches_no_file() {
    let place = Place::new();
    let files = |place: &Place| -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap());
        let read = entries.map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        });
        read.collect()
    };
    let plan = |place: &Place| block_on(migration::builder(&place.a(), 2).unwrap().plan()).unwrap();
    assert!(plan(&place).to_string().contains("more: make it"));
    assert_eq!(files(&place).len(), 0);
    let place = template().copy();
    let before = files(&place);
    assert!(plan(&place).to_string().contains("people: rename it to `person`"));
    assert!(files(&place) == before);
}

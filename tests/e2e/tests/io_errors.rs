//! F7, F9 and F4 below the level of steps, by strace: the n-th write, flush or read of a file fails, or the process is
//! killed in it, for every n. What was acknowledged is there, what was refused is not, and the error says what happened.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use storex_core::TokioRuntime;
use storex_e2e::audit::{self, Universe};
use storex_e2e::disk::{has_program, not_run};
use storex_e2e::ops::{self, Op};
use storex_e2e::place::Place;
use storex_e2e::process::{Notes, has_failed, text, traced};
use storex_e2e::{block_on, is_long, schema, story};

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");

/// Whether strace is there and may trace.
fn can_trace(what: &str) -> bool {
    if !has_program("strace") {
        not_run(what, "there is no strace");
        return false;
    }
    let place = Place::new();
    let args = ["go-on", text(place.path()), "1"];
    let works = traced(CHILD, &args, &place, "a.db", "pwrite64:error=EIO:when=30000").code() == 0;
    if !works {
        not_run(what, "strace may not trace here");
    }
    works
}

/// What became of a script in which one call after the other has failed.
struct Outcome {
    /// How many such calls there are in a whole run.
    calls: u64,
    /// How many logged writes.
    writes: u64,
    /// How often each kind of error was told; `none`: the failure did no harm.
    kinds: BTreeMap<String, u64>,
}

/// The n-th of these calls on this file fails, for every n.
fn each_fails(file: &str, call: &str, error: &str) -> Outcome {
    let mut kinds = BTreeMap::new();
    for n in 1.. {
        let place = Place::new();
        let inject = format!("{call}:error={error}:when={n}");
        let args = ["go-on", text(place.path()), "15"];
        let mut child = traced(CHILD, &args, &place, file, &inject);
        let mut failures = Vec::new();
        while let Some(line) = child.line() {
            failures.push(line);
        }
        assert_eq!(child.code(), 0, "{file}, {inject}: the child came to its end: {failures:?}");
        let failed = has_failed(&place);
        assert!(failures.len() <= 1, "{file}, {inject}: one failure became several: {failures:?}");
        assert!(failed || failures.is_empty(), "{file}, {inject}: {failures:?}");
        let writes = check(&place);
        if !failed {
            return Outcome { calls: n - 1, writes, kinds };
        }
        let kind = failures.first().and_then(|failure| failure.split(' ').next());
        *kinds.entry(kind.unwrap_or("none").to_owned()).or_default() += 1;
    }
    unreachable!("a script has an end")
}

/// What was refused is not there, and what was acknowledged is: the child went on, so nothing is in doubt. Then another
/// one opens the database, finds everything in order and writes.
fn check(place: &Place) -> u64 {
    let told = Notes::writes(&Notes::read(&place.file("notes")));
    let writes = told.iter().filter(|touched| !touched.is_empty()).count();
    let copy = place.copy();
    for path in [copy.a(), place.a()] {
        let universe = Universe::read(Path::new("none"), &[&path]);
        audit::check_device(&path, &universe, None);
        let own = audit::standing(&path).map_or(Vec::new(), |standing| universe.of(standing.me));
        audit::check_acknowledgements(&own, 0, &told);
        assert_eq!(own.len(), writes, "{}: what was refused is there", path.display());
    }
    block_on(async {
        let a = schema::open_sqlite(&place.a(), Arc::new(TokioRuntime)).await.expect("it opens");
        let op = Op::Gather { team: "after".to_owned(), size: 3 };
        assert_eq!(ops::perform(&a, &op).await.expect("a write").len(), 3);
        a.close().await.expect("it closes");
    });
    let universe = Universe::read(Path::new("none"), &[&place.a()]);
    audit::check_device(&place.a(), &universe, None);
    writes as u64
}

#[test]
fn c79_a_flush_that_fails_is_told_and_nothing_is_acknowledged_by_it() {
    if !can_trace("a flush that fails") {
        return;
    }
    for file in ["a.db", "a.db-wal"] {
        let Outcome { calls, writes, kinds } = each_fails(file, "fsync,fdatasync", "EIO");
        println!("{file}: {calls} flushes, {kinds:?}");
        assert!(calls > 0);
        assert!(
            file == "a.db" || calls >= writes,
            "every commit waits for the disk: {calls} of {writes}"
        );
        let known = ["Io", "none"];
        assert!(kinds.keys().all(|kind| known.contains(&kind.as_str())), "{kinds:?}");
    }
}

#[test]
fn c79_a_write_or_a_read_that_fails_is_told_and_leaves_nothing_half_written() {
    if !can_trace("a write that fails") {
        return;
    }
    let everywhere = ["a.db", "a.db-wal", "a.db-shm"];
    for (call, error, known, files) in [
        ("pwrite64", "ENOSPC", &["Full"][..], everywhere.as_slice()),
        ("pwrite64", "EIO", &["Io"], &["a.db", "a.db-wal"]),
        // SQLite only says that the index of the log could not be made larger.
        ("pwrite64", "EIO", &["Full"], &["a.db-shm"]),
        ("ftruncate", "EIO", &["Io"], &everywhere),
        // SQLite takes a page that the disk cannot read for a damaged one.
        ("pread64", "EIO", &["Io", "Corrupt"], &everywhere),
    ] {
        for file in files {
            let Outcome { calls, kinds, .. } = each_fails(file, call, error);
            println!("{file}: {calls} calls of {call}, {error}: {kinds:?}");
            let known = |it: &String| it == "none" || known.contains(&it.as_str());
            assert!(kinds.keys().all(known), "{file}, {call}, {error}: {kinds:?}");
        }
    }
}

#[test]
fn c01_killed_in_a_system_call_a_row_changed_if_and_only_if_its_entry_is_there() {
    if !can_trace("a kill in a system call") {
        return;
    }
    let template = Place::new();
    block_on(story::prepare(&template, 11));
    // A prime number of calls apart, so that no kind of call is left out.
    let apart = if is_long() { 1 } else { 13 };
    let mut kills = BTreeMap::new();
    for file in ["a.db", "a.db-wal", "shared.db", "shared.db-wal", "c.db-wal"] {
        for n in (1..).step_by(apart) {
            let place = template.copy();
            let args = ["story", text(place.path()), "11", "0"];
            let calls = "pwrite64,fsync,ftruncate,unlink";
            let killed =
                traced(CHILD, &args, &place, file, &format!("{calls}:signal=KILL:when={n}"));
            if !killed.was_killed() {
                break;
            }
            *kills.entry(file).or_insert(0) += 1;
            let told = Notes::read(&place.file("notes"));
            story::check_crash(&place, 0, &told);
            block_on(story::finish(&place, n));
        }
    }
    println!("{kills:?}");
    assert!(kills.values().sum::<i32>() >= 30, "too few to tell: {kills:?}");
}

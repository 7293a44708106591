//! C28 to C36 with real processes: two or three on one SQLite file, one of which syncs at a time, whatever is killed or
//! stopped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use storex_e2e::place::Place;
use storex_e2e::process::{Process, text};
use storex_e2e::rng::Rng;
use storex_e2e::{block_on, is_long, story, writers};

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");

/// Starts a process that holds the database's syncing, or waits for it, until it is killed.
fn holder(place: &Place, means: &str) -> Process {
    Process::start(CHILD, &["hold-sync", text(place.path()), means])
}

/// How long it took until the process said so.
#[allow(clippy::disallowed_methods)] // another process is waited for, by the real clock
fn until(process: &mut Process, line: &str) -> Duration {
    let begun = Instant::now();
    assert!(process.wait_for(line), "it says {line:?}");
    begun.elapsed()
}

#[test]
fn c29_a_killed_holder_is_taken_over_from() {
    for (means, limit) in [("lease", Duration::from_secs(20)), ("file", Duration::from_secs(10))] {
        let place = Place::new();
        let mut first = holder(&place, means);
        until(&mut first, "held");
        let mut second = holder(&place, means);
        until(&mut second, "waits");
        first.kill();
        assert!(until(&mut second, "held") < limit, "{means}");
    }
}

#[test]
fn c31_a_stopped_holder_that_goes_on_is_refused() {
    let place = Place::new();
    let mut first = holder(&place, "lease");
    until(&mut first, "held");
    stop_outside_of_writes(&mut first, &place.a());
    let mut second = holder(&place, "lease");
    until(&mut second, "held");
    first.go_on();
    until(&mut first, "lost");
    // It waits for its turn as everybody does.
    second.kill();
    until(&mut first, "held");
}

/// Stops a process at a moment at which it writes nothing, as its lease may just be renewed: it would hold up all others, as long as it stands still.
fn stop_outside_of_writes(process: &mut Process, database: &Path) {
    process.stop();
    while !is_free(database) {
        process.go_on();
        process.stop();
    }
}

/// Whether a process may write: none that is stopped is in the middle of a write.
fn is_free(database: &Path) -> bool {
    let conn = Connection::open(database).unwrap();
    conn.busy_timeout(Duration::from_secs(1)).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok()
}

/// Writers of one database that all want to sync it; one of them is stopped or killed at random, again and again.
fn stopped_and_killed_at_random(means: &str, writers: usize, rounds: usize, seed: u64) {
    let place = Place::new();
    block_on(story::prepare(&place, seed));
    let mut rng = Rng::new(seed);
    let mut names = Vec::new();
    let mut start = || {
        names.push(format!("w{}", names.len()));
        let name = names.last().unwrap();
        let mut child = Process::start(CHILD, &["share", text(place.path()), name, means]);
        assert!(child.wait_for("opened"), "the child opens");
        child
    };
    let mut children: Vec<Process> = (0..writers).map(|_| start()).collect();
    for _ in 0..rounds {
        let at = usize::try_from(rng.below(writers as u64)).unwrap();
        for child in &mut children {
            for _ in 0..=rng.below(8) {
                assert!(child.line().is_some(), "it writes and syncs without an end");
            }
        }
        children[at].stop();
        if is_free(&place.a()) && is_free(&place.shared()) {
            for _ in 0..6 {
                assert!(children[(at + 1) % writers].line().is_some(), "the others go on");
            }
        }
        if rng.below(2) == 0 {
            children[at].kill();
            children[at] = start();
        } else {
            children[at].go_on();
        }
    }
    children.iter_mut().for_each(Process::kill);
    drop(children);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let told = writers::check(&place, &names);
    assert!(told > rounds, "{told} writes are too few to tell");
    block_on(story::finish(&place, seed));
}

#[test]
fn c28_two_processes_share_a_database_and_one_syncs_at_a_time() {
    let rounds = if is_long() { 300 } else { 12 };
    stopped_and_killed_at_random("lease", 2, rounds, 1);
}

#[test]
fn c28_three_processes_with_a_lock_of_the_operating_system() {
    let rounds = if is_long() { 300 } else { 8 };
    stopped_and_killed_at_random("file", 3, rounds, 2);
}

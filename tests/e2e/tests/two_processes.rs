//! F13: two processes write to one database at once. L6: no write takes another's place, in whatever millisecond both
//! were made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use storex_e2e::place::Place;
use storex_e2e::process::{Process, text};
use storex_e2e::{block_on, is_long, story, writers};

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");

fn count() -> u64 {
    if is_long() { 2000 } else { 250 }
}

fn start(place: &Place, name: &str, sync: &str) -> Process {
    let count = count().to_string();
    let mut child = Process::start(CHILD, &["write", text(place.path()), name, &count, sync]);
    assert!(child.wait_for("started"), "the child starts");
    child
}

#[test]
fn two_processes_make_one_database_and_write_to_it_at_once() {
    let place = Place::new();
    let names = ["left", "right"];
    let mut children = names.map(|name| start(&place, name, "no"));
    children.iter_mut().for_each(Process::let_go);
    for mut child in children {
        while child.line().is_some() {}
        assert!(!child.was_killed());
    }
    let told = writers::check(&place, &names);
    assert!(told as u64 > count(), "{told} logged writes are too few to tell");
}

#[test]
fn c38_two_processes_write_and_sync_one_database_at_once() {
    let place = Place::new();
    block_on(story::prepare(&place, 3));
    let names = ["left", "right"];
    let mut children = names.map(|name| start(&place, name, "sync"));
    children.iter_mut().for_each(Process::let_go);
    for mut child in children {
        while child.line().is_some() {}
        assert!(!child.was_killed());
    }
    assert!(writers::check(&place, &names) > 0);
    block_on(story::finish(&place, 3));
}

#[test]
fn a_process_that_is_killed_does_not_hold_up_another_on_the_same_database() {
    let place = Place::new();
    let names = ["left", "right"];
    let [mut killed, mut other] = names.map(|name| start(&place, name, "no"));
    killed.let_go();
    other.let_go();
    // Somewhere in the middle of both.
    (0..count() / 4).for_each(|_| assert!(killed.line().is_some()));
    killed.kill();
    assert!(killed.was_killed());
    let mut after = 0;
    while other.line().is_some() {
        after += 1;
    }
    assert!(!other.was_killed(), "the other one has come to its end");
    assert!(after > 0, "it has still written");
    assert!(writers::check(&place, &names) > 0);
}

#[test]
fn several_processes_that_open_a_new_database_at_once_all_get_it() {
    for round in 0..if is_long() { 100 } else { 8 } {
        let place = Place::new();
        let names = ["north", "east", "south", "west"];
        let args = |name| ["write", text(place.path()), name, "1", "no"];
        let mut children = names.map(|name| Process::start(CHILD, &args(name)));
        children.iter_mut().for_each(|child| assert!(child.wait_for("started")));
        children.iter_mut().for_each(Process::let_go);
        for mut child in children {
            while child.line().is_some() {}
            assert!(!child.was_killed(), "round {round}");
        }
        assert!(writers::check(&place, &names) > 0);
    }
}

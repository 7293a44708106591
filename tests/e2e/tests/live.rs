//! C40, C47: what another process writes to the same database is seen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;

use storex_core::{Direction, Query, Runtime as _, TokioRuntime};
use storex_e2e::place::Place;
use storex_e2e::process::{Process, text};
use storex_e2e::{block_on, schema};

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");

/// How many accounts the other process creates.
const COUNT: usize = 15;

/// Within 200 ms of the commit, in the middle: a machine that is busy with other things is late now and then.
#[test]
fn c47_a_live_query_has_what_another_process_has_written() {
    let place = Place::new();
    let mut child = Process::start(CHILD, &["accounts", text(place.path()), &COUNT.to_string()]);
    let mut given = Vec::new();
    block_on(async {
        let storage = schema::open_sqlite(&place.a(), Arc::new(TokioRuntime)).await.unwrap();
        let query = Query::new("account").order_by("name", Direction::Ascending);
        let mut live = storage.live(query);
        assert_eq!(live.next().await.unwrap().unwrap(), []);
        child.let_go();
        while given.len() < COUNT {
            let accounts = live.next().await.unwrap().unwrap();
            assert!(accounts.len() > given.len(), "the same is not given twice");
            given.resize(accounts.len(), TokioRuntime.now().0);
        }
        storage.close().await.unwrap();
    });
    let committed: Vec<i64> =
        (0..COUNT).map(|_| child.line().expect("a line").parse().unwrap()).collect();
    assert!(!child.was_killed());
    let mut late: Vec<i64> = given.iter().zip(&committed).map(|(given, at)| given - at).collect();
    late.sort_unstable();
    println!("{late:?} ms after the commit");
    assert!(late[COUNT / 2] <= 200, "{late:?}");
}

//! Devices, one server, and everything between them and behind it that can break: the network is cut, refuses, stalls and is slow, the
//! server is killed and started again, the database of the server too, and the devices. In the end all have the same, and it is
//! what they have written. A failure names its seed: `STOREX_SEED=<seed>` makes the same troubles again. `STOREX_LONG=1`: ten minutes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod agreed;
mod child;
mod device;
mod proxy;
mod server;
mod site;
mod troubles;
mod verdict;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use storex_core::{Runtime as _, TokioRuntime};
use storex_e2e::is_long;
use storex_e2e::rng::Rng;

use site::{Database, Site};
use troubles::Troubles;

/// How long the troubles last, in milliseconds.
fn duration() -> i64 {
    if is_long() { 600_000 } else { 12_000 }
}

fn seed() -> u64 {
    match std::env::var("STOREX_SEED") {
        Ok(seed) => seed.parse().expect("STOREX_SEED is a number"),
        Err(_) if is_long() => RandomState::new().build_hasher().finish(),
        Err(_) => 1,
    }
}

fn everything_ends_equal(database: Database, encrypted: bool) {
    let seed = seed();
    println!("STOREX_SEED={seed}");
    let names = if is_long() { &["a", "b", "c"][..] } else { &["a", "b"] };
    let mut site = Site::open(database, encrypted, names);
    let mut troubles = Troubles::new(Rng::new(seed), &site);
    let begun = TokioRuntime.now().0;
    while TokioRuntime.now().0 < begun + duration() || !troubles.had_all() {
        troubles.make_one(&mut site);
    }
    let lasted = TokioRuntime.now().0 - begun;
    println!("{lasted} ms of troubles: {troubles}; {:?}", site.passed());
    let settled = site.settle();
    println!("{:?} exchanges; all in step {} ms later", settled.exchanges, settled.after);
    verdict::check(&site, &settled);
}

#[test]
fn c10_devices_of_one_server_on_sqlite_end_equal_whatever_breaks() {
    everything_ends_equal(Database::File, false);
}

#[test]
fn c10_devices_with_end_to_end_encryption_end_equal_whatever_breaks() {
    everything_ends_equal(Database::File, true);
}

// By this name `cargo xtask test` leaves it out where there is no PostgreSQL, and says so.
mod on_postgres {
    use storex_postgres_cluster::{Cluster, Durability, Programs};

    use super::site::Database;

    /// In a cluster of its own, as it is killed too.
    #[test]
    fn c10_devices_of_one_server_end_equal_whatever_breaks() {
        let programs = Programs::find().expect("PostgreSQL is installed (`cargo xtask setup`)");
        let cluster = Cluster::start(&programs, Durability::Full).expect("it starts");
        super::everything_ends_equal(Database::Postgres(cluster), false);
    }
}

//! F4: the process is killed with `kill -9` at random moments, again and again on the same databases, while another
//! device writes to the same shared log. A failure names its seed: `STOREX_SEED=<seed>` repeats its choices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use storex_core::{Runtime, Storage, TokioRuntime};
use storex_e2e::audit;
use storex_e2e::ops;
use storex_e2e::place::Place;
use storex_e2e::process::{Notes, Process, Told, text};
use storex_e2e::rng::Rng;
use storex_e2e::schema::open_sqlite;
use storex_e2e::{block_on, is_long, story};
use storex_sync::BackendSharedLog;

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");

fn seeds() -> Vec<u64> {
    match std::env::var("STOREX_SEED") {
        Ok(seed) => vec![seed.parse().expect("STOREX_SEED is a number")],
        Err(_) if is_long() => (1..=20).collect(),
        Err(_) => vec![1, 2],
    }
}

/// Waits less than a write takes, so that the kill falls anywhere in it.
#[allow(clippy::disallowed_methods)] // another process goes on meanwhile: no virtual clock can stand for that
fn wait(rng: &mut Rng, at_most: u64) {
    std::thread::sleep(Duration::from_micros(rng.below(at_most)));
}

/// Device B, in this process.
struct Other {
    storage: Storage,
    log: Arc<BackendSharedLog>,
    rng: Rng,
    number: u64,
}

impl Other {
    async fn open(place: &Place, seed: u64) -> Self {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let storage = open_sqlite(&place.b(), runtime).await.unwrap();
        let log = story::open_log(place).await;
        Self { storage, log, rng: Rng::new(seed), number: 1_000_000_000_000 }
    }

    async fn work(&mut self) {
        for _ in 0..self.rng.below(4) {
            self.number += 1;
            let op = ops::random(&mut self.rng, "b", self.number);
            ops::perform(&self.storage, &op).await.unwrap();
        }
        if self.rng.below(3) == 0 {
            story::sync(&self.storage, self.log.clone()).await.unwrap();
        }
    }

    async fn close(&self) {
        self.storage.close().await.unwrap();
        self.log.close().await.unwrap();
    }
}

/// Starts the child, kills it at some moment, and tells what was acknowledged to it.
fn one_life(place: &Place, seed: u64, life: u64, rng: &mut Rng, other: &mut Other) -> Vec<Told> {
    let dir = text(place.path());
    let mut child = Process::start(CHILD, &["live", dir, &seed.to_string(), &life.to_string()]);
    assert!(child.wait_for("started"), "the child starts");
    if rng.below(8) == 0 {
        // While it opens the database, or recovers what the last kill has left.
        wait(rng, 10_000);
    } else {
        assert!(child.wait_for("opened"), "the child opens the database that was left");
        for _ in 0..rng.below(30) {
            child.line().expect("the child goes on");
            if rng.below(4) == 0 {
                block_on(other.work());
            }
        }
        wait(rng, 3000);
    }
    child.kill();
    assert!(child.was_killed(), "it was killed, it did not fail");
    Notes::read(&place.file(&format!("notes-{life}")))
}

fn many_lives(seed: u64, lives: u64) -> (usize, usize) {
    println!("STOREX_SEED={seed}");
    let place = Place::new();
    block_on(story::prepare(&place, seed));
    block_on(async {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let a = open_sqlite(&place.a(), runtime.clone()).await.unwrap();
        let b = open_sqlite(&place.b(), runtime).await.unwrap();
        story::receive(&b, &a).await;
        for op in ops::beginning("a") {
            ops::perform(&a, &op).await.unwrap();
        }
        a.close().await.unwrap();
        b.close().await.unwrap();
    });
    let mut rng = Rng::new(seed);
    let mut other = block_on(Other::open(&place, seed));
    let (mut writes, mut syncs) = (0, 0);
    for life in 1..=lives {
        let before = audit::standing(&place.a()).unwrap().logged;
        let told = one_life(&place, seed, life, &mut rng, &mut other);
        story::check_crash(&place, before, &told);
        writes += Notes::writes(&told).iter().filter(|touched| !touched.is_empty()).count();
        syncs += told.iter().filter(|told| **told == Told::Synced).count();
    }
    block_on(other.close());
    block_on(story::finish(&place, seed));
    (writes, syncs)
}

#[test]
fn c01_killed_at_random_again_and_again_a_row_changed_if_and_only_if_its_entry_is_there() {
    let lives = if is_long() { 200 } else { 60 };
    let (mut writes, mut syncs) = (0, 0);
    for seed in seeds() {
        let (more_writes, more_syncs) = many_lives(seed, lives);
        writes += more_writes;
        syncs += more_syncs;
    }
    println!("{writes} logged writes and {syncs} exchanges acknowledged between kills");
    assert!(writes + syncs >= 1000, "too few to tell: {writes} writes, {syncs} exchanges");
}

#[test]
fn an_initial_sync_that_is_killed_goes_on_from_what_has_arrived() {
    for seed in seeds() {
        println!("STOREX_SEED={seed}");
        let mut rng = Rng::new(seed ^ 0xfeed);
        let place = Place::new();
        block_on(story::prepare(&place, seed));
        block_on(async {
            let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
            let b = open_sqlite(&place.b(), runtime).await.unwrap();
            for team in 0..120 {
                let op = ops::Op::Gather { team: format!("b-many-{team}"), size: 5 };
                ops::perform(&b, &op).await.unwrap();
            }
            b.close().await.unwrap();
        });
        let sender = audit::standing(&place.b()).unwrap();
        let mut arrived = 0;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut child = Process::start(CHILD, &["receive", text(place.path()), "20"]);
            assert!(child.wait_for("opened"), "the child opens the databases that were left");
            wait(&mut rng, 15_000 * attempts);
            child.kill();
            let killed = child.was_killed();
            let told = Notes::read(&place.file("notes"));
            let standing = story::check_crash(&place, 0, &told).unwrap();
            let rows = audit::contents(&place.copy().a()).len();
            assert!(rows >= arrived, "what has arrived stays: {rows} of {arrived}");
            arrived = rows;
            if !killed || standing.has_applied(sender.me) {
                break;
            }
        }
        println!("{attempts} attempts");
        block_on(story::finish(&place, seed));
    }
}

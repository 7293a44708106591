//! F5: the process is killed at every named step of writing, syncing and receiving. After each kill: a row changed if and
//! only if its entry is there, what was acknowledged is there, and the devices get in step again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use storex_e2e::place::Place;
use storex_e2e::process::{Notes, Told, run};
use storex_e2e::{block_on, is_long, story};

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");

fn seeds() -> Vec<u64> {
    match std::env::var("STOREX_SEED") {
        Ok(seed) => vec![seed.parse().expect("STOREX_SEED is a number")],
        Err(_) if is_long() => (2026..2032).collect(),
        Err(_) => vec![2026],
    }
}

/// One run: killed at the k-th step (0: never). Tells where that was, and what was acknowledged before.
fn run_to(template: &Place, seed: u64, k: u64) -> (Option<String>, Vec<Told>) {
    let place = template.copy();
    let killed = run(CHILD, "story", &place, &[&seed.to_string(), &k.to_string()]);
    let told = Notes::read(&place.file("notes"));
    story::check_crash(&place, 0, &told);
    block_on(story::finish(&place, k));
    let step = killed.then(|| std::fs::read_to_string(place.file("killed")).unwrap());
    (step, told)
}

#[test]
fn c01_killed_at_every_named_step_a_row_changed_if_and_only_if_its_entry_is_there() {
    seeds().into_iter().for_each(sweep);
}

fn sweep(seed: u64) {
    println!("STOREX_SEED={seed}");
    let template = Place::new();
    block_on(story::prepare(&template, seed));
    let whole = template.copy();
    assert!(!run(CHILD, "story", &whole, &[&seed.to_string(), "0"]), "nobody has killed it");
    let steps = std::fs::read_to_string(whole.file("steps")).unwrap();
    let steps: Vec<&str> = steps.lines().collect();
    block_on(story::finish(&whole, 0));

    let next = AtomicU64::new(1);
    let (writes, syncs) = (AtomicU64::new(0), AtomicU64::new(0));
    let points: Mutex<BTreeMap<String, u64>> = Mutex::default();
    let survived = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, Into::into) {
            scope.spawn(|| {
                // Until a run comes to its end without reaching its step.
                while survived.load(Ordering::SeqCst) == 0 {
                    let k = next.fetch_add(1, Ordering::SeqCst);
                    let (step, told) = run_to(&template, seed, k);
                    let written = Notes::writes(&told).iter().filter(|it| !it.is_empty()).count();
                    writes.fetch_add(written as u64, Ordering::SeqCst);
                    let synced = told.iter().filter(|told| **told == Told::Synced).count();
                    syncs.fetch_add(synced as u64, Ordering::SeqCst);
                    match step {
                        Some(step) => *points.lock().unwrap().entry(step).or_default() += 1,
                        None => {
                            survived.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });

    let points = points.into_inner().unwrap();
    let kills: u64 = points.values().sum();
    let (writes, syncs) = (writes.into_inner(), syncs.into_inner());
    println!(
        "{kills} kills, {writes} logged writes and {syncs} exchanges acknowledged before them"
    );
    println!("{points:#?}");
    // Every step that there is in a whole run was fatal once.
    assert!(kills >= steps.len() as u64, "{kills} kills for {} steps", steps.len());
    assert!(kills >= 500 && writes + syncs >= 1000, "too few to tell");
    for step in [
        "open/sqlite.before_commit",
        "receive/initial.after_send",
        "receive/initial.after_commit",
        "receive/sqlite.after_commit",
        "write 1/sqlite.begin",
        "write 1/sqlite.step",
        "write 1/sqlite.before_commit",
        "write 1/sqlite.after_commit",
        "write 1/child.before_note",
        "sync 1 append/sync.before_append",
        "sync 1 append/sqlite.step",
        "sync 1 append/sqlite.before_commit",
        "sync 1 append/sqlite.after_commit",
        "sync 1/sync.after_append",
        "sync 1/sync.after_trim",
        "sync 1/sync.before_apply",
        "sync 1/sync.after_apply",
        "sync 1/sync.after_acknowledge",
        "sync C append/sqlite.before_commit",
    ] {
        assert!(points.contains_key(step), "never killed at {step}");
    }
}

//! C28 to C31 over a shared folder: two processes on one SQLite file and one on another, kept in step through files, whatever is
//! killed or stopped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use storex_core::{Storage, TokioRuntime};
use storex_e2e::place::Place;
use storex_e2e::process::{Process, text};
use storex_e2e::rng::Rng;
use storex_e2e::{audit, block_on, is_long, schema};
use storex_sync::{ObjectSharedLog, Sync};

const CHILD: &str = env!("CARGO_BIN_EXE_storex-e2e-child");

/// How often one is killed or stopped, and for how long at least.
const SHORT: (usize, Duration) = (10, Duration::ZERO);
const LONG: (usize, Duration) = (10, Duration::from_secs(600));

/// A process that writes to a database and keeps it in step, and what it was told is done.
struct Writer {
    database: &'static str,
    process: Process,
    created: BTreeSet<String>,
    added: u64,
}

impl Writer {
    fn start(place: &Place, database: &'static str, name: &str) -> Self {
        let arguments = ["share-folder", text(place.path()), database, name];
        let mut process = Process::start(CHILD, &arguments);
        assert!(process.wait_for("opened"), "{name} opens");
        Self { database, process, created: BTreeSet::new(), added: 0 }
    }

    /// Waits until it has done something.
    fn listen(&mut self) {
        let line = self.process.line().expect("it writes and syncs without an end");
        self.note(&line);
    }

    /// Kills it; it may be ahead of what was listened to.
    fn kill(&mut self) {
        self.process.kill();
        while let Some(line) = self.process.line() {
            self.note(&line);
        }
    }

    fn note(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("created ") {
            self.created.insert(name.to_owned());
        }
        self.added += u64::from(line == "added");
    }
}

async fn open(path: &Path) -> Storage {
    schema::open_sqlite(path, Arc::new(TokioRuntime)).await.unwrap()
}

/// Two exchanges of each of them.
async fn settle(place: &Place, storages: &[&Storage]) {
    let log = ObjectSharedLog::in_folder(place.file("folder"), Arc::new(TokioRuntime)).await;
    let log = Arc::new(log.unwrap());
    for storage in storages.iter().chain(storages) {
        Sync::open(*storage, log.clone()).await.unwrap().sync_once().await.unwrap();
    }
}

#[test]
#[allow(clippy::disallowed_methods)] // other processes run by the real clock
fn c31_processes_on_one_file_and_one_folder_lose_nothing_and_do_nothing_twice() {
    let (rounds, time) = if is_long() { LONG } else { SHORT };
    let place = Place::new();
    std::fs::create_dir(place.file("folder")).unwrap();
    block_on(async {
        let (a, b) = (open(&place.a()).await, open(&place.b()).await);
        let common = json!({"name": "common", "balance": 0});
        a.dynamic("account").unwrap().create(common).await.unwrap();
        settle(&place, &[&a, &b]).await;
        a.close().await.unwrap();
        b.close().await.unwrap();
    });

    let mut rng = Rng::new(7);
    let mut started = 0;
    let mut start = |database| {
        started += 1;
        Writer::start(&place, database, &format!("w{started}"))
    };
    let mut writers = vec![start("a.db"), start("a.db"), start("b.db")];
    let (mut gone, mut killed) = (Vec::new(), 0);
    let (begun, mut round) = (Instant::now(), 0);
    while round < rounds || begun.elapsed() < time {
        round += 1;
        for writer in &mut writers {
            (0..=rng.below(8)).for_each(|_| writer.listen());
        }
        let at = usize::try_from(rng.below(writers.len() as u64)).unwrap();
        writers[at].process.stop();
        // It may hold the lock of its database; nobody waits for what is on another one.
        let other = usize::from(writers[at].database == "a.db") * 2;
        (0..4).for_each(|_| writers[other].listen());
        if rng.below(2) == 0 {
            writers[at].kill();
            killed += 1;
            let next = start(writers[at].database);
            gone.push(std::mem::replace(&mut writers[at], next));
        } else {
            writers[at].process.go_on();
        }
    }
    writers.iter_mut().for_each(Writer::kill);
    killed += writers.len() as u64;
    gone.extend(writers);

    let created: BTreeSet<&String> = gone.iter().flat_map(|writer| &writer.created).collect();
    let added: u64 = gone.iter().map(|writer| writer.added).sum();
    assert!(created.len() > rounds && added > 0, "{} writes are too few", created.len());
    block_on(async {
        let (a, b) = (open(&place.a()).await, open(&place.b()).await);
        settle(&place, &[&a, &b]).await;
        for storage in [&a, &b] {
            let accounts = storage.dynamic("account").unwrap().find(&json!({})).await.unwrap();
            let names: Vec<&str> = accounts.iter().filter_map(|it| it["name"].as_str()).collect();
            let known: BTreeSet<&str> = names.iter().copied().collect();
            assert_eq!(known.len(), names.len(), "nothing is there twice");
            let lost: Vec<_> =
                created.iter().filter(|name| !known.contains(name.as_str())).collect();
            assert!(lost.is_empty(), "{lost:?}");
            let common = accounts.iter().find(|it| it["name"] == "common").unwrap();
            let balance = common["balance"].as_u64().unwrap();
            // What was written by a process that was killed before it could say so is there as well.
            assert!(balance >= added && balance <= added + killed, "{balance}: {added} + {killed}");
        }
        a.close().await.unwrap();
        b.close().await.unwrap();
    });
    let (a, b) = (audit::contents(&place.a()), audit::contents(&place.b()));
    audit::assert_same(&b, &a, "both devices hold the same", &place.b());
}

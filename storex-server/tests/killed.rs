//! A server with a SQLite file is killed (`kill -9`) while it writes: what it has acknowledged is there, and another one goes on at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // these are tests

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::json;
use storex_core::{Registry, Storage, Timestamp, TokioRuntime};
use storex_server::{BackendStore, SqliteStore, Store, User};
use storex_sqlite::SqliteBackend;
use storex_sync::{Cursor, Device, SealedTransaction};

/// Where the child writes; without it, it is no child.
const FOLDER: &str = "STOREX_TEST_FOLDER";

const PHONE: Device = Device { id: [1; 16], incarnation: 0 };

async fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder.join("server.db"), Arc::new(TokioRuntime)).await.unwrap()
}

fn user(n: u64) -> User {
    User::new(format!("user {n}")).unwrap()
}

async fn own(store: &SqliteStore, user: &User) -> u64 {
    let log = store.log(user).await.unwrap();
    log.read(PHONE, &Cursor::default(), 1).await.unwrap().own
}

/// Appends to the logs of two users without an end, and says what was acknowledged.
async fn write_without_end(folder: &Path) {
    let store = open(folder).await;
    let users = [user(0), user(1)];
    // The one that was killed may have come between the two.
    let mut sequence = own(&store, &users[0]).await.min(own(&store, &users[1]).await);
    loop {
        sequence += 1;
        for user in &users {
            if own(&store, user).await < sequence {
                let transaction =
                    SealedTransaction { device: PHONE, sequence, payload: vec![7; 3000] };
                store.log(user).await.unwrap().append(&[transaction]).await.unwrap();
            }
            let seen = Timestamp(i64::try_from(sequence).unwrap() * 60_000);
            store.note_device(user, PHONE.id, Some("phone"), seen).await.unwrap();
        }
        println!("acknowledged {sequence}");
    }
}

#[tokio::test]
#[ignore = "it is the process that the other test kills"]
async fn the_process_that_is_killed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        write_without_end(Path::new(&folder)).await;
    }
}

/// Kills the child when it has said so many numbers, and tells the last of them.
fn kill_after(folder: &Path, count: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let numbers = lines.filter_map(|line| {
        let line = line.unwrap();
        line.split_once("acknowledged ").map(|(_, number)| number.parse().unwrap())
    });
    let last = numbers.take(count).last().expect("the child writes");
    child.kill().unwrap();
    child.wait().unwrap();
    last
}

async fn check_integrity(folder: &Path) {
    let registry = Registry::builder().collections(BackendStore::collections()).build().unwrap();
    let backend = SqliteBackend::open(folder.join("server.db")).unwrap();
    let storage = Storage::builder(backend, registry, Arc::new(TokioRuntime)).open().await.unwrap();
    let report = storage.custom("integrity_check", json!({})).await.unwrap();
    assert_eq!(report["ok"], true, "{report}");
    storage.close().await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_is_there() {
    let folder = tempfile::tempdir().unwrap();
    for count in [1, 2, 5, 9] {
        let acknowledged = kill_after(folder.path(), count);
        check_integrity(folder.path()).await;
        let store = open(folder.path()).await;
        for user in [user(0), user(1)] {
            let log = store.log(&user).await.unwrap();
            let page = log.read(Device::NOBODY, &Cursor::default(), 1 << 30).await.unwrap();
            let written: Vec<u64> = page.transactions.iter().map(|it| it.sequence).collect();
            let end = written.len() as u64;
            assert_eq!(written, (1..=end).collect::<Vec<_>>());
            assert!(end >= acknowledged, "{end} of {acknowledged}");
            let devices = store.devices(&user).await.unwrap();
            let [device] = devices.as_slice() else { panic!("{devices:?}") };
            let seen = i64::try_from(acknowledged).unwrap() * 60_000;
            assert!(device.last_seen >= Timestamp(seen), "{device:?}");
        }
        store.close().await.unwrap();
    }
}

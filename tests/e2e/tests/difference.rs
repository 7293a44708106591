//! Two devices on SQLite that hold mostly the same: what it costs to find ten differences among very many objects.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
#![allow(clippy::disallowed_methods)] // what it prints is by the real clock

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use storex_core::{AutoPk, Definition, FieldType, Registry, Storage, TokioRuntime};
use storex_e2e::is_long;
use storex_e2e::place::Place;
use storex_sqlite::SqliteBackend;
use storex_sync::{InitialSync, InitialSyncReport, MemoryChannel, SyncLog};

async fn open(path: &Path) -> Storage {
    let note = Definition::new("note")
        .field("title", FieldType::String)
        .optional("body", FieldType::Text)
        .optional("stars", FieldType::Int);
    let registry = Registry::builder().collection(note).build().unwrap();
    Storage::builder(SqliteBackend::open(path).unwrap(), registry, Arc::new(TokioRuntime))
        .middleware(AutoPk::new())
        .middleware(SyncLog::new())
        .open()
        .await
        .unwrap()
}

/// A key that says its number and stands anywhere in the order.
fn key(number: u64) -> String {
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let text = format!("{spread:016x}{number:016x}");
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

async fn fill(storage: &Storage, count: u64) {
    let notes = storage.dynamic("note").unwrap();
    for begin in (0..count).step_by(10_000) {
        let page = begin..(begin + 10_000).min(count);
        let page: Vec<_> =
            page.map(|n| json!({"id": key(n), "title": format!("note {n}"), "stars": 0})).collect();
        notes.create_many(&page).await.unwrap();
    }
}

async fn run(from: &Storage, to: &Storage, difference: bool) -> InitialSyncReport {
    let (mut here, mut there) = MemoryChannel::pair();
    let mut sender = InitialSync::open(from).await.unwrap();
    let mut receiver = InitialSync::open(to).await.unwrap();
    if difference {
        sender = sender.difference_only();
        receiver = receiver.difference_only();
    }
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    received.unwrap();
    sent.unwrap()
}

/// The most memory that this process has had, in MiB; 0 where the system does not tell.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

#[tokio::test]
#[allow(clippy::disallowed_methods)] // it measures
async fn ten_differences_among_very_many_objects() {
    let count = if is_long() { 1_000_000 } else { 20_000 };
    let place = Place::new();
    let (a, b) = (open(&place.a()).await, open(&place.b()).await);
    fill(&a, count).await;
    run(&a, &b, false).await;

    let equal = Instant::now();
    let report = run(&a, &b, true).await;
    let cost = report.compared.unwrap();
    println!("{count} equal: {cost:?} in {:?}, peak {} MiB", equal.elapsed(), peak());
    assert_eq!((report.total(), report.tombstones, cost.round_trips), (0, 0, 1));
    assert!(cost.bytes < 5000, "{cost:?}");

    let notes = a.dynamic("note").unwrap();
    for n in [3, count / 7, count / 2, count - 5] {
        notes.update(&json!({"id": key(n)}), &json!({"title": "edited"})).await.unwrap();
    }
    for n in [11, count / 5, count / 3] {
        notes.delete(&json!({"id": key(n)})).await.unwrap();
    }
    for n in [count, count + 1, count + 2] {
        notes.create(json!({"id": key(n), "title": "new"})).await.unwrap();
    }
    let differ = Instant::now();
    let report = run(&a, &b, true).await;
    let cost = report.compared.unwrap();
    println!("{count}, ten differ: {cost:?} in {:?}, peak {} MiB", differ.elapsed(), peak());
    assert_eq!((report.total(), report.tombstones), (7, 3));
    assert!(cost.round_trips <= 5 && cost.bytes <= 50_000, "{cost:?}");
    let there = b.dynamic("note").unwrap();
    assert_eq!(there.count(&json!({})).await.unwrap(), count);
    assert_eq!(there.get(key(3).as_str()).await.unwrap().unwrap()["title"], "edited");
    assert_eq!(there.get(key(11).as_str()).await.unwrap(), None);
    assert_eq!(there.get(key(count).as_str()).await.unwrap().unwrap()["title"], "new");
}

/// A database of another program, with texts in this encoding.
async fn adopted(path: &Path, encoding: &str) -> Storage {
    let tables = format!(
        "PRAGMA encoding = '{encoding}'; CREATE TABLE word(word TEXT PRIMARY KEY NOT NULL, uses INTEGER);"
    );
    rusqlite::Connection::open(path).unwrap().execute_batch(&tables).unwrap();
    let definitions = storex_sqlite::adopt(path).unwrap().definitions;
    let registry = Registry::builder().collections(definitions).build().unwrap();
    Storage::builder(SqliteBackend::open(path).unwrap(), registry, Arc::new(TokioRuntime))
        .middleware(SyncLog::new())
        .open()
        .await
        .unwrap()
}

/// In UTF-16 a text with a letter beyond ASCII may come first that comes last in UTF-8: ranges of the one are none of the other.
#[tokio::test]
async fn what_differs_is_found_where_texts_have_another_order() {
    for encodings in [["UTF-16le", "UTF-8"], ["UTF-8", "UTF-16le"], ["UTF-16le", "UTF-16le"]] {
        let place = Place::new();
        let a = adopted(&place.a(), encodings[0]).await;
        let b = adopted(&place.b(), encodings[1]).await;
        let words = a.dynamic("word").unwrap();
        let all = (0..200).map(|n| format!("a{n:03}")).chain(["\u{101}".to_owned()]);
        let all: Vec<_> = all.map(|word| json!({"word": word, "uses": 0})).collect();
        words.create_many(&all).await.unwrap();
        run(&a, &b, false).await;
        for edited in ["a001", "a199", "\u{101}"] {
            words.update(&json!({"word": edited}), &json!({"uses": 1})).await.unwrap();
        }
        run(&a, &b, true).await;
        let there = b.dynamic("word").unwrap();
        for edited in ["a001", "a199", "\u{101}"] {
            let uses = there.get(edited).await.unwrap().unwrap()["uses"].clone();
            assert_eq!(uses, 1, "{edited}, from {} to {}", encodings[0], encodings[1]);
        }
    }
}

//! An initial sync between databases in IndexedDB, which has no snapshots: each page is of its own moment.
#![cfg(target_family = "wasm")]
#![allow(clippy::unwrap_used)] // these are tests
#![allow(missing_docs)]

use std::cell::Cell;
use std::sync::Arc;

use serde_json::json;
use storex_core::{Definition, FieldType, Query, Record, Registry, Runtime, Storage, WebRuntime};
use storex_indexeddb::IndexedDbBackend;
use storex_sync::{InitialSync, MemoryChannel, SyncLog};
use wasm_bindgen_test::wasm_bindgen_test;

/// A device with a database of its own, and notes with these numbers.
async fn device(notes: std::ops::Range<u32>) -> Storage {
    let mut name = [0; 8];
    WebRuntime.fill_random(&mut name);
    let backend = IndexedDbBackend::open(format!("initial-{:016x}", u64::from_be_bytes(name)));
    let note = Definition::new("note").field("title", FieldType::String);
    let registry = Registry::builder().collection(note.optional("stars", FieldType::Int));
    let builder =
        Storage::builder(backend.unwrap(), registry.build().unwrap(), Arc::new(WebRuntime));
    let storage = builder.middleware(SyncLog::new()).open().await.unwrap();
    let notes: Vec<_> =
        notes.map(|n| json!({"id": format!("{n:04}"), "title": "x", "stars": 0})).collect();
    storage.dynamic("note").unwrap().create_many(&notes).await.unwrap();
    storage
}

async fn small_pages(storage: &Storage) -> InitialSync {
    InitialSync::open(storage).await.unwrap().page(8)
}

async fn one_way(from: &Storage, to: &Storage) {
    let (sender, receiver) = (small_pages(from).await, small_pages(to).await);
    let (mut here, mut there) = MemoryChannel::pair();
    let (sent, received) = tokio::join!(sender.send(&mut here), receiver.receive(&mut there));
    assert_eq!(sent.unwrap().objects, received.unwrap().objects);
}

async fn notes(storage: &Storage) -> Vec<Record> {
    storage.find(Query::new("note")).await.unwrap()
}

/// Writes until it is stopped, at both ends of the collection; tells how often.
async fn write(storage: &Storage, stop: &Cell<bool>) -> u32 {
    let all = storage.dynamic("note").unwrap();
    let mut n = 0;
    while !stop.get() {
        let edit = json!({"stars": {"$inc": 1}, "title": format!("written {n}")});
        all.update(&json!({"id": {"$in": ["0001", "0198"]}}), &edit).await.unwrap();
        for id in [format!("0000 {n}"), format!("0199 {n}")] {
            all.create(json!({"id": id, "title": "new"})).await.unwrap();
        }
        all.delete(&json!({"id": format!("{:04}", 10 + n)})).await.unwrap();
        n += 1;
    }
    n
}

#[wasm_bindgen_test]
async fn what_is_written_during_a_run_is_there_after_the_next() {
    let (a, b) = (device(0..200).await, device(0..0).await);
    a.dynamic("note").unwrap().delete(&json!({"id": "0100"})).await.unwrap();
    let stop = Cell::new(false);
    let run = async {
        one_way(&a, &b).await;
        stop.set(true);
    };
    let ((), written) = tokio::join!(run, write(&a, &stop));
    assert!(written > 1, "the writer was at work: {written}");
    assert_ne!(notes(&b).await, []);
    one_way(&a, &b).await;
    assert_eq!(notes(&b).await, notes(&a).await);
}

#[wasm_bindgen_test]
async fn both_ways_both_have_all_in_the_end() {
    let (a, b) = (device(0..120).await, device(80..200).await);
    for (device, id) in [(&a, "0005"), (&b, "0195")] {
        device.dynamic("note").unwrap().delete(&json!({"id": id})).await.unwrap();
    }
    b.dynamic("note").unwrap().update(&json!({"id": "0090"}), &json!({"stars": 5})).await.unwrap();
    let (x, y) = (small_pages(&a).await, small_pages(&b).await);
    let (mut here, mut there) = MemoryChannel::pair();
    let (x, y) = tokio::join!(x.both_ways(&mut here), y.both_ways(&mut there));
    let (x, y) = (x.unwrap(), y.unwrap());
    assert_eq!((x.sent.objects, x.received.objects), (y.received.objects, y.sent.objects));
    assert_eq!(notes(&a).await, notes(&b).await);
    assert_eq!(notes(&a).await.len(), 198);
    let note = a.dynamic("note").unwrap().get("0090").await.unwrap().unwrap();
    assert_eq!(note["stars"], 5);
}

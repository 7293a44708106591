//! Random scripts of operations: IndexedDB tells the same as memory, and so as SQLite, which runs the same scripts.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use storex_conformance::{Harness, scripts};
use storex_indexeddb::IndexedDbBackend;
use storex_memory::MemoryBackend;
use wasm_bindgen_test::wasm_bindgen_test;

/// A browser has no environment: the long run is built with `STOREX_LONG`.
const SCRIPTS: u64 = if option_env!("STOREX_LONG").is_some() { 3_000 } else { 200 };

#[wasm_bindgen_test]
async fn indexeddb_does_as_memory_does() {
    let memory = || Harness::new(MemoryBackend::new);
    let indexeddb = || {
        let name = support::fresh_name();
        Harness::new(move || IndexedDbBackend::open(&*name).unwrap())
    };
    for seed in 0..SCRIPTS {
        if let Err(found) = scripts::run_one(seed, &memory, &indexeddb).await {
            panic!("seed {seed}: {}\n{:#?}", found.1, found.0);
        }
    }
}

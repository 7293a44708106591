//! The conformance suite in whatever runs this binary: a page, a worker of any kind, or Node with fake-indexeddb.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use storex_conformance::{Harness, backend_conformance};
use storex_indexeddb::IndexedDbBackend;

mod relaxed {
    use super::*;

    fn indexeddb() -> Harness {
        let name = support::fresh_name();
        Harness::new(move || IndexedDbBackend::open(&*name).unwrap())
    }

    backend_conformance!(indexeddb);
}

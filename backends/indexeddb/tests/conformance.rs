//! The conformance suite in whatever runs this binary: a page, a worker of any kind, or Node with fake-indexeddb.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use storex_conformance::{Harness, backend_conformance, stock};
use storex_indexeddb::IndexedDbBackend;

mod relaxed {
    use super::*;

    fn indexeddb() -> Harness {
        let name = support::fresh_name();
        Harness::new(move || IndexedDbBackend::open(&*name).unwrap())
    }

    backend_conformance!(indexeddb);
}

/// Behind all the middlewares that ship with storex at once; one by one they stand in the tests of the native backends.
mod behind_the_stock {
    use super::*;

    fn indexeddb() -> Harness {
        let name = support::fresh_name();
        stock::all(Harness::new(move || IndexedDbBackend::open(&*name).unwrap()))
    }

    backend_conformance!(indexeddb);
}

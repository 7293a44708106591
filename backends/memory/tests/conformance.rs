//! The conformance suite on the reference backend.
#![allow(missing_docs)]

use storex_conformance::{Harness, PassThrough, backend_conformance};
use storex_memory::MemoryBackend;

mod plain {
    use super::*;

    fn memory() -> Harness {
        Harness::new(MemoryBackend::new)
    }

    backend_conformance!(memory);
}

/// A middleware that changes nothing changes nothing.
mod behind_a_middleware {
    use super::*;

    fn memory() -> Harness {
        Harness::new(MemoryBackend::new).middleware(|| PassThrough)
    }

    backend_conformance!(memory);
}

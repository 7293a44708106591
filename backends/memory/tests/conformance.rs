//! The conformance suite on the reference backend.
#![allow(missing_docs)]

use storex_conformance::{Harness, PassThrough, backend_conformance, scripts};
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

/// The same for random scripts; that scripts find faults is shown in the crate of the suite.
#[tokio::test]
async fn scripts_tell_no_middleware_from_one_that_changes_nothing() {
    let plain = || Harness::new(MemoryBackend::new);
    scripts::run(plain, || plain().middleware(|| PassThrough)).await;
}

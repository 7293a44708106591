//! The conformance suite on the reference backend.
#![allow(missing_docs)]

use storex_conformance::{Harness, PassThrough, backend_conformance, scripts, stock};
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

/// The suite behind each of the middlewares that ship with storex.
#[cfg(not(target_family = "wasm"))]
macro_rules! behind_the_stock {
    ($($layer:ident)*) => {$(
        mod $layer {
            fn memory() -> super::Harness {
                super::stock::$layer(super::Harness::new(super::MemoryBackend::new))
            }

            super::backend_conformance!(memory, by_subject);
        }
    )*};
}

#[cfg(not(target_family = "wasm"))]
behind_the_stock! { change_watch validate traced retry_busy read_only }

/// Observers are told exactly what random scripts change.
#[tokio::test]
async fn scripts_tell_observers_exactly_what_they_change() {
    let plain = || Harness::new(MemoryBackend::new);
    scripts::run(plain, || stock::exact_images(stock::all(plain()))).await;
}

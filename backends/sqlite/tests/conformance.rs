//! The conformance suite on SQLite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
#![allow(missing_docs)]

use storex_conformance::{Harness, PassThrough, backend_conformance, stock};
use storex_sqlite::{Durability, SqliteBackend};

/// A database of its own, in a folder that goes with the harness.
fn harness(durability: Durability) -> Harness {
    let dir = tempfile::tempdir().unwrap();
    Harness::new(move || {
        SqliteBackend::builder(dir.path().join("test.db")).durability(durability).build().unwrap()
    })
}

mod plain {
    use super::*;

    fn sqlite() -> Harness {
        harness(Durability::Full)
    }

    backend_conformance!(sqlite);
}

/// A middleware that changes nothing changes nothing.
mod behind_a_middleware {
    use super::*;

    fn sqlite() -> Harness {
        harness(Durability::Normal).middleware(|| PassThrough)
    }

    backend_conformance!(sqlite);
}

/// The suite behind each of the middlewares that ship with storex, and behind all of them at once.
macro_rules! behind_the_stock {
    ($($layer:ident)*) => {$(
        mod $layer {
            fn sqlite() -> super::Harness {
                super::stock::$layer(super::harness(super::Durability::Normal))
            }

            super::backend_conformance!(sqlite, by_subject);
        }
    )*};
}

behind_the_stock! { all change_watch validate traced retry_busy read_only }

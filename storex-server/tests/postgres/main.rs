//! The store on PostgreSQL. Without `STOREX_TEST_POSTGRES` (what `cargo xtask postgres` hands over) each process starts one of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

#[path = "../support/served.rs"]
#[allow(dead_code, unreachable_pub, clippy::disallowed_methods)]
mod served;

// By this name `cargo xtask test` leaves them out where there is no PostgreSQL, and says so.
mod on_postgres;
#[path = "../server/support/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, clippy::disallowed_methods)]
mod site;

//! What the end-to-end tests and their child process share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // all of it is test code: what fails panics

pub mod audit;
pub mod chinook;
pub mod disk;
pub mod exported;
pub mod fault_proxy;
pub mod interrupted;
pub mod migration;
pub mod ops;
pub mod place;
pub mod process;
pub mod rng;
pub mod schema;
pub mod shop;
pub mod steps;
pub mod story;
pub mod writers;

/// Whether the long form of the tests was asked for.
#[must_use]
pub fn is_long() -> bool {
    std::env::var_os("STOREX_LONG").is_some_and(|value| value != "0")
}

/// Runs a future on a runtime of its own, on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime")
        .block_on(future)
}

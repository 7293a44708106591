//! The checks of the capabilities that no other test shows, by their numbers; and the table of all, `docs/capabilities.md`.
//!
//! Where a check names a large number that says nothing about correctness, a smaller one is used here and the large one is in
//! the comment: the whole is to stay a matter of seconds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods)] // the tests own the time and the tasks
#![allow(missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod exchange;
mod failures;
mod logging;
mod processes;
mod schemas;
mod signing_out;
mod switched_off;
mod table;
mod telling;
mod transport;

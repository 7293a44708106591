//! Channels over connections: the suite, and what an initial sync makes of such a connection and of bad peers on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

mod suite;

//! Channels over connections: the suite, and what becomes of bad peers and of an initial sync.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests
#![allow(missing_docs)]

mod heartbeat;
mod initial_sync;
mod stream;
mod suite;
mod websocket;
mod zstd;

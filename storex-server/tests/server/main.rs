//! The server over real sockets on loopback, and a clock that moves when the test says so.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod devices;
mod exchange;
mod operation;
mod relay;
mod shutdown;
mod snapshots;
mod support;
mod watch;

//! The server over real sockets on loopback, and a clock that moves when the test says so.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods)] // what runs beside the server

mod attackers;
mod blobs;
mod decoders;
mod devices;
mod exchange;
mod identity;
mod keys;
mod operation;
mod random;
mod relay;
mod retention;
mod routes;
mod shutdown;
mod snapshots;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod watch;

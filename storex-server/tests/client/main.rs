//! The client of `storex-sync` at a server on loopback, by the clock of the machine. Nothing here waits for a time to pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods)] // the tests own the time and the tasks
#![allow(missing_docs, unreachable_pub)]

#[cfg(feature = "sqlite")]
mod blobs;
mod channel;
mod devices;
#[cfg(feature = "sqlite")]
mod encryption;
mod faults;
mod log;
#[path = "../support/served.rs"]
#[allow(dead_code)]
mod served;
#[path = "../server/support/store.rs"]
#[allow(dead_code)]
mod store;
mod support;
#[cfg(feature = "tls")]
mod tls;

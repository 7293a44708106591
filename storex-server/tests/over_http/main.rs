//! Rows of `docs/capabilities.md` over HTTP: devices at whole servers, over connections in memory, so that everything is in virtual time.
//! Over TCP, TLS and real clocks the client is tested in `tests/client`, and the logs in the stores in `tests/stores.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods)] // the tests own the time and the tasks
#![allow(missing_docs, unreachable_pub)]

mod errors;
mod exchange;
mod live;
mod login;
mod pacing;
mod suite;
mod two_servers;
mod world;

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// No timer of a test is so long.
const LONG: Duration = Duration::from_secs(100_000);

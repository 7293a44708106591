//! [`HttpSharedLog`](storex_sync::http::HttpSharedLog) over a transport in memory, under a clock that stands still until everybody waits. Over a real server it
//! is tested in `storex-server`.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods)] // the tests own the time and the tasks
#![allow(unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod credentials;
mod fake;
mod parts;
mod rooms;
mod tabs;
mod watch;

use std::time::Duration;

use storex_sync::{Device, LogRequest, SealedTransaction};

const SECOND: Duration = Duration::from_secs(1);

const ME: Device = Device { id: [1; 16], incarnation: 0 };
const OTHER: Device = Device { id: [2; 16], incarnation: 0 };

fn sealed(device: Device, sequence: u64, len: usize) -> SealedTransaction {
    // What cannot be compressed: SplitMix64.
    let mut state = sequence;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40).to_le_bytes()[0]
    };
    let payload = (0..len).map(|_| random());
    SealedTransaction { device, sequence, payload: payload.collect() }
}

fn sending(append: Vec<SealedTransaction>) -> LogRequest {
    LogRequest { device: ME, append, ..LogRequest::default() }
}

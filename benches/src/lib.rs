//! The benchmark suite: storex beside hand-written rusqlite that does the same work, interleaved in one run.
//!
//! ```text
//!   cargo xtask bench              a table
//!   cargo xtask bench --json       {"ratios": {..}, "figures": {..}}
//!   cargo bench -p storex-benches  criterion, for the small parts
//! ```
//!
//! Only the ratios mean anything: the machine is noisy, and both sides of a ratio are measured in turns.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a benchmark that cannot go on shall stop
#![allow(clippy::disallowed_methods)] // it measures real time

pub mod hand;
pub mod hand_copy;
pub mod hand_sync;
pub mod measure;
pub mod ours;
pub mod pump;
pub mod pump_side;
pub mod queries;
pub mod server;
pub mod server_client;
pub mod server_hand;
pub mod server_side;
pub mod sync;
pub mod workload;

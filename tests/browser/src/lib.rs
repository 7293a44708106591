//! What the scenarios beside this package load into pages and workers: devices on IndexedDB, a writer for the kill
//! tests, and an audit of what is left after a kill.
//!
//! On native targets this crate is empty, so that the workspace can name it for all of them.

#![cfg(target_family = "wasm")]
#![allow(clippy::arc_with_non_send_sync)] // a browser has one thread

mod adopted;
mod audit;
mod bench;
mod chaos;
mod copy;
mod device;
mod dexie;
mod direct;
mod error;
mod lifecycle;
mod live;
mod log_fold;
mod log_summary;
mod quota;
mod schema;
mod server;
mod steps;
mod tabs;
mod transport;
mod upgrade;
mod writer;

pub use bench::Bench;
pub use chaos::serve_chaos;
pub use copy::copy;
pub use device::Device;
pub use dexie::open_adopted;
pub use quota::{Filler, ask_to_persist, space, will_persist};
pub use steps::at_step;
pub use tabs::serve;
pub use transport::{ask, ask_for_devices};
pub use upgrade::open_version;

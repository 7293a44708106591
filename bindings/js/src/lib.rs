//! What the npm package beside this crate loads: a storage on IndexedDB, and its sync. JSON goes in and out as text; `lib/` is what
//! applications see, in storex's vocabulary.
//!
//! On native targets this crate is empty, so that the workspace can name it for all of them.

#![cfg(target_family = "wasm")]
#![allow(clippy::arc_with_non_send_sync)] // a browser has one thread

mod batch;
mod conflicts;
mod credentials;
mod database;
mod engine;
mod error;
mod exact;
mod initial;
mod reports;
mod schema;
mod sync;
mod telling;

pub use database::{Database, delete_database};
pub use engine::{Given, serve_sync};
pub use sync::SyncHandle;
pub use telling::Subscription;

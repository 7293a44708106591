//! What every backend of [storex](storex_core) must do, as tests: some 470 cases through the public API, and random scripts of
//! operations that compare a backend with the one in memory.
//!
//! # A backend of your own
//!
//! Implement [`Backend`](storex_core::Backend), say in one function how a case gets an empty database, and name it in one
//! line. This is the whole `tests/conformance.rs` of a backend:
//!
//! ```
//! use storex_conformance::{Harness, PassThrough, backend_conformance};
//! use storex_memory::MemoryBackend as MyBackend; // yours
//!
//! /// Called once per case: here a folder is made or a name is chosen, which the closure keeps.
//! fn my_backend() -> Harness {
//!     Harness::new(|| MyBackend::new())
//! }
//! backend_conformance!(my_backend);
//!
//! /// Once more behind a middleware that changes nothing: nothing may change.
//! mod behind_a_middleware {
//!     fn my_backend() -> super::Harness {
//!         super::my_backend().middleware(|| super::PassThrough)
//!     }
//!     super::backend_conformance!(my_backend);
//! }
//!
//! /// Random scripts: whatever yours does differently from the one in memory is a mistake.
//! #[tokio::test]
//! async fn scripts() {
//!     let memory = || Harness::new(storex_memory::MemoryBackend::new);
//!     storex_conformance::scripts::run(memory, my_backend).await;
//! }
//! # fn main() {}
//! ```
//!
//! Each case becomes a test of its own, `creating::an_object_is_found_by_its_key` and so on; a case's name says what it
//! asserts. On native targets that is a `#[test]` on one thread, with tokio's clock standing still (so a backend must not
//! need tokio's timers to finish an operation); in a browser (`wasm32-unknown-unknown`) it is a `#[wasm_bindgen_test]`.
//!
//! # What the cases ask
//!
//! - They are the contract of [`Backend`](storex_core::Backend) in the small print. **There is nothing to skip**: what a
//!   backend cannot do, it refuses with the right error, and a case asserts the error. So a backend whose
//!   [`Capabilities`](storex_core::Capabilities) say that it is not persistent has to be empty when it is opened again.
//! - Most of them go through [`Storage`](storex_core::Storage) with [`AutoPk`](storex_core::AutoPk), as applications do. A
//!   middleware of your own is tested by running the suite through it: [`Harness::middleware`].
//! - A case opens a database a second time only after it has closed it.
//! - Where a backend may choose (the order of a find without an order, the order of the keys that an update tells), the
//!   cases do not look.
//!
//! # A case of your own
//!
//! Write `pub async fn name(h: Harness)` in the file of its subject under `src/backend`, and list it in
//! [`backend_conformance!`]; a test fails while it is not listed.
//!
//! # Shared logs, channels and blob stores
//!
//! [`shared_log_conformance!`], [`channel_conformance!`] and [`blob_store_conformance!`] do the same for the traits of
//! [`storex-sync`](storex_sync), [`exclusive_conformance!`] for the means by which one program at a time syncs. `store_conformance!` (feature `server`) does it for what a server keeps everything in. A log of many in one place is tested among [busy neighbours](WithNeighbours) as well.
// This is a test library: a case that fails panics.
#![cfg_attr(target_family = "wasm", allow(clippy::arc_with_non_send_sync))] // a browser has one thread
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod backend;
pub mod blob_store;
pub mod channel;
pub mod exclusive;
mod harness;
mod neighbours;
mod pass_through;
mod run;
mod runtime;
pub mod scripts;
pub mod shared_log;
pub mod stock;
#[cfg(all(feature = "server", not(target_family = "wasm")))]
pub mod store;
mod support;

pub use harness::Harness;
pub use neighbours::WithNeighbours;
pub use pass_through::PassThrough;
#[cfg(not(target_family = "wasm"))]
pub use run::run_case;
pub use runtime::CaseRuntime;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod __private {
    pub use wasm_bindgen_test::*;
}

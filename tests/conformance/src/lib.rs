//! What every backend of storex must do, as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test library: a failed case panics

pub mod backend;
pub mod channel;
mod harness;
mod pass_through;
mod run;
mod runtime;
pub mod scripts;
pub mod shared_log;
mod support;

pub use harness::Harness;
pub use pass_through::PassThrough;
#[cfg(not(target_family = "wasm"))]
pub use run::run_case;
pub use runtime::CaseRuntime;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod __private {
    pub use wasm_bindgen_test::*;
}

//! The reference backend: in memory, the simplest correct one.

mod backend;
mod runtime;

pub use backend::MemoryBackend;
pub use runtime::TestRuntime;
